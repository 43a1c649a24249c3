/* metrics.c - /metrics, for Prometheus. */
#include "admin/call.h"
#include "ledger/key.h"

enum { METRICS_MAX = 16 << 20 };

void
admin_metrics(struct admin_call *call)
{
	const struct sl_admin_services *services = &call->admin->services;
	struct sl_telemetry_gauges gauges = { 0 };
	struct sl_buf text;

	if (services->gauges)
		services->gauges(services->context, &gauges);
	gauges.keys = sl_keyring_count(services->keyring);
	sl_buf_init(&text, METRICS_MAX);
	sl_telemetry_metrics(services->telemetry, &gauges, &text);
	if (text.failed)
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE,
		                        "The metrics do not fit into memory.");
	else
		admin_answer(call, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, 0,
		             sl_buf_slice(&text));
	sl_buf_release(&text);
}
