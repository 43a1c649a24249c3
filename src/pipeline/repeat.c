/* repeat.c - claims, and answers from the shelf. */
#include "pipeline/repeat.h"

#include "base/rand.h"
#include "base/timestamp.h"
#include "ledger/answers.h"
#include "pipeline/ask.h"
#include "pipeline/spend.h"

static void
refuse(struct sl_ask *ask, enum sl_fault_kind kind, int status, const char *code,
       const char *message, uint32_t retry_after_s)
{
	struct sl_fault fault;

	sl_fault_set(&fault, kind, sl_slice_str(message));
	fault.status = status;
	fault.code = sl_slice_str(code);
	fault.retry_after_s = retry_after_s;
	fault.no_retry = retry_after_s == 0;
	sl_ask_refuse(ask, &fault);
}

/* --- what the head tells of the choice ------------------------------------------------ */

/* Members of the kept text, and where they stand in a decision. */
static const struct text_fact {
	const char *name;
	size_t      offset;
} text_facts[] = {
	{ "provider", offsetof(struct sl_decision, provider) },
	{ "model", offsetof(struct sl_decision, model) },
	{ "bucket", offsetof(struct sl_decision, bucket) },
	{ "category", offsetof(struct sl_decision, category) },
	{ "stack", offsetof(struct sl_decision, stack) },
	{ "verification", offsetof(struct sl_decision, verification) },
	{ "warnings", offsetof(struct sl_decision, warnings) },
	{ "reason", offsetof(struct sl_decision, reason) },
};

/* None of a hedge: what is to happen once has none. */
static const struct flag_fact {
	const char *name;
	size_t      offset;
} flag_facts[] = {
	{ "has_baseline", offsetof(struct sl_decision, has_baseline) },
	{ "has_estimate", offsetof(struct sl_decision, has_estimate) },
	{ "explain", offsetof(struct sl_decision, explain) },
};

enum {
	TEXT_FACTS = sizeof(text_facts) / sizeof(text_facts[0]),
	FLAG_FACTS = sizeof(flag_facts) / sizeof(flag_facts[0]),
};

static struct sl_slice *
fact_of(struct sl_decision *decision, const struct text_fact *fact)
{
	return (struct sl_slice *)(void *)((char *)decision + fact->offset);
}

static bool *
flag_of(struct sl_decision *decision, const struct flag_fact *fact)
{
	return (bool *)(void *)((char *)decision + fact->offset);
}

/* As JSON on the exchange's arena; empty: without memory the answer is kept alone. */
static struct sl_slice
write_told(struct sl_ask *ask)
{
	struct sl_decision *decision = &ask->decision;
	struct sl_json_writer w;
	struct sl_slice told;
	struct sl_buf buf;

	sl_buf_init(&buf, SL_ANSWER_TOLD_MAX);
	sl_json_writer_init(&w, &buf);
	sl_json_obj(&w);
	for (size_t i = 0; i < TEXT_FACTS; i++)
		sl_json_str(&w, text_facts[i].name, *fact_of(decision, &text_facts[i]));
	sl_json_key(&w, "score");
	sl_json_put_f64(&w, decision->score);
	sl_json_key(&w, "confidence");
	sl_json_put_f64(&w, decision->confidence);
	sl_json_int(&w, "stack_version", decision->stack_version);
	sl_json_int(&w, "attempts", decision->attempts);
	for (size_t i = 0; i < FLAG_FACTS; i++)
		sl_json_bool(&w, flag_facts[i].name, *flag_of(decision, &flag_facts[i]));
	sl_json_int(&w, "baseline_nanousd", decision->baseline_nanousd);
	sl_json_int(&w, "estimate_nanousd", decision->estimate_nanousd);
	sl_json_obj_end(&w);
	told = buf.failed ? SL_SLICE_NONE : sl_arena_dup(&ask->exchange->arena, sl_buf_slice(&buf));
	sl_buf_release(&buf);
	return told;
}

