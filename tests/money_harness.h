/* money_harness.h - a ledger in a directory of its own, for unit tests and the bench. */
#ifndef MONEY_HARNESS_H
#define MONEY_HARNESS_H

#include <dirent.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "ledger/money.h"
#include "store/store.h"

#define USD INT64_C(1000000000)
#define WALL_MS INT64_C(1790000000000) /* 2026-09-21T14:13:20Z */

struct till {
	char                    directory[64], url[128], journal[128];
	struct sl_store        *store;
	struct sl_money        *money;
	struct sl_money_options options;
	struct sl_money_recovery recovery;
	int64_t                 now_ms;
};

static inline bool
till_reopen(struct till *till)
{
	const char *reason = NULL;

	till->store = sl_store_new(sl_slice_str(till->url), &reason);
	if (till->store)
		till->money = sl_money_open(till->store, &till->options, &till->recovery, &reason);
	if (!till->money)
		fprintf(stderr, "%s\n", reason);
	return till->money != NULL;
}

static inline bool
till_open(struct till *till, enum sl_durability durability)
{
	*till = (struct till){ .now_ms = WALL_MS };
	sl_log_init(SL_LOG_OFF, 2);
	strcpy(till->directory, "/tmp/sluice-money-XXXXXX");
	if (!mkdtemp(till->directory))
		return false;
	snprintf(till->url, sizeof(till->url), "sqlite:%s/test.db", till->directory);
	snprintf(till->journal, sizeof(till->journal), "%s/test.db-ledger", till->directory);
	till->options = (struct sl_money_options){
		.durability = durability, .journal_path = till->journal, .ring_slots = 16384,
		.segment_records = 16384, .now_wall_ms = WALL_MS,
	};
	return till_reopen(till);
}

static inline void
till_shut(struct till *till)
{
	sl_money_close(till->money);
	sl_store_free(till->store);
	till->money = NULL;
	till->store = NULL;
}

static inline void
till_remove(struct till *till)
{
	DIR *directory = opendir(till->directory);
	struct dirent *entry;
	char path[512];

	while (directory && (entry = readdir(directory)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", till->directory, entry->d_name);
		unlink(path);
	}
	if (directory)
		closedir(directory);
	rmdir(till->directory);
}

/* Invariants of what is in the file, by a second connection. False: told on stderr. */
static inline bool
till_verify(struct till *till, struct sl_money_audit *audit)
{
	const struct sl_store_ops *ops;
	const char *reason = NULL;
	void *conn = NULL;
	enum sl_err err = sl_store_open_reader(sl_slice_str(till->url), &ops, &conn, &reason);

	if (err == SL_OK) {
		err = sl_money_verify(ops, conn, till->now_ms, audit);
		ops->close(conn);
	}
	if (err != SL_OK || audit->broken)
		fprintf(stderr, "verify: %s %s %s\n", sl_err_text(err),
		        err == SL_OK ? audit->broken : "", err == SL_OK ? audit->where : "");
	return err == SL_OK && !audit->broken;
}

struct wait {
	sem_t       done;
	enum sl_err err;
};

static inline void
till_ready(struct sl_hold *hold, enum sl_err err)
{
	struct wait *wait = sl_hold_user(hold);

	wait->err = err;
	sem_post(&wait->done);
}

/* Holds, waiting if it must. */
static inline enum sl_err
till_hold(struct till *till, struct sl_money_request *request, struct sl_hold **hold,
          struct sl_money_refusal *why)
{
	struct wait wait;
	enum sl_err err;

	sem_init(&wait.done, 0, 0);
	request->ready = till_ready;
	request->user = &wait;
	err = sl_money_hold(till->money, request, hold, why);
	if (err == SL_AGAIN) {
		while (sem_wait(&wait.done) != 0)
			continue;
		err = wait.err;
	}
	sem_destroy(&wait.done);
	return err;
}

static inline struct sl_money_request
till_request(struct till *till, const char *key, const char *team, const char *workspace,
             const struct sl_money_limits *limits, int64_t amount)
{
	return (struct sl_money_request){
		.scopes = { { SL_SCOPE_KEY, sl_slice_str(key), limits },
		            { SL_SCOPE_TEAM, sl_slice_str(team), limits },
		            { SL_SCOPE_WORKSPACE, sl_slice_str(workspace), limits } },
		.scope_count = 3,
		.amount = amount,
		.now_wall_ms = till->now_ms,
	};
}

static inline void
till_credited(struct sl_money_credit *credit)
{
	sem_post(credit->user);
}

/* Waits for it. */
static inline enum sl_err
till_credit(struct till *till, struct sl_money_credit *credit)
{
	enum sl_err err;
	sem_t done;

	sem_init(&done, 0, 0);
	credit->done = till_credited;
	credit->user = &done;
	err = sl_money_credit(till->money, credit);
	while (err == SL_OK && sem_wait(&done) != 0)
		;
	sem_destroy(&done);
	return err == SL_OK ? credit->err : err;
}

static inline void
till_vouched(struct sl_money_voucher *voucher)
{
	sem_post(voucher->user);
}

/* Waits for it. */
static inline enum sl_err
till_voucher(struct till *till, struct sl_slice code, int64_t amount)
{
	struct sl_money_voucher voucher = { .code = code, .amount = amount,
		                            .now_wall_ms = till->now_ms, .done = till_vouched };
	enum sl_err err;
	sem_t done;

	sem_init(&done, 0, 0);
	voucher.user = &done;
	err = sl_money_voucher(till->money, &voucher);
	while (err == SL_OK && sem_wait(&done) != 0)
		;
	sem_destroy(&done);
	return err == SL_OK ? voucher.err : err;
}

static inline enum sl_err
till_topup(struct till *till, const char *workspace, const char *id, int64_t amount)
{
	struct sl_money_credit credit = { .workspace = sl_slice_str(workspace),
		                          .external_id = sl_slice_str(id), .amount = amount,
		                          .now_wall_ms = till->now_ms };

	return till_credit(till, &credit);
}

#endif
