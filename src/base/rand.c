/* rand.c - buffered random bytes and ULIDs. */
#include "base/rand.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { POOL_SIZE = 256 };

void
sl_rand_bytes(void *out, size_t size)
{
	static _Thread_local unsigned char pool[POOL_SIZE];
	static _Thread_local size_t left;
	unsigned char *at = out;

	while (size > 0) {
		size_t take;

		if (left == 0) {
			/* Requests of up to 256 bytes are never cut short
			 * once the generator is seeded: getrandom(2). */
			if (getrandom(pool, POOL_SIZE, 0) != POOL_SIZE)
				abort();
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

void
sl_rand_ulid(char out[SL_ULID_LEN + 1], int64_t wall_ms)
{
	static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
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
