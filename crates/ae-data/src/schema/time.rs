//! Dates and times as seconds, in the proleptic Gregorian calendar.

use serde::{Deserialize, Serialize};

/// How dates and times of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TimeFormat {
    /// `2024-05-01`
    Date,
    /// `2024-05-01 12:30:00`
    Space,
    /// `2024-05-01T12:30:00`
    T,
    /// `2024-05-01T12:30:00Z`
    Utc,
    /// `01.05.2024`
    Dots,
    /// `01.05.2024 12:30:00`
    DotsTime,
    /// `2024/05/01`
    Slashes,
    /// `2024/05/01 12:30:00`
    SlashesTime,
    /// `01/05/2024`, the day first
    DayFirst,
    /// `01/05/2024 12:30:00`, the day first
    DayFirstTime,
    /// `05/01/2024`, the month first
    MonthFirst,
    /// `05/01/2024 12:30:00`, the month first
    MonthFirstTime,
}

/// The order of day and month in dates that have it from their column, such as `01/05/2024`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateOrder {
    DayFirst,
    MonthFirst,
}

impl TimeFormat {
    /// Whether it includes a time of day.
    pub(super) fn has_time(self) -> bool {
        self.with_time() == self
    }

    /// The format of the same dates with a time of day.
    pub(super) fn with_time(self) -> TimeFormat {
        match self {
            TimeFormat::Date => TimeFormat::Space,
            TimeFormat::Dots => TimeFormat::DotsTime,
            TimeFormat::Slashes => TimeFormat::SlashesTime,
            TimeFormat::DayFirst => TimeFormat::DayFirstTime,
            TimeFormat::MonthFirst => TimeFormat::MonthFirstTime,
            other => other,
        }
    }

    /// The order of day and month, if dates are read by it.
    pub(super) fn order(self) -> Option<DateOrder> {
        match self {
            TimeFormat::DayFirst | TimeFormat::DayFirstTime => Some(DateOrder::DayFirst),
            TimeFormat::MonthFirst | TimeFormat::MonthFirstTime => Some(DateOrder::MonthFirst),
            _ => None,
        }
    }
}

const SECONDS_PER_DAY: i64 = 86_400;

/// Returns the seconds since 1970 that a text stands for, and its format. The text is `2024-05-01`,
/// alone or followed by a space or `T` and `12:30`, `12:30:00` or `12:30:00.5`, optionally with a time
/// zone, `Z`, `+02:00`, `+0200` or `+02`; or it is `01.05.2024`, `2024/05/01` or (with an `order`)
/// `01/05/2024`, alone or followed by a space and such a time without a zone. Fractions of a second are
/// dropped.
pub(super) fn parse(text: &str, order: Option<DateOrder>) -> Option<(i64, TimeFormat)> {
    let (date, rest) = text.split_at_checked(10)?;
    let ([year, month, day], date_format) = parse_date(date, order)?;
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month, day) * SECONDS_PER_DAY;
    let Some(separator) = rest.chars().next() else { return Some((days, date_format)) };
    let (time, utc_offset) = split_zone(&rest[separator.len_utf8()..])?;
    let format = match (date_format, separator, utc_offset) {
        (_, ' ', None) => date_format.with_time(),
        (TimeFormat::Date, 'T', None) => TimeFormat::T,
        (TimeFormat::Date, ' ' | 'T', Some(_)) => TimeFormat::Utc,
        _ => return None,
    };
    let time = match time.split_once('.') {
        Some((time, fraction)) if time.len() == 8 && fraction.bytes().all(|b| b.is_ascii_digit()) => time,
        Some(_) => return None,
        None => time,
    };
    let [hours, minutes, seconds] = match time.len() {
        5 => {
            let [hours, minutes] = numbers(time, ':', [2, 2])?;
            [hours, minutes, 0]
        }
        _ => numbers(time, ':', [2, 2, 2])?,
    };
    // A leap second counts as the next second.
    let is_valid = hours < 24 && minutes < 60 && seconds <= 60;
    is_valid.then_some((days + 3600 * hours + 60 * minutes + seconds - utc_offset.unwrap_or(0), format))
}

/// Returns the seconds since 1970 that a text stands for in a column of this format.
pub(crate) fn parse_as(text: &str, format: TimeFormat) -> Option<i64> {
    parse(text, format.order()).map(|(seconds, _)| seconds)
}