/* Who answered then is told as who answers now; it costs nothing. */
static void
read_told(struct sl_ask *ask, struct sl_slice told)
{
	struct sl_decision *decision = &ask->decision;
	struct sl_arena *arena = &ask->exchange->arena;
	struct sl_json doc;
	int64_t attempts;

	if (sl_json_validate(told, NULL, NULL) != SL_OK)
		return;
	doc = sl_json_parse(sl_arena_dup(arena, told));
	for (size_t i = 0; i < TEXT_FACTS; i++)
		(void)sl_json_string(sl_json_get(doc, text_facts[i].name), arena,
		                     fact_of(decision, &text_facts[i]));
	(void)sl_json_f64(sl_json_get(doc, "score"), &decision->score);
	(void)sl_json_f64(sl_json_get(doc, "confidence"), &decision->confidence);
	(void)sl_json_i64(sl_json_get(doc, "stack_version"), &decision->stack_version);
	if (sl_json_i64(sl_json_get(doc, "attempts"), &attempts) && attempts > 0 &&
	    attempts <= UINT32_MAX)
		decision->attempts = (uint32_t)attempts;
	for (size_t i = 0; i < FLAG_FACTS; i++)
		*flag_of(decision, &flag_facts[i]) =
		    sl_json_get(doc, flag_facts[i].name).type == SL_JSON_TRUE;
	(void)sl_json_i64(sl_json_get(doc, "baseline_nanousd"), &decision->baseline_nanousd);
	(void)sl_json_i64(sl_json_get(doc, "estimate_nanousd"), &decision->estimate_nanousd);
	decision->cost_known = decision->priced = true;
	decision->cost_nanousd = 0;
}

/* --- what is kept, and why something is not --------------------------------------------- */

static void
send_kept(struct sl_ask *ask, struct sl_answer *answer)
{
	const struct sl_header replayed = { SL_SLICE("idempotent-replayed"), SL_SLICE("true") };

	read_told(ask, sl_answer_told(answer));
	sl_ask_answer_with(ask, sl_answer_status(answer), sl_answer_content_type(answer),
	                   sl_answer_body(answer), &replayed);
	sl_answer_unref(answer);
}

/* Nobody knows what became of it; what is known is said. */
static void
explain_cut_off(struct sl_ask *ask, struct sl_answer *answer)
{
	char id[SL_ULID_LEN + 1], begun[SL_TIMESTAMP_LEN + 1] = "";
	struct sl_fault fault;

	sl_ulid_text(sl_answer_request(answer), id);
	sl_timestamp_format(sl_answer_begun_ms(answer), begun);
	sl_fault_set(&fault, SL_FAULT_CONFLICT,
	             sl_arena_printf(&ask->exchange->arena,
	                             "The request with this Idempotency-Key (req_%s, %s) was sent to a "
	                             "provider, and the gateway was stopped before its answer was kept. "
	                             "%.*s US dollars were charged for it; it is not bought again. Use a "
	                             "new key to buy it anew.", id, begun,
	                             SL_ARG(sl_spend_usd(&ask->exchange->arena,
	                                                 sl_answer_charged(answer)))));
	fault.status = 409;
	fault.code = SL_SLICE("idempotency_outcome_unknown");
	fault.no_retry = true;
	sl_answer_unref(answer);
	sl_ask_refuse(ask, &fault);
}

/* Why the name cannot be had; answered. */
static void
explain(struct sl_ask *ask, enum sl_err err)
{
	switch (err) {
	case SL_EBUSY:
		refuse(ask, SL_FAULT_CONFLICT, 409, "idempotency_in_progress",
		       "A request with this Idempotency-Key is being served. Ask again in a moment to "
		       "get its answer.", 1);
		break;
	case SL_EINVAL:
		refuse(ask, SL_FAULT_BAD_REQUEST, 422, "idempotency_mismatch",
		       "This Idempotency-Key was used for another request. Use a new one for each "
		       "request, and the same one only to repeat it unchanged.", 0);
		break;
	case SL_ELIMIT:
		refuse(ask, SL_FAULT_CONFLICT, 409, "idempotency_answer_lost",
		       "The request with this Idempotency-Key was answered, and the answer was too "
		       "large to be kept. Use a new key to buy it again.", 0);
		break;
	default:
		refuse(ask, SL_FAULT_OVERLOADED, 0, "",
		       "The gateway has no room for another Idempotency-Key now. Try again shortly.", 1);
		break;
	}
}

