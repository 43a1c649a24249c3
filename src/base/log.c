/* log.c - one JSON object per line, redacted, in one write.
 *
 * A line is built in memory, passed through the redactor as a whole and
 * written. The redactor only ever takes bytes that stand for themselves in
 * JSON, so the line stays valid whatever it finds.
 */
#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

enum {
	LINE_MAX_SIZE = 32 * 1024, /* bytes */
	LINE_USUAL_SIZE = 1024,
	TEXT_MAX_LEN = 2048,       /* bytes of one value before escaping */
	NAME_MAX_LEN = 64,
	FIELDS_MAX = 64,
};

static _Atomic int log_level = SL_LOG_INFO;
static _Atomic int log_fd = STDERR_FILENO;

void
sl_log_init(enum sl_log_level level, int fd)
{
	atomic_store(&log_level, (int)level);
	atomic_store(&log_fd, fd);
}

bool
sl_log_enabled(enum sl_log_level level)
{
	return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed) &&
	       level != SL_LOG_OFF;
}

/* --- the line ------------------------------------------------------------- */

static const char *
level_name(enum sl_log_level level)
{
	static const char *const names[] = { "debug", "info", "warn", "error", "off" };

	return names[level];
}

static void
put_capped(struct sl_json_writer *w, struct sl_slice text)
{
	/* A character cut in two would become U+FFFD: cut before it. */
	if (text.len > TEXT_MAX_LEN) {
		text.len = TEXT_MAX_LEN;
		while (text.len > TEXT_MAX_LEN - 3 && ((uint8_t)text.ptr[text.len] & 0xc0) == 0x80)
			text.len--;
	}
	sl_json_put_str(w, text);
}

static void
put_time(struct sl_json_writer *w, int64_t wall_ms)
{
	time_t wall_s = (time_t)(wall_ms / 1000);
	struct tm tm;
	char text[48];

	gmtime_r(&wall_s, &tm);
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
	         tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(wall_ms % 1000));
	sl_json_str(w, "ts", sl_slice_str(text));
}

static void
put_field(struct sl_json_writer *w, const struct sl_log_field *field)
{
	sl_json_key_slice(w, sl_slice_upto(sl_slice_str(field->name), NAME_MAX_LEN));
	switch (field->kind) {
	case SL_LOG_TEXT:
		put_capped(w, field->text);
		break;
	case SL_LOG_INT:
		sl_json_put_i64(w, field->number);
		break;
	case SL_LOG_JSON:
		if (field->text.len == 0)
			sl_json_put_null(w);
		else if (field->text.len > TEXT_MAX_LEN)
			put_capped(w, field->text);
		else
			sl_json_put_raw(w, field->text);
		break;
	}
}

static void
build_line(struct sl_buf *line, enum sl_log_level level, int64_t wall_ms,
           const char *message, const struct sl_log_field *fields)
{
	struct sl_json_writer w;

	sl_json_writer_init(&w, line);
	sl_json_obj(&w);
	put_time(&w, wall_ms);
	sl_json_str(&w, "level", sl_slice_str(level_name(level)));
	sl_json_key(&w, "msg");
	put_capped(&w, sl_slice_str(message));
	for (size_t i = 0; fields && fields[i].name && i < FIELDS_MAX; i++)
		put_field(&w, &fields[i]);
	sl_json_obj_end(&w);
	sl_buf_append_char(line, '\n');
}

static void
write_line(struct sl_slice line)
{
	int fd = atomic_load_explicit(&log_fd, memory_order_relaxed);
	int saved_errno = errno;

	/* A regular file or pipe takes it at once. What a full pipe refuses is
	 * dropped: a log must not stop the process. */
	while (line.len) {
		ssize_t size = write(fd, line.ptr, line.len);

		if (size < 0 && errno == EINTR)
			continue;
		if (size <= 0)
			break;
		line = sl_slice_from(line, (size_t)size);
	}
	errno = saved_errno;
}

enum sl_err
sl_log_append(struct sl_buf *lines, enum sl_log_level level, int64_t wall_ms,
              const char *message, const struct sl_log_field *fields)
{
	size_t start = lines->len;

	build_line(lines, level, wall_ms, message, fields);
	if (lines->failed) {
		lines->len = start;
		lines->failed = false;
		return SL_ELIMIT;
	}
	lines->len = start + sl_log_redact(lines->ptr + start, lines->len - start);
	return SL_OK;
}

void
sl_log_flush(struct sl_buf *lines)
{
	write_line(sl_buf_slice(lines));
	sl_buf_clear(lines);
}

