/* translate.c - a request and its reply between two APIs. The lane is described in
 * translate.h, the grammar of each API in its codec.
 */
#include "pipeline/translate.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/responses.h"
#include "model/tool_map.h"
#include "pipeline/ask.h"

enum {
	BODY_FACTOR = 8,             /* an encoded body may be that much larger, */
	BODY_ROOM = 1024 * 1024,     /* and so much more */
	OUT_MAX = 64 * 1024 * 1024,  /* bytes that one piece of a reply may become */
	FRAME_CHUNK = 1024,
	KEPT_MAX = SL_RESPONSE_BYTES_MAX,
	KEPT_ROOM = 1024 * 1024,     /* of a kept answer for what is not its output */
	LANE_CHUNK = 4096,
};

static const struct sl_json_limits reply_limits = { .max_depth = 512, .max_members = 1 << 20 };

/* --- which lane ---------------------------------------------------------------------- */

/* The API that a provider is spoken to in. The list of shapes is in the order of
 * preference; where a model keeps its reasoning over Responses only, that is first. */
static const struct sl_shape_ops *
choose_via(const struct sl_provider_kind *kind, const struct sl_shape_ops *from, uint32_t rules)
{
	if ((rules & SL_RULE_RESPONSES) && sl_codec_can(from, &sl_shape_openai_responses) &&
	    sl_provider_serves(kind, &sl_shape_openai_responses))
		return &sl_shape_openai_responses;
	for (size_t i = 0; i < sl_shape_count(); i++)
		if (sl_codec_can(from, sl_shape_at(i)) && sl_provider_serves(kind, sl_shape_at(i)))
			return sl_shape_at(i);
	return NULL;
}

/* A number that the gateway can find out itself, as well as it can (count.h). */
static bool
counts(const struct sl_shape_ops *shape)
{
	return shape->codec && shape->codec->task == SL_CODEC_COUNT &&
	       shape->codec->decode_request && shape->codec->write_whole;
}

bool
sl_lane_reaches(const struct sl_provider_kind *kind, const struct sl_shape_ops *shape,
                bool own_shape_only)
{
	if (shape == &sl_shape_proxy || sl_provider_serves(kind, shape))
		return true;
	return !own_shape_only && (choose_via(kind, shape, 0) != NULL || counts(shape));
}

bool
sl_lane_ends_here(const struct sl_ask *ask, const struct sl_plan_target *target)
{
	const struct sl_provider_kind *kind = ask->world->upstreams[target->provider].kind;

	return counts(ask->shape) && !sl_provider_serves(kind, ask->shape) &&
	       !choose_via(kind, ask->shape, 0);
}

/* A provider must never see another one's sealed state. */
static bool
carries_seal(const struct sl_ask *ask)
{
	return sl_codec_can(ask->shape, ask->shape) &&
	       sl_slice_search(ask->front->steer.input.body, SL_SLICE(SL_SEAL_MARK)) >= 0;
}

static void
on_event(void *context, const struct sl_event *event)
{
	struct sl_lane *lane = context;

	if (event->kind == SL_EVENT_DELTA)
		lane->text_bytes += (int64_t)event->text.raw.len - (event->text.json ? 2 : 0);
	if (event->kind == SL_EVENT_ERROR) {
		lane->error = sl_arena_dup(lane->caller.arena, event->fault->message);
		lane->error_kind = event->fault->kind;
	}
	if (lane->streaming)
		lane->from->codec->write_event(lane->writer, &lane->caller, event, &lane->out);
	else
		sl_fold_event(&lane->fold, event);
}

