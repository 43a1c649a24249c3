/* provider_test.c - the provider table, and where requests go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "providers/provider.h"

static void
the_table_is_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < sl_provider_kind_count(); i++) {
		const struct sl_provider_kind *kind = sl_provider_kind_at(i);
		struct sl_url url;

		/* Names are unique, URLs parse, shapes exist and are of the family. */
		assert_ptr_equal(sl_provider_kind_find(sl_slice_str(kind->name)), kind);
		assert_non_null(kind->title);
		if (kind->base_url)
			assert_int_equal(sl_url_parse(sl_slice_str(kind->base_url), &url), SL_OK);
		assert_true((kind->auth == SL_AUTH_HEADER) == (kind->auth_header != NULL));
		for (const char *const *name = kind->shapes; name && *name; name++) {
			const struct sl_shape_ops *shape = sl_shape_by_name(sl_slice_str(*name));

			assert_non_null(shape);
			assert_true(sl_provider_serves(kind, shape));
		}
		/* One credential must not become two providers. */
		for (size_t k = 0; k < i; k++)
			for (size_t a = 0; a < 4; a++)
				for (size_t b = 0; b < 4; b++) {
					const char *mine = kind->env_key[a];
					const char *its = sl_provider_kind_at(k)->env_key[b];

					assert_false(mine && its && strcmp(mine, its) == 0);
				}
	}
	assert_null(sl_provider_kind_at(sl_provider_kind_count()));
	assert_null(sl_provider_kind_find(SL_SLICE("nobody")));
	assert_null(sl_provider_kind_find(SL_SLICE("")));
}

static void
targets_are_where_the_provider_listens(void **state)
{
	static const struct {
		const char *kind, *shape, *verb, *base, *model, *query, *version, *target;
	} cases[] = {
		{ "openai", "openai_chat", "chat", "/v1", "gpt-4o", "", "", "/v1/chat/completions" },
		{ "openai", "openai_transcriptions", "", "", "m", "a=b", "",
		  "/audio/transcriptions?a=b" },
		{ "openai", "anthropic_messages", "messages", "/v1", "m", "", "", "" },
		{ "deepseek", "openai_chat", "chat", "", "m", "", "", "/chat/completions" },
		{ "deepseek", "openai_embeddings", "", "", "m", "", "", "" },
		{ "groq", "openai_responses", "", "/openai/v1", "m", "", "", "/openai/v1/responses" },
		{ "zhipu", "openai_chat", "", "/api/paas/v4", "m", "", "",
		  "/api/paas/v4/chat/completions" },
		{ "anthropic", "anthropic_messages", "messages", "", "m", "beta=true", "",
		  "/v1/messages?beta=true" },
		{ "anthropic", "anthropic_count_tokens", "", "/v1", "m", "", "",
		  "/v1/messages/count_tokens" },
		{ "anthropic", "anthropic_messages", "", "/api/v1", "m", "", "", "/api/v1/messages" },
		{ "gemini", "gemini_generate", "streamGenerateContent", "", "gemini-2.5-flash",
		  "alt=sse", "", "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse" },
		{ "gemini", "gemini_embed", "embedContent", "/v1beta", "m", "", "",
		  "/v1beta/models/m:embedContent" },
		{ "gemini", "gemini_generate", "generateContent", "/v1", "m", "", "",
		  "/v1/models/m:generateContent" },
		{ "gemini", "gemini_generate", "generateContent", "", "m", "", "v1",
		  "/v1/models/m:generateContent" },
		{ "gemini", "gemini_generate", "generateContent", "", "a/../b?c#d:e%", "", "",
		  "/v1beta/models/a%2F..%2Fb%3Fc%23d%3Ae%25:generateContent" },
		{ "gemini", "gemini_generate", "generateContent", "", "..", "", "", "" },
		{ "azure", "openai_chat", "chat", "", "my dep", "", "",
		  "/openai/deployments/my%20dep/chat/completions?api-version=2024-10-21" },
		{ "azure", "openai_embeddings", "", "/openai", "d", "api-version=1&x=2", "2025-01-01",
		  "/openai/deployments/d/embeddings?api-version=2025-01-01&x=2" },
		{ "azure", "openai_responses", "", "", "d", "", "", "/openai/v1/responses" },
		{ "azure", "openai_chat", "", "/openai/v1", "d", "", "", "/openai/v1/chat/completions" },
		{ "azure", "openai_moderations", "", "", "d", "", "", "" },
		{ "mock", "openai_chat", "", "", "m", "", "", "/v1/chat/completions" },
		{ "mock", "openai_chat", "", "/v1", "m", "", "", "/v1/chat/completions" },
		{ "mock", "anthropic_messages", "", "", "m", "", "", "/v1/messages" },
		{ "mock", "gemini_generate", "generateContent", "", "m", "", "",
		  "/v1beta/models/m:generateContent" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sl_provider_request request = {
			.shape = sl_shape_by_name(sl_slice_str(cases[i].shape)),
			.verb = cases[i].verb,
			.model = sl_slice_str(cases[i].model),
			.query = sl_slice_str(cases[i].query),
			.base_path = sl_slice_str(cases[i].base),
			.api_version = sl_slice_str(cases[i].version),
		};
		struct sl_arena arena;
		struct sl_slice target;

		sl_arena_init(&arena, 1024, 0);
		target = sl_provider_target(sl_provider_kind_find(sl_slice_str(cases[i].kind)),
		                            &request, &arena);
		if (!sl_slice_is(target, cases[i].target))
			fail_msg("case %zu: %.*s", i, SL_ARG(target));
		sl_arena_release(&arena);
	}
}

static void
families_are_kept_apart(void **state)
{
	const struct sl_provider_kind *mock = sl_provider_kind_find(SL_SLICE("mock"));

	(void)state;
	for (size_t i = 0; i < sl_shape_count(); i++) {
		const struct sl_shape_ops *shape = sl_shape_at(i);

		assert_true(sl_provider_serves(mock, shape));
		assert_int_equal(strcmp(shape->family, "anthropic") == 0,
		                 sl_provider_serves(&sl_provider_anthropic, shape));
		assert_int_equal(strcmp(shape->family, "gemini") == 0,
		                 sl_provider_serves(&sl_provider_gemini, shape));
		assert_int_equal(strcmp(shape->family, "openai") == 0,
		                 sl_provider_serves(&sl_provider_openai, shape));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_sound),
		cmocka_unit_test(targets_are_where_the_provider_listens),
		cmocka_unit_test(families_are_kept_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
