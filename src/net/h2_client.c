/* h2_client.c - HTTP/2 towards an upstream. */
#include "net/client_internal.h"

enum sl_err
sl_h2_open(struct sl_upstream *up)
{
	(void)up;
	return SL_EUNSUPPORTED;
}

bool
sl_h2_has_room(const struct sl_upstream *up)
{
	(void)up;
	return false;
}

void
sl_h2_start(struct sl_upstream *up, struct sl_flight *flight)
{
	(void)up;
	sl_flight_fail(flight, SL_EUNSUPPORTED, "HTTP/2");
}

void
sl_h2_on_ready(struct sl_upstream *up, uint32_t events)
{
	(void)up, (void)events;
}

void
sl_h2_on_timer(struct sl_upstream *up)
{
	(void)up;
}

void
sl_h2_resume(struct sl_flight *flight)
{
	(void)flight;
}

void
sl_h2_detach(struct sl_flight *flight)
{
	(void)flight;
}

void
sl_h2_clear(struct sl_upstream *up)
{
	(void)up;
}
