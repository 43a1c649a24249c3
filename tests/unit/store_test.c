/* store_test.c - the store thread and the SQLite store on real files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../store_fixture.h"
#include "base/log.h"
#include "store/log_store.h"
#include "store/money_store.h"


static int
set_up(void **state)
{
	(void)state;
	return make_directory();
}

static int
tear_down(void **state)
{
	(void)state;
	return remove_directory();
}

/* --- jobs ------------------------------------------------------------------ */

struct meta_job {
	struct sl_store_job job;
	const char         *name;
	struct sl_slice     value;
	struct sl_buf       out;
	enum sl_err         result; /* what the job claims after its write */
};

static void
run_put(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct meta_job *m = SL_CONTAINER(job, struct meta_job, job);

	job->err = ops->meta_put(conn, m->name, m->value);
	if (job->err == SL_OK)
		job->err = m->result;
}

static void
run_get(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct meta_job *m = SL_CONTAINER(job, struct meta_job, job);

	job->err = ops->meta_get(conn, m->name, &m->out);
}

static enum sl_err
put(struct sl_store *store, const char *name, struct sl_slice value)
{
	struct meta_job m = { .job.run = run_put, .name = name, .value = value };

	return sl_store_run(store, &m.job);
}

static enum sl_err
get(struct sl_store *store, const char *name, struct sl_buf *out)
{
	struct meta_job m = { .job.run = run_get, .name = name };
	enum sl_err err;

	sl_buf_init(&m.out, 1 << 20);
	err = sl_store_run(store, &m.job);
	if (out)
		*out = m.out;
	else
		sl_buf_release(&m.out);
	return err;
}

static void
values_survive_a_restart(void **state)
{
	struct sl_store *store = open_store();
	struct sl_buf out;
	struct stat st;

	(void)state;
	assert_int_equal(get(store, "pepper", NULL), SL_ENOTFOUND);
	assert_int_equal(put(store, "pepper", sl_slice_make("\0\xff'\n", 4)), SL_OK);
	assert_int_equal(put(store, "empty", SL_SLICE_NONE), SL_OK);
	sl_store_free(store);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	store = open_store();
	assert_int_equal(get(store, "pepper", &out), SL_OK);
	assert_true(sl_slice_eq(sl_buf_slice(&out), sl_slice_make("\0\xff'\n", 4)));
	sl_buf_release(&out);
	assert_int_equal(get(store, "empty", &out), SL_OK);
	assert_int_equal(out.len, 0);
	sl_buf_release(&out);
	sl_store_free(store);
}

/* --- keys ------------------------------------------------------------------ */

struct key_job {
	struct sl_store_job      job;
	const struct sl_key_row *row;
	size_t                   seen;
	char                     text[256];
};

static void
run_key_put(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	job->err = ops->key_put(conn, SL_CONTAINER(job, struct key_job, job)->row);
}

static bool
see_key(void *context, const struct sl_key_row *row)
{
	struct key_job *k = context;

	k->seen++;
	snprintf(k->text + strlen(k->text), sizeof(k->text) - strlen(k->text),
	         "%.*s %02x %.*s %.*s %lld %lld|", SL_ARG(row->id), row->digest[31],
	         SL_ARG(row->hint), SL_ARG(row->policy_json), (long long)row->created_wall_ms,
	         (long long)row->revoked_wall_ms);
	return true;
}

static void
run_key_each(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	job->err = ops->key_each(conn, see_key, SL_CONTAINER(job, struct key_job, job));
}

static enum sl_err
put_key(struct sl_store *store, const char *id, unsigned char last, int64_t revoked)
{
	struct sl_key_row row = { .id = sl_slice_str(id), .hint = SL_SLICE("gw_virt_ab"),
		                  .policy_json = SL_SLICE("{}"), .created_wall_ms = 5,
		                  .revoked_wall_ms = revoked, .digest[31] = last };
	struct key_job k = { .job.run = run_key_put, .row = &row };

	return sl_store_run(store, &k.job);
}

