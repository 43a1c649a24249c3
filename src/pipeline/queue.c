/* queue.c - gates, the lines of tenants at them, and the places in those. */
#include "pipeline/queue.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "net/loop.h"

enum { NUDGE_MS = 100 };

enum place_state { QUEUED, CALLED, TURN };

struct gate {
	struct sl_list node;        /* in the queue's gates */
	struct sl_list lines;       /* in the order of their turns */
	const void    *things[SL_QUEUE_THINGS_MAX];
	size_t         thing_count;
	size_t         place_count; /* in whatever state */
	uint64_t       nudged_ms;
	bool           missed;      /* something was freed while nobody stood in a line */
};

/* Of one tenant at one gate; never empty. */
struct line {
	struct sl_list node;
	struct sl_list places;
	uint64_t       tenant; /* hash */
	size_t         count;
};

struct sl_place {
	struct sl_list   node;    /* in its line, while QUEUED */
	struct sl_list   all;     /* in the queue's places */
	struct sl_task   task;    /* posted, while CALLED */
	struct sl_queue *queue;
	struct gate     *gate;
	struct line     *line;    /* while QUEUED */
	uint64_t         tenant;
	enum place_state state;
	bool             left;      /* by its owner, while CALLED */
	bool             displaced;
	struct sl_loop  *loop;
	void           (*on_turn)(void *user, bool displaced);
	void            *user;
};

struct sl_queue {
	pthread_mutex_t      lock; /* guards gates, lines and places */
	struct sl_list       gates, places;
	size_t               gate_count;
	atomic_size_t        count;   /* QUEUED; both written under the lock */
	atomic_size_t        present; /* in whatever state, without those displaced */
	atomic_uint_fast64_t ends[SL_QUEUE_END_COUNT];
};

struct sl_queue *
sl_queue_new(void)
{
	struct sl_queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return NULL;
	pthread_mutex_init(&queue->lock, NULL);
	sl_list_init(&queue->gates);
	sl_list_init(&queue->places);
	return queue;
}

/* --- the lists, under the lock -------------------------------------------------------- */

static struct gate *
find_gate(struct sl_queue *queue, const struct sl_queue_entry *entry)
{
	size_t size = entry->thing_count * sizeof(entry->things[0]);
	struct gate *gate;

	for (struct sl_list *node = queue->gates.next; node != &queue->gates; node = node->next) {
		gate = SL_CONTAINER(node, struct gate, node);
		if (gate->thing_count == entry->thing_count &&
		    memcmp(gate->things, entry->things, size) == 0)
			return gate;
	}
	gate = queue->gate_count < SL_QUEUE_GATES_MAX ? calloc(1, sizeof(*gate)) : NULL;
	if (!gate)
		return NULL;
	memcpy(gate->things, entry->things, size);
	gate->thing_count = entry->thing_count;
	sl_list_init(&gate->lines);
	sl_list_push_back(&queue->gates, &gate->node);
	queue->gate_count++;
	return gate;
}

static void
unref_gate(struct sl_queue *queue, struct gate *gate)
{
	if (gate->place_count > 0)
		return;
	sl_list_remove(&gate->node);
	queue->gate_count--;
	free(gate);
}

static struct line *
find_line(struct gate *gate, uint64_t tenant)
{
	for (struct sl_list *node = gate->lines.next; node != &gate->lines; node = node->next)
		if (SL_CONTAINER(node, struct line, node)->tenant == tenant)
			return SL_CONTAINER(node, struct line, node);
	return NULL;
}

/* Into its tenant's line: behind the others, or first and first of all lines. */
static bool
enqueue(struct sl_place *place, bool first)
{
	struct gate *gate = place->gate;
	struct line *line = find_line(gate, place->tenant);

	if (!line) {
		line = calloc(1, sizeof(*line));
		if (!line)
			return false;
		line->tenant = place->tenant;
		sl_list_init(&line->places);
		sl_list_push_back(&gate->lines, &line->node);
	}
	if (first) {
		sl_list_push_front(&line->places, &place->node);
		sl_list_remove(&line->node);
		sl_list_push_front(&gate->lines, &line->node);
	} else {
		sl_list_push_back(&line->places, &place->node);
	}
	line->count++;
	place->line = line;
	place->state = QUEUED;
	atomic_fetch_add(&place->queue->count, 1);
	return true;
}

