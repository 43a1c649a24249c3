/* oauth.c - token requests and their answers. */
#include "providers/oauth.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/buf.h"
#include "base/headers.h"
#include "base/json.h"

enum {
	FORM_MAX = 16 * 1024,
	SIGNATURE_MAX = 1024, /* RSA up to 8192 bits */
	ASSERTION_LIFETIME_S = 3600, /* the longest that Google takes */
	DEFAULT_LIFETIME_S = 300,    /* where the answer does not tell */
};

/* --- service accounts ----------------------------------------------------- */

static EVP_PKEY *
read_key(struct sl_slice pem)
{
	BIO *bio = pem.len > INT32_MAX ? NULL : BIO_new_mem_buf(pem.ptr, (int)pem.len);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	if (key && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

/* A member's text, a copy of it: the file's own bytes are wiped. */
static bool
read_text(struct sl_json root, const char *name, struct sl_arena *arena, struct sl_slice *out)
{
	if (!sl_json_string(sl_json_get(root, name), arena, out))
		return false;
	*out = sl_arena_dup(arena, *out);
	return out->len > 0;
}

static enum sl_err
fail(const char **why, const char *text)
{
	*why = text;
	return SL_ESYNTAX;
}

enum sl_err
sl_oauth_account_read(struct sl_slice json, struct sl_arena *arena,
                      struct sl_oauth_account *account, const char **why)
{
	struct sl_slice pem;
	struct sl_json root;

	*account = (struct sl_oauth_account){ 0 };
	if (sl_json_validate(json, NULL, NULL) != SL_OK)
		return fail(why, "it is no JSON");
	root = sl_json_parse(json);
	if (!sl_json_is(sl_json_get(root, "type"), "service_account"))
		return fail(why, "its 'type' is not 'service_account'; create a key of a service "
		                 "account and give that file");
	if (!read_text(root, "client_email", arena, &account->email))
		return fail(why, "it has no 'client_email'");
	if (!read_text(root, "token_uri", arena, &account->token_url))
		return fail(why, "it has no 'token_uri'");
	read_text(root, "private_key_id", arena, &account->key_id);
	read_text(root, "project_id", arena, &account->project);
	if (!sl_json_string(sl_json_get(root, "private_key"), arena, &pem))
		return fail(why, "it has no 'private_key'");
	account->key = read_key(pem);
	/* Unescaped onto the arena, unless it stands in the file's text as it is. */
	if (pem.ptr < json.ptr || pem.ptr >= json.ptr + json.len)
		OPENSSL_cleanse((char *)(uintptr_t)pem.ptr, pem.len);
	return account->key ? SL_OK : fail(why, "its 'private_key' is no RSA key in PEM");
}

void
sl_oauth_account_release(struct sl_oauth_account *account)
{
	EVP_PKEY_free(account->key);
	account->key = NULL;
}

/* --- forms ---------------------------------------------------------------- */

/* RFC 4648 5, without padding. */
static void
put_base64url(struct sl_buf *out, struct sl_slice bytes)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const unsigned char *at = (const unsigned char *)bytes.ptr;

	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t rest = bytes.len - i;
		uint32_t bits = (uint32_t)at[i] << 16 | (rest > 1 ? (uint32_t)at[i + 1] << 8 : 0) |
		                (rest > 2 ? at[i + 2] : 0);

		sl_buf_append_char(out, digits[bits >> 18]);
		sl_buf_append_char(out, digits[bits >> 12 & 63]);
		if (rest > 1)
			sl_buf_append_char(out, digits[bits >> 6 & 63]);
		if (rest > 2)
			sl_buf_append_char(out, digits[bits & 63]);
	}
}

static void
put_form_text(struct sl_buf *out, struct sl_slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		    c == '-' || c == '.' || c == '_' || c == '~')
			sl_buf_append_char(out, c);
		else
			sl_buf_printf(out, "%%%02X", (unsigned char)c);
	}
}

/* Wipes and frees what the buffer held, for it is a credential. */
static enum sl_err
keep_form(struct sl_buf *buf, struct sl_secret *form)
{
	enum sl_err err = buf->failed ? SL_ELIMIT : sl_secret_set(form, sl_buf_slice(buf));

	if (buf->ptr)
		OPENSSL_cleanse(buf->ptr, buf->cap);
	sl_buf_release(buf);
	return err;
}

static void
put_claims(const struct sl_oauth_account *account, struct sl_slice scope, int64_t now_s,
           struct sl_buf *out)
{
	struct sl_json_writer writer;

