/* steer.c - locating and editing what steers a request. */
#include "shapes/steer.h"

#include "base/buf.h"
#include "base/compiler.h"

enum { CHOICES_MAX = 1024, QUOTED_MAX_SIZE = 64 * 1024 };

void
sl_steer_init(struct sl_steer *steer, const struct sl_shape_input *input)
{
	const size_t behind = offsetof(struct sl_steer, found) + sizeof(steer->found);

	/* What was found is read where its type says that it was. */
	memset(steer, 0, offsetof(struct sl_steer, found));
	memset((char *)steer + behind, 0, sizeof(*steer) - behind);
	for (size_t i = 0; i < SL_SHAPE_WANTS_MAX; i++)
		steer->found[i].type = SL_JSON_NONE;
	steer->framing = SL_FRAMING_WHOLE;
	steer->max_output_tokens = -1;
	steer->choices = 1;
	steer->input = *input;
}

static bool
refuse(struct sl_reading *reading, enum sl_fault_kind kind, struct sl_slice param,
       struct sl_slice message)
{
	sl_fault_set(reading->fault, kind, message);
	reading->fault->param = param;
	return false;
}

/* The key that starts at an offset of the body, for the fault's param. */
static struct sl_slice
key_at(struct sl_slice body, size_t offset)
{
	struct sl_slice rest = sl_slice_from(body, offset);

	if (rest.len == 0 || rest.ptr[0] != '"')
		return SL_SLICE_NONE;
	rest = sl_slice_from(rest, 1);
	return sl_slice_cut(&rest, '"');
}

bool
sl_steer_scan(struct sl_reading *reading)
{
	struct sl_steer *steer = reading->steer;
	struct sl_slice body = steer->input.body;
	struct sl_json_error at = { 0 };
	struct sl_slice param = SL_SLICE_NONE;
	enum sl_err err;

	if (body.len == 0)
		return refuse(reading, SL_FAULT_BAD_JSON, SL_SLICE_NONE,
		              SL_SLICE("The request has no body; send a JSON object."));
	err = sl_json_scan(body, &sl_json_limits_default, reading->wants, reading->want_count,
	                   steer->found, &steer->top, &at);
	switch (err) {
	case SL_OK:
		return true;
	case SL_EDUPLICATE:
		param = key_at(body, at.offset);
		return refuse(reading, SL_FAULT_BAD_REQUEST, param,
		              sl_arena_printf(reading->arena, "%.*s: %s (byte %zu).",
		                              SL_ARG(param), at.reason, at.offset));
	case SL_ELIMIT:
		return refuse(reading, SL_FAULT_BAD_REQUEST, SL_SLICE_NONE,
		              sl_arena_printf(reading->arena, "Request body: %s (byte %zu).",
		                              at.reason, at.offset));
	case SL_ETYPE:
		return refuse(reading, SL_FAULT_BAD_TYPE, SL_SLICE_NONE,
		              SL_SLICE("The request body must be a JSON object."));
	default:
		return refuse(reading, SL_FAULT_BAD_JSON, SL_SLICE_NONE,
		              sl_arena_printf(reading->arena,
		                              "The request body is not valid JSON: %s (byte %zu).",
		                              at.reason ? at.reason : sl_err_text(err),
		                              at.offset));
	}
}

static struct sl_json
value_of(const struct sl_reading *reading, size_t want)
{
	return sl_json_found_value(reading->steer->input.body, &reading->steer->found[want]);
}

static bool
wrong_type(struct sl_reading *reading, size_t want, const char *expected)
{
	const char *path = reading->wants[want].path;
	enum sl_json_type type = reading->steer->found[want].type;

	return refuse(reading, SL_FAULT_BAD_TYPE, sl_slice_str(path),
	              type == SL_JSON_NUMBER && strcmp(expected, "an integer") == 0
	                  ? sl_arena_printf(reading->arena, "'%s' must be an integer of at most "
	                                                    "64 bits.", path)
	                  : sl_arena_printf(reading->arena, "'%s' must be %s, not %s.", path,
	                                    expected, sl_json_type_name(type)));
}

/* Whether the caller said anything: neither absent nor null. */
static bool
given(const struct sl_reading *reading, size_t want)
{
	return reading->steer->found[want].type > SL_JSON_NULL;
}

bool
sl_steer_string(struct sl_reading *reading, size_t want, struct sl_slice *out)
{
	if (reading->steer->found[want].type == SL_JSON_NONE)
		return true;
	return sl_json_string(value_of(reading, want), reading->arena, out) ||
	       wrong_type(reading, want, "a string");
}

