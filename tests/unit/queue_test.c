/* queue_test.c - turns among tenants, places given up in every state, the full queue, and
 * many threads at one gate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "net/loop.h"
#include "pipeline/queue.h"

static const char thing_a, thing_b;

enum { ORDER_MAX = 64 };

/* A gate with so much room; who is served is written down. */
struct world {
	struct sl_loop  *loop;
	struct sl_queue *queue;
	struct sl_task   stop;
	int              room;
	char             order[ORDER_MAX];
	size_t           served, displaced;
};

struct waiter {
	struct world    *world;
	struct sl_place *place;
	char             name;
	bool             hesitates; /* keeps its turn */
};

static void
on_turn(void *user, bool displaced)
{
	struct waiter *waiter = user;
	struct world *world = waiter->world;

	if (displaced) {
		world->displaced++;
		sl_queue_leave(waiter->place, false);
		waiter->place = NULL;
	} else if (waiter->hesitates) {
		return;
	} else if (world->room == 0) {
		sl_queue_again(waiter->place);
	} else {
		world->room--;
		world->order[world->served++] = waiter->name;
		sl_queue_leave(waiter->place, true);
		waiter->place = NULL;
	}
}

static void
stop(struct sl_task *task)
{
	sl_loop_stop(SL_CONTAINER(task, struct world, stop)->loop);
}

/* Lets everything run that was posted, and what that posted. */
static void
settle(struct world *world)
{
	for (int i = 0; i < 4; i++) {
		world->stop.run = stop;
		sl_loop_post(world->loop, &world->stop);
		sl_loop_run(world->loop);
	}
}

static void
open_world(struct world *world)
{
	*world = (struct world){ .loop = sl_loop_new(0), .queue = sl_queue_new() };
	assert_non_null(world->loop);
	assert_non_null(world->queue);
}

static void
close_world(struct world *world)
{
	sl_queue_free(world->queue);
	sl_loop_free(world->loop);
}

static bool
join_at(struct world *world, struct waiter *waiter, char tenant, size_t max, const void *thing)
{
	const struct sl_queue_entry entry = {
		.things = { thing }, .thing_count = 1, .tenant = sl_slice_make(&tenant, 1),
		.max = max, .loop = world->loop, .on_turn = on_turn, .user = waiter,
	};

	waiter->world = world;
	waiter->name = tenant;
	waiter->place = sl_queue_join(world->queue, &entry);
	return waiter->place != NULL;
}

static bool
join(struct world *world, struct waiter *waiter, char tenant, size_t max)
{
	return join_at(world, waiter, tenant, max, &thing_a);
}

static void
free_one(struct world *world)
{
	world->room++;
	sl_queue_freed(world->queue, &thing_a);
	settle(world);
}

/* Ten of one tenant stand before two of another: turns alternate all the same. */
static void
tenants_take_turns(void **state)
{
	struct world world;
	struct waiter waiters[12] = { 0 };

	(void)state;
	open_world(&world);
	for (int i = 0; i < 10; i++)
		assert_true(join(&world, &waiters[i], 'a', 100));
	settle(&world);
	assert_true(join(&world, &waiters[10], 'b', 100));
	assert_true(join(&world, &waiters[11], 'b', 100));
	settle(&world);
	assert_int_equal(sl_queue_count(world.queue), 12);
	for (int i = 0; i < 12; i++)
		free_one(&world);
	/* Who was called in vain at a join may come first of the two. */
	if (world.order[0] == 'b')
		assert_string_equal(world.order, "babaaaaaaaaa");
	else
		assert_string_equal(world.order, "ababaaaaaaaa");
	assert_int_equal(sl_queue_count(world.queue), 0);
	assert_false(sl_queue_any(world.queue, &thing_a));
	close_world(&world);
}

/* What was freed between the look and the join is not missed, nor what was freed while the
 * only one who waits was having its turn. */
static void
no_room_is_missed(void **state)
{
	struct world world;
	struct waiter waiter = { 0 };

	(void)state;
	open_world(&world);
	world.room = 1;
	assert_true(join(&world, &waiter, 'a', 100));
	settle(&world);
	assert_int_equal(world.served, 1);

	waiter.hesitates = true;
	assert_true(join(&world, &waiter, 'a', 100));
	settle(&world);
	world.room = 1;
	sl_queue_freed(world.queue, &thing_a);
	waiter.hesitates = false;
	sl_queue_again(waiter.place);
	settle(&world);
	assert_int_equal(world.served, 2);
	close_world(&world);
}

/* Queued, called, at its turn: the next one gets what it leaves. */
static void
a_place_can_be_left_at_any_time(void **state)
{
	struct world world;
	struct waiter first = { 0 }, second = { 0 };

	(void)state;
	open_world(&world);
	for (int when = 0; when < 3; when++) {
		first = second = (struct waiter){ 0 };
		assert_true(join(&world, &first, 'a', 100));
		assert_true(join(&world, &second, 'b', 100));
		settle(&world);
		world.served = 0;
		if (when == 0) {
			sl_queue_leave(first.place, false);
			free_one(&world);
		} else {
			first.hesitates = true;
			world.room++;
			sl_queue_freed(world.queue, &thing_a);
			if (when == 2)
				settle(&world);
			sl_queue_leave(first.place, false);
			settle(&world);
		}
		assert_int_equal(world.served, 1);
		assert_int_equal(world.order[0], 'b');
		assert_null(second.place);
		assert_int_equal(sl_queue_count(world.queue), 0);
	}
	close_world(&world);
}

