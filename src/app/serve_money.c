/* serve_money.c - the ledger of the running process: where its journal is, and what
 * its recovery found.
 *
 * The journal's segments stand beside the store and survive everything the disk does.
 * The ring in front of them belongs on a memory file system, so that appending never
 * waits for a disk; it must still be there when the process is started again after it
 * was killed. The candidates, in order:
 *
 *   $RUNTIME_DIRECTORY        what systemd keeps for the service
 *   /dev/shm/sluice-UID       ours alone, or not used
 *   beside the store          works; the kernel may write it to the disk
 */
#include "app/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "ledger/answers.h"
#include "ledger/money.h"
#include "telemetry/spool.h"

enum { PATH_SIZE = 4096, RING_SLOTS_MIN = 32768, RING_SLOTS_MAX = 1 << 20 };

static bool
is_ours(const char *directory)
{
	struct stat st;

	return lstat(directory, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       (st.st_mode & 022) == 0;
}

/* One name for one store, whichever way its path was written. */
static void
name_of(const char *store_path, char out[SL_HEX64_DIGITS + 1])
{
	char real[PATH_SIZE];
	uint64_t hash = 0xcbf29ce484222325u;

	if (!realpath(store_path, real))
		snprintf(real, sizeof(real), "%s", store_path);
	for (const char *at = real; *at; at++)
		hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
	*sl_put_hex64(out, hash) = '\0';
}

/* On the process's arena; NULL: no memory. */
static const char *
find_ring(struct sl_app *app, const char *journal_path, const char *store_path)
{
	const char *runtime = getenv("RUNTIME_DIRECTORY"), *ring;
	char name[SL_HEX64_DIGITS + 1], shared[64];
	const char *directory = NULL;

	name_of(store_path, name);
	snprintf(shared, sizeof(shared), "/dev/shm/sluice-%ld", (long)geteuid());
	if (runtime && is_ours(runtime))
		directory = runtime;
	else if ((mkdir(shared, 0700) == 0 || is_ours(shared)) && access(shared, W_OK) == 0)
		directory = shared;
	if (directory)
		return sl_arena_strdup(&app->arena, sl_arena_printf(&app->arena, "%s/%s.ring",
		                                                    directory, name));
	ring = sl_arena_strdup(&app->arena, sl_arena_printf(&app->arena, "%s.ring", journal_path));
	sl_log(SL_LOG_WARN, "no memory file system for the ledger's ring: it is beside the store, "
	       "and a busy disk may slow requests; set RuntimeDirectory or mount /dev/shm",
	       SL_LOG_Z("ring", ring ? ring : ""));
	return ring;
}

/* Room for two records of each attempt in flight, and as much for what is on its way
 * to the files. */
static uint32_t
ring_slots(uint64_t connections)
{
	uint32_t slots = RING_SLOTS_MIN;

	while (slots < RING_SLOTS_MAX && slots < connections * 3)
		slots *= 2;
	return slots;
}

static enum sl_durability
durability_of(const struct sl_config *config)
{
	if (sl_slice_is(config->durability, "strict"))
		return SL_DURABLE_STRICT;
	return sl_slice_is(config->durability, "relaxed") ? SL_DURABLE_RELAXED : SL_DURABLE_LEASE;
}

/* Records that are not stored yet lie beside the ring. What a killed process left there comes
 * before the ledger's recovery, which makes records of what is missing then. */
static bool
open_spool(struct sl_app *app, const struct sl_config *config, struct sl_buf *reason)
{
	struct sl_spool_recovery recovery;
	const char *why;

	app->spool_path = sl_arena_strdup(&app->arena, sl_arena_printf(&app->arena, "%s-records",
	                                                               app->ring_path));
	if (!app->spool_path) {
		sl_buf_append_str(reason, "out of memory\n");
		return false;
	}
	app->spool = sl_spool_open(app->spool_path, config->limits.record_queue_bytes, app->store,
	                           &recovery, &why);
	if (!app->spool)
		sl_buf_printf(reason, "store: %s\n", why);
	else if (recovery.found > 0)
		sl_log(SL_LOG_INFO, "records were recovered", SL_LOG_I("found", recovery.found),
		       SL_LOG_I("stored", recovery.stored));
	return app->spool != NULL;
}

bool
sl_app_open_money(struct sl_app *app, struct sl_buf *reason)
{
	const struct sl_config *config = sl_world_config(app->world);
	struct sl_slice rest = config->store;
	struct sl_money_options options = {
		.durability = durability_of(config),
		.ring_slots = ring_slots(config->limits.connections),
		.now_wall_ms = sl_clock_wall_ms(),
	};
	struct sl_money_recovery recovery;
	const char *store_path, *why = NULL;

	(void)sl_slice_cut(&rest, ':');
	store_path = sl_arena_strdup(&app->arena, rest);
	options.journal_path = sl_arena_strdup(&app->arena, sl_arena_printf(&app->arena,
	                                       "%.*s-money", SL_ARG(rest)));
	if (store_path && options.journal_path)
		options.ring_path = find_ring(app, options.journal_path, store_path);
	if (!options.ring_path) {
		sl_buf_append_str(reason, "out of memory\n");
		return false;
	}
	app->ring_path = options.ring_path;
	if (!open_spool(app, config, reason))
		return false;
	app->money = sl_money_open(app->store, &options, &recovery, &why);
	if (!app->money) {
		sl_buf_printf(reason, "ledger: %s\n", why);
		return false;
	}
	app->answers = sl_answers_new(app->store, app->money, options.now_wall_ms);
	if (!app->answers) {
		sl_buf_append_str(reason, "out of memory\n");
		return false;
	}
	if (recovery.replayed > 0 || recovery.found > 0)
		sl_log(SL_LOG_INFO, "the ledger was recovered",
		       SL_LOG_I("records", recovery.replayed), SL_LOG_I("slips", recovery.found),
		       SL_LOG_I("attempts_released", recovery.released),
		       SL_LOG_I("attempts_settled", recovery.settled),
		       SL_LOG_I("charged_nanousd", recovery.charged),
		       SL_LOG_I("took_us", recovery.took_us));
	return true;
}

void
sl_app_close_money(struct sl_app *app, bool recorded)
{
	sl_answers_leave_money(app->answers);
	/* Memory that nobody needs until the next start. */
	if (app->money && sl_money_close(app->money))
		(void)unlink(app->ring_path);
	app->money = NULL;
	if (app->spool && recorded)
		(void)unlink(app->spool_path);
	sl_spool_free(app->spool);
	app->spool = NULL;
}
