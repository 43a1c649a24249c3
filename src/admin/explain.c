/* explain.c - POST /admin/explain: where a request would go, and why. Nothing is sent. */
#include "pipeline/explain.h"

#include "admin/call.h"

enum { EXPLAIN_MAX = 1 << 20 };

void
admin_explain(struct admin_call *call)
{
	const struct sl_admin_services *services = &call->admin->services;
	struct sl_explain how = {
		.board = services->board,
		.stacks = services->stacks,
		.keyring = services->keyring,
		.tenants = services->tenants,
		.agents = services->agents,
		.money = services->money,
		.now_wall_ms = sl_loop_wall_ms(call->admin->loop),
		.now_us = sl_loop_now_ns(call->admin->loop) / 1000,
		.arena = &call->exchange->arena,
	};
	struct sl_fault fault;
	struct sl_json body;
	struct sl_buf out;

	if (!admin_body(call, &body))
		return;
	how.world = services->world(services->context);
	sl_buf_init(&out, EXPLAIN_MAX);
	if (sl_explain_request(&how, body, &out, &fault))
		admin_answer_json(call, 200, &out);
	else
		admin_answer_fault(call, &fault);
	sl_buf_release(&out);
}
