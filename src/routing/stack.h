/* stack.h - named, versioned bundles of routing policy.
 *
 * A stack says which targets may be used (boundaries), what the choice among them aims
 * at (objective, quality, latency), what a request may cost, and how answers are
 * checked. There are three sources; of a slug the first that has it counts:
 *
 *   1. the active version that the admin API made   (struct sl_stacks)
 *   2. the configuration's `stacks`
 *   3. the managed ones, which ship with the product
 *
 * The admin API's versions are one JSON text, kept in the store and swapped whole:
 * {"stacks":[{"slug","version","active",...}]}; a version never changes once made.
 */
#ifndef SL_ROUTING_STACK_H
#define SL_ROUTING_STACK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "model/config.h"
#include "model/fault.h"

enum {
	SL_STACK_VERSIONS_MAX = 1024,    /* of all slugs together */
	SL_STACKS_TEXT_MAX = 4 << 20,    /* bytes of the JSON text */
	SL_STACK_SLUG_MAX = 64,
};

struct sl_stack_version {
	struct sl_config_stack stack;
	bool                   active;
	int64_t                created_wall_ms;
};

/* Versions of one moment. shared: frozen, reference-counted. */
struct sl_stack_book {
	struct sl_stack_version *versions; /* in the order they were made */
	size_t                   count;
};

/* The process's book. shared: a lock held for a moment. */
struct sl_stacks;
struct sl_stacks *sl_stacks_new(void);
void sl_stacks_free(struct sl_stacks *stacks);
/* Takes the text as the new book. SL_ESYNTAX, SL_ELIMIT, SL_ENOMEM: the old stands. */
enum sl_err sl_stacks_replace(struct sl_stacks *stacks, struct sl_slice text);
/* A reference, for as long as a stack of it is looked at. Never NULL. */
const struct sl_stack_book *sl_stacks_ref(struct sl_stacks *stacks);
void sl_stack_book_unref(const struct sl_stack_book *book);

/* The stack in force; NULL: none of this slug. book may be NULL. */
const struct sl_config_stack *sl_stack_find(const struct sl_stack_book *book,
                                            const struct sl_config *config,
                                            struct sl_slice slug);

/* The managed ones. The first is what `auto` falls back to. */
#define SL_STACK_DEFAULT "default-optimizer"
size_t sl_stack_managed_count(void);
const struct sl_config_stack *sl_stack_managed(size_t index);
/* The managed slug that a virtual model stands for ("astrolabe/cheap"); empty: it is no
 * virtual model. "auto" and "astrolabe/auto" stand for SL_STACK_DEFAULT. */
struct sl_slice sl_stack_of_virtual(struct sl_slice model);

/* --- as JSON: names as in the configuration ----------------------------------- */

/* Reads a new stack; what it keeps is on the arena. `version`, `active` and members
 * that show only (source, created_at) are left alone; an unknown member is refused.
 * False: *fault with param, text on the arena. */
bool sl_stack_read(struct sl_json body, struct sl_arena *arena, struct sl_config_stack *out,
                   struct sl_fault *fault);
/* The members, without braces. */
void sl_stack_write(const struct sl_config_stack *stack, struct sl_json_writer *w);

/* The bit of a thing that `requires` names: a SL_MODALITY_* in *modality or a SL_CAP_*
 * in *capability. False: no such thing. */
bool sl_stack_requirement(struct sl_slice name, uint32_t *modality, uint32_t *capability);

#endif
