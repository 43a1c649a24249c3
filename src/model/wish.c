/* wish.c - wishes by name, from header fields and JSON members alike. */
#include "model/wish.h"

#include <string.h>

#include "base/compiler.h"


enum { NAME_MAX_BYTES = 32, LATENCY_MAX_MS = 3600000 };

#define NAME_OF(id, name) name,
static const char *const quality_names[] = { "", SL_QUALITIES(NAME_OF) };
static const char *const objective_names[] = { "", SL_OBJECTIVES(NAME_OF) };
static const char *const verification_names[] = { "", SL_VERIFICATIONS(NAME_OF) };
static const char *const tri_names[] = { "", "false", "true" };

/* Position of the value among names[1..count), or 0. */
static unsigned
find_name(const char *const *names, unsigned count, struct sl_slice value)
{
	for (unsigned i = 1; i < count; i++)
		if (sl_slice_is(value, names[i]))
			return i;
	return 0;
}

const char *
sl_quality_name(enum sl_quality quality)
{
	return quality_names[quality];
}

const char *
sl_objective_name(enum sl_objective objective)
{
	return objective_names[objective];
}

const char *
sl_verification_name(enum sl_verification verification)
{
	return verification_names[verification];
}

bool
sl_quality_find(struct sl_slice name, enum sl_quality *out)
{
	unsigned at = find_name(quality_names, SL_QUALITY_COUNT, name);

	if (at > 0)
		*out = (enum sl_quality)at;
	return at > 0;
}

bool
sl_objective_find(struct sl_slice name, enum sl_objective *out)
{
	unsigned at = find_name(objective_names, SL_OBJECTIVE_COUNT, name);

	if (at > 0)
		*out = (enum sl_objective)at;
	return at > 0;
}

bool
sl_verification_find(struct sl_slice name, enum sl_verification *out)
{
	unsigned at = find_name(verification_names, SL_VERIFY_COUNT, name);

	if (at > 0)
		*out = (enum sl_verification)at;
	return at > 0;
}

static bool
set_tri(enum sl_tri *out, struct sl_slice value)
{
	unsigned at = find_name(tri_names, 3, value);

	if (at > 0)
		*out = (enum sl_tri)at;
	return at > 0;
}

static bool
set_latency(int64_t *out, struct sl_slice value)
{
	int64_t number;

	if (!sl_slice_i64(value, &number) || number < 1 || number > LATENCY_MAX_MS)
		return false;
	*out = number;
	return true;
}

static bool
set_name(struct sl_slice *out, struct sl_slice value)
{
	*out = value;
	return value.len > 0;
}

/* Asks for which wish, if any; *good says whether the value is one. */
static const char *
set(struct sl_wish *wish, struct sl_slice name, struct sl_slice value, bool *good)
{
	if (sl_slice_is(name, "stack")) {
		*good = set_name(&wish->stack, value);
		return "'stack' must be the slug of a stack.";
	}
	if (sl_slice_is(name, "route")) {
		*good = set_name(&wish->route, value);
		return "'route' must be the name of a route.";
	}
	if (sl_slice_is(name, "quality")) {
		*good = sl_quality_find(value, &wish->quality);
		return "'quality' must be draft, standard, high or critical.";
	}
	if (sl_slice_is(name, "cost_mode")) {
		*good = sl_objective_find(value, &wish->cost_mode);
		return "'cost_mode' must be lowest_passable, balanced, fastest_passable, premium "
		       "or fixed.";
	}
	if (sl_slice_is(name, "verification")) {
		*good = sl_verification_find(value, &wish->verification);
		return "'verification' must be off, auto, light, strict or strong.";
	}
	if (sl_slice_is(name, "latency_slo_ms")) {
		*good = set_latency(&wish->latency_slo_ms, value);
		return "'latency_slo_ms' must be a number of milliseconds from 1 to 3600000.";
	}
	if (sl_slice_is(name, "fallback")) {
		*good = set_tri(&wish->fallback, value);
		return "'fallback' must be true or false.";
	}
	if (sl_slice_is(name, "explain")) {
		*good = set_tri(&wish->explain, value);
		return "'explain' must be true or false.";
	}
	return NULL;
}

bool
sl_wish_set(struct sl_wish *wish, struct sl_slice name, struct sl_slice value,
            struct sl_fault *fault)
{
	bool good = true;
	const char *wanted = set(wish, name, value, &good);

	if (!wanted || good)
		return true;
	sl_fault_set(fault, SL_FAULT_BAD_REQUEST, sl_slice_str(wanted));
	fault->param = name;
	return false;
}

bool
sl_wish_read_headers(struct sl_wish *wish, const struct sl_headers *headers,
                     struct sl_slice prefix, struct sl_fault *fault)
{
	const struct sl_header *const end = headers->items + headers->count;
	const size_t last = prefix.len - 1;

	for (const struct sl_header *field = headers->items; field < end; field++) {
		struct sl_slice rest = field->name;
		SL_UNINIT char name[NAME_MAX_BYTES]; /* read as far as it is written */

		/* The hyphen at its end tells nearly all others. */
		if (rest.len <= last || rest.ptr[last] != prefix.ptr[last] ||
		    !sl_slice_istarts(rest, prefix))
			continue;
		rest = sl_slice_from(rest, prefix.len);
		if (rest.len > sizeof(name))
			continue;
		for (size_t k = 0; k < rest.len; k++)
			name[k] = rest.ptr[k] == '-' ? '_' : rest.ptr[k];
		if (!sl_wish_set(wish, sl_slice_make(name, rest.len), sl_slice_trim(field->value),
		                 fault)) {
			fault->param = field->name;
			return false;
		}
	}
	return true;
}

bool
sl_wish_read_members(struct sl_wish *wish, struct sl_json object, struct sl_arena *arena,
                     struct sl_fault *fault)
{
	struct sl_json_iter it = sl_json_iter(object);

	while (sl_json_next(&it)) {
		struct sl_slice value = it.value.raw;

		if (it.value.type == SL_JSON_NULL || !it.key.ptr)
			continue;
		if (it.value.type == SL_JSON_STRING && !sl_json_string(it.value, arena, &value))
			continue;
		if (!sl_wish_set(wish, it.key, value, fault))
			return false;
	}
	return true;
}
