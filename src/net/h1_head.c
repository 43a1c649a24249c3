/* h1_head.c - request heads through llhttp, and what llhttp lets pass.
 *
 * A plain head that came whole is taken as it stands (plain_head.h), which is six times
 * cheaper; everything else goes the long way. llhttp finds the pieces and refuses most of
 * what is malformed; this file keeps the pieces, so that a head which arrives in many reads
 * is never parsed twice, and refuses on top:
 *
 *   - lines that end otherwise than in CR LF, and folded lines (check_lines)
 *   - protocols other than HTTP/1.0 and 1.1 (RTSP and ICE are known to llhttp),
 *     and more than one space between the parts of the request line
 *   - any Transfer-Encoding but one exact "chunked", and any in HTTP/1.0
 *   - fields without a name
 *   - a missing or second Host, a second Content-Length
 *
 * llhttp is stopped where a head ends and where the last chunk's size line
 * ends: between those, bytes are data and must not be looked at as lines.
 */
#include "net/h1_head.h"

#include <stdlib.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { FIELDS_FIRST = 24, FIELDS_KEPT = 64, TEXT_KEPT = 16 * 1024 };

static struct sl_h1_head *
head_of(llhttp_t *parser)
{
	return parser->data;
}

/* --- llhttp's callbacks ------------------------------------------------------------ */

static int
keep(struct sl_h1_head *head, const char *at, size_t len)
{
	if (sl_buf_append(&head->text, sl_slice_make(at, len)) == SL_OK)
		return 0;
	head->too_large = true;
	return HPE_USER;
}

/* The byte `distance` before at, which may have come with the call before. */
static char
byte_before(const struct sl_h1_head *head, const char *at, size_t distance)
{
	size_t offset = (size_t)(at - head->chunk);

	return distance <= offset ? at[-(ptrdiff_t)distance]
	                          : head->before[SL_H1_BEFORE - (distance - offset)];
}

static int
on_url(llhttp_t *parser, const char *at, size_t len)
{
	struct sl_h1_head *head = head_of(parser);

	if (head->target_len == 0)
		head->odd_spaces = byte_before(head, at, 2) == ' ';
	head->target_len += (uint32_t)len;
	return keep(head, at, len);
}

static int
on_url_complete(llhttp_t *parser)
{
	head_of(parser)->has_target = true;
	return 0;
}

/* The protocol's name is no piece that llhttp reports, and it knows RTSP and ICE
 * and several spaces, too. */
static int
on_version(llhttp_t *parser, const char *at, size_t len)
{
	static const char name[] = " HTTP/";
	struct sl_h1_head *head = head_of(parser);

	(void)len;
	if (head->has_version)
		return 0;
	head->has_version = true;
	for (size_t i = 1; i < sizeof(name); i++)
		head->not_http |= byte_before(head, at, i) != name[sizeof(name) - 1 - i];
	head->odd_spaces |= byte_before(head, at, sizeof(name)) == ' ';
	return 0;
}

static bool
add_room(struct sl_h1_head *head)
{
	uint32_t capacity = head->capacity ? head->capacity * 2 : FIELDS_FIRST;
	struct sl_field_at *grown = realloc(head->fields, capacity * sizeof(*grown));

	if (!grown)
		return false;
	head->fields = grown;
	head->capacity = capacity;
	return true;
}

static struct sl_field_at *
open_field(struct sl_h1_head *head)
{
	if (head->count >= head->count_max ||
	    (head->count == head->capacity && !add_room(head))) {
		head->too_large = true;
		return NULL;
	}
	return &head->fields[head->count];
}

static int
on_field(llhttp_t *parser, const char *at, size_t len)
{
	struct sl_h1_head *head = head_of(parser);
	struct sl_field_at *field = open_field(head);

	if (!field || keep(head, at, len))
		return HPE_USER;
	if (!head->in_value) {
		head->in_value = true;
		*field = (struct sl_field_at){ .name_at = (uint32_t)(head->text.len - len) };
	}
	field->name_len += (uint32_t)len;
	return 0;
}

/* llhttp takes a line that begins with its colon for a field. */
static int
refuse_name(llhttp_t *parser)
{
	llhttp_set_error_reason(parser, "a header field has no name");
	return HPE_USER;
}

static int
on_value(llhttp_t *parser, const char *at, size_t len)
{
	struct sl_h1_head *head = head_of(parser);
	struct sl_field_at *field;

	if (!head->in_value)
		return refuse_name(parser);
	field = &head->fields[head->count];
	if (field->value_len == 0)
		field->value_at = (uint32_t)head->text.len;
	field->value_len += (uint32_t)len;
	return keep(head, at, len);
}

