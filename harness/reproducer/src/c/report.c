//@ out
/* What the last operation gave. */
static struct {
	long long ret;
	int err;
	const char *step;	/* which of several system calls failed */
} out;

//@ result <errno.h>
static long long result(const char *step, long long ret)
{
	out.ret = ret;
	out.err = ret < 0 ? errno : 0;
	out.step = ret < 0 ? step : "";
	return ret;
}

//@ sys
static long long sys(long long ret)
{
	return result("", ret);
}

//@ shut <unistd.h>
static long long shut(int fd)
{
	if (close(fd) && !out.err)
		result("close", -1);
	return out.ret;
}

//@ data
/* What it told: bytes read, or text. */
static char *data;

//@ data_len
static size_t data_len;

//@ room <err.h> <stdlib.h>
/* Whole pages, as O_DIRECT asks for. */
static char *room(size_t len)
{
	free(data);
	data = aligned_alloc(4096, (len / 4096 + 1) * 4096);
	if (!data)
		errx(77, "no memory");
	return data;
}

//@ tell <err.h> <stdarg.h> <stdio.h> <stdlib.h>
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

//@ verdict here
static struct verdict {
	int differences;
	char first[800];
} none_yet, *verdict = &none_yet;
static char here[256];	/* the operation, or the path */
static int agree;

//@ at <stdio.h>
static void at(int line, const char *text)
{
	snprintf(here, sizeof(here), line ? "%3d %s" : "%.0d    %s", line, text);
	agree = 1;
}

//@ agreed <stdio.h>
static void agreed(void)
{
	if (agree)
		printf("ok      %s\n", here);
}

//@ differs <stdarg.h> <stdio.h>
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

//@ shown <stdio.h> <string.h>
static const char *shown(long long ret)
{
	static char kept[2][96];
	static int next;
	char *text = kept[next++ % 2];

	snprintf(text, sizeof(kept[0]), ret < 0 ? "%lld (%s)" : "%lld", ret, strerror(-ret));
	return text;
}

//@ same
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

//@ expect
static void expect(int line, const char *text, long long want, long long got)
{
	same(line, text, want, got);
	agreed();
}

//@ expect_at <string.h>
static void expect_at(int line, const char *text, long long want, const char *step, long long got)
{
	if (same(line, text, want, got) && strcmp(out.step, step))
		differs("expected to fail at `%s`, failed at `%s`", step, out.step);
	agreed();
}

//@ expect_errno
/* The return value of a success does not matter. */
static void expect_errno(int line, const char *text, long long want, long long got)
{
	expect(line, text, want, got > 0 ? 0 : got);
}

//@ ran <stdio.h>
static void ran(int line, const char *text, long long got)
{
	at(line, text);
	printf("ran     %s: %s\n", here, shown(got < 0 ? -out.err : got));
}

//@ expect_stat <stdio.h> <string.h>
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

//@ expect_data
/* Bytes are compared by their XXH3-64. */
static void expect_data(int line, const char *text, long long len, u64 digest, long long got)
{
	if (same(line, text, len, got) && xxh3(data, data_len) != digest)
		differs("content: expected XXH3 %016llx, saw %016llx", digest, xxh3(data, data_len));
	agreed();
}

//@ expect_text <string.h>
/* Of texts that differ, the first line that does is shown. */
static void expect_text(int line, const char *text, const char *want, long long ret, long long got)
{
	size_t i = 0, len = strlen(want);

	if (got < 0) {
		expect(line, text, ret, got);
		return;
	}
	at(line, text);
	while (i < len && i < data_len && want[i] == data[i])
		i++;
	if (i < len || i < data_len) {
		while (i && want[i - 1] != '\n')
			i--;
		differs("expected `%.*s`, saw `%.*s`", (int)strcspn(want + i, "\n"), want + i,
			(int)strcspn(data + i, "\n"), data + i);
	} else {
		same(line, text, ret, got);
	}
	agreed();
}

//@ finish <stdio.h>
static int finish(const char *otherwise)
{
	if (!verdict->differences) {
		puts(otherwise);
		return 0;
	}
	printf("%d differences, the first: %s\n", verdict->differences, verdict->first);
	return 1;
}
