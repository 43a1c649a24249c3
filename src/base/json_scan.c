/* json_scan.c - one pass: validate everything, locate what steers.
 *
 * A hand-written automaton over the bytes. The stack of open containers is an
 * array of one word each, so nesting costs no C stack and has a hard bound.
 * Strings, which are nearly all of a chat request, are skipped 16 to 64 bytes
 * at a time and looked at only where a byte is a quote, an escape or a control
 * character. Whether bytes beyond ASCII are UTF-8 is asked for the document as
 * a whole, and only if there are any: outside of strings the grammar refuses
 * them, and a sequence cannot reach across a quote.
 *
 * Locating: the objects from the top level down to where we stand form the
 * tracked chain as long as each is on the way to a wanted member. All wants
 * alive at one level share the components above it, so a level needs one set
 * of wants (a bit each) and one offset into their paths. Everything that is
 * not directly in the innermost tracked object (depth != tracked) is validated
 * only.
 */
#include <string.h>

#include "base/avx2.h"
#include "base/json.h"
#include "base/json_lex.h"

enum { DEPTH_MAX = 1024, TAGS_AT_ONCE = 16 };

const struct sl_json_limits sl_json_limits_default = { .max_depth = 64, .max_members = 4096 };

/* One object of the tracked chain. */
struct level {
	uint64_t wants;    /* those whose member may stand in this object */
	uint64_t seen;     /* those whose component here has occurred */
	uint64_t matched;  /* those whose component names the current member */
	uint64_t onward;   /* of these, those that it may hold */
	uint64_t ended;    /* those that the previous member was */
	size_t   path_at;  /* offset of this level's component in the paths */
	size_t   next_path_at;
	size_t   inside;
	size_t   comma;    /* before the current member, 0 for the first */
	size_t   key_start;
	size_t   value_start;
	/* Of each want the first two bytes of its component: most names begin like none of them,
	 * and the others like few. Written for `wants` alone. */
	uint16_t tags[SL_JSON_WANTS_MAX];
};

struct scan {
	const uint8_t             *doc;
	const uint8_t             *end;
	const struct sl_json_want *wants;
	size_t                     want_count;
	struct sl_json_found      *found;
	struct sl_json_error      *error;
	uint32_t                   max_depth;
	uint32_t                   max_members;
	uint32_t                   tracked; /* length of the tracked chain */
	uint32_t                   top_count; /* members of the top-level object */
	unsigned                   beyond_ascii; /* not 0: strings may hold such bytes */
	struct level               levels[SL_JSON_PATH_DEPTH_MAX];
	/* What the containers around the current one hold so far: members of an object,
	 * IN_ARRAY for an array. */
	uint32_t                   around[DEPTH_MAX];
};

#define IN_ARRAY UINT32_MAX

static enum sl_err
fail(struct scan *scan, enum sl_err err, const uint8_t *at, const char *reason)
{
	if (scan->error) {
		scan->error->offset = (size_t)(at - scan->doc);
		scan->error->reason = reason;
	}
	return err;
}

/* --- the tracked chain ---------------------------------------------------- */

static inline uint16_t
tag_of(const char *name)
{
	uint16_t tag;

	memcpy(&tag, name, sizeof(tag));
	return tag;
}

static void
track_object(struct scan *scan, struct level *level, uint64_t wants, size_t path_at,
             const uint8_t *inside)
{
	level->wants = wants;
	level->seen = level->matched = level->onward = level->ended = 0;
	level->path_at = path_at;
	level->inside = (size_t)(inside - scan->doc);
	level->comma = 0;
	for (size_t i = 0; wants; i++, wants >>= 1)
		if (wants & 1)
			level->tags[i] = tag_of(scan->wants[i].path + path_at);
}