static void
keys_are_inserted_and_replaced(void **state)
{
	struct key_job k = { .job.run = run_key_each };
	struct sl_store *store = open_store();

	(void)state;
	assert_int_equal(put_key(store, "vk_2", 0xbb, 0), SL_OK);
	assert_int_equal(put_key(store, "vk_1", 0xaa, 0), SL_OK);
	assert_int_equal(put_key(store, "vk_2", 0xbc, 77), SL_OK);
	/* Another key with a digest that exists is refused. */
	assert_int_equal(put_key(store, "vk_3", 0xaa, 0), SL_EEXIST);
	sl_store_free(store);
	store = open_store();
	assert_int_equal(sl_store_run(store, &k.job), SL_OK);
	assert_int_equal(k.seen, 2);
	assert_string_equal(k.text, "vk_1 aa gw_virt_ab {} 5 0|vk_2 bc gw_virt_ab {} 5 77|");
	sl_store_free(store);
}

/* --- group commit ---------------------------------------------------------- */

static atomic_int done_count;

static void
count_done(struct sl_store_job *job)
{
	(void)job;
	atomic_fetch_add(&done_count, 1);
}

/* Keeps the store thread busy until the test lets go. */
static sem_t stall_began, stall_ends;

static void
run_stall(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	(void)job;
	(void)ops;
	(void)conn;
	sem_post(&stall_began);
	sem_wait(&stall_ends);
}

static void
begin_stall(struct sl_store *store, struct sl_store_job *job)
{
	*job = (struct sl_store_job){ .run = run_stall, .done = count_done };
	sem_init(&stall_began, 0, 0);
	sem_init(&stall_ends, 0, 0);
	atomic_store(&done_count, 0);
	assert_int_equal(sl_store_submit(store, job), SL_OK);
	sem_wait(&stall_began);
}

static void
a_failing_job_takes_nothing_with_it(void **state)
{
	struct sl_store *store = open_store();
	struct sl_store_job stall;
	struct meta_job jobs[9] = { 0 };
	char names[9][16];

	(void)state;
	/* While the thread is busy the others arrive together. */
	begin_stall(store, &stall);
	for (int i = 0; i < 9; i++) {
		snprintf(names[i], sizeof(names[i]), "n%d", i);
		jobs[i] = (struct meta_job){ .job = { .run = run_put, .done = count_done },
			                     .name = names[i], .value = SL_SLICE("v"),
			                     .result = i % 3 == 1 ? SL_EINVAL : SL_OK };
		assert_int_equal(sl_store_submit(store, &jobs[i].job), SL_OK);
	}
	sem_post(&stall_ends);
	sl_store_free(store);
	assert_int_equal(atomic_load(&done_count), 10);
	store = open_store();
	for (int i = 0; i < 9; i++) {
		assert_int_equal(jobs[i].job.err, i % 3 == 1 ? SL_EINVAL : SL_OK);
		assert_int_equal(get(store, names[i], NULL), i % 3 == 1 ? SL_ENOTFOUND : SL_OK);
	}
	sl_store_free(store);
}

static void
the_queue_is_bounded(void **state)
{
	static struct meta_job jobs[SL_STORE_JOBS_MAX + 100];
	struct sl_store_job stall;
	struct sl_store *store = open_store();
	int accepted = 0;

	(void)state;
	begin_stall(store, &stall);
	for (int i = 0; i < SL_STORE_JOBS_MAX + 100; i++) {
		jobs[i] = (struct meta_job){ .job = { .run = run_get, .done = count_done },
			                     .name = "none" };
		sl_buf_init(&jobs[i].out, 64);
		if (sl_store_submit(store, &jobs[i].job) == SL_OK)
			accepted++;
	}
	sem_post(&stall_ends);
	assert_int_equal(accepted, SL_STORE_JOBS_MAX);
	sl_store_free(store);
	assert_int_equal(atomic_load(&done_count), accepted + 1);
}

struct crowd {
	struct sl_store *store;
	int              number;
};

static void *
crowd_main(void *argument)
{
	struct crowd *crowd = argument;

	for (int i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%d-%d", crowd->number, i);
		if (put(crowd->store, name, SL_SLICE("x")) != SL_OK)
			return NULL;
	}
	return crowd;
}

