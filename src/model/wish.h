/* wish.h - what a caller may wish of the routing, besides naming a model.
 *
 * Every gateway contract carries these wishes in fields of its own; all of them end
 * here, and the plan reads nothing else. Plain data: slices are borrowed from the
 * request, and what was not wished is UNSET (zero), so that a stack's own setting
 * stands.
 *
 * The native carriers are header fields (X-Gateway-Stack, X-Gateway-Quality,
 * X-Gateway-Cost-Mode, X-Gateway-Latency-Slo-Ms, X-Gateway-Verification,
 * X-Gateway-Fallback, X-Gateway-Explain, X-Gateway-Route); a JSON object has members of
 * the same names in small letters with underscores.
 */
#ifndef SL_MODEL_WISH_H
#define SL_MODEL_WISH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/headers.h"
#include "base/json.h"
#include "base/tri.h"
#include "base/slice.h"
#include "model/fault.h"

/* How good the answer must at least be. */
#define SL_QUALITIES(X) X(DRAFT, "draft") X(STANDARD, "standard") X(HIGH, "high") \
	X(CRITICAL, "critical")
/* What the choice among passable targets aims at. */
#define SL_OBJECTIVES(X) X(LOWEST_PASSABLE, "lowest_passable") X(BALANCED, "balanced") \
	X(FASTEST_PASSABLE, "fastest_passable") X(PREMIUM, "premium") X(FIXED, "fixed")
/* How a whole answer is checked before the caller gets it. */
#define SL_VERIFICATIONS(X) X(OFF, "off") X(AUTO, "auto") X(LIGHT, "light") \
	X(STRICT, "strict") X(STRONG, "strong")

#define SL_QUALITY_ENUM(id, name) SL_QUALITY_##id,
#define SL_OBJECTIVE_ENUM(id, name) SL_OBJECTIVE_##id,
#define SL_VERIFY_ENUM(id, name) SL_VERIFY_##id,
enum sl_quality { SL_QUALITY_UNSET, SL_QUALITIES(SL_QUALITY_ENUM) SL_QUALITY_COUNT };
enum sl_objective { SL_OBJECTIVE_UNSET, SL_OBJECTIVES(SL_OBJECTIVE_ENUM) SL_OBJECTIVE_COUNT };
enum sl_verification { SL_VERIFY_UNSET, SL_VERIFICATIONS(SL_VERIFY_ENUM) SL_VERIFY_COUNT };
#undef SL_QUALITY_ENUM
#undef SL_OBJECTIVE_ENUM
#undef SL_VERIFY_ENUM

struct sl_wish {
	struct sl_slice      stack;    /* slug */
	struct sl_slice      route;    /* a name in routes: that one and nothing else */
	enum sl_quality      quality;
	enum sl_objective    cost_mode;
	enum sl_verification verification;
	enum sl_tri          fallback; /* NO: the first target of the plan only */
	enum sl_tri          explain;
	int64_t              latency_slo_ms; /* to the first content; 0: unset */
	/* The contract always names a stack: the managed default where nobody does. */
	bool                 always_stack;
};

/* Sets one wish by its name ("quality") from text. True also for a name that is no
 * wish, which is left to others. False: *fault says what may be written; its message
 * is static, param the name. */
bool sl_wish_set(struct sl_wish *wish, struct sl_slice name, struct sl_slice value,
                 struct sl_fault *fault);
/* Every field whose name begins with prefix ("x-gateway-"): the rest of the name, with
 * '-' for '_', is the wish. */
bool sl_wish_read_headers(struct sl_wish *wish, const struct sl_headers *headers,
                          struct sl_slice prefix, struct sl_fault *fault);
/* Every member of an object (metadata.astrolabe); others are left alone. */
bool sl_wish_read_members(struct sl_wish *wish, struct sl_json object, struct sl_arena *arena,
                          struct sl_fault *fault);

/* The names above; UNSET is "". False: no such name. */
const char *sl_quality_name(enum sl_quality quality);
const char *sl_objective_name(enum sl_objective objective);
const char *sl_verification_name(enum sl_verification verification);
bool sl_quality_find(struct sl_slice name, enum sl_quality *out);
bool sl_objective_find(struct sl_slice name, enum sl_objective *out);
bool sl_verification_find(struct sl_slice name, enum sl_verification *out);

#endif