/* The wants whose component begins as a name of two bytes or more does. */
static inline uint64_t
beginning_as(const struct level *level, const char *name, size_t want_count)
{
	const uint16_t tag = tag_of(name);
	uint64_t same = 0;

#ifdef __SSE2__
	const __m128i tags = _mm_set1_epi16((short)tag);

	for (size_t i = 0; i < want_count; i += TAGS_AT_ONCE) {
		const __m128i *at = (const __m128i *)(const void *)(level->tags + i);
		__m128i low = _mm_cmpeq_epi16(_mm_loadu_si128(at), tags);
		__m128i high = _mm_cmpeq_epi16(_mm_loadu_si128(at + 1), tags);

		same |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_packs_epi16(low, high)) << i;
	}
#else
	for (size_t i = 0; i < want_count; i++)
		same |= (uint64_t)(level->tags[i] == tag) << i;
#endif
	return same & level->wants;
}

/* Whether the path's first component is the key, which has no escapes and is shorter than
 * the room of a path. */
static inline bool
begins_with(const char *path, struct sl_slice key)
{
	if (path[key.len] != '\0' && path[key.len] != '.')
		return false;
	/* A raw key holds no NUL, so this stops at the path's end; a dot in it
	 * is a letter like others, in the path it is none. */
	for (size_t i = 0; i < key.len; i++)
		if (path[i] != key.ptr[i] || path[i] == '.')
			return false;
	return true;
}

#ifdef __SSE2__
/* The same for a key of less than sixteen bytes, where so many can be read of both. */
static inline bool
begins_with_short(const char *path, struct sl_slice key)
{
	__m128i block = sl_json_load((const uint8_t *)path);
	__m128i same = _mm_cmpeq_epi8(block, sl_json_load((const uint8_t *)key.ptr));
	__m128i dots = _mm_cmpeq_epi8(block, _mm_set1_epi8('.'));
	unsigned differ = ~(unsigned)_mm_movemask_epi8(_mm_andnot_si128(dots, same));

	return (size_t)__builtin_ctz(differ) >= key.len &&
	       (path[key.len] == '\0' || path[key.len] == '.');
}
#endif

/* The current member's name is the component of want i at this level, of `len` bytes. */
static inline void
note_match(struct level *level, const char *path, size_t i, size_t len)
{
	level->matched |= UINT64_C(1) << i;
	if (path[len] == '.')
		level->onward |= UINT64_C(1) << i;
	level->next_path_at = level->path_at + len + 1;
}

/* The wants that an unescaped name is. `room`: sixteen bytes can be read from where it begins. */
static inline void
match_plain(const struct scan *scan, struct level *level, struct sl_slice key, bool room)
{
	const size_t path_max = sizeof(scan->wants->path) - level->path_at;

	if (key.len >= path_max)
		return;
	for (uint64_t left = beginning_as(level, key.ptr, scan->want_count); left; left &= left - 1) {
		const size_t i = (size_t)__builtin_ctzll(left);
		const char *path = scan->wants[i].path + level->path_at;

#ifdef __SSE2__
		if (room && key.len < 16 && path_max >= 16) {
			if (begins_with_short(path, key))
				note_match(level, path, i, key.len);
			continue;
		}
#endif
		(void)room;
		if (begins_with(path, key))
			note_match(level, path, i, key.len);
	}
}

/* The same for a name with escapes, and for one that is too short for a tag. */
static void
match_any(const struct scan *scan, struct level *level, struct sl_slice key)
{
	for (uint64_t left = level->wants; left; left &= left - 1) {
		size_t i = (size_t)__builtin_ctzll(left);
		const char *path = scan->wants[i].path + level->path_at;
		size_t len = strcspn(path, ".");

		if (sl_json_text_is(key, sl_slice_make(path, len)))
			note_match(level, path, i, len);
	}
}

/* The wanted member before is not the last one. */
static void
note_next(struct scan *scan, struct level *level)
{
	for (uint64_t left = level->ended; left; left &= left - 1) {
		struct sl_json_found *found = &scan->found[__builtin_ctzll(left)];

		found->comma_after = level->comma;
		found->next_key = level->key_start;
	}
	level->ended = 0;
}

