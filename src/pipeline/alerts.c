/* alerts.c - thresholds of budgets, and the webhook that is told.
 *
 * The signature is of the kind that receivers know: X-Sluice-Signature: t=SECONDS,v1=HEX,
 * where HEX is HMAC-SHA-256 under the configured secret over "SECONDS.BODY". The time is
 * of the try, so that a receiver can refuse old ones.
 */
#include "pipeline/alerts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/sha256.h"
#include "base/timestamp.h"
#include "ledger/alert_mark.h"
#include "ledger/digest.h"
#include "ledger/money.h"
#include "providers/provider.h"
#include "routing/stack.h"

enum {
	LOOK_MS = 500,
	TOUCHED_MAX = 1024,     /* levels between two looks; more wait for their next request */
	TOUCHED_SLOTS = 2048,   /* a power of two */
	KNOWN_MAX = 16384,      /* marks remembered, so that the store is not asked again */
	POSTS_MAX = 64,         /* alerts under way */
	TRIES_MAX = 5,
	FIRST_WAIT_MS = 1000,   /* doubled with each try */
	ID_SIZE = 256,
	BODY_MAX = 4096,
};
static const unsigned default_percents[] = { 80, 100 };

struct touched {
	enum sl_scope_kind kind;
	size_t             len;
	char               name[SL_SCOPE_NAME_MAX];
};

struct sl_alerts {
	struct sl_loop         *loop; /* NULL: not started, or stopped */
	struct sl_client       *client;
	struct sl_alert_sources sources;
	struct sl_timer         timer;
	struct sl_list          posts;
	size_t                  post_count;
	uint64_t                known[KNOWN_MAX]; /* hashes of ids; 0: free */
	size_t                  known_count;
	atomic_bool             wanted; /* there is a webhook */
	pthread_mutex_t         lock; /* guards what follows */
	uint16_t                slots[TOUCHED_SLOTS]; /* index in touched, from 1; 0: free */
	struct touched          touched[TOUCHED_MAX];
	size_t                  touched_count;
};

/* One alert, from its mark to its end. */
struct post {
	struct sl_list      node; /* in alerts->posts */
	struct sl_alerts   *alerts;
	struct sl_alert_mark mark;
	struct sl_timer     timer;
	struct sl_fetch     fetch;
	bool                marking, fetching;
	struct sl_world    *world; /* while fetching */
	unsigned            tries;
	int                 status;
	char                id[ID_SIZE];
	struct sl_buf       body;
	struct sl_slice     body_slice;
};

/* --- lifetime -------------------------------------------------------------------------- */

static void look(struct sl_timer *timer);

struct sl_alerts *
sl_alerts_new(void)
{
	struct sl_alerts *alerts = calloc(1, sizeof(*alerts));

	if (!alerts)
		return NULL;
	pthread_mutex_init(&alerts->lock, NULL);
	sl_list_init(&alerts->posts);
	return alerts;
}

static void
free_post(struct post *post)
{
	sl_timer_clear(&post->timer);
	sl_list_remove(&post->node);
	post->alerts->post_count--;
	sl_world_unref(post->world);
	sl_buf_release(&post->body);
	free(post);
}

/* Those that are being marked end with the store. */
void
sl_alerts_free(struct sl_alerts *alerts)
{
	if (!alerts)
		return;
	while (!sl_list_empty(&alerts->posts))
		free_post(SL_CONTAINER(alerts->posts.next, struct post, node));
	pthread_mutex_destroy(&alerts->lock);
	free(alerts);
}

void
sl_alerts_start(struct sl_alerts *alerts, struct sl_loop *loop, struct sl_client *client,
                const struct sl_alert_sources *sources)
{
	alerts->loop = loop;
	alerts->client = client;
	alerts->sources = *sources;
	alerts->timer.on_due = look;
	atomic_store(&alerts->wanted, sources->world(sources->context)->alert.target.len > 0);
	sl_timer_set(loop, &alerts->timer, LOOK_MS);
}

void
sl_alerts_stop(struct sl_alerts *alerts)
{
	struct sl_list *at = alerts->posts.next, *next;

	sl_timer_clear(&alerts->timer);
	for (; at != &alerts->posts; at = next) {
		struct post *post = SL_CONTAINER(at, struct post, node);

		next = at->next;
		if (post->fetching)
			sl_fetch_cancel(&post->fetch);
		if (!post->marking)
			free_post(post);
	}
	alerts->loop = NULL;
}

