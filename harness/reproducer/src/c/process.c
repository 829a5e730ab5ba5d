//@ do_sync <fcntl.h> <unistd.h>
static long long do_sync(void)
{
	int fd = open(arm(""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return result("open", -1);
	result("syncfs", syncfs(fd));
	return shut(fd);
}

//@ do_drop_caches <fcntl.h> <unistd.h>
static long long do_drop_caches(void)
{
	uid_t user = geteuid();
	int fd;

	if (setresuid(-1, 0, -1))
		return result("setresuid", -1);
	sync();
	fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	result("drop_caches", fd < 0 || write(fd, "3", 1) != 1 ? -1 : 0);
	if (fd >= 0)
		close(fd);
	if (setresuid(-1, user, -1))
		return result("setresuid", -1);
	return out.ret;
}

//@ do_wait <time.h>
static long long do_wait(long ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	return sys(nanosleep(&time, NULL));
}

//@ do_creds <grp.h> <unistd.h>
/* Effective ids only, so that the way back to root stays open. */
static long long do_creds(uid_t uid, gid_t gid)
{
	if (setresuid(-1, 0, -1))
		return result("setresuid", -1);
	if (setgroups(0, NULL))
		return result("setgroups", -1);
	if (setresgid(-1, gid, -1))
		return result("setresgid", -1);
	return result("setresuid", setresuid(-1, uid, -1));
}

//@ do_exec <errno.h> <fcntl.h> <sys/wait.h> <unistd.h>
static long long do_exec(const char *path)
{
	char *args[] = { (char *)path, NULL }, *environment[] = { NULL };
	int told[2], status, err = 0;
	ssize_t refused;
	pid_t child;

	/* Closed by a successful execve, so that its end says it was one. */
	if (pipe2(told, O_CLOEXEC))
		return result("pipe", -1);
	child = fork();
	if (!child) {
		execve(path, args, environment);
		err = errno;
		_exit(write(told[1], &err, sizeof(err)) == sizeof(err) ? 127 : 126);
	}
	close(told[1]);
	if (child < 0) {
		result("fork", -1);
		close(told[0]);
		return -1;
	}
	refused = read(told[0], &err, sizeof(err));
	close(told[0]);
	if (waitpid(child, &status, 0) < 0)
		return result("waitpid", -1);
	errno = err;
	if (refused == sizeof(err))
		return sys(-1);
	return sys(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

//@ repeat <err.h> <stdlib.h> <string.h>
/* Do it so many times, or until it gives something else than the first time. */
static long long repeat(unsigned int times, long long (*operation)(void))
{
	long long ret = operation();
	const char *step = out.step;
	size_t len = data_len;
	char *first = malloc(len + 1);
	int err = out.err;

	if (!first)
		errx(77, "no memory");
	memcpy(first, len ? data : "", len);
	while (times-- > 1 && ret == out.ret && err == out.err && !strcmp(step, out.step) &&
	       len == data_len && !memcmp(first, len ? data : "", len))
		operation();
	free(first);
	return out.ret;
}
