/* crash.c - paid traffic that is killed, and what must be true afterwards.
 *
 *   crash-driver random KILLS SEED    killed at random moments
 *   crash-driver every  STEP          killed at every STEPth write or sync, then, step by
 *                                     step, at every one of the recovery
 *   crash-driver step   STEP  SEED    killed at every STEPth instruction of a few attempts,
 *                                     and more often while their slips become records
 *   crash-driver power  LOSSES SEED   unsynced writes lost, too (strict)
 *   crash-driver lease  LOSSES SEED   the same with leases: bounded, and never a wrong row
 *
 * A child serves traffic and notes in shared memory what callers and upstream saw: each
 * attempt that was dispatched (so: bought), each settlement that returned. It is killed;
 * another child recovers; the rows are then compared with the notes. A third of the
 * attempts has no limit: what settles shares rows without a label, in number and cost
 * just those that have no row of their own. --plant BUG switches a bug on. Prints one line of JSON; exit status 1 when anything was wrong.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../money_harness.h"
#include "base/clock.h"
#include "disk.h"
#include "ledger/money_internal.h"
#include "planted.h"

enum { NOTES_MAX = 1 << 16, TELLERS = 2, RECOVER_S = 20 };
enum { DISPATCHED = 1, SETTLED = 2, RELEASED = 4, ENDING = 8, UNLIMITED = 16, CLAIMED = 32,
       OWN_ROW = 64, CLAIM_ROW = 128 };
enum { FLOOR = 100, PROGRESS = 500 };
#define BUDGET (50000 * INT64_C(1000))

struct note {
	unsigned char id[16];
	int64_t       held, cost;
	int           label; /* of its row; 0: there was no hold */
	atomic_int    what;
};
struct facts {
	struct note  notes[NOTES_MAX];
	atomic_int   note_count;
	atomic_llong paid_in, maybe_paid_in;
	atomic_int   topups, labels;
	/* Rows of many that belong to notes from before a loss. */
	long         shared_before;
	int64_t      shared_cost_before;
	/* Of the recovery. */
	atomic_long  lost, doubled, wrong, missing, recovery_us;
	atomic_llong overspent;
	char         text[256];
};

static struct facts *facts;
static struct till till;
static const char *plant = "";
static bool losing; /* power, not only the process */
static bool only_unlimited;

bool
crash_planted(const char *bug)
{
	return strcmp(plant, bug) == 0;
}

static uint64_t
next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* --- traffic ------------------------------------------------------------------------------ */

static void
serve_one(uint64_t *seed)
{
	static const char *const keys[] = { "key-a", "key-b", "key-c" };
	struct sl_money_limits pays = sl_money_unlimited, limits = sl_money_unlimited;
	int64_t amount = 1000 + (int64_t)(next(seed) % 5000);
	bool unlimited = next(seed) % 3 == 0 || only_unlimited;
	struct sl_money_claim claim = { .expires_wall_ms = INT64_MAX };
	struct sl_money_request request;
	struct sl_money_refusal why;
	struct sl_hold *hold;
	struct note *note;
	int index, label;

	index = atomic_fetch_add(&facts->note_count, 1);
	if (index >= NOTES_MAX)
		_exit(3);
	note = &facts->notes[index];
	pays.prepaid = true;
	limits.window[SL_WINDOW_MONTH] = BUDGET;
	request = till_request(&till, keys[next(seed) % 3], "team", "work", &limits, amount);
	request.scopes[2].limits = &pays;
	if (unlimited)
		request = till_request(&till, "key-u", "free", "owing", &sl_money_unlimited,
		                       next(seed) % 2 ? amount : 0);
	request.unlimited = unlimited;
	request.policy = (enum sl_unknown_policy)(next(seed) % 2);
	label = atomic_fetch_add(&facts->labels, 1) + 1;
	memcpy(request.request_id, &label, sizeof(label));
	if (next(seed) % 8 == 0) {
		memcpy(claim.name, &label, sizeof(label));
		request.claim = &claim;
	}
	if (till_hold(&till, &request, &hold, &why) != SL_OK)
		return;
	memcpy(note->id, sl_hold_attempt_id(hold), 16);
	note->held = amount;
	note->label = label;
	atomic_store(&note->what, (unlimited ? UNLIMITED : 0) | (request.claim ? CLAIMED : 0));
	if (next(seed) % 5 == 0) {
		sl_money_release(hold, till.now_ms);
		atomic_fetch_or(&note->what, RELEASED);
		return;
	}
	sl_money_dispatched(hold, FLOOR);
	atomic_fetch_or(&note->what, DISPATCHED); /* the upstream has it */
	if (next(seed) % 3 == 0)
		sl_money_progress(hold, PROGRESS);
	if (next(seed) % 8 == 0)
		usleep((useconds_t)(next(seed) % 3000));
	note->cost = next(seed) % 16 == 0 ? amount + 7 : (int64_t)(next(seed) % (uint64_t)amount);
	atomic_fetch_or(&note->what, ENDING);
	sl_money_settle(hold, &(struct sl_money_settlement){ .cost = note->cost,
	                .now_wall_ms = till.now_ms, .source = SL_USAGE_REPORTED });
	atomic_fetch_or(&note->what, SETTLED);
}

