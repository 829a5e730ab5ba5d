//@ later <time.h>
static int later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

//@ next_tick <time.h>
/* Wait until the clock by which files get their times is past this time. */
static struct timespec next_tick(struct timespec past)
{
	const struct timespec pause = { 0, 100000 };
	struct timespec now;

	do {
		nanosleep(&pause, NULL);
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (!later(&now, &past));
	return now;
}

//@ tick <time.h>
/*
 * A time later than all taken before, and not later than any taken from now on.
 * A file's may be finer than ticks (inode_set_ctime_current), and the kernel a
 * tick behind what it shows to processes: that takes a second one.
 */
static struct timespec tick(void)
{
	struct timespec now, began;

	clock_gettime(CLOCK_REALTIME, &now);
	began = next_tick(now);
	next_tick(began);
	return began;
}

//@ stamps begin_lines <err.h> <sys/mman.h> <time.h>
/* When each line began, for all workers; none of line 0, and one after the last. */
static struct timespec *stamps;

static void begin_lines(void)
{
	stamps = mmap(NULL, (LINES + 2) * sizeof(*stamps), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stamps == MAP_FAILED)
		errx(77, "no memory");
}

//@ begin_line
static void begin_line(int line)
{
	stamps[line] = tick();
}

//@ line_of
/* The line that took a time: the last that began no later. */
static int line_of(const struct timespec *time)
{
	const struct timespec *next = stamps + 1;

	while (next <= stamps + LINES + 1 && next->tv_sec && !later(next, time))
		next++;
	return next - stamps - 1;
}

//@ which <stdio.h>
static const char *which(int line, int last)
{
	static char kept[2][32];
	static int next;
	char *text = kept[next++ % 2];

	if (!line)
		return "before line 1";
	snprintf(text, sizeof(kept[0]), line > last ? "after line %d" : "of line %d",
		 line > last ? last : line);
	return text;
}

//@ expect_line <stdio.h> <string.h> <time.h>
/* The time of this name, in what the operation told, must be that of a line. */
static void expect_line(int line, const char *text, const char *name, int want, long long got)
{
	const struct timespec *began = stamps + (want ? want : 1);
	int saw, last = line ? line : LINES;
	struct timespec time;
	long long sec;
	long nsec;

	/* What is later than now is no line's. */
	if (line)
		begin_line(line + 1);
	if (same(line, text, 0, got)) {
		sscanf(strstr(data, name) + strlen(name), "%lld.%ld", &sec, &nsec);
		time.tv_sec = sec;
		time.tv_nsec = nsec;
		saw = line_of(&time);
		if (saw != want)
			differs("expected the time %s (%lld.%09ld), saw that %s (%lld.%09ld)",
				which(want, last), (long long)began->tv_sec, (long)began->tv_nsec,
				which(saw, last), sec, nsec);
	}
	agreed();
}
