/* dialog_settle.c - repair a conversation once, so that no encoder has to.
 *
 *   1. empty texts go; turns without parts go
 *   2. calls and results are paired: the k-th result of an id belongs to the k-th
 *      call of that id that stands before it
 *   3. the list is built anew: behind an assistant turn with calls its results,
 *      then everything else in its order; neighbours of one role become one turn
 *
 * Pairing sorts, so a hostile conversation costs n log n.
 */
#include "model/dialog.h"

#include <stdlib.h>

struct ref {
	struct sl_slice id;
	size_t          seq; /* order in the conversation */
	struct sl_part *part;
	struct sl_part *pair; /* of a call: its result */
	size_t          turn; /* the turn it stands in */
	size_t          said; /* turns up to there that are no tool turns */
};

struct settling {
	struct sl_dialog *dialog;
	struct sl_notes  *notes;
	struct ref       *calls, *results;
	size_t            call_count, result_count;
	struct sl_turn   *out, *out_last;
};

/* --- empties -------------------------------------------------------------------- */

static bool
is_blank(struct sl_text text)
{
	const char *p = text.raw.ptr, *end = p + text.raw.len;

	if (text.json && text.raw.len >= 2) {
		p++;
		end--;
	}
	while (p < end) {
		if (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')
			p++;
		else if (text.json && *p == '\\' && end - p >= 2 &&
		         (p[1] == 'n' || p[1] == 't' || p[1] == 'r'))
			p += 2;
		else
			return false;
	}
	return true;
}

/* Gemini puts a signature on an empty text; elsewhere that is reasoning. */
static bool
keep(struct settling *s, struct sl_part *part)
{
	bool text = part->kind == SL_PART_TEXT || part->kind == SL_PART_REFUSAL;

	if (part->kind == SL_PART_REASONING)
		return !sl_text_empty(part->text) || part->signature.len || part->issuer.len;
	if (!text || !is_blank(part->text))
		return true;
	if (part->signature.len) {
		part->kind = SL_PART_REASONING;
		return true;
	}
	sl_note(s->notes, SL_NOTE_empty_dropped, &part->where);
	return false;
}

/* Calls go behind everything else; both keep their order. */
static void
tidy(struct settling *s, struct sl_turn *turn)
{
	struct sl_part *part = turn->parts, *next;
	struct sl_part_list plain = { NULL, NULL }, calls = { NULL, NULL };

	for (; part; part = next) {
		bool call = part->kind == SL_PART_TOOL_CALL && turn->role == SL_ROLE_ASSISTANT;
		struct sl_part_list *list = call ? &calls : &plain;

		next = part->next;
		part->next = NULL;
		if (!keep(s, part))
			continue;
		if (list->last)
			list->last->next = part;
		else
			list->first = part;
		list->last = part;
	}
	if (plain.last)
		plain.last->next = calls.first;
	turn->parts = plain.first ? plain.first : calls.first;
	turn->parts_last = calls.last ? calls.last : plain.last;
}

/* --- pairs -------------------------------------------------------------------------- */

static int
compare(const void *left, const void *right)
{
	const struct ref *a = left, *b = right;
	size_t len = a->id.len < b->id.len ? a->id.len : b->id.len;
	int order = len ? memcmp(a->id.ptr, b->id.ptr, len) : 0;

	if (order == 0 && a->id.len != b->id.len)
		order = a->id.len < b->id.len ? -1 : 1;
	if (order == 0)
		order = a->seq < b->seq ? -1 : 1;
	return order;
}

static int
compare_seq(const void *left, const void *right)
{
	const struct ref *a = left, *b = right;

	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static bool
collect(struct settling *s)
{
	size_t seq = 0, turn_index = 0, said = 0, calls = 0, results = 0;

	for (struct sl_turn *turn = s->dialog->turns; turn; turn = turn->next) {
		tidy(s, turn);
		for (struct sl_part *part = turn->parts; part; part = part->next) {
			calls += part->kind == SL_PART_TOOL_CALL;
			results += part->kind == SL_PART_TOOL_RESULT;
		}
	}
	if (calls + results == 0)
		return true;
	s->calls = SL_ARENA_ARRAY(s->dialog->arena, struct ref, calls + 1);
	s->results = SL_ARENA_ARRAY(s->dialog->arena, struct ref, results + 1);
	if (!s->calls || !s->results)
		return false;
	for (struct sl_turn *turn = s->dialog->turns; turn; turn = turn->next, turn_index++) {
		said += turn->role != SL_ROLE_TOOL;
		for (struct sl_part *part = turn->parts; part; part = part->next, seq++) {
			const struct ref ref = { part->call_id, seq, part, NULL, turn_index, said };

			if (part->kind == SL_PART_TOOL_CALL)
				s->calls[s->call_count++] = ref;
			else if (part->kind == SL_PART_TOOL_RESULT)
				s->results[s->result_count++] = ref;
		}
	}
	return true;
}

/* An id that was used before gets its number behind it, call and result alike. */
static bool
rename_repeated(struct settling *s, struct ref *call, size_t occurrence)
{
	struct sl_slice id;

	if (occurrence == 0)
		return true;
	id = sl_arena_printf(s->dialog->arena, "%.*s_%zu", SL_ARG(call->id), occurrence + 1);
	if (!id.ptr)
		return false;
	sl_note(s->notes, SL_NOTE_tool_id_changed, &call->part->where);
	call->part->call_id = id;
	return true;
}

static bool
pair(struct settling *s)
{
	size_t r = 0, occurrence = 0;

	if (s->call_count == 0)
		return true;
	qsort(s->calls, s->call_count, sizeof(*s->calls), compare);
	qsort(s->results, s->result_count, sizeof(*s->results), compare);
	for (size_t c = 0; c < s->call_count; c++) {
		struct ref *call = &s->calls[c];
		bool again = c > 0 && sl_slice_eq(call->id, s->calls[c - 1].id);

		occurrence = again ? occurrence + 1 : 0;
		while (r < s->result_count && compare(&s->results[r], call) < 0)
			r++;
		if (r < s->result_count && sl_slice_eq(s->results[r].id, call->id)) {
			call->pair = s->results[r].part;
			if (s->results[r].said != call->said)
				sl_note(s->notes, SL_NOTE_tool_result_moved, &call->pair->where);
			s->results[r++].pair = call->part;
		}
		if (!rename_repeated(s, call, occurrence))
			return false;
		if (call->pair) {
			call->pair->call_id = call->part->call_id;
			call->pair->name = call->part->name;
		}
	}
	qsort(s->calls, s->call_count, sizeof(*s->calls), compare_seq);
	qsort(s->results, s->result_count, sizeof(*s->results), compare_seq);
	return true;
}

/* --- the new list ---------------------------------------------------------------------- */

static bool
is_instruction(enum sl_role role)
{
	return role == SL_ROLE_SYSTEM || role == SL_ROLE_DEVELOPER;
}

static void
push(struct settling *s, struct sl_turn *turn)
{
	struct sl_turn *last = s->out_last;

	turn->next = NULL;
	if (!turn->parts)
		return;
	if (last && last->role == turn->role && !is_instruction(turn->role)) {
		if (!sl_text_empty(turn->name) &&
		    (last->name.json != turn->name.json ||
		     !sl_slice_eq(last->name.raw, turn->name.raw)))
			sl_note(s->notes, SL_NOTE_name_dropped, &turn->where);
		last->parts_last->next = turn->parts;
		last->parts_last = turn->parts_last;
		/* Calls of the first of two turns have their results behind them, so only
		 * turns without calls meet here: M4 stands. */
		return;
	}
	if (last)
		last->next = turn;
	else
		s->out = turn;
	s->out_last = turn;
}

static struct sl_turn *
new_turn(struct settling *s, enum sl_role role, struct sl_where where)
{
	struct sl_turn *turn = SL_ARENA_NEW(s->dialog->arena, struct sl_turn);

	if (turn) {
		turn->role = role;
		turn->where = where;
	}
	return turn;
}

/* Part lists of one turn never share nodes with another's: a part moves. */
static void
move(struct sl_turn *turn, struct sl_part *part)
{
	part->next = NULL;
	if (turn->parts_last)
		turn->parts_last->next = part;
	else
		turn->parts = part;
	turn->parts_last = part;
}

static struct sl_part *
missing_result(struct settling *s, const struct sl_part *call)
{
	struct sl_part *result = SL_ARENA_NEW(s->dialog->arena, struct sl_part);

	if (!result)
		return NULL;
	*result = (struct sl_part){ .kind = SL_PART_TOOL_RESULT, .where = call->where,
		                    .call_id = call->call_id, .name = call->name,
		                    .is_error = SL_YES, .origin = s->dialog->origin };
	sl_part_part(s->dialog, result, SL_PART_TEXT, call->where)->text =
	    sl_text_plain(SL_SLICE("No result was provided."));
	sl_note(s->notes, SL_NOTE_tool_result_missing, &call->where);
	return result;
}

/* The tool turn behind an assistant turn whose calls are [*at, ...). */
static bool
push_results(struct settling *s, struct sl_turn *turn, size_t turn_index, size_t *at)
{
	struct sl_turn *tools = NULL;

	for (; *at < s->call_count && s->calls[*at].turn == turn_index; ++*at) {
		struct ref *call = &s->calls[*at];
		struct sl_part *result = call->pair;

		if (!tools && !(tools = new_turn(s, SL_ROLE_TOOL, turn->where)))
			return false;
		if (!result && !(result = missing_result(s, call->part)))
			return false;
		move(tools, result);
	}
	if (tools)
		push(s, tools);
	return true;
}

/* A result that nobody asked for says so as text, where it stood. */
static bool
push_orphan(struct settling *s, struct sl_part *result)
{
	struct sl_turn *turn = new_turn(s, SL_ROLE_USER, result->where);
	struct sl_part *head = SL_ARENA_NEW(s->dialog->arena, struct sl_part);

	if (!turn || !head)
		return false;
	*head = (struct sl_part){ .kind = SL_PART_TEXT, .where = result->where };
	head->text = sl_text_plain(sl_arena_printf(s->dialog->arena, "[Result of tool call %.*s]",
	                                           SL_ARG(result->call_id)));
	move(turn, head);
	head->next = result->parts;
	if (result->parts_last)
		turn->parts_last = result->parts_last;
	sl_note(s->notes, SL_NOTE_tool_result_orphan, &result->where);
	push(s, turn);
	return true;
}

/* Results of a tool turn were put behind their calls when those were pushed. */
static bool
push_tool_turn(struct settling *s, struct sl_turn *turn, size_t turn_index, size_t *at)
{
	(void)turn;
	for (; *at < s->result_count && s->results[*at].turn == turn_index; ++*at)
		if (!s->results[*at].pair && !push_orphan(s, s->results[*at].part))
			return false;
	return true;
}

static bool
rebuild(struct settling *s)
{
	size_t index = 0, call = 0, result = 0;
	struct sl_turn *next;

	for (struct sl_turn *turn = s->dialog->turns; turn; turn = next, index++) {
		next = turn->next;
		if (turn->role == SL_ROLE_TOOL) {
			if (!push_tool_turn(s, turn, index, &result))
				return false;
			continue;
		}
		push(s, turn);
		if (turn->role == SL_ROLE_ASSISTANT && !push_results(s, turn, index, &call))
			return false;
	}
	return true;
}

/* Somebody must have said something. */
static bool
ensure_turn(struct settling *s)
{
	struct sl_turn *turn;

	for (turn = s->out; turn; turn = turn->next)
		if (!is_instruction(turn->role))
			return true;
	turn = new_turn(s, SL_ROLE_USER, (struct sl_where){ .name = SL_SLICE("messages") });
	if (!turn)
		return false;
	sl_turn_part(s->dialog, turn, SL_PART_TEXT, turn->where)->text =
	    sl_text_plain(SL_SLICE("."));
	sl_note(s->notes, SL_NOTE_turn_placeholder, NULL);
	push(s, turn);
	return true;
}

bool
sl_dialog_settle(struct sl_dialog *dialog, struct sl_notes *notes)
{
	struct settling s = { .dialog = dialog, .notes = notes };

	if (dialog->failed || !collect(&s) || !pair(&s) || !rebuild(&s) || !ensure_turn(&s))
		return false;
	dialog->turns = s.out;
	dialog->turns_last = s.out_last;
	return !dialog->failed;
}