static int
on_value_complete(llhttp_t *parser)
{
	struct sl_h1_head *head = head_of(parser);

	if (!head->in_value || head->fields[head->count].name_len == 0)
		return refuse_name(parser);
	head->count++;
	head->in_value = false;
	return 0;
}

static int
on_headers_complete(llhttp_t *parser)
{
	(void)parser;
	return HPE_PAUSED;
}

static int
on_body(llhttp_t *parser, const char *at, size_t len)
{
	struct sl_h1_head *head = head_of(parser);

	head->body_at = at;
	head->body_len = len;
	return 0;
}

/* Pauses so that a caller sees one run of data at a time, and the end of the
 * size line behind which the trailer section begins. */
static int
on_chunk_header(llhttp_t *parser)
{
	struct sl_h1_head *head = head_of(parser);

	head->last_chunk = parser->content_length == 0;
	return head->last_chunk ? HPE_PAUSED : 0;
}

static int
on_chunk_complete(llhttp_t *parser)
{
	return head_of(parser)->last_chunk ? 0 : HPE_PAUSED;
}

static int
on_complete(llhttp_t *parser)
{
	(void)parser;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_url_complete = on_url_complete,
	.on_version = on_version,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_chunk_header = on_chunk_header,
	.on_chunk_complete = on_chunk_complete,
	.on_message_complete = on_complete,
};

/* --- life ------------------------------------------------------------------------- */

struct sl_h1_head *
sl_h1_head_new(void)
{
	return calloc(1, sizeof(struct sl_h1_head));
}

void
sl_h1_head_free(struct sl_h1_head *head)
{
	if (!head)
		return;
	sl_buf_release(&head->text);
	free(head->fields);
	free(head);
}

void
sl_h1_head_reset(struct sl_h1_head *head, size_t size_max, uint32_t count_max)
{
	struct sl_buf text = head->text;
	struct sl_field_at *fields = head->fields;
	uint32_t capacity = head->capacity;

	if (text.cap > TEXT_KEPT)
		sl_buf_release(&text);
	if (capacity > FIELDS_KEPT) {
		free(fields);
		fields = NULL;
		capacity = 0;
	}
	sl_buf_clear(&text);
	text.max_size = size_max;
	*head = (struct sl_h1_head){ .text = text,
		                     .fields = fields,
		                     .capacity = capacity,
		                     .count_max = count_max,
		                     .bytes_left = size_max };
}

void
sl_h1_head_begin_trailers(struct sl_h1_head *head, size_t size_max)
{
	sl_buf_clear(&head->text);
	head->count = 0;
	head->has_target = head->in_value = false;
	head->bytes_left = size_max;
	/* The size line just ended: a folded line may not follow it either. */
	head->last = '\n';
}

/* --- reading ----------------------------------------------------------------------- */

/* Every LF follows a CR, every CR precedes an LF, no line begins with space. */
static bool
check_lines(char last, struct sl_slice bytes)
{
	const char *at = bytes.ptr, *end = bytes.ptr + bytes.len;

	while (at < end) {
#ifdef __SSE2__
		/* Blocks inside of a line hold nothing that matters here. */
		while (last != '\r' && last != '\n' && end - at >= 16) {
			__m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
			__m128i ends = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('\r')),
			                            _mm_cmpeq_epi8(block, _mm_set1_epi8('\n')));
			unsigned mask = (unsigned)_mm_movemask_epi8(ends);

			at += mask ? __builtin_ctz(mask) : 16;
			if (mask)
				break;
		}
		if (at == end)
			break;
#endif
		if ((*at == '\n') != (last == '\r'))
			return false;
		if (last == '\n' && (*at == ' ' || *at == '\t'))
			return false;
		last = *at++;
	}
	return true;
}

static void
remember_end(struct sl_h1_head *head, struct sl_slice used)
{
	size_t size = used.len < SL_H1_BEFORE ? used.len : SL_H1_BEFORE;

	if (used.len == 0)
		return;
	memmove(head->before, head->before + size, SL_H1_BEFORE - size);
	memcpy(head->before + SL_H1_BEFORE - size, used.ptr + used.len - size, size);
	head->last = used.ptr[used.len - 1];
}

/* Takes a plain head at the beginning of the input: what follows from it is what llhttp
 * would have left. Returns bytes used; 0: not plain. */