static bool
open_lane(struct sl_ask *ask, const struct sl_shape_ops *via)
{
	const struct sl_codec_ops *from = ask->shape->codec, *codec = via->codec;
	struct sl_lane *lane = SL_ARENA_NEW(&ask->exchange->arena, struct sl_lane);
	struct sl_arena *arena;
	struct sl_fault fault;

	if (!lane)
		return false;
	arena = &lane->arena;
	sl_arena_init(arena, LANE_CHUNK, 0);
	lane->from = ask->shape;
	lane->via = via;
	lane->framing = codec->stream_framing;
	lane->streaming = ask->stream;
	lane->reader = sl_arena_zalloc(arena, 1, codec->reader_size + 1);
	lane->writer = sl_arena_zalloc(arena, 1, from->writer_size + 1);
	lane->caller = (struct sl_codec_caller){
		.arena = arena,
		.request_id = ask->decision.request_id,
		.wants_usage = ask->front->steer.wants_usage,
		.framing = ask->framing,
		.now_s = sl_loop_wall_ms(ask->gateway->loop) / 1000,
		.model = ask->decision.model,
		.notes = &lane->notes,
	};
	if (from->keeps_request)
		lane->caller.echo = sl_arena_dup(arena, sl_stored_body(ask));
	lane->caller.stores = sl_stored_wanted(ask, &fault);
	lane->caller.keeps_max = KEPT_MAX - KEPT_ROOM;
	sl_buf_init(&lane->kept, KEPT_MAX);
	if (lane->caller.stores && ask->stream)
		lane->caller.kept = &lane->kept;
	sl_arena_init(&lane->frame, FRAME_CHUNK, 0);
	sl_buf_init(&lane->out, OUT_MAX);
	sl_fold_init(&lane->fold, arena, true);
	ask->lane = lane;
	return lane->reader && lane->writer;
}

/* A picture by URL, which a provider of the same API cannot fetch and the gateway may. */
static bool
names_picture(const struct sl_ask *ask, const struct sl_provider_kind *kind)
{
	struct sl_slice body = ask->front->steer.input.body;

	return (kind->quirks & SL_QUIRK_INLINE_MEDIA) && ask->world->media.tls &&
	       sl_codec_can(ask->shape, ask->shape) &&
	       sl_slice_search(body, SL_SLICE("image_url")) >= 0;
}

/* A result whose call has an id that a provider of the same API refuses: somebody else
 * made the call. */
static bool
carries_long_id(const struct sl_ask *ask, const struct sl_plan_target *target)
{
	static const struct sl_slice member = SL_SLICE_INIT("\"tool_call_id\"");
	struct sl_slice rest = ask->front->steer.input.body, id;
	ptrdiff_t at;

	if (!(sl_model_rules(target->model) & SL_RULE_SHORT_CALL_IDS) ||
	    !sl_codec_can(ask->shape, ask->shape))
		return false;
	while ((at = sl_slice_search(rest, member)) >= 0) {
		rest = sl_slice_from(rest, (size_t)at + member.len);
		(void)sl_slice_cut(&rest, '"');
		id = sl_slice_cut(&rest, '"');
		if (!sl_slice_eq(sl_call_id_map(&sl_short_ids, id, &ask->exchange->arena), id))
			return true;
	}
	return false;
}

/* What an attempt speaks; NULL: the caller's bytes are sent, or the byte lane says what
 * is missing. */
static const struct sl_shape_ops *
via_of(const struct sl_ask *ask, const struct sl_plan_target *target)
{
	const struct sl_provider_kind *kind = ask->world->upstreams[target->provider].kind;

	if (ask->shape == &sl_shape_proxy || !ask->shape->codec)
		return NULL;
	if (!sl_provider_serves(kind, ask->shape))
		return choose_via(kind, ask->shape, sl_model_rules(target->model));
	return carries_seal(ask) || names_picture(ask, kind) || carries_long_id(ask, target)
	           ? ask->shape
	           : NULL;
}

bool
sl_lane_translates(const struct sl_ask *ask, const struct sl_plan_target *target)
{
	const struct sl_shape_ops *via = via_of(ask, target);

	return via && via != ask->shape;
}

enum sl_err
sl_lane_choose(struct sl_ask *ask, const struct sl_plan_target *target)
{
	const struct sl_shape_ops *via = via_of(ask, target);

	sl_lane_close(ask);
	return !via || open_lane(ask, via) ? SL_OK : SL_ENOMEM;
}

void
sl_lane_close(struct sl_ask *ask)
{
	struct sl_lane *lane = ask->lane;

	ask->lane = NULL;
	sl_lane_release(lane);
}

void
sl_lane_release(struct sl_lane *lane)
{
	if (!lane)
		return;
	if (lane->via->codec->reader_release && lane->reader)
		lane->via->codec->reader_release(lane->reader);
	if (lane->from->codec->writer_release && lane->writer)
		lane->from->codec->writer_release(lane->writer);
	sl_flow_release(&lane->flow);
	sl_fold_release(&lane->fold);
	sl_arena_release(&lane->frame);
	sl_arena_release(&lane->arena);
	sl_buf_release(&lane->kept);
	sl_buf_release(&lane->out);
}

