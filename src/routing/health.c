/* health.c - the circuit breaker and the figures of one target.
 *
 *            5 failures in a row, or half of at least 20 in 10 s
 *   CLOSED ------------------------------------------------------> OPEN <--.
 *     ^                                                            |  |    |
 *     |                    a forced attempt went well              |  |    |
 *     +------------------------------------------------------------'  |    |
 *     |                                         cool-down over, begin |    |
 *     |   content, or any answer                                      v    |
 *     '---------------------------------------------------------- HALF_OPEN
 *                                                                  probe failed
 *
 * The probe is the caller's own request, so exactly one is let through and the
 * others go elsewhere; a probe whose caller left leaves the breaker open and the
 * next attempt is the probe. The cool-down doubles with each opening until an
 * attempt has ended well, and is spread by a quarter either way, so that many
 * gateways do not come back in step.
 *
 * Each opening begins an epoch. An attempt that began in an earlier one tells of
 * a time that is over: it moves the figures, never the breaker.
 *
 * 429 is no failure: a target that limits us lives. It gets its cool-down (the
 * provider's Retry-After) beside the breaker.
 */
#include "routing/health.h"

#include <math.h>
#include <string.h>

enum { SECOND_US = 1000000, ERROR_WEIGHT = 10 /* results that an EWMA remembers */ };

const char *
sl_breaker_name(enum sl_breaker breaker)
{
	static const char *const names[SL_BREAKER_STATES] = { "closed", "open", "half_open" };

	return names[breaker];
}

/* --- figures ---------------------------------------------------------------- */

/* What is left of a latency that was seen some time ago: without new ones it
 * fades, so that a target that was slow once is tried again. */
static double
faded(const struct sl_health *health, bool stream, uint64_t now_us)
{
	double age_us = (double)(now_us - health->latency_at_us[stream]);

	if (now_us <= health->latency_at_us[stream])
		return health->latency_us[stream];
	return health->latency_us[stream] * exp(-age_us / (SL_HEALTH_LATENCY_TAU_MS * 1000.0));
}

/* A rise shows at once, a fall slowly: the peak EWMA of Finagle's balancer. */
static void
add_latency(struct sl_health *health, bool stream, uint64_t latency_us, uint64_t now_us)
{
	double value = latency_us > 0 ? (double)latency_us : 1;

	if (value < health->latency_us[stream]) {
		double old = faded(health, stream, now_us);

		value = old + value * (1 - old / health->latency_us[stream]);
	}
	health->latency_us[stream] = value;
	health->latency_at_us[stream] = now_us;
}

static bool
is_due(const struct sl_health *health, uint64_t now_us)
{
	if (now_us < health->cool_until_us)
		return false;
	return health->breaker == SL_BREAKER_CLOSED ||
	       (health->breaker == SL_BREAKER_OPEN && now_us >= health->open_until_us);
}

void
sl_health_figures(const struct sl_health *health, bool stream, uint64_t now_us,
                  struct sl_health_figures *out)
{
	bool known = health->latency_at_us[stream] > 0;

	*out = (struct sl_health_figures){
		.breaker = health->breaker,
		.ejected = !is_due(health, now_us),
		.full = health->max_in_flight > 0 && health->in_flight >= health->max_in_flight,
		.cooling = health->breaker == SL_BREAKER_CLOSED && now_us < health->cool_until_us,
		.in_flight = health->in_flight,
		.latency_us = known ? (uint64_t)faded(health, stream, now_us) + 1 : 0,
		.error_rate = health->error_rate,
	};
	if (!out->ejected)
		return;
	out->due_us = health->cool_until_us;
	if (health->breaker == SL_BREAKER_OPEN && health->open_until_us > out->due_us)
		out->due_us = health->open_until_us;
	/* A probe is out: soon. */
	if (out->due_us <= now_us)
		out->due_us = now_us + SECOND_US;
}

/* --- the breaker --------------------------------------------------------------- */

static void
set_breaker(struct sl_health *health, enum sl_breaker breaker)
{
	if (breaker == SL_BREAKER_CLOSED) {
		health->consecutive = 0;
		memset(health->window, 0, sizeof(health->window));
	}
	health->breaker = breaker;
}

