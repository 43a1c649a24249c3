/* gemini_schema.c - JSON Schema and the API's own Schema, each into the other.
 *
 * Newer models take JSON Schema itself (parametersJsonSchema), but resolve no
 * references; older ones know some twenty keywords and refuse every other. Both
 * ways the schema is walked once, members that hold schemas are entered by name
 * only, so a property that is called "title" or "$ref" is a property.
 *
 * References into the same document are written out where they stand. One that
 * leads to itself is cut at NESTING_MAX, and a schema that would grow beyond
 * SIZE_MAX_BYTES is cut there, as {"type":"object"}: a reference bomb costs no
 * more than that.
 */
#include "shapes/gemini_codec.h"

#include <string.h>

enum { NESTING_MAX = 24, REFERENCES_MAX = 8, SIZE_MAX_BYTES = 1024 * 1024 };

struct walk {
	struct sl_gemini_schema *how;
	struct sl_json           root;
	struct sl_buf           *out;
	struct sl_json_writer    w;
	int                      nesting;
	int                      references; /* that lead to where we are */
	bool                     changed;
};

static void put_schema(struct walk *walk, struct sl_json schema);

static struct sl_slice
key_text(struct walk *walk, struct sl_slice raw)
{
	struct sl_slice key;

	return sl_json_unescape(raw, walk->how->arena, &key) ? key : SL_SLICE_NONE;
}

static bool
is_one_of(struct sl_slice key, const char *const *names)
{
	for (; *names; names++)
		if (sl_slice_is(key, *names))
			return true;
	return false;
}

static void
put_any_object(struct walk *walk)
{
	walk->changed = true;
	sl_json_obj(&walk->w);
	sl_json_str(&walk->w, "type", SL_SLICE("object"));
	sl_json_obj_end(&walk->w);
}

/* --- references -------------------------------------------------------------------- */

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One token of a JSON pointer in a URI fragment: %xx, ~0 and ~1. */
static struct sl_slice
pointer_token(struct walk *walk, struct sl_slice token)
{
	char *out = sl_arena_alloc(walk->how->arena, token.len + 1);
	size_t len = 0;

	if (!out)
		return SL_SLICE_NONE;
	for (size_t i = 0; i < token.len; i++) {
		char c = token.ptr[i];

		if (c == '%' && i + 2 < token.len && hex_value(token.ptr[i + 1]) >= 0 &&
		    hex_value(token.ptr[i + 2]) >= 0) {
			c = (char)(hex_value(token.ptr[i + 1]) << 4 | hex_value(token.ptr[i + 2]));
			i += 2;
		} else if (c == '~' && i + 1 < token.len) {
			c = token.ptr[++i] == '1' ? '/' : '~';
		}
		out[len++] = c;
	}
	out[len] = '\0';
	return memchr(out, '\0', len) ? SL_SLICE_NONE : sl_slice_make(out, len);
}

static struct sl_json
resolve(struct walk *walk, struct sl_json reference)
{
	static const struct sl_json none = { .type = SL_JSON_NONE };
	struct sl_json at = walk->root;
	struct sl_slice path, token;

	if (!sl_json_string(reference, walk->how->arena, &path) || path.len == 0 ||
	    path.ptr[0] != '#')
		return none;
	path = sl_slice_from(path, 1);
	while (path.len && at.type != SL_JSON_NONE) {
		path = sl_slice_from(path, 1); /* the slash */
		token = pointer_token(walk, sl_slice_upto(path, (size_t)(
		    sl_slice_find(path, '/') < 0 ? (ptrdiff_t)path.len
		                                 : sl_slice_find(path, '/'))));
		if (sl_slice_find(path, '/') < 0)
			path = SL_SLICE_NONE;
		else
			path = sl_slice_from(path, (size_t)sl_slice_find(path, '/'));
		if (!token.ptr)
			return none;
		at = sl_json_get(at, token.ptr);
	}
	return at;
}

