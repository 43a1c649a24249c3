/* shape_test.c - which shape owns a path, and that forwarding touches nothing but
 * what it names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shapes/codec.h"
#include "shapes/shape.h"

static void
paths_have_owners(void **state)
{
	static const struct {
		const char *path, *shape, *verb, *model;
	} cases[] = {
		{ "/v1/chat/completions", "openai_chat", "chat", "" },
		{ "/openai/v1/chat/completions", "openai_chat", "chat", "" },
		{ "/openai/deployments/my%2Fmini/chat/completions", "openai_chat", "chat", "my/mini" },
		{ "/openai/deployments/m/embeddings", "openai_embeddings", "embeddings", "m" },
		{ "/openai/deployments//embeddings", NULL, NULL, NULL },
		{ "/openai/deployments/m%0d/embeddings", NULL, NULL, NULL },
		{ "/openai/deployments/m", NULL, NULL, NULL },
		{ "/openai/v1", NULL, NULL, NULL },
		{ "/api/paas/v4/chat/completions", "openai_chat", "chat", "" },
		{ "/api/paas/v4/embeddings", "openai_embeddings", "embeddings", "" },
		{ "/api/paas/v4/", NULL, NULL, NULL },
		{ "/v1/completions", "openai_completions", "completions", "" },
		{ "/v1/responses", "openai_responses", "responses", "" },
		{ "/openai/v1/audio/transcriptions", "openai_transcriptions", "transcriptions", "" },
		{ "/v1/messages", "anthropic_messages", "messages", "" },
		{ "/v1/messages/count_tokens", "anthropic_count_tokens", "count_tokens", "" },
		{ "/v1beta/models/gemini-2.5-flash:generateContent", "gemini_generate",
		  "generateContent", "gemini-2.5-flash" },
		{ "/v1/models/gemini%2D2:streamGenerateContent", "gemini_generate",
		  "streamGenerateContent", "gemini-2" },
		{ "/v1beta/models/a%3Ab:countTokens", "gemini_count_tokens", "countTokens", "a:b" },
		{ "/v1beta/models/a:b:countTokens", "gemini_count_tokens", "countTokens", "a:b" },
		{ "/v1beta/models/org%2Fm%2f1:embedContent", "gemini_embed", "embedContent",
		  "org/m/1" },
		{ "/v1beta/models/m:batchEmbedContents", "gemini_embed", "batchEmbedContents", "m" },
		{ "/v1beta/models/org/m:embedContent", "gemini_embed", "embedContent", "org/m" },
		{ "/v1beta/models/:generateContent", NULL, NULL, NULL },
		{ "/v1beta/models/m:generate", NULL, NULL, NULL },
		{ "/v1beta/models/m%:generateContent", NULL, NULL, NULL },
		{ "/v1beta/models/m%2:generateContent", NULL, NULL, NULL },
		{ "/v1beta/models/m%zz:generateContent", NULL, NULL, NULL },
		{ "/v1beta/models/m%00:generateContent", NULL, NULL, NULL },
		{ "/v1beta/models/m%0d%0a:generateContent", NULL, NULL, NULL },
		{ "/v1/chat/completions/", NULL, NULL, NULL },
		{ "/v1/Chat/completions", NULL, NULL, NULL },
		{ "/v1/models/gpt-4o", NULL, NULL, NULL },
		{ "", NULL, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_shape_input input = { 0 };
		const struct sl_shape_ops *shape;
		struct sl_arena arena;

		sl_arena_init(&arena, 256, 0);
		shape = sl_shape_match(sl_slice_str(cases[i].path), &arena, &input);
		if (!cases[i].shape) {
			if (shape)
				fail_msg("%s", cases[i].path);
		} else if (!shape || strcmp(shape->name, cases[i].shape) != 0 ||
		           strcmp(input.verb, cases[i].verb) != 0 ||
		           !sl_slice_is(input.path_model, cases[i].model)) {
			fail_msg("%s", cases[i].path);
		}
		sl_arena_release(&arena);
	}
}

static void
errors_look_like_the_path(void **state)
{
	static const char *const cases[][2] = {
		{ "/v1/messages/batches", "anthropic" }, { "/v1beta/models", "gemini" },
		{ "/v1/models/m:predict", "gemini" },    { "/v1/models/m", "openai" },
		{ "/v1/nothing", "openai" },             { "/", "openai" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(sl_shape_for_errors(sl_slice_str(cases[i][0]))->family,
		                    cases[i][1]);
}

static void
the_registry_is_sound(void **state)
{
	(void)state;
	assert_true(sl_shape_count() >= 13);
	for (size_t i = 0; i < sl_shape_count(); i++) {
		const struct sl_shape_ops *shape = sl_shape_at(i);

		assert_ptr_equal(sl_shape_by_name(sl_slice_str(shape->name)), shape);
		assert_non_null(shape->operation);
		assert_non_null(shape->upstream_path);
		if (!shape->paths->pattern) { /* towards providers only */
			assert_non_null(shape->codec->encode_request);
			assert_null(shape->codec->decode_request);
			continue;
		}
		assert_non_null(shape->read_request);
		assert_non_null(shape->forward);
		assert_non_null(shape->write_fault);
		assert_non_null(shape->write_stream_fault);
	}
	assert_null(sl_shape_at(sl_shape_count()));
	assert_null(sl_shape_by_name(SL_SLICE("openai")));
}

