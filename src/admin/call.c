/* call.c - reading what was asked and writing the answer.
 */
#include "admin/call.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/percent.h"
#include "ledger/audit.h"
#include "store/store.h"

enum { HEADERS_MAX = 16 };

/* --- lifetime ---------------------------------------------------------------- */

void
admin_call_ref(struct admin_call *call)
{
	call->refs++;
}

void
admin_call_unref(struct admin_call *call)
{
	if (--call->refs > 0)
		return;
	sl_settled_cancel(&call->settled);
	sl_list_remove(&call->node);
	sl_key_unref(call->key);
	free(call);
}

bool
admin_call_alive(const struct admin_call *call)
{
	return call->admin && call->exchange && !sl_exchange_started(call->exchange);
}

/* --- reading ------------------------------------------------------------------ */

bool
admin_body(struct admin_call *call, struct sl_json *body)
{
	struct sl_slice text = sl_buf_slice(&call->exchange->body);
	struct sl_json_error error;
	struct sl_fault fault;

	if (text.len == 0) {
		admin_answer_fault_text(call, SL_FAULT_BAD_JSON,
		                        "The body is empty: send a JSON object.");
		return false;
	}
	if (sl_json_validate(text, &sl_json_limits_default, &error) == SL_OK) {
		*body = sl_json_parse(text);
		return true;
	}
	sl_fault_set(&fault, SL_FAULT_BAD_JSON,
	             sl_arena_printf(&call->exchange->arena, "The body is not valid JSON: %s at "
	                             "byte %zu.", error.reason, error.offset));
	admin_answer_fault(call, &fault);
	return false;
}

bool
admin_query(struct admin_call *call, const char *name, struct sl_slice *value)
{
	struct sl_slice rest = call->exchange->request.query;

	while (rest.len) {
		struct sl_slice pair = sl_slice_cut(&rest, '&');
		struct sl_slice key = sl_slice_cut(&pair, '=');
		char *decoded;
		ptrdiff_t len;

		if (!sl_slice_is(key, name))
			continue;
		decoded = sl_arena_alloc(&call->exchange->arena, pair.len + 1);
		len = decoded ? sl_percent_decode(pair, decoded) : -1;
		*value = len < 0 ? pair : sl_slice_make(decoded, (size_t)len);
		return true;
	}
	return false;
}

struct sl_slice
admin_actor(struct admin_call *call)
{
	return sl_arena_printf(&call->exchange->arena, "master key from %.*s",
	                       SL_ARG(call->exchange->request.peer));
}

/* --- answering ----------------------------------------------------------------- */

void
admin_answer(struct admin_call *call, int status, const char *content_type,
             const struct sl_header *more, size_t more_count, struct sl_slice body)
{
	struct sl_header headers[HEADERS_MAX] = {
		{ SL_SLICE("cache-control"), SL_SLICE("no-store") },
		{ SL_SLICE("x-content-type-options"), SL_SLICE("nosniff") },
		{ SL_SLICE("x-frame-options"), SL_SLICE("DENY") },
		{ SL_SLICE("referrer-policy"), SL_SLICE("no-referrer") },
		{ SL_SLICE("cross-origin-resource-policy"), SL_SLICE("same-origin") },
	};
	size_t count = 5;
	bool has_policy = false;

	if (!admin_call_alive(call))
		return;
	if (content_type)
		headers[count++] =
		    (struct sl_header){ SL_SLICE("content-type"), sl_slice_str(content_type) };
	for (size_t i = 0; i < more_count && count < HEADERS_MAX - 1; i++) {
		has_policy |= sl_slice_is(more[i].name, "content-security-policy");
		headers[count++] = more[i];
	}
	if (!has_policy)
		headers[count++] = (struct sl_header){
			SL_SLICE("content-security-policy"),
			SL_SLICE("default-src 'none'; frame-ancestors 'none'"),
		};
	sl_exchange_send(call->exchange, status, headers, count, body);
}

void
admin_answer_json(struct admin_call *call, int status, struct sl_buf *body)
{
	if (body->failed)
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE,
		                        "The answer does not fit into memory.");
	else
		admin_answer(call, status, "application/json", NULL, 0, sl_buf_slice(body));
	sl_buf_release(body);
}

void
admin_answer_empty(struct admin_call *call, int status)
{
	admin_answer(call, status, NULL, NULL, 0, SL_SLICE_NONE);
}

static void
write_envelope(const struct sl_fault *fault, struct sl_buf *out)
{
	struct sl_json_writer w;

	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_key(&w, "error");
	sl_json_obj(&w);
	sl_json_str(&w, "type", sl_slice_str(sl_fault_type(fault->kind)));
	sl_json_str(&w, "message", fault->message);
	sl_json_str(&w, "code", sl_fault_code(fault));
	if (fault->param.len)
		sl_json_str(&w, "param", fault->param);
	if (fault->retry_after_s)
		sl_json_int(&w, "retry_after_seconds", fault->retry_after_s);
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
	sl_buf_append_char(out, '\n');
}