bool
sl_steer_bool(struct sl_reading *reading, size_t want, bool *out)
{
	enum sl_json_type type = reading->steer->found[want].type;

	if (!given(reading, want))
		return true;
	if (type != SL_JSON_TRUE && type != SL_JSON_FALSE)
		return wrong_type(reading, want, "a boolean");
	*out = type == SL_JSON_TRUE;
	return true;
}

static bool
steer_int(struct sl_reading *reading, size_t want, int64_t *out)
{
	return !given(reading, want) || sl_json_i64(value_of(reading, want), out) ||
	       wrong_type(reading, want, "an integer");
}

bool
sl_steer_object(struct sl_reading *reading, size_t want)
{
	return !given(reading, want) ||
	       reading->steer->found[want].type == SL_JSON_OBJECT ||
	       wrong_type(reading, want, "an object");
}

bool
sl_steer_limit(struct sl_reading *reading, size_t want, int64_t *out)
{
	int64_t value = -1;

	if (!steer_int(reading, want, &value))
		return false;
	if (value >= 0)
		*out = value;
	return true;
}

bool
sl_steer_choices(struct sl_reading *reading, size_t want, int64_t *out)
{
	const char *path = reading->wants[want].path;

	if (!steer_int(reading, want, out))
		return false;
	if (*out >= 1 && *out <= CHOICES_MAX)
		return true;
	return refuse(reading, SL_FAULT_BAD_REQUEST, sl_slice_str(path),
	              sl_arena_printf(reading->arena, "'%s' must be from 1 to %d.", path,
	                              CHOICES_MAX));
}

void
sl_steer_end_user(struct sl_reading *reading, size_t want)
{
	if (reading->steer->end_user.len == 0)
		(void)sl_json_string(value_of(reading, want), reading->arena,
		                     &reading->steer->end_user);
}

bool
sl_steer_common(struct sl_reading *reading)
{
	struct sl_steer *steer = reading->steer;

	return sl_steer_string(reading, SL_WANT_MODEL, &steer->model) &&
	       sl_steer_bool(reading, SL_WANT_STREAM, &steer->stream);
}

void
sl_shape_members(const struct sl_steer *steer, struct sl_json *astrolabe, struct sl_json *nexus,
                 struct sl_json *sto_payload)
{
	struct sl_slice body = steer->input.body;

	*astrolabe = sl_json_found_value(body, &steer->found[SL_WANT_METADATA_ASTROLABE]);
	*nexus = sl_json_found_value(body, &steer->found[SL_WANT_NEXUS]);
	*sto_payload = sl_json_found_value(body, &steer->found[SL_WANT_STO_PAYLOAD]);
}

/* --- forward ---------------------------------------------------------------- */

/* Whether the text stands in a string as it is: names of models do. */
static bool
is_plain(struct sl_slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
			return false;
	}
	return true;
}

enum sl_err
sl_steer_quote(struct sl_slice text, struct sl_arena *arena, struct sl_slice *out)
{
	struct sl_buf buf;
	enum sl_err err;

	if (text.len < QUOTED_MAX_SIZE - 2 && is_plain(text)) {
		char *quoted = sl_arena_alloc(arena, text.len + 2);

		if (!quoted)
			return SL_ENOMEM;
		quoted[0] = quoted[text.len + 1] = '"';
		memcpy(quoted + 1, text.ptr, text.len);
		*out = sl_slice_make(quoted, text.len + 2);
		return SL_OK;
	}
	sl_buf_init(&buf, QUOTED_MAX_SIZE);
	err = sl_json_quote(&buf, text);
	if (err == SL_OK) {
		*out = sl_arena_dup(arena, sl_buf_slice(&buf));
		if (!out->ptr)
			err = SL_ENOMEM;
	}
	sl_buf_release(&buf);
	return err;
}

static enum sl_err
splice_version(const struct sl_steer *steer, const char *version, struct sl_arena *arena,
               struct sl_json_splice *splice)
{
	const struct sl_json_found *model = &steer->found[SL_WANT_MODEL];
	struct sl_slice quoted;
	enum sl_err err = sl_steer_quote(sl_slice_str(version), arena, &quoted);

	if (err == SL_OK)
		err = sl_json_splice_insert(splice, &steer->top, SL_SLICE("anthropic_version"),
		                            quoted);
	if (err == SL_OK && model->type != SL_JSON_NONE)
		err = sl_json_splice_remove(splice, model);
	return err;
}

static enum sl_err
splice_model(const struct sl_steer *steer, const struct sl_shape_target *target,
             struct sl_arena *arena, struct sl_json_splice *splice)
{
	const struct sl_json_found *found = &steer->found[SL_WANT_MODEL];
	struct sl_slice quoted;
	enum sl_err err;