/* A name from its opening quote to the closing one. `plain`: it is known to have no escapes
 * and to end within sixteen bytes of the document. */
static inline enum sl_err
track_key(struct scan *scan, struct level *level, const uint8_t *quote, const uint8_t *closing,
          bool plain)
{
	struct sl_slice key = sl_slice_make(quote + 1, (size_t)(closing - quote - 1));

	level->key_start = (size_t)(quote - scan->doc);
	if (level->ended)
		note_next(scan, level);
	if (key.len > 1 && (plain || !memchr(key.ptr, '\\', key.len)))
		match_plain(scan, level, key, plain);
	else
		match_any(scan, level, key);
	if (level->matched & level->seen)
		return fail(scan, SL_EDUPLICATE, quote, "this member occurs twice; send it once");
	level->seen |= level->matched;
	return SL_OK;
}

static enum sl_json_type
type_of(uint8_t first)
{
	switch (first) {
	case 'n':
		return SL_JSON_NULL;
	case 'f':
		return SL_JSON_FALSE;
	case 't':
		return SL_JSON_TRUE;
	case '"':
		return SL_JSON_STRING;
	case '[':
		return SL_JSON_ARRAY;
	case '{':
		return SL_JSON_OBJECT;
	default:
		return SL_JSON_NUMBER;
	}
}

/* `members`: of the object that the value was, if it was one. */
static void
fill_value(const struct scan *scan, struct sl_json_found *found, size_t start, size_t end,
           uint32_t members)
{
	found->type = type_of(scan->doc[start]);
	found->member_count = found->type == SL_JSON_OBJECT ? members : 0;
	found->value_start = start;
	found->value_end = end;
	found->comma_after = 0;
	found->next_key = 0;
}

/* The value of a member that is wanted, or that may hold one that is, has ended. */
static void
track_value_end(struct scan *scan, struct level *level, const uint8_t *at, uint32_t members)
{
	level->ended = level->matched & ~level->onward;
	level->matched = level->onward = 0;
	for (uint64_t left = level->ended; left; left &= left - 1) {
		struct sl_json_found *found = &scan->found[__builtin_ctzll(left)];

		fill_value(scan, found, level->value_start, (size_t)(at - scan->doc), members);
		found->key_start = level->key_start;
		found->parent_inside = level->inside;
		found->comma_before = level->comma;
	}
}

/* --- lexemes: each returns the byte behind, or NULL ------------------------ */

/* Bytes of an escape by the byte behind its backslash. */
static const uint8_t escape_sizes[256] = {
	['"'] = 2, ['\\'] = 2, ['/'] = 2, ['b'] = 2, ['f'] = 2, ['n'] = 2, ['r'] = 2, ['t'] = 2,
	['u'] = 6,
};

/* Bytes of the escape at p, 0 when it is none. */
static inline size_t
escape_size(const uint8_t *p, const uint8_t *end)
{
	size_t size = end - p >= 2 ? escape_sizes[p[1]] : 0;

	if (size <= 2)
		return size;
	if (end - p < 6 || (sl_json_hex(p[2]) | sl_json_hex(p[3]) | sl_json_hex(p[4]) |
	                    sl_json_hex(p[5])) < 0)
		return 0;
	return size;
}

/* Why a string cannot go on at p. */
static const uint8_t *
bad_string(struct scan *scan, const uint8_t *p)
{
	const char *reason = "control character in a string; escape it";

	if (p == scan->end)
		reason = "the document ends inside a string";
	else if (*p == '\\')
		reason = "bad escape in a string";
	fail(scan, SL_ESYNTAX, p, reason);
	return NULL;
}

#ifdef __SSE2__
/* Bit i: byte i of the 16 at p is special. */
static inline uint64_t
special_16(const uint8_t *p, unsigned *beyond_ascii)
{
	__m128i bytes = sl_json_load(p);

	*beyond_ascii |= (unsigned)_mm_movemask_epi8(bytes);
	return (unsigned)_mm_movemask_epi8(sl_json_special(bytes));
}

