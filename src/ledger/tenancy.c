/* tenancy.c - the limits of all levels as one.
 *
 * The windows of all levels are looked at and taken from under all of their locks, so
 * that a request is counted at every level or at none whatever other loops do. Locks are
 * taken in the order of levels: key, team, workspace, end user. A level without a limit
 * of the kind that is taken is neither locked nor counted there.
 */
#include "ledger/tenancy.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/compiler.h"
#include "base/sha256.h"
#include "base/timestamp.h"
#include "ledger/digest.h"
#include "ledger/key_policy.h"

enum { BYTES_PER_TOKEN = 4 }; /* English prose; more for code, fewer for other scripts */

/* --- who ------------------------------------------------------------------------- */

static void
add_level(struct sl_tenancy *tenancy, enum sl_scope_kind kind, struct sl_slice name,
          const struct sl_limits *limits, struct sl_meter *meter)
{
	tenancy->levels[tenancy->count++] =
	    (struct sl_level){ .kind = kind, .name = name, .limits = limits, .meter = meter };
}

static struct sl_tenant *
add_tenant(struct sl_tenancy *tenancy, enum sl_scope_kind kind, struct sl_slice slug)
{
	struct sl_tenant *tenant;

	if (slug.len == 0)
		return NULL;
	tenant = tenancy->tenants ? sl_tenants_find(tenancy->tenants, kind, slug) : NULL;
	if (tenant)
		add_level(tenancy, kind, slug, &sl_tenant_policy(tenant)->limits,
		          sl_tenant_meter(tenant));
	else
		add_level(tenancy, kind, slug, &sl_limits_none, NULL);
	return tenant;
}

struct sl_slice
sl_tenancy_workspace(const struct sl_tenancy *tenancy)
{
	const struct sl_key_policy *policy = tenancy->key ? sl_key_policy(tenancy->key) : NULL;

	if (policy && policy->workspace.len)
		return policy->workspace;
	return tenancy->team ? sl_tenant_policy(tenancy->team)->workspace : SL_SLICE_NONE;
}

void
sl_tenancy_open(struct sl_tenancy *tenancy, struct sl_tenants *tenants, struct sl_key *key)
{
	const struct sl_key_policy *policy = sl_key_policy(key);

	*tenancy = (struct sl_tenancy){ .tenants = tenants, .key = key };
	add_level(tenancy, SL_SCOPE_KEY, sl_key_id(key), &policy->limits, sl_key_meter(key));
	tenancy->team = add_tenant(tenancy, SL_SCOPE_TEAM, policy->team);
	tenancy->workspace =
	    add_tenant(tenancy, SL_SCOPE_WORKSPACE, sl_tenancy_workspace(tenancy));
}

void
sl_tenancy_close(struct sl_tenancy *tenancy)
{
	for (size_t i = 0; i < tenancy->count && tenancy->admitted; i++)
		if (tenancy->levels[i].meter)
			atomic_fetch_sub(&tenancy->levels[i].meter->in_flight, 1);
	sl_tenant_unref(tenancy->team);
	sl_tenant_unref(tenancy->workspace);
	sl_end_user_unref(tenancy->end_user);
	*tenancy = (struct sl_tenancy){ 0 };
}

/* The policies that were really created, NULL for the others. */
static void
policies_of(const struct sl_tenancy *tenancy, const struct sl_key_policy *policies[3])
{
	policies[0] = tenancy->key ? sl_key_policy(tenancy->key) : NULL;
	policies[1] = tenancy->team ? sl_tenant_policy(tenancy->team) : NULL;
	policies[2] = tenancy->workspace ? sl_tenant_policy(tenancy->workspace) : NULL;
}

bool
sl_tenancy_allows(const struct sl_tenancy *tenancy, struct sl_slice requested,
                  struct sl_slice provider, struct sl_slice model)
{
	const struct sl_key_policy *policies[3];

	policies_of(tenancy, policies);
	for (size_t i = 0; i < 3; i++)
		if (policies[i] && !sl_key_policy_allows(policies[i], requested, provider, model))
			return false;
	return true;
}

bool
sl_tenancy_allows_choice(const struct sl_tenancy *tenancy, struct sl_slice requested,
                         struct sl_slice name, struct sl_slice provider, struct sl_slice model)
{
	const struct sl_key_policy *policies[3];

	policies_of(tenancy, policies);
	for (size_t i = 0; i < 3; i++)
		if (policies[i] && !sl_key_policy_allows(policies[i], requested, provider, model) &&
		    (sl_key_policy_blocks(policies[i], requested) ||
		     !sl_key_policy_allows(policies[i], name, provider, model)))
			return false;
	return true;
}

