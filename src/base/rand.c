/* rand.c - buffered random bytes and ULIDs.
 *
 * Each pool of 4 KB is the stream of ChaCha20 under a key that the kernel gave for this
 * pool alone and that is wiped at once: as hard to guess as the kernel's own bytes, which
 * are made the same way, but in blocks of eight rather than one by one (0.04 us a request
 * instead of 0.18). Nothing but the pool itself is kept from one to the next, so a copy of
 * the machine's memory shares no more than what is left of it. The process never forks.
 */
#include "base/rand.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/avx2.h"
#include "base/compiler.h"

enum { POOL_SIZE = 4096, KEY_WORDS = 8, STATE_WORDS = 16, LANES = 8, ROUNDS = 20 };

/* The same word of eight blocks. */
typedef uint32_t lanes __attribute__((vector_size(LANES * sizeof(uint32_t))));
enum { BLOCKS_SIZE = STATE_WORDS * sizeof(lanes) };

/* A signal may cut a call short that asks for more than 256 bytes, not this one: getrandom(2). */
static void
get_key(uint32_t key[KEY_WORDS])
{
	ssize_t got;

	do
		got = getrandom(key, KEY_WORDS * sizeof(key[0]), 0);
	while (got < 0 && errno == EINTR);
	if (got != KEY_WORDS * sizeof(key[0]))
		abort();
}

#define ROTATE(x, by) ((x) << (by) | (x) >> (32 - (by)))
#define QUARTER(a, b, c, d)                                                            \
	do {                                                                           \
		x[a] += x[b], x[d] = ROTATE(x[d] ^ x[a], 16);                          \
		x[c] += x[d], x[b] = ROTATE(x[b] ^ x[c], 12);                          \
		x[a] += x[b], x[d] = ROTATE(x[d] ^ x[a], 8);                           \
		x[c] += x[d], x[b] = ROTATE(x[b] ^ x[c], 7);                           \
	} while (0)

/* RFC 8439, 2.3, with a nonce of zeros, for the eight blocks from `first` on. Their words
 * stay interleaved: every order of them is as good. */
static inline __attribute__((always_inline)) void
make_blocks(const uint32_t key[KEY_WORDS], uint32_t first, unsigned char *out)
{
	static const uint32_t constant[] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
	static const lanes count = { 0, 1, 2, 3, 4, 5, 6, 7 }, none;
	lanes from[STATE_WORDS], x[STATE_WORDS];

	for (int i = 0; i < 4; i++)
		from[i] = none + constant[i];
	for (int i = 0; i < KEY_WORDS; i++)
		from[4 + i] = none + key[i];
	from[12] = count + first;
	from[13] = from[14] = from[15] = none;
	memcpy(x, from, sizeof(x));
	for (int round = 0; round < ROUNDS; round += 2) {
		QUARTER(0, 4, 8, 12);
		QUARTER(1, 5, 9, 13);
		QUARTER(2, 6, 10, 14);
		QUARTER(3, 7, 11, 15);
		QUARTER(0, 5, 10, 15);
		QUARTER(1, 6, 11, 12);
		QUARTER(2, 7, 8, 13);
		QUARTER(3, 4, 9, 14);
	}
	for (int i = 0; i < STATE_WORDS; i++)
		x[i] += from[i];
	memcpy(out, x, sizeof(x));
}

static void
stretch(const uint32_t key[KEY_WORDS], unsigned char pool[POOL_SIZE])
{
	for (uint32_t at = 0; at < POOL_SIZE / BLOCKS_SIZE; at++)
		make_blocks(key, at * LANES, pool + at * BLOCKS_SIZE);
}

#ifdef SL_AVX2
static SL_AVX2 void
stretch_avx2(const uint32_t key[KEY_WORDS], unsigned char pool[POOL_SIZE])
{
	for (uint32_t at = 0; at < POOL_SIZE / BLOCKS_SIZE; at++)
		make_blocks(key, at * LANES, pool + at * BLOCKS_SIZE);
}
#define STRETCH (sl_has_avx2() ? stretch_avx2 : stretch)
#else
#define STRETCH stretch
#endif

static void
fill(unsigned char pool[POOL_SIZE])
{
	uint32_t key[KEY_WORDS];

	get_key(key);
	STRETCH(key, pool);
	explicit_bzero(key, sizeof(key));
}

static _Thread_local struct {
	unsigned char bytes[POOL_SIZE];
	size_t        left; /* at the end of them */
} drawn;