static void
put_reference(struct walk *walk, struct sl_json reference)
{
	struct sl_json target = resolve(walk, reference);

	if (target.type != SL_JSON_OBJECT || walk->references >= REFERENCES_MAX) {
		put_any_object(walk);
		return;
	}
	walk->references++;
	put_schema(walk, target);
	walk->references--;
}

/* --- children ------------------------------------------------------------------------ */

static void
put_children(struct walk *walk, struct sl_json value)
{
	if (value.type == SL_JSON_OBJECT) {
		put_schema(walk, value);
		return;
	}
	if (value.type != SL_JSON_ARRAY) {
		sl_json_put_raw(&walk->w, value.raw);
		return;
	}
	sl_json_arr(&walk->w);
	for (struct sl_json_iter it = sl_json_iter(value); sl_json_next(&it);)
		put_schema(walk, it.value);
	sl_json_arr_end(&walk->w);
}

/* {"name": schema, ...} */
static void
put_named(struct walk *walk, struct sl_json value)
{
	sl_json_obj(&walk->w);
	for (struct sl_json_iter it = sl_json_iter(value); sl_json_next(&it);) {
		sl_json_key_slice(&walk->w, key_text(walk, it.key));
		put_schema(walk, it.value);
	}
	sl_json_obj_end(&walk->w);
}

/* --- JSON Schema without references ---------------------------------------------------- */

static void
put_modern(struct walk *walk, struct sl_json schema)
{
	static const char *const named[] = { "properties", "patternProperties",
		                             "dependentSchemas", NULL };
	static const char *const children[] = { "items", "prefixItems", "additionalItems",
		"additionalProperties", "propertyNames", "contains", "anyOf", "oneOf", "allOf",
		"not", "if", "then", "else", "unevaluatedItems", "unevaluatedProperties", NULL };
	static const char *const gone[] = { "$schema", "$id", "$anchor", "$comment", "$defs",
		                            "definitions", NULL };

	sl_json_obj(&walk->w);
	for (struct sl_json_iter it = sl_json_iter(schema); sl_json_next(&it);) {
		struct sl_slice key = key_text(walk, it.key);

		if (is_one_of(key, gone))
			continue;
		sl_json_key_slice(&walk->w, key);
		if (is_one_of(key, named) && it.value.type == SL_JSON_OBJECT)
			put_named(walk, it.value);
		else if (is_one_of(key, children))
			put_children(walk, it.value);
		else
			sl_json_put_raw(&walk->w, it.value.raw);
	}
	sl_json_obj_end(&walk->w);
}

/* --- the API's Schema --------------------------------------------------------------------- */

static bool
is_null_type(struct sl_json schema)
{
	return sl_json_is(sl_json_get(schema, "type"), "null");
}

/* ["string", "null"]: the type, and that it may be null. More than one real type
 * becomes anyOf. */
static void
put_types(struct walk *walk, struct sl_json types, bool *nullable)
{
	struct sl_json only = { .type = SL_JSON_NONE };
	size_t count = 0;

	for (struct sl_json_iter it = sl_json_iter(types); sl_json_next(&it);) {
		if (sl_json_is(it.value, "null")) {
			*nullable = true;
		} else {
			only = it.value;
			count++;
		}
	}
	if (count == 1) {
		sl_json_key(&walk->w, "type");
		sl_json_put_raw(&walk->w, only.raw);
		return;
	}
	walk->changed = true;
	sl_json_key(&walk->w, "anyOf");
	sl_json_arr(&walk->w);
	for (struct sl_json_iter it = sl_json_iter(types); sl_json_next(&it);) {
		if (sl_json_is(it.value, "null"))
			continue;
		sl_json_obj(&walk->w);
		sl_json_key(&walk->w, "type");
		sl_json_put_raw(&walk->w, it.value.raw);
		if (sl_json_is(it.value, "array")) {
			sl_json_key(&walk->w, "items");
			put_any_object(walk);
		}
		sl_json_obj_end(&walk->w);
	}
	sl_json_arr_end(&walk->w);
}

