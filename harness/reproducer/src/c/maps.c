//@ maps <sys/mman.h>
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
/*
 * Mappings kept across operations, each with a page of nothing on either side:
 * two of one file that lie side by side would become one.
 */
static struct map {
	char *room, *memory;
	size_t len, all;
	u64 off;
	int read_only, file;
} maps[MAPS];

//@ unmap <sys/mman.h> <unistd.h>
static void unmap(struct map *map)
{
	if (!map->memory)
		return;
	munmap(map->room, map->all);
	close(map->file);
	map->memory = NULL;
}

//@ do_mmap <errno.h> <fcntl.h> <sys/mman.h>
static long long do_mmap(int number, int slot, u64 off, u64 len, int read_only)
{
	u64 all = (len + 3 * PAGE - 1) / PAGE * PAGE;
	struct map *map = &maps[number];
	char *room, *memory;
	int err;

	unmap(map);
	if (slots[slot] < 0)
		return no_slot();
	room = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED)
		return result("mmap", -1);
	memory = mmap(room + PAGE, len, PROT_READ | (read_only ? 0 : PROT_WRITE),
		      MAP_SHARED | MAP_FIXED, slots[slot], off);
	if (memory == MAP_FAILED) {
		err = errno;
		munmap(room, all);
		errno = err;
		return result("mmap", -1);
	}
	/* To ask for its size; closing it gives up no lock. */
	*map = (struct map){ room, memory, len, all, off, read_only,
			     open(in_slot(slot, ""), O_PATH | O_CLOEXEC) };
	return result("reopen", map->file < 0 ? -1 : 0);
}

//@ no_map <errno.h>
static long long no_map(int err, const char *step)
{
	errno = err;
	return result(step, -1);
}

//@ bring_in <errno.h> <sys/mman.h> <sys/stat.h>
/* Fault pages in; how much of the range lies before the end of the file. */
static long long bring_in(const struct map *map, u64 off, u64 len, int how)
{
	u64 lead = off % PAGE, start = map->off + off, size;
	struct stat st;

	if (how == MADV_POPULATE_WRITE &&
	    madvise(map->memory + off - lead, lead + len, MADV_DONTNEED))
		return result("madvise", -1);
	if (madvise(map->memory + off - lead, lead + len, how))
		return result(errno == EFAULT ? "SIGBUS" : "populate", -1);
	if (fstat(map->file, &st))
		return result("fstat", -1);
	size = (u64)st.st_size > start ? (u64)st.st_size - start : 0;
	return result("", size < len ? size : len);
}

//@ do_mstore <errno.h>
static long long do_mstore(int number, u64 off, u64 len, u64 seed)
{
	const struct map *map = &maps[number];
	char *bytes;

	if (!map->memory || map->read_only)
		return no_map(map->memory ? EACCES : EBADF, "mapping");
	if (off + len > map->len)
		return no_map(ERANGE, "range");
	if (bring_in(map, off, len, MADV_POPULATE_WRITE) < 0)
		return -1;
	bytes = room(out.ret);
	fill(seed, map->off + off, bytes, out.ret);
	touch(map->memory, map->len, map->memory + off, bytes, out.ret);
	return out.ret;
}

//@ do_mload <errno.h>
static long long do_mload(int number, u64 off, u64 len)
{
	const struct map *map = &maps[number];

	if (!map->memory)
		return no_map(EBADF, "mapping");
	if (off + len > map->len)
		return no_map(ERANGE, "range");
	if (bring_in(map, off, len, MADV_POPULATE_READ) < 0)
		return -1;
	data_len = out.ret;
	touch(map->memory, map->len, room(data_len), map->memory + off, data_len);
	return out.ret;
}

//@ do_msync <errno.h> <sys/mman.h>
static long long do_msync(int number)
{
	if (!maps[number].memory)
		return no_map(EBADF, "mapping");
	return sys(msync(maps[number].memory, maps[number].len, MS_SYNC));
}

//@ do_munmap <errno.h>
static long long do_munmap(int number)
{
	if (!maps[number].memory)
		return no_map(EBADF, "mapping");
	unmap(&maps[number]);
	return sys(0);
}
