//@ cut parts <sys/uio.h>
static int parts;

/* Parts of one length; the last takes what is left. */
static const struct iovec *cut(char *bytes, size_t len)
{
	static struct iovec vector[1 << 16];
	int i;

	for (i = 0; i < parts; i++)
		vector[i] = (struct iovec){ bytes + len / parts * i, len / parts };
	if (parts)
		vector[parts - 1].iov_len += len % parts;
	return vector;
}

//@ do_writev <sys/uio.h>
static ssize_t by_pwritev(int fd, char *bytes, size_t len, u64 off)
{
	return pwritev(fd, cut(bytes, len), parts, off);
}

static long long do_writev(const char *path, u64 off, u64 len, u64 seed, int in_parts)
{
	parts = in_parts;
	return store_to(path, 0, "pwritev", off, len, seed, by_pwritev);
}

//@ do_readv <sys/uio.h>
static ssize_t by_preadv(int fd, char *bytes, size_t len, u64 off)
{
	return preadv(fd, cut(bytes, len), parts, off);
}

static long long do_readv(const char *path, u64 off, u64 len, int in_parts)
{
	parts = in_parts;
	return load_from(path, 0, "preadv", off, len, by_preadv);
}

//@ do_dwrite <fcntl.h>
static long long do_dwrite(const char *path, u64 off, u64 len, u64 seed)
{
	return store_to(path, O_DIRECT, "pwrite", off, len, seed, by_pwrite);
}

//@ do_dread <fcntl.h>
static long long do_dread(const char *path, u64 off, u64 len)
{
	return load_from(path, O_DIRECT, "pread", off, len, by_pread);
}

//@ by_aio prepare_aio <err.h> <errno.h> <string.h> <sys/syscall.h> <unistd.h>
static unsigned long aio;

static long long prepare_aio(void)
{
	if (!aio && syscall(SYS_io_setup, 1, &aio)) {
		if (errno == ENOSYS)
			errx(77, "the kernel has no io_submit");
		return result("io_setup", -1);
	}
	return 0;
}

/* One request, and its end (linux/aio_abi.h). */
static ssize_t by_aio(int opcode, int fd, char *bytes, size_t len, u64 off)
{
	struct {
		u64 data;
		unsigned int key, rw_flags;
		unsigned short opcode, priority;
		unsigned int fd;
		u64 buffer, bytes, offset, reserved;
		unsigned int flags, event_fd;
	} request = { .opcode = opcode, .fd = fd, .buffer = (u64)(size_t)bytes, .bytes = len,
		      .offset = off }, *requests = &request;
	struct {
		u64 data, request;
		long long result, result2;
	} event;

	if (syscall(SYS_io_submit, aio, 1, &requests) < 0)
		return -1;
	while (syscall(SYS_io_getevents, aio, 1, 1, &event, NULL) < 0)
		if (errno != EINTR)
			err(77, "io_getevents");
	if (event.result < 0)
		errno = -event.result;
	return event.result < 0 ? -1 : event.result;
}

//@ do_awrite <fcntl.h>
static ssize_t by_aio_write(int fd, char *bytes, size_t len, u64 off)
{
	return by_aio(1, fd, bytes, len, off);	/* IOCB_CMD_PWRITE */
}

static long long do_awrite(const char *path, u64 off, u64 len, u64 seed)
{
	if (prepare_aio() < 0)
		return -1;
	return store_to(path, O_DIRECT, "aio write", off, len, seed, by_aio_write);
}

//@ do_aread <fcntl.h>
static ssize_t by_aio_read(int fd, char *bytes, size_t len, u64 off)
{
	return by_aio(0, fd, bytes, len, off);	/* IOCB_CMD_PREAD */
}

static long long do_aread(const char *path, u64 off, u64 len)
{
	if (prepare_aio() < 0)
		return -1;
	return load_from(path, O_DIRECT, "aio read", off, len, by_aio_read);
}

//@ by_uring must_not_wait prepare_uring <err.h> <errno.h> <poll.h> <string.h> <sys/mman.h> <sys/stat.h> <sys/syscall.h> <unistd.h>
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#define SYS_io_uring_enter 426
#endif
/* linux/io_uring.h, as far as one request at a time takes it */
struct uring_entry {
	unsigned char opcode, flags;
	unsigned short priority;
	int fd;
	u64 off, address;
	unsigned int len, rw_flags;
	u64 user_data, rest[3];
};

