/* answers.c - names, and the answers behind them.
 *
 * Of a name only a digest is kept, of the request as well. The store is written behind:
 * a crash may lose the last answers, never mix them up.
 */
#include "ledger/answers.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/sha256.h"
#include "store/store.h"

enum { DIGEST_SIZE = 32, BUCKETS = 16384, TRIM_EVERY = 256, TYPE_SIZE = 128 };

enum answer_state { CLAIMED, ANSWERED, LOST /* answered, not kept */ };

struct sl_answer {
	struct sl_answer   *next;  /* of the bucket */
	struct sl_list      node;  /* in answers->order, oldest first */
	atomic_uint         refs;
	bool                listed;
	enum answer_state   state; /* under the lock until ANSWERED */
	unsigned char       id[DIGEST_SIZE], request[DIGEST_SIZE];
	int64_t             expires_wall_ms;
	int                 status;
	char                type[TYPE_SIZE];
	size_t              type_len;
	struct sl_buf       body;
	struct sl_store_job job;
	bool                trims;
};

struct sl_answers {
	pthread_mutex_t   lock;
	struct sl_store  *store;
	struct sl_answer *buckets[BUCKETS];
	struct sl_list    order;
	size_t            count, bytes;
	uint32_t          kept; /* since the last trim */
};

/* --- digests ---------------------------------------------------------------------- */

static void
digest(const struct sl_slice *parts, size_t count, unsigned char out[DIGEST_SIZE])
{
	struct sl_sha256 hash;

	sl_sha256_begin(&hash);
	for (size_t i = 0; i < count; i++)
		sl_sha256_add_part(&hash, parts[i]);
	sl_sha256_end(&hash, out);
}

/* --- entries ------------------------------------------------------------------------ */

void
sl_answer_unref(struct sl_answer *answer)
{
	if (!answer || atomic_fetch_sub(&answer->refs, 1) != 1)
		return;
	sl_buf_release(&answer->body);
	free(answer);
}

static struct sl_answer **
bucket_of(struct sl_answers *answers, const unsigned char *id)
{
	uint32_t hash;

	memcpy(&hash, id, sizeof(hash));
	return &answers->buckets[hash % BUCKETS];
}

static struct sl_answer *
find(struct sl_answers *answers, const unsigned char *id)
{
	struct sl_answer *at = *bucket_of(answers, id);

	while (at && memcmp(at->id, id, DIGEST_SIZE) != 0)
		at = at->next;
	return at;
}

static void
list(struct sl_answers *answers, struct sl_answer *answer)
{
	struct sl_answer **bucket = bucket_of(answers, answer->id);

	answer->next = *bucket;
	*bucket = answer;
	sl_list_push_back(&answers->order, &answer->node);
	answer->listed = true;
	answers->count++;
	answers->bytes += answer->body.len;
}

/* Takes it out, with the reference that the list had. */
static void
unlist(struct sl_answers *answers, struct sl_answer *answer)
{
	struct sl_answer **at = bucket_of(answers, answer->id);

	while (*at != answer)
		at = &(*at)->next;
	*at = answer->next;
	sl_list_remove(&answer->node);
	answer->listed = false;
	answers->count--;
	answers->bytes -= answer->body.len;
	sl_answer_unref(answer);
}

/* The oldest answered ones go, and those whose time is over. Those in flight stay. */
static void
make_room(struct sl_answers *answers, int64_t now_wall_ms)
{
	struct sl_list *node = answers->order.next;

	while (node != &answers->order) {
		struct sl_answer *at = SL_CONTAINER(node, struct sl_answer, node);

		node = node->next;
		if (at->state == CLAIMED)
			continue;
		if (answers->count < SL_ANSWERS_MAX && answers->bytes <= SL_ANSWERS_BYTES_MAX &&
		    at->expires_wall_ms > now_wall_ms)
			return;
		unlist(answers, at);
	}
}

