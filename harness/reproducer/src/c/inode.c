//@ GET_FLAGS <sys/ioctl.h>
/* FS_IOC_GETFLAGS and FS_IOC_SETFLAGS, which move an int (linux/fs.h) */
#define GET_FLAGS _IOR('f', 1, long)
#define SET_FLAGS _IOW('f', 2, long)

//@ do_chattr <fcntl.h> <sys/ioctl.h>
/* Of the bits that can be set, set exactly those wanted. */
static long long do_chattr(const char *path, unsigned int settable, unsigned int wanted)
{
	int fd = open_now(path, O_RDONLY);
	long flags = 0;

	if (fd < 0)
		return -1;
	if (result("getflags", ioctl(fd, GET_FLAGS, &flags)) >= 0) {
		flags = (flags & 0xffffffff & ~settable) | wanted;
		result("setflags", ioctl(fd, SET_FLAGS, &flags));
	}
	return shut(fd);
}

//@ do_lsattr <fcntl.h> <sys/ioctl.h>
static long long do_lsattr(const char *path)
{
	int fd = open_now(path, O_RDONLY);
	long flags = 0;

	if (fd < 0)
		return -1;
	if (result("getflags", ioctl(fd, GET_FLAGS, &flags)) >= 0)
		result("", flags & 0xffffffff);
	return shut(fd);
}

//@ expect_flags
static void expect_flags(int line, const char *text, unsigned int flags, long long got)
{
	at(line, text);
	if (got < 0)
		differs("expected %#x, saw %s at %s", flags, shown(-out.err), out.step);
	else if (got != flags)
		differs("expected %#x, saw %#llx", flags, got);
	agreed();
}

//@ do_ioctl <fcntl.h> <string.h> <sys/ioctl.h>
/* An ioctl with a page of zeros as its argument. */
static long long do_ioctl(const char *path, unsigned long number)
{
	static char page[4096];
	int fd = open_now(path, O_RDONLY);

	if (fd < 0)
		return -1;
	memset(page, 0, sizeof(page));
	result("ioctl", ioctl(fd, number, page));
	return shut(fd);
}

//@ do_getversion <fcntl.h> <sys/ioctl.h>
static long long do_getversion(const char *path)
{
	return do_ioctl(path, _IOR('v', 1, long));
}

//@ do_fsgetxattr <fcntl.h> <string.h> <sys/ioctl.h>
/* FS_IOC_FSGETXATTR (linux/fs.h) */
static long long do_fsgetxattr(const char *path)
{
	struct {
		unsigned int xflags, extsize, nextents, projid, cowextsize;
		char pad[8];
	} got = { 0 };
	int fd = open_now(path, O_RDONLY);

	if (fd < 0)
		return -1;
	if (result("ioctl", ioctl(fd, _IOC(_IOC_READ, 'X', 31, sizeof(got)), &got)) >= 0)
		tell(0, "xflags=0x%x extsize=%u projid=%u cowextsize=%u", got.xflags,
		     got.extsize, got.projid, got.cowextsize);
	return shut(fd);
}

//@ do_getfslabel <fcntl.h> <string.h> <sys/ioctl.h>
/* FS_IOC_GETFSLABEL (linux/fs.h) */
static long long do_getfslabel(const char *path)
{
	char label[257] = "";
	int fd = open_now(path, O_RDONLY);

	if (fd < 0)
		return -1;
	if (result("ioctl", ioctl(fd, _IOC(_IOC_READ, 0x94, 49, 256), label)) >= 0)
		tell(0, "%s", label);
	return shut(fd);
}

//@ do_figetbsz <fcntl.h> <sys/ioctl.h>
/* FIGETBSZ (linux/fs.h) */
static long long do_figetbsz(const char *path)
{
	int fd = open_now(path, O_RDONLY), size = 0;

	if (fd < 0)
		return -1;
	if (result("ioctl", ioctl(fd, _IO(0x00, 2), &size)) >= 0)
		result("", size);
	return shut(fd);
}

//@ do_fitrim <fcntl.h> <sys/ioctl.h>
/* FITRIM (linux/fs.h) of the whole file system */
static long long do_fitrim(const char *path)
{
	u64 range[3] = { 0, ~0ULL, 0 };
	int fd = open_now(path, O_RDONLY);

	if (fd < 0)
		return -1;
	result("ioctl", ioctl(fd, _IOC(_IOC_READ | _IOC_WRITE, 'X', 121, sizeof(range)), range));
	return shut(fd);
}

//@ do_unknown_ioctl <fcntl.h> <sys/ioctl.h>
/* A number no file system knows. */
static long long do_unknown_ioctl(const char *path)
{
	int fd = open_now(path, O_RDONLY);

	if (fd < 0)
		return -1;
	result("ioctl", ioctl(fd, _IO(0xef, 0xfe)));
	return shut(fd);
}

//@ do_fiemap <fcntl.h> <string.h> <sys/ioctl.h>
/* FS_IOC_FIEMAP (linux/fiemap.h) after a sync: where the file has blocks. */
static long long do_fiemap(const char *path)
{
	static struct {
		u64 start, length;
		unsigned int flags, mapped, count, reserved;
		struct extent {
			u64 logical, physical, length, reserved64[2];
			unsigned int flags, reserved[3];
		} extents[64];
	} map;
	struct extent one = { 0 }, *next;
	int fd = open_now(path, O_RDONLY), last = 0;
	const char *gap = "";
	FILE *text;

	if (fd < 0)
		return -1;
	text = begin_text();
	map.start = 0;
	while (!last) {
		u64 start = map.start;

		memset(&map, 0, sizeof(map));
		map.start = start;
		map.length = ~0ULL - start;
		map.flags = 1;	/* FIEMAP_FLAG_SYNC */
		map.count = 64;
		if (ioctl(fd, _IOC(_IOC_READ | _IOC_WRITE, 'f', 11, 32), &map)) {
			result("ioctl", -1);
			fclose(text);
			return shut(fd);
		}
		last = !map.mapped;
		for (next = map.extents; next < map.extents + map.mapped; next++) {
			map.start = next->logical + next->length;
			last = next->flags & 1;		/* FIEMAP_EXTENT_LAST */
			next->flags &= 0x800;		/* FIEMAP_EXTENT_UNWRITTEN */
			if (one.length && one.logical + one.length == next->logical &&
			    one.flags == next->flags) {
				one.length += next->length;
				continue;
			}
			if (one.length) {
				fprintf(text, "%s%llu/%llu%s", gap, one.logical, one.length,
					one.flags ? "u" : "");
				gap = " ";
			}
			one = *next;
		}
	}
	if (one.length)
		fprintf(text, "%s%llu/%llu%s", gap, one.logical, one.length, one.flags ? "u" : "");
	fclose(text);
	result("", 0);
	return shut(fd);
}

//@ do_statfs <sys/statvfs.h> <sys/vfs.h>
static long long do_statfs(const char *path)
{
	struct statvfs vfs;
	struct statfs fs;

	if (statfs(path, &fs))
		return sys(-1);
	if (statvfs(path, &vfs))
		return result("statvfs", -1);
	return tell(0, "bsize=%lld frsize=%llu namelen=%lld", (long long)fs.f_bsize,
		    (u64)vfs.f_frsize, (long long)fs.f_namelen);
}