/* --- the request ------------------------------------------------------------------------ */

static bool
decode(struct sl_ask *ask, struct sl_translation *translation)
{
	const struct sl_codec_input in = { &ask->front->steer.input, &ask->gateway->sealer,
		                           &translation->notes };

	if (translation->decoded)
		return !translation->failed;
	translation->decoded = true;
	translation->dialog.arena = &ask->front->arena;
	translation->failed =
	    !ask->shape->codec->decode_request(&in, &translation->dialog, &translation->fault);
	/* Gemini has it in the path, not in the body. */
	translation->dialog.stream = ask->stream;
	if (!translation->failed && !sl_dialog_settle(&translation->dialog, &translation->notes)) {
		translation->failed = true;
		sl_fault_set_memory(&translation->fault);
	}
	return !translation->failed;
}

/* Whether it could be decoded, now or before. */
static bool
translated(struct sl_ask *ask)
{
	struct sl_ask_front *front = ask->front;

	if (!front->translation)
		front->translation = SL_ARENA_NEW(&front->arena, struct sl_translation);
	return front->translation && decode(ask, front->translation);
}

struct sl_dialog *
sl_lane_dialog(struct sl_ask *ask, const struct sl_plan_target *target,
               const struct sl_codec_ops **codec, bool *inline_only)
{
	const struct sl_shape_ops *via = via_of(ask, target);
	unsigned quirks = ask->world->upstreams[target->provider].kind->quirks;

	if (!via || !translated(ask))
		return NULL;
	*codec = via->codec;
	*inline_only = (quirks & SL_QUIRK_INLINE_MEDIA) != 0;
	return &ask->front->translation->dialog;
}

bool
sl_lane_is_strict(const struct sl_ask *ask)
{
	struct sl_slice value =
	    sl_headers_get(&ask->exchange->request.headers, "x-gateway-strict");

	if (value.len)
		return sl_slice_is(value, "1") || sl_slice_ieq(value, SL_SLICE("true"));
	return ask->key && sl_key_policy(ask->key)->strict;
}

static enum sl_err
refuse_drop(struct sl_ask *ask, const struct sl_note *note)
{
	struct sl_arena *arena = &ask->front->arena;
	struct sl_fault *fault = &ask->front->refused;
	struct sl_slice param = sl_where_param(note->where, arena);

	sl_fault_set(fault, SL_FAULT_UNSUPPORTED,
	             sl_arena_printf(arena, "Strict: '%.*s' would be lost on the way to "
	                             "%.*s/%.*s: %s (%s).", SL_ARG(param),
	                             SL_ARG(ask->decision.provider), SL_ARG(ask->decision.model),
	                             sl_note_text(note->code), sl_note_name(note->code)));
	fault->param = param;
	return SL_EUNSUPPORTED;
}

/* Members that the caller wrote for this provider alone go in as they are, unless the
 * body has them already. */
static enum sl_err
add_extensions(const struct sl_shape_target *target, struct sl_buf *body)
{
	struct sl_json own = { SL_JSON_NONE, SL_SLICE_NONE };
	struct sl_json_iter it;

	if (target->extensions.type != SL_JSON_OBJECT || body->len < 2)
		return SL_OK;
	own = sl_json_parse(sl_buf_slice(body));
	for (it = sl_json_iter(target->extensions); sl_json_next(&it);) {
		struct sl_slice key = it.key;
		bool has = false;

		for (struct sl_json_iter in = sl_json_iter(own); !has && sl_json_next(&in);)
			has = sl_slice_eq(in.key, key);
		if (has)
			continue;
		body->len--;
		sl_buf_append_str(body, ",\"");
		sl_buf_append(body, key);
		sl_buf_append_str(body, "\":");
		sl_buf_append(body, it.value.raw);
		sl_buf_append_char(body, '}');
		own = sl_json_parse(sl_buf_slice(body));
	}
	return body->failed ? SL_ENOMEM : SL_OK;
}

/* The dialog without tools that run at another provider, where the operator wants it so
 * and none of them was insisted on. */