/* --- names for people --------------------------------------------------------------- */

const char *
sl_limit_kind(enum sl_scope_kind level, const char *what)
{
	static const char *const whats[] = { "rpm", "tpm", "concurrency", "budget", "balance" };
	static const char *const kinds[SL_SCOPE_KIND_COUNT][5] = {
#define KINDS(level) { level "rpm", level "tpm", level "concurrency", level "budget", level "balance" }
		[SL_SCOPE_KEY] = KINDS(""),
		[SL_SCOPE_TEAM] = KINDS("team_"),
		[SL_SCOPE_WORKSPACE] = KINDS("workspace_"),
		[SL_SCOPE_END_USER] = KINDS("end_user_"),
		[SL_SCOPE_STACK] = KINDS("stack_"),
#undef KINDS
	};

	for (size_t i = 0; i < sizeof(whats) / sizeof(whats[0]); i++)
		if (strcmp(what, whats[i]) == 0)
			return kinds[level][i];
	return what;
}

/* "Key vk_1", "Team search", "End user bob". */
static struct sl_slice
title(const struct sl_tenancy *tenancy, const struct sl_level *level, struct sl_arena *arena)
{
	static const char *const titles[SL_SCOPE_KIND_COUNT] = {
		[SL_SCOPE_KEY] = "Key", [SL_SCOPE_TEAM] = "Team",
		[SL_SCOPE_WORKSPACE] = "Workspace", [SL_SCOPE_END_USER] = "End user",
		[SL_SCOPE_STACK] = "Stack",
	};
	struct sl_slice name =
	    level->kind == SL_SCOPE_END_USER ? tenancy->end_user_label : level->name;

	return sl_arena_printf(arena, "%s %.*s", titles[level->kind], SL_ARG(name));
}

static uint32_t
seconds_up(int64_t ms)
{
	return ms <= 0 ? 1 : (uint32_t)((ms + 999) / 1000);
}

/* --- refusals -------------------------------------------------------------------------- */

static SL_COLD bool
refuse_policy(const struct sl_tenancy *tenancy, const struct sl_key_policy *policy,
              struct sl_arena *arena, struct sl_fault *fault)
{
	const struct sl_level *level = tenancy->levels;
	char when[SL_TIMESTAMP_LEN + 1];
	struct sl_slice who;

	while (level->kind != policy->level)
		level++;
	who = title(tenancy, level, arena);
	if (policy->disabled) {
		sl_fault_set(fault, SL_FAULT_DISABLED,
		             sl_arena_printf(arena, "%.*s is disabled.", SL_ARG(who)));
		return false;
	}
	sl_timestamp_format(policy->expires_wall_ms, when);
	sl_fault_set(fault, SL_FAULT_EXPIRED,
	             sl_arena_printf(arena, "%.*s expired at %s.", SL_ARG(who), when));
	return false;
}

/* A limit of a level that does not let the request pass. */
struct refusal {
	const struct sl_level *level;
	enum sl_fault_kind     kind; /* CONCURRENCY, RPM or TPM */
	struct sl_rate_state   state;
	int64_t                tokens;
};

static SL_COLD bool
refuse(const struct sl_tenancy *tenancy, const struct refusal *refusal, struct sl_arena *arena,
       struct sl_fault *fault)
{
	const struct sl_limits *limits = refusal->level->limits;
	struct sl_slice who = title(tenancy, refusal->level, arena), message;
	const char *what = "rpm";

	if (refusal->kind == SL_FAULT_CONCURRENCY) {
		what = "concurrency";
		message = sl_arena_printf(arena, "%.*s exceeded its limit of %" PRId64
		                          " requests at a time.", SL_ARG(who), limits->concurrency);
	} else if (refusal->kind == SL_FAULT_RPM) {
		message = sl_arena_printf(arena, "%.*s exceeded its %" PRId64 " req/min limit.",
		                          SL_ARG(who), limits->rpm);
	} else {
		what = "tpm";
		message = refusal->tokens > limits->tpm
		    ? sl_arena_printf(arena, "This request alone, of about %" PRId64 " tokens, exceeds "
		                      "the %" PRId64 " tokens/min limit of %.*s: shorten it.",
		                      refusal->tokens, limits->tpm, SL_ARG(who))
		    : sl_arena_printf(arena, "%.*s exceeded its %" PRId64 " tokens/min limit.",
		                      SL_ARG(who), limits->tpm);
	}
	sl_fault_set(fault, refusal->kind, message);
	fault->limit_kind = sl_limit_kind(refusal->level->kind, what);
	fault->retry_after_s = seconds_up(refusal->state.wait_ms);
	return false;
}

