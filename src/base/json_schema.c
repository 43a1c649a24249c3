/* json_schema.c - walk schema and document together.
 *
 * Recursion is bounded by depth, work by steps: a schema comes from a caller, and
 * anyOf inside $ref can make it exponential. Where the bound is met the check ends in
 * favour of the document.
 */
#include "base/json_schema.h"

#include <string.h>

struct walk {
	struct sl_json root;
	unsigned       steps;
};

static const char *check(struct walk *walk, struct sl_json schema, struct sl_json value,
                         unsigned depth);

/* Gemini writes types in capitals. */
static bool
is_type(struct sl_json name, struct sl_json value)
{
	static const struct {
		const char       *name;
		enum sl_json_type type;
	} types[] = {
		{ "\"object\"", SL_JSON_OBJECT }, { "\"array\"", SL_JSON_ARRAY },
		{ "\"string\"", SL_JSON_STRING }, { "\"number\"", SL_JSON_NUMBER },
		{ "\"null\"", SL_JSON_NULL },
	};
	int64_t whole;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (sl_slice_ieq(name.raw, sl_slice_str(types[i].name)))
			return value.type == types[i].type;
	if (sl_slice_ieq(name.raw, SL_SLICE("\"boolean\"")))
		return value.type == SL_JSON_TRUE || value.type == SL_JSON_FALSE;
	if (sl_slice_ieq(name.raw, SL_SLICE("\"integer\"")))
		return value.type == SL_JSON_NUMBER && sl_json_i64(value, &whole);
	return true;
}

static bool
fits_type(struct sl_json schema, struct sl_json value)
{
	struct sl_json type = sl_json_get(schema, "type");
	struct sl_json_iter it = sl_json_iter(type);

	if (value.type == SL_JSON_NULL && sl_json_true(sl_json_get(schema, "nullable")))
		return true;
	if (type.type == SL_JSON_STRING)
		return is_type(type, value);
	if (type.type != SL_JSON_ARRAY)
		return true;
	while (sl_json_next(&it))
		if (is_type(it.value, value))
			return true;
	return false;
}

/* Texts are compared as written: generators of JSON escape alike. */
static bool
is_same(struct sl_json a, struct sl_json b)
{
	double x, y;

	if (a.type != b.type)
		return false;
	if (a.type == SL_JSON_NUMBER)
		return sl_json_f64(a, &x) && sl_json_f64(b, &y) && !(x < y) && !(x > y);
	return sl_slice_eq(a.raw, b.raw);
}

static bool
is_listed(struct sl_json list, struct sl_json value)
{
	struct sl_json_iter it = sl_json_iter(list);

	while (sl_json_next(&it))
		if (is_same(it.value, value))
			return true;
	return false;
}

/* --- $ref ------------------------------------------------------------------------ */

/* "#/$defs/name/...": members by their names as written. */
static struct sl_json
resolve(const struct walk *walk, struct sl_json ref)
{
	struct sl_slice rest = sl_slice_make(ref.raw.ptr + 1, ref.raw.len - 2);
	struct sl_json at = walk->root;

	if (rest.len == 0 || rest.ptr[0] != '#')
		return (struct sl_json){ .type = SL_JSON_NONE };
	rest = sl_slice_from(rest, 1);
	if (rest.len > 0)
		rest = sl_slice_from(rest, 1);
	while (rest.len > 0 && at.type == SL_JSON_OBJECT) {
		struct sl_slice name = sl_slice_cut(&rest, '/');
		struct sl_json_iter it = sl_json_iter(at);

		at = (struct sl_json){ .type = SL_JSON_NONE };
		while (sl_json_next(&it))
			if (sl_slice_eq(it.key, name))
				at = it.value;
	}
	return at;
}

/* --- by type ----------------------------------------------------------------------- */

static bool
within(struct sl_json schema, const char *low, const char *high, double value)
{
	double bound;

	if (sl_json_f64(sl_json_get(schema, low), &bound) && value < bound)
		return false;
	return !sl_json_f64(sl_json_get(schema, high), &bound) || !(value > bound);
}

static const char *
check_number(struct sl_json schema, struct sl_json value)
{
	double number, bound;

	if (!sl_json_f64(value, &number))
		return NULL;
	if (!within(schema, "minimum", "maximum", number))
		return "a number is outside its bounds";
	if ((sl_json_f64(sl_json_get(schema, "exclusiveMinimum"), &bound) && !(number > bound)) ||
	    (sl_json_f64(sl_json_get(schema, "exclusiveMaximum"), &bound) && !(number < bound)))
		return "a number is outside its bounds";
	return NULL;
}