static const struct sl_dialog *
without_hosted(struct sl_ask *ask, const struct sl_dialog *dialog)
{
	struct sl_arena *arena = &ask->front->arena; /* notes point to what is on it */
	struct sl_lane *lane = ask->lane;
	enum sl_choice_mode mode = dialog->choice.mode;
	struct sl_dialog *copy;
	struct sl_tool **link;

	if (lane->from == lane->via || mode == SL_CHOICE_REQUIRED || mode == SL_CHOICE_NAMED ||
	    !sl_slice_is(ask->world->config->hosted_tools, "drop"))
		return dialog;
	copy = SL_ARENA_NEW(arena, struct sl_dialog);
	if (!copy)
		return dialog;
	*copy = *dialog;
	copy->tools = copy->tools_last = NULL;
	link = &copy->tools;
	for (const struct sl_tool *tool = dialog->tools; tool; tool = tool->next) {
		if (tool->kind == SL_TOOL_HOSTED) {
			sl_note(&lane->notes, SL_NOTE_hosted_tool_dropped, &tool->where);
			continue;
		}
		*link = SL_ARENA_NEW(arena, struct sl_tool);
		if (!*link)
			return dialog;
		**link = *tool;
		(*link)->next = NULL;
		copy->tools_last = *link;
		link = &(*link)->next;
	}
	return copy;
}

static enum sl_err
encode_body(struct sl_ask *ask, const struct sl_shape_target *shape_target, struct sl_buf *body)
{
	struct sl_lane *lane = ask->lane;
	struct sl_translation *translation = ask->front->translation;
	const struct sl_codec_ops *codec = lane->via->codec;
	const char *kind = ask->upstream->kind->name;
	const struct sl_codec_target target = {
		.provider = kind,
		.model = shape_target->model,
		.card = ask->card,
		.rules = sl_model_rules(shape_target->model),
		.model_in_path = shape_target->model_in_path,
		.ask_for_usage = shape_target->ask_for_usage,
		.limit = shape_target->max_output_tokens,
		.issuer = codec->issuer ? codec->issuer : kind,
	};
	struct sl_encode encode = {
		.target = &target,
		.codec = codec,
		.notes = &lane->notes,
		.fault = &ask->front->refused,
		.arena = &ask->front->arena,
		.out = body,
		/* The gateway keeps it itself, or has refused to (stored.h). */
		.taken = lane->from == &sl_shape_openai_responses ? UINT64_C(1) << SL_PARAM_STORE : 0,
	};
	const struct sl_dialog *by_tool;
	enum sl_err err;

	lane->notes = translation->notes;
	encode.dialog = without_hosted(ask, &translation->dialog);
	by_tool = lane->from == lane->via
	              ? NULL
	              : sl_encode_schema_tool(encode.dialog, codec, &target, &lane->notes,
	                                      &ask->front->arena);
	lane->answer_tool = by_tool ? SL_SLICE(SL_SCHEMA_TOOL) : SL_SLICE_NONE;
	if (by_tool)
		encode.dialog = by_tool;
	if (!sl_tool_names_make(&lane->names, encode.dialog, codec->target_names, &lane->notes,
	                        &lane->arena))
		return SL_ENOMEM;
	err = codec->encode_request(&encode);
	if (err == SL_OK)
		err = sl_encode_leftovers(&encode);
	if (err == SL_OK && lane->notes.dropped && sl_lane_is_strict(ask))
		return refuse_drop(ask, &lane->notes.first_drop);
	if (err == SL_OK && body->failed)
		return SL_ENOMEM;
	return err == SL_OK ? add_extensions(shape_target, body) : err;
}

static void
open_flow(struct sl_ask *ask)
{
	struct sl_lane *lane = ask->lane;
	const struct sl_codec_ops *from = lane->from->codec, *codec = lane->via->codec;
	const struct sl_flow_setup setup = {
		.sink = { on_event, lane },
		.arena = &lane->arena,
		.names = &lane->names,
		.call_ids = from->caller_ids,
		.sealer = &ask->gateway->sealer,
		.issuer = sl_slice_str(codec->issuer ? codec->issuer : ask->upstream->kind->name),
		.sealed = lane->from != lane->via,
		.id_carries = from->id_carries,
		.answer_tool = lane->answer_tool,
	};

	sl_flow_init(&lane->flow, &setup);
}