/* --- taking ------------------------------------------------------------------------------ */

/* What is asked of a run of levels. */
struct taking {
	size_t   first, count;   /* levels whose requests are counted: [first, count) */
	bool     requests, tokens;
	int64_t  amount;         /* of tokens, of every level from 0 on */
	uint64_t now_ms;
};

static bool
counts_requests(const struct taking *taking, const struct sl_level *level, size_t at)
{
	return taking->requests && at >= taking->first && level->limits->rpm > 0;
}

static bool
counts_tokens(const struct taking *taking, const struct sl_level *level)
{
	return taking->tokens && level->limits->tpm > 0;
}

static bool
is_counted(const struct taking *taking, const struct sl_level *level, size_t at)
{
	return level->meter &&
	       (counts_requests(taking, level, at) || counts_tokens(taking, level) ||
	        (taking->requests && at >= taking->first && level->limits->concurrency > 0));
}

/* Under the level's lock. False: *refusal. */
static bool
fits(const struct taking *taking, const struct sl_level *level, size_t at,
     struct refusal *refusal)
{
	const struct sl_limits *limits = level->limits;
	struct sl_meter *meter = level->meter;
	SL_UNINIT struct sl_rate_state state; /* filled by who refuses */
	enum sl_fault_kind kind;

	if (taking->requests && at >= taking->first && limits->concurrency > 0 &&
	    atomic_load(&meter->in_flight) >= limits->concurrency) {
		kind = SL_FAULT_CONCURRENCY;
		state = (struct sl_rate_state){ 0 };
	} else if (counts_requests(taking, level, at) &&
	           !sl_rate_fits(&meter->requests, limits->rpm, 1, taking->now_ms, &state)) {
		kind = SL_FAULT_RPM;
	} else if (counts_tokens(taking, level) &&
	           !sl_rate_fits(&meter->tokens, limits->tpm, taking->amount, taking->now_ms,
	                         &state)) {
		kind = SL_FAULT_TPM;
	} else {
		return true;
	}
	*refusal = (struct refusal){ .level = level, .kind = kind, .state = state,
		                     .tokens = taking->amount };
	return false;
}

/* Under the level's lock. in_flight is counted where there is no limit too, so that one
 * that is set later knows. */
static void
count(const struct taking *taking, const struct sl_level *level, size_t at)
{
	if (counts_requests(taking, level, at))
		sl_rate_add(&level->meter->requests, level->limits->rpm, 1, taking->now_ms);
	if (counts_tokens(taking, level))
		sl_rate_add(&level->meter->tokens, level->limits->tpm, taking->amount,
		            taking->now_ms);
	if (taking->requests && at >= taking->first)
		atomic_fetch_add(&level->meter->in_flight, 1);
}

static void
tighten(struct sl_allowance *left, int64_t limit, const struct sl_rate_state *state)
{
	if (left->limit == 0 || state->remaining < left->remaining)
		*left = (struct sl_allowance){ limit, state->remaining, seconds_up(state->reset_ms) };
}

/* Under the level's lock. */
static void
look(const struct taking *taking, const struct sl_level *level, struct sl_allowances *left)
{
	SL_UNINIT struct sl_rate_state state; /* written before each look at it */

	if (level->limits->rpm > 0) {
		sl_rate_look(&level->meter->requests, level->limits->rpm, taking->now_ms, &state);
		tighten(&left->requests, level->limits->rpm, &state);
	}
	if (level->limits->tpm > 0) {
		sl_rate_look(&level->meter->tokens, level->limits->tpm, taking->now_ms, &state);
		tighten(&left->tokens, level->limits->tpm, &state);
	}
}

static bool
take(const struct sl_tenancy *tenancy, const struct taking *taking, struct sl_allowances *left,
     struct refusal *refusal)
{
	const struct sl_level *levels = tenancy->levels;
	unsigned counted = 0; /* a bit of each level */
	bool room = true;

	for (size_t i = 0; i < taking->count; i++)
		if (is_counted(taking, &levels[i], i)) {
			counted |= 1u << i;
			pthread_mutex_lock(&levels[i].meter->lock);
		}
	for (size_t i = 0; i < taking->count && room; i++)
		room = !(counted & 1u << i) || fits(taking, &levels[i], i, refusal);
	for (size_t i = 0; i < taking->count && room; i++)
		if (levels[i].meter)
			count(taking, &levels[i], i);
	for (size_t i = taking->count; i-- > 0;)
		if (counted & 1u << i) {
			look(taking, &levels[i], left);
			pthread_mutex_unlock(&levels[i].meter->lock);
		}
	return room;
}

