/* sigv4_test.c - signatures as AWS's own Python library (botocore 1.x) makes them
 * for the same requests, credential and moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "providers/sigv4.h"

struct signing {
	struct sl_arena            arena;
	struct sl_secret           key, token;
	struct sl_sigv4_credential credential;
	struct sl_sigv4_request    request;
	struct sl_slice            body[2];
	struct sl_header           fields[SL_SIGV4_HEADERS];
};

static int
set_up(void **state)
{
	static struct signing s;

	s = (struct signing){ 0 };
	sl_arena_init(&s.arena, 1024, 0);
	assert_int_equal(sl_secret_set(&s.key,
	                               SL_SLICE("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")),
	                 SL_OK);
	s.credential.access_key_id = SL_SLICE("AKIDEXAMPLE");
	s.credential.secret_key = &s.key;
	s.request = (struct sl_sigv4_request){
		.method = SL_SLICE("POST"),
		.host = SL_SLICE("bedrock-runtime.us-east-1.amazonaws.com"),
		.body = s.body,
		.region = SL_SLICE("us-east-1"),
		.service = SL_SLICE("bedrock"),
		.time_s = 1440938160, /* 2015-08-30 12:36:00 */
	};
	*state = &s;
	return 0;
}

static int
tear_down(void **state)
{
	struct signing *s = *state;

	sl_secret_release(&s->key);
	sl_secret_release(&s->token);
	sl_arena_release(&s->arena);
	return 0;
}

static void
assert_signature(struct signing *s, size_t fields, const char *signature)
{
	struct sl_slice authorization;

	assert_int_equal(sl_sigv4_sign(&s->credential, &s->request, &s->arena, s->fields), fields);
	assert_true(sl_slice_is(s->fields[0].name, "x-amz-date"));
	assert_true(sl_slice_is(s->fields[0].value, "20150830T123600Z"));
	authorization = s->fields[2].value;
	assert_true(sl_slice_ends(authorization, sl_slice_str(signature)));
	assert_true(sl_slice_starts(authorization,
	                            SL_SLICE("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/")));
}

static void
a_path_is_encoded_once_more(void **state)
{
	struct signing *s = *state;

	s->request.path = SL_SLICE("/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse");
	s->body[0] = SL_SLICE("{\"messages\"");
	s->body[1] = SL_SLICE(":[]}");
	s->request.body_count = 2;
	assert_signature(s, 3,
	    "d7ddbf0352b4bb7d9acdd14d105933170df5bc08e35973cfcc1fed0aee7f1e30");
}

static void
a_session_token_is_signed_and_sent(void **state)
{
	struct signing *s = *state;

	assert_int_equal(sl_secret_set(&s->token, SL_SLICE("AQoDYXdzEPT")), SL_OK);
	s->credential.session_token = &s->token;
	s->request.path = SL_SLICE("/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3A"
	                           "inference-profile%2Fus.x/converse-stream");
	s->body[0] = SL_SLICE("{}");
	s->request.body_count = 1;
	assert_signature(s, 4,
	    "3b4dda1a9e4e0740b532aad41dc0600cba116a9d7003fb3c3faada5cfcd22c6b");
	assert_true(sl_slice_is(s->fields[3].name, "x-amz-security-token"));
	assert_true(sl_slice_is(s->fields[3].value, "AQoDYXdzEPT"));
}

static void
a_query_is_sorted(void **state)
{
	struct signing *s = *state;

	s->request.method = SL_SLICE("GET");
	s->request.path = SL_SLICE("/");
	s->request.query = SL_SLICE("b=2&a=1&a=0&c");
	s->request.service = SL_SLICE("service");
	assert_signature(s, 3,
	    "270098ae2ad0300a321f11dd5c625d12acae228fb96d492a98bc777a24203cd3");
}

static void
what_is_too_long_is_not_signed(void **state)
{
	static char path[9000];
	struct signing *s = *state;

	memset(path, 'a', sizeof(path));
	s->request.path = sl_slice_make(path, sizeof(path));
	assert_int_equal(sl_sigv4_sign(&s->credential, &s->request, &s->arena, s->fields), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_path_is_encoded_once_more, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_session_token_is_signed_and_sent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_query_is_sorted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_too_long_is_not_signed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
