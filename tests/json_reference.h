/* json_reference.h - what sl_json_scan must say, byte by byte and without any haste: a
 * recursive descent that knows no vectors, no chains of names and no fast ways. For documents
 * of a few kilobytes. Compares the two.
 */
#ifndef SL_TESTS_JSON_REFERENCE_H
#define SL_TESTS_JSON_REFERENCE_H

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

enum { REFERENCE_WANTS_MAX = 32, REFERENCE_KEY_MAX = 512 };

struct reference {
	const uint8_t             *doc;
	const uint8_t             *end;
	struct sl_json_limits      limits;
	const struct sl_json_want *wants;
	size_t                     want_count;
	struct sl_json_found      *found;
	enum sl_err                err;
	size_t                     offset;
};

static const uint8_t *
reference_fail(struct reference *r, enum sl_err err, const uint8_t *at)
{
	r->err = err;
	r->offset = (size_t)(at - r->doc);
	return NULL;
}

static const uint8_t *
reference_space(struct reference *r, const uint8_t *p)
{
	while (p < r->end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
		p++;
	return p;
}

static int
reference_hex(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* From the opening quote to behind the closing one. */
static const uint8_t *
reference_string(struct reference *r, const uint8_t *p)
{
	for (p++; p < r->end && *p != '"'; p++) {
		if (*p < 0x20)
			return reference_fail(r, SL_ESYNTAX, p);
		if (*p != '\\')
			continue;
		if (r->end - p < 2 || p[1] == 0 || !strchr("\"\\/bfnrtu", p[1]))
			return reference_fail(r, SL_ESYNTAX, p);
		if (p[1] == 'u') {
			for (int i = 2; i < 6; i++)
				if (r->end - p <= i || !reference_hex(p[i]))
					return reference_fail(r, SL_ESYNTAX, p);
			p += 4;
		}
		p++;
	}
	return p < r->end ? p + 1 : reference_fail(r, SL_ESYNTAX, p);
}

static const uint8_t *
reference_digits(struct reference *r, const uint8_t *p, const uint8_t *start)
{
	if (p == r->end || *p < '0' || *p > '9')
		return reference_fail(r, SL_ESYNTAX, start);
	while (p < r->end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

static const uint8_t *
reference_number(struct reference *r, const uint8_t *start)
{
	const uint8_t *p = start + (*start == '-');

	if (p < r->end && *p == '0')
		p++;
	else
		p = reference_digits(r, p, start);
	if (p && p < r->end && *p == '.')
		p = reference_digits(r, p + 1, start);
	if (p && p < r->end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < r->end && (*p == '+' || *p == '-'))
			p++;
		p = reference_digits(r, p, start);
	}
	return p;
}

static const uint8_t *reference_value(struct reference *r, const uint8_t *p, uint32_t depth,
                                      const char *prefix, struct sl_json_found *out);

static const uint8_t *
reference_array(struct reference *r, const uint8_t *p, uint32_t depth)
{
	struct sl_json_found out;

	p = reference_space(r, p + 1);
	if (p < r->end && *p == ']')
		return p + 1;
	for (;; p++) {
		p = reference_value(r, reference_space(r, p), depth, NULL, &out);
		if (!p)
			return NULL;
		p = reference_space(r, p);
		if (p < r->end && *p == ']')
			return p + 1;
		if (p == r->end || *p != ',')
			return reference_fail(r, SL_ESYNTAX, p);
	}
}

/* Bit i: the name is the next component of want i below the prefix. */
static uint32_t
reference_matches(const struct reference *r, const char *prefix, const uint8_t *quote,
                  const uint8_t *behind)
{
	struct sl_json key = { SL_JSON_STRING, sl_slice_make(quote, (size_t)(behind - quote)) };
	uint32_t matches = 0;

	for (size_t i = 0; prefix && i < r->want_count; i++) {
		const char *path = r->wants[i].path, *component = path + strlen(prefix);
		char name[sizeof(r->wants[i].path)];

		if (strncmp(path, prefix, strlen(prefix)) != 0)
			continue;
		memcpy(name, component, strcspn(component, "."));
		name[strcspn(component, ".")] = '\0';
		if (sl_json_is(key, name))
			matches |= UINT32_C(1) << i;
	}
	return matches;
}

/* The prefix of the paths below a member that is on the way to a want, else NULL. */
static const char *
reference_below(const struct reference *r, uint32_t matches, const char *prefix, char *room)
{
	for (size_t i = 0; i < r->want_count; i++) {
		const char *component = r->wants[i].path + (prefix ? strlen(prefix) : 0);
		size_t len = (size_t)(component - r->wants[i].path) + strcspn(component, ".");

		if (!(matches >> i & 1) || r->wants[i].path[len] != '.')
			continue;
		memcpy(room, r->wants[i].path, len + 1);
		room[len + 1] = '\0';
		return room;
	}
	return NULL;
}

static const uint8_t *
reference_object(struct reference *r, const uint8_t *p, uint32_t depth, const char *prefix,
                 uint32_t *count)
{
	const uint8_t *inside = p + 1, *comma = NULL;
	uint32_t seen = 0, before = 0;

	p = reference_space(r, inside);
	if (p < r->end && *p == '}')
		return p + 1;
	for (;; comma = p++) {
		struct sl_json_found out;
		const uint8_t *quote;
		char room[sizeof(r->wants->path) + 1];
		const char *below;
		uint32_t matches;

		p = quote = reference_space(r, p);
		if (p == r->end || *p != '"')
			return reference_fail(r, SL_ESYNTAX, p);
		if ((*count)++ == r->limits.max_members)
			return reference_fail(r, SL_ELIMIT, p);
		p = reference_string(r, p);
		if (!p)
			return NULL;
		matches = reference_matches(r, prefix, quote, p);
		if (matches & seen)
			return reference_fail(r, SL_EDUPLICATE, quote);
		seen |= matches;
		for (size_t i = 0; i < r->want_count; i++) {
			if (!(before >> i & 1))
				continue;
			r->found[i].comma_after = (size_t)(comma - r->doc);
			r->found[i].next_key = (size_t)(quote - r->doc);
		}
		p = reference_space(r, p);
		if (p == r->end || *p != ':')
			return reference_fail(r, SL_ESYNTAX, p);
		below = reference_below(r, matches, prefix, room);
		p = reference_value(r, reference_space(r, p + 1), depth, below, &out);
		if (!p)
			return NULL;
		out.key_start = (size_t)(quote - r->doc);
		out.parent_inside = (size_t)(inside - r->doc);
		out.comma_before = comma ? (size_t)(comma - r->doc) : 0;
		before = 0;
		for (size_t i = 0; i < r->want_count; i++) {
			if (!(matches >> i & 1) ||
			    strchr(r->wants[i].path + strlen(prefix), '.'))
				continue;
			r->found[i] = out;
			before |= UINT32_C(1) << i;
		}
		p = reference_space(r, p);
		if (p < r->end && *p == '}')
			return p + 1;
		if (p == r->end || *p != ',')
			return reference_fail(r, SL_ESYNTAX, p);
	}
}

/* `depth` containers are open. */
static const uint8_t *
reference_value(struct reference *r, const uint8_t *p, uint32_t depth, const char *prefix,
                struct sl_json_found *out)
{
	static const char *const words[] = { "null", "false", "true" };
	const uint8_t *start = p;

	memset(out, 0, sizeof(*out));
	if (p == r->end)
		return reference_fail(r, SL_ESYNTAX, p);
	if ((*p == '{' || *p == '[') && depth == r->limits.max_depth)
		return reference_fail(r, SL_ELIMIT, p);
	if (*p == '{') {
		out->type = SL_JSON_OBJECT;
		p = reference_object(r, p, depth + 1, prefix, &out->member_count);
	} else if (*p == '[') {
		out->type = SL_JSON_ARRAY;
		p = reference_array(r, p, depth + 1);
	} else if (*p == '"') {
		out->type = SL_JSON_STRING;
		p = reference_string(r, p);
	} else if (*p == '-' || (*p >= '0' && *p <= '9')) {
		out->type = SL_JSON_NUMBER;
		p = reference_number(r, p);
	} else {
		p = NULL;
		for (size_t i = 0; i < 3; i++) {
			size_t len = strlen(words[i]);

			if ((size_t)(r->end - start) < len || memcmp(start, words[i], len) != 0)
				continue;
			out->type = SL_JSON_NULL + (unsigned)i;
			p = start + len;
		}
		if (!p)
			reference_fail(r, SL_ESYNTAX, start);
	}
	out->value_start = (size_t)(start - r->doc);
	out->value_end = p ? (size_t)(p - r->doc) : 0;
	return p;
}

static void
reference_document(struct reference *r, struct sl_json_found *top)
{
	const uint8_t *start = reference_space(r, r->doc), *p;

	p = reference_value(r, start, 0, "", top);
	if (!p)
		return;
	p = reference_space(r, p);
	if (p != r->end) {
		reference_fail(r, SL_ESYNTAX, p);
		return;
	}
	for (p = r->doc; p < r->end; p += *p < 0x80 ? 1 : sl_utf8_size(p, r->end)) {
		if (*p >= 0x80 && sl_utf8_size(p, r->end) == 0) {
			reference_fail(r, SL_ESYNTAX, p);
			return;
		}
	}
	if (top->type != SL_JSON_OBJECT)
		reference_fail(r, SL_ETYPE, start);
}

static inline int
reference_same_found(const struct sl_json_found *a, const struct sl_json_found *b)
{
	return a->type == b->type && a->member_count == b->member_count &&
	       a->key_start == b->key_start && a->value_start == b->value_start &&
	       a->value_end == b->value_end && a->parent_inside == b->parent_inside &&
	       a->comma_before == b->comma_before && a->comma_after == b->comma_after &&
	       a->next_key == b->next_key;
}

/* Whether the scan says of a document what the reference says: the error and its place, or
 * what was found and where. At most REFERENCE_WANTS_MAX wants. */
static inline int
reference_agrees(struct sl_slice doc, const struct sl_json_limits *limits,
                 const struct sl_json_want *wants, size_t want_count)
{
	struct sl_json_found found[REFERENCE_WANTS_MAX], expected[REFERENCE_WANTS_MAX], top,
	    expected_top;
	struct sl_json_error error = { 0 };
	struct reference r = {
		.doc = (const uint8_t *)doc.ptr, .end = (const uint8_t *)doc.ptr + doc.len,
		.limits = *limits, .wants = wants, .want_count = want_count, .found = expected,
	};
	enum sl_err err = sl_json_scan(doc, limits, wants, want_count, found, &top, &error);

	memset(expected, 0, sizeof(expected));
	reference_document(&r, &expected_top);
	if (err != r.err)
		return 0;
	if (err != SL_OK)
		return error.offset == r.offset;
	for (size_t i = 0; i < want_count; i++)
		if (found[i].type != expected[i].type ||
		    (found[i].type != SL_JSON_NONE && !reference_same_found(&found[i], &expected[i])))
			return 0;
	return reference_same_found(&top, &expected_top);
}

#endif