/* Never 0. */
static uint64_t
hash_of(struct sl_slice text, unsigned kind)
{
	uint64_t hash = 0xcbf29ce484222325u ^ kind;

	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (unsigned char)text.ptr[i]) * 0x100000001b3u;
	hash ^= hash >> 32;
	return hash ? hash : 1;
}

/* --- what was touched --------------------------------------------------------------------- */

static void
touch(struct sl_alerts *alerts, enum sl_scope_kind kind, struct sl_slice name)
{
	size_t slot = hash_of(name, kind) % TOUCHED_SLOTS;
	struct touched *at;

	for (; alerts->slots[slot]; slot = (slot + 1) % TOUCHED_SLOTS) {
		at = &alerts->touched[alerts->slots[slot] - 1];
		if (at->kind == kind && sl_slice_eq(sl_slice_make(at->name, at->len), name))
			return;
	}
	at = &alerts->touched[alerts->touched_count];
	if (alerts->touched_count == TOUCHED_MAX || name.len > sizeof(at->name))
		return;
	at->kind = kind;
	at->len = name.len;
	memcpy(at->name, name.ptr, name.len);
	alerts->slots[slot] = (uint16_t)++alerts->touched_count;
}

void
sl_alerts_touch(struct sl_alerts *alerts, const struct sl_tenancy *tenancy)
{
	if (!alerts || !atomic_load_explicit(&alerts->wanted, memory_order_relaxed))
		return;
	for (size_t i = 0; i < tenancy->count; i++) {
		const struct sl_level *level = &tenancy->levels[i];

		if (level->kind == SL_SCOPE_END_USER || !sl_money_limits_set(&level->limits->money))
			continue;
		pthread_mutex_lock(&alerts->lock);
		touch(alerts, level->kind, level->name);
		pthread_mutex_unlock(&alerts->lock);
	}
}

void
sl_alerts_touch_stack(struct sl_alerts *alerts, struct sl_slice slug)
{
	if (!alerts || !atomic_load_explicit(&alerts->wanted, memory_order_relaxed))
		return;
	pthread_mutex_lock(&alerts->lock);
	touch(alerts, SL_SCOPE_STACK, slug);
	pthread_mutex_unlock(&alerts->lock);
}

/* --- marks -------------------------------------------------------------------------------- */

/* Where the hash is, or would be. */
static uint64_t *
known_slot(struct sl_alerts *alerts, uint64_t hash)
{
	size_t at = (size_t)hash % KNOWN_MAX;

	while (alerts->known[at] && alerts->known[at] != hash)
		at = (at + 1) % KNOWN_MAX;
	return &alerts->known[at];
}

static void
remember(struct sl_alerts *alerts, const char *id)
{
	uint64_t hash = hash_of(sl_slice_str(id), 0), *slot;

	/* Forgetting costs a question to the store, not an alert. */
	if (alerts->known_count >= KNOWN_MAX / 2) {
		memset(alerts->known, 0, sizeof(alerts->known));
		alerts->known_count = 0;
	}
	slot = known_slot(alerts, hash);
	alerts->known_count += *slot == 0;
	*slot = hash;
}

/* --- posting -------------------------------------------------------------------------------- */

static void try_post(struct post *post);

static void
on_retry(struct sl_timer *timer)
{
	try_post(SL_CONTAINER(timer, struct post, timer));
}

static void
end_try(struct post *post, bool told, const char *why)
{
	post->fetching = false;
	sl_world_unref(post->world);
	post->world = NULL;
	if (!told && post->tries < TRIES_MAX) {
		post->timer.on_due = on_retry;
		sl_timer_set(post->alerts->loop, &post->timer,
		             (uint64_t)FIRST_WAIT_MS << (post->tries - 1));
		return;
	}
	if (!told)
		sl_log(SL_LOG_ERROR, "a budget alert was not delivered", SL_LOG_Z("alert", post->id),
		       SL_LOG_Z("reason", why), SL_LOG_I("status", post->status));
	free_post(post);
}