static struct sl_answer *
make(void)
{
	struct sl_answer *answer = calloc(1, sizeof(*answer));

	if (!answer)
		return NULL;
	atomic_init(&answer->refs, 1);
	sl_buf_init(&answer->body, SL_ANSWER_BYTES_MAX);
	return answer;
}

/* --- the store ------------------------------------------------------------------------- */

static void
run_put(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct sl_answer *answer = SL_CONTAINER(job, struct sl_answer, job);
	const struct sl_answer_row row = {
		.id = sl_slice_make((char *)answer->id, DIGEST_SIZE),
		.request = sl_slice_make((char *)answer->request, DIGEST_SIZE),
		.content_type = sl_slice_make(answer->type, answer->type_len),
		.body = sl_buf_slice(&answer->body),
		.status = answer->status,
		.expires_wall_ms = answer->expires_wall_ms,
	};

	job->err = ops->answer_put(conn, &row);
	if (job->err == SL_OK && answer->trims)
		job->err = ops->answer_trim(conn, answer->expires_wall_ms - SL_ANSWER_TTL_MS,
		                            SL_ANSWERS_MAX);
}

static void
put_done(struct sl_store_job *job)
{
	sl_answer_unref(SL_CONTAINER(job, struct sl_answer, job));
}

static bool
load_one(void *context, const struct sl_answer_row *row)
{
	struct sl_answers *answers = context;
	struct sl_answer *answer;

	if (row->id.len != DIGEST_SIZE || row->request.len != DIGEST_SIZE ||
	    row->content_type.len > TYPE_SIZE)
		return true;
	answer = make();
	if (!answer)
		return false;
	memcpy(answer->id, row->id.ptr, DIGEST_SIZE);
	memcpy(answer->request, row->request.ptr, DIGEST_SIZE);
	memcpy(answer->type, row->content_type.len ? row->content_type.ptr : "",
	       row->content_type.len);
	answer->type_len = row->content_type.len;
	answer->status = row->status;
	answer->state = row->status ? ANSWERED : LOST;
	answer->expires_wall_ms = row->expires_wall_ms;
	if (sl_buf_append(&answer->body, row->body) != SL_OK) {
		sl_answer_unref(answer);
		return true;
	}
	list(answers, answer);
	make_room(answers, 0);
	return true;
}

struct load {
	struct sl_store_job job;
	struct sl_answers  *answers;
	int64_t             now_wall_ms;
};

static void
run_load(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct load *load = SL_CONTAINER(job, struct load, job);

	job->err = ops->answer_trim(conn, load->now_wall_ms, SL_ANSWERS_MAX);
	if (job->err == SL_OK)
		job->err = ops->answer_each(conn, load_one, load->answers);
}

/* --- life --------------------------------------------------------------------------------- */

struct sl_answers *
sl_answers_new(struct sl_store *store, int64_t now_wall_ms)
{
	struct sl_answers *answers = calloc(1, sizeof(*answers));
	struct load load = { .job.run = run_load, .answers = answers,
		             .now_wall_ms = now_wall_ms };

	if (!answers)
		return NULL;
	pthread_mutex_init(&answers->lock, NULL);
	sl_list_init(&answers->order);
	answers->store = store;
	/* Without them requests are served all the same. */
	(void)sl_store_run(store, &load.job);
	return answers;
}

void
sl_answers_free(struct sl_answers *answers)
{
	if (!answers)
		return;
	while (!sl_list_empty(&answers->order))
		unlist(answers, SL_CONTAINER(answers->order.next, struct sl_answer, node));
	pthread_mutex_destroy(&answers->lock);
	free(answers);
}

/* --- on the request path ---------------------------------------------------------------------- */

