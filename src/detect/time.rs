//! Reads the time of a record: RFC 3339 and its relatives, epochs, syslog, web servers, Java, Python, Go, klog.
//!
//! A date counts where log formats put it: at the beginning of the line, or as the value of a field whose name
//! says so. Dates elsewhere are part of what the record talks about.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};
use memchr::memmem;

use super::wrapping::{Dress, unwrap};

/// How far into a line its own time may begin without a name, in bytes.
const LEAD: usize = 48;

/// How far into a line a named time is looked for, in bytes.
const REACH: usize = 2 << 10;

/// When a record says it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordTime {
    /// The instant.
    pub at: Timestamp,
    /// Whether the record names no zone, so that it was taken for local time.
    pub assumed_local: bool,
}

/// The time of a record whose first physical line is `head`.
///
/// `now` gives the local zone and the year where a format has none. A time with a zone goes before one without,
/// and the program's own before its container's.
pub fn record_time(head: &[u8], now: &Zoned) -> Option<RecordTime> {
    let wrapped = unwrap(head);
    let inner = find(&head[wrapped.text.clone()], now);
    let outer = || match wrapped.dress {
        Dress::Plain => None,
        Dress::Prefix | Dress::Cri => find(&head[..wrapped.text.start], now),
        Dress::Docker => {
            memmem::rfind(head, br#""time":""#).and_then(|at| stamp(&head[at + 8..], now)).map(|found| found.0)
        }
    };
    match inner {
        Some(time) if !time.assumed_local => Some(time),
        _ => outer().filter(|time| inner.is_none() || !time.assumed_local).or(inner),
    }
}

/// The first time in a line, at its beginning or in a field that says so.
fn find(line: &[u8], now: &Zoned) -> Option<RecordTime> {
    let line = &line[..line.len().min(REACH)];
    // Everything in an object has a name.
    let lead = if line.first() == Some(&b'{') { 0 } else { LEAD };
    let mut at = 0;
    let mut previous = b' ';
    while at < line.len() {
        let byte = line[at];
        let starts = byte.is_ascii_digit() && !previous.is_ascii_digit() && !matches!(previous, b'.' | b'-' | b'/')
            || byte.is_ascii_uppercase() && !previous.is_ascii_alphanumeric();
        if starts && let Some((time, length)) = stamp(&line[at..], now) {
            // An epoch needs a name unless the line begins with it.
            let is_epoch =
                byte.is_ascii_digit() && line[at..at + length].iter().all(|b| b.is_ascii_digit() || *b == b'.');
            if is_named(&line[..at]) || (at == 0 || !is_epoch) && at < lead {
                return Some(time);
            }
            at += length;
            previous = b'0';
            continue;
        }
        previous = byte;
        at += 1;
    }
    None
}

/// Whether a field whose name says that it is a time ends here.
fn is_named(before: &[u8]) -> bool {
    const NAMES: [&[u8]; 16] = [
        b"time",
        b"timestamp",
        b"ts",
        b"t",
        b"date",
        b"datetime",
        b"asctime",
        b"@timestamp",
        b"eventtime",
        b"@t",
        b"timeunixnano",
        b"__realtime_timestamp",
        b"receivetimestamp",
        b"$date",
        b"failed_at",
        b"created_at",
    ];
    let end = before.iter().rposition(|b| !matches!(b, b' ' | b'"' | b'\'' | b':' | b'=' | b'\\' | b'['));
    let Some(end) = end.filter(|end| before[end + 1..].iter().any(|b| matches!(b, b':' | b'='))) else { return false };
    let start = before[..=end].iter().rposition(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'@' | b'$')));
    let name = &before[start.map_or(0, |start| start + 1)..=end];
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The time at the beginning of `text`, and how long it is.
fn stamp(text: &[u8], now: &Zoned) -> Option<(RecordTime, usize)> {
    let mut cursor = Parser { text, at: 0 };
    if text.first()?.is_ascii_uppercase() { named_month(&mut cursor, now) } else { numeric(&mut cursor, now) }
        .map(|time| (time, cursor.at))
}

