/* tool_schema.c - the input of a tool for APIs that take no union at its top.
 *
 * {"anyOf": [A, B]}, "oneOf" and "allOf" beside or in place of properties become one
 * object: it has the properties of all of them; required is what the object itself, each
 * part of an allOf, or every choice of a union requires. A property that differs between
 * them may be any of its kinds. That lets more through than was meant, so the description
 * says the rest.
 */
#include "shapes/tool_schema.h"

#include <string.h>

enum { PROPERTIES_MAX = 256, SCHEMAS_MAX = 512, DEPTH_MAX = 8, REFS_MAX = 8,
       SCHEMA_SIZE_MAX = 1 << 20 };

struct property {
	struct sl_slice name; /* raw key */
	int             first; /* of its schemas; -1: none */
};

struct merge {
	struct sl_arena *arena;
	struct sl_json   root;
	struct property  properties[PROPERTIES_MAX];
	size_t           count;
	struct {
		struct sl_slice raw;
		int             next;
	} schemas[SCHEMAS_MAX];
	size_t           schema_count;
	bool             failed;
};

static const char *const unions[] = { "anyOf", "oneOf", "allOf" };
enum { UNIONS = sizeof(unions) / sizeof(unions[0]), ALL_OF = 2 };

static struct property *
property_of(struct merge *m, struct sl_slice name)
{
	for (size_t i = 0; i < m->count; i++)
		if (sl_slice_eq(m->properties[i].name, name))
			return &m->properties[i];
	if (m->count == PROPERTIES_MAX) {
		m->failed = true;
		return NULL;
	}
	m->properties[m->count] = (struct property){ name, -1 };
	return &m->properties[m->count++];
}

static void
add_schema(struct merge *m, struct property *property, struct sl_slice raw)
{
	int *link = &property->first;

	for (; *link >= 0; link = &m->schemas[*link].next)
		if (sl_slice_eq(m->schemas[*link].raw, raw))
			return;
	if (m->schema_count == SCHEMAS_MAX) {
		m->failed = true;
		return;
	}
	m->schemas[m->schema_count].raw = raw;
	m->schemas[m->schema_count].next = -1;
	*link = (int)m->schema_count++;
}

/* What "#/$defs/NAME" or "#/definitions/NAME" names. */
static struct sl_json
resolve(struct merge *m, struct sl_json schema)
{
	static const char *const places[] = { "$defs", "definitions" };
	struct sl_slice ref;

	for (int i = 0; i < REFS_MAX; i++) {
		struct sl_json found = { .type = SL_JSON_NONE };

		if (!sl_json_string(sl_json_get(schema, "$ref"), m->arena, &ref))
			return schema;
		for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
			struct sl_slice start = sl_arena_printf(m->arena, "#/%s/", places[p]);
			char *name;

			if (!sl_slice_starts(ref, start))
				continue;
			name = sl_arena_strdup(m->arena, sl_slice_from(ref, start.len));
			if (name)
				found = sl_json_get(sl_json_get(m->root, places[p]), name);
		}
		schema = found;
	}
	return schema;
}

/* Adds what an object schema says; required has a mark for each property it insists on. */
static void
gather(struct merge *m, struct sl_json schema, int depth, bool *required)
{
	struct sl_json type, properties, names;

	schema = resolve(m, schema);
	type = sl_json_get(schema, "type");
	properties = sl_json_get(schema, "properties");
	names = sl_json_get(schema, "required");
	if (schema.type != SL_JSON_OBJECT || depth == DEPTH_MAX ||
	    (type.type != SL_JSON_NONE && !sl_json_is(type, "object"))) {
		m->failed = true;
		return;
	}
	for (struct sl_json_iter it = sl_json_iter(properties);
	     properties.type == SL_JSON_OBJECT && sl_json_next(&it);) {
		struct property *property = property_of(m, it.key);

		if (property)
			add_schema(m, property, it.value.raw);
	}
	for (struct sl_json_iter it = sl_json_iter(names);
	     names.type == SL_JSON_ARRAY && sl_json_next(&it);) {
		struct sl_slice raw = it.value.raw;
		struct property *property =
		    it.value.type == SL_JSON_STRING
		        ? property_of(m, sl_slice_make(raw.ptr + 1, raw.len - 2)) : NULL;

		if (property)
			required[property - m->properties] = true;
	}
	for (size_t u = 0; u < UNIONS; u++) {
		struct sl_json list = sl_json_get(schema, unions[u]);
		bool every[PROPERTIES_MAX], one[PROPERTIES_MAX];

		memset(every, u != ALL_OF, sizeof(every));
		for (struct sl_json_iter it = sl_json_iter(list);
		     list.type == SL_JSON_ARRAY && sl_json_next(&it);) {
			memset(one, 0, sizeof(one));
			gather(m, it.value, depth + 1, one);
			for (size_t i = 0; i < PROPERTIES_MAX; i++)
				every[i] = u == ALL_OF ? every[i] || one[i] : every[i] && one[i];
		}
		for (size_t i = 0; list.type == SL_JSON_ARRAY && i < PROPERTIES_MAX; i++)
			required[i] = required[i] || every[i];
	}
}

