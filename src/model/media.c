/* media.c - data URLs (RFC 2397) and base64 (RFC 4648) of requests. */
#include "model/media.h"

enum { SNIFF_TEXT = 24, SNIFF_BYTES = SNIFF_TEXT / 4 * 3 };

bool
sl_media_is_data_url(struct sl_slice url)
{
	return sl_slice_istarts(sl_slice_trim(url), SL_SLICE("data:"));
}

static int
value_of(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool
sl_media_base64(struct sl_slice text, struct sl_arena *arena, struct sl_slice *out)
{
	size_t digits = 0, pads = 0, spaces = 0;
	char *copy;

	text = sl_slice_trim(text);
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (is_space(c))
			spaces++;
		else if (c == '=')
			pads++;
		else if (pads > 0 || value_of((unsigned char)c) < 0)
			return false;
		else
			digits++;
	}
	if (digits == 0 || pads > 2 || (digits + pads) % 4 != 0)
		return false;
	*out = text;
	if (spaces == 0)
		return true;
	copy = sl_arena_alloc(arena, digits + pads);
	if (!copy)
		return false;
	out->ptr = copy;
	out->len = digits + pads;
	for (size_t i = 0; i < text.len; i++)
		if (!is_space(text.ptr[i]))
			*copy++ = text.ptr[i];
	return true;
}

static struct sl_slice
lower(struct sl_slice text, struct sl_arena *arena)
{
	struct sl_slice copy = sl_arena_dup(arena, text);

	for (size_t i = 0; i < copy.len; i++) {
		char c = copy.ptr[i];

		if (c >= 'A' && c <= 'Z')
			((char *)(uintptr_t)copy.ptr)[i] = (char)(c | 0x20);
	}
	return copy;
}

/* "data:image/png;charset=x;base64,...": type in lower case and data, which is
 * valid base64 without white space; borrowed or on the arena. False when it is
 * not base64 or memory is out. */
static bool
read_data_url(struct sl_slice url, struct sl_arena *arena, struct sl_slice *type,
                  struct sl_slice *data)
{
	struct sl_slice rest = sl_slice_from(sl_slice_trim(url), 5), head;
	bool base64 = false;

	head = sl_slice_cut(&rest, ',');
	*type = lower(sl_slice_trim(sl_slice_cut(&head, ';')), arena);
	while (head.len > 0)
		if (sl_slice_ieq(sl_slice_trim(sl_slice_cut(&head, ';')), SL_SLICE("base64")))
			base64 = true;
	return base64 && sl_media_base64(rest, arena, data);
}

struct sl_slice
sl_media_sniff(struct sl_slice base64)
{
	static const struct {
		size_t          at;
		struct sl_slice bytes, type;
	} rows[] = {
		{ 0, SL_SLICE_INIT("\x89PNG\r\n\x1a\n"), SL_SLICE_INIT("image/png") },
		{ 0, SL_SLICE_INIT("\xff\xd8\xff"), SL_SLICE_INIT("image/jpeg") },
		{ 0, SL_SLICE_INIT("GIF8"), SL_SLICE_INIT("image/gif") },
		{ 8, SL_SLICE_INIT("WEBP"), SL_SLICE_INIT("image/webp") },
		{ 8, SL_SLICE_INIT("WAVE"), SL_SLICE_INIT("audio/wav") },
		{ 0, SL_SLICE_INIT("ID3"), SL_SLICE_INIT("audio/mpeg") },
		{ 0, SL_SLICE_INIT("%PDF-"), SL_SLICE_INIT("application/pdf") },
	};
	unsigned char raw[SNIFF_BYTES];
	size_t size = 0;

	for (size_t i = 0; i + 4 <= base64.len && i + 4 <= SNIFF_TEXT; i += 4) {
		uint32_t group = 0;

		for (size_t k = 0; k < 4; k++) {
			int value = value_of((unsigned char)base64.ptr[i + k]);

			group = group << 6 | (uint32_t)(value < 0 ? 0 : value);
		}
		raw[size++] = (unsigned char)(group >> 16);
		raw[size++] = (unsigned char)(group >> 8);
		raw[size++] = (unsigned char)group;
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].at + rows[i].bytes.len <= size &&
		    memcmp(raw + rows[i].at, rows[i].bytes.ptr, rows[i].bytes.len) == 0)
			return rows[i].type;
	return SL_SLICE_NONE;
}

static void
set_kind(struct sl_part *part)
{
	struct sl_slice type = part->media.type;

	if (sl_slice_starts(type, SL_SLICE("image/")))
		part->kind = SL_PART_IMAGE;
	else if (sl_slice_starts(type, SL_SLICE("audio/")))
		part->kind = SL_PART_AUDIO;
	else if (sl_slice_starts(type, SL_SLICE("video/")))
		part->kind = SL_PART_VIDEO;
	else if (type.len)
		part->kind = SL_PART_DOCUMENT;
}

bool
sl_media_from_base64(struct sl_slice type, struct sl_slice data, struct sl_arena *arena,
                     struct sl_notes *notes, struct sl_part *part)
{
	struct sl_slice proven;

	part->media.source = SL_MEDIA_INLINE;
	if (!sl_media_base64(data, arena, &part->media.data))
		return false;
	part->media.type = lower(type, arena);
	if (sl_slice_is(part->media.type, "image/jpg"))
		part->media.type = SL_SLICE("image/jpeg");
	proven = sl_media_sniff(part->media.data);
	if (proven.len && !sl_slice_eq(proven, part->media.type) &&
	    !(sl_slice_starts(proven, SL_SLICE("audio/")) &&
	      sl_slice_starts(part->media.type, SL_SLICE("audio/")))) {
		if (part->media.type.len)
			sl_note(notes, SL_NOTE_media_type_corrected, &part->where);
		part->media.type = proven;
	}
	set_kind(part);
	return true;
}

bool
sl_media_from_url(struct sl_slice url, struct sl_arena *arena, struct sl_notes *notes,
                  struct sl_part *part)
{
	struct sl_slice type, data;

	if (!sl_media_is_data_url(url)) {
		url = sl_slice_trim(url);
		part->media.source = sl_slice_istarts(url, SL_SLICE("http:")) ||
		                             sl_slice_istarts(url, SL_SLICE("https:"))
		                         ? SL_MEDIA_URL
		                         : SL_MEDIA_URI;
		part->media.data = url;
		return url.len > 0;
	}
	return read_data_url(url, arena, &type, &data) &&
	       sl_media_from_base64(type, data, arena, notes, part);
}