static void
pay_in(void)
{
	char id[32];

	snprintf(id, sizeof(id), "pay-%d", atomic_fetch_add(&facts->topups, 1));
	atomic_fetch_add(&facts->maybe_paid_in, 30000);
	if (till_topup(&till, "work", id, 30000) == SL_OK)
		atomic_fetch_add(&facts->paid_in, 30000);
}

static void *
teller(void *argument)
{
	uint64_t seed = *(uint64_t *)argument;

	for (;;) {
		serve_one(&seed);
		if (next(&seed) % 16 == 0)
			pay_in();
	}
	return NULL;
}

static void
endless_traffic(uint64_t seed)
{
	static uint64_t seeds[TELLERS];
	pthread_t threads[TELLERS];

	if (!till_reopen(&till))
		_exit(2);
	pay_in();
	for (int i = 0; i < TELLERS; i++) {
		seeds[i] = seed * 31 + (uint64_t)i + 1;
		pthread_create(&threads[i], NULL, teller, &seeds[i]);
	}
	for (;;)
		pause();
}

/* Each operation a few times, and an orderly end. */
static void
short_traffic(uint64_t seed)
{
	if (!till_reopen(&till))
		_exit(2);
	pay_in();
	for (int i = 0; i < 24; i++) {
		serve_one(&seed);
		if (i == 12)
			pay_in();
	}
	till_shut(&till);
	_exit(0);
}

/* What is looked at stands between two stops. */
static void
stepped_traffic(uint64_t seed, bool gathers)
{
	if (!till_reopen(&till))
		_exit(2);
	pay_in();
	only_unlimited = gathers;
	for (int i = 0; i < (gathers ? 24 : 8); i++) {
		if (i == 4 && !gathers)
			raise(SIGSTOP);
		serve_one(&seed);
	}
	if (gathers) {
		raise(SIGSTOP);
		money_slips_gather(till.money, true); /* as the log thread would soon */
	}
	raise(SIGSTOP);
	for (;;)
		pause();
}

/* --- afterwards ------------------------------------------------------------------------------ */

struct compare {
	int64_t charged; /* to who paid in advance */
	long    rows, seen;
	long    shared;  /* attempts in rows of many */
	int64_t shared_cost;
};

static int
compare_notes(const void *a, const void *b)
{
	return memcmp(((const struct note *)a)->id, ((const struct note *)b)->id, 16);
}

/* Power loss with leases may take what was not synced. */
static bool
in_window(void)
{
	return losing && till.options.durability == SL_DURABLE_LEASE;
}

static struct note *
note_of(int label)
{
	int count = atomic_load(&facts->note_count);

	for (int i = 0; i < count; i++)
		if (facts->notes[i].label == label)
			return &facts->notes[i];
	return NULL;
}

/* What nothing limits: a row of many has no label. */
static void
see_unlimited(struct compare *compare, const struct sl_attempt_row *row)
{
	struct note *note;
	int what, label;

	memcpy(&label, row->request, sizeof(label));
	if (label == 0) {
		compare->shared += row->attempt_no;
		compare->shared_cost += row->charged;
		return;
	}
	note = note_of(label);
	if (!note)
		return; /* killed before the caller was told */
	what = atomic_fetch_or(&note->what, OWN_ROW);
	if (what & OWN_ROW)
		atomic_fetch_add(&facts->doubled, 1);
	if ((what & DISPATCHED) && row->state == SL_ATTEMPT_RELEASED)
		atomic_fetch_add(in_window() ? &facts->missing : &facts->lost, 1);
	if ((what & SETTLED) && !losing && row->state != SL_ATTEMPT_SETTLED)
		atomic_fetch_add(&facts->lost, 1);
	if (row->state == SL_ATTEMPT_SETTLED && row->charged != note->cost)
		atomic_fetch_add(&facts->wrong, 1);
	if (row->state == SL_ATTEMPT_UNKNOWN_SETTLED && !losing && row->charged != FLOOR &&
	    row->charged != PROGRESS && row->charged != note->cost)
		atomic_fetch_add(&facts->wrong, 1);
}

