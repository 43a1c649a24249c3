/* list.h - an intrusive doubly linked ring. A node is in at most one list. */
#ifndef SL_BASE_LIST_H
#define SL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct sl_list {
	struct sl_list *prev;
	struct sl_list *next;
};

#define SL_CONTAINER(ptr, type, member)                                       \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void
sl_list_init(struct sl_list *list)
{
	list->prev = list->next = list;
}

static inline bool
sl_list_empty(const struct sl_list *list)
{
	return list->next == list;
}

static inline void
sl_list_push_back(struct sl_list *list, struct sl_list *node)
{
	node->prev = list->prev;
	node->next = list;
	list->prev->next = node;
	list->prev = node;
}

static inline void
sl_list_push_front(struct sl_list *list, struct sl_list *node)
{
	sl_list_push_back(list->next, node);
}

/* Leaves the node as an empty list of its own, so a second call is harmless. */
static inline void
sl_list_remove(struct sl_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	sl_list_init(node);
}

#endif