static size_t
read_plain(struct sl_h1_head *head, struct sl_slice input)
{
	static const struct sl_slice version = SL_SLICE_INIT(" HTTP/1.1\r\n");
	bool is_post = sl_slice_starts(input, SL_SLICE("POST /"));
	struct sl_plain_head *plain = &head->plain;
	size_t target_at = is_post ? 5 : 4, target_end, used;

	if ((!is_post && !sl_slice_starts(input, SL_SLICE("GET /"))) ||
	    (!head->fields && !add_room(head)))
		return 0;
	target_end = sl_plain_run(input, target_at, ' ' + 1);
	if (!sl_slice_starts(sl_slice_from(input, target_end), version))
		return 0;
	plain->fields = head->fields;
	plain->room = head->capacity < head->count_max ? head->capacity : head->count_max;
	used = sl_plain_fields(plain, input, target_end + version.len);
	if (used == 0 || plain->hosts == 0)
		return 0;
	head->plain_text = sl_slice_upto(input, used);
	head->target_at = (uint32_t)target_at;
	head->target_len = (uint32_t)(target_end - target_at);
	head->has_target = true;
	head->count = plain->count;
	head->parser.method = is_post ? HTTP_POST : HTTP_GET;
	return used;
}

ptrdiff_t
sl_h1_head_read(struct sl_h1_head *head, struct sl_slice bytes, bool *done, const char **reason)
{
	struct sl_slice input = sl_slice_upto(bytes, head->bytes_left);
	enum llhttp_errno err;
	size_t used = head->begun ? 0 : read_plain(head, input);

	head->begun = true;
	*done = used > 0;
	if (*done)
		return (ptrdiff_t)used;
	if (!head->parser.data) {
		llhttp_init(&head->parser, HTTP_REQUEST, &settings);
		head->parser.data = head;
	}
	used = input.len;
	head->chunk = input.ptr;
	llhttp_resume(&head->parser);
	err = llhttp_execute(&head->parser, input.ptr, input.len);
	if (err != HPE_OK)
		used = (size_t)(llhttp_get_error_pos(&head->parser) - input.ptr);
	/* First, because an odd line may stand before what llhttp stopped at. */
	if (!check_lines(head->last, sl_slice_upto(input, used))) {
		*reason = "a line is folded, or does not end in CR LF";
		return SL_ESYNTAX;
	}
	*done = err == HPE_PAUSED || err == HPE_PAUSED_UPGRADE;
	if (err != HPE_OK && !*done) {
		*reason = head->too_large ? "the header fields are too large"
		                          : llhttp_get_error_reason(&head->parser);
		return head->too_large ? SL_ELIMIT : SL_ESYNTAX;
	}
	remember_end(head, sl_slice_upto(input, used));
	head->bytes_left -= used;
	if (!*done && used < bytes.len) {
		*reason = "the header fields are too large";
		return SL_ELIMIT;
	}
	return (ptrdiff_t)used;
}

ptrdiff_t
sl_h1_head_read_chunk(struct sl_h1_head *head, struct sl_slice bytes, struct sl_slice *data,
                      bool *done, const char **reason)
{
	enum llhttp_errno err;
	size_t used = bytes.len;

	*done = false;
	head->body_len = 0;
	head->chunk = bytes.ptr;
	llhttp_resume(&head->parser);
	err = llhttp_execute(&head->parser, bytes.ptr, bytes.len);
	if (err == HPE_PAUSED) {
		used = (size_t)(llhttp_get_error_pos(&head->parser) - bytes.ptr);
		*done = head->last_chunk;
	} else if (err != HPE_OK) {
		*reason = llhttp_get_error_reason(&head->parser);
		return SL_ESYNTAX;
	}
	*data = sl_slice_make(head->body_at, head->body_len);
	return (ptrdiff_t)used;
}

/* --- what was read ------------------------------------------------------------------- */

static struct sl_slice
text_of(const struct sl_h1_head *head)
{
	return head->plain_text.len ? head->plain_text : sl_buf_slice(&head->text);
}

size_t
sl_h1_head_size(const struct sl_h1_head *head)
{
	return head->count * sizeof(struct sl_header) + text_of(head).len + sizeof(max_align_t);
}

enum sl_err
sl_h1_head_copy(const struct sl_h1_head *head, struct sl_arena *arena, struct sl_headers *out,
                struct sl_slice *target)
{
	struct sl_slice from = text_of(head);
	struct sl_header *items;
	char *text;

