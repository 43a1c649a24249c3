/* zone.c - RFC 8536 zone files, and the calendar.
 *
 * Times before the file's last transition are looked up, later ones follow the rule
 * in its footer ("CET-1CEST,M3.5.0,M10.5.0/3"). A day begins at its first moment, also
 * where a change of the clock skips midnight.
 */
#include "ledger/zone.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MAX = 256 * 1024, HEADER = 44, DAY_S = 86400, NAME_MAX_LEN = 64 };

/* One end of daylight saving: week 5 is the last. Julian forms have month 0. */
struct rule {
	int month, week, weekday; /* Mm.w.d */
	int julian;               /* Jn: 1..365, without 29 February; n: 0..365 with it */
	bool counts_leap;
	int time_s;
};

struct sl_zone {
	int32_t     standard_s, daylight_s;
	bool        has_daylight;
	struct rule begin, end;
	size_t      count;
	int64_t    *at;
	int32_t    *offset; /* from at[i] on */
	int32_t     first;  /* before at[0] */
};

/* --- calendar ------------------------------------------------------------------------ */

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days since 1970-01-01 of a proleptic Gregorian date; month 1..12. */
static int64_t
days_from_civil(int64_t year, int month, int day)
{
	int64_t y = year - (month <= 2), era = floor_div(y, 400), yoe = y - era * 400;
	int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void
civil_from_days(int64_t days, int64_t *year, int *month)
{
	int64_t z = days + 719468, era = floor_div(z, 146097), doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = yoe + era * 400 + (*month <= 2);
}

int32_t
sl_week_of_day(int32_t day)
{
	return (int32_t)floor_div((int64_t)day + 3, 7);
}

int32_t
sl_day_of_week(int32_t week)
{
	return week * 7 - 3;
}

int32_t
sl_month_of_day(int32_t day)
{
	int64_t year;
	int month;

	civil_from_days(day, &year, &month);
	return (int32_t)((year - 1970) * 12 + month - 1);
}

int32_t
sl_day_of_month(int32_t month)
{
	int64_t years = floor_div(month, 12);

	return (int32_t)days_from_civil(1970 + years, (int)(month - years * 12) + 1, 1);
}

/* --- rules ----------------------------------------------------------------------------- */

static bool
number(struct sl_slice *text, int max, int *out)
{
	size_t digits = 0;

	for (*out = 0; text->len && text->ptr[0] >= '0' && text->ptr[0] <= '9' && digits < 4; digits++) {
		*out = *out * 10 + (text->ptr[0] - '0');
		*text = sl_slice_from(*text, 1);
	}
	return digits > 0 && *out <= max;
}

static bool
accept(struct sl_slice *text, char c)
{
	if (text->len == 0 || text->ptr[0] != c)
		return false;
	*text = sl_slice_from(*text, 1);
	return true;
}

/* [+-]h[h][:mm[:ss]] in seconds. */
static bool
hours(struct sl_slice *text, int *out)
{
	int h, m = 0, s = 0;
	bool minus = accept(text, '-');

	if (!minus)
		accept(text, '+');
	if (!number(text, 167, &h) || (accept(text, ':') && (!number(text, 59, &m) ||
	    (accept(text, ':') && !number(text, 59, &s)))))
		return false;
	*out = (h * 60 + m) * 60 + s;
	if (minus)
		*out = -*out;
	return true;
}

static bool
skip_name(struct sl_slice *text)
{
	size_t len = 0;
	bool quoted = accept(text, '<');

	while (len < text->len && (quoted ? text->ptr[len] != '>'
	                                  : ((text->ptr[len] | 32) >= 'a' &&
	                                     (text->ptr[len] | 32) <= 'z')))
		len++;
	*text = sl_slice_from(*text, len);
	return len > 0 && (!quoted || accept(text, '>'));
}

static bool
parse_rule(struct sl_slice *text, struct rule *rule)
{
	*rule = (struct rule){ .time_s = 2 * 3600 };
	if (accept(text, 'M')) {
		if (!number(text, 12, &rule->month) || rule->month == 0 || !accept(text, '.') ||
		    !number(text, 5, &rule->week) || rule->week == 0 || !accept(text, '.') ||
		    !number(text, 6, &rule->weekday))
			return false;
	} else {
		rule->counts_leap = !accept(text, 'J');
		if (!number(text, 365, &rule->julian))
			return false;
	}
	return !accept(text, '/') || hours(text, &rule->time_s);
}

static bool
parse_footer(struct sl_slice text, struct sl_zone *zone)
{
	int west;

	if (text.len == 0)
		return true;
	if (!skip_name(&text) || !hours(&text, &west))
		return false;
	zone->standard_s = -west;
	if (text.len == 0)
		return true;
	zone->daylight_s = zone->standard_s + 3600;
	if (!skip_name(&text))
		return false;
	if (text.len && text.ptr[0] != ',') {
		if (!hours(&text, &west))
			return false;
		zone->daylight_s = -west;
	}
	zone->has_daylight = accept(&text, ',') && parse_rule(&text, &zone->begin) &&
	                     accept(&text, ',') && parse_rule(&text, &zone->end);
	return zone->has_daylight && text.len == 0;
}

static bool
is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Local seconds since 1970 at which a rule applies in a year. */
static int64_t
rule_at(const struct rule *rule, int64_t year)
{
	int64_t day;

	if (rule->month == 0) {
		day = days_from_civil(year, 1, 1) + rule->julian - !rule->counts_leap;
		if (!rule->counts_leap && is_leap(year) && rule->julian >= 60)
			day++;
	} else {
		int64_t first = days_from_civil(year, rule->month, 1);
		int64_t next = rule->month == 12 ? days_from_civil(year + 1, 1, 1)
		                                 : days_from_civil(year, rule->month + 1, 1);
		int64_t weekday = ((first + 4) % 7 + 7) % 7;

		day = first + (rule->weekday - weekday + 7) % 7 + 7 * (rule->week - 1);
		while (day >= next)
			day -= 7;
	}
	return day * DAY_S + rule->time_s;
}

static int32_t
offset_by_rule(const struct sl_zone *zone, int64_t wall_s)
{
	int64_t year, begin, end;
	int month;
	bool summer;

	if (!zone->has_daylight)
		return zone->standard_s;
	civil_from_days(floor_div(wall_s + zone->standard_s, DAY_S), &year, &month);
	begin = rule_at(&zone->begin, year) - zone->standard_s;
	end = rule_at(&zone->end, year) - zone->daylight_s;
	summer = begin < end ? wall_s >= begin && wall_s < end
	                          : wall_s >= begin || wall_s < end;
	return summer ? zone->daylight_s : zone->standard_s;
}

/* --- files ------------------------------------------------------------------------------- */

static int64_t
big_endian(const char *at, int size)
{
	uint64_t out = (unsigned char)at[0] & 0x80 ? ~(uint64_t)0 : 0;

	for (int i = 0; i < size; i++)
		out = out << 8 | (unsigned char)at[i];
	return (int64_t)out;
}

/* Counts of a header: isutc, isstd, leap, time, type, char. */
static bool
read_header(struct sl_slice file, int64_t counts[6])
{
	if (file.len < HEADER || memcmp(file.ptr, "TZif", 4) != 0 || file.ptr[4] < '2')
		return false;
	for (int i = 0; i < 6; i++) {
		counts[i] = big_endian(file.ptr + 20 + 4 * i, 4);
		if (counts[i] < 0 || counts[i] > FILE_MAX)
			return false;
	}
	return counts[4] > 0;
}

static size_t
body_size(const int64_t counts[6], int time_size)
{
	return (size_t)(counts[3] * (time_size + 1) + counts[4] * 6 + counts[5] +
	                counts[2] * (time_size + 4) + counts[1] + counts[0]);
}

static bool
read_transitions(struct sl_zone *zone, const char *body, const int64_t counts[6])
{
	size_t count = (size_t)counts[3];
	const char *index = body + count * 8, *types = index + count;

	zone->at = calloc(count + 1, sizeof(*zone->at));
	zone->offset = calloc(count + 1, sizeof(*zone->offset));
	if (!zone->at || !zone->offset)
		return false;
	zone->first = zone->standard_s = (int32_t)big_endian(types, 4);
	for (size_t i = 0; i < count; i++) {
		unsigned type = (unsigned char)index[i];

		zone->at[i] = big_endian(body + 8 * i, 8);
		if (type >= (unsigned)counts[4] || (i > 0 && zone->at[i] <= zone->at[i - 1]))
			return false;
		zone->offset[i] = zone->standard_s = (int32_t)big_endian(types + 6 * type, 4);
		if (zone->offset[i] < -2 * DAY_S || zone->offset[i] > 2 * DAY_S)
			return false;
	}
	zone->count = count;
	return true;
}

enum sl_err
sl_zone_parse(struct sl_slice file, struct sl_zone **out)
{
	int64_t counts[6];
	struct sl_zone *zone;
	struct sl_slice rest;

	/* The first block has 32-bit times: skipped. */
	if (!read_header(file, counts))
		return SL_ESYNTAX;
	rest = sl_slice_from(file, HEADER + body_size(counts, 4));
	if (!read_header(rest, counts) || rest.len < HEADER + body_size(counts, 8) + 2)
		return SL_ESYNTAX;
	zone = calloc(1, sizeof(*zone));
	if (!zone)
		return SL_ENOMEM;
	*out = zone;
	if (read_transitions(zone, rest.ptr + HEADER, counts)) {
		rest = sl_slice_from(rest, HEADER + body_size(counts, 8));
		if (accept(&rest, '\n') && parse_footer(sl_slice_cut(&rest, '\n'), zone))
			return SL_OK;
	}
	sl_zone_free(zone);
	return SL_ESYNTAX;
}

static enum sl_err
read_zone_file(struct sl_slice name, struct sl_zone **out)
{
	char path[128], *bytes;
	enum sl_err err = SL_EIO;
	ssize_t size;
	int fd;

	if (name.len == 0 || name.len > NAME_MAX_LEN || name.ptr[0] == '/' ||
	    sl_slice_search(name, SL_SLICE("..")) >= 0 || memchr(name.ptr, '\0', name.len))
		return SL_ENOTFOUND;
	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%.*s", SL_ARG(name));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return SL_ENOTFOUND;
	bytes = malloc(FILE_MAX);
	size = bytes ? read(fd, bytes, FILE_MAX) : -1;
	if (size >= 0)
		err = sl_zone_parse(sl_slice_make(bytes, (size_t)size), out);
	free(bytes);
	close(fd);
	return err;
}

enum sl_err
sl_zone_new(struct sl_slice name, struct sl_zone **out)
{
	struct sl_slice text = name;
	bool fixed = name.len && (name.ptr[0] == '+' || name.ptr[0] == '-');
	int offset = 0;

	if (fixed && (!hours(&text, &offset) || text.len || offset > DAY_S || offset < -DAY_S))
		return SL_ENOTFOUND;
	if (!fixed && name.len && !sl_slice_is(name, "UTC"))
		return read_zone_file(name, out);
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return SL_ENOMEM;
	(*out)->standard_s = (*out)->first = offset;
	return SL_OK;
}

void
sl_zone_free(struct sl_zone *zone)
{
	if (!zone)
		return;
	free(zone->at);
	free(zone->offset);
	free(zone);
}

/* --- shared ---------------------------------------------------------------------------------- */

/* More than there are zones: offsets such as "+02:00" count too. */
enum { SHARED_MAX = 1024 };

struct shared {
	struct shared  *next;
	struct sl_zone *zone;
	size_t          len;
	char            name[NAME_MAX_LEN];
};

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct shared *shared_zones;
static size_t shared_count;

static enum sl_err
share(struct sl_slice name, const struct sl_zone **out)
{
	struct shared *shared = shared_count < SHARED_MAX ? malloc(sizeof(*shared)) : NULL;
	enum sl_err err = shared ? sl_zone_new(name, &shared->zone) : SL_ELIMIT;

	if (err != SL_OK) {
		free(shared);
		return err;
	}
	memcpy(shared->name, name.ptr, name.len);
	shared->len = name.len;
	shared->next = shared_zones;
	shared_zones = shared;
	shared_count++;
	*out = shared->zone;
	return SL_OK;
}

enum sl_err
sl_zone_shared(struct sl_slice name, const struct sl_zone **zone)
{
	struct shared *at;
	enum sl_err err = SL_OK;

	*zone = NULL;
	if (name.len == 0 || name.len > NAME_MAX_LEN)
		return SL_ENOTFOUND;
	pthread_mutex_lock(&shared_lock);
	at = shared_zones;
	while (at && !sl_slice_eq(sl_slice_make(at->name, at->len), name))
		at = at->next;
	if (at)
		*zone = at->zone;
	else
		err = share(name, zone);
	pthread_mutex_unlock(&shared_lock);
	return err;
}

/* --- questions ------------------------------------------------------------------------------ */

int32_t
sl_zone_offset_s(const struct sl_zone *zone, int64_t wall_s)
{
	size_t low = 0, high;

	if (!zone)
		return 0;
	if (zone->count == 0 || wall_s >= zone->at[zone->count - 1])
		return offset_by_rule(zone, wall_s);
	high = zone->count;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (zone->at[middle] <= wall_s)
			low = middle + 1;
		else
			high = middle;
	}
	return low == 0 ? zone->first : zone->offset[low - 1];
}

int32_t
sl_zone_day(const struct sl_zone *zone, int64_t wall_ms)
{
	int64_t wall_s;

	if (!zone)
		return (int32_t)floor_div(wall_ms, (int64_t)DAY_S * 1000);
	wall_s = floor_div(wall_ms, 1000);
	return (int32_t)floor_div(wall_s + sl_zone_offset_s(zone, wall_s), DAY_S);
}

int64_t
sl_zone_day_begins_ms(const struct sl_zone *zone, int32_t day)
{
	/* Offsets are within a day and a bit: the first second of the day is in here. */
	int64_t low = ((int64_t)day - 2) * DAY_S, high = ((int64_t)day + 2) * DAY_S;

	if (!zone)
		return (int64_t)day * DAY_S * 1000;
	while (low < high) {
		int64_t middle = floor_div(low + high, 2);

		if (sl_zone_day(zone, middle * 1000) >= day)
			high = middle;
		else
			low = middle + 1;
	}
	return low * 1000;
}
