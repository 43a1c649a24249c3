/* sigv4.c - AWS Signature Version 4.
 *
 *   canonical request -> its SHA-256 -> string to sign -> HMAC with a key
 *   derived from the secret, the day, the region and the service
 */
#include "providers/sigv4.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

#include "base/buf.h"
#include "base/sha256.h"

enum {
	HEX_SIZE = 2 * SL_SHA256_SIZE,
	PIECE_MAX = 8 * 1024,
	CANONICAL_MAX = 64 * 1024,
	PARAMETERS_MAX = 64,
};

static void
put_hex(const unsigned char digest[SL_SHA256_SIZE], char out[HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < SL_SHA256_SIZE; i++) {
		out[2 * i] = digits[digest[i] >> 4];
		out[2 * i + 1] = digits[digest[i] & 15];
	}
}

static void
hash_parts(const struct sl_slice *parts, size_t count, char out[HEX_SIZE])
{
	unsigned char digest[SL_SHA256_SIZE];
	struct sl_sha256 hash;

	sl_sha256_begin(&hash);
	for (size_t i = 0; i < count; i++)
		sl_sha256_add(&hash, parts[i]);
	sl_sha256_end(&hash, digest);
	put_hex(digest, out);
}

static void
mac(const unsigned char *key, size_t key_len, struct sl_slice text,
    unsigned char out[SL_SHA256_SIZE])
{
	sl_hmac(sl_slice_make((const char *)key, key_len), text, out);
}

static bool
unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

static void
put_encoded_path(struct sl_buf *out, struct sl_slice path)
{
	if (path.len == 0)
		sl_buf_append_char(out, '/');
	for (size_t i = 0; i < path.len; i++) {
		if (unreserved(path.ptr[i]) || path.ptr[i] == '/')
			sl_buf_append_char(out, path.ptr[i]);
		else
			sl_buf_printf(out, "%%%02X", (unsigned char)path.ptr[i]);
	}
}

static int
compare(struct sl_slice left, struct sl_slice right)
{
	size_t shared = left.len < right.len ? left.len : right.len;
	int order = shared ? memcmp(left.ptr, right.ptr, shared) : 0;

	return order ? order : (left.len > right.len) - (left.len < right.len);
}

static int
compare_parameters(const void *a, const void *b)
{
	struct sl_slice left = *(const struct sl_slice *)a, right = *(const struct sl_slice *)b;
	struct sl_slice left_name = sl_slice_cut(&left, '=');
	struct sl_slice right_name = sl_slice_cut(&right, '=');
	int order = compare(left_name, right_name);

	return order ? order : compare(left, right);
}

/* What the query says is encoded already; it is sorted, and a name without a
 * value gets its '='. */
static bool
put_query(struct sl_buf *out, struct sl_slice query)
{
	struct sl_slice parameters[PARAMETERS_MAX];
	size_t count = 0;

	while (query.len > 0) {
		struct sl_slice parameter = sl_slice_cut(&query, '&');

		if (parameter.len == 0)
			continue;
		if (count == PARAMETERS_MAX)
			return false;
		parameters[count++] = parameter;
	}
	qsort(parameters, count, sizeof(parameters[0]), compare_parameters);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			sl_buf_append_char(out, '&');
		sl_buf_append(out, parameters[i]);
		if (sl_slice_find(parameters[i], '=') < 0)
			sl_buf_append_char(out, '=');
	}
	return true;
}

/* 20130524T000000Z */
static struct sl_slice
stamp(int64_t time_s, char out[17])
{
	struct tm tm;
	time_t time = (time_t)time_s;

	if (!gmtime_r(&time, &tm) || strftime(out, 17, "%Y%m%dT%H%M%SZ", &tm) != 16)
		return SL_SLICE_NONE;
	return sl_slice_make(out, 16);
}

/* The canonical request and, in *signed_names, which fields it covers. */
static bool
put_canonical(struct sl_buf *out, const struct sl_sigv4_request *request, struct sl_slice when,
              struct sl_slice body_hash, struct sl_slice token, struct sl_slice *signed_names)
{
	*signed_names = token.len
	    ? SL_SLICE("host;x-amz-content-sha256;x-amz-date;x-amz-security-token")
	    : SL_SLICE("host;x-amz-content-sha256;x-amz-date");
	sl_buf_append(out, request->method);
	sl_buf_append_char(out, '\n');
	put_encoded_path(out, request->path);
	sl_buf_append_char(out, '\n');
	if (!put_query(out, request->query))
		return false;
	sl_buf_printf(out, "\nhost:%.*s\nx-amz-content-sha256:%.*s\nx-amz-date:%.*s\n",
	              SL_ARG(request->host), SL_ARG(body_hash), SL_ARG(when));
	if (token.len) {
		sl_buf_append_str(out, "x-amz-security-token:");
		sl_buf_append(out, token);
		sl_buf_append_char(out, '\n');
	}
	sl_buf_append_char(out, '\n');
	sl_buf_append(out, *signed_names);
	sl_buf_append_char(out, '\n');
	sl_buf_append(out, body_hash);
	return !out->failed;
}