/* --- forwarding random requests --------------------------------------------------- */

enum { ROUNDS = 3000, BODY_MAX = 16384 };

static unsigned seed;

static unsigned
pick(unsigned below)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 16) % below;
}

static const char *
space(void)
{
	static const char *const spaces[] = { "", "", "", " ", "\n", "\t  ", "\r\n" };

	return spaces[pick(7)];
}

static void
put_value(struct sl_buf *out, unsigned depth)
{
	static const char *const plain[] = {
		"null", "true", "0", "-0.0", "1e400", "9007199254740993", "\"\"", "\"\\u00e9\\\"\"",
		"\"h\xc3\xa9\"", "[]", "{}", "\"model\"", "{\"model\":\"inner\",\"model\":1}",
	};
	unsigned count = pick(4);

	if (depth == 0 || pick(3)) {
		sl_buf_append_str(out, plain[pick(13)]);
		return;
	}
	sl_buf_append_char(out, '[');
	for (unsigned i = 0; i < count; i++) {
		sl_buf_printf(out, "%s%s", i ? "," : "", space());
		put_value(out, depth - 1);
	}
	sl_buf_append_char(out, ']');
}

/* A chat request with members in random order, among them "model":"old". */
static void
make_request(struct sl_buf *body, bool *has_stream)
{
	bool model = false;
	unsigned members = 1 + pick(8);

	*has_stream = false;
	sl_buf_printf(body, "%s{%s", space(), space());
	for (unsigned i = 0; i < members; i++) {
		sl_buf_printf(body, "%s%s", i ? "," : "", space());
		if (!model && (i + 1 == members || pick(4) == 0)) {
			sl_buf_printf(body, "\"%s\"%s:%s\"old\"", pick(5) ? "model" : "mod\\u0065l",
			              space(), space());
			model = true;
		} else if (!*has_stream && pick(4) == 0) {
			sl_buf_printf(body, "\"stream\"%s:%strue", space(), space());
			*has_stream = true;
		} else {
			sl_buf_printf(body, "\"x%u\"%s:%s", i, space(), space());
			put_value(body, 3);
		}
		sl_buf_append_str(body, space());
	}
	sl_buf_printf(body, "}%s", space());
}

/* Undoes in `text` what forwarding may do. */
static void
undo(struct sl_buf *out, struct sl_slice text, bool injected)
{
	struct sl_slice options = SL_SLICE("\"stream_options\":{\"include_usage\":true},");
	ptrdiff_t at;

	if (injected) {
		at = sl_slice_search(text, options);
		assert_true(at > 0);
		sl_buf_append(out, sl_slice_upto(text, (size_t)at));
		text = sl_slice_from(text, (size_t)at + options.len);
	}
	at = sl_slice_search(text, SL_SLICE("\"a-new-name\""));
	assert_true(at > 0);
	sl_buf_append(out, sl_slice_upto(text, (size_t)at));
	sl_buf_append_str(out, "\"old\"");
	sl_buf_append(out, sl_slice_from(text, (size_t)at + 12));
}

static void
forwarding_touches_nothing_else(void **state)
{
	const struct sl_shape_target target = { .model = SL_SLICE("a-new-name"),
		                                .ask_for_usage = true };

	(void)state;
	seed = 20260702;
	for (int round = 0; round < ROUNDS; round++) {
		struct sl_shape_input input = { .verb = "chat" };
		struct sl_steer steer;
		struct sl_fault fault;
		struct sl_forward forward;
		struct sl_buf body, sent, undone;
		struct sl_arena arena;
		bool stream;

		sl_arena_init(&arena, 1024, 0);
		sl_buf_init(&body, BODY_MAX);
		sl_buf_init(&sent, BODY_MAX);
		sl_buf_init(&undone, BODY_MAX);
		make_request(&body, &stream);
		input.body = sl_buf_slice(&body);
		if (!sl_shape_openai_chat.read_request(&input, &arena, &steer, &fault))
			fail_msg("%.*s: %.*s", SL_ARG(input.body), SL_ARG(fault.message));
		assert_true(sl_slice_is(steer.model, "old"));
		assert_int_equal(steer.stream, stream);
		assert_int_equal(sl_shape_openai_chat.forward(&steer, &target, &arena, &forward),
		                 SL_OK);
		for (size_t i = 0; i < forward.body_count; i++)
			sl_buf_append(&sent, forward.body[i]);
		assert_int_equal(forward.usage_injected, stream);
		assert_int_equal(sl_json_validate(sl_buf_slice(&sent), NULL, NULL), SL_OK);
		undo(&undone, sl_buf_slice(&sent), forward.usage_injected);
		if (!sl_slice_eq(sl_buf_slice(&undone), input.body))
			fail_msg("%.*s\n%.*s", SL_ARG(input.body), SL_ARG(sl_buf_slice(&sent)));
		sl_buf_release(&body);
		sl_buf_release(&sent);
		sl_buf_release(&undone);
		sl_arena_release(&arena);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_have_owners),
		cmocka_unit_test(errors_look_like_the_path),
		cmocka_unit_test(the_registry_is_sound),
		cmocka_unit_test(forwarding_touches_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