static void
the_longest_line_gives_way(void **state)
{
	struct world world;
	struct waiter waiters[8] = { 0 };

	(void)state;
	open_world(&world);
	for (int i = 0; i < 4; i++)
		assert_true(join(&world, &waiters[i], 'a', 4));
	settle(&world);
	/* One of the same tenant gets no place, one of another does, twice. */
	assert_false(join(&world, &waiters[4], 'a', 4));
	settle(&world);
	assert_true(join(&world, &waiters[5], 'b', 4));
	settle(&world);
	assert_true(join(&world, &waiters[6], 'b', 4));
	settle(&world);
	assert_int_equal(world.displaced, 2);
	assert_false(join(&world, &waiters[7], 'b', 4));
	assert_int_equal(sl_queue_count(world.queue), 4);
	for (int i = 0; i < 4; i++)
		free_one(&world);
	assert_int_not_equal(world.order[0], world.order[1]);
	assert_int_not_equal(world.order[2], world.order[3]);
	close_world(&world);
}

static void
gates_are_apart(void **state)
{
	struct world world;
	struct waiter one = { 0 }, other = { 0 };

	(void)state;
	open_world(&world);
	assert_true(join_at(&world, &one, 'a', 100, &thing_a));
	assert_true(join_at(&world, &other, 'b', 100, &thing_b));
	settle(&world);
	assert_true(sl_queue_any(world.queue, &thing_b));
	world.room = 1;
	sl_queue_freed(world.queue, &thing_b);
	settle(&world);
	assert_null(other.place);
	assert_non_null(one.place);
	sl_queue_nudge(one.place, 1000);
	settle(&world);
	assert_non_null(one.place);
	/* The queue frees who still waits. */
	close_world(&world);
}

/* --- threads -------------------------------------------------------------------------- */

enum { THREADS = 4, EACH = 200, ROOM = 3 };

struct shop {
	struct sl_queue *queue;
	atomic_int       inside, most, served;
};

struct visitor {
	struct shop     *shop;
	struct sl_loop  *loop;
	struct sl_place *place;
	struct sl_timer  timer; /* inside until then */
	struct visitor  *all;   /* of the thread */
	int             *left;  /* of the thread */
	char             tenant;
};

static bool
enter(struct shop *shop)
{
	int inside = atomic_load(&shop->inside), most;

	do {
		if (inside == ROOM)
			return false;
	} while (!atomic_compare_exchange_weak(&shop->inside, &inside, inside + 1));
	most = atomic_load(&shop->most);
	while (most < inside + 1 && !atomic_compare_exchange_weak(&shop->most, &most, inside + 1))
		;
	return true;
}

static void
on_done(struct sl_timer *timer)
{
	struct visitor *visitor = SL_CONTAINER(timer, struct visitor, timer);
	struct shop *shop = visitor->shop;

	atomic_fetch_sub(&shop->inside, 1);
	atomic_fetch_add(&shop->served, 1);
	sl_queue_freed(shop->queue, shop);
	if (--*visitor->left == 0)
		sl_loop_stop(visitor->loop);
}

static void
on_shop_turn(void *user, bool displaced)
{
	struct visitor *visitor = user;

	assert_false(displaced);
	if (!enter(visitor->shop)) {
		sl_queue_again(visitor->place);
		return;
	}
	sl_queue_leave(visitor->place, true);
	visitor->timer.on_due = on_done;
	sl_timer_set(visitor->loop, &visitor->timer, 0);
}

static void *
visit(void *context)
{
	struct visitor *visitors = context;
	struct sl_loop *loop = sl_loop_new(0);
	int left = EACH;

	for (int i = 0; i < EACH; i++) {
		struct sl_queue_entry entry = {
			.things = { visitors->shop }, .thing_count = 1,
			.tenant = sl_slice_make(&visitors->tenant, 1), .max = THREADS * EACH,
			.loop = loop, .on_turn = on_shop_turn, .user = &visitors[i],
		};

		visitors[i].shop = visitors->shop;
		visitors[i].loop = loop;
		visitors[i].left = &left;
		visitors[i].place = sl_queue_join(visitors->shop->queue, &entry);
	}
	sl_loop_run(loop);
	return loop; /* another thread may be about to wake it still */
}

/* Every one of them gets in, whichever thread freed its room, and never too many. */
static void
many_threads_lose_nobody(void **state)
{
	static struct visitor visitors[THREADS][EACH];
	struct shop shop = { .queue = sl_queue_new() };
	pthread_t threads[THREADS];
	void *loops[THREADS];

	(void)state;
	memset(visitors, 0, sizeof(visitors));
	for (int i = 0; i < THREADS; i++) {
		visitors[i][0].shop = &shop;
		visitors[i][0].tenant = (char)('a' + i);
		assert_int_equal(pthread_create(&threads[i], NULL, visit, visitors[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], &loops[i]);
	for (int i = 0; i < THREADS; i++)
		sl_loop_free(loops[i]);
	assert_int_equal(atomic_load(&shop.served), THREADS * EACH);
	assert_true(atomic_load(&shop.most) <= ROOM);
	assert_int_equal(sl_queue_count(shop.queue), 0);
	sl_queue_free(shop.queue);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tenants_take_turns),
		cmocka_unit_test(no_room_is_missed),
		cmocka_unit_test(a_place_can_be_left_at_any_time),
		cmocka_unit_test(the_longest_line_gives_way),
		cmocka_unit_test(gates_are_apart),
		cmocka_unit_test(many_threads_lose_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
