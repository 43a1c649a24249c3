/* compatible.c - providers that speak OpenAI's API, as one table. */
#include "providers/provider.h"

#define SHAPES(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define ENV(...) { __VA_ARGS__ }
#define NO_ENV { NULL }

const struct sl_provider_kind sl_provider_compatible[] = {
#define SL_COMPATIBLE(name_, title_, base_url_, env_key_, env_base_, shapes_, quirks_)        \
	{                                                                                     \
		.name = name_, .title = title_, .base_url = base_url_, .env_key = env_key_,   \
		.env_base = env_base_, .auth = SL_AUTH_BEARER, .family = "openai",            \
		.shapes = shapes_, .quirks = quirks_,                                         \
	},
#include "providers/compatible.def"
#undef SL_COMPATIBLE
};

const size_t sl_provider_compatible_count =
    sizeof(sl_provider_compatible) / sizeof(sl_provider_compatible[0]);
