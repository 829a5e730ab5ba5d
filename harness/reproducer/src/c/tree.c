//@ drop_caches <err.h>
/* What is looked at next comes from disk, or from the server. */
static void drop_caches(void)
{
	if (do_drop_caches() < 0)
		errx(77, "the caches can't be dropped");
}