static void
on_head(struct sl_fetch *fetch, int status, const struct sl_headers *headers,
        int64_t content_length)
{
	(void)headers;
	(void)content_length;
	SL_CONTAINER(fetch, struct post, fetch)->status = status;
}

/* What it says is of no interest; its end is waited for within the timeout. */
static void
on_data(struct sl_fetch *fetch, struct sl_slice bytes)
{
	(void)fetch;
	(void)bytes;
}

static void
on_end(struct sl_fetch *fetch, const struct sl_headers *trailers)
{
	struct post *post = SL_CONTAINER(fetch, struct post, fetch);

	(void)trailers;
	end_try(post, post->status >= 200 && post->status < 300, "the receiver refused it");
}

static void
on_fail(struct sl_fetch *fetch, const struct sl_fetch_error *error)
{
	end_try(SL_CONTAINER(fetch, struct post, fetch), false, error->detail);
}

static struct sl_slice
signature_of(struct sl_slice secret, struct sl_slice body, int64_t now_s, char out[96])
{
	unsigned char digest[32];
	char hex[2 * sizeof(digest)], seconds[24];
	struct sl_buf text;
	bool ok;

	snprintf(seconds, sizeof(seconds), "%" PRId64, now_s);
	sl_buf_init(&text, 2 * BODY_MAX);
	sl_buf_printf(&text, "%s.%.*s", seconds, SL_ARG(body));
	ok = !text.failed;
	if (ok)
		sl_hmac(secret, sl_buf_slice(&text), digest);
	sl_buf_release(&text);
	if (!ok)
		return SL_SLICE_NONE;
	sl_hex_encode(digest, sizeof(digest), hex);
	snprintf(out, 96, "t=%s,v1=%.*s", seconds, (int)sizeof(hex), hex);
	return sl_slice_str(out);
}

static void
try_post(struct post *post)
{
	static const struct sl_fetch_ops ops = { on_head, on_data, on_end, on_fail };
	struct sl_alerts *alerts = post->alerts;
	struct sl_world *world = alerts->sources.world(alerts->sources.context);
	char text[96];
	struct sl_slice signature =
	    signature_of(sl_secret_reveal(&world->config->alerts_secret),
	                 sl_buf_slice(&post->body), sl_loop_wall_ms(alerts->loop) / 1000, text);
	const struct sl_header fields[] = {
		{ SL_SLICE("content-type"), SL_SLICE("application/json") },
		{ SL_SLICE("user-agent"), SL_SLICE("sluice") },
		{ SL_SLICE("x-sluice-signature"), signature },
	};
	const struct sl_fetch_request request = {
		.method = SL_SLICE("POST"), .target = world->alert.target, .headers = fields,
		.header_count = sizeof(fields) / sizeof(fields[0]), .body = &post->body_slice,
		.body_count = 1,
	};

	post->tries++;
	post->status = 0;
	post->body_slice = sl_buf_slice(&post->body);
	post->fetch = (struct sl_fetch){ .ops = &ops };
	post->world = sl_world_ref(world);
	post->fetching = true;
	/* The configuration may have lost its webhook meanwhile. */
	if (!world->alert.target.len || !signature.len ||
	    sl_fetch_start(alerts->client, &world->alert.origin, &post->fetch, &request) != SL_OK)
		end_try(post, false, "it could not be sent");
}

static void
marked(struct sl_alert_mark *mark)
{
	struct post *post = SL_CONTAINER(mark, struct post, mark);
	struct sl_alerts *alerts = post->alerts;

	post->marking = false;
	if (mark->err == SL_OK || mark->err == SL_EEXIST)
		remember(alerts, post->id);
	if (mark->err == SL_OK && alerts->loop)
		try_post(post);
	else
		free_post(post);
}

/* --- thresholds --------------------------------------------------------------------------------- */

static const char *const window_names[SL_WINDOW_COUNT] = {
#define WINDOW_NAME(id, name) name,
	SL_MONEY_WINDOWS(WINDOW_NAME)
#undef WINDOW_NAME
};

/* One level in one window. */
struct reading {
	enum sl_scope_kind kind;
	struct sl_slice    name;
	int                window;
	int32_t            period;
	int64_t            limit, spent, now_wall_ms;
};