/* No more than are left. Spent bytes may have become a key: they are not kept. */
static inline __attribute__((always_inline)) void
draw(void *out, size_t size)
{
	unsigned char *at = drawn.bytes + POOL_SIZE - drawn.left;

	memcpy(out, at, size);
	memset(at, 0, size);
	/* As in explicit_bzero(3): the zeros are written, whatever is read later. */
	__asm__ volatile("" : : "r"(at) : "memory");
	drawn.left -= size;
}

void
sl_rand_bytes(void *out, size_t size)
{
	unsigned char *at = out;

	while (size > 0) {
		size_t take;

		if (drawn.left == 0) {
			fill(drawn.bytes);
			drawn.left = POOL_SIZE;
		}
		take = size < drawn.left ? size : drawn.left;
		draw(at, take);
		at += take;
		size -= take;
	}
}

uint64_t
sl_rand_u64(void)
{
	uint64_t value;

	if (drawn.left >= sizeof(value))
		draw(&value, sizeof(value));
	else
		sl_rand_bytes(&value, sizeof(value));
	return value;
}

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* The lowest bits of number as digits, the highest first. */
static void
put_digits(char *out, uint64_t number, int count)
{
	for (int i = count - 1; i >= 0; i--) {
		out[i] = alphabet[number & 31];
		number >>= 5;
	}
}

static uint64_t
big_endian(const unsigned char *at, int count)
{
	uint64_t number = 0;

	for (int i = 0; i < count; i++)
		number = number << 8 | at[i];
	return number;
}

enum { TIME_SIZE = 6, TIME_DIGITS = 10 };

void
sl_ulid_mint(unsigned char out[SL_ULID_SIZE], int64_t wall_ms)
{
	if (drawn.left >= SL_ULID_SIZE - TIME_SIZE)
		draw(out + TIME_SIZE, SL_ULID_SIZE - TIME_SIZE);
	else
		sl_rand_bytes(out + TIME_SIZE, SL_ULID_SIZE - TIME_SIZE);
	for (int i = 0; i < TIME_SIZE; i++)
		out[i] = (unsigned char)((uint64_t)wall_ms >> (40 - 8 * i));
}

void
sl_ulid_text(const unsigned char bytes[SL_ULID_SIZE], char out[SL_ULID_LEN + 1])
{
	put_digits(out, big_endian(bytes, TIME_SIZE), TIME_DIGITS);
	put_digits(out + TIME_DIGITS, big_endian(bytes + TIME_SIZE, 5), 8);
	put_digits(out + 18, big_endian(bytes + TIME_SIZE + 5, 5), 8);
	out[SL_ULID_LEN] = '\0';
}

void
sl_rand_ulid(char out[SL_ULID_LEN + 1], int64_t wall_ms)
{
	unsigned char bytes[SL_ULID_SIZE];

	sl_ulid_mint(bytes, wall_ms);
	sl_ulid_text(bytes, out);
}

/* Five bits for each digit, behind those of number; what is no digit gives *bad bits over 4. */
static inline uint64_t
take_digits(uint64_t number, const char *text, int count, unsigned *bad)
{
	/* Plus one, so that what is no digit is 0. */
	static const unsigned char digits[256] = {
		['0'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
		['A'] = 11, 12, 13, 14, 15, 16, 17, 18, ['J'] = 19, 20, ['M'] = 21, 22,
		['P'] = 23, 24, 25, 26, 27, ['V'] = 28, 29, 30, 31, 32,
	};

	for (int i = 0; i < count; i++) {
		unsigned digit = digits[(unsigned char)text[i]] - 1u;

		*bad |= digit;
		number = number << 5 | (digit & 31);
	}
	return number;
}

static void
put_big_endian(unsigned char *out, uint64_t number)
{
	for (int i = 0; i < 8; i++)
		out[i] = (unsigned char)(number >> (56 - 8 * i));
}

bool
sl_ulid_bytes(struct sl_slice text, unsigned char out[SL_ULID_SIZE])
{
	uint64_t high, low, middle;
	unsigned bad = 0;

	/* 130 bits of text for 128: the first digit has three. */
	if (text.len != SL_ULID_LEN || text.ptr[0] > '7')
		return false;
	high = take_digits(0, text.ptr, 13, &bad);
	middle = take_digits(0, text.ptr + 13, 1, &bad);
	low = take_digits(middle & 15, text.ptr + 14, 12, &bad);
	if (bad > 31)
		return false;
	put_big_endian(out, high << 1 | middle >> 4);
	put_big_endian(out + sizeof(high), low);
	return true;
}

bool
sl_ulid_time(struct sl_slice text, int64_t *wall_ms)
{
	unsigned bad = 0;

	if (text.len != SL_ULID_LEN || text.ptr[0] > '7')
		return false;
	*wall_ms = (int64_t)take_digits(0, text.ptr, TIME_DIGITS, &bad);
	return bad <= 31;
}
