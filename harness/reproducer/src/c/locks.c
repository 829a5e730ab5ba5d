//@ do_flock <sys/file.h>
static long long do_flock(int slot, int how)
{
	return sys(flock(slots[slot], how | LOCK_NB));
}

//@ do_lock <fcntl.h>
static long long do_lock(int slot, short type, long long off, long long len)
{
	struct flock range = { .l_type = type, .l_whence = SEEK_SET, .l_start = off, .l_len = len };

	return sys(fcntl(slots[slot], F_SETLK, &range));
}

//@ do_getlock <fcntl.h>
/* The lock in the way, without its owner. */
static long long do_getlock(int slot, short type, long long off, long long len)
{
	struct flock range = { .l_type = type, .l_whence = SEEK_SET, .l_start = off, .l_len = len };

	if (sys(fcntl(slots[slot], F_GETLK, &range)) < 0)
		return -1;
	if (range.l_type == F_UNLCK)
		return tell(0, "un");
	return tell(0, "%s off=%lld len=%lld", range.l_type == F_RDLCK ? "rd" : "wr",
		    (long long)range.l_start, (long long)range.l_len);
}

//@ do_lease <fcntl.h> <signal.h>
static long long do_lease(int slot, int type)
{
	/* Breaking a lease sends SIGIO. */
	signal(SIGIO, SIG_IGN);
	return sys(fcntl(slots[slot], F_SETLEASE, type));
}