/// A time that begins with digits.
fn numeric(p: &mut Parser<'_>, now: &Zoned) -> Option<RecordTime> {
    let run = p.digits();
    match (run.len(), p.peek()) {
        (4, Some(separator @ (b'-' | b'/'))) => {
            let year = number(run)?;
            p.at += 1;
            let month = p.number(2)?;
            p.expect(separator)?;
            let day = p.number(2)?;
            let date = date(year, month, day)?;
            p.one_of(b"T t_")?;
            let time = p.time()?;
            Some(p.zoned(date, time, now))
        }
        // 06/Mar/2025:12:59:00 +0000, 12/26/2025, 9:58:37 PM, 17/03/2025 12:00:00.
        (1 | 2, Some(b'/')) => {
            let first = number(run)?;
            p.at += 1;
            if let Some(month) = p.month() {
                p.expect(b'/')?;
                let year = p.number(4)?;
                p.one_of(b": ")?;
                let time = p.time()?;
                return Some(p.zoned(date(year, month, first)?, time, now));
            }
            let second = number(p.digits())?;
            p.expect(b'/')?;
            let year = p.number(4)?;
            let _comma = p.one_of(b",");
            p.one_of(b" T")?;
            let time = p.time()?;
            let time = p.afternoon(time)?;
            let day = date(year, first, second).or_else(|| date(year, second, first))?;
            Some(p.zoned(day, time, now))
        }
        // Android: 03-01 19:27:20.315.
        (2, Some(b'-')) => {
            let month = number(run)?;
            p.at += 1;
            let day = p.number(2)?;
            p.expect(b' ')?;
            let time = p.time()?;
            this_year(p, month, day, time, now)
        }
        // 17 Nov 2025 20:43:02.208.
        (1 | 2, Some(b' ')) => {
            let day = number(run)?;
            p.at += 1;
            let month = p.month()?;
            p.expect(b' ')?;
            let year = p.number(4)?;
            p.one_of(b" ,")?;
            let time = p.time()?;
            Some(p.zoned(date(year, month, day)?, time, now))
        }
        (10 | 13 | 16 | 19, _) => {
            let whole: i64 = std::str::from_utf8(run).ok()?.parse().ok()?;
            let unit = match run.len() {
                10 => 1_000_000_000,
                13 => 1_000_000,
                16 => 1_000,
                _ => 1,
            };
            let mut nanoseconds = i128::from(whole) * unit;
            if run.len() == 10 && p.peek() == Some(b'.') && p.text.get(p.at + 1).is_some_and(u8::is_ascii_digit) {
                p.at += 1;
                nanoseconds += i128::from(p.fraction());
            }
            // 2001 to 2100: other long numbers are no times.
            let at = Timestamp::from_nanosecond(nanoseconds).ok()?;
            let plausible = (1_000_000_000..4_102_444_800).contains(&at.as_second());
            plausible.then_some(RecordTime { at, assumed_local: false })
        }
        _ => None,
    }
}

/// A time that begins with a capital: syslog's month, a weekday before it, or klog's level.
fn named_month(p: &mut Parser<'_>, now: &Zoned) -> Option<RecordTime> {
    if matches!(p.text[0], b'I' | b'W' | b'E' | b'F') && p.text.get(1).is_some_and(u8::is_ascii_digit) {
        p.at = 1;
        let month = p.number(2)?;
        let day = p.number(2)?;
        p.expect(b' ')?;
        let time = p.time()?;
        return this_year(p, month, day, time, now);
    }
    const WEEKDAYS: &[u8] = b"MonTueWedThuFriSatSun";
    if WEEKDAYS.chunks(3).any(|day| p.text.starts_with(day)) {
        p.at = 3;
        let _comma = p.one_of(b",");
        p.expect(b' ')?;
        if p.peek()?.is_ascii_digit() {
            return numeric(p, now);
        }
    }
    let month = p.month()?;
    p.expect(b' ')?;
    if p.peek() == Some(b' ') {
        p.at += 1;
    }
    let day = number(p.digits())?;
    let _comma = p.one_of(b",");
    p.expect(b' ')?;
    // `Dec 14, 2025 11:02:27 PM`, `Mon Aug 04 23:11:26 2025`, `May 13 22:21:44`.
    if p.text.get(p.at + 4).is_some_and(|b| matches!(b, b' ' | b',')) {
        let year = p.number(4)?;
        let _comma = p.one_of(b",");
        p.expect(b' ')?;
        let time = p.time()?;
        let time = p.afternoon(time)?;
        return Some(p.zoned(date(year, month, day)?, time, now));
    }
    let time = p.time()?;
    let saved = p.at;
    if p.expect(b' ').is_some()
        && let Some(year) = p.number(4)
        && !p.peek().is_some_and(|b| b.is_ascii_alphanumeric())
    {
        return Some(p.zoned(date(year, month, day)?, time, now));
    }
    p.at = saved;
    this_year(p, month, day, time, now)
}

/// The instant of a date without a year: the latest one that is not past tomorrow.
fn this_year(p: &mut Parser<'_>, month: i16, day: i16, time: Time, now: &Zoned) -> Option<RecordTime> {
    let of = |p: &mut Parser<'_>, year| Some(p.zoned(date(year, month, day)?, time, now));
    let start = p.at;
    let tomorrow = now.timestamp() + SignedDuration::from_hours(24);
    let this = of(p, now.year());
    if let Some(time) = this
        && time.at <= tomorrow
    {
        return Some(time);
    }
    p.at = start;
    of(p, now.year() - 1)
}

