/* loop_test.c - timers, tasks across threads, descriptors that vanish. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/loop.h"

/* However busy the machine is. */
enum { LATE_MAX_MS = 20000 };

/* A timer that notes when it fired. */
struct alarm {
	struct sl_timer timer;
	struct sl_loop *loop;
	struct alarm   *victim;   /* cleared when this one fires */
	uint64_t        fired_ns; /* 0: not yet */
	unsigned        count;
	unsigned        again_ms; /* re-armed when it fires */
	bool            last;     /* stops the loop, the fourth time if it is re-armed */
};

static void
on_alarm(struct sl_timer *timer)
{
	struct alarm *alarm = SL_CONTAINER(timer, struct alarm, timer);

	alarm->fired_ns = sl_clock_mono_ns();
	alarm->count++;
	if (alarm->victim)
		sl_timer_clear(&alarm->victim->timer);
	if (alarm->again_ms && alarm->count < 4)
		sl_timer_set(alarm->loop, &alarm->timer, alarm->again_ms);
	if (alarm->last && (!alarm->again_ms || alarm->count == 4))
		sl_loop_stop(alarm->loop);
}

static void
set_alarm(struct sl_loop *loop, struct alarm *alarm, uint64_t delay_ms)
{
	alarm->loop = loop;
	alarm->timer.on_due = on_alarm;
	sl_timer_set(loop, &alarm->timer, delay_ms);
}

static void
timers_fire_when_due_and_never_early(void **state)
{
	static const unsigned delays_ms[] = { 0, 1, 15, 16, 17, 40, 64, 100, 130 };
	enum { COUNT = sizeof(delays_ms) / sizeof(*delays_ms) };
	struct alarm alarms[COUNT] = { 0 };
	struct sl_loop *loop = sl_loop_new(3);
	uint64_t begin_ns = sl_clock_mono_ns();

	(void)state;
	assert_int_equal(sl_loop_index(loop), 3);
	alarms[COUNT - 1].last = true;
	for (size_t i = 0; i < COUNT; i++)
		set_alarm(loop, &alarms[i], delays_ms[i]);
	sl_loop_run(loop);
	for (size_t i = 0; i < COUNT; i++) {
		uint64_t took_ms = (alarms[i].fired_ns - begin_ns) / 1000000u;

		assert_int_equal(alarms[i].count, 1);
		assert_false(sl_timer_is_set(&alarms[i].timer));
		assert_true(took_ms + 2 >= delays_ms[i]);
		assert_true(took_ms < delays_ms[i] + LATE_MAX_MS);
	}
	sl_loop_free(loop);
}

static void
timers_move_both_ways(void **state)
{
	struct alarm later = { 0 }, sooner = { 0 }, cleared = { 0 }, end = { .last = true };
	struct sl_loop *loop = sl_loop_new(0);
	uint64_t begin_ns = sl_clock_mono_ns();

	(void)state;
	set_alarm(loop, &later, 20);
	sl_timer_set(loop, &later.timer, 120);
	set_alarm(loop, &sooner, LATE_MAX_MS + 5000);
	sl_timer_set(loop, &sooner.timer, 30);
	set_alarm(loop, &cleared, 20);
	sl_timer_clear(&cleared.timer);
	sl_timer_clear(&cleared.timer);
	set_alarm(loop, &end, 200);
	sl_loop_run(loop);
	assert_true(later.fired_ns - begin_ns >= 118 * 1000000u);
	assert_true(sooner.fired_ns - begin_ns >= 28 * 1000000u);
	assert_int_equal(sooner.count, 1);
	assert_int_equal(cleared.count, 0);
	sl_loop_free(loop);
}

/* Due in the same slot: the first clears the second; a third re-arms itself. */
static void
timers_may_touch_timers(void **state)
{
	struct alarm victim = { 0 }, killer = { .victim = &victim }, again = { .again_ms = 1, .last = true };
	struct sl_loop *loop = sl_loop_new(0);

	(void)state;
	set_alarm(loop, &killer, 10);
	set_alarm(loop, &victim, 10);
	set_alarm(loop, &again, 10);
	sl_loop_run(loop);
	assert_int_equal(killer.count, 1);
	assert_int_equal(victim.count, 0);
	assert_int_equal(again.count, 4);
	sl_loop_free(loop);
}

/* --- tasks -------------------------------------------------------------------- */