static void
put_any_of(struct walk *walk, struct sl_json options, bool *nullable)
{
	sl_json_key(&walk->w, "anyOf");
	sl_json_arr(&walk->w);
	for (struct sl_json_iter it = sl_json_iter(options); sl_json_next(&it);) {
		if (is_null_type(it.value))
			*nullable = true;
		else
			put_schema(walk, it.value);
	}
	sl_json_arr_end(&walk->w);
}

/* Only texts may be listed: numbers and the like are said in words. */
static bool
put_enum(struct walk *walk, struct sl_json values)
{
	for (struct sl_json_iter it = sl_json_iter(values); sl_json_next(&it);)
		if (it.value.type != SL_JSON_STRING && it.value.type != SL_JSON_NULL)
			return false;
	sl_json_key(&walk->w, "enum");
	sl_json_arr(&walk->w);
	for (struct sl_json_iter it = sl_json_iter(values); sl_json_next(&it);)
		if (it.value.type == SL_JSON_STRING)
			sl_json_put_raw(&walk->w, it.value.raw);
	sl_json_arr_end(&walk->w);
	return true;
}

static void
put_required(struct walk *walk, struct sl_json required, struct sl_json properties)
{
	sl_json_key(&walk->w, "required");
	sl_json_arr(&walk->w);
	for (struct sl_json_iter it = sl_json_iter(required); sl_json_next(&it);) {
		struct sl_slice name;
		char *text;

		if (!sl_json_string(it.value, walk->how->arena, &name))
			continue;
		text = sl_arena_strdup(walk->how->arena, name);
		if (text && !memchr(text, '\0', name.len) &&
		    sl_json_get(properties, text).type != SL_JSON_NONE)
			sl_json_put_raw(&walk->w, it.value.raw);
	}
	sl_json_arr_end(&walk->w);
}

/* The first of allOf gives the members that the schema itself lacks. */
static struct sl_json
member(struct walk *walk, struct sl_json schema, const char *name)
{
	struct sl_json value = sl_json_get(schema, name);
	struct sl_json all = sl_json_get(schema, "allOf");

	if (value.type != SL_JSON_NONE || all.type != SL_JSON_ARRAY)
		return value;
	for (struct sl_json_iter it = sl_json_iter(all); sl_json_next(&it);) {
		struct sl_json part = it.value;

		for (int i = 0; i < REFERENCES_MAX; i++) {
			struct sl_json reference = sl_json_get(part, "$ref");

			if (reference.type != SL_JSON_STRING)
				break;
			part = resolve(walk, reference);
		}
		value = sl_json_get(part, name);
		if (value.type != SL_JSON_NONE)
			return value;
	}
	return value;
}

static void
put_raw_member(struct walk *walk, struct sl_json schema, const char *from, const char *to)
{
	struct sl_json value = member(walk, schema, from);

	if (value.type <= SL_JSON_NULL)
		return;
	sl_json_key(&walk->w, to);
	sl_json_put_raw(&walk->w, value.raw);
}

/* What has no keyword is told to the model in the description. */
static void
put_description(struct walk *walk, struct sl_json schema, bool enum_in_words)
{
	static const char *const words[][2] = {
		{ "const", "Must be " }, { "exclusiveMinimum", "Must be greater than " },
		{ "exclusiveMaximum", "Must be less than " }, { "multipleOf", "Must be a multiple of " },
	};
	struct sl_json said = member(walk, schema, "description");
	struct sl_buf text;

	sl_buf_init(&text, SIZE_MAX_BYTES);
	sl_text_append(&text, sl_text_json(said));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct sl_json value = member(walk, schema, words[i][0]);

		if (value.type == SL_JSON_NONE || (i == 0 && value.type == SL_JSON_STRING) ||
		    (i > 0 && value.type != SL_JSON_NUMBER))
			continue;
		walk->changed = true;
		sl_buf_append_str(&text, text.len ? " " : "");
		sl_buf_append_str(&text, words[i][1]);
		sl_text_append(&text, sl_text_plain(value.raw));
		sl_buf_append_char(&text, '.');
	}
	if (enum_in_words) {
		walk->changed = true;
		sl_buf_append_str(&text, text.len ? " One of " : "One of ");
		sl_text_append(&text, sl_text_plain(member(walk, schema, "enum").raw));
		sl_buf_append_char(&text, '.');
	}
	if (text.len) {
		struct sl_slice literal = sl_arena_join(walk->how->arena, (struct sl_slice[]){
		    SL_SLICE("\""), sl_buf_slice(&text), SL_SLICE("\"") }, 3);

		sl_json_key(&walk->w, "description");
		sl_json_put_raw(&walk->w, literal);
	}
	if (text.failed)
		walk->out->failed = true;
	sl_buf_release(&text);
}

