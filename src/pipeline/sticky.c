/* sticky.c - a direct-mapped table with striped locks. */
#include "pipeline/sticky.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { STRIPES = 64 };

struct entry {
	uint64_t conversation; /* 0: empty */
	uint64_t at_us;
	uint8_t  provider_len, model_len;
	char     names[2 * SL_STICKY_NAME_MAX];
};

struct sl_sticky {
	pthread_mutex_t locks[STRIPES];
	struct entry    entries[SL_STICKY_SLOTS];
};

struct sl_sticky *
sl_sticky_new(void)
{
	struct sl_sticky *sticky = calloc(1, sizeof(*sticky));

	for (size_t i = 0; sticky && i < STRIPES; i++)
		pthread_mutex_init(&sticky->locks[i], NULL);
	return sticky;
}

void
sl_sticky_free(struct sl_sticky *sticky)
{
	for (size_t i = 0; sticky && i < STRIPES; i++)
		pthread_mutex_destroy(&sticky->locks[i]);
	free(sticky);
}

static struct entry *
lock(struct sl_sticky *sticky, uint64_t conversation)
{
	size_t at = conversation % SL_STICKY_SLOTS;

	pthread_mutex_lock(&sticky->locks[at % STRIPES]);
	return &sticky->entries[at];
}

static void
unlock(struct sl_sticky *sticky, uint64_t conversation)
{
	pthread_mutex_unlock(&sticky->locks[conversation % SL_STICKY_SLOTS % STRIPES]);
}

void
sl_sticky_put(struct sl_sticky *sticky, uint64_t conversation, struct sl_slice provider,
              struct sl_slice model, uint64_t now_us)
{
	struct entry *entry;

	if (conversation == 0 || provider.len > SL_STICKY_NAME_MAX || model.len > SL_STICKY_NAME_MAX)
		return;
	entry = lock(sticky, conversation);
	entry->conversation = conversation;
	entry->at_us = now_us;
	entry->provider_len = (uint8_t)provider.len;
	entry->model_len = (uint8_t)model.len;
	memcpy(entry->names, provider.ptr, provider.len);
	memcpy(entry->names + SL_STICKY_NAME_MAX, model.ptr, model.len);
	unlock(sticky, conversation);
}

bool
sl_sticky_get(struct sl_sticky *sticky, uint64_t conversation, char *provider,
              struct sl_slice *provider_out, char *model, struct sl_slice *model_out,
              uint64_t now_us)
{
	struct entry *entry;
	bool found;

	if (conversation == 0)
		return false;
	entry = lock(sticky, conversation);
	found = entry->conversation == conversation &&
	        now_us < entry->at_us + (uint64_t)SL_STICKY_S * 1000000;
	if (found) {
		memcpy(provider, entry->names, entry->provider_len);
		memcpy(model, entry->names + SL_STICKY_NAME_MAX, entry->model_len);
		*provider_out = sl_slice_make(provider, entry->provider_len);
		*model_out = sl_slice_make(model, entry->model_len);
	}
	unlock(sticky, conversation);
	return found;
}

static uint64_t
mix(uint64_t hash, struct sl_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (unsigned char)text.ptr[i]) * 0x100000001b3u;
	return (hash ^ 0xff) * 0x100000001b3u;
}

uint64_t
sl_sticky_conversation(uint64_t opening, struct sl_slice tenant, struct sl_slice model)
{
	uint64_t hash = mix(mix(opening, tenant), model);

	hash ^= hash >> 31;
	return hash ? hash : 1;
}
