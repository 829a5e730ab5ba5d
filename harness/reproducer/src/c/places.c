//@ arm_dir lower_dir
static char *arm_dir, *lower_dir;

//@ begin <dirent.h> <err.h> <stdio.h> <stdlib.h> <sys/stat.h>
static void begin(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : ".", *below = getenv("LOOKBACK_LOWER");
	struct dirent **names;

	if (argc > 2 || *dir == '-')
		errx(2, "usage: %s [DIRECTORY]", argv[0]);
	arm_dir = realpath(dir, NULL);
	lower_dir = realpath(below ? below : dir, NULL);
	if (!arm_dir || !lower_dir)
		err(2, "%s", arm_dir ? below : dir);
	/* Not through the mount under test: that would then know its names. */
	if (scandir(lower_dir, &names, NULL, NULL) != 2)
		errx(2, "%s must be an empty directory", lower_dir);
	setvbuf(stdout, NULL, _IOLBF, 0);
	umask(022);
}

//@ join <stdio.h>
static const char *join(const char *dir, const char *rel)
{
	static char kept[4][1 << 16];	/* more than an operation has */
	static int next;
	char *path = kept[next++ % 4];

	snprintf(path, sizeof(kept[0]), "%s%s%s", dir, *rel ? "/" : "", rel);
	return path;
}

//@ arm
/* In the directory under test. */
static const char *arm(const char *rel)
{
	return join(arm_dir, rel);
}

//@ lower
/* The same directory, below the file system under test. */
static const char *lower(const char *rel)
{
	return join(lower_dir, rel);
}

//@ outside_dir find_outside leave_outside <err.h> <stdio.h> <stdlib.h> <sys/mount.h> <unistd.h>
static char *outside_dir;
static int outside_is_ours;

/* A directory on another mount; one of the same file system if none is given. */
static void find_outside(void)
{
	const char *given = getenv("LOOKBACK_OUTSIDE");
	char *path;

	if (given) {
		outside_dir = realpath(given, NULL);
	} else if (asprintf(&path, "%s.outside-XXXXXX", arm_dir) > 0 && mkdtemp(path) &&
		   !mount(path, path, NULL, MS_BIND, NULL)) {
		chmod(path, 0755);
		outside_is_ours = 1;
		outside_dir = path;
	}
	if (!outside_dir)
		errx(77, "set LOOKBACK_OUTSIDE to a directory on another mount, or be root");
}

static void leave_outside(void)
{
	if (outside_is_ours)
		umount2(outside_dir, MNT_DETACH);
}

//@ outside
/* On another mount. */
static const char *outside(const char *rel)
{
	return join(outside_dir, rel);
}

//@ need_root <err.h> <unistd.h>
static void need_root(void)
{
	if (geteuid())
		errx(77, "it takes root");
}

//@ need_tmpfile <err.h> <errno.h> <fcntl.h> <unistd.h>
static void need_tmpfile(void)
{
	int fd = open(lower_dir, O_TMPFILE | O_RDWR, 0600);

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		errx(77, "the file system has no O_TMPFILE");
	if (fd >= 0)
		close(fd);
}

//@ need_xattr <err.h> <errno.h> <sys/xattr.h>
static void need_xattr(void)
{
	if (getxattr(lower_dir, "user.none", NULL, 0) < 0 && errno == EOPNOTSUPP)
		errx(77, "the file system has no extended attributes");
}

//@ need_relatime <err.h> <sys/statvfs.h>
/* Which line sets an access time is decided by the one that is there. */
static void need_relatime(void)
{
	struct statvfs fs;

	if (!statvfs(arm_dir, &fs) && !(fs.f_flag & ST_RELATIME))
		errx(77, "the file system is not mounted relatime");
}

//@ need_fine_times <err.h> <fcntl.h> <sys/stat.h> <unistd.h>
/* Where seconds are all that is kept, times of two lines are the same. */
static void need_fine_times(void)
{
	int fd = open(lower_dir, O_TMPFILE | O_RDWR, 0600);
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && !st.st_ctim.tv_nsec)
		errx(77, "the file system keeps no time to less than a second");
	close(fd);
}