/* The first block of 64 from p on with special bytes, and which they are; *mask is 0
 * where fewer than 64 bytes are left. */
static const uint8_t *
find_special(const uint8_t *p, const uint8_t *end, uint64_t *mask, unsigned *beyond_ascii)
{
	__m128i all = _mm_setzero_si128();

	*mask = 0;
	for (; end - p >= 64; p += 64) {
		__m128i a = sl_json_load(p), b = sl_json_load(p + 16);
		__m128i c = sl_json_load(p + 32), d = sl_json_load(p + 48);

		all = _mm_or_si128(_mm_or_si128(all, _mm_or_si128(a, b)), _mm_or_si128(c, d));
		a = sl_json_special(a);
		b = sl_json_special(b);
		c = sl_json_special(c);
		d = sl_json_special(d);
		if (!_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d))))
			continue;
		*mask = (uint64_t)(unsigned)_mm_movemask_epi8(a) |
		        (uint64_t)(unsigned)_mm_movemask_epi8(b) << 16 |
		        (uint64_t)(unsigned)_mm_movemask_epi8(c) << 32 |
		        (uint64_t)(unsigned)_mm_movemask_epi8(d) << 48;
		break;
	}
	*beyond_ascii |= (unsigned)_mm_movemask_epi8(all);
	return p;
}

#ifdef SL_AVX2
/* sl_json_special of 32 bytes. */
static inline SL_AVX2 __m256i
special_32(__m256i bytes)
{
	__m256i quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('"'));
	__m256i backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\'));
	__m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);

	return _mm256_or_si256(_mm256_or_si256(quote, backslash), control);
}

/* The same as find_special. */
static SL_AVX2 const uint8_t *
find_special_avx2(const uint8_t *p, const uint8_t *end, uint64_t *mask, unsigned *beyond_ascii)
{
	__m256i all = _mm256_setzero_si256();

	*mask = 0;
	for (; end - p >= 64; p += 64) {
		__m256i low = _mm256_loadu_si256((const __m256i *)(const void *)p);
		__m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));

		all = _mm256_or_si256(all, _mm256_or_si256(low, high));
		low = special_32(low);
		high = special_32(high);
		if (!_mm256_movemask_epi8(_mm256_or_si256(low, high)))
			continue;
		*mask = (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32 |
		        (uint32_t)_mm256_movemask_epi8(low);
		break;
	}
	*beyond_ascii |= (unsigned)_mm256_movemask_epi8(all);
	return p;
}
#define FIND_SPECIAL (sl_has_avx2() ? find_special_avx2 : find_special)
#else
#define FIND_SPECIAL find_special
#endif

/* Works through the special bytes of the block at p, of which there are some.
 * Returns where to go on; *stopped: that is the closing quote or a bad byte. */
static const uint8_t *
skip_escapes(const uint8_t *p, const uint8_t *end, uint64_t mask, size_t width, bool *stopped)
{
	do {
		size_t i = (size_t)__builtin_ctzll(mask);
		size_t size = p[i] == '\\' ? escape_size(p + i, end) : 0;

		if (size == 0) {
			*stopped = true;
			return p + i;
		}
		/* Nearly all have two bytes. Said with a branch, since the next
		 * step would have to wait for a size that comes from memory. */
		if (size == 2)
			mask &= ~(UINT64_C(3) << i);
		else
			mask &= i + size < width ? ~UINT64_C(0) << (i + size) : 0;
		if (i + size > width)
			return p + i + size;
	} while (mask);
	return p + width;
}

/* The same as skip_string, where the document has room for a block; *stopped: at the closing
 * quote or a bad byte, else at the end. */
