//@ do_mounttmpfs <sys/mount.h>
static long long do_mounttmpfs(const char *path)
{
	return sys(mount("tmpfs", path, "tmpfs", 0, "mode=0755"));
}

//@ do_umount <sys/mount.h>
static long long do_umount(const char *path)
{
	return sys(umount2(path, UMOUNT_NOFOLLOW));
}

//@ do_bind <sys/mount.h>
static long long do_bind(const char *path, const char *on, int read_only)
{
	if (result("bind", mount(path, on, NULL, MS_BIND, NULL)) < 0 || !read_only)
		return out.ret;
	return result("remount", mount(NULL, on, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
}
