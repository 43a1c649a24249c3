/* flow.c - the order of an answer's events, whatever the order in which a
 * provider told them. The invariants are in flow.h.
 *
 * Blocks stand in one list in the order of opening. The first of each choice is
 * its front: what is said of it is told at once; what is said of the others waits
 * in their buffers until the ones before are closed.
 */
#include "shapes/flow.h"

#include <stdlib.h>
#include <string.h>

#include "base/rand.h"

/* How far the arguments of a call are: fed with what stands between the quotes of
 * JSON strings, so an escape may be cut by the end of a piece. */
struct progress {
	uint32_t depth;
	bool     began, complete;
	bool     in_string, escaped; /* of the inner JSON */
	uint8_t  outer;              /* 0, or the state of an escape of the outer string */
	uint32_t unit;               /* \uXXXX so far */
};

struct sl_flow_block {
	int               choice;
	int64_t           key;
	enum sl_part_kind kind;
	bool              told;    /* OPEN was */
	bool              closed;  /* by the decoder */
	bool              has_delta;
	bool              custom, summary, redacted;
	bool              whole_input; /* an emulated free-form tool: told at its end */
	int               number;  /* I2 */
	int               call;    /* among the calls */
	struct sl_slice   id, name, item_id;
	struct sl_slice   signature; /* malloc'd copy, because it may be replaced */
	struct sl_buf     waiting;   /* escaped text */
	struct progress   progress;
};

struct sl_flow_choice {
	int            next_number;
	int            calls;
	bool           used;
	bool           answered; /* by a call of setup.answer_tool */
	enum sl_stop   stop;
	struct sl_text sequence; /* on the arena */
};

void
sl_flow_init(struct sl_flow *flow, const struct sl_flow_setup *setup)
{
	*flow = (struct sl_flow){ .setup = *setup };
	flow->next_id = setup->seed ? setup->seed : sl_rand_u64();
}

static void
free_block(struct sl_flow *flow, struct sl_flow_block *block)
{
	flow->waiting_size -= block->waiting.len;
	sl_buf_release(&block->waiting);
	free((void *)(uintptr_t)block->signature.ptr);
}

void
sl_flow_release(struct sl_flow *flow)
{
	for (size_t i = 0; i < flow->block_count; i++)
		free_block(flow, &flow->blocks[i]);
	free(flow->blocks);
	free(flow->choices);
	flow->blocks = NULL;
	flow->choices = NULL;
	flow->block_count = flow->choice_count = 0;
}

static void
tell(struct sl_flow *flow, const struct sl_event *event)
{
	flow->setup.sink.on_event(flow->setup.sink.context, event);
}

static void
fail_with(struct sl_flow *flow, enum sl_fault_kind kind, struct sl_slice message)
{
	struct sl_fault fault;

	sl_fault_set(&fault, kind, message);
	sl_flow_fail(flow, &fault);
}

static void
out_of_memory(struct sl_flow *flow)
{
	fail_with(flow, SL_FAULT_OVERLOADED, SL_SLICE("The gateway is out of memory."));
}

void
sl_flow_start(struct sl_flow *flow, struct sl_text id, struct sl_text model, int64_t created_s)
{
	struct sl_event event = { .kind = SL_EVENT_START, .id = id, .model = model,
		                  .created_s = created_s, .usage = &flow->usage };
	struct sl_slice name;

	if (flow->started || flow->ended)
		return;
	flow->started = true;
	if (!sl_text_empty(model) && sl_text_utf8(model, flow->setup.arena, &name))
		flow->model = sl_arena_dup(flow->setup.arena, name);
	tell(flow, &event);
}

/* Whether anything more may be told; starts a flow that was not started. */
static bool
goes_on(struct sl_flow *flow)
{
	if (!flow->started && !flow->ended)
		sl_flow_start(flow, SL_TEXT_NONE, SL_TEXT_NONE, 0);
	return !flow->ended;
}

static struct sl_flow_choice *
choice_at(struct sl_flow *flow, int choice)
{
	size_t want = (size_t)choice + 1;

	if (choice < 0 || choice >= SL_CHOICES_MAX)
		return NULL;
	if (want > flow->choice_count) {
		struct sl_flow_choice *more =
		    realloc(flow->choices, want * sizeof(*flow->choices));

		if (!more)
			return NULL;
		memset(more + flow->choice_count, 0,
		       (want - flow->choice_count) * sizeof(*more));
		flow->choices = more;
		flow->choice_count = want;
	}
	flow->choices[choice].used = true;
	return &flow->choices[choice];
}

