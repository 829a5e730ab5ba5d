//@ drop_caches <err.h>
/* What is looked at next comes from disk, or from the server. */
static void drop_caches(void)
{
	if (do_drop_caches() < 0)
		errx(77, "the caches can't be dropped");
}

//@ do_blocks <sys/stat.h> <unistd.h>
/* In units of 512 bytes. Before all is written back they are promised and not there. */
static long long do_blocks(const char *path)
{
	struct stat st;

	sync();
	return sys(lstat(path, &st) ? -1 : (long long)st.st_blocks);
}

//@ do_settable
/* Of chattr(1)'s bits those that can be set. */
static long long do_settable(const char *path, unsigned int settable)
{
	return do_lsattr(path) < 0 ? -1 : result("", out.ret & settable);
}
