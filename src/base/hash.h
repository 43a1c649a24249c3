/* hash.h - where a text stands in a table of this process.
 *
 * Eight bytes at a time, with the mixing of MurmurHash's finaliser
 * (https://github.com/aappleby/smhasher): whoever chooses texts could choose ones that
 * meet, so it is for tables that have a maximum. Differs between machines: never stored.
 */
#ifndef SL_BASE_HASH_H
#define SL_BASE_HASH_H

#include "base/slice.h"

static inline uint64_t
sl_hash_mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
	return hash ^ hash >> 32;
}

/* Continues `hash`, so that several texts make one: the length counts. Every byte is in one
 * of the words, some of them in two. */
static inline uint64_t
sl_hash(uint64_t hash, struct sl_slice text)
{
	const char *at = text.ptr;
	size_t left = text.len;
	uint64_t word = 0;
	uint32_t first, last;

	hash = sl_hash_mix(hash, left + UINT64_C(0x9e3779b97f4a7c15));
	for (; left > sizeof(word); at += sizeof(word), left -= sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		hash = sl_hash_mix(hash, word);
	}
	if (text.len >= sizeof(word)) {
		memcpy(&word, at + left - sizeof(word), sizeof(word));
	} else if (left >= sizeof(first)) {
		memcpy(&first, at, sizeof(first));
		memcpy(&last, at + left - sizeof(last), sizeof(last));
		word = (uint64_t)first << 32 | last;
	} else if (left > 0) {
		word = (uint64_t)(unsigned char)at[0] << 16 |
		       (uint64_t)(unsigned char)at[left / 2] << 8 | (unsigned char)at[left - 1];
	}
	return sl_hash_mix(hash, word);
}

#endif
