/* rand.c - buffered random bytes and ULIDs. */
#include "base/rand.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { POOL_SIZE = 2048 };

/* A signal may cut a call short that asks for more than 256 bytes: getrandom(2). */
static void
fill(unsigned char pool[POOL_SIZE])
{
	for (size_t got = 0; got < POOL_SIZE;) {
		ssize_t more = getrandom(pool + got, POOL_SIZE - got, 0);

		if (more > 0)
			got += (size_t)more;
		else if (errno != EINTR)
			abort();
	}
}

void
sl_rand_bytes(void *out, size_t size)
{
	static _Thread_local unsigned char pool[POOL_SIZE];
	static _Thread_local size_t left;
	unsigned char *at = out;

	while (size > 0) {
		size_t take;

		if (left == 0) {
			fill(pool);
			left = POOL_SIZE;
		}
		take = size < left ? size : left;
		memcpy(at, pool + POOL_SIZE - left, take);
		/* Spent bytes may have become a key: do not keep them. */
		explicit_bzero(pool + POOL_SIZE - left, take);
		left -= take;
		at += take;
		size -= take;
	}
}

uint64_t
sl_rand_u64(void)
{
	uint64_t value;

	sl_rand_bytes(&value, sizeof(value));
	return value;
}

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void
sl_rand_ulid(char out[SL_ULID_LEN + 1], int64_t wall_ms)
{
	uint64_t time = (uint64_t)wall_ms;
	unsigned char random[16];

	sl_rand_bytes(random, sizeof(random));
	for (int i = 9; i >= 0; i--) {
		out[i] = alphabet[time & 31];
		time >>= 5;
	}
	for (int i = 0; i < 16; i++)
		out[10 + i] = alphabet[random[i] & 31];
	out[SL_ULID_LEN] = '\0';
}

bool
sl_ulid_bytes(struct sl_slice text, unsigned char out[SL_ULID_SIZE])
{
	/* Plus one, so that what is no digit is 0. */
	static const unsigned char digits[256] = {
		['0'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
		['A'] = 11, 12, 13, 14, 15, 16, 17, 18, ['J'] = 19, 20, ['M'] = 21, 22,
		['P'] = 23, 24, 25, 26, 27, ['V'] = 28, 29, 30, 31, 32,
	};
	unsigned bits = 0, value = 0;
	size_t at = 0;

	/* 130 bits of text for 128: the first digit has three. */
	if (text.len != SL_ULID_LEN || text.ptr[0] > '7')
		return false;
	for (size_t i = 0; i < SL_ULID_LEN; i++) {
		unsigned digit = digits[(unsigned char)text.ptr[i]];

		if (digit == 0)
			return false;
		value = (value << 5 | (digit - 1)) & 0xfff;
		bits += i == 0 ? 3 : 5;
		if (bits >= 8) {
			bits -= 8;
			out[at++] = (unsigned char)(value >> bits);
		}
	}
	return at == SL_ULID_SIZE;
}

void
sl_ulid_text(const unsigned char bytes[SL_ULID_SIZE], char out[SL_ULID_LEN + 1])
{
	unsigned bits = 2, value = 0; /* 130 bits of text: the first two are zeros */
	size_t at = 0;

	for (size_t i = 0; i < SL_ULID_SIZE; i++) {
		value = (value << 8 | bytes[i]) & 0xfff;
		for (bits += 8; bits >= 5; bits -= 5)
			out[at++] = alphabet[value >> (bits - 5) & 31];
	}
	out[at] = '\0';
}
