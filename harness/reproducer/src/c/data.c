//@ fill
/* A byte written depends on the write's seed and its own offset alone. */
static void fill(u64 seed, u64 off, char *to, size_t len)
{
	u64 z = 0;
	size_t i;

	for (i = 0; i < len; i++, off++) {
		if (!i || off % 8 == 0) {
			z = (seed + 1) * 0x9e3779b97f4a7c15 + off / 8 * 0xd1342543de82ef95;
			z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
			z = (z ^ z >> 27) * 0x94d049bb133111eb;
			z ^= z >> 31;
		}
		to[i] = (char)(z >> off % 8 * 8);
	}
}

//@ open_now <fcntl.h>
/* Open without waiting for the other end of a fifo. */
static int open_now(const char *path, int flags)
{
	int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		result("open", -1);
	return fd;
}

//@ CHUNK
#define CHUNK (1 << 20)

//@ store
/* Write the pattern until all is taken, or less than was offered. */
static long long store(int fd, const char *step, u64 off, u64 len, u64 seed,
		       ssize_t (*by)(int, char *, size_t, u64))
{
	char *bytes = room(CHUNK);
	u64 done = 0, wanted;
	ssize_t n;

	do {
		wanted = len - done < CHUNK ? len - done : CHUNK;
		fill(seed, off + done, bytes, wanted);
		n = by(fd, bytes, wanted, off + done);
		if (n < 0 && !done)
			return result(step, -1);
		done += n < 0 ? 0 : n;
	} while (n >= 0 && (u64)n == wanted && done < len);
	return result("", done);
}

//@ load
/* Read until all is there, or less than was asked for. */
static long long load(int fd, const char *step, u64 off, u64 len,
		      ssize_t (*by)(int, char *, size_t, u64))
{
	char *bytes = room(len);
	u64 done = 0, wanted;
	ssize_t n;

	do {
		wanted = len - done < CHUNK ? len - done : CHUNK;
		n = by(fd, bytes + done, wanted, off + done);
		if (n < 0 && !done)
			return result(step, -1);
		done += n < 0 ? 0 : n;
	} while (n >= 0 && (u64)n == wanted && done < len);
	data_len = done;
	return result("", done);
}

//@ store_to <fcntl.h>
static long long store_to(const char *path, int flags, const char *step, u64 off, u64 len, u64 seed,
			  ssize_t (*by)(int, char *, size_t, u64))
{
	int fd = open_now(path, O_WRONLY | flags);

	if (fd < 0)
		return -1;
	store(fd, step, off, len, seed, by);
	return shut(fd);
}

//@ load_from <fcntl.h>
static long long load_from(const char *path, int flags, const char *step, u64 off, u64 len,
			   ssize_t (*by)(int, char *, size_t, u64))
{
	int fd = open_now(path, O_RDONLY | flags);

	if (fd < 0)
		return -1;
	load(fd, step, off, len, by);
	return shut(fd);
}

//@ by_pwrite <unistd.h>
static ssize_t by_pwrite(int fd, char *bytes, size_t len, u64 off)
{
	return pwrite(fd, bytes, len, off);
}

//@ by_pread <unistd.h>
static ssize_t by_pread(int fd, char *bytes, size_t len, u64 off)
{
	return pread(fd, bytes, len, off);
}

//@ do_write
static long long do_write(const char *path, u64 off, u64 len, u64 seed)
{
	return store_to(path, 0, "pwrite", off, len, seed, by_pwrite);
}

//@ do_read
static long long do_read(const char *path, u64 off, u64 len)
{
	return load_from(path, 0, "pread", off, len, by_pread);
}

//@ do_fsync <fcntl.h> <unistd.h>
static long long do_fsync(const char *path)
{
	int fd = open_now(path, O_RDONLY);

	if (fd < 0)
		return -1;
	result("fsync", fsync(fd));
	return shut(fd);
}

//@ do_fdatasync <fcntl.h> <unistd.h>
static long long do_fdatasync(const char *path)
{
	int fd = open_now(path, O_RDONLY);

	if (fd < 0)
		return -1;
	result("fdatasync", fdatasync(fd));
	return shut(fd);
}
