/* timestamp.c - RFC 3339 without locale, time zone files or strptime. */
#include "base/timestamp.h"

#include <stdio.h>

enum { DAY_S = 86400 };
static const int64_t max_s = 253402300799; /* 9999-12-31T23:59:59Z */

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar: years
 * are counted from March, so that the leap day is a year's last. */
static int64_t
days_from_civil(int64_t year, int64_t month, int64_t day)
{
	int64_t from_march = (month + 9) % 12;
	int64_t y = year - (month <= 2);
	int64_t day_of_year = (153 * from_march + 2) / 5 + day - 1;

	return 365 * y + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

static int
days_in_month(int64_t year, int64_t month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

size_t
sl_timestamp_format(int64_t wall_ms, char out[SL_TIMESTAMP_LEN + 1])
{
	int64_t seconds, days, year, month = 1;
	int len;

	if (wall_ms < 0)
		wall_ms = 0;
	if (wall_ms / 1000 > max_s)
		wall_ms = max_s * 1000;
	seconds = wall_ms / 1000;
	days = seconds / DAY_S;
	year = 1970 + days / 366; /* never too late, at most a few years early */
	while (days_from_civil(year + 1, 1, 1) <= days)
		year++;
	days -= days_from_civil(year, 1, 1);
	while (days >= days_in_month(year, month))
		days -= days_in_month(year, month++);
	len = snprintf(out, SL_TIMESTAMP_LEN + 1, "%04d-%02d-%02dT%02d:%02d:%02d",
	               (int)year % 10000, (int)month % 100, (int)(days + 1) % 100,
	               (int)(seconds % DAY_S / 3600), (int)(seconds % 3600 / 60),
	               (int)(seconds % 60));
	if (wall_ms % 1000)
		len += snprintf(out + len, SL_TIMESTAMP_LEN + 1 - (size_t)len, ".%03d",
		                (int)(wall_ms % 1000));
	out[len++] = 'Z';
	out[len] = '\0';
	return (size_t)len;
}

/* Takes `width` digits. */
static bool
digits(struct sl_slice *rest, size_t width, int64_t *out)
{
	*out = 0;
	if (rest->len < width)
		return false;
	for (size_t i = 0; i < width; i++) {
		if (rest->ptr[i] < '0' || rest->ptr[i] > '9')
			return false;
		*out = *out * 10 + (rest->ptr[i] - '0');
	}
	*rest = sl_slice_from(*rest, width);
	return true;
}

static bool
one_of(struct sl_slice *rest, const char *set)
{
	if (rest->len == 0 || !strchr(set, rest->ptr[0]) || !rest->ptr[0])
		return false;
	*rest = sl_slice_from(*rest, 1);
	return true;
}

static int64_t
fraction_ms(struct sl_slice *rest)
{
	int64_t ms = 0;

	for (int64_t scale = 100; rest->len && rest->ptr[0] >= '0' && rest->ptr[0] <= '9';
	     scale /= 10) {
		ms += scale * (rest->ptr[0] - '0');
		*rest = sl_slice_from(*rest, 1);
	}
	return ms;
}

static bool
offset_s(struct sl_slice *rest, int64_t *out)
{
	bool west = rest->len && rest->ptr[0] == '-';
	int64_t hours, minutes;

	*out = 0;
	if (one_of(rest, "Zz"))
		return true;
	if (!one_of(rest, "+-") || !digits(rest, 2, &hours) || !one_of(rest, ":") ||
	    !digits(rest, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*out = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
	return true;
}

bool
sl_timestamp_parse(struct sl_slice text, int64_t *wall_ms)
{
	int64_t year, month, day, hour = 0, minute = 0, second = 0, ms = 0, offset = 0;
	struct sl_slice rest = text;

	if (sl_slice_i64(text, &second)) {
		if (second < 0 || second > max_s)
			return false;
		*wall_ms = second * 1000;
		return true;
	}
	if (!digits(&rest, 4, &year) || !one_of(&rest, "-") || !digits(&rest, 2, &month) ||
	    !one_of(&rest, "-") || !digits(&rest, 2, &day) || year < 1970 || month < 1 ||
	    month > 12 || day < 1 || day > days_in_month(year, month))
		return false;
	second = 0;
	if (rest.len) {
		if (!one_of(&rest, "Tt ") || !digits(&rest, 2, &hour) || !one_of(&rest, ":") ||
		    !digits(&rest, 2, &minute) || !one_of(&rest, ":") ||
		    !digits(&rest, 2, &second) || hour > 23 || minute > 59 || second > 60)
			return false;
		if (one_of(&rest, "."))
			ms = fraction_ms(&rest);
		if (!offset_s(&rest, &offset) || rest.len)
			return false;
	}
	second += days_from_civil(year, month, day) * DAY_S + hour * 3600 + minute * 60 - offset;
	if (second < 0 || second > max_s)
		return false;
	*wall_ms = second * 1000 + ms;
	return true;
}

/* Takes one of the names, of three letters each, that stand in a row. */
static bool
named(struct sl_slice *rest, const char *names, int64_t *out)
{
	*out = 0;
	for (; rest->len >= 3 && names[*out * 3]; ++*out) {
		if (memcmp(rest->ptr, names + *out * 3, 3) != 0)
			continue;
		*rest = sl_slice_from(*rest, 3);
		return true;
	}
	return false;
}

bool
sl_timestamp_parse_http(struct sl_slice text, int64_t *wall_ms)
{
	int64_t weekday, year, month, day, hour, minute, second;
	struct sl_slice rest = text;

	if (!named(&rest, "SunMonTueWedThuFriSat", &weekday) || !one_of(&rest, ",") ||
	    !one_of(&rest, " ") || !digits(&rest, 2, &day) || !one_of(&rest, " ") ||
	    !named(&rest, "JanFebMarAprMayJunJulAugSepOctNovDec", &month) || !one_of(&rest, " ") ||
	    !digits(&rest, 4, &year) || !one_of(&rest, " ") || !digits(&rest, 2, &hour) ||
	    !one_of(&rest, ":") || !digits(&rest, 2, &minute) || !one_of(&rest, ":") ||
	    !digits(&rest, 2, &second) || !sl_slice_is(rest, " GMT"))
		return false;
	if (year < 1970 || day < 1 || day > days_in_month(year, month + 1) || hour > 23 ||
	    minute > 59 || second > 60)
		return false;
	second += days_from_civil(year, month + 1, day) * DAY_S + hour * 3600 + minute * 60;
	*wall_ms = second * 1000;
	return true;
}