enum sl_err
sl_lane_encode(struct sl_ask *ask, const struct sl_shape_target *target, struct sl_forward *out)
{
	struct sl_ask_front *front = ask->front;
	size_t in_size = front->steer.input.body.len;
	struct sl_buf body;
	enum sl_err err;

	front->refused = (struct sl_fault){ 0 };
	if (!translated(ask)) {
		if (!front->translation)
			return SL_ENOMEM;
		front->refused = front->translation->fault;
		return SL_EUNSUPPORTED;
	}
	(void)sl_stored_wanted(ask, &front->refused);
	if (front->refused.kind != SL_FAULT_NONE)
		return SL_EUNSUPPORTED;
	sl_buf_init(&body, in_size * BODY_FACTOR + BODY_ROOM);
	sl_buf_reserve(&body, in_size + in_size / 4 + 512);
	err = encode_body(ask, target, &body);
	if (err == SL_OK) {
		/* The front owns it until the answer begins or the next attempt. */
		sl_buf_release(&front->body);
		front->body = body;
		*out = (struct sl_forward){ .body = { sl_buf_slice(&front->body) },
			                    .body_count = 1 };
		open_flow(ask);
		return target->extensions.type == SL_JSON_OBJECT
		           ? sl_shape_extend(sl_buf_slice(&front->body), target->extensions,
		                             &front->arena, out)
		           : SL_OK;
	}
	sl_buf_release(&body);
	return err;
}

void
sl_lane_where(const struct sl_ask *ask, struct sl_provider_request *where)
{
	const struct sl_shape_ops *via = ask->lane->via;
	const struct sl_codec_ops *codec = via->codec;
	const char *verb = ask->stream ? codec->verb_stream : codec->verb;

	where->shape = via;
	where->verb = verb ? verb : via->paths[0].verb;
	/* The caller's query is of its own API. */
	where->query = ask->stream ? sl_slice_str(codec->query_stream) : SL_SLICE_NONE;
}

/* --- the reply ------------------------------------------------------------------------------ */

static void
note_facts(struct sl_ask *ask)
{
	const struct sl_lane *lane = ask->lane;
	const struct sl_flow *flow = &lane->flow;
	struct sl_reply_facts *facts = &ask->reply.facts;

	sl_usage_merge(&facts->usage, &flow->usage);
	if (facts->usage.source == SL_USAGE_REPORTED && !flow->stopped)
		facts->usage.source = SL_USAGE_PARTIAL;
	facts->model = flow->model;
	facts->content = flow->content;
	facts->text_bytes = lane->text_bytes;
	facts->finished = flow->ended && !flow->failed;
	facts->failed = flow->failed;
	facts->error_message = lane->error;
	facts->content_filter = flow->stop == SL_STOP_FILTER || flow->stop == SL_STOP_REFUSAL;
}

/* What a frame needed is gone with it, unless it was little. */
static void
empty_frame(struct sl_lane *lane)
{
	if (!lane->frame.head)
		return;
	sl_arena_release(&lane->frame);
	sl_arena_init(&lane->frame, FRAME_CHUNK, 0);
}

/* The stream's last frame was written: what it said goes to the store first. */
static void
keep_answer(struct sl_ask *ask)
{
	struct sl_buf *kept = &ask->lane->kept;

	if (kept->len && !kept->failed)
		sl_stored_keep(ask, sl_buf_slice(kept));
	sl_buf_release(kept);
	ask->lane->caller.kept = NULL;
}

void
sl_lane_frame(struct sl_ask *ask, struct sl_slice event, struct sl_slice data)
{
	struct sl_lane *lane = ask->lane;

	lane->via->codec->read_frame(lane->reader, &lane->flow, event, data, &lane->frame);
	empty_frame(lane);
	note_facts(ask);
	if (lane->kept.len || lane->kept.failed)
		keep_answer(ask);
}

void
sl_lane_end(struct sl_ask *ask)
{
	struct sl_lane *lane = ask->lane;

	lane->via->codec->read_end(lane->reader, &lane->flow, &lane->frame);
	empty_frame(lane);
	note_facts(ask);
	if (lane->kept.len || lane->kept.failed)
		keep_answer(ask);
}

static void
fail_flow(struct sl_ask *ask, enum sl_fault_kind kind, struct sl_slice message)
{
	struct sl_fault fault;

	sl_fault_set(&fault, kind, message);
	sl_flow_fail(&ask->lane->flow, &fault);
}