/* --- writing ------------------------------------------------------------------------------ */

static bool
is_union(struct sl_slice key)
{
	for (size_t u = 0; u < UNIONS; u++)
		if (sl_slice_is(key, unions[u]))
			return true;
	return false;
}

static void
put_properties(const struct merge *m, struct sl_json_writer *w)
{
	sl_json_key(w, "properties");
	sl_json_obj(w);
	for (size_t i = 0; i < m->count; i++) {
		int first = m->properties[i].first;

		sl_json_key_slice(w, m->properties[i].name);
		if (first < 0) {
			sl_json_put_raw(w, SL_SLICE("{}"));
		} else if (m->schemas[first].next < 0) {
			sl_json_put_raw(w, m->schemas[first].raw);
		} else {
			sl_json_obj(w);
			sl_json_key(w, "anyOf");
			sl_json_arr(w);
			for (; first >= 0; first = m->schemas[first].next)
				sl_json_put_raw(w, m->schemas[first].raw);
			sl_json_arr_end(w);
			sl_json_obj_end(w);
		}
	}
	sl_json_obj_end(w);
}

static void
put_required(const struct merge *m, const bool *required, struct sl_json_writer *w)
{
	bool any = false;

	for (size_t i = 0; i < m->count; i++)
		any = any || required[i];
	if (!any)
		return;
	sl_json_key(w, "required");
	sl_json_arr(w);
	for (size_t i = 0; i < m->count; i++)
		if (required[i])
			sl_json_put_raw(w, sl_arena_join(m->arena, (struct sl_slice[]){
			    SL_SLICE("\""), m->properties[i].name, SL_SLICE("\"") }, 3));
	sl_json_arr_end(w);
}

/* What the author wrote of it, and what the merged object does not hold a model to. */
static void
put_description(const struct merge *m, struct sl_json_writer *w)
{
	struct sl_buf text;
	struct sl_slice said = SL_SLICE_NONE;

	sl_json_string(sl_json_get(m->root, "description"), m->arena, &said);
	sl_buf_init(&text, SCHEMA_SIZE_MAX);
	sl_buf_append(&text, said);
	for (size_t u = 0; u < UNIONS; u++) {
		struct sl_json list = sl_json_get(m->root, unions[u]);

		if (list.type != SL_JSON_ARRAY)
			continue;
		sl_buf_append_str(&text, text.len ? "\nIt must be valid under " : "It must be valid under ");
		sl_buf_printf(&text, "{\"%s\":%.*s}.", unions[u], SL_ARG(list.raw));
	}
	if (!text.failed)
		sl_json_str(w, "description", sl_buf_slice(&text));
	sl_buf_release(&text);
}

bool
sl_tool_schema_has_union(struct sl_slice schema)
{
	struct sl_json root = sl_json_parse(schema);

	for (size_t u = 0; u < UNIONS; u++)
		if (sl_json_get(root, unions[u]).type != SL_JSON_NONE)
			return true;
	return false;
}

struct sl_slice
sl_tool_schema_merge(struct sl_slice schema, struct sl_arena *arena)
{
	struct merge *m = SL_ARENA_NEW(arena, struct merge);
	bool required[PROPERTIES_MAX] = { false };
	struct sl_slice merged = SL_SLICE_NONE;
	struct sl_json_writer w;
	struct sl_buf out;

	if (!m)
		return SL_SLICE_NONE;
	m->arena = arena;
	m->root = sl_json_parse(schema);
	gather(m, m->root, 0, required);
	if (m->failed)
		return SL_SLICE_NONE;
	sl_buf_init(&out, SCHEMA_SIZE_MAX);
	sl_json_writer_init(&w, &out);
	sl_json_obj(&w);
	sl_json_str(&w, "type", SL_SLICE("object"));
	put_description(m, &w);
	put_properties(m, &w);
	put_required(m, required, &w);
	for (struct sl_json_iter it = sl_json_iter(m->root); sl_json_next(&it);) {
		if (is_union(it.key) || sl_slice_is(it.key, "type") ||
		    sl_slice_is(it.key, "description") || sl_slice_is(it.key, "properties") ||
		    sl_slice_is(it.key, "required"))
			continue;
		sl_json_key_slice(&w, it.key);
		sl_json_put_raw(&w, it.value.raw);
	}
	sl_json_obj_end(&w);
	if (!out.failed)
		merged = sl_arena_dup(arena, sl_buf_slice(&out));
	sl_buf_release(&out);
	return merged;
}