static inline const uint8_t *
skip_blocks(struct scan *scan, const uint8_t *p, bool *stopped)
{
	const uint8_t *end = scan->end;

	unsigned beyond_ascii = 0;
	uint64_t mask;

	while (!*stopped && end - p >= 64) {
		p = FIND_SPECIAL(p, end, &mask, &beyond_ascii);
		if (mask)
			p = skip_escapes(p, end, mask, 64, stopped);
	}
	if (!*stopped && p < end) {
		size_t width = (size_t)(end - p);

		/* The last block ends with the document: its first bytes are behind us. */
		FIND_SPECIAL(end - 64, end, &mask, &beyond_ascii);
		mask >>= 64 - width;
		p = mask ? skip_escapes(p, end, mask, width, stopped) : end;
	}
	scan->beyond_ascii |= beyond_ascii;
	return p;
}
#endif

/* From behind the opening quote to the closing one. */
static const uint8_t *
skip_string(struct scan *scan, const uint8_t *p)
{
	const uint8_t *end = scan->end;

#ifdef __SSE2__
	bool stopped = false;

	/* A sentence, or a long name. */
	if (end - p >= 16) {
		uint64_t mask = special_16(p, &scan->beyond_ascii);

		if (mask && p[__builtin_ctzll(mask)] == '"')
			return p + __builtin_ctzll(mask);
	}
	if (end - scan->doc >= 64)
		p = skip_blocks(scan, p, &stopped);
	if (stopped)
		return *p == '"' ? p : bad_string(scan, p);
#endif
	while (p < end && *p != '"') {
		size_t size = *p == '\\' ? escape_size(p, end) : *p >= 0x20;

		if (size == 0)
			return bad_string(scan, p);
		scan->beyond_ascii |= *p & 0x80;
		p += size;
	}
	return p < end ? p : bad_string(scan, p);
}

/* The same; most strings end within sixteen bytes, before anything that needs a look.
 * *plain: this one, in so many bytes of the document, has no escape; false: nobody looked. */
static inline const uint8_t *
pass_string(struct scan *scan, const uint8_t *p, bool *plain)
{
	*plain = false;
#ifdef __SSE2__
	if (scan->end - p >= 16) {
		uint64_t mask = special_16(p, &scan->beyond_ascii);

		if (mask == 0)
			p += 16;
		else if (p[__builtin_ctzll(mask)] == '"') {
			*plain = true;
			return p + __builtin_ctzll(mask);
		}
	}
#endif
	return skip_string(scan, p);
}

static const uint8_t *
skip_digits(const uint8_t *p, const uint8_t *end)
{
	if (p == end || !sl_json_is_digit(*p))
		return NULL;
	do
		p++;
	while (p < end && sl_json_is_digit(*p));
	return p;
}

static const uint8_t *
skip_number(struct scan *scan, const uint8_t *p)
{
	const uint8_t *start = p, *end = scan->end;

	if (*p == '-')
		p++;
	if (p < end && *p == '0')
		p++;
	else
		p = skip_digits(p, end);
	if (p && p < end && *p == '.')
		p = skip_digits(p + 1, end);
	if (p && p < end && (*p | 0x20) == 'e') {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		p = skip_digits(p, end);
	}
	if (!p)
		fail(scan, SL_ESYNTAX, start, "malformed number");
	return p;
}

static const uint8_t *
skip_word(struct scan *scan, const uint8_t *p, const char *word, size_t len)
{
	if ((size_t)(scan->end - p) >= len && memcmp(p, word, len) == 0)
		return p + len;
	fail(scan, SL_ESYNTAX, p, "unknown word; JSON has true, false and null");
	return NULL;
}

/* --- the automaton -------------------------------------------------------- */

static enum sl_err
unexpected(struct scan *scan, const uint8_t *at, const char *reason)
{
	return fail(scan, SL_ESYNTAX, at, at == scan->end ? "the document ends too early" : reason);
}

/* The next byte that is no space, 0 at the end, where no grammar has it either. */
static inline uint8_t
next_byte(const uint8_t **at, const uint8_t *end)
{
	if (*at < end && **at > ' ')
		return **at;
	*at = sl_json_skip_space(*at, end);
	return *at < end ? **at : 0;
}