static bool
derive_key(const struct sl_sigv4_credential *credential, struct sl_slice day,
           const struct sl_sigv4_request *request, unsigned char key[SL_SHA256_SIZE])
{
	struct sl_slice secret = sl_secret_reveal(credential->secret_key);
	unsigned char first[4 + 256], next[SL_SHA256_SIZE];

	if (secret.len > sizeof(first) - 4)
		return false;
	memcpy(first, "AWS4", 4);
	memcpy(first + 4, secret.ptr, secret.len);
	mac(first, 4 + secret.len, day, key);
	mac(key, SL_SHA256_SIZE, request->region, next);
	mac(next, sizeof(next), request->service, key);
	mac(key, SL_SHA256_SIZE, SL_SLICE("aws4_request"), next);
	memcpy(key, next, sizeof(next));
	OPENSSL_cleanse(first, sizeof(first));
	OPENSSL_cleanse(next, sizeof(next));
	return true;
}

/* Hash of the canonical request, in hexadecimal. */
static bool
hash_canonical(const struct sl_sigv4_request *request, struct sl_slice when,
               struct sl_slice body_hash, struct sl_slice token, char out[HEX_SIZE],
               struct sl_slice *signed_names)
{
	struct sl_buf canonical;
	struct sl_slice text;
	bool ok;

	sl_buf_init(&canonical, CANONICAL_MAX);
	ok = put_canonical(&canonical, request, when, body_hash, token, signed_names);
	text = sl_buf_slice(&canonical);
	if (ok)
		hash_parts(&text, 1, out);
	if (canonical.ptr)
		OPENSSL_cleanse(canonical.ptr, canonical.len);
	sl_buf_release(&canonical);
	return ok;
}

static bool
make_signature(const struct sl_sigv4_credential *credential,
               const struct sl_sigv4_request *request, struct sl_slice when,
               struct sl_slice scope, const char canonical_hash[HEX_SIZE],
               struct sl_arena *arena, char out[HEX_SIZE])
{
	unsigned char key[SL_SHA256_SIZE], signature[SL_SHA256_SIZE];
	struct sl_slice text = sl_arena_printf(arena, "AWS4-HMAC-SHA256\n%.*s\n%.*s\n%.*s",
	                                       SL_ARG(when), SL_ARG(scope), HEX_SIZE,
	                                       canonical_hash);
	bool ok = text.len > 0 && derive_key(credential, sl_slice_upto(when, 8), request, key);

	if (ok) {
		mac(key, sizeof(key), text, signature);
		put_hex(signature, out);
	}
	OPENSSL_cleanse(key, sizeof(key));
	return ok;
}

size_t
sl_sigv4_sign(const struct sl_sigv4_credential *credential,
              const struct sl_sigv4_request *request, struct sl_arena *arena,
              struct sl_header out[SL_SIGV4_HEADERS])
{
	struct sl_slice token = credential->session_token
	    ? sl_secret_reveal(credential->session_token) : SL_SLICE_NONE;
	char body_hash[HEX_SIZE], canonical_hash[HEX_SIZE], signature[HEX_SIZE], time_text[17];
	struct sl_slice when = stamp(request->time_s, time_text), hash, signed_names, scope;
	size_t count = 0;

	if (when.len == 0 || request->path.len > PIECE_MAX || request->query.len > PIECE_MAX)
		return 0;
	hash_parts(request->body, request->body_count, body_hash);
	hash = sl_slice_make(body_hash, HEX_SIZE);
	scope = sl_arena_printf(arena, "%.8s/%.*s/%.*s/aws4_request", time_text,
	                        SL_ARG(request->region), SL_ARG(request->service));
	if (scope.len == 0 ||
	    !hash_canonical(request, when, hash, token, canonical_hash, &signed_names) ||
	    !make_signature(credential, request, when, scope, canonical_hash, arena, signature))
		return 0;
	out[count++] = (struct sl_header){ SL_SLICE("x-amz-date"), sl_arena_dup(arena, when) };
	out[count++] = (struct sl_header){ SL_SLICE("x-amz-content-sha256"),
		                           sl_arena_dup(arena, hash) };
	out[count++] = (struct sl_header){
		SL_SLICE("authorization"),
		sl_arena_printf(arena,
		    "AWS4-HMAC-SHA256 Credential=%.*s/%.*s, SignedHeaders=%.*s, Signature=%.*s",
		    SL_ARG(credential->access_key_id), SL_ARG(scope), SL_ARG(signed_names),
		    HEX_SIZE, signature),
	};
	if (token.len)
		out[count++] = (struct sl_header){ SL_SLICE("x-amz-security-token"), token };
	for (size_t i = 0; i < count; i++)
		if (out[i].value.len == 0)
			return 0;
	return count;
}
