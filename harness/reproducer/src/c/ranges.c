//@ do_fallocate <fcntl.h>
static long long do_fallocate(const char *path, u64 off, u64 len, int mode)
{
	int fd = open_now(path, O_RDWR);

	if (fd < 0)
		return -1;
	result("fallocate", fallocate(fd, mode, off, len));
	return shut(fd);
}

//@ leave_atime <fcntl.h> <sys/stat.h>
/*
 * What one line reads and writes gets an atime a tick after its mtime, or in the
 * same, as it happens; the next read goes by that (relatime_need_update).
 */
static void leave_atime(int from, int to)
{
	struct stat a, b;

	if (!fstat(from, &a) && !fstat(to, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		fcntl(from, F_SETFL, fcntl(from, F_GETFL) | O_NOATIME);
}

//@ between <fcntl.h> <unistd.h>
/* Open both, work, close. */
static long long between(const char *from, const char *to, u64 from_off, u64 to_off, u64 len,
			 void (*work)(int, int, u64, u64, u64))
{
	int in = open_now(from, O_RDONLY), into;

	if (in < 0)
		return -1;
	into = to ? open_now(to, O_WRONLY) : (int)no_slot();
	if (into >= 0) {
		leave_atime(in, into);
		work(in, into, from_off, to_off, len);
		shut(into);
	}
	return shut(in);
}

//@ do_copyrange <unistd.h>
static void copy_range(int from, int to, u64 from_off, u64 to_off, u64 len)
{
	off_t source = from_off, target = to_off;
	u64 done = 0;
	ssize_t n;

	do {
		n = copy_file_range(from, &source, to, &target, len - done, 0);
		if (n < 0 && !done) {
			result("copy_file_range", -1);
			return;
		}
		done += n < 0 ? 0 : n;
	} while (n > 0 && done < len);
	result("", done);
}

static long long do_copyrange(const char *from, const char *to, u64 from_off, u64 to_off, u64 len)
{
	return between(from, to, from_off, to_off, len, copy_range);
}

//@ do_splice <fcntl.h> <unistd.h>
static long long splice_all(int from, int to, const int *through, u64 off, u64 len)
{
	off_t source = off, target = off;
	ssize_t held, n;
	u64 done = 0;

	while (done < len) {
		held = splice(from, &source, through[1], NULL,
			      len - done < 65536 ? len - done : 65536, 0);
		if (held < 0 && !done)
			return result("splice in", -1);
		if (held <= 0)
			break;
		for (; held > 0; held -= n, done += n) {
			n = splice(through[0], NULL, to, &target, held, 0);
			if (n < 0 && !done)
				return result("splice out", -1);
			if (n <= 0)
				return result("", done);
		}
	}
	return result("", done);
}

static void through_a_pipe(int from, int to, u64 off, u64 also_off, u64 len)
{
	int ends[2];

	(void)also_off;
	if (pipe(ends)) {
		result("pipe", -1);
		return;
	}
	splice_all(from, to, ends, off, len);
	close(ends[0]);
	close(ends[1]);
}

static long long do_splice(const char *from, const char *to, u64 off, u64 len)
{
	return between(from, to, off, off, len, through_a_pipe);
}

//@ do_clonerange <sys/ioctl.h>
/* FICLONERANGE (linux/fs.h) */
static void clone_range(int from, int to, u64 from_off, u64 to_off, u64 len)
{
	u64 range[4] = { from, from_off, len, to_off };

	result("clone", ioctl(to, _IOC(_IOC_WRITE, 0x94, 13, sizeof(range)), range));
}

static long long do_clonerange(const char *from, const char *to, u64 from_off, u64 to_off, u64 len)
{
	return between(from, to, from_off, to_off, len, clone_range);
}

//@ do_deduperange <errno.h> <sys/ioctl.h>
/* FIDEDUPERANGE (linux/fs.h) with one target */
static void dedupe_range(int from, int to, u64 from_off, u64 to_off, u64 len)
{
	struct {
		u64 from_off, len;
		unsigned short targets, reserved[3];
		u64 to, to_off, deduped;
		int status;
		unsigned int reserved2;
	} range = { .from_off = from_off, .len = len, .targets = 1, .to = to, .to_off = to_off };

	if (result("ioctl", ioctl(from, _IOC(_IOC_READ | _IOC_WRITE, 0x94, 54, 24), &range)) < 0)
		return;
	errno = -range.status;
	if (range.status < 0)
		result("dedupe", -1);
	else
		tell(range.deduped, "%s", range.status ? "differs" : "");
}

static long long do_deduperange(const char *from, const char *to, u64 from_off, u64 to_off, u64 len)
{
	return between(from, to, from_off, to_off, len, dedupe_range);
}
