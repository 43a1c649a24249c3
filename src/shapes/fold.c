/* fold.c - the events of a flow into a whole answer. */
#include <string.h>

#include "shapes/flow.h"

struct sl_fold_choice {
	struct sl_part    *part; /* the open block, NULL: none */
	struct sl_text     only; /* its one delta so far, when borrowed */
	struct sl_buf      text; /* else all of them, escaped */
	struct sl_citation **citations_end;
};

enum { FOLD_TEXT_MAX = 256 * 1024 * 1024 };

void
sl_fold_init(struct sl_fold *fold, struct sl_arena *arena, bool borrow)
{
	*fold = (struct sl_fold){ .arena = arena, .borrow = borrow };
}

void
sl_fold_release(struct sl_fold *fold)
{
	for (size_t i = 0; fold->open && i < fold->answer.choice_count; i++)
		sl_buf_release(&fold->open[i].text);
	fold->open = NULL;
}

static void
out_of_memory(struct sl_fold *fold)
{
	if (fold->failed)
		return;
	fold->failed = true;
	sl_fault_set(&fold->fault, SL_FAULT_OVERLOADED, SL_SLICE("The gateway is out of memory."));
}

static struct sl_text
keep(struct sl_fold *fold, struct sl_text text)
{
	if (text.raw.len && !(text.json && fold->borrow)) {
		text.raw = sl_arena_dup(fold->arena, text.raw);
		if (!text.raw.ptr)
			out_of_memory(fold);
	}
	return text;
}

/* Choices are few and come in order: grown by doubling. */
static bool
want_choice(struct sl_fold *fold, int choice)
{
	size_t want = (size_t)choice + 1, old = fold->answer.choice_count, room = 1;
	struct sl_alternative *choices;
	struct sl_fold_choice *open;

	if (want <= old)
		return true;
	while (room < want)
		room *= 2;
	choices = SL_ARENA_ARRAY(fold->arena, struct sl_alternative, room);
	open = SL_ARENA_ARRAY(fold->arena, struct sl_fold_choice, room);
	if (!choices || !open) {
		out_of_memory(fold);
		return false;
	}
	if (old) {
		memcpy(choices, fold->answer.choices, old * sizeof(*choices));
		memcpy(open, fold->open, old * sizeof(*open));
	}
	for (size_t i = old; i < room; i++)
		sl_buf_init(&open[i].text, FOLD_TEXT_MAX);
	fold->answer.choices = choices;
	fold->open = open;
	fold->answer.choice_count = want;
	return true;
}

static struct sl_part *
add_part(struct sl_fold *fold, struct sl_alternative *choice)
{
	struct sl_part *part = SL_ARENA_NEW(fold->arena, struct sl_part);

	if (!part) {
		out_of_memory(fold);
		return NULL;
	}
	if (choice->parts_last)
		choice->parts_last->next = part;
	else
		choice->parts = part;
	choice->parts_last = part;
	return part;
}

static void
on_open(struct sl_fold *fold, const struct sl_event *event)
{
	struct sl_fold_choice *open = &fold->open[event->choice];
	struct sl_part *part = add_part(fold, &fold->answer.choices[event->choice]);

	open->part = part;
	open->only = SL_TEXT_NONE;
	sl_buf_clear(&open->text);
	if (!part)
		return;
	part->kind = event->block_kind;
	part->summary = event->summary;
	part->redacted = event->redacted;
	part->custom = event->custom;
	part->call_id = keep(fold, event->id).raw;
	part->name = keep(fold, event->name).raw;
	part->item_id = event->item_id;
	open->citations_end = &part->citations;
}

static void
on_delta(struct sl_fold *fold, const struct sl_event *event)
{
	struct sl_fold_choice *open = &fold->open[event->choice];

	if (!open->part)
		return;
	if (fold->borrow && !event->brief && event->text.json && open->text.len == 0 && sl_text_empty(open->only)) {
		open->only = event->text;
		return;
	}
	if (!sl_text_empty(open->only)) {
		sl_text_append(&open->text, open->only);
		open->only = SL_TEXT_NONE;
	}
	sl_text_append(&open->text, event->text);
}