static enum sl_err
claim_found(struct sl_answer *found, const unsigned char *request, struct sl_answer **out)
{
	if (memcmp(found->request, request, DIGEST_SIZE) != 0)
		return SL_EINVAL;
	if (found->state == CLAIMED)
		return SL_EBUSY;
	if (found->state == LOST)
		return SL_ELIMIT;
	atomic_fetch_add(&found->refs, 1);
	*out = found;
	return SL_EEXIST;
}

static enum sl_err
claim_new(struct sl_answers *answers, const unsigned char *id, const unsigned char *request,
          int64_t now_wall_ms, struct sl_answer **out)
{
	struct sl_answer *answer;

	make_room(answers, now_wall_ms);
	if (answers->count >= SL_ANSWERS_MAX)
		return SL_EFULL;
	answer = make();
	if (!answer)
		return SL_ENOMEM;
	memcpy(answer->id, id, DIGEST_SIZE);
	memcpy(answer->request, request, DIGEST_SIZE);
	answer->expires_wall_ms = now_wall_ms + SL_ANSWER_TTL_MS;
	list(answers, answer);
	atomic_fetch_add(&answer->refs, 1);
	*out = answer;
	return SL_OK;
}

enum sl_err
sl_answers_claim(struct sl_answers *answers, const struct sl_answer_query *query,
                 struct sl_answer **out)
{
	unsigned char id[DIGEST_SIZE], request[DIGEST_SIZE];
	struct sl_answer *found;
	enum sl_err err;

	*out = NULL;
	digest((struct sl_slice[]){ query->key_id, query->name }, 2, id);
	digest((struct sl_slice[]){ query->path, query->query, query->body }, 3, request);
	pthread_mutex_lock(&answers->lock);
	found = find(answers, id);
	if (found && found->state != CLAIMED && found->expires_wall_ms <= query->now_wall_ms) {
		unlist(answers, found);
		found = NULL;
	}
	err = found ? claim_found(found, request, out)
	            : claim_new(answers, id, request, query->now_wall_ms, out);
	pthread_mutex_unlock(&answers->lock);
	return err;
}

void
sl_answers_keep(struct sl_answers *answers, struct sl_answer *claim_take, int status,
                struct sl_slice content_type, struct sl_buf *body_take)
{
	bool whole = !body_take->failed && body_take->len <= SL_ANSWER_BYTES_MAX &&
	             content_type.len <= TYPE_SIZE;

	pthread_mutex_lock(&answers->lock);
	assert(claim_take->listed && claim_take->state == CLAIMED);
	if (whole) {
		sl_buf_release(&claim_take->body);
		claim_take->body = *body_take;
		*body_take = (struct sl_buf){ 0 };
		memcpy(claim_take->type, content_type.len ? content_type.ptr : "", content_type.len);
		claim_take->type_len = content_type.len;
		claim_take->status = status;
		answers->bytes += claim_take->body.len;
	}
	claim_take->state = whole ? ANSWERED : LOST;
	claim_take->trims = ++answers->kept % TRIM_EVERY == 0;
	pthread_mutex_unlock(&answers->lock);
	sl_buf_release(body_take);
	claim_take->job = (struct sl_store_job){ .run = run_put, .done = put_done };
	if (sl_store_submit(answers->store, &claim_take->job) != SL_OK)
		sl_answer_unref(claim_take);
}

void
sl_answers_drop(struct sl_answers *answers, struct sl_answer *claim_take)
{
	pthread_mutex_lock(&answers->lock);
	assert(claim_take->listed && claim_take->state == CLAIMED);
	unlist(answers, claim_take);
	pthread_mutex_unlock(&answers->lock);
	sl_answer_unref(claim_take);
}

int
sl_answer_status(const struct sl_answer *answer)
{
	return answer->status;
}

struct sl_slice
sl_answer_content_type(const struct sl_answer *answer)
{
	return sl_slice_make(answer->type, answer->type_len);
}

struct sl_slice
sl_answer_body(const struct sl_answer *answer)
{
	return sl_buf_slice(&answer->body);
}