static void
answer_fault_with(struct admin_call *call, const struct sl_fault *fault, struct sl_slice allow)
{
	int status = sl_fault_status(fault);
	struct sl_header more[3];
	char seconds[16];
	size_t count = 0;
	struct sl_buf body;

	if (status == 401)
		more[count++] =
		    (struct sl_header){ SL_SLICE("www-authenticate"), SL_SLICE("Bearer") };
	if (allow.len)
		more[count++] = (struct sl_header){ SL_SLICE("allow"), allow };
	if (fault->retry_after_s) {
		snprintf(seconds, sizeof(seconds), "%u", (unsigned)fault->retry_after_s);
		more[count++] =
		    (struct sl_header){ SL_SLICE("retry-after"), sl_slice_str(seconds) };
	}
	sl_buf_init(&body, 64 * 1024);
	write_envelope(fault, &body);
	admin_answer(call, status, "application/json", more, count, sl_buf_slice(&body));
	sl_buf_release(&body);
}

void
admin_answer_fault(struct admin_call *call, const struct sl_fault *fault)
{
	answer_fault_with(call, fault, SL_SLICE_NONE);
}

void
admin_answer_fault_text(struct admin_call *call, enum sl_fault_kind kind, const char *message)
{
	struct sl_fault fault;

	sl_fault_set(&fault, kind, sl_slice_str(message));
	answer_fault_with(call, &fault, SL_SLICE_NONE);
}

bool
admin_refuse(struct admin_call *call, const char *param, const char *message)
{
	struct sl_fault fault;

	sl_fault_set(&fault, SL_FAULT_BAD_REQUEST, sl_slice_str(message));
	fault.param = sl_slice_str(param);
	admin_answer_fault(call, &fault);
	return false;
}

void
admin_answer_method(struct admin_call *call, struct sl_slice allow)
{
	struct sl_fault fault;

	sl_fault_set(&fault, SL_FAULT_METHOD,
	             SL_SLICE("This path does not have this method: see the Allow header."));
	answer_fault_with(call, &fault, allow);
}

void
admin_answer_store(struct admin_call *call, enum sl_err err)
{
	struct sl_fault fault;

	if (err == SL_ENOTFOUND) {
		admin_answer_fault_text(call, SL_FAULT_NOT_FOUND,
		                        "There is no key with this id, or it was revoked.");
		return;
	}
	sl_fault_set(&fault, SL_FAULT_UNAVAILABLE,
	             err == SL_EFULL
	                 ? SL_SLICE("Nothing was changed: the disk of the store is full.")
	                 : SL_SLICE("Nothing was changed: the store did not take it. See the log."));
	fault.retry_after_s = 1;
	answer_fault_with(call, &fault, SL_SLICE_NONE);
}

/* --- waiting for records --------------------------------------------------------- */

static void
settled(struct sl_settled *settled)
{
	struct admin_call *call = SL_CONTAINER(settled, struct admin_call, settled);

	call->then(call);
}

void
admin_settled(struct admin_call *call, void (*then)(struct admin_call *call))
{
	call->then = then;
	sl_settled_wait(&call->settled, call->admin->services.telemetry, call->admin->loop, settled);
}

/* --- the audit log ---------------------------------------------------------------- */

struct note {
	struct sl_store_job   job;
	struct sl_audit_entry entry;
	struct sl_arena       arena;
};

static void
run_note(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	job->err = sl_audit_add(ops, conn, &SL_CONTAINER(job, struct note, job)->entry,
	                        sl_clock_wall_ms());
}

static void
note_done(struct sl_store_job *job)
{
	struct note *note = SL_CONTAINER(job, struct note, job);

	if (job->err != SL_OK)
		sl_log(SL_LOG_ERROR, "a row of the audit log was not written",
		       SL_LOG_S("action", note->entry.action),
		       SL_LOG_Z("error", sl_err_text(job->err)));
	sl_arena_release(&note->arena);
	free(note);
}

void
admin_note(struct admin_call *call, const char *action, struct sl_slice after_json)
{
	admin_note_of(call, admin_actor(call), action, after_json);
}

void
admin_note_of(struct admin_call *call, struct sl_slice actor, const char *action,
              struct sl_slice after_json)
{
	struct note *note = call->admin ? calloc(1, sizeof(*note)) : NULL;

	if (!note)
		return;
	sl_arena_init(&note->arena, 1024, 2 * ADMIN_BODY_MAX);
	note->job.run = run_note;
	note->job.done = note_done;
	note->entry.actor = sl_arena_dup(&note->arena, actor);
	note->entry.action = sl_slice_str(action);
	note->entry.after_json = sl_arena_dup(&note->arena, after_json);
	if (sl_store_submit(call->admin->services.store, &note->job) != SL_OK) {
		note->job.err = SL_EBUSY;
		note_done(&note->job);
	}
}
