/* multipart.c - multipart/form-data, read in place. */
#include "shapes/multipart.h"

#define CRLF SL_SLICE("\r\n")

/* RFC 2046, section 5.1.1: bchars. */
static bool
is_boundary(struct sl_slice text)
{
	if (text.len == 0 || text.len > SL_MULTIPART_BOUNDARY_MAX || text.ptr[text.len - 1] == ' ')
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
		      (c && strchr("'()+_,-./:=? ", c))))
			return false;
	}
	return true;
}

/* The value of a parameter in `; name=value; name="value"`; empty when absent. */
static struct sl_slice
parameter(struct sl_slice rest, const char *name, bool *present)
{
	*present = false;
	while (rest.len) {
		struct sl_slice key, value;
		size_t end = 0;

		rest = sl_slice_trim(rest);
		if (rest.len && rest.ptr[0] == ';') {
			rest = sl_slice_from(rest, 1);
			continue;
		}
		while (end < rest.len && rest.ptr[end] != '=' && rest.ptr[end] != ';')
			end++;
		key = sl_slice_trim(sl_slice_upto(rest, end));
		if (end == rest.len || rest.ptr[end] == ';') {
			rest = sl_slice_from(rest, end);
			continue;
		}
		rest = sl_slice_trim(sl_slice_from(rest, end + 1));
		end = 0;
		if (rest.len && rest.ptr[0] == '"') {
			end = 1;
			while (end < rest.len && rest.ptr[end] != '"')
				end += rest.ptr[end] == '\\' ? 2 : 1;
			if (end >= rest.len)
				return SL_SLICE_NONE;
			value = sl_slice_make(rest.ptr + 1, end - 1);
			end++;
		} else {
			while (end < rest.len && rest.ptr[end] != ';')
				end++;
			value = sl_slice_trim(sl_slice_upto(rest, end));
		}
		rest = sl_slice_from(rest, end);
		if (sl_slice_ieq(key, sl_slice_str(name))) {
			*present = true;
			return value;
		}
	}
	return SL_SLICE_NONE;
}

bool
sl_multipart_boundary(struct sl_slice content_type, struct sl_slice *boundary)
{
	bool present;

	*boundary = SL_SLICE_NONE;
	if (!sl_slice_ieq(sl_slice_trim(sl_slice_cut(&content_type, ';')),
	                  SL_SLICE("multipart/form-data")))
		return false;
	*boundary = parameter(content_type, "boundary", &present);
	if (!is_boundary(*boundary))
		*boundary = SL_SLICE_NONE;
	return true;
}

/* Reads what stands behind "--boundary" at m->at: the rest of a delimiter line,
 * or "--" of the closing one. False: this was no delimiter. */
static bool
end_delimiter(struct sl_multipart *m, size_t at)
{
	struct sl_slice rest = sl_slice_from(m->body, at);
	size_t blanks = 0;

	if (sl_slice_starts(rest, SL_SLICE("--"))) {
		m->ended = true;
		m->at = at + 2;
		return true;
	}
	while (blanks < rest.len && (rest.ptr[blanks] == ' ' || rest.ptr[blanks] == '\t'))
		blanks++;
	if (!sl_slice_starts(sl_slice_from(rest, blanks), CRLF))
		return false;
	m->at = at + blanks + 2;
	return true;
}

/* Finds the next delimiter from m->at on and steps behind it. Returns the offset
 * of the CRLF that belongs to it (of its first dash at the very start of the
 * body), or -1. */
static ptrdiff_t
next_delimiter(struct sl_multipart *m)
{
	size_t at = m->at;

	for (;;) {
		struct sl_slice rest = sl_slice_from(m->body, at);
		ptrdiff_t dashes = sl_slice_search(rest, SL_SLICE("\r\n--"));
		size_t behind;

		if (dashes < 0)
			return -1;
		behind = at + (size_t)dashes + 4;
		if (sl_slice_starts(sl_slice_from(m->body, behind), m->boundary) &&
		    end_delimiter(m, behind + m->boundary.len))
			return (ptrdiff_t)(at + (size_t)dashes);
		/* The CR of a delimiter may be the byte behind this one. */
		at += (size_t)dashes + 2;
	}
}

enum sl_err
sl_multipart_begin(struct sl_multipart *m, struct sl_slice body, struct sl_slice boundary)
{
	*m = (struct sl_multipart){ .body = body, .boundary = boundary };
	if (boundary.len == 0)
		return SL_ESYNTAX;
	if (sl_slice_starts(body, SL_SLICE("--")) &&
	    sl_slice_starts(sl_slice_from(body, 2), boundary) &&
	    end_delimiter(m, 2 + boundary.len))
		return SL_OK;
	return next_delimiter(m) >= 0 ? SL_OK : SL_ESYNTAX;
}

static bool
read_disposition(struct sl_slice value, struct sl_multipart_part *part)
{
	bool present;

	if (!sl_slice_ieq(sl_slice_trim(sl_slice_cut(&value, ';')), SL_SLICE("form-data")))
		return false;
	parameter(value, "filename", &part->is_file);
	part->name = parameter(value, "name", &present);
	return present;
}

/* One part's header lines, without the blank one. */
static bool
read_headers(struct sl_slice lines, struct sl_multipart_part *part)
{
	bool named = false;

	while (lines.len) {
		ptrdiff_t end = sl_slice_search(lines, CRLF);
		struct sl_slice line = end < 0 ? lines : sl_slice_upto(lines, (size_t)end);
		struct sl_slice name;

		lines = end < 0 ? SL_SLICE_NONE : sl_slice_from(lines, (size_t)end + 2);
		if (sl_slice_find(line, ':') < 0)
			return false;
		name = sl_slice_cut(&line, ':');
		if (!sl_slice_ieq(name, SL_SLICE("content-disposition")))
			continue;
		if (named || !read_disposition(line, part))
			return false;
		named = true;
	}
	return named;
}

enum sl_err
sl_multipart_next(struct sl_multipart *m, struct sl_multipart_part *part)
{
	struct sl_slice rest, window;
	size_t start;
	ptrdiff_t end;

	*part = (struct sl_multipart_part){ 0 };
	if (m->ended)
		return SL_ENOTFOUND;
	rest = sl_slice_from(m->body, m->at);
	window = sl_slice_upto(rest, SL_MULTIPART_HEADERS_MAX_SIZE);
	end = sl_slice_search(window, SL_SLICE("\r\n\r\n"));
	if (end < 0)
		return window.len < rest.len ? SL_ELIMIT : SL_ESYNTAX;
	if (!read_headers(sl_slice_upto(rest, (size_t)end), part))
		return SL_ESYNTAX;
	/* The CRLF of the blank line may be that of the delimiter: an empty body. */
	start = m->at + (size_t)end + 4;
	m->at = start - 2;
	end = next_delimiter(m);
	if (end < 0)
		return SL_ESYNTAX;
	if ((size_t)end > start)
		part->body = sl_slice_make(m->body.ptr + start, (size_t)end - start);
	else
		part->body = sl_slice_make(m->body.ptr + start, 0);
	return SL_OK;
}
