//@ do_getxattr <sys/xattr.h>
/* The length alone, then the bytes. */
static long long do_getxattr(const char *path, const char *name)
{
	ssize_t len = lgetxattr(path, name, NULL, 0);

	if (len < 0)
		return result("length", -1);
	if (len)
		len = lgetxattr(path, name, room(len), len);
	data_len = len < 0 ? 0 : len;
	return sys(len);
}

//@ do_listxattr <errno.h> <stdlib.h> <string.h> <sys/xattr.h>
static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The length alone, then the names. */
static long long do_listxattr(const char *path)
{
	ssize_t len = llistxattr(path, NULL, 0), at = 0;
	char names[65536], *sorted[65536 / 2];
	size_t count = 0, i;
	FILE *text;

	if (len < 0)
		return result("length", -1);
	if (len)
		len = llistxattr(path, names, len);
	if (len < 0)
		return sys(-1);
	for (; at < len; at += strlen(names + at) + 1)
		sorted[count++] = names + at;
	qsort(sorted, count, sizeof(*sorted), by_bytes);
	text = begin_text();
	for (i = 0; i < count; i++)
		fprintf(text, "%s\n", sorted[i]);
	fclose(text);
	return sys(len);
}
