/* oauth_test.c - what is posted for a token, and what answers are believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/buf.h"
#include "base/json.h"
#include "providers/oauth.h"

static EVP_PKEY *pair;
static struct sl_arena arena;
static struct sl_buf file; /* of the service account */

static void
put_pem(struct sl_json_writer *writer)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long len;

	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pair, NULL, NULL, 0, NULL, NULL), 1);
	len = BIO_get_mem_data(bio, &text);
	sl_json_str(writer, "private_key", sl_slice_make(text, (size_t)len));
	BIO_free(bio);
}

static int
set_up(void **state)
{
	struct sl_json_writer writer;

	(void)state;
	pair = EVP_RSA_gen(2048);
	assert_non_null(pair);
	sl_arena_init(&arena, 1024, 0);
	sl_buf_init(&file, 64 * 1024);
	sl_json_writer_init(&writer, &file);
	sl_json_obj(&writer);
	sl_json_str(&writer, "type", SL_SLICE("service_account"));
	sl_json_str(&writer, "project_id", SL_SLICE("acme-1"));
	sl_json_str(&writer, "private_key_id", SL_SLICE("kid7"));
	put_pem(&writer);
	sl_json_str(&writer, "client_email", SL_SLICE("bot@acme-1.iam.gserviceaccount.com"));
	sl_json_str(&writer, "token_uri", SL_SLICE("https://oauth2.googleapis.com/token"));
	sl_json_obj_end(&writer);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	EVP_PKEY_free(pair);
	sl_arena_release(&arena);
	sl_buf_release(&file);
	return 0;
}

/* base64url to bytes; returns how many. */
static size_t
decode(struct sl_slice text, unsigned char *out)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t bits = 0;
	unsigned have = 0;
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		const char *at = strchr(digits, text.ptr[i]);

		assert_non_null(at);
		bits = bits << 6 | (uint32_t)(at - digits);
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[len++] = (unsigned char)(bits >> have);
		}
	}
	return len;
}

static void
the_assertion_is_signed_by_the_account(void **state)
{
	struct sl_oauth_account account;
	struct sl_secret form = { 0 };
	struct sl_slice text, head, claims, signed_text;
	unsigned char bytes[2048];
	const char *why = "";
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	struct sl_json root;
	int64_t at;
	size_t len;

	char *copy = malloc(file.len);

	(void)state;
	/* The caller wipes what it read. */
	memcpy(copy, file.ptr, file.len);
	assert_int_equal(sl_oauth_account_read(sl_slice_make(copy, file.len), &arena, &account,
	                                       &why), SL_OK);
	memset(copy, 0, file.len);
	free(copy);
	assert_true(sl_slice_is(account.project, "acme-1"));
	assert_int_equal(sl_oauth_account_form(&account,
	    SL_SLICE("https://www.googleapis.com/auth/cloud-platform"), 1700000000, &form), SL_OK);
	text = sl_secret_reveal(&form);
	assert_true(sl_slice_starts(text, SL_SLICE("grant_type=urn%3Aietf%3Aparams%3Aoauth%3A"
	                                           "grant-type%3Ajwt-bearer&assertion=")));
	sl_slice_cut(&text, '&');
	text = sl_slice_from(text, strlen("assertion="));
	signed_text = text;
	head = sl_slice_cut(&text, '.');
	claims = sl_slice_cut(&text, '.');
	signed_text.len = head.len + 1 + claims.len;

	len = decode(head, bytes);
	assert_true(sl_slice_is(sl_slice_make((char *)bytes, len),
	                        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"kid7\"}"));
	len = decode(claims, bytes);
	root = sl_json_parse(sl_slice_make((char *)bytes, len));
	assert_true(sl_json_is(sl_json_get(root, "aud"), "https://oauth2.googleapis.com/token"));
	assert_true(sl_json_is(sl_json_get(root, "iss"), "bot@acme-1.iam.gserviceaccount.com"));
	assert_true(sl_json_i64(sl_json_get(root, "exp"), &at) && at == 1700003600);
	len = decode(text, bytes);
	assert_int_equal(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, pair), 1);
	assert_int_equal(EVP_DigestVerify(context, bytes, len,
	                                  (const unsigned char *)signed_text.ptr,
	                                  signed_text.len), 1);
	EVP_MD_CTX_free(context);
	sl_secret_release(&form);
	sl_oauth_account_release(&account);
}