static void
dequeue(struct sl_place *place)
{
	struct line *line = place->line;

	sl_list_remove(&place->node);
	place->line = NULL;
	atomic_fetch_sub(&place->queue->count, 1);
	if (--line->count == 0) {
		sl_list_remove(&line->node);
		free(line);
	}
}

static void
call(struct sl_place *place)
{
	dequeue(place);
	place->state = CALLED;
	sl_loop_post(place->loop, &place->task);
}

static void
call_next(struct gate *gate)
{
	struct line *line;

	if (sl_list_empty(&gate->lines)) {
		gate->missed = true;
		return;
	}
	line = SL_CONTAINER(gate->lines.next, struct line, node);
	/* Its turn is over, whether or not there is more of it. */
	sl_list_remove(&line->node);
	sl_list_push_back(&gate->lines, &line->node);
	call(SL_CONTAINER(line->places.next, struct sl_place, node));
}

static void
free_place(struct sl_place *place)
{
	struct gate *gate = place->gate;

	sl_list_remove(&place->all);
	if (!place->displaced)
		atomic_fetch_sub(&place->queue->present, 1);
	gate->place_count--;
	unref_gate(place->queue, gate);
	free(place);
}

/* The last of the longest line gives way to one whose line is shorter by more than it. */
static bool
displace_for(struct sl_queue *queue, size_t own_count)
{
	struct line *longest = NULL;
	struct sl_place *place;

	for (struct sl_list *at = queue->gates.next; at != &queue->gates; at = at->next) {
		struct gate *gate = SL_CONTAINER(at, struct gate, node);

		for (struct sl_list *node = gate->lines.next; node != &gate->lines;
		     node = node->next) {
			struct line *line = SL_CONTAINER(node, struct line, node);

			if (!longest || line->count > longest->count)
				longest = line;
		}
	}
	if (!longest || longest->count <= own_count + 1)
		return false;
	place = SL_CONTAINER(longest->places.prev, struct sl_place, node);
	place->displaced = true;
	atomic_fetch_sub(&queue->present, 1);
	call(place);
	return true;
}

/* --- a place's life ---------------------------------------------------------------- */

/* On the place's loop: it was called. */
static void
run_task(struct sl_task *task)
{
	struct sl_place *place = SL_CONTAINER(task, struct sl_place, task);
	struct sl_queue *queue = place->queue;
	bool left, displaced = place->displaced;

	pthread_mutex_lock(&queue->lock);
	left = place->left;
	place->state = TURN;
	if (left) {
		if (!displaced)
			call_next(place->gate);
		free_place(place);
	}
	pthread_mutex_unlock(&queue->lock);
	if (!left)
		place->on_turn(place->user, displaced);
}

static uint64_t
hash_of(struct sl_slice tenant)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < tenant.len; i++)
		hash = (hash ^ (unsigned char)tenant.ptr[i]) * 0x100000001b3u;
	return hash;
}

/* Under the lock. */
static bool
seat(struct sl_place *place, const struct sl_queue_entry *entry)
{
	struct sl_queue *queue = place->queue;
	struct line *line;

	place->gate = find_gate(queue, entry);
	if (!place->gate)
		return false;
	line = find_line(place->gate, place->tenant);
	if ((atomic_load(&queue->present) < entry->max ||
	     displace_for(queue, line ? line->count : 0)) && enqueue(place, false)) {
		place->gate->place_count++;
		atomic_fetch_add(&queue->present, 1);
		sl_list_push_back(&queue->places, &place->all);
		return true;
	}
	unref_gate(queue, place->gate);
	return false;
}