static struct sl_flow_block *
find(const struct sl_flow *flow, int choice, int64_t key)
{
	for (size_t i = flow->block_count; i > 0; i--) {
		struct sl_flow_block *block = &flow->blocks[i - 1];

		if (block->choice == choice && block->key == key && !block->closed)
			return block;
	}
	return NULL;
}

bool
sl_flow_is_open(const struct sl_flow *flow, int choice, int64_t key)
{
	return find(flow, choice, key) != NULL;
}

bool
sl_flow_has_delta(const struct sl_flow *flow, int choice, int64_t key)
{
	const struct sl_flow_block *block = find(flow, choice, key);

	return block && block->has_delta;
}

/* --- arguments --------------------------------------------------------------------- */

static void
progress_inner(struct progress *p, unsigned char c)
{
	if (p->in_string) {
		if (p->escaped)
			p->escaped = false;
		else if (c == '\\')
			p->escaped = true;
		else if (c == '"')
			p->in_string = false;
		return;
	}
	if (c == '"') {
		p->in_string = true;
	} else if (c == '{' || c == '[') {
		p->depth++;
		p->began = true;
	} else if ((c == '}' || c == ']') && p->depth > 0) {
		p->complete = --p->depth == 0;
	}
}

static void
progress_escape(struct progress *p, unsigned char c)
{
	if (p->outer == 1) {
		if (c == 'u') {
			p->outer = 2;
			p->unit = 0;
			return;
		}
		p->outer = 0;
		progress_inner(p, c == 'n' || c == 't' || c == 'r' || c == 'b' || c == 'f' ? ' ' : c);
		return;
	}
	p->unit = p->unit << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	if (++p->outer < 6)
		return;
	p->outer = 0;
	progress_inner(p, p->unit < 0x80 ? (unsigned char)p->unit : 'x');
}

static void
progress_feed(struct progress *p, struct sl_text text)
{
	const unsigned char *at = (const unsigned char *)text.raw.ptr, *end = at + text.raw.len;

	if (text.json) {
		at++;
		end--;
	}
	for (; at < end; at++) {
		if (p->outer)
			progress_escape(p, *at);
		else if (text.json && *at == '\\')
			p->outer = 1;
		else
			progress_inner(p, *at);
	}
}

/* --- telling ------------------------------------------------------------------------- */

static struct sl_slice
mint_id(struct sl_flow *flow)
{
	uint64_t mixed = ++flow->next_id;

	mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
	return sl_arena_printf(flow->setup.arena, "call_%016llx%08llx",
	                       (unsigned long long)(mixed ^ mixed >> 31),
	                       (unsigned long long)(flow->next_id & 0xffffffff));
}

static struct sl_slice
seal(struct sl_flow *flow, const struct sl_flow_block *block, struct sl_arena *arena)
{
	struct sl_sealed what = { SL_SEAL_SIGNATURE, flow->setup.issuer, block->signature };

	if (block->redacted)
		what.kind = SL_SEAL_REDACTED;
	else if (block->signature.len == 0)
		what.kind = SL_SEAL_NONE;
	return flow->setup.sealer ? sl_seal(flow->setup.sealer, &what, arena) : SL_SLICE_NONE;
}

/* The id for the caller: legal, and with the signature on it where only ids come
 * back. */
static struct sl_slice
callers_id(struct sl_flow *flow, struct sl_flow_block *block, struct sl_arena *scratch)
{
	struct sl_slice id = block->id.len ? block->id : mint_id(flow), token;

	id = sl_call_id_map(flow->setup.call_ids, id, scratch);
	if (!flow->setup.id_carries || !flow->setup.sealed || block->signature.len == 0)
		return id;
	token = seal(flow, block, scratch);
	if (token.len == 0)
		return id;
	return sl_arena_join(scratch, (struct sl_slice[]){ id, SL_SLICE("__"), token }, 3);
}

