/* health.c - /health: the process lives; /ready: it should be sent requests.
 *
 * Neither ever calls a model, waits for a disk or needs a key. /ready is 503
 * while the store refuses writes (paid requests would be refused) and while the
 * process shuts down, so that a load balancer turns away in time.
 */
#include "admin/call.h"
#include "admin/health.h"
#include "store/store.h"

struct admin_condition
admin_condition(const struct sl_admin *admin)
{
	const struct sl_admin_services *services = &admin->services;
	bool draining = services->draining && services->draining(services->context);
	bool store = sl_store_healthy(services->store);

	return (struct admin_condition){
		.ready = store && !draining,
		.store = store,
		.draining = draining,
	};
}

void
admin_health(struct admin_call *call)
{
	admin_answer(call, 200, "application/json", NULL, 0, SL_SLICE("{\"status\":\"ok\"}\n"));
}

void
admin_ready(struct admin_call *call)
{
	struct admin_condition condition = admin_condition(call->admin);
	struct sl_json_writer w;
	struct sl_buf body;

	sl_buf_init(&body, 4096);
	sl_json_writer_init(&w, &body);
	sl_json_obj(&w);
	sl_json_str(&w, "status", condition.ready      ? SL_SLICE("ready")
	                          : condition.draining ? SL_SLICE("draining")
	                                               : SL_SLICE("unavailable"));
	sl_json_key(&w, "checks");
	sl_json_obj(&w);
	sl_json_str(&w, "store", condition.store ? SL_SLICE("ok")
	                                         : SL_SLICE("the store refuses writes: disk full or "
	                                                    "failing; see the log"));
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
	admin_answer_json(call, condition.ready ? 200 : 503, &body);
}
