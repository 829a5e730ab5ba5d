//@ PAGE
#define PAGE 4096

//@ touched on_sigbus <signal.h> <stdlib.h> <sys/mman.h>
static char *touched, *touched_end;
static volatile sig_atomic_t faulted;

/* A page of the file that can't be had reads as zeros, and is told. */
static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	char *address = info->si_addr;

	(void)context;
	if (address < touched || address >= touched_end) {
		signal(sig, SIG_DFL);
		return;
	}
	faulted = 1;
	mmap(address - (size_t)address % PAGE, PAGE, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

//@ touch <errno.h> <signal.h> <string.h>
static int touch(char *map, size_t whole, char *to, const char *from, size_t len)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &action, NULL);
	touched = map;
	touched_end = map + whole;
	faulted = 0;
	memcpy(to, from, len);
	__asm__ volatile("" : : : "memory");
	touched_end = map;
	if (!faulted)
		return 0;
	errno = EFAULT;
	result("SIGBUS", -1);
	return -1;
}

//@ do_mapped <fcntl.h> <sys/mman.h> <sys/stat.h> <unistd.h>
/* Store or load a range of a file, cut at its end, as shared memory. */
static long long do_mapped(const char *path, u64 off, u64 len, const u64 *seed)
{
	int fd = open_now(path, seed ? O_RDWR : O_RDONLY), failed;
	u64 lead = off % PAGE, size;
	char *map, *bytes;
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st)) {
		result("fstat", -1);
		return shut(fd);
	}
	size = st.st_size < 0 ? 0 : st.st_size;
	size = size < off ? 0 : size - off;
	len = len < size ? len : size;
	bytes = room(len);
	result("", len);
	if (seed)
		fill(*seed, off, bytes, len);
	else
		data_len = len;
	if (!len)
		return shut(fd);
	map = mmap(NULL, lead + len, PROT_READ | (seed ? PROT_WRITE : 0), MAP_SHARED, fd,
		   off - lead);
	if (map == MAP_FAILED) {
		result("mmap", -1);
		return shut(fd);
	}
	failed = touch(map, lead + len, seed ? map + lead : bytes, seed ? bytes : map + lead, len);
	if (munmap(map, lead + len) && !failed)
		result("munmap", -1);
	return shut(fd);
}

//@ do_mwrite
static long long do_mwrite(const char *path, u64 off, u64 len, u64 seed)
{
	return do_mapped(path, off, len, &seed);
}

//@ do_mread
static long long do_mread(const char *path, u64 off, u64 len)
{
	return do_mapped(path, off, len, NULL);
}
