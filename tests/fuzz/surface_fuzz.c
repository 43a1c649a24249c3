/* surface_fuzz.c - any head and any members of the body, read by the contract that claims
 * them: whatever is chosen is of the input, and whatever is said back is a valid field.
 *
 * Lines of "name: value"; the first line is the path and query; what stands behind an
 * empty line is the JSON of the contract's members.
 */
#include <stdint.h>
#include <stdlib.h>

#include "surfaces/surface.h"

enum { FIELDS_MAX = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
read_fields(struct sl_slice *rest, struct sl_header *fields)
{
	size_t count = 0;

	while (rest->len > 0 && count < FIELDS_MAX) {
		struct sl_slice value = sl_slice_cut(rest, '\n');
		struct sl_slice name = sl_slice_cut(&value, ':');

		if (name.len == 0 && value.len == 0)
			break;
		value = sl_slice_trim(value);
		/* The wire lets nothing else in. */
		if (sl_header_is_valid(name, value))
			fields[count++] = (struct sl_header){ name, value };
	}
	return count;
}

static void
check(const struct sl_surface_headers *out)
{
	for (size_t i = 0; i < out->count; i++)
		if (!sl_header_is_valid(out->items[i].name, out->items[i].value))
			abort();
}

static void
answer(const struct sl_surface_ops *surface, struct sl_slice text, struct sl_arena *arena)
{
	const struct sl_standing standing = { .has_quota = true, .rpm_limit = 1, .public_id = text,
		.key_hint = text, .workspace = text, .model_requested = text };
	const struct sl_decision decision = {
		.request_id = SL_SLICE("req_01ARZ3NDEKTSV4RRFFQ69G5FAV"), .key_id = text,
		.provider = text, .model = text, .bucket = SL_SLICE("simple"),
		.category = text, .stack = text,
		.warnings = text, .verification = text, .attempts = 1, .standing = &standing,
		.upstream_us = 1,
	};
	struct sl_surface_headers out = { .count = 0 };
	struct sl_fault fault;
	struct sl_buf body;

	surface->headers(&decision, arena, &out);
	check(&out);
	out.count = 0;
	sl_buf_init(&body, 1 << 20);
	sl_fault_set(&fault, SL_FAULT_BUDGET, text);
	fault.limit_of = text;
	if (surface->fault(&decision, &sl_shape_openai_chat, &fault, arena, &body, &out) < 400 ||
	    sl_json_validate(sl_buf_slice(&body), NULL, NULL) != SL_OK)
		abort();
	check(&out);
	sl_buf_clear(&body);
	if (surface->rewrite && surface->rewrite(&decision, &sl_shape_openai_responses, text, arena,
	                                         &body) &&
	    sl_json_validate(sl_buf_slice(&body), NULL, NULL) != SL_OK)
		abort();
	sl_buf_release(&body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sl_config config = { .ingate_detect = true };
	struct sl_slice rest = sl_slice_make(data, size), query = sl_slice_cut(&rest, '\n');
	struct sl_slice path = sl_slice_cut(&query, '?');
	struct sl_header fields[FIELDS_MAX];
	struct sl_headers headers = { .items = fields, .count = read_fields(&rest, fields) };
	struct sl_surface_request request =
	    sl_surface_request_of(SL_SLICE("POST"), path, query, &headers, &config);
	struct sl_selection selection = { .path = path };
	struct sl_surface_members members = { .model = query, .shape = &sl_shape_openai_chat };
	const struct sl_surface_ops *surface = sl_surface_recognise(&request);
	struct sl_fault fault;
	struct sl_arena arena;

	sl_arena_init(&arena, 1024, 0);
	(void)surface->credential(&request, &arena);
	if (surface->select)
		(void)surface->select(&request, SL_SLICE("req_01ARZ3NDEKTSV4RRFFQ69G5FAV"), &arena,
		                      &selection, &fault);
	if (sl_json_validate(rest, NULL, NULL) == SL_OK)
		members.astrolabe = members.nexus = members.sto_payload = sl_json_parse(rest);
	if (surface->read_members)
		(void)surface->read_members(&members, &arena, &selection, &fault);
	answer(surface, rest, &arena);
	sl_arena_release(&arena);
	return 0;
}