struct uring_end {
	u64 user_data;
	int result;
	unsigned int flags;
};

static int uring = -1;
static struct {
	unsigned int submissions, completions, flags, cpu, idle, features, queue, resv[3];
	unsigned int sq_head, sq_tail, sq_mask, sq_size, sq_flags, sq_dropped, sq_array, sq_resv[3];
	unsigned int cq_head, cq_tail, cq_mask, cq_size, cq_overflow, cq_ends, cq_flags, cq_resv[3];
} layout;
static char *sq, *cq;
static struct uring_entry *entries;

static void *uring_map(size_t len, long long off)
{
	void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, uring, off);

	if (map == MAP_FAILED)
		err(77, "io_uring");
	return map;
}

static long long prepare_uring(void)
{
	if (uring >= 0)
		return 0;
	uring = syscall(SYS_io_uring_setup, 2, &layout);
	if (uring < 0 && (errno == ENOSYS || errno == EPERM))
		err(77, "io_uring");
	if (uring < 0)
		return result("io_uring_setup", -1);
	sq = uring_map(layout.sq_array + layout.submissions * sizeof(int), 0);
	cq = uring_map(layout.cq_ends + layout.completions * sizeof(struct uring_end), 0x8000000);
	entries = uring_map(layout.submissions * sizeof(*entries), 0x10000000);
	return 0;
}

static unsigned int *in_ring(char *ring, unsigned int off)
{
	return (unsigned int *)(ring + off);
}

/* EAGAIN where read(2) and write(2) would have it: io_uring waits for a fifo's other end. */
static int must_not_wait(int fd, short until)
{
	struct pollfd end = { .fd = fd, .events = until };
	struct stat st;
	int ready = fstat(fd, &st) ? -1 : S_ISREG(st.st_mode) ? 1 : poll(&end, 1, 0);

	if (!ready)
		errno = EAGAIN;
	return ready > 0 ? 0 : -1;
}

/* One request, and its end. */
static ssize_t by_uring(int opcode, int fd, char *bytes, size_t len, u64 off)
{
	unsigned int tail = *in_ring(sq, layout.sq_tail), slot = tail & *in_ring(sq, layout.sq_mask);
	unsigned int head = *in_ring(cq, layout.cq_head);
	struct uring_end *end;
	long submit = 1, n;

	entries[slot] = (struct uring_entry){ .opcode = opcode, .fd = fd, .off = off,
					      .address = (u64)(size_t)bytes, .len = len };
	in_ring(sq, layout.sq_array)[slot] = slot;
	__atomic_store_n(in_ring(sq, layout.sq_tail), tail + 1, __ATOMIC_RELEASE);
	while (head == __atomic_load_n(in_ring(cq, layout.cq_tail), __ATOMIC_ACQUIRE)) {
		n = syscall(SYS_io_uring_enter, uring, submit, 1, 1, NULL, 0);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			err(77, "io_uring_enter");
		if (n > 0)
			submit = 0;
	}
	end = (struct uring_end *)(cq + layout.cq_ends) + (head & *in_ring(cq, layout.cq_mask));
	n = end->result;
	__atomic_store_n(in_ring(cq, layout.cq_head), head + 1, __ATOMIC_RELEASE);
	if (n < 0)
		errno = -n;
	return n < 0 ? -1 : n;
}

//@ do_uringwrite
static ssize_t by_uring_write(int fd, char *bytes, size_t len, u64 off)
{
	if (must_not_wait(fd, POLLOUT))
		return -1;
	return by_uring(23, fd, bytes, len, off);	/* IORING_OP_WRITE */
}

static long long do_uringwrite(const char *path, u64 off, u64 len, u64 seed)
{
	if (prepare_uring() < 0)
		return -1;
	return store_to(path, 0, "uring write", off, len, seed, by_uring_write);
}

//@ do_uringread
static ssize_t by_uring_read(int fd, char *bytes, size_t len, u64 off)
{
	if (must_not_wait(fd, POLLIN))
		return -1;
	return by_uring(22, fd, bytes, len, off);	/* IORING_OP_READ */
}

static long long do_uringread(const char *path, u64 off, u64 len)
{
	if (prepare_uring() < 0)
		return -1;
	return load_from(path, 0, "uring read", off, len, by_uring_read);
}