struct sl_place *
sl_queue_join(struct sl_queue *queue, const struct sl_queue_entry *entry)
{
	struct sl_place *place = calloc(1, sizeof(*place));
	bool seated;

	assert(entry->thing_count > 0 && entry->thing_count <= SL_QUEUE_THINGS_MAX);
	if (!place)
		return NULL;
	sl_list_init(&place->node);
	sl_list_init(&place->all);
	place->task.run = run_task;
	place->queue = queue;
	place->tenant = hash_of(entry->tenant);
	place->loop = entry->loop;
	place->on_turn = entry->on_turn;
	place->user = entry->user;
	pthread_mutex_lock(&queue->lock);
	seated = seat(place, entry);
	/* What was freed while nobody waited yet was told nobody. */
	if (seated)
		call_next(place->gate);
	pthread_mutex_unlock(&queue->lock);
	if (seated)
		return place;
	free(place);
	return NULL;
}

void
sl_queue_again(struct sl_place *place)
{
	struct sl_queue *queue = place->queue;

	assert(place->state == TURN && !place->displaced);
	pthread_mutex_lock(&queue->lock);
	/* Without memory for a line it is called until there is some. */
	if (!enqueue(place, true)) {
		place->state = CALLED;
		sl_loop_post(place->loop, &place->task);
	} else if (place->gate->missed) {
		place->gate->missed = false;
		call_next(place->gate);
	}
	pthread_mutex_unlock(&queue->lock);
}

void
sl_queue_leave(struct sl_place *place, bool used)
{
	struct sl_queue *queue = place->queue;

	pthread_mutex_lock(&queue->lock);
	switch (place->state) {
	case QUEUED:
		dequeue(place);
		free_place(place);
		break;
	case CALLED:
		place->left = true; /* the task frees it */
		break;
	case TURN:
		if (!used && !place->displaced)
			call_next(place->gate);
		free_place(place);
		break;
	}
	pthread_mutex_unlock(&queue->lock);
}

void
sl_queue_nudge(struct sl_place *place, uint64_t now_ms)
{
	struct sl_queue *queue = place->queue;
	struct gate *gate;

	pthread_mutex_lock(&queue->lock);
	gate = place->gate;
	if (now_ms >= gate->nudged_ms + NUDGE_MS) {
		gate->nudged_ms = now_ms;
		call_next(gate);
	}
	pthread_mutex_unlock(&queue->lock);
}

/* --- what others say and ask ---------------------------------------------------------- */

static bool
stands_for(const struct gate *gate, const void *thing)
{
	for (size_t i = 0; i < gate->thing_count; i++)
		if (gate->things[i] == thing)
			return true;
	return false;
}

void
sl_queue_freed(struct sl_queue *queue, const void *thing)
{
	if (!thing || atomic_load(&queue->present) == 0)
		return;
	pthread_mutex_lock(&queue->lock);
	for (struct sl_list *node = queue->gates.next; node != &queue->gates; node = node->next) {
		struct gate *gate = SL_CONTAINER(node, struct gate, node);

		if (stands_for(gate, thing))
			call_next(gate);
	}
	pthread_mutex_unlock(&queue->lock);
}

bool
sl_queue_any(struct sl_queue *queue, const void *thing)
{
	bool any = false;

	if (!thing || atomic_load(&queue->count) == 0)
		return false;
	pthread_mutex_lock(&queue->lock);
	for (struct sl_list *node = queue->gates.next; node != &queue->gates && !any;
	     node = node->next) {
		struct gate *gate = SL_CONTAINER(node, struct gate, node);

		any = !sl_list_empty(&gate->lines) && stands_for(gate, thing);
	}
	pthread_mutex_unlock(&queue->lock);
	return any;
}

size_t
sl_queue_count(const struct sl_queue *queue)
{
	return atomic_load(&queue->count);
}

void
sl_queue_ended(struct sl_queue *queue, enum sl_queue_end end)
{
	atomic_fetch_add_explicit(&queue->ends[end], 1, memory_order_relaxed);
}

uint64_t
sl_queue_ends(const struct sl_queue *queue, enum sl_queue_end end)
{
	return atomic_load_explicit(&queue->ends[end], memory_order_relaxed);
}

void
sl_queue_free(struct sl_queue *queue)
{
	if (!queue)
		return;
	/* Those whose loop ended before their turn. */
	while (!sl_list_empty(&queue->places)) {
		struct sl_place *place = SL_CONTAINER(queue->places.next, struct sl_place, all);

		if (place->state == QUEUED)
			dequeue(place);
		free_place(place);
	}
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}