/// Returns year, month and day, and the format that they are written in.
fn parse_date(date: &str, order: Option<DateOrder>) -> Option<([i64; 3], TimeFormat)> {
    let year_first = |separator| numbers(date, separator, [4, 2, 2]);
    let year_last = |separator| numbers(date, separator, [2, 2, 4]);
    match date.bytes().find(|byte| !byte.is_ascii_digit())? {
        b'-' => Some((year_first('-')?, TimeFormat::Date)),
        b'.' => year_last('.').map(|[day, month, year]| ([year, month, day], TimeFormat::Dots)),
        b'/' => match (year_last('/'), order) {
            (None, _) => Some((year_first('/')?, TimeFormat::Slashes)),
            (Some([day, month, year]), Some(DateOrder::DayFirst)) => {
                Some(([year, month, day], TimeFormat::DayFirst))
            }
            (Some([month, day, year]), Some(DateOrder::MonthFirst)) => {
                Some(([year, month, day], TimeFormat::MonthFirst))
            }
            (Some(_), None) => None,
        },
        _ => None,
    }
}

/// Splits a time from its zone, returned as the offset from UTC in seconds; `None` if there is no zone.
fn split_zone(time: &str) -> Option<(&str, Option<i64>)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, Some(0)));
    }
    let Some(place) = time.find(['+', '-']) else { return Some((time, None)) };
    let (time, offset) = time.split_at(place);
    let digits = offset.get(1..)?;
    let [hours, minutes] = match digits.len() {
        2 => numbers(digits, ':', [2]).map(|[hours]| [hours, 0])?,
        4 => {
            let (hours, minutes) = digits.split_at_checked(2)?;
            let ([hours], [minutes]) = (numbers(hours, ':', [2])?, numbers(minutes, ':', [2])?);
            [hours, minutes]
        }
        _ => numbers(digits, ':', [2, 2])?,
    };
    let utc_offset = 3600 * hours + 60 * minutes;
    let is_valid = hours < 24 && minutes < 60;
    is_valid.then_some((time, Some(if offset.starts_with('-') { -utc_offset } else { utc_offset })))
}