bool
sl_tenancy_admit(struct sl_tenancy *tenancy, uint64_t now_mono_ms, int64_t now_wall_ms,
                 struct sl_arena *arena, struct sl_allowances *left, struct sl_fault *fault)
{
	const struct taking taking = { .count = tenancy->count, .requests = true,
		                       .now_ms = now_mono_ms };
	const struct sl_key_policy *policies[3];
	SL_UNINIT struct refusal refusal; /* read where it was filled */

	*left = (struct sl_allowances){ 0 };
	policies_of(tenancy, policies);
	for (size_t i = 0; i < 3; i++) {
		const struct sl_key_policy *policy = policies[i];

		if (policy && (policy->disabled ||
		               (policy->expires_wall_ms && now_wall_ms >= policy->expires_wall_ms)))
			return refuse_policy(tenancy, policy, arena, fault);
	}
	if (!take(tenancy, &taking, left, &refusal)) {
		tenancy->full = refusal.level->meter;
		return refuse(tenancy, &refusal, arena, fault);
	}
	tenancy->admitted = true;
	tenancy->taken_ms = now_mono_ms;
	return true;
}

/* --- the end user --------------------------------------------------------------------------- */

static bool
limits_anything(const struct sl_limits *limits)
{
	return limits->rpm || limits->tpm || limits->concurrency ||
	       sl_money_limits_set(&limits->money);
}

/* The nearest level that says what an end user may; NULL: none does. */
static const struct sl_key_policy *
end_user_policy(const struct sl_tenancy *tenancy, struct sl_slice *owner)
{
	const struct sl_key_policy *policies[3];

	policies_of(tenancy, policies);
	for (size_t i = 0; i < 3; i++) {
		if (!policies[i] || !limits_anything(&policies[i]->end_user))
			continue;
		*owner = policies[i]->level == SL_SCOPE_KEY ? sl_key_id(tenancy->key)
		                                            : policies[i]->slug;
		return policies[i];
	}
	return NULL;
}

/* "team/search/bob", kept within the length of an account's name by hashing the label. */
static SL_APART struct sl_slice
end_user_name(const struct sl_key_policy *policy, struct sl_slice owner, struct sl_slice label,
              struct sl_arena *arena)
{
	unsigned char digest[32];
	char hex[64];
	const char *kind = sl_scope_kind_name(policy->level);
	size_t fixed = strlen(kind) + owner.len + 2;

	if (fixed + label.len > SL_SCOPE_NAME_MAX) {
		sl_sha256(label, digest);
		sl_hex_encode(digest, sizeof(digest), hex);
		label = sl_slice_make(hex, SL_SCOPE_NAME_MAX - fixed < sizeof(hex)
		                               ? SL_SCOPE_NAME_MAX - fixed : sizeof(hex));
	}
	return sl_arena_printf(arena, "%s/%.*s/%.*s", kind, SL_ARG(owner), SL_ARG(label));
}

/* False: *fault. Requests of nobody in particular share the empty label, so that leaving
 * the label out is no way around the limit. */
static bool
add_end_user(struct sl_tenancy *tenancy, struct sl_slice label, uint64_t now_mono_ms,
             struct sl_arena *arena, struct sl_fault *fault)
{
	struct sl_slice owner, name;
	const struct sl_key_policy *policy = end_user_policy(tenancy, &owner);

	if (!policy || !tenancy->tenants)
		return true;
	name = end_user_name(policy, owner, label, arena);
	tenancy->end_user = name.len ? sl_tenants_end_user(tenancy->tenants, name, now_mono_ms)
	                             : NULL;
	if (!tenancy->end_user) {
		sl_fault_set(fault, SL_FAULT_OVERLOADED,
		             SL_SLICE("Too many end users are active at once. Try again soon."));
		fault->retry_after_s = 1;
		return false;
	}
	tenancy->end_user_label = label;
	add_level(tenancy, SL_SCOPE_END_USER, name, &policy->end_user,
	          sl_end_user_meter(tenancy->end_user));
	return true;
}

static bool
counts_any_tokens(const struct sl_tenancy *tenancy)
{
	for (size_t i = 0; i < tenancy->count; i++)
		if (tenancy->levels[i].limits->tpm > 0)
			return true;
	return false;
}