/* Characters, of which an escape is one. */
static const char *
check_string(struct sl_json schema, struct sl_json value)
{
	double length = 0;

	for (size_t i = 1; i + 1 < value.raw.len; i++) {
		char c = value.raw.ptr[i];

		if (c == '\\')
			i += value.raw.ptr[i + 1] == 'u' ? 5 : 1;
		length += ((unsigned char)c & 0xc0) != 0x80;
	}
	return within(schema, "minLength", "maxLength", length) ? NULL
	                                                        : "a text is too short or too long";
}

static const char *
check_array(struct walk *walk, struct sl_json schema, struct sl_json value, unsigned depth)
{
	struct sl_json items = sl_json_get(schema, "items");
	struct sl_json_iter first = sl_json_iter(sl_json_get(schema, "prefixItems"));
	struct sl_json_iter it = sl_json_iter(value);
	double count = 0;

	while (sl_json_next(&it)) {
		struct sl_json own = sl_json_next(&first) ? first.value : items;
		const char *why = check(walk, own, it.value, depth);

		if (why)
			return why;
		count++;
	}
	return within(schema, "minItems", "maxItems", count) ? NULL
	                                                     : "an array has too few or too many items";
}

static struct sl_json
member_of(struct sl_json object, struct sl_slice key)
{
	struct sl_json_iter it = sl_json_iter(object);
	struct sl_json found = { .type = SL_JSON_NONE };

	while (sl_json_next(&it))
		if (sl_slice_eq(it.key, key))
			found = it.value;
	return found;
}

static const char *
check_object(struct walk *walk, struct sl_json schema, struct sl_json value, unsigned depth)
{
	struct sl_json properties = sl_json_get(schema, "properties");
	struct sl_json others = sl_json_get(schema, "additionalProperties");
	struct sl_json_iter it = sl_json_iter(sl_json_get(schema, "required"));

	while (sl_json_next(&it))
		if (it.value.type == SL_JSON_STRING &&
		    member_of(value, sl_slice_make(it.value.raw.ptr + 1, it.value.raw.len - 2)).type ==
		        SL_JSON_NONE)
			return "a required member is missing";
	it = sl_json_iter(value);
	while (sl_json_next(&it)) {
		struct sl_json own = member_of(properties, it.key);
		const char *why;

		if (own.type == SL_JSON_NONE && others.type == SL_JSON_FALSE)
			return "a member that the schema does not have";
		why = check(walk, own.type == SL_JSON_NONE ? others : own, it.value, depth);
		if (why)
			return why;
	}
	return NULL;
}

/* --- the whole ------------------------------------------------------------------------ */

static const char *
check_combined(struct walk *walk, struct sl_json schema, struct sl_json value, unsigned depth)
{
	static const char *const any[] = { "anyOf", "oneOf" };
	struct sl_json_iter it = sl_json_iter(sl_json_get(schema, "allOf"));
	const char *why = NULL;

	while (!why && sl_json_next(&it))
		why = check(walk, it.value, value, depth);
	for (size_t i = 0; !why && i < 2; i++) {
		struct sl_json list = sl_json_get(schema, any[i]);
		bool one = list.type != SL_JSON_ARRAY;

		it = sl_json_iter(list);
		while (!one && sl_json_next(&it))
			one = !check(walk, it.value, value, depth);
		if (!one)
			why = "it fits none of the alternatives";
	}
	return why;
}

static const char *
check(struct walk *walk, struct sl_json schema, struct sl_json value, unsigned depth)
{
	struct sl_json part;
	const char *why;

	if (schema.type == SL_JSON_FALSE)
		return "a value where none is allowed";
	if (schema.type != SL_JSON_OBJECT || depth == SL_JSON_SCHEMA_DEPTH_MAX ||
	    walk->steps == SL_JSON_SCHEMA_STEPS_MAX)
		return NULL;
	walk->steps++;
	part = sl_json_get(schema, "$ref");
	if (part.type == SL_JSON_STRING) {
		why = check(walk, resolve(walk, part), value, depth + 1);
		if (why)
			return why;
	}
	if (!fits_type(schema, value))
		return "a value of the wrong type";
	part = sl_json_get(schema, "enum");
	if (part.type == SL_JSON_ARRAY && !is_listed(part, value))
		return "a value that is not among those allowed";
	part = sl_json_get(schema, "const");
	if (part.type != SL_JSON_NONE && !is_same(part, value))
		return "a value that is not the one allowed";
	why = check_combined(walk, schema, value, depth + 1);
	if (why)
		return why;
	if (value.type == SL_JSON_OBJECT)
		return check_object(walk, schema, value, depth + 1);
	if (value.type == SL_JSON_ARRAY)
		return check_array(walk, schema, value, depth + 1);
	if (value.type == SL_JSON_STRING)
		return check_string(schema, value);
	return value.type == SL_JSON_NUMBER ? check_number(schema, value) : NULL;
}

const char *
sl_json_schema_check(struct sl_json schema, struct sl_json value)
{
	struct walk walk = { .root = schema };

	return check(&walk, schema, value, 0);
}