static void
tell_open(struct sl_flow *flow, struct sl_flow_block *block)
{
	struct sl_event event = { .kind = SL_EVENT_OPEN, .choice = block->choice,
		                  .block_kind = block->kind, .summary = block->summary,
		                  .redacted = block->redacted, .item_id = block->item_id,
		                  .custom = block->custom };
	const struct sl_tool_name *back;
	struct sl_arena scratch;

	if (block->kind == SL_PART_TOOL_CALL && flow->setup.answer_tool.len &&
	    sl_slice_eq(block->name, flow->setup.answer_tool)) {
		event.block_kind = block->kind = SL_PART_TEXT;
		flow->choices[block->choice].answered = true;
	}
	block->told = true;
	event.block = block->number = flow->choices[block->choice].next_number++;
	if (block->kind != SL_PART_TOOL_CALL) {
		tell(flow, &event);
		return;
	}
	event.call = block->call = flow->choices[block->choice].calls++;
	sl_arena_init(&scratch, 512, 0);
	back = sl_tool_names_back(flow->setup.names, block->name);
	event.name = sl_text_plain(back ? back->caller : block->name);
	if (back && back->custom && !block->custom)
		event.custom = block->custom = block->whole_input = true;
	event.id = sl_text_plain(callers_id(flow, block, &scratch));
	tell(flow, &event);
	sl_arena_release(&scratch);
}

static void
tell_delta(struct sl_flow *flow, const struct sl_flow_block *block, struct sl_text text,
           bool brief)
{
	const struct sl_event event = { .kind = SL_EVENT_DELTA, .choice = block->choice,
		                        .block = block->number, .block_kind = block->kind,
		                        .text = text, .brief = brief, .call = block->call,
		                        .custom = block->custom };

	if (!sl_text_empty(text))
		tell(flow, &event);
}

/* What waited, as one literal. */
static void
tell_waiting(struct sl_flow *flow, struct sl_flow_block *block)
{
	struct sl_buf literal;

	if (block->waiting.len == 0)
		return;
	sl_buf_init(&literal, block->waiting.len + 2);
	sl_buf_reserve(&literal, block->waiting.len + 2);
	sl_buf_append_char(&literal, '"');
	sl_buf_append(&literal, sl_buf_slice(&block->waiting));
	sl_buf_append_char(&literal, '"');
	flow->waiting_size -= block->waiting.len;
	sl_buf_release(&block->waiting);
	if (literal.failed)
		out_of_memory(flow);
	else
		tell_delta(flow, block, (struct sl_text){ sl_buf_slice(&literal), true }, true);
	sl_buf_release(&literal);
}

/* {"input": "..."} of a function that stands for a free-form tool. */
static void
tell_input(struct sl_flow *flow, struct sl_flow_block *block)
{
	struct sl_arena scratch;
	struct sl_buf literal;
	struct sl_slice json;
	struct sl_text input;

	sl_arena_init(&scratch, 1024, 0);
	sl_buf_init(&literal, block->waiting.len + 2);
	sl_buf_append_char(&literal, '"');
	sl_buf_append(&literal, sl_buf_slice(&block->waiting));
	sl_buf_append_char(&literal, '"');
	if (!literal.failed &&
	    sl_json_string(sl_json_parse(sl_buf_slice(&literal)), &scratch, &json)) {
		input = SL_TEXT_NONE;
		if (sl_json_validate(json, NULL, NULL) == SL_OK)
			input = sl_text_json(sl_json_get(sl_json_parse(json), "input"));
		/* A model that did not keep to the form: its words as they are. */
		tell_delta(flow, block, input.json ? input : sl_text_plain(json), true);
	}
	flow->waiting_size -= block->waiting.len;
	sl_buf_release(&block->waiting);
	sl_buf_release(&literal);
	sl_arena_release(&scratch);
}

static void
tell_signature(struct sl_flow *flow, const struct sl_flow_block *block)
{
	struct sl_event event = { .kind = SL_EVENT_SIGNATURE, .choice = block->choice,
		                  .block = block->number, .block_kind = block->kind,
		                  .redacted = block->redacted,
		                  .signature = block->signature };
	struct sl_arena scratch;

	if (block->signature.len == 0 &&
	    (block->kind != SL_PART_REASONING || !flow->setup.sealed))
		return;
	if (!flow->setup.sealed) {
		tell(flow, &event);
		return;
	}
	sl_arena_init(&scratch, 1024, 0);
	event.signature = seal(flow, block, &scratch);
	event.token_only = block->signature.len == 0;
	if (event.signature.len)
		tell(flow, &event);
	sl_arena_release(&scratch);
}