	if (target->body_version)
		return splice_version(steer, target->body_version, arena, splice);
	if (found->type == SL_JSON_NONE ? target->model_in_path
	                                : sl_slice_eq(steer->model, target->model))
		return SL_OK;
	/* Where the caller names the provider alone, it is the provider's own default. */
	if (target->model.len == 0)
		return SL_OK;
	err = sl_steer_quote(target->model, arena, &quoted);
	if (err != SL_OK)
		return err;
	if (found->type == SL_JSON_NONE)
		return sl_json_splice_insert(splice, &steer->top, SL_SLICE("model"), quoted);
	return sl_json_splice_replace(splice, found, quoted);
}

static enum sl_err
splice_own_members(const struct sl_steer *steer, struct sl_json_splice *splice)
{
	const struct sl_json_found *metadata = &steer->found[SL_WANT_METADATA];
	const struct sl_json_found *astrolabe = &steer->found[SL_WANT_METADATA_ASTROLABE];
	enum sl_err err = SL_OK;

	if (astrolabe->type != SL_JSON_NONE)
		err = sl_json_splice_remove(splice,
		                            metadata->member_count == 1 ? metadata : astrolabe);
	for (size_t i = SL_WANT_NEXUS; err == SL_OK && i <= SL_WANT_STO_PAYLOAD; i++)
		if (steer->found[i].type != SL_JSON_NONE)
			err = sl_json_splice_remove(splice, &steer->found[i]);
	return err;
}

/* Members of an object into the document that the splice is of, where it has none of
 * the name. */
static enum sl_err
splice_extensions(struct sl_json extensions, const struct sl_json_found *top,
                  struct sl_arena *arena, struct sl_json_splice *splice)
{
	struct sl_json_iter it;
	struct sl_json body;
	enum sl_err err = SL_OK;

	if (extensions.type != SL_JSON_OBJECT)
		return SL_OK;
	it = sl_json_iter(extensions);
	body = sl_json_parse(splice->doc);
	while (err == SL_OK && sl_json_next(&it)) {
		struct sl_slice name;
		char *text = NULL;

		if (sl_json_unescape(it.key, arena, &name))
			text = sl_arena_strdup(arena, name);
		if (!text)
			return SL_ENOMEM;
		if (sl_json_get(body, text).type == SL_JSON_NONE)
			err = sl_json_splice_insert(splice, top, it.key, it.value.raw);
	}
	return err;
}

enum sl_err
sl_steer_splice(const struct sl_steer *steer, const struct sl_shape_target *target,
                struct sl_arena *arena, struct sl_json_splice *splice)
{
	enum sl_err err;

	sl_json_splice_init(splice, steer->input.body);
	err = splice_model(steer, target, arena, splice);
	if (err == SL_OK)
		err = splice_own_members(steer, splice);
	return err == SL_OK ? splice_extensions(target->extensions, &steer->top, arena, splice)
	                    : err;
}

enum sl_err
sl_shape_extend(struct sl_slice body, struct sl_json extensions, struct sl_arena *arena,
                struct sl_forward *out)
{
	struct sl_json_splice splice;
	struct sl_json_found top;
	enum sl_err err = sl_json_scan(body, NULL, NULL, 0, NULL, &top, NULL);

	if (err != SL_OK)
		return err;
	sl_json_splice_init(&splice, body);
	err = splice_extensions(extensions, &top, arena, &splice);
	return err == SL_OK ? sl_steer_finish(&splice, out) : err;
}

enum sl_err
sl_steer_put_limit(const struct sl_steer *steer, const struct sl_shape_target *target,
                   const char *name, struct sl_arena *arena, struct sl_json_splice *splice)
{
	struct sl_slice text;

	if (target->max_output_tokens <= 0)
		return SL_OK;
	text = sl_arena_u64(arena, (uint64_t)target->max_output_tokens);
	return text.ptr ? sl_json_splice_insert(splice, &steer->top, sl_slice_str(name), text)
	                : SL_ENOMEM;
}

enum sl_err
sl_steer_finish(struct sl_json_splice *splice, struct sl_forward *out)
{
	int count = sl_json_splice_slices(splice, out->body, SL_FORWARD_SLICES_MAX);

	if (count < 0)
		return (enum sl_err)count;
	out->body_count = (size_t)count;
	return SL_OK;
}

enum sl_err
sl_steer_forward(const struct sl_steer *steer, const struct sl_shape_target *target,
                 struct sl_arena *arena, struct sl_forward *out)
{
	SL_UNINIT struct sl_json_splice splice; /* read up to its counts */
	enum sl_err err = sl_steer_splice(steer, target, arena, &splice);

	sl_forward_clear(out);
	return err == SL_OK ? sl_steer_finish(&splice, out) : err;
}
