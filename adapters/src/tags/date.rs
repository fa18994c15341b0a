//! Dates in the formats of the package Moment, in English.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// A time in a format; an empty one is ISO 8601. An unknown zone is UTC without a name.
pub(super) fn format(time: Timestamp, zone: &str, format: &str) -> String {
    let known = TimeZone::get(zone).ok();
    let named = known.is_some();
    let at = time.to_zoned(known.unwrap_or(TimeZone::UTC));
    if format.is_empty() {
        let utc = if named && at.offset().is_zero() {
            "YYYY-MM-DD[T]HH:mm:ss[Z]"
        } else {
            "YYYY-MM-DD[T]HH:mm:ssZ"
        };
        return tokens(utc, |token| part(&at, named, token));
    }
    tokens(&expanded(format), |token| part(&at, named, token))
}

/// Replaces each token of a format; text in brackets and after backslashes is kept.
fn tokens(format: &str, part: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        if let Some(text) = bracketed(rest) {
            out.push_str(&text[1..text.len() - 1]);
            rest = &rest[text.len()..];
            continue;
        }
        let slash = usize::from(c == '\\' && rest.len() > 1);
        let found = token(&rest[slash..]);
        let end = slash + found.len();
        match part(found).filter(|_| slash == 0) {
            Some(text) => out.push_str(&text),
            None => out.push_str(found.trim_start_matches('\\')),
        }
        rest = &rest[end..];
    }
    out
}

/// `[text]` at the beginning: up to the last closing bracket before the next opening one.
fn bracketed(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('[')?;
    let end = rest.find('[').unwrap_or(rest.len());
    let close = rest[..end].rfind(']')?;
    Some(&text[..close + 2])
}

/// The tokens with several letters; a longer one comes before those it begins with.
const TOKENS: [&str; 77] = [
    "Hmmss",
    "hmmss",
    "Hmm",
    "hmm",
    "Mo",
    "MMMM",
    "MMM",
    "MM",
    "M",
    "Do",
    "DDDo",
    "DDDD",
    "DDD",
    "DD",
    "D",
    "dddd",
    "ddd",
    "dd",
    "do",
    "d",
    "wo",
    "ww",
    "w|",
    "w",
    "Wo",
    "WW",
    "W|",
    "W",
    "Qo",
    "Q",
    "NNNNN",
    "NNNN",
    "NNN",
    "NN",
    "N",
    "YYYYYY",
    "YYYYY",
    "YYYY",
    "YY",
    "yyyy",
    "yyy",
    "yy",
    "yo",
    "y",
    "ggggg",
    "gggg",
    "gg",
    "GGGGG",
    "GGGG",
    "GG",
    "e",
    "E",
    "a",
    "A",
    "hh",
    "h",
    "HH",
    "H",
    "kk",
    "k",
    "mm",
    "m",
    "ss",
    "s",
    "SSSSSSSSS",
    "SSSSSSSS",
    "SSSSSSS",
    "SSSSSS",
    "SSSSS",
    "SSSS",
    "SSS",
    "SS",
    "S",
    "x",
    "X",
    "ZZ",
    "Z",
];

fn token(text: &str) -> &str {
    for token in TOKENS {
        if let Some(rest) = text.strip_prefix(token) {
            return &text[..text.len() - rest.len()];
        }
    }
    match text.strip_prefix("zz") {
        Some(rest) => &text[..text.len() - rest.len()],
        None => &text[..text.chars().next().map_or(0, char::len_utf8)],
    }
}

/// Replaces the names of whole formats.
fn expanded(format: &str) -> String {
    let mut format = format.to_owned();
    for _ in 0..6 {
        let next = long(&format);
        if next == format {
            break;
        }
        format = next;
    }
    format
}

const LONG: [(&str, &str); 10] = [
    ("LTS", "h:mm:ss A"),
    ("LT", "h:mm A"),
    ("LLLL", "dddd, MMMM D, YYYY h:mm A"),
    ("LLL", "MMMM D, YYYY h:mm A"),
    ("LL", "MMMM D, YYYY"),
    ("L", "MM/DD/YYYY"),
    ("llll", "ddd, MMM D, YYYY h:mm A"),
    ("lll", "MMM D, YYYY h:mm A"),
    ("ll", "MMM D, YYYY"),
    ("l", "M/D/YYYY"),
];