static void
tell_close(struct sl_flow *flow, struct sl_flow_block *block)
{
	const struct sl_event event = { .kind = SL_EVENT_CLOSE, .choice = block->choice,
		                        .block = block->number, .block_kind = block->kind,
		                        .custom = block->custom, .redacted = block->redacted };

	if (block->whole_input)
		tell_input(flow, block);
	else if (block->kind == SL_PART_TOOL_CALL && !block->has_delta && !block->custom)
		tell_delta(flow, block, sl_text_plain(SL_SLICE("{}")), false);
	tell_signature(flow, block);
	tell(flow, &event);
}

static void
remove_block(struct sl_flow *flow, size_t index)
{
	free_block(flow, &flow->blocks[index]);
	flow->block_count--;
	memmove(&flow->blocks[index], &flow->blocks[index + 1],
	        (flow->block_count - index) * sizeof(*flow->blocks));
}

/* Tells all that need not wait any longer. */
static void
advance(struct sl_flow *flow, int choice)
{
	for (size_t i = 0; i < flow->block_count && !flow->ended;) {
		struct sl_flow_block *block = &flow->blocks[i];

		if (block->choice != choice) {
			i++;
			continue;
		}
		if (!block->told && block->kind == SL_PART_TOOL_CALL && block->name.len == 0) {
			if (!block->closed)
				return;
			/* A call of nothing: there is nobody who could answer it. */
			remove_block(flow, i);
			continue;
		}
		if (!block->told)
			tell_open(flow, block);
		if (!block->whole_input)
			tell_waiting(flow, block);
		if (!block->closed || flow->ended)
			return;
		tell_close(flow, block);
		remove_block(flow, i);
	}
}

static bool
is_front(const struct sl_flow_block *block)
{
	return block->told && !block->whole_input && block->waiting.len == 0;
}

/* --- what decoders say ------------------------------------------------------------------ */

static struct sl_slice
keep_text(struct sl_flow *flow, struct sl_text text)
{
	struct sl_slice utf8;

	if (sl_text_empty(text) || !sl_text_utf8(text, flow->setup.arena, &utf8))
		return SL_SLICE_NONE;
	return sl_arena_dup(flow->setup.arena, utf8);
}

static void
close_complete_calls(struct sl_flow *flow, int choice)
{
	bool any = false;

	for (size_t i = 0; i < flow->block_count; i++) {
		struct sl_flow_block *block = &flow->blocks[i];

		if (block->choice == choice && block->kind == SL_PART_TOOL_CALL &&
		    !block->closed && block->progress.complete && block->name.len)
			any = block->closed = true;
	}
	if (any)
		advance(flow, choice);
}

static struct sl_flow_block *
add_block(struct sl_flow *flow)
{
	if (flow->block_count == flow->block_room) {
		size_t room = flow->block_room ? flow->block_room * 2 : 4;
		struct sl_flow_block *more;

		more = room <= SL_FLOW_BLOCKS_MAX ? realloc(flow->blocks, room * sizeof(*more))
		                                  : NULL;
		if (!more)
			return NULL;
		flow->blocks = more;
		flow->block_room = room;
	}
	return &flow->blocks[flow->block_count++];
}

void
sl_flow_open(struct sl_flow *flow, const struct sl_flow_open *open)
{
	struct sl_flow_choice *choice;
	struct sl_flow_block *block;

	if (!goes_on(flow) || find(flow, open->choice, open->key))
		return;
	choice = choice_at(flow, open->choice);
	if (choice)
		close_complete_calls(flow, open->choice);
	block = choice && choice->next_number < SL_FLOW_TOTAL_MAX ? add_block(flow) : NULL;
	if (!block) {
		fail_with(flow, SL_FAULT_UPSTREAM_BROKEN,
		          SL_SLICE("The provider's answer has too many parts at once."));
		return;
	}
	*block = (struct sl_flow_block){ .choice = open->choice, .key = open->key,
		                         .kind = open->kind, .custom = open->custom,
		                         .summary = open->summary, .redacted = open->redacted };
	sl_buf_init(&block->waiting, SL_FLOW_WAITING_MAX);
	block->id = keep_text(flow, open->id);
	block->name = keep_text(flow, open->name);
	if (open->item_id.len)
		block->item_id = sl_arena_dup(flow->setup.arena, open->item_id);
	if (open->signature.len)
		sl_flow_signature(flow, open->choice, open->key, open->signature);
	if (open->kind == SL_PART_TOOL_CALL)
		flow->content = true;
	/* A call may still be waiting for its id. */
	if (open->kind != SL_PART_TOOL_CALL || block->id.len)
		advance(flow, open->choice);
}