fn date(year: i16, month: i16, day: i16) -> Option<Date> {
    Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()
}

fn number(digits: &[u8]) -> Option<i16> {
    if digits.is_empty() || digits.len() > 4 {
        return None;
    }
    Some(digits.iter().fold(0, |value, digit| value * 10 + i16::from(digit - b'0')))
}

/// A place in a text.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.one_of(&[byte])
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<()> {
        if bytes.contains(&self.peek()?) {
            self.at += 1;
            return Some(());
        }
        None
    }

    /// The digits from here on.
    fn digits(&mut self) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let run = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += run;
        &rest[..run]
    }

    /// A number of this many digits.
    fn number(&mut self, digits: usize) -> Option<i16> {
        let text = self.text.get(self.at..self.at + digits)?;
        self.at += digits;
        if text.iter().all(u8::is_ascii_digit) { number(text) } else { None }
    }

    /// `HH:MM:SS` with an optional fraction.
    fn time(&mut self) -> Option<Time> {
        let hour = number(self.digits()).filter(|hour| *hour < 24)?;
        self.expect(b':')?;
        let minute = self.number(2)?;
        self.expect(b':')?;
        let second = self.number(2)?.min(59);
        let mut nanosecond = 0;
        if matches!(self.peek(), Some(b'.' | b',')) && self.text.get(self.at + 1).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
            nanosecond = self.fraction();
        }
        Time::new(hour as i8, minute as i8, second as i8, nanosecond).ok()
    }

    /// The digits of a fraction of a second, in nanoseconds.
    fn fraction(&mut self) -> i32 {
        let digits = self.digits();
        (0..9).fold(0, |value, place| value * 10 + digits.get(place).map_or(0, |digit| i32::from(digit - b'0')))
    }

    /// `AM` or `PM` after a time of twelve hours.
    fn afternoon(&mut self, time: Time) -> Option<Time> {
        let rest = self.text[self.at..].trim_ascii_start();
        let skipped = self.text.len() - self.at - rest.len();
        let hour = match rest.get(..2) {
            Some(b"AM" | b"am") => time.hour() % 12,
            Some(b"PM" | b"pm") => time.hour() % 12 + 12,
            _ => return Some(time),
        };
        self.at += skipped + 2;
        time.with().hour(hour).build().ok()
    }

    fn month(&mut self) -> Option<i16> {
        const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
        let name = self.text.get(self.at..self.at + 3)?;
        let month = MONTHS.chunks(3).position(|month| month == name)?;
        self.at += 3;
        Some(month as i16 + 1)
    }

    /// The instant of a civil time, with the zone that stands here or else the local one.
    fn zoned(&mut self, date: Date, time: Time, now: &Zoned) -> RecordTime {
        let civil = DateTime::from_parts(date, time);
        let zone = self.zone();
        let assumed_local = zone.is_none();
        let zone = zone.unwrap_or_else(|| now.time_zone().clone());
        // A civil time in the gap of a change to summer time is taken as the instant after it.
        let at = zone.to_ambiguous_timestamp(civil).compatible().unwrap_or_else(|_| now.timestamp());
        RecordTime { at, assumed_local }
    }

    /// `Z`, `UTC`, `+00:00`, `-0500`, after a blank or not.
    fn zone(&mut self) -> Option<TimeZone> {
        let start = self.at;
        let _blank = self.one_of(b" ");
        let rest = &self.text[self.at..];
        if rest.starts_with(b"UTC") || rest.starts_with(b"GMT") {
            self.at += 3;
            return Some(TimeZone::UTC);
        }
        match rest.first() {
            Some(b'Z' | b'z') if !rest.get(1).is_some_and(u8::is_ascii_alphanumeric) => {
                self.at += 1;
                Some(TimeZone::UTC)
            }
            Some(sign @ (b'+' | b'-')) => {
                self.at += 1;
                let offset = self.number(2).and_then(|hours| {
                    let _colon = self.one_of(b":");
                    let seconds = i32::from(hours) * 3600 + i32::from(self.number(2)?) * 60;
                    Offset::from_seconds(if *sign == b'-' { -seconds } else { seconds }).ok()
                });
                if offset.is_none() {
                    self.at = start;
                }
                offset.map(TimeZone::fixed)
            }
            _ => {
                self.at = start;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Zoned {
        let zone = TimeZone::fixed(Offset::constant(2));
        "2026-02-01T12:00:00Z".parse::<Timestamp>().unwrap().to_zoned(zone)
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let time = record_time(line.as_bytes(), &now()).unwrap_or_else(|| panic!("no time in {line}"));
        assert_eq!((time.at.to_string().as_str(), time.assumed_local), (expected, false), "{line}");
    }

    /// Two hours east of Greenwich.
    #[track_caller]
    fn check_local(line: &str, expected: &str) {
        let time = record_time(line.as_bytes(), &now()).unwrap_or_else(|| panic!("no time in {line}"));
        assert_eq!((time.at.to_string().as_str(), time.assumed_local), (expected, true), "{line}");
    }

    #[track_caller]
    fn check_none(line: &str) {
        assert_eq!(record_time(line.as_bytes(), &now()), None, "{line}");
    }

    #[test]
    fn reads_times_with_a_zone() {
        check("2026-01-02T04:11:53Z x", "2026-01-02T04:11:53Z");
        check("2026-01-02T04:11:53.120-05:00 x", "2026-01-02T09:11:53.12Z");
        check("[2026-07-10 03:38:03 +0200] x", "2026-07-10T01:38:03Z");
        check("2026-01-14 19:42:50.694 UTC [42097] ERROR", "2026-01-14T19:42:50.694Z");
        check("10.1.2.3 - - [06/Mar/2025:12:59:00 +0000] \"GET\"", "2025-03-06T12:59:00Z");
        check("time=\"2025-05-23T11:25:43Z\" level=warning", "2025-05-23T11:25:43Z");
        check(r#"{"level":"error","ts":1754378317.936548,"x":1}"#, "2025-08-05T07:18:37.936548Z");
        check(r#"{"level":40,"time":1738141056971}"#, "2025-01-29T08:57:36.971Z");
        check(r#"{"x":1,"timeUnixNano":"1762947857945296985"}"#, "2025-11-12T11:44:17.945296985Z");
        check("1744454978.342441	C57c", "2025-04-12T10:49:38.342441Z");
        check(r#"{"msg":"x","@timestamp":"2025-04-26T09:47:01.940Z"}"#, "2025-04-26T09:47:01.94Z");
    }

    #[test]
    fn takes_times_without_a_zone_as_local() {
        check_local("2025-03-04 13:40:13,085 ERROR", "2025-03-04T11:40:13.085Z");
        check_local("2025/03/24 02:27:32 ring.go", "2025-03-24T00:27:32Z");
        check_local("12/26/2025, 9:58:37 PM ERROR", "2025-12-26T19:58:37Z");
        check_local("[Nest] 20107  - 12/26/2025, 12:05:00 AM", "2025-12-25T22:05:00Z");
        check_local("Jan 17 06:26:48 host unit[1]: x", "2026-01-17T04:26:48Z");
        check_local("Mar 17 06:26:48 host unit[1]: x", "2025-03-17T04:26:48Z");
        check_local("<11>Jan  7 10:46:45 node dialer[2]: x", "2026-01-07T08:46:45Z");
        check_local("E0131 12:00:00.100000 7 a.go:1] y", "2026-01-31T10:00:00.1Z");
        check_local("01-31 19:27:20.315 28602 17577 E Tag: x", "2026-01-31T17:27:20.315Z");
        check_local("53000:M 17 Nov 2025 20:43:02.208 * x", "2025-11-17T18:43:02.208Z");
    }

    #[test]
    fn prefers_a_zone_and_then_the_program() {
        check(
            r#"{"log":"2025-10-12 06:39:06 x\n","stream":"stdout","time":"2025-10-12T06:39:06.58Z"}"#,
            "2025-10-12T06:39:06.58Z",
        );
        check("2025-03-24T22:29:56.099119149Z stderr F 2025-03-24T22:29:50Z x", "2025-03-24T22:29:50Z");
        check("2025-03-24T22:29:56.099119149Z stderr F x", "2025-03-24T22:29:56.099119149Z");
        check("2025-09-23T19:45:09.145808+00:00 app[web.1]: x", "2025-09-23T19:45:09.145808Z");
    }

    #[test]
    fn knows_what_is_no_time_of_the_record() {
        check_none("19:56:52 BusyHere (31486)");
        check_none("ConnectionError (31005): a");
        check_none(r#"{"msg":"x","since":"2020-01-01T00:00:00Z and so on and on and on"}"#);
        check_none("2025-13-45 99:99:99");
        check_none("9999999999 x");
        check_none("");
    }

    proptest! {
        #[test]
        fn never_panics(line in "[0-9TZ:/., +A-Za-z\"{}-]{0,80}") {
            record_time(line.as_bytes(), &now());
        }

        #[test]
        fn reads_what_rfc_3339_writes(second in 1_000_000_000i64..4_102_444_799, nanosecond in 0i32..1_000_000_000) {
            let at = Timestamp::new(second, nanosecond).unwrap();
            let line = format!("{at} ERROR x");
            prop_assert_eq!(record_time(line.as_bytes(), &now()), Some(RecordTime { at, assumed_local: false }));
        }
    }
}