static inline uint64_t
all_wants(const struct scan *scan)
{
	return scan->want_count ? UINT64_MAX >> (SL_JSON_WANTS_MAX - scan->want_count) : 0;
}

/* Into the object whose bracket stands before `inside`. `here`: the level of the container
 * that we are in, NULL where nothing in it is wanted. */
static inline enum sl_err
open_object(struct scan *scan, const uint8_t *inside, uint32_t depth, struct level **here)
{
	const struct level *outer = *here;
	uint64_t wants = depth == 1 ? all_wants(scan) : outer ? outer->onward : 0;

	*here = NULL;
	if (wants == 0)
		return SL_OK;
	if (scan->tracked == SL_JSON_PATH_DEPTH_MAX)
		return fail(scan, SL_EINVAL, inside, "a wanted path is too long");
	*here = &scan->levels[scan->tracked++];
	track_object(scan, *here, wants, depth == 1 ? 0 : outer->next_path_at, inside);
	return SL_OK;
}

/* From the first byte of the top-level value to the byte behind it. What stands at the top
 * is one element, with nothing behind it. */
static enum sl_err
scan_value(struct scan *scan, const uint8_t **at)
{
	const uint8_t *p = *at, *end = scan->end, *quote;
	struct level *here = NULL;
	uint32_t depth = 0, count = IN_ARRAY, closed = 0;
	enum sl_err err;
	uint8_t c = *p;
	bool plain;

value:
	if (c == '"') {
		p = pass_string(scan, p + 1, &plain);
		if (!p)
			return SL_ESYNTAX;
		p++;
		goto behind_value;
	}
	if (sl_json_is_digit(c) || c == '-') {
		p = skip_number(scan, p);
		if (!p)
			return SL_ESYNTAX;
		goto behind_value;
	}
	switch (c) {
	case '{':
	case '[':
		if (depth == scan->max_depth)
			return fail(scan, SL_ELIMIT, p, "nested too deeply");
		scan->around[depth++] = count;
		p++;
		if (c == '[') {
			here = NULL;
			count = IN_ARRAY;
			c = next_byte(&p, end);
			if (c == ']')
				goto close;
			goto value;
		}
		count = 0;
		err = open_object(scan, p, depth, &here);
		if (err != SL_OK)
			return err;
		c = next_byte(&p, end);
		if (c == '}')
			goto close;
		goto key;
	case 't':
		p = skip_word(scan, p, "true", 4);
		break;
	case 'f':
		p = skip_word(scan, p, "false", 5);
		break;
	case 'n':
		p = skip_word(scan, p, "null", 4);
		break;
	default:
		return unexpected(scan, p, "expected a value");
	}
	if (!p)
		return SL_ESYNTAX;

behind_value:
	if (count == IN_ARRAY) {
		if (depth == 0) {
			scan->top_count = closed;
			*at = p;
			return SL_OK;
		}
		c = next_byte(&p, end);
		if (c == ']')
			goto close;
		if (c != ',')
			return unexpected(scan, p, "expected ',' or ']' in an array");
		p++;
		c = next_byte(&p, end);
		goto value;
	}
	if (here && here->matched)
		track_value_end(scan, here, p, closed);
	c = next_byte(&p, end);
	if (c == '}')
		goto close;
	if (c != ',')
		return unexpected(scan, p, "expected ',' or '}' in an object");
	if (here)
		here->comma = (size_t)(p - scan->doc);
	p++;
	/* Mostly written without space, here and behind the name. */
	if (p < end && *p == '"')
		goto name;
	c = next_byte(&p, end);

key:
	if (c != '"')
		return unexpected(scan, p, "expected a member name in double quotes");
name:
	if (count == scan->max_members)
		return fail(scan, SL_ELIMIT, p, "too many members in one object");
	count++;
	quote = p;
	p = pass_string(scan, p + 1, &plain);
	if (!p)
		return SL_ESYNTAX;
	if (here) {
		err = track_key(scan, here, quote, p, plain);
		if (err != SL_OK)
			return err;
	}
	if (end - p > 2 && p[1] == ':' && p[2] > ' ') {
		p += 2;
		c = *p;
	} else {
		p++;
		c = next_byte(&p, end);
		if (c != ':')
			return unexpected(scan, p, "expected ':' behind a member name");
		p++;
		c = next_byte(&p, end);
	}
	if (here)
		here->value_start = (size_t)(p - scan->doc);
	goto value;

close:
	p++;
	closed = count;
	count = scan->around[--depth];
	if (here)
		scan->tracked--;
	here = depth == scan->tracked && depth > 0 ? &scan->levels[depth - 1] : NULL;
	goto behind_value;
}