static void
open_breaker(struct sl_health *health, uint64_t now_us, uint64_t chance)
{
	uint32_t doublings = health->trips < 16 ? health->trips : 16;
	uint64_t cool_us = (uint64_t)SL_HEALTH_COOL_MS * 1000 << doublings;

	if (cool_us > (uint64_t)SL_HEALTH_COOL_MAX_MS * 1000)
		cool_us = (uint64_t)SL_HEALTH_COOL_MAX_MS * 1000;
	health->open_until_us = now_us + cool_us * 3 / 4 + chance % (cool_us / 2);
	health->trips++;
	health->epoch++;
	health->opened++;
	set_breaker(health, SL_BREAKER_OPEN);
}

static void
count(struct sl_health *health, bool failed, uint64_t now_us)
{
	uint64_t second = now_us / SECOND_US;
	size_t at = second % SL_HEALTH_WINDOW_S;

	if (health->window[at].second != second) {
		health->window[at].second = second;
		health->window[at].total = health->window[at].failed = 0;
	}
	health->window[at].total++;
	health->window[at].failed += failed;
	health->consecutive = failed ? health->consecutive + 1 : 0;
}

static bool
is_bad(const struct sl_health *health, uint64_t now_us)
{
	uint64_t second = now_us / SECOND_US;
	uint32_t total = 0, failed = 0;

	if (health->consecutive >= SL_HEALTH_CONSECUTIVE)
		return true;
	/* No result failed that the window or the rate remembers. */
	if (health->error_rate <= 0)
		return false;
	for (size_t i = 0; i < SL_HEALTH_WINDOW_S; i++)
		if (health->window[i].second + SL_HEALTH_WINDOW_S > second) {
			total += health->window[i].total;
			failed += health->window[i].failed;
		}
	return total >= SL_HEALTH_WINDOW_MIN && failed * 2 >= total;
}

bool
sl_health_begin(struct sl_health *health, bool stream, bool last, uint64_t now_us,
                struct sl_health_ticket *ticket)
{
	bool due = is_due(health, now_us);

	if ((!due && !last) ||
	    (health->max_in_flight > 0 && health->in_flight >= health->max_in_flight))
		return false;
	*ticket = (struct sl_health_ticket){
		.begin_us = now_us,
		.epoch = health->epoch,
		.probe = due && health->breaker == SL_BREAKER_OPEN,
		.stream = stream,
	};
	if (ticket->probe)
		set_breaker(health, SL_BREAKER_HALF_OPEN);
	health->in_flight++;
	health->attempts++;
	return true;
}

void
sl_health_content(struct sl_health *health, struct sl_health_ticket *ticket, uint64_t now_us)
{
	if (ticket->told)
		return;
	ticket->told = true;
	add_latency(health, ticket->stream, now_us - ticket->begin_us, now_us);
	sl_spread_add(&health->spread[ticket->stream], now_us - ticket->begin_us);
	/* A long stream must not keep the others out until it ends. */
	if (ticket->epoch == health->epoch && health->breaker != SL_BREAKER_CLOSED)
		set_breaker(health, SL_BREAKER_CLOSED);
}

static void
end_closed(struct sl_health *health, enum sl_verdict verdict, uint64_t now_us, uint64_t chance)
{
	if (verdict != SL_VERDICT_OK && verdict != SL_VERDICT_FAILED)
		return;
	count(health, verdict == SL_VERDICT_FAILED, now_us);
	if (verdict == SL_VERDICT_OK)
		health->trips = 0;
	if (is_bad(health, now_us))
		open_breaker(health, now_us, chance);
}

/* Of the present epoch, while open or half-open: the probe, or an attempt that
 * was forced because there was no other target. */
static void
end_open(struct sl_health *health, const struct sl_health_ticket *ticket,
         enum sl_verdict verdict, uint64_t now_us, uint64_t chance)
{
	switch (verdict) {
	case SL_VERDICT_OK:
	case SL_VERDICT_LIMITED:
		set_breaker(health, SL_BREAKER_CLOSED);
		end_closed(health, verdict, now_us, chance);
		break;
	case SL_VERDICT_FAILED:
		if (ticket->probe)
			open_breaker(health, now_us, chance);
		break;
	case SL_VERDICT_NONE:
		if (ticket->probe) {
			health->open_until_us = now_us;
			set_breaker(health, SL_BREAKER_OPEN);
		}
		break;
	}
}