static void
put_legacy_object(struct walk *walk, struct sl_json schema)
{
	struct sl_json properties = member(walk, schema, "properties");
	struct sl_json required = member(walk, schema, "required");

	if (properties.type != SL_JSON_OBJECT || properties.raw.len <= 2)
		return;
	sl_json_key(&walk->w, "properties");
	put_named(walk, properties);
	if (required.type == SL_JSON_ARRAY)
		put_required(walk, required, properties);
}

static void
put_legacy_array(struct walk *walk, struct sl_json schema)
{
	struct sl_json items = member(walk, schema, "items");
	struct sl_json tuple = member(walk, schema, "prefixItems");

	sl_json_key(&walk->w, "items");
	if (items.type == SL_JSON_ARRAY)
		tuple = items;
	if (tuple.type == SL_JSON_ARRAY && tuple.raw.len > 2) {
		bool nullable = false;

		walk->changed = true;
		sl_json_obj(&walk->w);
		put_any_of(walk, tuple, &nullable);
		sl_json_obj_end(&walk->w);
	} else if (items.type == SL_JSON_OBJECT) {
		put_schema(walk, items);
	} else {
		sl_json_obj(&walk->w);
		sl_json_str(&walk->w, "type", SL_SLICE("string"));
		sl_json_obj_end(&walk->w);
	}
}

static void
note_lost(struct walk *walk, struct sl_json schema)
{
	static const char *const known[] = { "anyOf", "oneOf", "default", "description", "enum",
		"const", "example", "format", "items", "maxItems", "maxLength", "maxProperties",
		"maximum", "minItems", "minLength", "minProperties", "minimum", "nullable", "pattern",
		"properties", "propertyOrdering", "required", "title", "type", "$schema", "$id",
		"$defs", "definitions", "$comment", "$ref", NULL };

	for (struct sl_json_iter it = sl_json_iter(schema); sl_json_next(&it);)
		if (!is_one_of(key_text(walk, it.key), known))
			walk->changed = true;
}

static bool
is_format(struct sl_json format)
{
	static const char *const known[] = { "enum", "date-time", "int32", "int64", "float",
		                             "double", NULL };

	for (const char *const *name = known; *name; name++)
		if (sl_json_is(format, *name))
			return true;
	return false;
}

static const char *
implied_type(struct walk *walk, struct sl_json schema)
{
	struct sl_json constant = member(walk, schema, "const");

	if (member(walk, schema, "properties").type == SL_JSON_OBJECT)
		return "object";
	if (member(walk, schema, "items").type != SL_JSON_NONE)
		return "array";
	if (constant.type == SL_JSON_NUMBER)
		return "number";
	if (constant.type == SL_JSON_TRUE || constant.type == SL_JSON_FALSE)
		return "boolean";
	return member(walk, schema, "enum").type == SL_JSON_ARRAY ||
	       constant.type == SL_JSON_STRING ? "string" : "object";
}