struct job {
	struct sl_task  task;
	struct sl_loop *loop;
	unsigned       *order;
	unsigned        ran; /* place in the order, from 1 */
	struct job     *take_back;
	bool            stop;
};

static void
run_job(struct sl_task *task)
{
	struct job *job = SL_CONTAINER(task, struct job, task);

	job->ran = ++*job->order;
	if (job->take_back)
		sl_loop_undefer(job->loop, &job->take_back->task);
	if (job->stop)
		sl_loop_stop(job->loop);
}

static void
deferred_tasks_run_in_order_and_can_be_taken_back(void **state)
{
	struct sl_loop *loop = sl_loop_new(0);
	struct job jobs[5];
	unsigned order = 0;

	(void)state;
	for (size_t i = 0; i < 5; i++)
		jobs[i] = (struct job){ .task.run = run_job, .loop = loop, .order = &order };
	jobs[0].take_back = &jobs[2];
	jobs[3].take_back = &jobs[4]; /* the last: the queue's end must follow */
	for (size_t i = 0; i < 5; i++)
		sl_loop_defer(loop, &jobs[i].task);
	sl_loop_undefer(loop, &jobs[1].task);
	sl_loop_defer(loop, &jobs[1].task);
	sl_loop_undefer(loop, &jobs[4].task);
	sl_loop_undefer(loop, &jobs[4].task);
	jobs[1].stop = true;
	/* What was posted meanwhile comes first. */
	struct job wake = { .task.run = run_job, .loop = loop, .order = &order };
	sl_loop_post(loop, &wake.task);
	sl_loop_run(loop);
	assert_int_equal(wake.ran, 1);
	assert_int_equal(jobs[0].ran, 2);
	assert_int_equal(jobs[2].ran, 0);
	assert_int_equal(jobs[3].ran, 3);
	assert_int_equal(jobs[1].ran, 4);
	assert_int_equal(jobs[4].ran, 0);
	sl_loop_free(loop);
}

enum { POSTERS = 3, POSTS = 2000 };

struct post {
	struct sl_task  task;
	struct poster  *from;
};

struct poster {
	pthread_t       thread;
	struct sl_loop *loop;
	unsigned       *total; /* the loop's own, no lock */
	struct post    *posts;
	unsigned        seen;
};

static void
on_post(struct sl_task *task)
{
	struct poster *poster = SL_CONTAINER(task, struct post, task)->from;

	/* From one thread they arrive in order. */
	assert_ptr_equal(task, &poster->posts[poster->seen].task);
	poster->seen++;
	if (++*poster->total == POSTERS * POSTS)
		sl_loop_stop(poster->loop);
}

static void *
run_poster(void *arg)
{
	struct poster *poster = arg;

	for (unsigned i = 0; i < POSTS; i++) {
		poster->posts[i] = (struct post){ .task.run = on_post, .from = poster };
		sl_loop_post(poster->loop, &poster->posts[i].task);
	}
	return NULL;
}

static void
posts_of_many_threads_all_arrive(void **state)
{
	struct poster posters[POSTERS] = { 0 };
	struct sl_loop *loop = sl_loop_new(0);
	unsigned total = 0;

	(void)state;
	for (size_t i = 0; i < POSTERS; i++) {
		posters[i].loop = loop;
		posters[i].total = &total;
		posters[i].posts = calloc(POSTS, sizeof(struct post));
		assert_int_equal(pthread_create(&posters[i].thread, NULL, run_poster, &posters[i]),
		                 0);
	}
	sl_loop_run(loop);
	for (size_t i = 0; i < POSTERS; i++) {
		pthread_join(posters[i].thread, NULL);
		assert_int_equal(posters[i].seen, POSTS);
		free(posters[i].posts);
	}
	sl_loop_free(loop);
}

/* --- descriptors ------------------------------------------------------------------ */

struct twin {
	struct sl_io    io;
	struct sl_loop *loop;
	struct twin    *other;
	unsigned        count;
};

static void
on_twin(struct sl_io *io, uint32_t events)
{
	struct twin *twin = SL_CONTAINER(io, struct twin, io);

	(void)events;
	twin->count++;
	sl_loop_remove(twin->loop, &twin->other->io);
	sl_loop_stop(twin->loop);
}

