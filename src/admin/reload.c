/* reload.c - POST /admin/reload: the configuration swapped whole, or not at all.
 */
#include "admin/call.h"

enum { REPORT_MAX = 1 << 20 };

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

void
admin_reload(struct admin_call *call)
{
	const struct sl_admin_services *services = &call->admin->services;
	struct sl_buf report;
	enum sl_err err;

	if (!services->reload) {
		admin_answer_fault_text(call, SL_FAULT_UNSUPPORTED,
		                        "This gateway runs without a configuration file.");
		return;
	}
	sl_buf_init(&report, REPORT_MAX);
	err = services->reload(services->context, &report);
	if (err == SL_OK) {
		admin_note(call, "configuration.reload", sl_slice_trim(sl_buf_slice(&report)));
		admin_answer_json(call, 200, &report);
	} else if (err == SL_ENOMEM) {
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE, "Out of memory.");
	} else {
		answer_problems(call, sl_buf_slice(&report));
	}
	sl_buf_release(&report);
}