static void
cool(struct sl_health *health, uint64_t retry_after_ms, uint64_t now_us)
{
	uint64_t until_us;

	if (retry_after_ms > SL_HEALTH_RETRY_AFTER_MAX_MS)
		retry_after_ms = SL_HEALTH_RETRY_AFTER_MAX_MS;
	until_us = now_us + retry_after_ms * 1000;
	if (until_us > health->cool_until_us)
		health->cool_until_us = until_us;
}

void
sl_health_end(struct sl_health *health, const struct sl_health_ticket *ticket,
              enum sl_verdict verdict, uint64_t retry_after_ms, uint64_t now_us,
              uint64_t chance)
{
	uint64_t waited_us = now_us - ticket->begin_us;

	health->in_flight--;
	health->failures += verdict == SL_VERDICT_FAILED;
	health->limited += verdict == SL_VERDICT_LIMITED;
	if (verdict == SL_VERDICT_OK || verdict == SL_VERDICT_FAILED)
		health->error_rate += ((verdict == SL_VERDICT_FAILED) - health->error_rate) /
		                      ERROR_WEIGHT;
	/* Who left before anything came has shown that it takes at least so long. */
	if (verdict == SL_VERDICT_NONE && !ticket->told &&
	    (double)waited_us > health->latency_us[ticket->stream])
		add_latency(health, ticket->stream, waited_us, now_us);
	if (verdict == SL_VERDICT_LIMITED && retry_after_ms == 0)
		retry_after_ms = SL_HEALTH_COOL_MS;
	if (retry_after_ms > 0 && (verdict == SL_VERDICT_LIMITED || verdict == SL_VERDICT_FAILED))
		cool(health, retry_after_ms, now_us);
	if (ticket->epoch != health->epoch)
		return;
	if (health->breaker == SL_BREAKER_CLOSED)
		end_closed(health, verdict, now_us, chance);
	else
		end_open(health, ticket, verdict, now_us, chance);
}

/* --- the budget of retries ---------------------------------------------------------- */

static size_t
budget_slot(struct sl_retry_budget *budget, uint64_t now_us)
{
	uint64_t second = now_us / SECOND_US;
	size_t at = second % SL_HEALTH_WINDOW_S;

	if (budget->window[at].second != second) {
		budget->window[at].second = second;
		budget->window[at].requests = budget->window[at].retries = 0;
	}
	return at;
}

void
sl_health_hint(struct sl_health *health, bool alive, uint64_t now_us, uint64_t until_us)
{
	if (health->breaker != SL_BREAKER_OPEN)
		return;
	if (!alive && health->open_until_us < until_us)
		health->open_until_us = until_us;
	else if (alive && health->trips <= 1 && health->open_until_us > now_us)
		health->open_until_us = now_us;
}

void
sl_retry_request(struct sl_retry_budget *budget, uint64_t now_us)
{
	budget->window[budget_slot(budget, now_us)].requests++;
}

bool
sl_retry_take(struct sl_retry_budget *budget, uint64_t now_us)
{
	size_t at = budget_slot(budget, now_us);
	uint64_t requests = 0, retries = 0, allowed;

	for (size_t i = 0; i < SL_HEALTH_WINDOW_S; i++)
		if (budget->window[i].second + SL_HEALTH_WINDOW_S > now_us / SECOND_US) {
			requests += budget->window[i].requests;
			retries += budget->window[i].retries;
		}
	allowed = requests / SL_RETRY_SHARE;
	if (allowed < SL_RETRY_FLOOR)
		allowed = SL_RETRY_FLOOR;
	if (retries >= allowed)
		return false;
	budget->window[at].retries++;
	return true;
}

void
sl_hedge_earn(struct sl_hedge_budget *budget, uint32_t percent)
{
	budget->hundredths += percent;
	if (budget->hundredths > SL_HEDGE_BURST * 100)
		budget->hundredths = SL_HEDGE_BURST * 100;
}

bool
sl_hedge_take(struct sl_hedge_budget *budget)
{
	if (budget->hundredths < 100)
		return false;
	budget->hundredths -= 100;
	return true;
}
