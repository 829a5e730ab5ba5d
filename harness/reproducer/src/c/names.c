//@ do_creat <fcntl.h>
static long long do_creat(const char *path, mode_t mode)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, mode);

	if (fd < 0)
		return result("open", -1);
	result("", 0);
	return shut(fd);
}

//@ do_rename <sys/syscall.h> <unistd.h> <fcntl.h> <stdio.h>
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#define RENAME_WHITEOUT 4
#endif
static long long do_rename(const char *old, const char *new, unsigned int flags)
{
	return sys(syscall(SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, flags));
}

//@ tell_stat <sys/stat.h> <sys/sysmacros.h>
static long long tell_stat(long long ret, const struct stat *st)
{
	if (ret < 0)
		return sys(ret);
	return tell(0, "mode %07o\nuid %u\ngid %u\nnlink %llu\nsize %lld\nrdev %u:%u\n"
		    "blksize %lld\nino %llu\natime %lld.%09ld\nmtime %lld.%09ld\n"
		    "ctime %lld.%09ld\n",
		    st->st_mode, st->st_uid, st->st_gid, (unsigned long long)st->st_nlink,
		    (long long)st->st_size, major(st->st_rdev), minor(st->st_rdev),
		    (long long)st->st_blksize, (unsigned long long)st->st_ino,
		    (long long)st->st_atim.tv_sec, (long)st->st_atim.tv_nsec,
		    (long long)st->st_mtim.tv_sec, (long)st->st_mtim.tv_nsec,
		    (long long)st->st_ctim.tv_sec, (long)st->st_ctim.tv_nsec);
}

//@ do_stat <sys/stat.h>
static long long do_stat(const char *path)
{
	struct stat st;

	return tell_stat(stat(path, &st), &st);
}

//@ do_lstat <sys/stat.h>
static long long do_lstat(const char *path)
{
	struct stat st;

	return tell_stat(lstat(path, &st), &st);
}

//@ do_utimens <fcntl.h> <sys/stat.h>
static long long do_utimens(const char *path, long long atime, long ansec, long long mtime,
			    long mnsec)
{
	struct timespec times[2] = { { atime, ansec }, { mtime, mnsec } };

	return sys(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

//@ do_access <fcntl.h> <sys/syscall.h> <unistd.h>
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif
/* faccessat(3) refuses some masks on its own. */
static long long do_access(const char *path, unsigned int mask)
{
	return sys(syscall(SYS_faccessat2, AT_FDCWD, path, mask, AT_EACCESS));
}

//@ do_readlink <limits.h> <unistd.h>
static long long do_readlink(const char *path)
{
	char target[PATH_MAX];
	ssize_t len = readlink(path, target, sizeof(target));

	return len < 0 ? sys(-1) : tell(len, "%.*s", (int)len, target);
}

//@ begin_text <stdio.h> <stdlib.h>
static FILE *begin_text(void)
{
	free(data);
	data = NULL;
	return open_memstream(&data, &data_len);
}

//@ do_readdir <dirent.h> <errno.h> <fcntl.h> <stdlib.h> <string.h> <sys/stat.h>
static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct dirent *)a)->d_name, ((const struct dirent *)b)->d_name);
}

/* Each entry with its type, and whether stat gives its inode another number. */
static long long do_readdir(const char *path)
{
	static const char *const types[] = {
		[DT_UNKNOWN] = "unknown", [DT_FIFO] = "fifo", [DT_CHR] = "chr",
		[DT_DIR] = "dir", [DT_BLK] = "blk", [DT_REG] = "reg", [DT_LNK] = "lnk",
		[DT_SOCK] = "sock", [15] = NULL,
	};
	struct dirent *entries = NULL, *entry;
	size_t count = 0, i;
	struct stat st;
	FILE *text;
	DIR *dir = opendir(path);

	if (!dir)
		return result("open", -1);
	while (errno = 0, (entry = readdir(dir))) {
		entries = realloc(entries, (count + 1) * sizeof(*entries));
		memcpy(&entries[count++], entry, entry->d_reclen);
	}
	result("getdents", errno ? -1 : 0);
	if (count)
		qsort(entries, count, sizeof(*entries), by_name);
	text = begin_text();
	for (i = 0, entry = entries; i < count && !out.err; i++, entry++) {
		int gone;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		gone = fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW);
		if (gone && errno == ENOMEM)
			result("fstatat", -1);
		fprintf(text, "%s %s%s\n", entry->d_name, types[entry->d_type & 15],
			!gone && st.st_ino == entry->d_ino ? "" : " d_ino is not st_ino");
	}
	fclose(text);
	closedir(dir);
	free(entries);
	return out.ret;
}

//@ do_entry <string.h>
/* The line of a listing that has this name. */
static long long do_entry(const char *dir, const char *name)
{
	size_t len = strlen(name);
	char *line;

	if (do_readdir(dir) < 0)
		return -1;
	for (line = data; *line; line = strchr(line, '\n') + 1)
		if (!strncmp(line, name, len) && line[len] == ' ')
			break;
	line = strndup(line, strcspn(line, "\n"));
	tell(0, "%s", line);
	free(line);
	return 0;
}

//@ do_same <sys/stat.h>
/* Whether two paths are one inode. */
static long long do_same(const char *path, const char *other)
{
	struct stat a, b;

	if (lstat(path, &a) || lstat(other, &b))
		return sys(-1);
	return sys(a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}