static void
write_body(const struct reading *reading, const char *id, unsigned percent, struct sl_buf *body)
{
	char at[SL_TIMESTAMP_LEN + 1];
	struct sl_json_writer w;

	sl_json_writer_init(&w, body);
	sl_json_obj(&w);
	sl_json_str(&w, "id", sl_slice_str(id));
	sl_json_str(&w, "type", SL_SLICE("budget.threshold"));
	sl_json_str(&w, "level", sl_slice_str(sl_scope_kind_name(reading->kind)));
	sl_json_str(&w, "name", reading->name);
	sl_json_str(&w, "window", sl_slice_str(window_names[reading->window]));
	sl_json_int(&w, "threshold_percent", percent);
	sl_json_usd(&w, "limit_usd", reading->limit);
	sl_json_usd(&w, "spend_usd", reading->spent);
	sl_json_str(&w, "at", sl_slice_make(at, sl_timestamp_format(reading->now_wall_ms, at)));
	sl_json_obj_end(&w);
}

static void
cross(struct sl_alerts *alerts, const struct reading *reading, unsigned percent)
{
	struct post *post;
	char id[ID_SIZE];

	snprintf(id, sizeof(id), "%s/%.*s/%s/%d/%u", sl_scope_kind_name(reading->kind),
	         SL_ARG(reading->name), window_names[reading->window], (int)reading->period,
	         percent);
	if (*known_slot(alerts, hash_of(sl_slice_str(id), 0)) || alerts->post_count >= POSTS_MAX)
		return;
	for (struct sl_list *at = alerts->posts.next; at != &alerts->posts; at = at->next)
		if (strcmp(SL_CONTAINER(at, struct post, node)->id, id) == 0)
			return;
	post = calloc(1, sizeof(*post));
	if (!post)
		return;
	post->alerts = alerts;
	memcpy(post->id, id, sizeof(id));
	sl_buf_init(&post->body, BODY_MAX);
	write_body(reading, id, percent, &post->body);
	post->mark = (struct sl_alert_mark){ .id = sl_slice_str(post->id), .loop = alerts->loop,
		                             .now_wall_ms = reading->now_wall_ms,
		                             .done = marked };
	post->marking = true;
	sl_list_push_back(&alerts->posts, &post->node);
	alerts->post_count++;
	if (post->body.failed || sl_alert_mark(alerts->sources.store, &post->mark) != SL_OK)
		free_post(post);
}

/* What is spent of a level's budgets, with its thresholds. */
static void
compare(struct sl_alerts *alerts, enum sl_scope_kind kind, struct sl_slice name,
        const struct sl_money_limits *limits, const unsigned *percents, size_t count)
{
	int64_t now_wall_ms = sl_loop_wall_ms(alerts->loop);
	int32_t day = sl_zone_day(limits->zone, now_wall_ms);
	const int32_t period[SL_WINDOW_COUNT] = { day, sl_week_of_day(day), sl_month_of_day(day), 0 };
	struct sl_money_standing standing;

	sl_money_standing(alerts->sources.money, kind, name, limits->zone, now_wall_ms, &standing);
	for (int w = 0; w < SL_WINDOW_COUNT; w++) {
		const struct reading reading = { kind, name, w, period[w], limits->window[w],
			                         standing.spent[w], now_wall_ms };

		for (size_t i = 0; i < count && limits->window[w] > 0; i++)
			if (standing.spent[w] >= sl_percent_of(limits->window[w], percents[i]))
				cross(alerts, &reading, percents[i]);
	}
}

/* A policy's own thresholds, or the usual ones. */
static void
look_at_policy(struct sl_alerts *alerts, const struct sl_key_policy *policy, struct sl_slice name)
{
	unsigned own[sizeof(policy->alerts.percent) / sizeof(policy->alerts.percent[0])];

	for (size_t i = 0; i < policy->alerts.count; i++)
		own[i] = policy->alerts.percent[i];
	if (policy->alerts.set)
		compare(alerts, policy->level, name, &policy->limits.money, own, policy->alerts.count);
	else
		compare(alerts, policy->level, name, &policy->limits.money, default_percents,
		        sizeof(default_percents) / sizeof(default_percents[0]));
}

