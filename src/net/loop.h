/* loop.h - a thin event loop: epoll, timers, tasks from other threads.
 *
 * One loop per thread; a socket never leaves its loop. Every function except
 * sl_loop_post and sl_loop_stop is called on the loop's own thread.
 * Descriptors are registered once; the hot path makes no epoll_ctl call.
 */
#ifndef SL_NET_LOOP_H
#define SL_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/err.h"
#include "base/list.h"

struct sl_loop;

/* A registered descriptor. Embedded in its owner. */
struct sl_io {
	int      fd;
	uint32_t events; /* EPOLLIN, EPOLLOUT as registered; private */
	void (*on_ready)(struct sl_io *io, uint32_t events);
};

/* A timer. Embedded; zero-initialised is "not set". Millisecond resolution.
 * Re-arming to a later time is O(1) and touches no shared structure. */
struct sl_timer {
	struct sl_list node;
	uint64_t       due_ms;
	uint64_t       filed_ms; /* private: where in the wheel it stands */
	void (*on_due)(struct sl_timer *timer);
};

/* Work handed over. Embedded in its owner, who keeps it alive until it ran. */
struct sl_task {
	struct sl_task *next;
	void (*run)(struct sl_task *task);
};

/* index is the loop's number, 0 for the first. NULL when out of memory or fds. */
struct sl_loop *sl_loop_new(unsigned index);
void sl_loop_free(struct sl_loop *loop);
/* Runs until sl_loop_stop; may be run again. */
void sl_loop_run(struct sl_loop *loop);
/* Any thread. */
void sl_loop_stop(struct sl_loop *loop);
unsigned sl_loop_index(const struct sl_loop *loop);

/* Time of the current turn. */
uint64_t sl_loop_now_ms(const struct sl_loop *loop);
/* The same in nanoseconds: for what decides by time. What measures needs it exactly. */
uint64_t sl_loop_turn_ns(const struct sl_loop *loop);
/* Monotonic time now, exactly. */
uint64_t sl_loop_now_ns(struct sl_loop *loop);
/* When the loop began with the event it is at, as far as anybody asked: the clock is read for
 * the first who does, and not again before sl_loop_now_ns or another event. Deferred tasks
 * of a turn are one event, and so are timers. Never before what sl_loop_now_ns told. */
uint64_t sl_loop_event_ns(struct sl_loop *loop);
/* Wall time, milliseconds since the epoch, of the current turn. */
int64_t sl_loop_wall_ms(const struct sl_loop *loop);

/* With EPOLLET among the events the kernel does not look at the socket once more after each
 * of them. Nothing gets lost by it: what on_ready leaves is told again, as without it, unless
 * it called sl_loop_drained. Such an io stays in memory until the end of the turn. */
enum sl_err sl_loop_add(struct sl_loop *loop, struct sl_io *io, uint32_t events);
/* From inside on_ready: a read found nothing, or less than it had room for. */
void sl_loop_drained(struct sl_loop *loop, struct sl_io *io);
enum sl_err sl_loop_change(struct sl_loop *loop, struct sl_io *io, uint32_t events);
/* Also drops events of this turn that were not delivered yet. Does not close
 * the descriptor. */
void sl_loop_remove(struct sl_loop *loop, struct sl_io *io);

void sl_timer_set(struct sl_loop *loop, struct sl_timer *timer, uint64_t delay_ms);
void sl_timer_clear(struct sl_timer *timer);
bool sl_timer_is_set(const struct sl_timer *timer);

/* Runs the task at the end of the current turn, on this thread. */
void sl_loop_defer(struct sl_loop *loop, struct sl_task *task);
/* Takes a deferred task back that has not run; harmless when there is none. */
void sl_loop_undefer(struct sl_loop *loop, struct sl_task *task);
/* Runs the task on the loop's thread soon. Any thread, also the loop's own. */
void sl_loop_post(struct sl_loop *loop, struct sl_task *task);

/* One read buffer per loop, valid until the caller returns to the loop. */
enum { SL_LOOP_SCRATCH = 64 * 1024 };
char *sl_loop_scratch(struct sl_loop *loop);

#endif