/* Each is in the rows of many or in one of its own. */
static void
compare_shared(const struct compare *compare)
{
	int64_t cost = 0, missing, owed;
	long count = 0;

	for (int i = 0; i < atomic_load(&facts->note_count); i++) {
		const struct note *note = &facts->notes[i];
		int what = atomic_load(&note->what);

		if (!(what & UNLIMITED) || (what & OWN_ROW))
			continue;
		if ((what & DISPATCHED) && !(what & ENDING))
			atomic_fetch_add(in_window() ? &facts->missing : &facts->lost, 1);
		if (what & ENDING) {
			count++;
			cost += note->cost;
		}
	}
	missing = count + facts->shared_before - compare->shared;
	owed = cost + facts->shared_cost_before - compare->shared_cost;
	if (losing) {
		facts->shared_before = compare->shared;
		facts->shared_cost_before = compare->shared_cost;
	}
	if (missing == 0 && owed == 0)
		return;
	if (in_window() && missing > 0) {
		atomic_fetch_add(&facts->missing, missing);
		return;
	}
	snprintf(facts->text, sizeof(facts->text), "of those without limits %ld are missing in rows "
	         "of many, and %lld of their cost", (long)missing, (long long)owed);
	atomic_fetch_add(missing > 0 ? &facts->lost : missing < 0 ? &facts->doubled : &facts->wrong, 1);
}

static bool
see_claim(void *context, const struct sl_claim_row *row)
{
	struct note *note;
	int label;

	(void)context;
	memcpy(&label, row->name.ptr, sizeof(label));
	note = note_of(label);
	if (note)
		atomic_fetch_or(&note->what, CLAIM_ROW);
	return true;
}

static void
compare_claims(void)
{
	for (int i = 0; i < atomic_load(&facts->note_count); i++) {
		int what = atomic_load(&facts->notes[i].what);

		if ((what & CLAIMED) && !(what & CLAIM_ROW))
			atomic_fetch_add(in_window() ? &facts->missing : &facts->lost, 1);
	}
}

static bool
see_row(void *context, const struct sl_attempt_row *row)
{
	struct compare *compare = context;
	struct note wanted, *note;
	int what;

	memcpy(wanted.id, row->id, 16);
	note = bsearch(&wanted, facts->notes, (size_t)atomic_load(&facts->note_count),
	               sizeof(*note), compare_notes);
	compare->rows++;
	if (row->state < SL_ATTEMPT_SETTLED) {
		atomic_fetch_add(&facts->wrong, 1);
		snprintf(facts->text, sizeof(facts->text), "an attempt is still open");
	}
	if (!row->prepaid) {
		see_unlimited(compare, row);
		return true;
	}
	compare->charged += row->charged;
	if (!note)
		return true; /* killed before the caller was told */
	compare->seen++;
	what = atomic_load(&note->what);
	/* Bought, but the row says it was not: lost money, but in the declared window. */
	if ((what & DISPATCHED) && row->state == SL_ATTEMPT_RELEASED)
		atomic_fetch_add(in_window() ? &facts->missing : &facts->lost, 1);
	if ((what & SETTLED) && !losing &&
	    (row->state != SL_ATTEMPT_SETTLED || row->charged + row->overrun != note->cost))
		atomic_fetch_add(&facts->lost, 1);
	if (!(what & DISPATCHED) && row->state == SL_ATTEMPT_SETTLED)
		atomic_fetch_add(&facts->wrong, 1);
	if (row->charged > row->held)
		atomic_fetch_add(&facts->overspent, row->charged - row->held);
	return true;
}

