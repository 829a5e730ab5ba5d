//@ tick <time.h>
/* Wait for the clock's next tick: times taken from now on are later than any before. */
static struct timespec tick(void)
{
	const struct timespec pause = { 0, 100000 };
	struct timespec before, now;

	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	do {
		nanosleep(&pause, NULL);
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (now.tv_sec == before.tv_sec && now.tv_nsec == before.tv_nsec);
	return now;
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

	while (next <= stamps + LINES + 1 && next->tv_sec &&
	       (next->tv_sec < time->tv_sec ||
		(next->tv_sec == time->tv_sec && next->tv_nsec <= time->tv_nsec)))
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
