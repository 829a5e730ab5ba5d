//@ do_linkfd <fcntl.h> <unistd.h>
static long long do_linkfd(int slot, const char *path)
{
	const int follow = AT_SYMLINK_FOLLOW;

	return sys(linkat(AT_FDCWD, in_slot(slot, ""), AT_FDCWD, path, follow));
}

//@ do_fdpath <ctype.h> <limits.h> <string.h> <unistd.h>
/* What is below a directory of ours, from there on. */
static char *below(char *path, const char *dir)
{
	size_t len = dir ? strlen(dir) : 0;

	if (!len || strncmp(path, dir, len) || (path[len] && path[len] != '/' && path[len] != ' '))
		return NULL;
	return path + len + strspn(path + len, "/");
}

/* The link's text; a file made without a name is called # and its inode number. */
static long long do_fdpath(int slot)
{
	static const char deleted[] = " (deleted)";
	char text[PATH_MAX + 1], *path = text, *name, *end;
	ssize_t len = readlink(in_slot(slot, ""), text, PATH_MAX);

	if (len < 0)
		return sys(-1);
	text[len] = 0;
	path = below(text, arm_dir);
	if (!path)
		path = below(text, OUTSIDE_DIR);
	if (!path)
		path = below(text, lower_dir);
	if (!path)
		path = text;
	len = strlen(path);
	if (len > (ssize_t)strlen(deleted) && !strcmp(path + len - strlen(deleted), deleted)) {
		name = strrchr(path, '/');
		name = name ? name + 1 : path;
		for (end = name + 1; isdigit((unsigned char)*end); )
			end++;
		if (*name == '#' && end > name + 1 && !strcmp(end, deleted))
			strcpy(name + 1, deleted);
	}
	return tell(0, "%s", path);
}

//@ handles
/* struct file_handle (linux/fcntl.h) with room for any */
static struct handle {
	unsigned int bytes;
	int type;
	unsigned char handle[128];
} handles[HANDLES];

//@ do_handle <fcntl.h> <sys/syscall.h> <unistd.h>
static long long do_handle(int number, const char *path)
{
	struct handle got = { .bytes = sizeof(got.handle) };
	int mount;

	if (sys(syscall(SYS_name_to_handle_at, AT_FDCWD, path, &got, &mount, 0)) < 0)
		return -1;
	handles[number] = got;
	return sys(0);
}

//@ do_openhandle <errno.h> <fcntl.h> <sys/syscall.h> <unistd.h>
static long long do_openhandle(int number, int slot)
{
	struct handle handle = handles[number];
	int mount, fd;

	if (!handle.bytes) {
		errno = EBADF;
		return result("handle", -1);
	}
	mount = open(arm(""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mount < 0)
		return result("open", -1);
	fd = syscall(SYS_open_by_handle_at, mount, &handle, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (sys(fd) >= 0)
		keep(slot, fd);
	close(mount);
	return out.ret;
}

//@ do_watch <sys/inotify.h> <unistd.h>
static long long do_watch(int slot, const char *path)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0)
		return result("inotify_init", -1);
	if (sys(inotify_add_watch(fd, path, IN_DELETE_SELF | IN_DONT_FOLLOW)) >= 0)
		return keep(slot, fd);
	close(fd);
	return -1;
}

//@ do_cached <fcntl.h> <sys/syscall.h> <unistd.h>
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
/* openat2 with RESOLVE_CACHED (linux/openat2.h) */
static long long do_cached(const char *path)
{
	u64 how[3] = { O_PATH | O_CLOEXEC, 0, 0x20 };
	int fd = syscall(SYS_openat2, AT_FDCWD, path, how, sizeof(how));

	if (fd < 0)
		return sys(-1);
	result("", 0);
	return shut(fd);
}
