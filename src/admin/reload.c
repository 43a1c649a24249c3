/* reload.c - POST /admin/reload: the configuration swapped whole, or not at all.
 *
 * It is read and checked on another thread; the loop serves meanwhile, and answers when all
 * loops have changed over.
 */
#include <stdlib.h>

#include "admin/call.h"

enum { REPORT_MAX = 1 << 20, ACTOR_MAX = 1024 };

/* "FILE:LINE:COL: message" taken apart from the right end of its numbers; a line
 * of another form is all message. */
static void
write_problem(struct sl_json_writer *w, struct sl_slice line)
{
	ptrdiff_t end = sl_slice_search(line, SL_SLICE(": "));
	struct sl_slice place = sl_slice_upto(line, end < 0 ? 0 : (size_t)end);
	int64_t numbers[2];
	int found = 0;

	for (size_t at = place.len; at > 0 && found < 2; at--) {
		if (place.ptr[at - 1] != ':')
			continue;
		if (!sl_slice_i64(sl_slice_from(place, at), &numbers[found]))
			break;
		place = sl_slice_upto(place, at - 1);
		found++;
	}
	sl_json_obj(w);
	if (found == 2) {
		sl_json_str(w, "file", place);
		sl_json_int(w, "line", numbers[1]);
		sl_json_int(w, "column", numbers[0]);
		line = sl_slice_from(line, (size_t)end + 2);
	}
	sl_json_str(w, "message", line);
	sl_json_obj_end(w);
}

/* The first problem is the message, so that one line tells what to do. */
static void
answer_problems(struct admin_call *call, struct sl_slice report)
{
	struct sl_slice rest = sl_slice_trim(report), first = rest;
	struct sl_json_writer w;
	struct sl_buf body;

	first = sl_slice_cut(&first, '\n');
	sl_buf_init(&body, 2 * REPORT_MAX);
	sl_json_writer_init(&w, &body);
	sl_json_obj(&w);
	sl_json_key(&w, "error");
	sl_json_obj(&w);
	sl_json_str(&w, "type", sl_slice_str(sl_fault_type(SL_FAULT_BAD_REQUEST)));
	sl_json_key(&w, "message");
	sl_json_put_str(&w, first.len ? first : SL_SLICE("The configuration was refused."));
	sl_json_str(&w, "code", SL_SLICE("invalid_configuration"));
	sl_json_key(&w, "problems");
	sl_json_arr(&w);
	while (rest.len) {
		struct sl_slice line = sl_slice_trim(sl_slice_cut(&rest, '\n'));

		if (line.len)
			write_problem(&w, line);
	}
	sl_json_arr_end(&w);
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
	admin_answer_json(call, 400, &body);
}

/* One reload that was asked for. */
struct asked {
	struct sl_reload   reload;
	struct admin_call *call;
	struct sl_arena    arena;
	struct sl_slice    actor;
};

static void
refuse(struct admin_call *call, enum sl_err err)
{
	struct sl_fault fault;

	sl_fault_set(&fault, SL_FAULT_UNAVAILABLE,
	             err == SL_EBUSY ? SL_SLICE("Another reload is running, or the process is ending. "
	                                        "Ask again when it is done.")
	                             : SL_SLICE("Out of memory."));
	fault.retry_after_s = 1;
	admin_answer_fault(call, &fault);
}

static void
done(struct sl_reload *reload)
{
	struct asked *asked = SL_CONTAINER(reload, struct asked, reload);
	struct admin_call *call = asked->call;
	struct sl_slice report = sl_slice_trim(sl_buf_slice(&reload->report));

	/* The configuration changed, whoever still waits for the answer. */
	if (reload->err == SL_OK)
		admin_note_of(call, asked->actor, "configuration.reload", report);
	if (admin_call_alive(call)) {
		if (reload->err == SL_OK)
			admin_answer_json(call, 200, &reload->report);
		else if (reload->err == SL_ESYNTAX)
			answer_problems(call, report);
		else
			refuse(call, reload->err);
	}
	sl_buf_release(&reload->report);
	sl_arena_release(&asked->arena);
	free(asked);
	admin_call_unref(call);
}

void
admin_reload(struct admin_call *call)
{
	const struct sl_admin_services *services = &call->admin->services;
	struct asked *asked;
	enum sl_err err;

	if (!services->reload) {
		admin_answer_fault_text(call, SL_FAULT_UNSUPPORTED,
		                        "This gateway runs without a configuration file.");
		return;
	}
	asked = calloc(1, sizeof(*asked));
	if (!asked) {
		refuse(call, SL_ENOMEM);
		return;
	}
	asked->reload.done = done;
	asked->call = call;
	sl_buf_init(&asked->reload.report, REPORT_MAX);
	sl_arena_init(&asked->arena, ACTOR_MAX, ACTOR_MAX);
	asked->actor = sl_arena_dup(&asked->arena, admin_actor(call));
	admin_call_ref(call);
	err = services->reload(services->context, &asked->reload);
	if (err == SL_OK)
		return;
	asked->reload.err = err;
	done(&asked->reload);
}