void
sl_log_write(enum sl_log_level level, const char *message, const struct sl_log_field *fields)
{
	static const struct sl_log_field dropped[] = {
		{ .name = "fields_dropped", .kind = SL_LOG_INT, .number = 1 }, { 0 },
	};
	int64_t wall_ms = sl_clock_wall_ms();
	struct sl_buf line;

	sl_buf_init(&line, LINE_MAX_SIZE);
	sl_buf_reserve(&line, LINE_USUAL_SIZE);
	if (sl_log_append(&line, level, wall_ms, message, fields) != SL_OK)
		sl_log_append(&line, level, wall_ms, message, dropped);
	sl_log_flush(&line);
	sl_buf_release(&line);
}

/* --- the redactor --------------------------------------------------------- */

/* Three kinds of places hold credentials:
 *   - tokens known by how they begin, at the start of a word;
 *   - what follows an authentication scheme ("Bearer ...");
 *   - what follows a telling name and '=', or a header's or member's ':'.
 * A false alarm costs a word in a log, a miss costs a key, so the rules lean
 * to the former. */
struct marker {
	struct sl_slice text;
	size_t          min_len; /* of the value behind it, in bytes */
};
#define MARK(literal, min_len_) { { literal, sizeof(literal) - 1 }, min_len_ }

static const struct marker token_starts[] = {
	MARK("sk-", 8), MARK("sk_", 8), MARK("gw_virt_", 4), MARK("gw_master_", 4), MARK("gsk_", 8),
	MARK("xai-", 8), MARK("hf_", 8), MARK("pplx-", 8), MARK("nvapi-", 8), MARK("AIza", 8),
	MARK("ya29.", 8), MARK("ghp_", 8), MARK("github_pat_", 8), MARK("csk-", 8), MARK("fw_", 12),
	MARK("tgp_v1_", 8), MARK("AKIA", 12), MARK("ASIA", 12), MARK("eyJ", 16), MARK("r8_", 12),
	MARK("key-", 16),
};

/* What the markers above and below begin with: most words are none. */
static const bool may_begin[256] = {
	['s'] = true, ['g'] = true, ['x'] = true, ['h'] = true, ['p'] = true, ['n'] = true,
	['A'] = true, ['y'] = true, ['c'] = true, ['f'] = true, ['t'] = true, ['e'] = true,
	['r'] = true, ['k'] = true, ['b'] = true, ['B'] = true,
};

static const struct marker schemes[] = {
	MARK("bearer ", 6), MARK("basic ", 8), MARK("bearer%20", 6),
};

/* Ends of names. With ':' only those that are never anything else: a log line
 * itself may say "key":"vk_...". */
