/* Dates without the system's clock, zone or locale: the same moment gives the same prompt. The
 * calendar is Howard Hinnant's days-to-civil. */
#include "jinja/time.h"
#include <stdio.h>
#include <string.h>

typedef struct date {
    int64_t year;
    int month, day, hour, minute, second, weekday, yearday; /* January is 1, Sunday 0, yearday 1 */
} date;

static date date_of(int64_t seconds)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t limit = (int64_t)253402300799; /* the year 9999 */
    if (seconds > limit) seconds = limit;
    if (seconds < -62135596800) seconds = -62135596800; /* the year 1 */
    int64_t days = seconds / 86400, rest = seconds % 86400;
    if (rest < 0) rest += 86400, days--;
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    date d = {.day = (int)(doy - (153 * mp + 2) / 5 + 1),
              .month = (int)(mp < 10 ? mp + 3 : mp - 9),
              .hour = (int)(rest / 3600),
              .minute = (int)(rest / 60 % 60),
              .second = (int)(rest % 60),
              .weekday = (int)(((days + 4) % 7 + 7) % 7)};
    d.year = yoe + era * 400 + (d.month <= 2);
    bool leap = (d.year % 4 == 0 && d.year % 100 != 0) || d.year % 400 == 0;
    d.yearday = before[d.month - 1] + d.day + (leap && d.month > 2);
    return d;
}

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};
static const char *const weekdays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};

/* Week of the year, from 0; weeks begin on `first` (Sunday is 0). */
static int week_of(const date *d, int first)
{
    return (d->yearday + 6 - (d->weekday - first + 7) % 7) / 7;
}

/* One directive; false when it is none. `plain` is the "-" of %-d: no zero in front. */
static bool directive(const date *d, char c, bool plain, char *out, size_t room)
{
    const struct {
        char c;
        int value, width;
    } numbers[] = {{'d', d->day, 2},
                   {'m', d->month, 2},
                   {'Y', (int)d->year, 4},
                   {'y', (int)(d->year % 100), 2},
                   {'H', d->hour, 2},
                   {'I', (d->hour + 11) % 12 + 1, 2},
                   {'M', d->minute, 2},
                   {'S', d->second, 2},
                   {'j', d->yearday, 3},
                   {'w', d->weekday, 1},
                   {'u', d->weekday == 0 ? 7 : d->weekday, 1},
                   {'C', (int)(d->year / 100), 2},
                   {'U', week_of(d, 0), 2},
                   {'W', week_of(d, 1), 2},
                   {'f', 0, 6}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].c == c) {
            (void)snprintf(out, room, "%0*d", plain ? 1 : numbers[i].width, numbers[i].value);
            return true;
        }
    const char *month = months[d->month - 1], *weekday = weekdays[d->weekday];
    switch (c) {
    case 'e':
        (void)snprintf(out, room, plain ? "%d" : "%2d", d->day);
        return true;
    case 'B':
    case 'b':
    case 'h':
        (void)snprintf(out, room, "%.*s", c == 'B' ? 20 : 3, month);
        return true;
    case 'A':
    case 'a':
        (void)snprintf(out, room, "%.*s", c == 'A' ? 20 : 3, weekday);
        return true;
    case 'p':
        (void)snprintf(out, room, "%s", d->hour < 12 ? "AM" : "PM");
        return true;
    case 'Z':
    case 'z':
        out[0] = '\0'; /* a time without a zone, as datetime.now() is */
        return true;
    case '%':
    case 'n':
    case 't':
        (void)snprintf(out, room, "%s", c == '%' ? "%" : c == 'n' ? "\n" : "\t");
        return true;
    default:
        return false;
    }
}

/* Directives that stand for several. */
static const char *expansion(char c)
{
    switch (c) {
    case 'F':
        return "%Y-%m-%d";
    case 'T':
    case 'X':
        return "%H:%M:%S";
    case 'D':
    case 'x':
        return "%m/%d/%y";
    case 'R':
        return "%H:%M";
    case 'c':
        return "%a %b %e %H:%M:%S %Y";
    case 'r':
        return "%I:%M:%S %p";
    default:
        return NULL;
    }
}

static void expand(jrun *r, jbuf *out, const date *d, const char *p)
{
    char text[32];
    for (; *p != '\0'; p++) {
        if (*p == '%' && directive(d, *++p, false, text, sizeof text))
            hg_jb_puts(r, out, text);
        else
            hg_jb_put(r, out, p, 1, JV_TRUSTED);
    }
}

void hg_jinja_strftime(jrun *r, jbuf *out, const jv_str *format, int64_t seconds)
{
    date d = date_of(seconds);
    char text[32];
    for (size_t i = 0; i < format->n && r->failed == HG_OK; i++) {
        size_t at = i;
        bool plain = i + 2 < format->n && format->p[i + 1] == '-';
        if (format->p[i] != '%' || i + 1 == format->n) {
            hg_jb_put_str(r, out, format, i, i + 1);
            continue;
        }
        i += plain ? 2 : 1;
        if (!plain && expansion(format->p[i]) != NULL)
            expand(r, out, &d, expansion(format->p[i]));
        else if (directive(&d, format->p[i], plain, text, sizeof text))
            hg_jb_puts(r, out, text);
        else
            hg_jb_put_str(r, out, format, at, i + 1);
    }
}
