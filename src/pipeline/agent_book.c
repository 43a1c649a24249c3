/* agent_book.c - one lock, one table of fixed size, names by hash. */
#include "pipeline/agent_book.h"

#include <pthread.h>
#include <stdlib.h>

enum { SLOTS = 1024, PROBES = 16, FADE = 16 };

struct entry {
	uint64_t             key; /* 0: free */
	struct sl_reputation reputation;
	int32_t              won_ppm;
};

struct sl_agent_book {
	pthread_mutex_t lock;
	struct entry    entries[SLOTS];
};

struct sl_agent_book *
sl_agent_book_new(void)
{
	struct sl_agent_book *book = calloc(1, sizeof(*book));

	if (book)
		pthread_mutex_init(&book->lock, NULL);
	return book;
}

void
sl_agent_book_free(struct sl_agent_book *book)
{
	if (!book)
		return;
	pthread_mutex_destroy(&book->lock);
	free(book);
}

static uint64_t
key_of(struct sl_slice name)
{
	uint64_t key = 0xCBF29CE484222325u;

	for (size_t i = 0; i < name.len; i++)
		key = (key ^ (uint8_t)name.ptr[i]) * 0x100000001B3u;
	return key ? key : 1;
}

/* Under the lock. NULL: unknown, or no room. */
static struct entry *
find(struct sl_agent_book *book, struct sl_slice name, bool make)
{
	uint64_t key = key_of(name);

	for (size_t i = 0; i < PROBES; i++) {
		struct entry *entry = &book->entries[((key >> 32) + i) % SLOTS];

		if (entry->key == key)
			return entry;
		if (entry->key != 0)
			continue;
		if (!make)
			return NULL;
		*entry = (struct entry){ .key = key, .won_ppm = SL_AUCTION_PPM / 2 };
		return entry;
	}
	return NULL;
}

void
sl_agent_book_look(struct sl_agent_book *book, struct sl_agent *agent)
{
	static const struct sl_reputation newcomer;
	const struct entry *entry;

	agent->quality_ppm = sl_reputation_ppm(&newcomer);
	agent->won_ppm = SL_AUCTION_PPM / 2;
	if (!book)
		return;
	pthread_mutex_lock(&book->lock);
	entry = find(book, agent->name, false);
	if (entry) {
		agent->quality_ppm = sl_reputation_ppm(&entry->reputation);
		agent->won_ppm = entry->won_ppm;
	}
	pthread_mutex_unlock(&book->lock);
}

void
sl_agent_book_answer(struct sl_agent_book *book, struct sl_slice name, bool good)
{
	struct entry *entry;

	if (!book)
		return;
	pthread_mutex_lock(&book->lock);
	entry = find(book, name, true);
	if (entry)
		sl_reputation_note(&entry->reputation, good);
	pthread_mutex_unlock(&book->lock);
}

void
sl_agent_book_auction(struct sl_agent_book *book, struct sl_slice name, bool won)
{
	struct entry *entry;

	if (!book)
		return;
	pthread_mutex_lock(&book->lock);
	entry = find(book, name, true);
	if (entry)
		entry->won_ppm += ((won ? SL_AUCTION_PPM : 0) - entry->won_ppm) / FADE;
	pthread_mutex_unlock(&book->lock);
}