static void
put_legacy(struct walk *walk, struct sl_json schema)
{
	static const char *const plain[] = { "title", "default", "example", "pattern", "maxItems",
		"minItems", "maxLength", "minLength", "maxProperties", "minProperties", "maximum",
		"minimum", "propertyOrdering" };
	struct sl_json type = member(walk, schema, "type");
	struct sl_json any = member(walk, schema, "anyOf");
	struct sl_json values = member(walk, schema, "enum");
	struct sl_json constant = member(walk, schema, "const");
	struct sl_json format = member(walk, schema, "format");
	bool nullable = sl_json_true(member(walk, schema, "nullable")), words = false;

	note_lost(walk, schema);
	if (any.type != SL_JSON_ARRAY)
		any = member(walk, schema, "oneOf");
	sl_json_obj(&walk->w);
	if (type.type == SL_JSON_ARRAY) {
		put_types(walk, type, &nullable);
	} else if (type.type == SL_JSON_STRING) {
		sl_json_key(&walk->w, "type");
		sl_json_put_raw(&walk->w, type.raw);
	} else if (any.type != SL_JSON_ARRAY) {
		sl_json_str(&walk->w, "type", sl_slice_str(implied_type(walk, schema)));
	}
	if (any.type == SL_JSON_ARRAY && type.type != SL_JSON_ARRAY)
		put_any_of(walk, any, &nullable);
	if (values.type == SL_JSON_ARRAY)
		words = !put_enum(walk, values);
	else if (constant.type == SL_JSON_STRING) {
		sl_json_key(&walk->w, "enum");
		sl_json_arr(&walk->w);
		sl_json_put_raw(&walk->w, constant.raw);
		sl_json_arr_end(&walk->w);
	}
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		put_raw_member(walk, schema, plain[i], plain[i]);
	if (member(walk, schema, "minimum").type == SL_JSON_NONE)
		put_raw_member(walk, schema, "exclusiveMinimum", "minimum");
	if (member(walk, schema, "maximum").type == SL_JSON_NONE)
		put_raw_member(walk, schema, "exclusiveMaximum", "maximum");
	if (is_format(format)) {
		sl_json_key(&walk->w, "format");
		sl_json_put_raw(&walk->w, format.raw);
	} else if (format.type != SL_JSON_NONE) {
		walk->changed = true;
	}
	put_description(walk, schema, words);
	put_legacy_object(walk, schema);
	if (sl_json_is(type, "array") || sl_json_is(type, "ARRAY") ||
	    (type.type == SL_JSON_NONE && member(walk, schema, "items").type != SL_JSON_NONE))
		put_legacy_array(walk, schema);
	if (nullable)
		sl_json_bool(&walk->w, "nullable", true);
	sl_json_obj_end(&walk->w);
}

/* --- both ------------------------------------------------------------------------------------ */

static void
put_schema(struct walk *walk, struct sl_json schema)
{
	struct sl_json reference = sl_json_get(schema, "$ref");

	if (schema.type == SL_JSON_TRUE || schema.type == SL_JSON_FALSE) {
		if (walk->how->legacy)
			put_any_object(walk);
		else
			sl_json_put_raw(&walk->w, schema.raw);
		return;
	}
	if (schema.type != SL_JSON_OBJECT || walk->nesting >= NESTING_MAX ||
	    walk->out->len > SIZE_MAX_BYTES) {
		put_any_object(walk);
		return;
	}
	walk->nesting++;
	if (reference.type == SL_JSON_STRING)
		put_reference(walk, reference);
	else if (walk->how->legacy)
		put_legacy(walk, schema);
	else
		put_modern(walk, schema);
	walk->nesting--;
}

struct sl_slice
sl_gemini_schema_to(struct sl_gemini_schema *how, struct sl_slice schema)
{
	struct sl_buf buf;
	struct walk walk = { .how = how, .root = sl_json_parse(schema), .out = &buf };
	struct sl_slice done;

	sl_buf_init(&buf, SIZE_MAX_BYTES * 2 + schema.len);
	sl_json_writer_init(&walk.w, &buf);
	put_schema(&walk, walk.root);
	done = buf.failed ? SL_SLICE_NONE : sl_arena_dup(how->arena, sl_buf_slice(&buf));
	how->changed |= walk.changed;
	sl_buf_release(&buf);
	return done;
}

/* --- from the API's Schema ---------------------------------------------------------------------- */

static void put_from(struct sl_json_writer *w, struct sl_json schema, struct sl_arena *arena,
                     int nesting);

