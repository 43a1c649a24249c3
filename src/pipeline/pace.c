/* pace.c - back-pressure of the record writer, and of the ledger's journal.
 *
 * While anybody waits, a timer looks every LOOK_MS whether the writer caught up: nobody
 * has to be told by another thread, and without pressure nothing of this runs but one
 * comparison for each request.
 */
#include "pipeline/pace.h"

#include "ledger/money.h"
#include "pipeline/ask.h"
#include "telemetry/telemetry.h"

enum {
	LOOK_MS = 5,
	NEXT_MS = 1,         /* when more may go on than one turn takes */
	PACE_MAX_MS = 30000, /* the writer works, and is slow beyond hope */
	MONEY_MAX_MS = 2000, /* nobody knows whether the journal works */
	TURN_MAX = 64,       /* that go on in one turn of the loop */
};

/* How long a request should wait as things are; 0: not at all. */
static uint64_t
patience_ms(const struct sl_gateway *gateway)
{
	if (sl_telemetry_room(gateway->services.telemetry, sl_loop_index(gateway->loop)) ==
	    SL_ROOM_TIGHT)
		return PACE_MAX_MS;
	return sl_money_behind(gateway->services.money) ? MONEY_MAX_MS : 0;
}

static void
on_look(struct sl_timer *timer)
{
	struct sl_gateway *gateway = SL_CONTAINER(timer, struct sl_gateway, pace.timer);
	struct sl_list *held = &gateway->pace.held;
	uint64_t now_ms = sl_loop_now_ms(gateway->loop);
	uint64_t patience = patience_ms(gateway);
	int i;

	for (i = 0; i < TURN_MAX && !sl_list_empty(held); i++) {
		struct sl_pace_place *place = SL_CONTAINER(held->next, struct sl_pace_place, node);

		if (now_ms - place->since_ms < patience)
			break;
		sl_list_remove(&place->node);
		sl_gateway_begin(place->ask);
	}
	if (!sl_list_empty(held))
		sl_timer_set(gateway->loop, timer, i < TURN_MAX ? LOOK_MS : NEXT_MS);
}

void
sl_pace_init(struct sl_pace *pace)
{
	sl_list_init(&pace->held);
	pace->timer.on_due = on_look;
}

bool
sl_pace_hold(struct sl_ask *ask)
{
	struct sl_gateway *gateway = ask->gateway;
	struct sl_pace_place *place = &ask->head->pace;

	if (sl_list_empty(&gateway->pace.held) && patience_ms(gateway) == 0)
		return false;
	place->ask = ask;
	place->since_ms = sl_loop_now_ms(gateway->loop);
	sl_list_push_back(&gateway->pace.held, &place->node);
	if (!sl_timer_is_set(&gateway->pace.timer))
		sl_timer_set(gateway->loop, &gateway->pace.timer, LOOK_MS);
	sl_telemetry_paced(gateway->services.telemetry);
	return true;
}

void
sl_pace_leave(struct sl_ask *ask)
{
	if (ask->head && ask->head->pace.node.next)
		sl_list_remove(&ask->head->pace.node);
}