static const struct sl_slice names_before_equals[] = {
	{ "key", 3 }, { "token", 5 }, { "secret", 6 }, { "password", 8 }, { "passwd", 6 },
	{ "pwd", 3 }, { "signature", 9 }, { "sig", 3 }, { "authorization", 13 },
};
static const struct sl_slice names_before_colon[] = {
	{ "api_key", 7 }, { "api-key", 7 }, { "apikey", 6 }, { "secret", 6 }, { "password", 8 },
	{ "passwd", 6 }, { "access_token", 12 }, { "refresh_token", 13 }, { "private_key", 11 },
	{ "authorization", 13 }, { "cookie", 6 },
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Text being rewritten in place: bytes before `to` are final, bytes from `at`
 * on are still to be read, and to <= at. */
struct rewrite {
	char  *text;
	size_t len;
	size_t at;
	size_t to;
};

static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Characters that credentials are made of (RFC 6750 b64token, percent). */
static bool
is_token(char c)
{
	return is_word(c) || (c && strchr("-._~+/=%", c));
}

static struct sl_slice
ahead(const struct rewrite *r, size_t at)
{
	return sl_slice_make(r->text + at, r->len - at);
}

static size_t
token_len(const struct rewrite *r, size_t at)
{
	size_t end = at;

	while (end < r->len && is_token(r->text[end]))
		end++;
	return end - at;
}

/* Keeps the bytes before `start`, replaces the `len` bytes there. */
static void
replace(struct rewrite *r, size_t start, size_t len)
{
	static const char mark[] = "[redacted]";
	size_t mark_len = sizeof(mark) - 1;

	memmove(r->text + r->to, r->text + r->at, start - r->at);
	r->to += start - r->at;
	r->at = start + len;
	/* In place means never longer: a short secret gets as many stars. */
	if (len < mark_len)
		memset(r->text + r->to, '*', len);
	else
		memcpy(r->text + r->to, mark, mark_len);
	r->to += len < mark_len ? len : mark_len;
}

static bool
redact_token(struct rewrite *r)
{
	for (size_t i = 0; i < COUNT(token_starts); i++) {
		struct sl_slice mark = token_starts[i].text;
		size_t len;

		if (r->text[r->at] != mark.ptr[0] || !sl_slice_starts(ahead(r, r->at), mark))
			continue;
		len = token_len(r, r->at);
		if (len < mark.len + token_starts[i].min_len)
			continue;
		replace(r, r->at, len);
		return true;
	}
	return false;
}

/* Length of the scheme's word and space at `at`, 0 when there is none. */
static size_t
scheme_at(const struct rewrite *r, size_t at, size_t *min_len)
{
	if (at >= r->len || (r->text[at] | 0x20) != 'b')
		return 0;
	for (size_t i = 0; i < COUNT(schemes); i++) {
		*min_len = schemes[i].min_len;
		if (sl_slice_istarts(ahead(r, at), schemes[i].text))
			return schemes[i].text.len;
	}
	return 0;
}

static bool
redact_scheme(struct rewrite *r)
{
	size_t min_len, start = scheme_at(r, r->at, &min_len), len;

	if (start == 0)
		return false;
	start += r->at;
	len = token_len(r, start);
	if (len < min_len)
		return false;
	replace(r, start, len);
	return true;
}

/* Whether text ends with one of the names, quotes aside. */
static bool
named(struct sl_slice text, const struct sl_slice *names, size_t count)
{
	while (text.len && (text.ptr[text.len - 1] == '"' || text.ptr[text.len - 1] == '\\'))
		text.len--;
	if (text.len == 0 || !is_word(text.ptr[text.len - 1]))
		return false;
	for (size_t i = 0; i < count; i++) {
		size_t len = names[i].len;

		if (text.len >= len && (text.ptr[text.len - 1] | 0x20) == names[i].ptr[len - 1] &&
		    sl_slice_ieq(sl_slice_from(text, text.len - len), names[i]))
			return true;
	}
	return false;
}

/* Bytes of the JSON escape at `at`, 0 when there is none. */
static size_t
escape_len(const struct rewrite *r, size_t at)
{
	if (at + 1 >= r->len || r->text[at] != '\\' || !r->text[at + 1])
		return 0;
	if (strchr("\"\\/bfnrt", r->text[at + 1]))
		return 2;
	return r->text[at + 1] == 'u' && at + 6 <= r->len ? 6 : 0;
}

/* Whether text ends with a quote that no backslash escapes. */
static bool
ends_member_name(struct sl_slice text)
{
	size_t slashes = 0;

	if (text.len == 0 || text.ptr[text.len - 1] != '"')
		return false;
	while (slashes + 1 < text.len && text.ptr[text.len - 2 - slashes] == '\\')
		slashes++;
	return slashes % 2 == 0;
}

/* At '=' or ':' behind a telling name. */
static bool
redact_named(struct rewrite *r)
{
	struct sl_slice before = sl_slice_make(r->text, r->to);
	bool member = ends_member_name(before);
	size_t start = r->at + 1, len, min_len;

	if (r->text[r->at] == '='
	        ? !named(before, names_before_equals, COUNT(names_before_equals))
	        : !named(before, names_before_colon, COUNT(names_before_colon)))
		return false;
	while (start < r->len && (r->text[start] == ' ' || r->text[start] == '\''))
		start++;
	/* A member that is a bare word or number: no credential, and stars
	 * would not be JSON. */
	if (member && start < r->len && r->text[start] != '"')
		return false;
	while (start < r->len) {
		size_t escape = escape_len(r, start);

		if (!escape && r->text[start] != '"' && r->text[start] != ' ')
			break;
		start += escape ? escape : 1;
	}
	len = token_len(r, start);
	/* A scheme's word is left for the credential behind it. */
	if (len == 0 || scheme_at(r, start, &min_len))
		return false;
	replace(r, start, len);
	return true;
}

/* At "://": the password of "user:password@host". */
static bool
redact_userinfo(struct rewrite *r)
{
	size_t at = r->at + 3, colon = 0;

	if (!sl_slice_starts(ahead(r, r->at), SL_SLICE("://")))
		return false;
	for (; at < r->len && r->text[at] != '@'; at++) {
		if (strchr("/?# \"\\\t\r\n<>", r->text[at]))
			return false;
		if (r->text[at] == ':' && !colon)
			colon = at + 1;
	}
	if (at == r->len || colon == 0 || colon == at)
		return false;
	replace(r, colon, at - colon);
	return true;
}

size_t
sl_log_redact(char *text, size_t len)
{
	struct rewrite r = { .text = text, .len = len };

	while (r.at < r.len) {
		char c = r.text[r.at];
		size_t copy = 1;

		if (is_word(c)) {
			if (may_begin[(uint8_t)c] && (redact_token(&r) || redact_scheme(&r)))
				continue;
			while (r.at + copy < r.len && is_word(r.text[r.at + copy]))
				copy++;
		} else if (c == '=' || c == ':') {
			if (redact_userinfo(&r) || redact_named(&r))
				continue;
		} else if (c == '\\' && escape_len(&r, r.at)) {
			/* The letter of an escape is no start of a word. */
			copy = escape_len(&r, r.at);
		}
		if (r.to != r.at)
			memmove(r.text + r.to, r.text + r.at, copy);
		r.to += copy;
		r.at += copy;
	}
	return r.to;
}
