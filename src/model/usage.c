/* usage.c - usage snapshots. */
#include "model/usage.h"

#include <stddef.h>

const char *
sl_usage_class_name(enum sl_usage_class class_)
{
	static const char *const names[] = {
#define SL_USAGE_NAME(id, name) name,
		SL_USAGE_CLASSES(SL_USAGE_NAME)
#undef SL_USAGE_NAME
	};

	return names[class_];
}

const char *
sl_usage_source_name(enum sl_usage_source source)
{
	switch (source) {
	case SL_USAGE_REPORTED:
		return "reported";
	case SL_USAGE_PARTIAL:
		return "partial";
	case SL_USAGE_COUNTED:
		return "counted";
	case SL_USAGE_BOUND:
		return "bound";
	case SL_USAGE_NONE:
		break;
	}
	return "none";
}

void
sl_usage_merge(struct sl_usage *usage, const struct sl_usage *later)
{
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		if (sl_usage_has(later, (enum sl_usage_class)i))
			sl_usage_set(usage, (enum sl_usage_class)i, later->count[i]);
	if (later->source != SL_USAGE_NONE)
		usage->source = later->source;
}

/* Of the parts of the totals. */
static bool
parts_fit(const struct sl_usage *usage)
{
	int64_t input = sl_usage_get(usage, SL_USAGE_INPUT);
	int64_t output = sl_usage_get(usage, SL_USAGE_OUTPUT);

	return sl_usage_get(usage, SL_USAGE_CACHE_READ) +
	               sl_usage_get(usage, SL_USAGE_CACHE_WRITE) <= input &&
	       sl_usage_get(usage, SL_USAGE_CACHE_WRITE_1H) <=
	               sl_usage_get(usage, SL_USAGE_CACHE_WRITE) &&
	       sl_usage_get(usage, SL_USAGE_INPUT_AUDIO) +
	               sl_usage_get(usage, SL_USAGE_INPUT_IMAGE) <= input &&
	       sl_usage_get(usage, SL_USAGE_REASONING) +
	               sl_usage_get(usage, SL_USAGE_OUTPUT_AUDIO) +
	               sl_usage_get(usage, SL_USAGE_OUTPUT_IMAGE) <= output;
}

bool
sl_usage_consistent(const struct sl_usage *usage)
{
	const uint32_t totals = 1u << SL_USAGE_INPUT | 1u << SL_USAGE_OUTPUT;

	return !(usage->present & ~totals) || parts_fit(usage);
}