/// Parses whole numbers with exactly this many digits each.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut found = [0; N];
    let mut parts = text.split(separator);
    for (number, digits) in found.iter_mut().zip(digits) {
        let part =
            parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

/// Formats seconds since 1970, rounded to the nearest day if the format has no time. Years are clamped
/// to 0 to 9999.
pub(crate) fn write(seconds: i64, format: TimeFormat) -> String {
    let seconds = if format.has_time() {
        seconds
    } else {
        let days = seconds.saturating_add(SECONDS_PER_DAY / 2).div_euclid(SECONDS_PER_DAY);
        days.saturating_mul(SECONDS_PER_DAY)
    };
    let seconds = seconds.clamp(
        days_from_civil(0, 1, 1) * SECONDS_PER_DAY,
        days_from_civil(10_000, 1, 1) * SECONDS_PER_DAY - 1,
    );
    let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let date = match format {
        TimeFormat::Date | TimeFormat::Space | TimeFormat::T | TimeFormat::Utc => {
            format!("{year:04}-{month:02}-{day:02}")
        }
        TimeFormat::Dots | TimeFormat::DotsTime => format!("{day:02}.{month:02}.{year:04}"),
        TimeFormat::Slashes | TimeFormat::SlashesTime => format!("{year:04}/{month:02}/{day:02}"),
        TimeFormat::DayFirst | TimeFormat::DayFirstTime => format!("{day:02}/{month:02}/{year:04}"),
        TimeFormat::MonthFirst | TimeFormat::MonthFirstTime => format!("{month:02}/{day:02}/{year:04}"),
    };
    let time = format!("{hours:02}:{minutes:02}:{seconds:02}");
    match format {
        _ if !format.has_time() => date,
        TimeFormat::T => format!("{date}T{time}"),
        TimeFormat::Utc => format!("{date}T{time}Z"),
        _ => format!("{date} {time}"),
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years start in March, so that the leap day is the last day.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day from days since 1970-01-01 (`civil_from_days` of the same source).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_seconds() {
        // `date -u -d ... +%s`
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2019-03-23 20:21:09", 1_553_372_469),
            ("2000-02-29T12:00:00", 951_825_600),
            ("1899-12-31T23:59:59Z", -2_208_988_801),
            ("2019-03-23 20:21", 1_553_372_460),
            ("23.03.2019 20:21:09", 1_553_372_469),
            ("01.01.1970", 0),
            ("2019/03/23 20:21:09", 1_553_372_469),
            ("1970/01/02", 86_400),
        ] {
            let (found, format) = parse(text, None).unwrap();
            assert_eq!(found, seconds, "{text}");
            let whole = if text.len() == 16 { format!("{text}:00") } else { text.to_owned() };
            assert_eq!(write(seconds, format), whole);
        }
        // Features are single-precision numbers, so centuries after the first date they are seconds away
        // from the start of a day.
        for (seconds, text) in
            [(-300, "1970-01-01"), (43_199, "1970-01-01"), (43_200, "1970-01-02"), (86_300, "1970-01-02")]
        {
            assert_eq!(write(seconds, TimeFormat::Date), text);
        }
        assert_eq!(write(i64::MAX, TimeFormat::Date), "9999-12-31");
        assert_eq!(write(i64::MIN, TimeFormat::Dots), "01.01.0000");
        assert_eq!(parse("2019-03-23 20:21:09.75", None).unwrap().0, 1_553_372_469);
        // A leap second; `date -u -d 2017-01-01 +%s`
        assert_eq!(parse("2016-12-31 23:59:60", None).unwrap().0, 1_483_228_800);
    }

    /// Day and month with slashes are read in the order of their column only.
    #[test]
    fn slashes_need_an_order() {
        let cases = [
            ("02/01/1970", DateOrder::DayFirst, 86_400, TimeFormat::DayFirst),
            ("01/02/1970", DateOrder::MonthFirst, 86_400, TimeFormat::MonthFirst),
            ("02/01/1970 00:00:01", DateOrder::DayFirst, 86_401, TimeFormat::DayFirstTime),
            ("01/02/1970 00:00:01", DateOrder::MonthFirst, 86_401, TimeFormat::MonthFirstTime),
        ];
        for (text, order, seconds, format) in cases {
            assert_eq!(parse(text, Some(order)), Some((seconds, format)));
            assert_eq!((parse(text, None), parse_as(text, format)), (None, Some(seconds)));
            assert_eq!(write(seconds, format), text);
        }
        assert_eq!(parse("12/31/2019", Some(DateOrder::DayFirst)), None);
        assert_eq!(
            parse_as("2019-01-01", TimeFormat::DayFirst),
            parse_as("01/01/2019", TimeFormat::DayFirst)
        );
    }

    #[test]
    fn zones_count() {
        for text in [
            "2019-03-23T22:21:09+02:00",
            "2019-03-23 22:21:09+02:00",
            "2019-03-23T22:21:09.25+0200",
            "2019-03-23 14:51:09-05:30",
            "2019-03-24T08:21:09+12",
            "2019-03-23 20:21:09Z",
        ] {
            assert_eq!(parse(text, None), Some((1_553_372_469, TimeFormat::Utc)), "{text}");
        }
        assert_eq!(write(1_553_372_469, TimeFormat::Utc), "2019-03-23T20:21:09Z");
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2019",
            "2019-3-23",
            "2019-13-01",
            "2019-02-29",
            "1900-02-29",
            "2019-03-23x",
            "2019-03-23 ",
            "2019-03-23 24:00:00",
            "2019-03-23 2:00",
            "2019-03-23T20:21:09.5x",
            "2019-03-23T20:21:09+",
            "2019-03-23T20:21:09+2",
            "2019-03-23T20:21:09+25:00",
            "2019-03-23T20:21:09+02:0",
            "2019-03-23 +02:00",
            "2019-03-23+02:00",
            "2019-03-23T20:21:09+0é0",
            "23.03.2019T20:21:09",
            "23.03.2019 20:21:09Z",
            "23.3.2019",
            "03.23.2019",
            "2019-03-23é",
            "20190323",
            "2019-03-23 20:21.5",
            "+019-03-23",
            "2019-04-31",
            "2019-06-31",
            "2019-09-31",
            "2019-11-31",
            "2019-12-32",
            "2019/13/01",
            "2019/3/23",
            "2019/03-23",
            "2019/03/23T20:21",
            "2019/03/23 20:21Z",
            "31/13/2019",
            "12/31/2019",
            "1/12/2019",
            "2019-03-00",
            "2019-00-23",
            "2019-03-23 20:60",
            "2019-03-23 20:21:61",
            "2019-03-23T20:21:09+24:00",
            "2019-03-23T20:21:09+02:60",
        ] {
            assert_eq!(parse(text, Some(DateOrder::DayFirst)), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for day in -200_000..=200_000i64 {
            let text = write(day * SECONDS_PER_DAY + 3661, TimeFormat::Space);
            assert_eq!(parse(&text, None), Some((day * SECONDS_PER_DAY + 3661, TimeFormat::Space)));
        }
        assert_eq!(write(i64::MAX, TimeFormat::Date), "9999-12-31");
        assert_eq!(write(i64::MIN, TimeFormat::Date), "0000-01-01");
    }
}