/* What the rows must say about everything that was seen. In a child. */
static void
inspect(void)
{
	const struct sl_store_ops *ops;
	struct sl_money_audit audit = { 0 };
	struct compare compare = { 0 };
	const char *reason = NULL;
	long must = 0;
	void *conn;

	if (sl_store_open_reader(sl_slice_str(till.url), &ops, &conn, &reason) != SL_OK ||
	    sl_money_verify(ops, conn, till.now_ms, &audit) != SL_OK) {
		atomic_fetch_add(&facts->wrong, 1);
		return;
	}
	if (audit.broken) {
		bool twice = strcmp(audit.broken, "I5") == 0 || strcmp(audit.broken, "I1") == 0;

		atomic_fetch_add(twice ? &facts->doubled : &facts->wrong, 1);
		snprintf(facts->text, sizeof(facts->text), "%s: %.200s", audit.broken, audit.where);
	}
	qsort(facts->notes, (size_t)atomic_load(&facts->note_count), sizeof(struct note),
	      compare_notes);
	for (int i = 0; i < atomic_load(&facts->note_count); i++)
		atomic_fetch_and(&facts->notes[i].what, ~(OWN_ROW | CLAIM_ROW));
	ops->money->attempt_each(conn, false, see_row, &compare);
	ops->money->claim_each(conn, see_claim, NULL);
	ops->close(conn);
	compare_shared(&compare);
	compare_claims();
	for (int i = 0; i < atomic_load(&facts->note_count); i++) {
		int what = atomic_load(&facts->notes[i].what);

		must += !(what & UNLIMITED) && (what & (DISPATCHED | RELEASED));
	}
	if (compare.seen < must)
		atomic_fetch_add(in_window() ? &facts->missing : &facts->lost, must - compare.seen);
	if (audit.topped_up < atomic_load(&facts->paid_in))
		atomic_fetch_add(&facts->lost, 1);
	if (audit.topped_up > atomic_load(&facts->maybe_paid_in))
		atomic_fetch_add(&facts->doubled, 1);
	if (compare.charged > audit.topped_up)
		atomic_fetch_add(&facts->overspent, compare.charged - audit.topped_up);
}

static void
recover(uint64_t unused)
{
	(void)unused;
	if (!till_reopen(&till)) {
		atomic_fetch_add(&facts->wrong, 1);
		snprintf(facts->text, sizeof(facts->text), "it did not recover");
		_exit(0);
	}
	atomic_store(&facts->recovery_us, (long)till.recovery.took_us);
	till_shut(&till);
	inspect();
	_exit(0);
}

/* Runs it in a child, which dies at its nth write (0: by itself) or after ms (0: never).
 * True: it was killed. */
static bool
in_child(void (*work)(uint64_t), uint64_t argument, long nth, unsigned ms)
{
	const struct timespec pause_ = { 0, 1000000 };
	int status = 0;
	pid_t pid;

	disk_arm(nth);
	pid = fork();
	if (pid == 0) {
		alarm(RECOVER_S);
		work(argument);
		_exit(0);
	}
	for (unsigned i = 0; i < ms; i++)
		nanosleep(&pause_, NULL);
	if (ms)
		kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	disk_arm(0);
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
		atomic_fetch_add(&facts->wrong, 1);
		snprintf(facts->text, sizeof(facts->text), "ended by signal %d", WTERMSIG(status));
	} else if (WIFEXITED(status) && WEXITSTATUS(status)) {
		atomic_fetch_add(&facts->wrong, 1);
		snprintf(facts->text, sizeof(facts->text), "ended with status %d", WEXITSTATUS(status));
	}
	return WIFSIGNALED(status);
}

/* Kills the child so many instructions behind its first stop. False: it had stopped again. */
static bool
in_stepped_child(uint64_t seed, bool gathers, long steps)
{
	int status = 0;
	bool inside = true;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(RECOVER_S);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		stepped_traffic(seed, gathers);
	}
	waitpid(pid, &status, 0);
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP) {
		atomic_fetch_add(&facts->wrong, 1);
		snprintf(facts->text, sizeof(facts->text), "a child cannot be traced");
		inside = false;
	}
	for (long i = 0; i < steps && inside; i++) {
		inside = ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 &&
		         waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) &&
		         WSTOPSIG(status) == SIGTRAP;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return inside;
}

static void
fresh(enum sl_durability durability, uint32_t records)
{
	char journal[128], url[128], directory[64];

	atomic_store(&facts->note_count, 0);
	memset(facts->notes, 0, sizeof(facts->notes));
	atomic_store(&facts->paid_in, 0);
	atomic_store(&facts->maybe_paid_in, 0);
	atomic_store(&facts->topups, 0);
	facts->shared_before = 0;
	facts->shared_cost_before = 0;
	strcpy(directory, "/tmp/sluice-crash-XXXXXX");
	if (!mkdtemp(directory))
		exit(2);
	snprintf(url, sizeof(url), "sqlite:%s/test.db", directory);
	snprintf(journal, sizeof(journal), "%s/ledger", directory);
	till = (struct till){ .now_ms = WALL_MS };
	strcpy(till.directory, directory);
	strcpy(till.url, url);
	strcpy(till.journal, journal);
	till.options = (struct sl_money_options){
		.durability = durability, .journal_path = till.journal, .ring_slots = 1024,
		.segment_records = records, .now_wall_ms = WALL_MS, .sync_ms = 2,
	};
}

