/* tenancy.h - who a request is from, and what all of them together allow.
 *
 * A request touches up to four levels: its key, the key's team, its workspace, and the
 * end user when one of the three limits end users. A level that was never created has
 * no limits; it is counted all the same. Every limit of every level holds: what one of
 * them refuses consumes nothing at any.
 *
 *   CLOSED --open--> OPEN --admit--> ADMITTED --tokens--> (one end user and the tokens more)
 *      ^               |                |
 *      '---- close ----'--- close ------'
 *
 * owner: the request's loop. Policies are those of the moment it was opened.
 */
#ifndef SL_LEDGER_TENANCY_H
#define SL_LEDGER_TENANCY_H

#include "ledger/key.h"
#include "ledger/tenants.h"

struct sl_level {
	enum sl_scope_kind      kind;
	struct sl_slice         name;   /* key id, slug; of an end user its account's name */
	const struct sl_limits *limits;
	struct sl_meter        *meter;  /* NULL: nothing is counted */
};

enum { SL_TENANCY_LEVELS_MAX = 4 }; /* key, team, workspace, end user */
struct sl_tenancy {
	struct sl_tenants  *tenants;
	struct sl_key      *key;       /* borrowed; NULL: closed */
	struct sl_tenant   *team, *workspace;
	struct sl_end_user *end_user;
	struct sl_slice     end_user_label; /* as the caller wrote it */
	struct sl_level     levels[SL_TENANCY_LEVELS_MAX];
	size_t              count;
	bool                admitted, tokens_taken;
	uint64_t            taken_ms, tokens_ms; /* monotonic */
	int64_t             tokens;              /* that are counted */
	const struct sl_meter *full;             /* whose limit refused it last */
};

/* What is left of the tightest of a kind of limit. limit 0: none. */
struct sl_allowance { int64_t limit, remaining, reset_s; };
struct sl_allowances { struct sl_allowance requests, tokens; };

/* key must live until close. A tenancy of zeros is closed; closing one is fine. */
void sl_tenancy_open(struct sl_tenancy *tenancy, struct sl_tenants *tenants, struct sl_key *key);
/* Ends a request: it is in flight no more. */
void sl_tenancy_close(struct sl_tenancy *tenancy);
/* The workspace that it counts for: the key's, or its team's. May be empty. */
struct sl_slice sl_tenancy_workspace(const struct sl_tenancy *tenancy);

/* Whether every level's lists let a request for `requested` go to the provider's model;
 * without a provider as far as the name tells. */
bool sl_tenancy_allows(const struct sl_tenancy *tenancy, struct sl_slice requested,
                       struct sl_slice provider, struct sl_slice model);

/* The same of a candidate of a name that stands for a choice: who may ask for the candidate
 * by its own name may have it chosen, unless the name that was asked for is blocked. */
bool sl_tenancy_allows_choice(const struct sl_tenancy *tenancy, struct sl_slice requested,
                              struct sl_slice name, struct sl_slice provider,
                              struct sl_slice model);

/* Before the body is read: enabled, expiry, requests at a time, requests per minute. At
 * most once. False: *fault (DISABLED, EXPIRED, CONCURRENCY, RPM), with retry_after_s and
 * a message on the arena as the gateway contract writes it: "Key vk_... exceeded its 120
 * req/min limit." *left is filled either way. */
bool sl_tenancy_admit(struct sl_tenancy *tenancy, uint64_t now_mono_ms, int64_t now_wall_ms,
                      struct sl_arena *arena, struct sl_allowances *left,
                      struct sl_fault *fault);
/* Once the body is known: the end user's limits, and tokens per minute of all levels by an
 * estimate. False: *fault (CONCURRENCY, RPM, TPM, OVERLOADED), and the request that admit
 * counted is given back. */
bool sl_tenancy_take_tokens(struct sl_tenancy *tenancy, struct sl_slice end_user, int64_t tokens,
                            uint64_t now_mono_ms, struct sl_arena *arena,
                            struct sl_allowances *left, struct sl_fault *fault);
/* The tokens were really so many. At most once. */
void sl_tenancy_correct(struct sl_tenancy *tenancy, int64_t tokens, uint64_t now_mono_ms);
/* It was refused for another reason, and nothing was bought: nothing was consumed. */
void sl_tenancy_undo(struct sl_tenancy *tenancy, uint64_t now_mono_ms);

/* Takes one of the key's estimates of a minute, which count for no other limit. False:
 * *fault (RPM). */
bool sl_tenancy_take_estimate(struct sl_tenancy *tenancy, int64_t per_minute,
                              uint64_t now_mono_ms, struct sl_fault *fault);

/* How a limit is called in X-Gateway-Limit-Kind and bodies: a key's "rpm", others with
 * their level, "team_rpm". what: "rpm", "tpm", "concurrency", "budget", "balance". */
const char *sl_limit_kind(enum sl_scope_kind level, const char *what);

/* Whether a level, or the rule for end users, has a tpm. */
bool sl_tenancy_limits_tokens(const struct sl_tenancy *tenancy);
/* Tokens of a request body of which only the length is known. */
int64_t sl_tokens_estimate(size_t body_bytes);

#endif
