// SPDX-License-Identifier: Apache-2.0 OR MIT
/*
 * rename.over-a-link: nlink after drop_caches
 * kernel     Linux 6.12.63, patched
 * signature  tree:nlink:dropped:backed
 * seed       7
 *
 * cc -Wall -Wextra -O2 -o reproducer reproducer.c
 * ./reproducer [DIRECTORY]
 *
 * DIRECTORY is an empty one on the file system under test; the current one if
 * none is given. If that file system has another one below it, LOOKBACK_LOWER
 * is the same directory there. The exit status is 0 if all is as expected, 1
 * if something differs, 2 for a bad usage, 77 if it can't be shown here.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <unistd.h>

/* What the last operation gave. */
static struct {
	long long ret;
	int err;
	const char *step;	/* which of several system calls failed */
} out;

static long long result(const char *step, long long ret)
{
	out.ret = ret;
	out.err = ret < 0 ? errno : 0;
	out.step = ret < 0 ? step : "";
	return ret;
}

static long long sys(long long ret)
{
	return result("", ret);
}

static long long shut(int fd)
{
	if (close(fd) && !out.err)
		result("close", -1);
	return out.ret;
}

/* What it told: bytes read, or text. */
static char *data;

static size_t data_len;

__attribute__((format(printf, 2, 3)))
static long long tell(long long ret, const char *format, ...)
{
	va_list args;
	int len;

	free(data);
	va_start(args, format);
	len = vasprintf(&data, format, args);
	va_end(args);
	if (len < 0)
		errx(77, "no memory");
	data_len = len;
	return result("", ret);
}

static struct verdict {
	int differences;
	char first[800];
} none_yet, *verdict = &none_yet;
static char here[256];	/* the operation, or the path */
static int agree;

static void at(int line, const char *text)
{
	snprintf(here, sizeof(here), line ? "%3d %s" : "%.0d    %s", line, text);
	agree = 1;
}

static void agreed(void)
{
	if (agree)
		printf("ok      %s\n", here);
}

__attribute__((format(printf, 1, 2)))
static void differs(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	printf("DIFFERS %s: %s\n", here, text);
	agree = 0;
	if (!__sync_fetch_and_add(&verdict->differences, 1))
		snprintf(verdict->first, sizeof(verdict->first), "%s: %s", here, text);
}

static const char *shown(long long ret)
{
	static char kept[2][96];
	static int next;
	char *text = kept[next++ % 2];

	snprintf(text, sizeof(kept[0]), ret < 0 ? "%lld (%s)" : "%lld", ret, strerror(-ret));
	return text;
}

/* Whether an operation returned what it should: a number, or an error below 0. */
static int same(int line, const char *text, long long want, long long got)
{
	if (got < 0)
		got = -out.err;
	at(line, text);
	if (got != want)
		differs("expected %s, saw %s%s%s", shown(want), shown(got),
			*out.step ? " at " : "", out.step);
	return got == want;
}

static void expect(int line, const char *text, long long want, long long got)
{
	same(line, text, want, got);
	agreed();
}

static void ran(int line, const char *text, long long got)
{
	at(line, text);
	printf("ran     %s: %s\n", here, shown(got < 0 ? -out.err : got));
}

/* Each name in `want` must have its value in what the operation told. */
static void expect_stat(int line, const char *text, const char *want, long long got)
{
	char name[32], value[64], saw[64];
	const char *found;
	int len;

	if (same(line, text, 0, got))
		for (; sscanf(want, "%31s %63s%n", name, value, &len) == 2; want += len) {
			for (found = data; strncmp(found, name, strlen(name)) ||
			     found[strlen(name)] != ' '; found = strchr(found, '\n') + 1)
				;
			sscanf(found + strlen(name), "%63s", saw);
			if (strcmp(saw, value))
				differs("%s: expected %s, saw %s", name, value, saw);
		}
	agreed();
}

static int finish(const char *otherwise)
{
	if (!verdict->differences) {
		puts(otherwise);
		return 0;
	}
	printf("%d differences, the first: %s\n", verdict->differences, verdict->first);
	return 1;
}

static char *arm_dir, *lower_dir;

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

static const char *join(const char *dir, const char *rel)
{
	static char kept[4][1 << 16];	/* more than an operation has */
	static int next;
	char *path = kept[next++ % 4];

	snprintf(path, sizeof(kept[0]), "%s%s%s", dir, *rel ? "/" : "", rel);
	return path;
}

/* In the directory under test. */
static const char *arm(const char *rel)
{
	return join(arm_dir, rel);
}

/* The same directory, below the file system under test. */
static const char *lower(const char *rel)
{
	return join(lower_dir, rel);
}

static void need_root(void)
{
	if (geteuid())
		errx(77, "it takes root");
}

static long long do_creat(const char *path, mode_t mode)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, mode);

	if (fd < 0)
		return result("open", -1);
	result("", 0);
	return shut(fd);
}

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#define RENAME_WHITEOUT 4
#endif
static long long do_rename(const char *old, const char *new, unsigned int flags)
{
	return sys(syscall(SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, flags));
}

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

static long long do_lstat(const char *path)
{
	struct stat st;

	return tell_stat(lstat(path, &st), &st);
}

static long long do_utimens(const char *path, long long atime, long ansec, long long mtime,
			    long mnsec)
{
	struct timespec times[2] = { { atime, ansec }, { mtime, mnsec } };

	return sys(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

static FILE *begin_text(void)
{
	free(data);
	data = NULL;
	return open_memstream(&data, &data_len);
}

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

/* An operation of the setup: without it nothing is shown. */
static void must(const char *text, long long want, long long got)
{
	if ((got < 0 ? -out.err : 0) != want)
		errx(77, "setup: %s: %s", text, strerror(out.err));
}

/* What is looked at next comes from disk, or from the server. */
static void drop_caches(void)
{
	if (do_drop_caches() < 0)
		errx(77, "the caches can't be dropped");
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	need_root();

	/* Before anything is mounted */
	must("mkdir e 0755", 0, sys(mkdir(lower("e"), 0755)));

	expect(1, "creat a 0644", 0, do_creat(arm("a"), 0644));
	expect(2, "link a b", 0, sys(link(arm("a"), arm("b"))));
	expect(3, "rename a c", 0, do_rename(arm("a"), arm("c"), 0));
	expect(4, "rename a b", -ENOENT, do_rename(arm("a"), arm("b"), 0));
	expect_stat(5, "lstat b", "mode 0100644 uid 0 gid 0 nlink 2 size 0", do_lstat(arm("b")));
	expect(6, "utimens c atime=omit mtime=5:0", 0, do_utimens(arm("c"), 0, UTIME_OMIT, 5, 0));
	expect(7, "creat d 0600", 0, do_creat(arm("d"), 0600));
	expect(8, "rename c d", 0, do_rename(arm("c"), arm("d"), 0));
	expect(9, "unlink b", 0, sys(unlink(arm("b"))));
	ran(10, "readdir .", do_readdir(arm("")));

	drop_caches();
	expect(0, "dropped: c", -ENOENT, do_lstat(arm("c")));
	expect_stat(0, "dropped: d", "nlink 1 mtime 5.000000000", do_lstat(arm("d")));

	return finish("all as expected");
}