/* Of the whole budget, wherever it stops. */
static void
look_at_stack(struct sl_alerts *alerts, struct sl_slice slug)
{
	const struct sl_stack_book *book = sl_stacks_ref(alerts->sources.stacks);
	const struct sl_config_stack *stack =
	    sl_stack_find(book, alerts->sources.world(alerts->sources.context)->config, slug);
	struct sl_money_limits limits = sl_money_unlimited;

	if (stack) {
		const unsigned percents[] = { (unsigned)stack->budget.warn_percent,
			                      (unsigned)stack->budget.stop_percent };
		size_t from = percents[0] == 0, until = percents[1] == 0 ? 1 : 2;

		limits.window[SL_WINDOW_DAY] = stack->budget.daily_nanousd;
		limits.window[SL_WINDOW_MONTH] = stack->budget.monthly_nanousd;
		if (from < until)
			compare(alerts, SL_SCOPE_STACK, slug, &limits, percents + from, until - from);
	}
	sl_stack_book_unref(book);
}

static void
look_at(struct sl_alerts *alerts, const struct touched *touched)
{
	struct sl_slice name = sl_slice_make(touched->name, touched->len);

	if (touched->kind == SL_SCOPE_STACK) {
		look_at_stack(alerts, name);
	} else if (touched->kind == SL_SCOPE_KEY) {
		struct sl_key *key = sl_keyring_by_id(alerts->sources.keyring, name);

		if (key)
			look_at_policy(alerts, sl_key_policy(key), name);
		sl_key_unref(key);
	} else {
		struct sl_tenant *tenant =
		    sl_tenants_find(alerts->sources.tenants, touched->kind, name);

		if (tenant)
			look_at_policy(alerts, sl_tenant_policy(tenant), name);
		sl_tenant_unref(tenant);
	}
}

static void
look(struct sl_timer *timer)
{
	struct sl_alerts *alerts = SL_CONTAINER(timer, struct sl_alerts, timer);
	const struct sl_world *world = alerts->sources.world(alerts->sources.context);
	struct touched *touched = NULL;
	size_t count = 0;

	pthread_mutex_lock(&alerts->lock);
	atomic_store(&alerts->wanted, world->alert.target.len > 0);
	if (alerts->touched_count && world->alert.target.len)
		touched = malloc(alerts->touched_count * sizeof(*touched));
	if (touched) {
		count = alerts->touched_count;
		memcpy(touched, alerts->touched, count * sizeof(*touched));
	}
	if (alerts->touched_count)
		memset(alerts->slots, 0, sizeof(alerts->slots));
	alerts->touched_count = 0;
	pthread_mutex_unlock(&alerts->lock);
	for (size_t i = 0; i < count; i++)
		look_at(alerts, &touched[i]);
	free(touched);
	sl_timer_set(alerts->loop, &alerts->timer, LOOK_MS);
}

/* --- where to --------------------------------------------------------------------------------------- */

bool
sl_alerts_prepare(struct sl_world *world, struct sl_buf *reason)
{
	struct sl_config *config = world->config;
	struct sl_url url;
	const char *why = NULL;

	if (config->alerts_url.len == 0)
		return true;
	if (sl_url_parse(config->alerts_url, &url) != SL_OK) {
		sl_buf_append_str(reason, "alerts.url: not a URL; write https://host/path\n");
		return false;
	}
	world->alert.origin = (struct sl_origin){
		.host = url.host,
		.port = url.port,
		.host_is_literal = url.host_is_literal,
		.timeouts = { .connect_ms = 5000, .first_byte_ms = 10000, .idle_ms = 10000,
		              .total_ms = 20000 },
		.max_connections = 4,
		.identity = sl_arena_printf(&config->arena, "alerts|%.*s", SL_ARG(config->alerts_url)),
	};
	if (url.tls)
		world->alert.origin.tls = sl_tls_client_new(NULL, true, &why);
	if (url.tls && !world->alert.origin.tls) {
		sl_buf_printf(reason, "alerts.url: %s\n", why ? why : "TLS could not be set up");
		return false;
	}
	world->alert.target =
	    sl_arena_printf(&config->arena, "%.*s%s%.*s", url.path.len ? (int)url.path.len : 1,
	                    url.path.len ? url.path.ptr : "/", url.query.len ? "?" : "",
	                    SL_ARG(url.query));
	return world->alert.target.ptr && world->alert.origin.identity.ptr;
}