static enum sl_err
scan_document(struct scan *scan, const struct sl_json_limits *limits, bool need_object,
              struct sl_json_found *top)
{
	const uint8_t *start, *p;
	enum sl_err err;

	if (!limits)
		limits = &sl_json_limits_default;
	scan->max_depth = limits->max_depth < DEPTH_MAX ? limits->max_depth : DEPTH_MAX;
	scan->max_members = limits->max_members < IN_ARRAY ? limits->max_members : IN_ARRAY - 1;
	start = sl_json_skip_space(scan->doc, scan->end);
	if (start == scan->end)
		return fail(scan, SL_ESYNTAX, start, "the document is empty");
	if (scan->end - start >= 3 && memcmp(start, "\xef\xbb\xbf", 3) == 0)
		return fail(scan, SL_ESYNTAX, start,
		            "byte order mark before the document; send UTF-8 without it");
	p = start;
	err = scan_value(scan, &p);
	if (err != SL_OK)
		return err;
	if (top) {
		*top = (struct sl_json_found){ 0 };
		fill_value(scan, top, (size_t)(start - scan->doc), (size_t)(p - scan->doc),
		           scan->top_count);
	}
	p = sl_json_skip_space(p, scan->end);
	if (p != scan->end)
		return fail(scan, SL_ESYNTAX, p, "bytes behind the end of the document");
	if (scan->beyond_ascii) {
		p = scan->doc + sl_utf8_check(sl_slice_make(scan->doc, (size_t)(p - scan->doc)));
		if (p != scan->end)
			return fail(scan, SL_ESYNTAX, p, "bytes that are not UTF-8");
	}
	if (need_object && *start != '{')
		return fail(scan, SL_ETYPE, start, "the document must be a JSON object");
	return SL_OK;
}

enum sl_err
sl_json_scan(struct sl_slice doc, const struct sl_json_limits *limits,
             const struct sl_json_want *wants, size_t want_count, struct sl_json_found *found,
             struct sl_json_found *top, struct sl_json_error *error)
{
	/* The stack of open containers is written before it is read. */
	struct scan scan __attribute__((uninitialized));
	const char *bytes = doc.len ? doc.ptr : "";

	scan.doc = (const uint8_t *)bytes;
	scan.end = scan.doc + doc.len;
	scan.wants = wants;
	scan.found = found;
	scan.error = error;
	scan.tracked = 0;
	scan.beyond_ascii = 0;
	if (want_count > SL_JSON_WANTS_MAX)
		return fail(&scan, SL_EINVAL, scan.doc, "too many members are asked for");
	scan.want_count = want_count;
	for (size_t i = 0; i < want_count; i++)
		found[i].type = SL_JSON_NONE;
	return scan_document(&scan, limits, true, top);
}

enum sl_err
sl_json_validate(struct sl_slice doc, const struct sl_json_limits *limits,
                 struct sl_json_error *error)
{
	struct scan scan __attribute__((uninitialized));
	const char *bytes = doc.len ? doc.ptr : "";

	scan.doc = (const uint8_t *)bytes;
	scan.end = scan.doc + doc.len;
	scan.want_count = 0;
	scan.error = error;
	scan.tracked = 0;
	scan.beyond_ascii = 0;
	return scan_document(&scan, limits, false, NULL);
}
