/* seal.c - tokens of reasoning state: HMAC-SHA-256 and base64url. */
#include "shapes/seal.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/sha256.h"

enum { MAC_SIZE = 16, HEAD_SIZE = MAC_SIZE + 1 + 1 + 4, MARK_LEN = sizeof(SL_SEAL_MARK) - 1 };

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int
value_of(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	/* Callers may have kept it as plain base64. */
	if (c == '-' || c == '+')
		return 62;
	return c == '_' || c == '/' ? 63 : -1;
}

static void
mac(const struct sl_sealer *sealer, const unsigned char *bytes, size_t size,
    unsigned char out[MAC_SIZE])
{
	unsigned char whole[SL_SHA256_SIZE];

	sl_hmac(sl_slice_make((const char *)sealer->key, SL_SEAL_KEY_SIZE),
	        sl_slice_make((const char *)bytes, size), whole);
	memcpy(out, whole, MAC_SIZE);
}

struct sl_slice
sl_seal(const struct sl_sealer *sealer, const struct sl_sealed *what, struct sl_arena *arena)
{
	size_t size = HEAD_SIZE + what->issuer.len + what->payload.len, padded, at = MAC_SIZE;
	unsigned char *raw;
	char *out, *to;

	if (what->issuer.len > 255 || what->payload.len > SL_SEAL_PAYLOAD_MAX)
		return SL_SLICE_NONE;
	padded = (size + 2) / 3 * 3;
	raw = sl_arena_zalloc(arena, 1, padded);
	out = sl_arena_alloc(arena, MARK_LEN + padded / 3 * 4);
	if (!raw || !out)
		return SL_SLICE_NONE;
	raw[at++] = (unsigned char)what->issuer.len;
	if (what->issuer.len)
		memcpy(raw + at, what->issuer.ptr, what->issuer.len);
	at += what->issuer.len;
	raw[at++] = (unsigned char)what->kind;
	for (int shift = 24; shift >= 0; shift -= 8)
		raw[at++] = (unsigned char)(what->payload.len >> shift);
	if (what->payload.len)
		memcpy(raw + at, what->payload.ptr, what->payload.len);
	mac(sealer, raw + MAC_SIZE, padded - MAC_SIZE, raw);
	memcpy(out, SL_SEAL_MARK, MARK_LEN);
	to = out + MARK_LEN;
	for (size_t i = 0; i < padded; i += 3, to += 4) {
		uint32_t group = (uint32_t)raw[i] << 16 | (uint32_t)raw[i + 1] << 8 | raw[i + 2];

		for (int k = 0; k < 4; k++)
			to[k] = digits[group >> (18 - 6 * k) & 63];
	}
	return sl_slice_make(out, (size_t)(to - out));
}

bool
sl_seal_is_marked(struct sl_slice token)
{
	return sl_slice_starts(token, SL_SLICE(SL_SEAL_MARK));
}

static bool
open_raw(const unsigned char *raw, size_t size, struct sl_sealed *out)
{
	size_t at = MAC_SIZE, issuer_len, payload_len = 0;

	issuer_len = raw[at++];
	if (size < HEAD_SIZE + issuer_len)
		return false;
	out->issuer = sl_slice_make(raw + at, issuer_len);
	at += issuer_len;
	if (raw[at] < SL_SEAL_SIGNATURE || raw[at] > SL_SEAL_NONE)
		return false;
	out->kind = (enum sl_seal_kind)raw[at++];
	for (int i = 0; i < 4; i++)
		payload_len = payload_len << 8 | raw[at++];
	if (payload_len > size - at)
		return false;
	out->payload = sl_slice_make(raw + at, payload_len);
	return true;
}

bool
sl_unseal(const struct sl_sealer *sealer, struct sl_slice token, struct sl_arena *arena,
          struct sl_sealed *out)
{
	struct sl_slice text = sl_slice_from(token, MARK_LEN);
	size_t size = text.len / 4 * 3;
	unsigned char expected[MAC_SIZE], *raw;

	if (!sealer || !sl_seal_is_marked(token) || text.len % 4 || size < HEAD_SIZE ||
	    size > SL_SEAL_PAYLOAD_MAX + HEAD_SIZE + 255)
		return false;
	raw = sl_arena_alloc(arena, size);
	if (!raw)
		return false;
	for (size_t i = 0, at = 0; i < text.len; i += 4) {
		uint32_t group = 0;

		for (size_t k = 0; k < 4; k++) {
			int value = value_of((unsigned char)text.ptr[i + k]);

			if (value < 0)
				return false;
			group = group << 6 | (uint32_t)value;
		}
		raw[at++] = (unsigned char)(group >> 16);
		raw[at++] = (unsigned char)(group >> 8);
		raw[at++] = (unsigned char)group;
	}
	mac(sealer, raw + MAC_SIZE, size - MAC_SIZE, expected);
	return CRYPTO_memcmp(raw, expected, MAC_SIZE) == 0 && open_raw(raw, size, out);
}

struct sl_slice
sl_unseal_id(const struct sl_sealer *sealer, struct sl_slice id, struct sl_arena *arena,
             struct sl_sealed *out)
{
	ptrdiff_t at = sl_slice_search(id, SL_SLICE(SL_SEAL_JOINT));

	*out = (struct sl_sealed){ .payload = SL_SLICE_NONE };
	if (at < 0)
		return id;
	if (!sl_unseal(sealer, sl_slice_from(id, (size_t)at + 2), arena, out))
		*out = (struct sl_sealed){ .payload = SL_SLICE_NONE };
	return sl_slice_upto(id, (size_t)at);
}
