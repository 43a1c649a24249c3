/* queue.h - who is next for what is free again. Private to the pipeline.
 *
 * Requests that found no room wait at a gate, which stands for what they all need: one
 * meter, or any of a set of targets. At a gate each tenant has a line of its own, and the
 * tenants take turns, so that one who sends much does not keep another out.
 *
 *   QUEUED --its turn--> CALLED --on the owner's loop--> TURN --no room after all--> QUEUED
 *      |                    |                              |     (first in its line again)
 *      '------ leave -------'----------- leave ------------'
 *
 * Whoever frees something calls one of those that wait for it. A turn that was not used
 * goes to the next. When the queue is full, the last of the longest line gives its place
 * to a newcomer of a shorter one.
 *
 * shared: one lock, not taken while nobody waits. A place belongs to its loop.
 */
#ifndef SL_PIPELINE_QUEUE_H
#define SL_PIPELINE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct sl_loop;
struct sl_place; /* owner: loop */
struct sl_queue;

enum {
	SL_QUEUE_THINGS_MAX = 16, /* that a gate stands for */
	SL_QUEUE_GATES_MAX = 256,
};

struct sl_queue *sl_queue_new(void);
/* No loop runs any more. NULL is fine. */
void sl_queue_free(struct sl_queue *queue);

/* Things are compared by address, never looked into. */
struct sl_queue_entry {
	const void     *things[SL_QUEUE_THINGS_MAX];
	size_t          thing_count; /* 1 or more; the same order means the same gate */
	struct sl_slice tenant;
	size_t          max;         /* that may wait, of all */
	struct sl_loop *loop;
	/* It is the place's turn, or, displaced, it lost its place. Within the call or later
	 * sl_queue_again or sl_queue_leave follows; displaced, only the latter. */
	void          (*on_turn)(void *user, bool displaced);
	void           *user;
};
/* NULL: there is no place, or no memory. */
struct sl_place *sl_queue_join(struct sl_queue *queue, const struct sl_queue_entry *entry);
/* Its turn came, and there was no room. */
void sl_queue_again(struct sl_place *place);
/* Gives the place up. used: its turn came and it took what was free. */
void sl_queue_leave(struct sl_place *place, bool used);
/* Something may be free at the place's gate, although nobody said so. At most ten times a
 * second for a gate. */
void sl_queue_nudge(struct sl_place *place, uint64_t now_ms);

/* Any thread: one user less of a thing. */
void sl_queue_freed(struct sl_queue *queue, const void *thing);
/* Whether somebody waits for it. */
bool sl_queue_any(struct sl_queue *queue, const void *thing);
/* How many wait. */
size_t sl_queue_count(const struct sl_queue *queue);

/* How waits ended, since the start. */
#define SL_QUEUE_ENDS(X)                                                              \
	X(SERVED, "served")                                                           \
	X(EXPIRED, "expired")                                                         \
	X(LEFT, "left")           /* the caller */                                    \
	X(FULL, "full")           /* it never began: no place */                      \
	X(DISPLACED, "displaced")
enum sl_queue_end {
#define SL_QUEUE_ENUM(id, name) SL_QUEUE_##id,
	SL_QUEUE_ENDS(SL_QUEUE_ENUM)
#undef SL_QUEUE_ENUM
	SL_QUEUE_END_COUNT,
};
void sl_queue_ended(struct sl_queue *queue, enum sl_queue_end end);
uint64_t sl_queue_ends(const struct sl_queue *queue, enum sl_queue_end end);

#endif