void
sl_lane_whole(struct sl_ask *ask)
{
	struct sl_lane *lane = ask->lane;
	struct sl_slice body = sl_buf_slice(&ask->held);
	struct sl_json_error at = { 0 };

	if (sl_json_scan(body, &reply_limits, NULL, 0, NULL, NULL, &at) == SL_OK)
		lane->via->codec->read_whole(&lane->flow, body, &lane->frame);
	else
		fail_flow(ask, SL_FAULT_UPSTREAM_BROKEN,
		          sl_arena_printf(&ask->exchange->arena, "not a JSON object: %s (byte %zu).",
		                          at.reason ? at.reason : "empty", at.offset));
	if (!lane->flow.ended)
		sl_flow_end(&lane->flow);
	if (!lane->streaming && !lane->flow.failed) {
		if (lane->fold.done && !lane->fold.failed)
			lane->from->codec->write_whole(&lane->fold.answer, &lane->caller, &lane->out);
		else
			lane->out.failed = true;
	}
	empty_frame(lane);
	note_facts(ask);
	if (lane->kept.len || lane->kept.failed)
		keep_answer(ask);
	if (lane->flow.failed)
		return;
	if (lane->out.failed) {
		ask->held.failed = true;
		return;
	}
	sl_buf_release(&ask->held);
	ask->held = lane->out;
	ask->held.max_size = sl_relay_held_max(&ask->world->config->limits);
	sl_buf_init(&lane->out, OUT_MAX);
}

int
sl_lane_error(struct sl_ask *ask)
{
	struct sl_arena *arena = &ask->exchange->arena;
	struct sl_fault fault;
	struct sl_buf body;

	sl_codec_read_error(ask->upstream_status, sl_buf_slice(&ask->held), arena, &fault);
	/* The envelope's API calls an overload 529. */
	if (fault.kind == SL_FAULT_OVERLOADED && strcmp(ask->shape->family, "anthropic") == 0)
		fault.status = 529;
	sl_buf_init(&body, sl_relay_held_max(&ask->world->config->limits));
	ask->shape->write_fault(&fault, ask->decision.request_id, &body);
	sl_buf_release(&ask->held);
	ask->held = body;
	return sl_fault_status(&fault);
}

void
sl_lane_write_fault(struct sl_ask *ask, const struct sl_fault *fault, struct sl_buf *out)
{
	struct sl_lane *lane = ask->lane;

	sl_buf_clear(&lane->out);
	sl_flow_fail(&lane->flow, fault);
	sl_buf_append(out, sl_buf_slice(&lane->out));
	sl_buf_clear(&lane->out);
}

/* --- fields ------------------------------------------------------------------------------------ */

bool
sl_lane_passes_field(struct sl_slice name)
{
	return sl_slice_is(name, "user-agent");
}

/* The reply's own fields are of another API; what every caller can use stays. */
size_t
sl_lane_fields(struct sl_ask *ask, struct sl_header *fields, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct sl_slice name = fields[i].name;

		if (sl_slice_is(name, "request-id") || sl_slice_is(name, "x-amzn-requestid"))
			fields[kept++] = (struct sl_header){ SL_SLICE("x-upstream-request-id"),
				                             fields[i].value };
		else if (sl_slice_is(name, "retry-after") || sl_slice_is(name, "retry-after-ms"))
			fields[kept++] = fields[i];
	}
	/* sl_fields_from_upstream leaves room for one more. */
	fields[kept++] = (struct sl_header){
		SL_SLICE("content-type"),
		ask->stream && ask->upstream_status < 400 && ask->framing == SL_FRAMING_SSE
		    ? SL_SLICE("text/event-stream; charset=utf-8")
		    : SL_SLICE("application/json"),
	};
	return kept;
}

struct sl_slice
sl_lane_warnings(struct sl_ask *ask)
{
	struct sl_slice text;

	if (!ask->lane) {
		text = ask->front ? ask->front->forward.changes : SL_SLICE_NONE;
		if (text.len)
			ask->record.translation = sl_arena_dup(&ask->exchange->arena, text);
		return text;
	}
	text = sl_notes_print(&ask->lane->notes, &ask->exchange->arena);
	ask->lane->caller.notes = NULL;
	ask->record.translation = text;
	return text;
}