static void
many_threads_submit(void **state)
{
	struct sl_store *store = open_store();
	struct crowd crowd[6];
	pthread_t threads[6];
	void *result;

	(void)state;
	for (int i = 0; i < 6; i++) {
		crowd[i] = (struct crowd){ store, i };
		assert_int_equal(pthread_create(&threads[i], NULL, crowd_main, &crowd[i]), 0);
	}
	for (int i = 0; i < 6; i++) {
		pthread_join(threads[i], &result);
		assert_non_null(result);
	}
	assert_int_equal(get(store, "c5-19", NULL), SL_OK);
	sl_store_free(store);
}

struct on_loop {
	struct meta_job m;
	struct sl_loop *loop;
	pthread_t       thread;
};

static void
done_on_loop(struct sl_store_job *job)
{
	struct on_loop *on = SL_CONTAINER(job, struct on_loop, m.job);

	on->thread = pthread_self();
	sl_loop_stop(on->loop);
}

static void
done_comes_back_on_the_loop(void **state)
{
	struct sl_store *store = open_store();
	struct on_loop on = { .m = { .job = { .run = run_put, .done = done_on_loop },
		                     .name = "a", .value = SL_SLICE("b") } };

	(void)state;
	on.loop = on.m.job.loop = sl_loop_new(0);
	assert_int_equal(sl_store_submit(store, &on.m.job), SL_OK);
	sl_loop_run(on.loop);
	assert_true(pthread_equal(on.thread, pthread_self()));
	assert_int_equal(on.m.job.err, SL_OK);
	sl_store_free(store);
	sl_loop_free(on.loop);
}

/* --- refusals -------------------------------------------------------------- */

static void
expect_refusal(const char *bad_url, const char *says)
{
	const char *reason = NULL;

	assert_null(sl_store_new(sl_slice_str(bad_url), &reason));
	assert_non_null(reason);
	if (!strstr(reason, says))
		print_error("reason: %s\n", reason);
	assert_non_null(strstr(reason, says));
}