	*out = (struct sl_headers){ 0 };
	*target = SL_SLICE_NONE;
	if (from.len == 0)
		return SL_OK;
	items = sl_arena_alloc(arena, head->count * sizeof(*items) + from.len);
	if (!items)
		return SL_ENOMEM;
	text = (char *)(items + head->count);
	memcpy(text, from.ptr, from.len);
	if (head->has_target)
		*target = sl_slice_make(text + head->target_at, head->target_len);
	if (head->plain_text.len) {
		*out = sl_plain_headers(&head->plain, text, items);
		return SL_OK;
	}
	for (uint32_t i = 0; i < head->count; i++) {
		const struct sl_field_at *field = &head->fields[i];

		sl_header_lower(text + field->name_at, field->name_len);
		items[i].name = sl_slice_make(text + field->name_at, field->name_len);
		out->marks |= sl_header_mark(text + field->name_at, field->name_len);
		items[i].value =
		    sl_slice_trim(sl_slice_make(text + field->value_at, field->value_len));
	}
	out->items = items;
	out->count = head->count;
	return SL_OK;
}

/* Whether a comma-separated list holds the token. */
static bool
has_token(struct sl_slice list, const char *token)
{
	while (list.len) {
		struct sl_slice item = sl_slice_trim(sl_slice_cut(&list, ','));

		if (sl_slice_ieq(item, sl_slice_str(token)))
			return true;
	}
	return false;
}

static int
judge_field(const struct sl_header *field, struct sl_h1_framing *out, struct sl_slice *authority,
            unsigned *hosts, const char **reason)
{
	switch (field->name.len) {
	case 4:
		if (sl_slice_is(field->name, "host")) {
			*authority = field->value;
			++*hosts;
		}
		return 0;
	case 6:
		if (!sl_slice_is(field->name, "expect"))
			return 0;
		out->expects_continue = sl_slice_ieq(field->value, SL_SLICE("100-continue"));
		*reason = "only the expectation 100-continue is known";
		return out->expects_continue ? 0 : 417;
	case 7:
		if (sl_slice_is(field->name, "upgrade"))
			out->upgrade = true;
		return 0;
	case 10:
		if (sl_slice_is(field->name, "connection") && has_token(field->value, "close"))
			out->keep_alive = false;
		return 0;
	case 14:
		if (!sl_slice_is(field->name, "content-length"))
			return 0;
		*reason = "Content-Length must be one decimal number";
		if (out->content_length >= 0 || field->value.len == 0 ||
		    field->value.ptr[0] == '-' ||
		    !sl_slice_i64(field->value, &out->content_length))
			return 400;
		return 0;
	case 17:
		if (!sl_slice_is(field->name, "transfer-encoding"))
			return 0;
		*reason = "the only transfer coding taken is a single \"chunked\"";
		if (out->chunked || !sl_slice_ieq(field->value, SL_SLICE("chunked")))
			return 400;
		out->chunked = true;
		return 0;
	default:
		return 0;
	}
}

int
sl_h1_head_judge(const struct sl_h1_head *head, const struct sl_headers *headers,
                 struct sl_h1_framing *out, struct sl_slice *authority, const char **reason)
{
	const llhttp_t *parser = &head->parser;
	unsigned hosts = 0;

	if (head->plain_text.len) {
		*out = (struct sl_h1_framing){ .content_length = head->plain.content_length,
			                       .keep_alive = true };
		*authority = headers->items[head->plain.host].value;
		return 0;
	}
	*out = (struct sl_h1_framing){ .content_length = -1,
		                       .keep_alive = llhttp_should_keep_alive(parser),
		                       .http10 = parser->http_minor == 0 };
	*reason = "this protocol version is not spoken here";
	if (parser->http_major != 1 || parser->http_minor > 1 || head->not_http) {
		out->keep_alive = false;
		return 505;
	}
	*reason = "the request line holds more than two spaces";
	if (head->odd_spaces)
		return 400;
	for (size_t i = 0; i < headers->count; i++) {
		int status = judge_field(&headers->items[i], out, authority, &hosts, reason);

		if (status)
			return status;
	}
	*reason = "Content-Length and Transfer-Encoding exclude each other";
	if (out->chunked && out->content_length >= 0)
		return 400;
	*reason = "HTTP/1.0 knows no Transfer-Encoding";
	if (out->chunked && out->http10)
		return 400;
	*reason = "exactly one Host field is required";
	if (hosts > 1 || (hosts == 0 && !out->http10))
		return 400;
	*reason = "CONNECT is not offered here";
	if (parser->method == HTTP_CONNECT)
		return 501;
	/* What follows an upgrade is not HTTP; we never switch, so it ends here. */
	if (out->upgrade)
		out->keep_alive = false;
	return 0;
}