void
sl_flow_call(struct sl_flow *flow, int choice, int64_t key, struct sl_text id,
             struct sl_text name)
{
	struct sl_flow_block *block = find(flow, choice, key);

	if (!block || block->told || flow->ended)
		return;
	if (block->id.len == 0)
		block->id = keep_text(flow, id);
	if (block->name.len == 0)
		block->name = keep_text(flow, name);
	if (block->id.len && block->name.len)
		advance(flow, choice);
}

void
sl_flow_delta(struct sl_flow *flow, int choice, int64_t key, struct sl_text text)
{
	struct sl_flow_block *block = find(flow, choice, key);
	size_t before;

	if (!block || flow->ended || sl_text_empty(text))
		return;
	flow->content = true;
	block->has_delta = true;
	if (block->kind == SL_PART_TOOL_CALL) {
		if (!block->progress.complete)
			progress_feed(&block->progress, text);
		/* Arguments come: the id is not to be waited for any longer. */
		if (!block->told)
			advance(flow, choice);
		block = find(flow, choice, key);
	}
	if (!block || is_front(block)) {
		if (block)
			tell_delta(flow, block, text, false);
		return;
	}
	before = block->waiting.len;
	sl_text_append(&block->waiting, text);
	flow->waiting_size += block->waiting.len - before;
	if (block->waiting.failed || flow->waiting_size > SL_FLOW_WAITING_MAX)
		fail_with(flow, SL_FAULT_UPSTREAM_BROKEN,
		          SL_SLICE("The provider's answer interleaves more than this gateway can "
		                   "put in order."));
}

void
sl_flow_signature(struct sl_flow *flow, int choice, int64_t key, struct sl_slice signature)
{
	struct sl_flow_block *block = find(flow, choice, key);
	char *copy;

	if (!block || flow->ended || signature.len == 0)
		return;
	copy = malloc(signature.len);
	if (!copy || signature.len > SL_SEAL_PAYLOAD_MAX) {
		free(copy);
		out_of_memory(flow);
		return;
	}
	memcpy(copy, signature.ptr, signature.len);
	free((void *)(uintptr_t)block->signature.ptr);
	block->signature = sl_slice_make(copy, signature.len);
}

void
sl_flow_citation(struct sl_flow *flow, int choice, int64_t key,
                 const struct sl_citation *citation)
{
	struct sl_flow_block *block = find(flow, choice, key);
	struct sl_event event = { .kind = SL_EVENT_CITATION, .choice = choice,
		                  .block_kind = SL_PART_TEXT, .citation = citation };

	/* One of a block that waits would come before its text. */
	if (!block || flow->ended || !is_front(block))
		return;
	event.block = block->number;
	tell(flow, &event);
}

void
sl_flow_logprobs(struct sl_flow *flow, int choice, int64_t key, struct sl_slice raw)
{
	struct sl_flow_block *block = find(flow, choice, key);
	struct sl_event event = { .kind = SL_EVENT_LOGPROBS, .choice = choice,
		                  .block_kind = SL_PART_TEXT, .logprobs = raw };

	if (!block || flow->ended || !is_front(block))
		return;
	event.block = block->number;
	tell(flow, &event);
}

void
sl_flow_close(struct sl_flow *flow, int choice, int64_t key)
{
	struct sl_flow_block *block = find(flow, choice, key);

	if (!block || flow->ended)
		return;
	block->closed = true;
	advance(flow, choice);
}

static void
close_runs(struct sl_flow *flow, int choice, int64_t but)
{
	bool any = false;

	for (size_t i = 0; i < flow->block_count; i++) {
		struct sl_flow_block *block = &flow->blocks[i];

		if (block->choice == choice && block->key != but && !block->closed &&
		    block->kind != SL_PART_TOOL_CALL)
			any = block->closed = true;
	}
	if (any)
		advance(flow, choice);
}

void
sl_flow_run(struct sl_flow *flow, int choice, int64_t key, enum sl_part_kind kind,
            struct sl_text text)
{
	const struct sl_flow_open open = { .choice = choice, .key = key, .kind = kind };

	if (sl_text_empty(text) || !goes_on(flow))
		return;
	if (!find(flow, choice, key)) {
		close_runs(flow, choice, key);
		sl_flow_open(flow, &open);
	}
	sl_flow_delta(flow, choice, key, text);
}