static void
make_file(const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void
run_sql(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void
bad_places_are_refused_with_the_reason(void **state)
{
	char bad[256];

	(void)state;
	expect_refusal("", "sqlite:PATH");
	expect_refusal("sqlite", "sqlite:PATH");
	expect_refusal("sqlite:", "sqlite:PATH");
	expect_refusal("mysql:x", "sqlite:PATH");
	snprintf(bad, sizeof(bad), "sqlite:%s/no/such.db", directory);
	expect_refusal(bad, "create the directory");
	snprintf(bad, sizeof(bad), "sqlite:%s", directory);
	expect_refusal(bad, "is a directory");
	make_file("this is a text file, long enough to be no database header at all........"
	          "..............................................................");
	expect_refusal(url, "is not an SQLite database");
	unlink(path);
	run_sql("CREATE TABLE theirs(a)");
	expect_refusal(url, "belongs to another program");
}

static void
a_newer_schema_is_refused(void **state)
{
	const struct sl_store_ops *ops;
	const char *reason = "";
	void *conn;

	(void)state;
	sl_store_free(open_store());
	run_sql("INSERT INTO migrations VALUES (900, 0)");
	expect_refusal(url, "written by a newer Sluice");
	assert_int_equal(sl_store_open_reader(sl_slice_str(url), &ops, &conn, &reason),
	                 SL_EUNSUPPORTED);
	assert_non_null(strstr(reason, "written by a newer Sluice"));
}

static void
a_second_process_is_refused(void **state)
{
	struct sl_store *store = open_store();
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		const char *reason = "";
		bool refused = !sl_store_new(sl_slice_str(url), &reason);

		_exit(refused && strstr(reason, "in use by another process") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(put(store, "still", SL_SLICE("mine")), SL_OK);
	sl_store_free(store);
}

static void
memory_needs_no_file(void **state)
{
	const char *reason = NULL;
	struct sl_store *store = sl_store_new(SL_SLICE("sqlite::memory:"), &reason);

	(void)state;
	assert_non_null(store);
	assert_int_equal(put(store, "a", SL_SLICE("b")), SL_OK);
	assert_int_equal(get(store, "a", NULL), SL_OK);
	sl_store_free(store);
	assert_int_not_equal(access(path, F_OK), 0);
}

/* --- a full disk ----------------------------------------------------------- */

static void
limit_files(rlim_t size)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static bool
becomes_healthy(struct sl_store *store, int within_ms)
{
	for (; within_ms > 0 && !sl_store_healthy(store); within_ms -= 5)
		usleep(5000);
	return sl_store_healthy(store);
}

/* A real file system of 2 MiB, in a mount namespace of a child. */
enum { CANNOT_MOUNT = 77 };

static bool
mount_small(void)
{
	return unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", directory, "tmpfs", 0, "size=2m") == 0;
}

/* Returns the line of the first check that failed. */
static int
fill_and_free(void)
{
	static char big[400000];
	const char *reason;
	struct sl_store *store = sl_store_new(sl_slice_str(url), &reason);
	char filler[160];
	enum sl_err err = SL_OK;
	int fd;

	if (!store || put(store, "before", SL_SLICE("kept")) != SL_OK)
		return __LINE__;
	snprintf(filler, sizeof(filler), "%s/filler", directory);
	fd = open(filler, O_WRONLY | O_CREAT, 0600);
	while (write(fd, big, sizeof(big)) > 0)
		continue;
	close(fd);
	for (int i = 0; i < 8 && err == SL_OK; i++)
		err = put(store, "big", sl_slice_make(big, sizeof(big)));
	if (err != SL_EFULL)
		return __LINE__;
	/* Reads go on, and a read does not end the illness. */
	if (get(store, "before", NULL) != SL_OK || get(store, "big", NULL) != SL_ENOTFOUND)
		return __LINE__;
	unlink(filler);
	if (!becomes_healthy(store, 30000))
		return __LINE__;
	if (put(store, "big", sl_slice_make(big, sizeof(big))) != SL_OK)
		return __LINE__;
	sl_store_free(store);
	store = sl_store_new(sl_slice_str(url), &reason);
	if (!store || get(store, "big", NULL) != SL_OK)
		return __LINE__;
	sl_store_free(store);
	return 0;
}

static void
a_full_disk_heals_by_itself(void **state)
{
	int status, line[2];
	pid_t pid;
	int report = 0;

	(void)state;
	assert_int_equal(pipe(line), 0);
	pid = fork();
	if (pid == 0) {
		int failed;

		if (!mount_small())
			_exit(CANNOT_MOUNT);
		failed = fill_and_free();
		_exit(write(line[1], &failed, sizeof(failed)) == sizeof(failed) ? 0 : 1);
	}
	close(line[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CANNOT_MOUNT) {
		print_message("skipped: this user may not mount a tmpfs\n");
		close(line[0]);
		skip();
	}
	assert_int_equal(read(line[0], &report, sizeof(report)), sizeof(report));
	close(line[0]);
	if (report)
		print_error("failed at line %d\n", report);
	assert_int_equal(report, 0);
}

static void
an_ill_store_says_so_until_a_write_succeeds(void **state)
{
	static char big[300000];
	struct sl_store *store = open_store();

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	limit_files(1); /* not even the probe fits */
	assert_int_not_equal(put(store, "big", sl_slice_make(big, sizeof(big))), SL_OK);
	assert_false(sl_store_healthy(store));
	usleep(SL_STORE_PROBE_MS * 2000);
	assert_false(sl_store_healthy(store));
	assert_int_not_equal(put(store, "small", SL_SLICE("x")), SL_OK);
	limit_files(RLIM_INFINITY);
	assert_true(becomes_healthy(store, 30000));
	assert_int_equal(put(store, "small", SL_SLICE("x")), SL_OK);
	sl_store_free(store);
}

/* --- records and spend ----------------------------------------------------- */

enum { HOUR_MS = 3600000, ROWS = 3000 };

struct ask {
	int64_t end_wall_ms;
	int     name[SL_SPEND_GROUPS];
	int64_t input, output, cost, unpriced, attempts;
};

static struct ask asks[ROWS];
static const char *const names[] = { "", "alpha", "beta", "gamma \xc3\xa9'\"" };
enum { NAMES = 4 };

static uint64_t
next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

struct append_job {
	struct sl_store_job     job;
	struct sl_record_source source;
	size_t                  at, end;
	size_t                  fail_at;
};

static bool
next_ask(struct sl_record_source *source, struct sl_record_row *row)
{
	struct append_job *a = SL_CONTAINER(source, struct append_job, source);
	const struct ask *ask;

	if (a->at == a->end)
		return false;
	ask = &asks[a->at++];
	memset(row, 0, sizeof(*row));
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		row->usage[i] = SL_RECORD_NULL;
	row->request_id = SL_SLICE("req_1");
	row->end_wall_ms = ask->end_wall_ms;
	row->attempts = ask->attempts;
	row->key_id = sl_slice_str(names[ask->name[SL_SPEND_KEY]]);
	row->team = sl_slice_str(names[ask->name[SL_SPEND_TEAM]]);
	row->workspace = sl_slice_str(names[ask->name[SL_SPEND_WORKSPACE]]);
	row->model_served = sl_slice_str(names[ask->name[SL_SPEND_MODEL]]);
	row->provider = sl_slice_str(names[ask->name[SL_SPEND_PROVIDER]]);
	row->tag = sl_slice_str(names[ask->name[SL_SPEND_TAG]]);
	row->cost_nanousd = ask->cost;
	row->unpriced = ask->unpriced;
	row->usage[SL_USAGE_INPUT] = ask->input;
	row->usage[SL_USAGE_OUTPUT] = ask->output;
	return true;
}

static void
run_append(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct append_job *a = SL_CONTAINER(job, struct append_job, job);

	job->err = ops->records_append(conn, &a->source);
	if (job->err == SL_OK && a->fail_at)
		job->err = SL_EINVAL;
}

static enum sl_err
append(struct sl_store *store, size_t from, size_t to, bool fail)
{
	struct append_job a = { .job.run = run_append, .source.next = next_ask,
		                .at = from, .end = to, .fail_at = fail };

	return sl_store_run(store, &a.job);
}

static void
make_asks(uint64_t seed)
{
	for (int i = 0; i < ROWS; i++) {
		struct ask *ask = &asks[i];

		ask->end_wall_ms = 1700000000000 + (int64_t)(next_random(&seed) % (30 * (uint64_t)HOUR_MS));
		for (int k = 0; k < SL_SPEND_GROUPS; k++)
			ask->name[k] = (int)(next_random(&seed) % NAMES);
		ask->input = next_random(&seed) % 5 ? (int64_t)(next_random(&seed) % 10000) : SL_RECORD_NULL;
		ask->output = (int64_t)(next_random(&seed) % 500);
		ask->unpriced = next_random(&seed) % 4 == 0;
		ask->attempts = (int64_t)(next_random(&seed) % 4);
		ask->cost = ask->unpriced ? SL_RECORD_NULL : (int64_t)(next_random(&seed) % 1000000000);
	}
}

struct spend_job {
	struct sl_store_job   job;
	struct sl_spend_query query;
	struct sl_spend_row   got[NAMES];
	size_t                count;
};

static bool
see_spend(void *context, const struct sl_spend_row *row)
{
	struct spend_job *s = context;

	for (int i = 0; i < NAMES; i++)
		if (sl_slice_is(row->name, names[i])) {
			struct sl_spend_row sum = *row;

			if (s->query.hourly) {
				assert_true(row->hour >= s->got[i].hour);
				sum.requests += s->got[i].requests;
				sum.input_tokens += s->got[i].input_tokens;
				sum.output_tokens += s->got[i].output_tokens;
				sum.cost_nanousd += s->got[i].cost_nanousd;
				sum.unpriced_requests += s->got[i].unpriced_requests;
			}
			s->got[i] = sum;
			s->count++;
			return true;
		}
	return false;
}

static void
run_spend(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct spend_job *s = SL_CONTAINER(job, struct spend_job, job);

	job->err = ops->spend(conn, &s->query, see_spend, s);
}

static int64_t
known(int64_t number)
{
	return number == SL_RECORD_NULL ? 0 : number;
}

/* The same by going over every row. */
static void
expect_spend(struct sl_store *store, size_t rows, enum sl_spend_group by, int64_t since,
             int64_t until)
{
	struct sl_spend_row want[NAMES] = { 0 };
	struct spend_job s = { .job.run = run_spend,
		               .query = { by, since, until, (since + until) % 2 == 0 } };

	for (size_t i = 0; i < rows; i++) {
		const struct ask *ask = &asks[i];
		struct sl_spend_row *sum = &want[ask->name[by]];

		/* What was asked of no provider is no request to a model. */
		if (ask->attempts == 0 || ask->end_wall_ms < since || ask->end_wall_ms >= until)
			continue;
		sum->requests++;
		sum->input_tokens += known(ask->input);
		sum->output_tokens += ask->output;
		sum->cost_nanousd += known(ask->cost);
		sum->unpriced_requests += ask->unpriced;
	}
	assert_int_equal(sl_store_run(store, &s.job), SL_OK);
	for (int i = 0; i < NAMES; i++) {
		assert_int_equal(s.got[i].requests, want[i].requests);
		assert_int_equal(s.got[i].input_tokens, want[i].input_tokens);
		assert_int_equal(s.got[i].output_tokens, want[i].output_tokens);
		assert_int_equal(s.got[i].cost_nanousd, want[i].cost_nanousd);
		assert_int_equal(s.got[i].unpriced_requests, want[i].unpriced_requests);
	}
}

static void
spend_equals_the_sum_over_all_rows(void **state)
{
	struct sl_store *store = open_store();
	const int64_t first = 1700000000000, hour = first - first % HOUR_MS;
	uint64_t seed = 20240607;

	(void)state;
	make_asks(seed);
	for (size_t i = 0; i < ROWS; i += 500)
		assert_int_equal(append(store, i, i + 500, false), SL_OK);
	for (int by = 0; by < SL_SPEND_GROUPS; by++) {
		enum sl_spend_group group = (enum sl_spend_group)by;

		expect_spend(store, ROWS, group, 0, INT64_MAX);
		expect_spend(store, ROWS, group, INT64_MIN, first);
		expect_spend(store, ROWS, group, hour + HOUR_MS, hour + 7 * HOUR_MS);
		expect_spend(store, ROWS, group, hour + 5 * HOUR_MS, hour + 5 * HOUR_MS);
		expect_spend(store, ROWS, group, hour + 9 * HOUR_MS, hour + 3 * HOUR_MS);
		expect_spend(store, ROWS, group, asks[7].end_wall_ms, asks[7].end_wall_ms + 1);
		expect_spend(store, ROWS, group, asks[7].end_wall_ms, asks[7].end_wall_ms);
	}
	for (int i = 0; i < 300; i++) {
		int64_t since = first - HOUR_MS + (int64_t)(next_random(&seed) % (33 * (uint64_t)HOUR_MS));
		int64_t until = i % 2 ? since + (int64_t)(next_random(&seed) % (3 * (uint64_t)HOUR_MS))
		                      : first + (int64_t)(next_random(&seed) % (33 * (uint64_t)HOUR_MS));

		expect_spend(store, ROWS, (enum sl_spend_group)(i % SL_SPEND_GROUPS), since, until);
	}
	sl_store_free(store);
}

static void
run_spend_and_fail(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	run_spend(job, ops, conn);
	assert_int_equal(job->err, SL_OK);
	job->err = SL_EINVAL;
}

/* The view that questions about records read is made by the first of them, in its
 * transaction; where that is undone, the next one makes it again. */
static void
a_question_whose_job_fails_leaves_the_next_one_its_answer(void **state)
{
	struct sl_store *store = open_store();

	(void)state;
	make_asks(7);
	assert_int_equal(append(store, 0, 100, false), SL_OK);
	for (int i = 0; i < 6; i++) {
		struct spend_job s = { .job.run = run_spend_and_fail,
			               .query = { SL_SPEND_KEY, 0, INT64_MAX, false } };

		if (i != 3)
			assert_int_equal(sl_store_run(store, &s.job), SL_EINVAL);
		expect_spend(store, 100, i % 2 ? SL_SPEND_KEY : SL_SPEND_TEAM, 0, INT64_MAX);
	}
	sl_store_free(store);
}

static void
records_and_sums_stand_or_fall_together(void **state)
{
	struct sl_store *store = open_store();

	(void)state;
	make_asks(99);
	assert_int_equal(append(store, 0, 100, false), SL_OK);
	assert_int_equal(append(store, 100, 400, true), SL_EINVAL);
	expect_spend(store, 100, SL_SPEND_KEY, 0, INT64_MAX);
	assert_int_equal(append(store, 100, 400, false), SL_OK);
	sl_store_free(store);
	store = open_store();
	expect_spend(store, 400, SL_SPEND_MODEL, 0, INT64_MAX);
	sl_store_free(store);
}

struct log_job {
	struct sl_store_job job;
	struct sl_log_query query;
	int64_t             last_ms, count, input;
};

static bool
see_log(void *context, const struct sl_log_row *row)
{
	struct log_job *log = context;

	assert_true(row->end_wall_ms <= log->last_ms);
	assert_true(sl_slice_is(row->key_id, names[1]));
	log->last_ms = row->end_wall_ms;
	log->input += known(row->input_tokens);
	log->count++;
	return true;
}

static void
run_log(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct log_job *log = SL_CONTAINER(job, struct log_job, job);

	job->err = ops->log->each(conn, &log->query, see_log, log);
}

/* Piece by piece, each record of the key once, the newest first. */
static void
the_log_comes_in_pieces(void **state)
{
	struct sl_store *store = open_store();
	struct log_job log = { .job.run = run_log, .last_ms = INT64_MAX };
	int64_t count = 0, input = 0;

	(void)state;
	make_asks(5);
	assert_int_equal(append(store, 0, 1000, false), SL_OK);
	log.query = (struct sl_log_query){ .key_id = sl_slice_str(names[1]), .most = 70,
		.since_wall_ms = 1700000000000 + 3 * HOUR_MS, .until_wall_ms = 1700000000000 + 20 * HOUR_MS };
	for (size_t i = 0; i < 1000; i++)
		if (asks[i].name[SL_SPEND_KEY] == 1 && asks[i].end_wall_ms >= log.query.since_wall_ms &&
		    asks[i].end_wall_ms < log.query.until_wall_ms) {
			count++;
			input += known(asks[i].input);
		}
	while (!log.query.ended)
		assert_int_equal(sl_store_run(store, &log.job), SL_OK);
	assert_int_equal(log.count, count);
	assert_int_equal(log.input, input);
	sl_store_free(store);
}

struct attempts_job {
	struct sl_store_job job;
	uint32_t            seen[3], count;
};

static bool
see_attempt(void *context, const struct sl_attempt_row *row)
{
	struct attempts_job *attempts = context;

	if (attempts->count < 3)
		attempts->seen[attempts->count++] = row->attempt_no;
	return true;
}

static void
run_attempts(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct attempts_job *attempts = SL_CONTAINER(job, struct attempts_job, job);
	struct sl_attempt_row row = { .request = "one request", .scope_count = 1,
		.owner = { 1 }, .state = SL_ATTEMPT_SETTLED };

	for (uint32_t i = 1; i <= 3 && job->err == SL_OK; i++) {
		row.id[SL_ATTEMPT_ID_SIZE - 1] = (unsigned char)(9 - i);
		row.attempt_no = i;
		job->err = ops->money->attempt_add(conn, &row);
	}
	if (job->err == SL_OK)
		job->err = ops->money->attempt_of(conn, row.request, 0, 1, see_attempt, attempts);
}

/* Ids of one millisecond are in no order. */
static void
attempts_come_in_their_order(void **state)
{
	struct sl_store *store = open_store();
	struct attempts_job attempts = { .job.run = run_attempts };

	(void)state;
	assert_int_equal(sl_store_run(store, &attempts.job), SL_OK);
	assert_int_equal(attempts.count, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(attempts.seen[i], i + 1);
	sl_store_free(store);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(values_survive_a_restart),
		TEST(keys_are_inserted_and_replaced),
		TEST(a_failing_job_takes_nothing_with_it),
		TEST(the_queue_is_bounded),
		TEST(many_threads_submit),
		TEST(done_comes_back_on_the_loop),
		TEST(bad_places_are_refused_with_the_reason),
		TEST(a_newer_schema_is_refused),
		TEST(a_second_process_is_refused),
		TEST(memory_needs_no_file),
		TEST(a_full_disk_heals_by_itself),
		TEST(an_ill_store_says_so_until_a_write_succeeds),
		TEST(spend_equals_the_sum_over_all_rows),
		TEST(a_question_whose_job_fails_leaves_the_next_one_its_answer),
		TEST(records_and_sums_stand_or_fall_together),
		TEST(the_log_comes_in_pieces),
		TEST(attempts_come_in_their_order),
	};

	sl_log_init(SL_LOG_OFF, STDERR_FILENO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