bool
sl_repeat_begin(struct sl_ask *ask)
{
	const struct sl_request *request = &ask->exchange->request;
	struct sl_answers *answers = ask->gateway->services.answers;
	struct sl_answer *found = NULL;
	struct sl_answer_query query = {
		.name = sl_headers_get(&request->headers, "idempotency-key"),
		.path = request->path,
		.query = request->query,
		.body = sl_buf_slice(&ask->exchange->body),
		.now_wall_ms = sl_loop_wall_ms(ask->gateway->loop),
	};
	enum sl_err err;

	if (query.name.len == 0 || !ask->key || !answers)
		return true;
	if (query.name.len > SL_ANSWER_NAME_MAX) {
		refuse(ask, SL_FAULT_BAD_REQUEST, 400, "invalid_idempotency_key",
		       "An Idempotency-Key has at most 255 characters.", 0);
		return false;
	}
	query.key_id = sl_key_id(ask->key);
	err = sl_answers_claim(answers, &query, &found);
	if (err == SL_OK) {
		if (sl_repeat_write(ask, found, NULL, SL_ANSWER_BYTES_MAX))
			return true;
		sl_answers_drop(answers, found);
		sl_ask_refuse_memory(ask);
		return false;
	}
	if (err == SL_EEXIST)
		send_kept(ask, found);
	else if (err == SL_ECLOSED)
		explain_cut_off(ask, found);
	else
		explain(ask, err);
	return false;
}

bool
sl_repeat_write(struct sl_ask *ask, struct sl_answer *claim, struct sl_recall *recall,
                size_t max_size)
{
	ask->repeat = SL_ARENA_NEW(&ask->exchange->arena, struct sl_repeat);
	if (!ask->repeat)
		return false;
	ask->repeat->claim = claim;
	ask->repeat->recall = recall;
	sl_buf_init(&ask->repeat->body, max_size);
	return true;
}

void
sl_repeat_head(struct sl_ask *ask, int status, const struct sl_header *headers, size_t count)
{
	struct sl_repeat *repeat = ask->repeat;

	if (!repeat)
		return;
	sl_recall_head(ask);
	repeat->status = status;
	if (repeat->claim)
		repeat->told = write_told(ask);
	for (size_t i = 0; i < count; i++)
		if (sl_slice_is(headers[i].name, "content-type"))
			repeat->content_type = sl_arena_dup(&ask->exchange->arena, headers[i].value);
}

void
sl_repeat_body(struct sl_ask *ask, struct sl_slice bytes)
{
	if (ask->repeat && ask->repeat->status < 300)
		sl_buf_append(&ask->repeat->body, bytes);
}

void
sl_repeat_end(struct sl_ask *ask)
{
	struct sl_answers *answers = ask->gateway->services.answers;
	struct sl_repeat *repeat = ask->repeat;
	bool whole;

	if (!repeat)
		return;
	whole = ask->finished_upstream && ask->state == SL_ASK_ANSWERED &&
	        !ask->reply.facts.failed && repeat->status >= 200 && repeat->status < 300;
	if (repeat->recall && whole && !repeat->body.failed)
		sl_recall_keep(ask, repeat->status, repeat->content_type,
		               sl_buf_slice(&repeat->body));
	if (repeat->claim && whole)
		sl_answers_keep(answers, repeat->claim, repeat->status, repeat->content_type,
		                repeat->told, &repeat->body);
	else if (repeat->claim)
		sl_answers_drop(answers, repeat->claim);
	sl_buf_release(&repeat->body);
	ask->repeat = NULL;
}