static void
put_from_type(struct sl_json_writer *w, struct sl_json type, bool nullable,
              struct sl_arena *arena)
{
	struct sl_slice name;
	char *lower;

	if (!sl_json_string(type, arena, &name) || sl_slice_ieq(name, SL_SLICE("TYPE_UNSPECIFIED")))
		return;
	lower = sl_arena_strdup(arena, name);
	if (!lower)
		return;
	for (char *c = lower; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c | 0x20);
	sl_json_key(w, "type");
	if (!nullable) {
		sl_json_put_str(w, sl_slice_str(lower));
		return;
	}
	sl_json_arr(w);
	sl_json_put_str(w, sl_slice_str(lower));
	sl_json_put_str(w, SL_SLICE("null"));
	sl_json_arr_end(w);
}

/* int64 is a text in the protocol's JSON form. */
static void
put_from_number(struct sl_json_writer *w, struct sl_json value)
{
	if (value.type == SL_JSON_STRING)
		value.raw = sl_slice_make(value.raw.ptr + 1, value.raw.len - 2);
	sl_json_put_raw(w, sl_json_validate(value.raw, NULL, NULL) == SL_OK ? value.raw
	                                                                   : SL_SLICE("0"));
}

static void
put_from_member(struct sl_json_writer *w, struct sl_slice key, struct sl_json value,
                struct sl_arena *arena, int nesting)
{
	static const char *const counts[] = { "maxItems", "minItems", "maxLength", "minLength",
		                              "maxProperties", "minProperties", NULL };

	sl_json_key_slice(w, key);
	if (is_one_of(key, counts)) {
		put_from_number(w, value);
	} else if (sl_slice_is(key, "properties") && value.type == SL_JSON_OBJECT) {
		sl_json_obj(w);
		for (struct sl_json_iter it = sl_json_iter(value); sl_json_next(&it);) {
			struct sl_slice name = SL_SLICE_NONE;

			sl_json_unescape(it.key, arena, &name);
			sl_json_key_slice(w, name);
			put_from(w, it.value, arena, nesting);
		}
		sl_json_obj_end(w);
	} else if (sl_slice_is(key, "items")) {
		put_from(w, value, arena, nesting);
	} else if (sl_slice_is(key, "anyOf") && value.type == SL_JSON_ARRAY) {
		sl_json_arr(w);
		for (struct sl_json_iter it = sl_json_iter(value); sl_json_next(&it);)
			put_from(w, it.value, arena, nesting);
		sl_json_arr_end(w);
	} else {
		sl_json_put_raw(w, value.raw);
	}
}

static void
put_from(struct sl_json_writer *w, struct sl_json schema, struct sl_arena *arena, int nesting)
{
	bool nullable = sl_json_true(sl_json_get(schema, "nullable"));

	if (schema.type != SL_JSON_OBJECT || nesting >= NESTING_MAX) {
		sl_json_put_raw(w, SL_SLICE("{}"));
		return;
	}
	sl_json_obj(w);
	for (struct sl_json_iter it = sl_json_iter(schema); sl_json_next(&it);) {
		struct sl_slice raw = SL_SLICE_NONE, key;

		sl_json_unescape(it.key, arena, &raw);
		key = sl_gemini_camel(raw, arena);
		if (sl_slice_is(key, "type"))
			put_from_type(w, it.value, nullable, arena);
		else if (!sl_slice_is(key, "nullable") && !sl_slice_is(key, "propertyOrdering"))
			put_from_member(w, key, it.value, arena, nesting + 1);
	}
	sl_json_obj_end(w);
}

struct sl_slice
sl_gemini_schema_from(struct sl_slice schema, struct sl_arena *arena)
{
	struct sl_buf buf;
	struct sl_json_writer w;
	struct sl_slice done;

	sl_buf_init(&buf, schema.len * 8 + 1024);
	sl_json_writer_init(&w, &buf);
	put_from(&w, sl_json_parse(schema), arena, 0);
	done = buf.failed ? SL_SLICE_NONE : sl_arena_dup(arena, sl_buf_slice(&buf));
	sl_buf_release(&buf);
	return done;
}
