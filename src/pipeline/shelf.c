/* shelf.c - a table of buckets and a list from the least to the most recently used.
 *
 * An entry and its texts are one piece of memory. The table has one reference, each
 * finder another, so that an answer on its way out outlives its eviction.
 */
#include "pipeline/shelf.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

enum { BUCKETS = 4096 };

struct entry {
	struct sl_shelved shelved; /* first: what is handed out */
	struct entry    *next;   /* of the bucket */
	struct sl_list   node;   /* in shelf->order, the least recently used first */
	atomic_uint      refs;
	uint64_t         expires_ms;
	size_t           size;
	unsigned char    id[SL_SHELF_ID_SIZE];
	char             texts[];
};

struct sl_shelf {
	pthread_mutex_t lock;
	struct entry   *buckets[BUCKETS];
	struct sl_list  order;
	size_t          bytes;
};

struct sl_shelf *
sl_shelf_new(void)
{
	struct sl_shelf *shelf = calloc(1, sizeof(*shelf));

	if (!shelf)
		return NULL;
	pthread_mutex_init(&shelf->lock, NULL);
	sl_list_init(&shelf->order);
	return shelf;
}

static void
unref(struct entry *entry)
{
	if (atomic_fetch_sub(&entry->refs, 1) == 1)
		free(entry);
}

void
sl_shelved_unref(const struct sl_shelved *shelved)
{
	if (shelved)
		unref(SL_CONTAINER(shelved, struct entry, shelved));
}

static struct entry **
bucket_of(struct sl_shelf *shelf, const unsigned char *id)
{
	uint32_t hash;

	memcpy(&hash, id, sizeof(hash));
	return &shelf->buckets[hash % BUCKETS];
}

static struct entry *
find(struct sl_shelf *shelf, const unsigned char *id)
{
	struct entry *at = *bucket_of(shelf, id);

	while (at && memcmp(at->id, id, SL_SHELF_ID_SIZE) != 0)
		at = at->next;
	return at;
}

/* With the reference that the table had. */
static void
unlink_entry(struct sl_shelf *shelf, struct entry *entry)
{
	struct entry **at = bucket_of(shelf, entry->id);

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	sl_list_remove(&entry->node);
	shelf->bytes -= entry->size;
	unref(entry);
}

static void
link_entry(struct sl_shelf *shelf, struct entry *entry)
{
	struct entry **bucket = bucket_of(shelf, entry->id);

	entry->next = *bucket;
	*bucket = entry;
	sl_list_push_back(&shelf->order, &entry->node);
	shelf->bytes += entry->size;
}

void
sl_shelf_free(struct sl_shelf *shelf)
{
	if (!shelf)
		return;
	while (!sl_list_empty(&shelf->order))
		unlink_entry(shelf, SL_CONTAINER(shelf->order.next, struct entry, node));
	pthread_mutex_destroy(&shelf->lock);
	free(shelf);
}

const struct sl_shelved *
sl_shelf_find(struct sl_shelf *shelf, const unsigned char id[SL_SHELF_ID_SIZE], uint64_t now_ms)
{
	struct entry *entry;

	pthread_mutex_lock(&shelf->lock);
	entry = find(shelf, id);
	if (entry && entry->expires_ms <= now_ms) {
		unlink_entry(shelf, entry);
		entry = NULL;
	}
	if (entry) {
		atomic_fetch_add(&entry->refs, 1);
		sl_list_remove(&entry->node);
		sl_list_push_back(&shelf->order, &entry->node);
	}
	pthread_mutex_unlock(&shelf->lock);
	return entry ? &entry->shelved : NULL;
}

static struct sl_slice
keep(char **at, struct sl_slice text)
{
	struct sl_slice kept = sl_slice_make(*at, text.len);

	if (text.len > 0)
		memcpy(*at, text.ptr, text.len);
	*at += text.len;
	return kept;
}

static struct entry *
make_entry(const unsigned char *id, const struct sl_shelved *answer, uint64_t expires_ms)
{
	size_t texts = answer->content_type.len + answer->body.len + answer->provider.len +
	               answer->model.len + answer->warnings.len;
	struct entry *entry = malloc(sizeof(*entry) + texts);
	char *at;

	if (!entry)
		return NULL;
	at = entry->texts;
	entry->shelved = (struct sl_shelved){
		.content_type = keep(&at, answer->content_type),
		.body = keep(&at, answer->body),
		.provider = keep(&at, answer->provider),
		.model = keep(&at, answer->model),
		.warnings = keep(&at, answer->warnings),
		.status = answer->status,
	};
	atomic_init(&entry->refs, 1);
	sl_list_init(&entry->node);
	entry->expires_ms = expires_ms;
	entry->size = sizeof(*entry) + texts;
	memcpy(entry->id, id, SL_SHELF_ID_SIZE);
	return entry;
}

void
sl_shelf_put(struct sl_shelf *shelf, const unsigned char id[SL_SHELF_ID_SIZE],
             const struct sl_shelved *answer, uint64_t ttl_ms, uint64_t bytes_max, uint64_t now_ms)
{
	struct entry *entry, *old;

	if (answer->body.len > SL_SHELVED_BODY_MAX)
		return;
	entry = make_entry(id, answer, now_ms + ttl_ms);
	if (!entry || entry->size > bytes_max) {
		free(entry);
		return;
	}
	pthread_mutex_lock(&shelf->lock);
	old = find(shelf, id);
	if (old)
		unlink_entry(shelf, old);
	while (shelf->bytes + entry->size > bytes_max)
		unlink_entry(shelf, SL_CONTAINER(shelf->order.next, struct entry, node));
	link_entry(shelf, entry);
	pthread_mutex_unlock(&shelf->lock);
}
