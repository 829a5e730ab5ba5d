//@ u64
typedef unsigned long long u64;

//@ xxh3 <endian.h> <string.h>
/* XXH3-64 with seed 0: github.com/Cyan4973/xxHash, doc/xxhash_spec.md */
#define P32_1 0x9e3779b1ULL
#define P32_2 0x85ebca77ULL
#define P32_3 0xc2b2ae3dULL
#define P64_1 0x9e3779b185ebca87ULL
#define P64_2 0xc2b2ae3d27d4eb4fULL
#define P64_3 0x165667b19e3779f9ULL
#define P64_4 0x85ebca77c2b2ae63ULL
#define P64_5 0x27d4eb2f165667c5ULL

static const char secret[] =
	"\xb8\xfe\x6c\x39\x23\xa4\x4b\xbe\x7c\x01\x81\x2c\xf7\x21\xad\x1c"
	"\xde\xd4\x6d\xe9\x83\x90\x97\xdb\x72\x40\xa4\xa4\xb7\xb3\x67\x1f"
	"\xcb\x79\xe6\x4e\xcc\xc0\xe5\x78\x82\x5a\xd0\x7d\xcc\xff\x72\x21"
	"\xb8\x08\x46\x74\xf7\x43\x24\x8e\xe0\x35\x90\xe6\x81\x3a\x26\x4c"
	"\x3c\x28\x52\xbb\x91\xc3\x00\xcb\x88\xd0\x65\x8b\x1b\x53\x2e\xa3"
	"\x71\x64\x48\x97\xa2\x0d\xf9\x4e\x38\x19\xef\x46\xa9\xde\xac\xd8"
	"\xa8\xfa\x76\x3f\xe3\x9c\x34\x3f\xf9\xdc\xbb\xc7\xc7\x0b\x4f\x1d"
	"\x8a\x51\xe0\x4b\xcd\xb4\x59\x31\xc8\x9f\x7e\xc9\xd9\x78\x73\x64"
	"\xea\xc5\xac\x83\x34\xd3\xeb\xc3\xc5\x81\xa0\xff\xfa\x13\x63\xeb"
	"\x17\x0d\xdd\x51\xb7\xf0\xda\x49\xd3\x16\x55\x26\x29\xd4\x68\x9e"
	"\x2b\x16\xbe\x58\x7d\x47\xa1\xfc\x8f\xf8\xb8\xd1\x7a\xd0\x31\xce"
	"\x45\xcb\x3a\x8f\x95\x16\x04\x28\xaf\xd7\xfb\xca\xbb\x4b\x40\x7e";

static u64 le64(const char *p)
{
	u64 n;

	memcpy(&n, p, 8);
	return le64toh(n);
}

static u64 le32(const char *p)
{
	unsigned int n;

	memcpy(&n, p, 4);
	return le32toh(n);
}

/* The halves of the 128 bit product, XORed. */
static u64 fold(u64 a, u64 b)
{
	u64 low = (a & 0xffffffff) * (b & 0xffffffff), x = (a >> 32) * (b & 0xffffffff);
	u64 mid = (low >> 32) + (x & 0xffffffff) + (a & 0xffffffff) * (b >> 32);

	return ((a >> 32) * (b >> 32) + (x >> 32) + (mid >> 32)) ^
	       (mid << 32 | (low & 0xffffffff));
}

static u64 mix(const char *p, const char *s)
{
	return fold(le64(p) ^ le64(s), le64(p + 8) ^ le64(s + 8));
}

static u64 rotated(u64 n, int by)
{
	return n << by | n >> (64 - by);
}

static u64 avalanche(u64 h)
{
	h = (h ^ h >> 37) * 0x165667919e3779f9;
	return h ^ h >> 32;
}

static u64 avalanche64(u64 h)
{
	h = (h ^ h >> 33) * P64_2;
	h = (h ^ h >> 29) * P64_3;
	return h ^ h >> 32;
}

static u64 up_to_16(const char *p, size_t len)
{
	u64 a, b;

	if (len > 8) {
		a = le64(p) ^ le64(secret + 24) ^ le64(secret + 32);
		b = le64(p + len - 8) ^ le64(secret + 40) ^ le64(secret + 48);
		return avalanche(len + __builtin_bswap64(a) + b + fold(a, b));
	}
	if (len > 3) {
		a = le32(p + len - 4) + (le32(p) << 32);
		a ^= le64(secret + 8) ^ le64(secret + 16);
		a = (a ^ rotated(a, 49) ^ rotated(a, 24)) * 0x9fb21c651e98df25;
		a = (a ^ ((a >> 35) + len)) * 0x9fb21c651e98df25;
		return a ^ a >> 28;
	}
	if (!len)
		return avalanche64(le64(secret + 56) ^ le64(secret + 64));
	a = (u64)(unsigned char)p[0] << 16 | (u64)(unsigned char)p[len / 2] << 24 |
	    (unsigned char)p[len - 1] | len << 8;
	return avalanche64(a ^ le32(secret) ^ le32(secret + 4));
}

static u64 up_to_240(const char *p, size_t len)
{
	u64 h = len * P64_1;
	size_t i;

	if (len <= 128) {
		for (i = 0; i <= (len - 1) / 32; i++)
			h += mix(p + 16 * i, secret + 32 * i) +
			     mix(p + len - 16 * (i + 1), secret + 32 * i + 16);
		return avalanche(h);
	}
	for (i = 0; i < 8; i++)
		h += mix(p + 16 * i, secret + 16 * i);
	h = avalanche(h);
	for (; i < len / 16; i++)
		h += mix(p + 16 * i, secret + 16 * (i - 8) + 3);
	return avalanche(h + mix(p + len - 16, secret + 119));
}

static void stripe(u64 *acc, const char *p, const char *s)
{
	int i;

	for (i = 0; i < 8; i++) {
		u64 key = le64(p + 8 * i) ^ le64(s + 8 * i);

		acc[i ^ 1] += le64(p + 8 * i);
		acc[i] += (key & 0xffffffff) * (key >> 32);
	}
}

static u64 xxh3(const char *p, size_t len)
{
	u64 acc[8] = { P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1 };
	u64 h = len * P64_1;
	size_t at, i;

	if (len <= 240)
		return len <= 16 ? up_to_16(p, len) : up_to_240(p, len);
	for (at = 0; at < (len - 1) / 64; at++) {
		stripe(acc, p + 64 * at, secret + at % 16 * 8);
		for (i = 0; at % 16 == 15 && i < 8; i++)
			acc[i] = (acc[i] ^ acc[i] >> 47 ^ le64(secret + 128 + 8 * i)) * P32_1;
	}
	stripe(acc, p + len - 64, secret + 121);
	for (i = 0; i < 4; i++)
		h += fold(acc[2 * i] ^ le64(secret + 11 + 16 * i),
			  acc[2 * i + 1] ^ le64(secret + 19 + 16 * i));
	return avalanche(h);
}