/* Both are ready in one turn; whoever comes first removes the other. */
static void
a_removed_descriptor_gets_no_event(void **state)
{
	struct sl_loop *loop = sl_loop_new(0);
	struct twin twins[2] = { 0 };
	int pipes[2][2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(pipe(pipes[i]), 0);
		assert_int_equal(write(pipes[i][1], "x", 1), 1);
		twins[i].io = (struct sl_io){ .fd = pipes[i][0], .on_ready = on_twin };
		twins[i].loop = loop;
		twins[i].other = &twins[1 - i];
		assert_int_equal(sl_loop_add(loop, &twins[i].io, EPOLLIN), SL_OK);
	}
	sl_loop_run(loop);
	assert_int_equal(twins[0].count + twins[1].count, 1);
	for (size_t i = 0; i < 2; i++)
		close(pipes[i][0]), close(pipes[i][1]);
	sl_loop_free(loop);
}

/* Reads from its descriptor as told, and notes what came. */
struct reader {
	struct sl_io    io;
	struct sl_loop *loop;
	size_t          step;   /* bytes asked for at once */
	bool            silent; /* never says that all was read */
	char            got[16];
	size_t          len;
	unsigned        pauses; /* events that it leaves alone first */
	bool            ended;
};

static void
on_reader(struct sl_io *io, uint32_t events)
{
	struct reader *reader = SL_CONTAINER(io, struct reader, io);
	ssize_t got;

	(void)events;
	if (reader->pauses > 0) {
		reader->pauses--;
		return;
	}
	got = recv(io->fd, reader->got + reader->len, reader->step, MSG_DONTWAIT);
	if (!reader->silent && (got < 0 || (got > 0 && (size_t)got < reader->step)))
		sl_loop_drained(reader->loop, io);
	if (got > 0)
		reader->len += (size_t)got;
	reader->ended = got == 0;
	if (reader->ended) {
		sl_loop_remove(reader->loop, io);
		sl_loop_stop(reader->loop);
	}
}

struct writer {
	struct sl_timer timer;
	struct sl_loop *loop;
	int             fd;
	unsigned        left; /* bytes to write, each in a turn of its own, before the end */
};

static void
on_writer(struct sl_timer *timer)
{
	struct writer *writer = SL_CONTAINER(timer, struct writer, timer);

	if (writer->left == 0) {
		shutdown(writer->fd, SHUT_WR);
		return;
	}
	writer->left--;
	assert_int_equal(write(writer->fd, "x", 1), 1);
	sl_timer_set(writer->loop, timer, 1);
}

/* By edge, whatever a reader leaves, says and is told late: all bytes and the end arrive. */
static void
nothing_is_lost_by_edge(void **state)
{
	static const size_t steps[] = { 1, 2, 3, 8 };

	(void)state;
	for (unsigned way = 0; way < 32; way++) {
		struct sl_loop *loop = sl_loop_new(0);
		struct alarm late = { .last = true };
		struct reader reader = { .loop = loop, .step = steps[way & 3],
			                 .silent = way & 4, .pauses = way & 8 ? 3 : 0 };
		struct writer writer = { .timer.on_due = on_writer, .loop = loop, .left = 3 };
		int ends[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
		reader.io = (struct sl_io){ .fd = ends[0], .on_ready = on_reader };
		writer.fd = ends[1];
		assert_int_equal(sl_loop_add(loop, &reader.io, EPOLLIN | EPOLLRDHUP | EPOLLET), SL_OK);
		assert_int_equal(write(ends[1], "abc", 3), 3);
		/* The end behind the bytes at once, or after some more of them. */
		if (way & 16)
			sl_timer_set(loop, &writer.timer, 1);
		else
			assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
		set_alarm(loop, &late, LATE_MAX_MS);
		sl_loop_run(loop);
		assert_int_equal(late.count, 0);
		assert_true(reader.ended);
		assert_int_equal(reader.len, way & 16 ? 6 : 3);
		assert_memory_equal(reader.got, way & 16 ? "abcxxx" : "abc", reader.len);
		close(ends[0]), close(ends[1]);
		sl_loop_free(loop);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_when_due_and_never_early),
		cmocka_unit_test(timers_move_both_ways),
		cmocka_unit_test(timers_may_touch_timers),
		cmocka_unit_test(deferred_tasks_run_in_order_and_can_be_taken_back),
		cmocka_unit_test(posts_of_many_threads_all_arrive),
		cmocka_unit_test(a_removed_descriptor_gets_no_event),
		cmocka_unit_test(nothing_is_lost_by_edge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