static void
a_file_that_is_none_is_told_why(void **state)
{
	static const struct { const char *file, *why; } cases[] = {
		{ "{", "JSON" },
		{ "[]", "service_account" },
		{ "{\"type\":\"authorized_user\"}", "service_account" },
		{ "{\"type\":\"service_account\",\"client_email\":\"a\"}", "token_uri" },
		{ "{\"type\":\"service_account\",\"client_email\":\"a\",\"token_uri\":\"b\"}",
		  "private_key" },
		{ "{\"type\":\"service_account\",\"client_email\":\"a\",\"token_uri\":\"b\","
		  "\"private_key\":\"secret-stuff\"}", "RSA" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_oauth_account account;
		const char *why = NULL;

		assert_int_equal(sl_oauth_account_read(sl_slice_str(cases[i].file), &arena,
		                                       &account, &why), SL_ESYNTAX);
		assert_non_null(strstr(why, cases[i].why));
		assert_null(strstr(why, "secret-stuff"));
		sl_oauth_account_release(&account);
	}
}

static void
a_client_secret_is_escaped(void **state)
{
	struct sl_secret secret = { 0 }, form = { 0 };

	(void)state;
	assert_int_equal(sl_secret_set(&secret, SL_SLICE("a&b=~c d")), SL_OK);
	assert_int_equal(sl_oauth_client_form(SL_SLICE("id-1"), &secret,
	                                      SL_SLICE("https://x/.default"), &form), SL_OK);
	assert_true(sl_secret_eq(&form, SL_SLICE("grant_type=client_credentials&client_id=id-1&"
	                                         "client_secret=a%26b%3D~c%20d&"
	                                         "scope=https%3A%2F%2Fx%2F.default")));
	sl_secret_release(&secret);
	sl_secret_release(&form);
}

static void
answers_are_believed_when_they_are_bearer_tokens(void **state)
{
	static const struct { const char *body; enum sl_err err; const char *header; int64_t s; }
	cases[] = {
		{ "{\"access_token\":\"t0\",\"expires_in\":3599,\"token_type\":\"Bearer\"}", SL_OK,
		  "Bearer t0", 3599 },
		{ "{\"access_token\":\"t0\"}", SL_OK, "Bearer t0", 300 },
		{ "{\"access_token\":\"t0\",\"token_type\":\"mac\"}", SL_ESYNTAX, NULL, 0 },
		{ "{\"access_token\":\"t0\",\"expires_in\":0}", SL_ESYNTAX, NULL, 0 },
		{ "{\"access_token\":\"\"}", SL_ESYNTAX, NULL, 0 },
		{ "{\"error\":\"invalid_grant\"}", SL_ESYNTAX, NULL, 0 },
		{ "<html>", SL_ESYNTAX, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_secret header = { 0 };
		int64_t lifetime_s = 0;

		assert_int_equal(sl_oauth_reply_read(sl_slice_str(cases[i].body), &header,
		                                     &lifetime_s), cases[i].err);
		if (cases[i].err == SL_OK) {
			assert_true(sl_secret_eq(&header, sl_slice_str(cases[i].header)));
			assert_int_equal(lifetime_s, cases[i].s);
		}
		sl_secret_release(&header);
	}
}

static void
a_token_cannot_split_the_header(void **state)
{
	struct sl_secret header = { 0 };
	int64_t lifetime_s;

	(void)state;
	assert_int_not_equal(sl_oauth_reply_read(
	    SL_SLICE("{\"access_token\":\"a\\r\\nx-evil: 1\"}"), &header, &lifetime_s), SL_OK);
	assert_true(sl_secret_empty(&header));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_assertion_is_signed_by_the_account),
		cmocka_unit_test(a_file_that_is_none_is_told_why),
		cmocka_unit_test(a_client_secret_is_escaped),
		cmocka_unit_test(answers_are_believed_when_they_are_bearer_tokens),
		cmocka_unit_test(a_token_cannot_split_the_header),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