	sl_json_writer_init(&writer, out);
	sl_json_obj(&writer);
	sl_json_str(&writer, "iss", account->email);
	sl_json_str(&writer, "scope", scope);
	sl_json_str(&writer, "aud", account->token_url);
	sl_json_int(&writer, "iat", now_s);
	sl_json_int(&writer, "exp", now_s + ASSERTION_LIFETIME_S);
	sl_json_obj_end(&writer);
}

static void
put_jose_header(const struct sl_oauth_account *account, struct sl_buf *out)
{
	struct sl_json_writer writer;

	sl_json_writer_init(&writer, out);
	sl_json_obj(&writer);
	sl_json_str(&writer, "alg", SL_SLICE("RS256"));
	sl_json_str(&writer, "typ", SL_SLICE("JWT"));
	if (account->key_id.len)
		sl_json_str(&writer, "kid", account->key_id);
	sl_json_obj_end(&writer);
}

static bool
put_signature(const struct sl_oauth_account *account, struct sl_slice text, struct sl_buf *out)
{
	unsigned char signature[SIGNATURE_MAX];
	size_t len = sizeof(signature);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = context &&
	          EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, account->key) == 1 &&
	          EVP_DigestSign(context, signature, &len, (const unsigned char *)text.ptr,
	                         text.len) == 1;

	EVP_MD_CTX_free(context);
	if (ok)
		put_base64url(out, sl_slice_make((const char *)signature, len));
	return ok;
}

enum sl_err
sl_oauth_account_form(const struct sl_oauth_account *account, struct sl_slice scope,
                      int64_t now_s, struct sl_secret *form)
{
	static const struct sl_slice grant = SL_SLICE_INIT(
	    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
	struct sl_buf part, buf;
	bool ok;

	sl_buf_init(&part, FORM_MAX);
	sl_buf_init(&buf, FORM_MAX);
	sl_buf_append(&buf, grant);
	put_jose_header(account, &part);
	put_base64url(&buf, sl_buf_slice(&part));
	sl_buf_append_char(&buf, '.');
	sl_buf_clear(&part);
	put_claims(account, scope, now_s, &part);
	put_base64url(&buf, sl_buf_slice(&part));
	ok = !part.failed && !buf.failed;
	sl_buf_clear(&part);
	sl_buf_append(&part, sl_slice_from(sl_buf_slice(&buf), grant.len));
	sl_buf_append_char(&buf, '.');
	ok = ok && put_signature(account, sl_buf_slice(&part), &buf);
	sl_buf_release(&part);
	if (!ok)
		buf.failed = true;
	return keep_form(&buf, form);
}

enum sl_err
sl_oauth_client_form(struct sl_slice client_id, const struct sl_secret *client_secret,
                     struct sl_slice scope, struct sl_secret *form)
{
	struct sl_buf buf;

	sl_buf_init(&buf, FORM_MAX);
	sl_buf_append_str(&buf, "grant_type=client_credentials&client_id=");
	put_form_text(&buf, client_id);
	sl_buf_append_str(&buf, "&client_secret=");
	put_form_text(&buf, sl_secret_reveal(client_secret));
	sl_buf_append_str(&buf, "&scope=");
	put_form_text(&buf, scope);
	return keep_form(&buf, form);
}

/* --- the answer ----------------------------------------------------------- */

enum sl_err
sl_oauth_reply_read(struct sl_slice body, struct sl_secret *header, int64_t *lifetime_s)
{
	struct sl_arena arena;
	struct sl_json root;
	struct sl_slice token, type = SL_SLICE("Bearer");
	struct sl_buf value;
	enum sl_err err = SL_ESYNTAX;

	if (sl_json_validate(body, NULL, NULL) != SL_OK)
		return SL_ESYNTAX;
	sl_arena_init(&arena, 1024, 0);
	root = sl_json_parse(body);
	sl_json_string(sl_json_get(root, "token_type"), &arena, &type);
	if (!sl_json_i64(sl_json_get(root, "expires_in"), lifetime_s))
		*lifetime_s = DEFAULT_LIFETIME_S;
	if (sl_slice_ieq(type, SL_SLICE("bearer")) && *lifetime_s > 0 &&
	    sl_json_string(sl_json_get(root, "access_token"), &arena, &token) && token.len) {
		sl_buf_init(&value, FORM_MAX);
		sl_buf_append_str(&value, "Bearer ");
		sl_buf_append(&value, token);
		if (!sl_header_is_valid(SL_SLICE("authorization"), sl_buf_slice(&value)))
			value.failed = true;
		err = keep_form(&value, header);
	}
	sl_arena_release(&arena);
	return err;
}
