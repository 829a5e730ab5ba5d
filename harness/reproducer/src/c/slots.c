//@ slots
/* Files kept open across operations. */
static int slots[SLOTS] = { [0 ... SLOTS - 1] = -1 };

//@ no_slot <errno.h>
/* A path below an open file where none is open. */
static long long no_slot(void)
{
	errno = EBADF;
	return sys(-1);
}

//@ in_slot <stdio.h>
/* Below the open file or directory in a slot; NULL if there is none. */
static const char *in_slot(int slot, const char *rel)
{
	char dir[32];

	if (slots[slot] < 0)
		return NULL;
	snprintf(dir, sizeof(dir), "/proc/self/fd/%d", slots[slot]);
	return join(dir, rel);
}

//@ keep <unistd.h>
/* Put a file into a slot, after what was there is closed. */
static long long keep(int slot, int fd)
{
	int old = slots[slot];

	slots[slot] = fd;
	return result("close", old < 0 ? 0 : close(old));
}

//@ do_open <fcntl.h>
static long long do_open(int slot, const char *path, int flags, mode_t mode)
{
	if (keep(slot, -1) < 0)
		return -1;
	slots[slot] = open(path, flags, mode);
	return sys(slots[slot] < 0 ? -1 : 0);
}

//@ do_close <unistd.h>
static long long do_close(int slot)
{
	int fd = slots[slot];

	slots[slot] = -1;
	return sys(close(fd));
}

//@ do_pwrite
static long long do_pwrite(int slot, u64 off, u64 len, u64 seed)
{
	return store(slots[slot], "", off, len, seed, by_pwrite);
}

//@ do_pread
static long long do_pread(int slot, u64 off, u64 len)
{
	return load(slots[slot], "", off, len, by_pread);
}

//@ do_fstat <sys/stat.h>
static long long do_fstat(int slot)
{
	struct stat st;

	return tell_stat(fstat(slots[slot], &st), &st);
}

//@ do_fdwrite <unistd.h>
static ssize_t by_write(int fd, char *bytes, size_t len, u64 off)
{
	(void)off;
	return write(fd, bytes, len);
}

static long long do_fdwrite(int slot, u64 len, u64 seed)
{
	return store(slots[slot], "", 0, len, seed, by_write);
}

//@ do_fdread <unistd.h>
static ssize_t by_read(int fd, char *bytes, size_t len, u64 off)
{
	(void)off;
	return read(fd, bytes, len);
}

static long long do_fdread(int slot, u64 len)
{
	return load(slots[slot], "", 0, len, by_read);
}