fn long(format: &str) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        if let Some(text) = bracketed(rest) {
            out.push_str(text);
            rest = &rest[text.len()..];
            continue;
        }
        let slash = usize::from(c == '\\');
        match LONG.iter().find(|(name, _)| rest[slash..].starts_with(name)) {
            // The backslash is part of what is replaced, and keeps it from being a name.
            Some((name, _)) if slash == 1 => {
                out.push_str(&rest[..=name.len()]);
                rest = &rest[1 + name.len()..];
            }
            Some((name, whole)) => {
                out.push_str(whole);
                rest = &rest[name.len()..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// What a token stands for.
fn part(at: &Zoned, named: bool, token: &str) -> Option<String> {
    date_part(at, token).or_else(|| time_part(at, token)).or_else(|| zone_part(at, named, token))
}

fn date_part(at: &Zoned, token: &str) -> Option<String> {
    let year = i64::from(at.year());
    let month = MONTHS[usize::from(at.month().unsigned_abs()) - 1];
    let weekday = i64::from(at.weekday().to_sunday_zero_offset());
    let day = DAYS[usize::try_from(weekday).unwrap_or_default()];
    let (week_year, week) = week(at);
    let iso = at.date().iso_week_date();
    let quarter = i64::from((at.month() + 2) / 3);
    Some(match token {
        "M" => at.month().to_string(),
        "Mo" => ordinal(at.month().into()),
        "MM" => padded(at.month().into(), 2),
        "MMM" => month[..3].to_owned(),
        "MMMM" => month.to_owned(),
        "Q" => quarter.to_string(),
        "Qo" => ordinal(quarter),
        "D" => at.day().to_string(),
        "Do" => ordinal(at.day().into()),
        "DD" => padded(at.day().into(), 2),
        "DDD" => at.day_of_year().to_string(),
        "DDDo" => ordinal(at.day_of_year().into()),
        "DDDD" => padded(at.day_of_year().into(), 3),
        "d" | "e" => weekday.to_string(),
        "do" => ordinal(weekday),
        "dd" => day[..2].to_owned(),
        "ddd" => day[..3].to_owned(),
        "dddd" => day.to_owned(),
        "E" => at.weekday().to_monday_one_offset().to_string(),
        "w" => week.to_string(),
        "wo" => ordinal(week),
        "ww" => padded(week, 2),
        "W" => iso.week().to_string(),
        "Wo" => ordinal(iso.week().into()),
        "WW" => padded(iso.week().into(), 2),
        "gg" => padded(week_year % 100, 2),
        "ggggg" => padded(week_year, 5),
        "GGGGG" => padded(iso.year().into(), 5),
        "gggg" => padded(week_year, 4),
        "GG" => padded(i64::from(iso.year()) % 100, 2),
        "GGGG" => padded(iso.year().into(), 4),
        "N" | "NN" | "NNN" | "NNNNN" => "AD".to_owned(),
        "NNNN" => "Anno Domini".to_owned(),
        "YY" => padded(year % 100, 2),
        "YYYY" | "yyyy" => padded(year, 4),
        "YYYYY" => padded(year, 5),
        "YYYYYY" => format!("+{}", padded(year, 6)),
        "Y" => padded(year, 4),
        "y" | "yy" | "yyy" => year.to_string(),
        "yo" => ordinal(year),
        _ => return None,
    })
}

fn time_part(at: &Zoned, token: &str) -> Option<String> {
    let (hour, minute, second) = (i64::from(at.hour()), i64::from(at.minute()), i64::from(at.second()));
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let twenty_four = if hour == 0 { 24 } else { hour };
    Some(match token {
        "a" => if hour < 12 { "am" } else { "pm" }.to_owned(),
        "A" => if hour < 12 { "AM" } else { "PM" }.to_owned(),
        "h" => twelve.to_string(),
        "hh" => padded(twelve, 2),
        "H" => hour.to_string(),
        "HH" => padded(hour, 2),
        "k" => twenty_four.to_string(),
        "kk" => padded(twenty_four, 2),
        "hmm" => format!("{twelve}{minute:02}"),
        "hmmss" => format!("{twelve}{minute:02}{second:02}"),
        "Hmm" => format!("{hour}{minute:02}"),
        "Hmmss" => format!("{hour}{minute:02}{second:02}"),
        "m" => minute.to_string(),
        "mm" => padded(minute, 2),
        "s" => second.to_string(),
        "ss" => padded(second, 2),
        "x" => at.timestamp().as_millisecond().to_string(),
        "X" => at.timestamp().as_second().to_string(),
        _ if token.starts_with('S') => {
            // Milliseconds are all that JavaScript's dates have.
            let digits = format!("{:03}000000", at.millisecond());
            digits[..token.len().min(digits.len())].to_owned()
        }
        _ => return None,
    })
}

fn zone_part(at: &Zoned, named: bool, token: &str) -> Option<String> {
    let seconds = at.offset().seconds();
    let minutes = (seconds.abs() + 30) / 60;
    let sign = if seconds < 0 { '-' } else { '+' };
    Some(match token {
        "Z" => format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60),
        "ZZ" => format!("{sign}{:02}{:02}", minutes / 60, minutes % 60),
        "z" | "zz" if named => at.time_zone().to_offset_info(at.timestamp()).abbreviation().to_owned(),
        "z" | "zz" => String::new(),
        _ => return None,
    })
}

/// The year and number of a week that starts on Sunday; the first one holds January 1.
fn week(at: &Zoned) -> (i64, i64) {
    let year = i64::from(at.year());
    let day = i64::from(at.day_of_year());
    let weekday = i64::from(at.weekday().to_sunday_zero_offset());
    let first = (weekday - (day - 1)).rem_euclid(7); // the weekday of January 1
    let length = i64::from(at.days_in_year());
    let next_first = (first + length) % 7;
    // The days at the end that are in the week of the next January 1.
    if day > length - next_first {
        return (year + 1, 1);
    }
    (year, (day - 1 + first) / 7 + 1)
}

fn padded(number: i64, width: usize) -> String {
    format!("{number:0width$}")
}

fn ordinal(number: i64) -> String {
    let suffix = match (number % 100 / 10, number % 10) {
        (1, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}
