/* reply_head.c - fields of a reply, collected into one block. */
#include <stdlib.h>

#include "net/client_internal.h"

struct sl_reply_head *
sl_reply_head_new(void)
{
	struct sl_reply_head *head = malloc(sizeof(*head));

	if (!head)
		return NULL;
	sl_buf_init(&head->text, SL_REPLY_HEAD_MAX);
	head->count = 0;
	head->is_plain = false;
	return head;
}

void
sl_reply_head_free(struct sl_reply_head *head)
{
	if (!head)
		return;
	sl_buf_release(&head->text);
	free(head);
}

void
sl_reply_head_clear(struct sl_reply_head *head)
{
	sl_buf_clear(&head->text);
	head->count = 0;
	head->is_plain = false;
}

enum sl_err
sl_reply_head_name(struct sl_reply_head *head, struct sl_slice piece, bool begins)
{
	size_t at = head->text.len;

	if (begins) {
		if (head->count == SL_REPLY_FIELD_MAX)
			return SL_ELIMIT;
		head->fields[head->count].name_at = (uint32_t)at;
		head->fields[head->count].name_len = 0;
		head->fields[head->count].value_at = (uint32_t)at;
		head->fields[head->count].value_len = 0;
		head->count++;
	}
	if (sl_buf_append(&head->text, piece) != SL_OK)
		return SL_ELIMIT;
	sl_header_lower(head->text.ptr + at, head->text.len - at);
	head->fields[head->count - 1].name_len += (uint32_t)piece.len;
	head->fields[head->count - 1].value_at = (uint32_t)head->text.len;
	return SL_OK;
}

enum sl_err
sl_reply_head_value(struct sl_reply_head *head, struct sl_slice piece)
{
	if (head->count == 0 || sl_buf_append(&head->text, piece) != SL_OK)
		return SL_ELIMIT;
	head->fields[head->count - 1].value_len += (uint32_t)piece.len;
	return SL_OK;
}

size_t
sl_reply_head_plain(struct sl_reply_head *head, struct sl_slice text, size_t at,
                    int64_t *content_length)
{
	struct sl_plain_head *plain = &head->plain;
	size_t used;

	plain->fields = head->fields;
	plain->room = SL_REPLY_FIELD_MAX;
	used = sl_plain_fields(plain, text, at);
	if (used == 0 || sl_buf_append(&head->text, sl_slice_upto(text, used)) != SL_OK)
		return 0;
	head->is_plain = true;
	*content_length = plain->content_length;
	return used;
}

struct sl_headers
sl_reply_head_fields(struct sl_reply_head *head)
{
	if (head->is_plain)
		return sl_plain_headers(&head->plain, head->text.ptr, head->items);
	for (size_t i = 0; i < head->count; i++) {
		head->items[i].name = sl_slice_make(head->text.ptr + head->fields[i].name_at,
		                                    head->fields[i].name_len);
		head->items[i].value = sl_slice_trim(sl_slice_make(
		    head->text.ptr + head->fields[i].value_at, head->fields[i].value_len));
	}
	return (struct sl_headers){ .items = head->items, .count = head->count };
}