static void
on_close(struct sl_fold *fold, const struct sl_event *event)
{
	struct sl_fold_choice *open = &fold->open[event->choice];
	struct sl_part *part = open->part;
	struct sl_text text = open->only;

	open->part = NULL;
	if (!part)
		return;
	if (open->text.len) {
		text.raw = sl_arena_join(fold->arena,
		                         (struct sl_slice[]){ SL_SLICE("\""),
		                                              sl_buf_slice(&open->text),
		                                              SL_SLICE("\"") }, 3);
		text.json = true;
		if (!text.raw.ptr)
			out_of_memory(fold);
	}
	if (open->text.failed)
		out_of_memory(fold);
	sl_buf_release(&open->text);
	if (part->kind != SL_PART_TOOL_CALL)
		part->text = text;
	else if (!sl_text_utf8(text, fold->arena, &part->args))
		out_of_memory(fold);
}

static void
on_citation(struct sl_fold *fold, const struct sl_event *event)
{
	struct sl_fold_choice *open = &fold->open[event->choice];
	struct sl_citation *copy = SL_ARENA_NEW(fold->arena, struct sl_citation);

	if (!copy) {
		out_of_memory(fold);
		return;
	}
	if (!open->part)
		return;
	*copy = *event->citation;
	copy->next = NULL;
	copy->url = sl_arena_dup(fold->arena, copy->url);
	copy->title = keep(fold, copy->title);
	copy->quote = keep(fold, copy->quote);
	copy->raw = sl_arena_dup(fold->arena, copy->raw);
	*open->citations_end = copy;
	open->citations_end = &copy->next;
}

static void
on_part(struct sl_fold *fold, const struct sl_event *event)
{
	struct sl_part *part = add_part(fold, &fold->answer.choices[event->choice]);

	if (!part)
		return;
	*part = *event->part;
	part->next = NULL;
	if (fold->borrow)
		return;
	part->raw = sl_arena_dup(fold->arena, part->raw);
	part->media.type = sl_arena_dup(fold->arena, part->media.type);
	part->media.data = sl_arena_dup(fold->arena, part->media.data);
	part->text = keep(fold, part->text);
}

/* Several pieces of logprobs become one array. */
static void
on_logprobs(struct sl_fold *fold, const struct sl_event *event)
{
	struct sl_alternative *choice = &fold->answer.choices[event->choice];
	struct sl_slice more = sl_slice_trim(event->logprobs);

	if (choice->logprobs.len > 2 && more.len > 2)
		choice->logprobs = sl_arena_join(fold->arena, (struct sl_slice[]){
		    sl_slice_upto(choice->logprobs, choice->logprobs.len - 1), SL_SLICE(","),
		    sl_slice_from(more, 1) }, 3);
	else if (more.len > 2 || choice->logprobs.len == 0)
		choice->logprobs = sl_arena_dup(fold->arena, more);
}

static void
on_fault(struct sl_fold *fold, const struct sl_fault *fault)
{
	fold->failed = true;
	fold->fault = *fault;
	fold->fault.message = sl_arena_dup(fold->arena, fault->message);
	fold->fault.code = sl_arena_dup(fold->arena, fault->code);
	fold->fault.param = sl_arena_dup(fold->arena, fault->param);
}

void
sl_fold_event(void *context, const struct sl_event *event)
{
	struct sl_fold *fold = context;

	if (fold->failed || !want_choice(fold, event->choice))
		return;
	switch (event->kind) {
	case SL_EVENT_START:
		fold->answer.id = keep(fold, event->id);
		fold->answer.model = keep(fold, event->model);
		fold->answer.created_s = event->created_s;
		break;
	case SL_EVENT_OPEN:
		on_open(fold, event);
		break;
	case SL_EVENT_DELTA:
		on_delta(fold, event);
		break;
	case SL_EVENT_SIGNATURE:
		if (fold->open[event->choice].part) {
			struct sl_part *part = fold->open[event->choice].part;

			part->signature = sl_arena_dup(fold->arena, event->signature);
			part->token_only = event->token_only;
		}
		break;
	case SL_EVENT_CITATION:
		on_citation(fold, event);
		break;
	case SL_EVENT_LOGPROBS:
		on_logprobs(fold, event);
		break;
	case SL_EVENT_CLOSE:
		on_close(fold, event);
		break;
	case SL_EVENT_PART:
		on_part(fold, event);
		break;
	case SL_EVENT_USAGE:
		fold->answer.usage = *event->usage;
		break;
	case SL_EVENT_STOP:
		fold->answer.choices[event->choice].stop = event->stop;
		fold->answer.choices[event->choice].stop_sequence = keep(fold, event->stop_sequence);
		break;
	case SL_EVENT_PING:
		break;
	case SL_EVENT_ERROR:
		on_fault(fold, event->fault);
		break;
	case SL_EVENT_END:
		fold->answer.usage = *event->usage;
		fold->done = true;
		break;
	}
}