static bool
bad(void)
{
	return atomic_load(&facts->lost) || atomic_load(&facts->doubled) ||
	       atomic_load(&facts->wrong) || atomic_load(&facts->overspent);
}

/* --- stages -------------------------------------------------------------------------------------- */

struct result {
	long kills, attempts, slowest_us;
};

static void
note_recovery(struct result *result)
{
	if (atomic_load(&facts->recovery_us) > result->slowest_us)
		result->slowest_us = atomic_load(&facts->recovery_us);
	result->attempts += atomic_load(&facts->note_count);
}

static void
random_kills(long kills, uint64_t seed, enum sl_durability durability, struct result *result)
{
	for (long i = 0; i < kills && !bad(); i++) {
		/* A history of a few crashes, then a new one. */
		if (i % 8 == 0) {
			if (i)
				till_remove(&till);
			fresh(durability, 512);
		}
		disk_remember(losing);
		in_child(endless_traffic, next(&seed), 0, 5 + (unsigned)(next(&seed) % 60));
		if (losing) {
			char ring[160];

			snprintf(ring, sizeof(ring), "%s.ring", till.journal);
			unlink(ring);
			snprintf(ring, sizeof(ring), "%s/test.db-shm", till.directory);
			unlink(ring);
			disk_lose(next(&seed));
		}
		result->kills++;
		in_child(recover, 0, 0, 0);
		note_recovery(result);
		/* What a loss may take was counted; it is not asked for again. */
		if (losing) {
			memset(facts->notes, 0, sizeof(facts->notes));
			atomic_store(&facts->note_count, 0);
		}
	}
	till_remove(&till);
}

static void
every_write(long step, struct result *result)
{
	for (long nth = 1; !bad(); nth += step) {
		bool killed;

		fresh(nth % 2 ? SL_DURABLE_LEASE : SL_DURABLE_STRICT, 32);
		killed = in_child(short_traffic, 88172645463325252u, nth, 0);
		result->kills += killed;
		/* The recovery dies at its first write, the next one at its second ... */
		for (long m = 1; in_child(recover, 0, m, 0) && !bad(); m++)
			result->kills++;
		note_recovery(result);
		till_remove(&till);
		if (!killed)
			break;
	}
}

static void
every_instruction(long step, uint64_t seed, struct result *result)
{
	enum { GATHER_PART = 40 };

	for (int gathers = 0; gathers < 2; gathers++) {
		bool inside = true;

		for (long steps = 0; inside && !bad(); steps += step) {
			fresh(SL_DURABLE_LEASE, 512);
			till.options.sync_ms = 1000; /* the log thread shall not be first */
			inside = in_stepped_child(seed, gathers, steps);
			result->kills++;
			in_child(recover, 0, 0, 0);
			note_recovery(result);
			till_remove(&till);
		}
		step = step / GATHER_PART + 1;
	}
}

int
main(int argc, char **argv)
{
	struct result result = { 0 };
	long count = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) | 1 : 1;
	const char *stage = argc > 1 ? argv[1] : "";

	if (argc == 6 && strcmp(argv[4], "--plant") == 0)
		plant = argv[5];
	sl_log_init(SL_LOG_OFF, 2);
	disk_init();
	facts = mmap(NULL, sizeof(*facts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (facts == MAP_FAILED)
		return 2;
	losing = strcmp(stage, "power") == 0 || strcmp(stage, "lease") == 0;
	if (strcmp(stage, "every") == 0 && count > 0)
		every_write(count, &result);
	else if (strcmp(stage, "step") == 0 && count > 0)
		every_instruction(count, seed, &result);
	else if (strcmp(stage, "random") == 0 || strcmp(stage, "lease") == 0)
		random_kills(count, seed, SL_DURABLE_LEASE, &result);
	else if (strcmp(stage, "power") == 0)
		random_kills(count, seed, SL_DURABLE_STRICT, &result);
	else {
		fprintf(stderr, "usage: %s random|every|step|power|lease COUNT SEED [--plant BUG]\n", argv[0]);
		return 2;
	}
	printf("{\"stage\": \"%s\", \"kills\": %ld, \"attempts\": %ld, \"lost\": %ld, \"doubled\": %ld, "
	       "\"overspend\": %lld, \"wrong\": %ld, \"in_window\": %ld, \"slowest_recovery_us\": %ld, "
	       "\"text\": \"%s\"}\n", stage, result.kills, result.attempts, atomic_load(&facts->lost),
	       atomic_load(&facts->doubled), (long long)atomic_load(&facts->overspent),
	       atomic_load(&facts->wrong), atomic_load(&facts->missing), result.slowest_us, facts->text);
	return bad() ? 1 : 0;
}