bool
sl_tenancy_take_tokens(struct sl_tenancy *tenancy, struct sl_slice end_user, int64_t tokens,
                       uint64_t now_mono_ms, struct sl_arena *arena,
                       struct sl_allowances *left, struct sl_fault *fault)
{
	struct taking taking = { .first = tenancy->count, .requests = true, .tokens = true,
		                 .amount = tokens, .now_ms = now_mono_ms };
	SL_UNINIT struct refusal refusal; /* read where it was filled */
	bool taken = add_end_user(tenancy, end_user, now_mono_ms, arena, fault);

	taking.count = tenancy->count;
	if (taken && (taking.count > taking.first || counts_any_tokens(tenancy)) &&
	    !take(tenancy, &taking, left, &refusal)) {
		tenancy->full = refusal.level->meter;
		taken = refuse(tenancy, &refusal, arena, fault);
	}
	if (taken) {
		tenancy->tokens = tokens;
		tenancy->tokens_ms = now_mono_ms;
		tenancy->tokens_taken = true;
		return true;
	}
	/* The end user's level, which holds nothing, goes; the rest is given back. */
	tenancy->count = taking.first;
	sl_tenancy_undo(tenancy, now_mono_ms);
	if (left->requests.remaining < left->requests.limit)
		left->requests.remaining++;
	return false;
}

/* --- afterwards ------------------------------------------------------------------------------- */

/* On every level that counts tokens. */
static void
shift_tokens(const struct sl_tenancy *tenancy, int64_t more, uint64_t now_mono_ms)
{
	for (size_t i = 0; i < tenancy->count && more != 0; i++) {
		const struct sl_level *level = &tenancy->levels[i];

		if (!level->meter || level->limits->tpm == 0)
			continue;
		pthread_mutex_lock(&level->meter->lock);
		if (more > 0)
			sl_rate_add(&level->meter->tokens, level->limits->tpm, more, now_mono_ms);
		else
			sl_rate_undo(&level->meter->tokens, -more, tenancy->tokens_ms, now_mono_ms);
		pthread_mutex_unlock(&level->meter->lock);
	}
}

void
sl_tenancy_correct(struct sl_tenancy *tenancy, int64_t tokens, uint64_t now_mono_ms)
{
	if (!tenancy->tokens_taken)
		return;
	shift_tokens(tenancy, tokens - tenancy->tokens, now_mono_ms);
	tenancy->tokens = tokens;
}

void
sl_tenancy_undo(struct sl_tenancy *tenancy, uint64_t now_mono_ms)
{
	if (!tenancy->admitted)
		return;
	sl_tenancy_correct(tenancy, 0, now_mono_ms);
	for (size_t i = 0; i < tenancy->count; i++) {
		const struct sl_level *level = &tenancy->levels[i];

		if (!level->meter || level->limits->rpm == 0)
			continue;
		pthread_mutex_lock(&level->meter->lock);
		sl_rate_undo(&level->meter->requests, 1,
		             level->kind == SL_SCOPE_END_USER ? tenancy->tokens_ms
		                                              : tenancy->taken_ms, now_mono_ms);
		pthread_mutex_unlock(&level->meter->lock);
	}
}

bool
sl_tenancy_take_estimate(struct sl_tenancy *tenancy, int64_t per_minute, uint64_t now_mono_ms,
                         struct sl_fault *fault)
{
	struct sl_meter *meter = tenancy->key ? sl_key_meter(tenancy->key) : NULL;
	struct sl_rate_state state;
	bool taken;

	if (!meter)
		return true;
	pthread_mutex_lock(&meter->lock);
	taken = sl_rate_take(&meter->estimates, per_minute, now_mono_ms, &state);
	pthread_mutex_unlock(&meter->lock);
	if (taken)
		return true;
	sl_fault_set(fault, SL_FAULT_RPM,
	             SL_SLICE("This key made as many estimates in the last minute as it may."));
	fault->limit_kind = "rpm";
	fault->retry_after_s = seconds_up(state.wait_ms);
	return false;
}

bool
sl_tenancy_limits_tokens(const struct sl_tenancy *tenancy)
{
	const struct sl_key_policy *policies[3];

	policies_of(tenancy, policies);
	for (size_t i = 0; i < 3; i++)
		if (policies[i] && (policies[i]->limits.tpm > 0 || policies[i]->end_user.tpm > 0))
			return true;
	return false;
}

int64_t
sl_tokens_estimate(size_t body_bytes)
{
	return (int64_t)((body_bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN);
}