void
sl_flow_part(struct sl_flow *flow, int choice, const struct sl_part *part)
{
	struct sl_event event = { .kind = SL_EVENT_PART, .choice = choice,
		                  .block_kind = part->kind, .part = part };
	struct sl_flow_choice *at;

	/* A block that says nothing cannot be passed on. */
	if (part->kind == SL_PART_OPAQUE && part->raw.len == 0)
		return;
	if (!goes_on(flow))
		return;
	close_runs(flow, choice, -1);
	close_complete_calls(flow, choice);
	at = choice_at(flow, choice);
	if (!at || at->next_number >= SL_FLOW_TOTAL_MAX)
		return;
	/* I9: a call that is still open is cut here; such grammars close their calls. */
	for (size_t i = 0; i < flow->block_count; i++)
		if (flow->blocks[i].choice == choice)
			flow->blocks[i].closed = true;
	advance(flow, choice);
	if (flow->ended)
		return;
	flow->content = true;
	event.block = flow->choices[choice].next_number++;
	tell(flow, &event);
}

void
sl_flow_usage(struct sl_flow *flow, const struct sl_usage *snapshot)
{
	const struct sl_event event = { .kind = SL_EVENT_USAGE, .usage = &flow->usage };

	sl_usage_merge(&flow->usage, snapshot);
	if (flow->started && !flow->ended)
		tell(flow, &event);
}

static void
close_all(struct sl_flow *flow, int choice)
{
	for (size_t i = 0; i < flow->block_count; i++)
		if (flow->blocks[i].choice == choice)
			flow->blocks[i].closed = true;
	advance(flow, choice);
}

void
sl_flow_stop(struct sl_flow *flow, int choice, enum sl_stop stop, struct sl_text sequence)
{
	struct sl_flow_choice *at;

	if (stop == SL_STOP_NONE || !goes_on(flow))
		return;
	at = choice_at(flow, choice);
	if (!at)
		return;
	close_all(flow, choice);
	at = choice_at(flow, choice);
	if (flow->ended || !at)
		return;
	flow->stopped = true;
	at->stop = stop;
	if (!sl_text_empty(sequence)) {
		at->sequence.raw = sl_arena_dup(flow->setup.arena, sequence.raw);
		at->sequence.json = sequence.json;
	}
}

void
sl_flow_ping(struct sl_flow *flow)
{
	const struct sl_event event = { .kind = SL_EVENT_PING };

	if (flow->started && !flow->ended)
		tell(flow, &event);
}

void
sl_flow_fail(struct sl_flow *flow, const struct sl_fault *fault)
{
	const struct sl_event event = { .kind = SL_EVENT_ERROR, .fault = fault,
		                        .usage = &flow->usage };

	if (flow->ended)
		return;
	flow->ended = flow->failed = true;
	tell(flow, &event);
}

/* Vendors say "stop" on turns that call tools, and newer Gemini says STOP in
 * another chunk than the call. */
static enum sl_stop
final_stop(const struct sl_flow_choice *choice)
{
	if (choice->calls > 0 && (choice->stop == SL_STOP_NONE || choice->stop == SL_STOP_END ||
	                      choice->stop == SL_STOP_UNKNOWN))
		return SL_STOP_TOOL_CALLS;
	if (choice->answered && choice->calls == 0 && choice->stop == SL_STOP_TOOL_CALLS)
		return SL_STOP_END;
	return choice->stop == SL_STOP_NONE ? SL_STOP_END : choice->stop;
}

void
sl_flow_end(struct sl_flow *flow)
{
	struct sl_event event = { .kind = SL_EVENT_END, .usage = &flow->usage };

	if (flow->ended)
		return;
	if (!flow->stopped) {
		fail_with(flow, SL_FAULT_UPSTREAM_CUT,
		          SL_SLICE("The provider ended its answer before it was complete."));
		return;
	}
	for (size_t i = 0; i < flow->choice_count && !flow->ended; i++) {
		struct sl_event stop = { .kind = SL_EVENT_STOP, .choice = (int)i };

		if (!flow->choices[i].used)
			continue;
		close_all(flow, (int)i);
		stop.stop = final_stop(&flow->choices[i]);
		stop.stop_sequence = flow->choices[i].sequence;
		if (i == 0)
			flow->stop = stop.stop;
		if (!flow->ended)
			tell(flow, &stop);
	}
	if (flow->ended)
		return;
	flow->ended = true;
	tell(flow, &event);
}
