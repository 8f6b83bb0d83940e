//! Looks through what containers, syslog and process managers put around each line.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use memchr::{memchr, memmem};

use super::plain::colours;

/// A physical line seen through its wrapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unwrapped {
    /// What the wrapping names as the line's origin, hashed; 0 for a line without wrapping.
    pub(crate) stream: u64,
    /// The line as its program printed it, within the physical line, without its end.
    pub(crate) text: Range<usize>,
    /// The program's line goes on in the stream's next physical line.
    pub(crate) partial: bool,
    /// What the wrapping is.
    pub(crate) dress: Dress,
}

/// What stands around a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dress {
    /// Nothing.
    #[default]
    Plain,
    /// A prefix that names the line's origin: it belongs to the record's first line.
    Prefix,
    /// The container runtime interface's prefix, which says nothing about the record.
    Cri,
    /// Docker's JSON object: the text is the inside of a string.
    Docker,
}

/// Looks through the wrapping of a physical line; `line` may hold its end.
pub(crate) fn unwrap(line: &[u8]) -> Unwrapped {
    let line = trim_end(line);
    let wrapped = match line.first() {
        Some(b'{') => docker(line),
        Some(b'0'..=b'9') => cri(line).or_else(|| logcat(line)).or_else(|| pm2(line)).or_else(|| dated_syslog(line)),
        Some(b'<') => syslog(line),
        Some(b'[') => kubectl_prefix(line),
        Some(b'A'..=b'Z') => bsd_syslog(line, 0).or_else(|| logcat_brief(line)).or_else(|| compose(line)),
        Some(b'a'..=b'z' | b'_') => compose(line).or_else(|| stern(line)),
        Some(0x1b) => coloured_compose(line),
        _ => None,
    };
    wrapped.unwrap_or(Unwrapped { stream: 0, text: 0..line.len(), partial: false, dress: Dress::Plain })
}

/// The line without its newline and carriage return.
pub(crate) fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn prefix(line: &[u8], stream: &[u8], text: usize) -> Option<Unwrapped> {
    Some(Unwrapped { stream: stream_of(stream), text: text..line.len(), partial: false, dress: Dress::Prefix })
}

fn stream_of(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish().max(1)
}

/// Docker's json-file driver: `{"log":"text\n","stream":"stdout","time":"…"}`.
fn docker(line: &[u8]) -> Option<Unwrapped> {
    const OPEN: &[u8] = br#"{"log":""#;
    if !line.starts_with(OPEN) {
        return None;
    }
    let close = memmem::rfind(line, br#"","stream":""#)?;
    let stream = close + br#"","stream":""#.len();
    let name = &line[stream..stream + memchr(b'"', &line[stream..])?];
    let text = line.get(OPEN.len()..close)?;
    let (text, partial) = match text.strip_suffix(br"\n") {
        Some(text) => (text.strip_suffix(br"\r").unwrap_or(text), false),
        None => (text, true),
    };
    Some(Unwrapped {
        stream: stream_of(name),
        text: OPEN.len()..OPEN.len() + text.len(),
        partial,
        dress: Dress::Docker,
    })
}

/// The container runtime interface: `2025-03-24T22:29:56.099119149Z stderr F text`.
fn cri(line: &[u8]) -> Option<Unwrapped> {
    if line.get(10) != Some(&b'T') {
        return None;
    }
    let space = memchr(b' ', line.get(..44.min(line.len()))?)?;
    let rest = &line[space + 1..];
    let name = if rest.starts_with(b"stdout ") || rest.starts_with(b"stderr ") { &rest[..6] } else { return None };
    let tags = &rest[7..];
    let end = memchr(b' ', tags).unwrap_or(tags.len());
    let partial = match tags[..end].split(|byte| *byte == b':').next() {
        Some(b"F") => false,
        Some(b"P") => true,
        _ => return None,
    };
    let text = (space + 1 + 7 + end + 1).min(line.len());
    Some(Unwrapped { stream: stream_of(name), text: text..line.len(), partial, dress: Dress::Cri })
}

/// Android's formats with a time, here in front of `E ReactNativeJS: text` and the like: `threadtime` and `time`, with
/// a year or without, and Android Studio's.
///
/// - `03-01 19:27:20.330 28602 17577 E ReactNativeJS: text`
/// - `03-01 19:27:20.330 E/ReactNativeJS(28602): text`
/// - `2026-03-01 19:27:20.330 28602-17577/com.example.dialer E/ReactNativeJS: text`
/// - `2026-03-01 19:27:20.330 28602-17577 ReactNativeJS           com.example.dialer                   E  text`
fn logcat(line: &[u8]) -> Option<Unwrapped> {
    let year = if line.get(4) == Some(&b'-') { 5 } else { 0 };
    let date = line.get(year..year + 19)?;
    if date[2] != b'-' || date[5] != b' ' || date[8] != b':' || date[11] != b':' || date[14] != b'.' || date[18] != b' '
    {
        return None;
    }
    let from = year + 19;
    let rest = &line[from..];
    if let Some(brief) = logcat_brief(rest) {
        return prefix(line, &rest[..brief.text.start], from + brief.text.start);
    }
    let is_number = |word: &[u8]| word.iter().all(u8::is_ascii_digit);
    let ids = |word: &[u8]| memchr(b'-', word).is_some_and(|at| is_number(&word[..at]) && is_number(&word[at + 1..]));
    let mut ends = rest.iter().enumerate().skip(1).filter(|(at, byte)| **byte == b' ' && rest[at - 1] != b' ');
    let mut word = || {
        let end = ends.next()?.0;
        let start = rest[..end].iter().rposition(|byte| *byte == b' ').map_or(0, |at| at + 1);
        Some((&rest[start..end], end))
    };
    let (first, _) = word()?;
    if is_number(first) {
        let is_tid = is_number(word()?.0);
        let is_level = is_level_letter(word()?.0);
        let colon = memmem::find(rest.get(..90.min(rest.len()))?, b": ")?;
        return if is_tid && is_level { prefix(line, &rest[..colon], from + colon + 2) } else { None };
    }
    if first.split(|byte| *byte == b'/').next().is_some_and(ids) {
        let (second, end) = word()?;
        if second.ends_with(b":") {
            return prefix(line, &rest[..end], from + end + 1);
        }
        let (_, (level, end)) = (word()?, word()?);
        if is_level_letter(level) && rest.get(end + 1) == Some(&b' ') {
            return prefix(line, &rest[..end], from + end + 2);
        }
    }
    None
}

fn is_level_letter(word: &[u8]) -> bool {
    matches!(word, b"V" | b"D" | b"I" | b"W" | b"E" | b"F" | b"A")
}

/// Android's `brief` and `tag`: `E/ReactNativeJS(28602): text`, `E/ReactNativeJS: text`.
fn logcat_brief(line: &[u8]) -> Option<Unwrapped> {
    if line.get(1) != Some(&b'/') || !is_level_letter(&line[..1]) {
        return None;
    }
    let end = memmem::find(line.get(..80.min(line.len()))?, b": ")?;
    let (tag, pid) = match line[2..end].strip_suffix(b")") {
        Some(both) => both.split_at(memchr(b'(', both)?),
        None => (&line[2..end], &b"(0"[..]),
    };
    let pid = pid[1..].trim_ascii();
    let is_tag = !tag.is_empty() && !tag.trim_ascii_end().contains(&b'/');
    let is_pid = !pid.is_empty() && pid.iter().all(u8::is_ascii_digit);
    if is_tag && is_pid { prefix(line, &line[..end], end + 2) } else { None }
}

/// pm2: `1|callflow  | text`, and with `--log-date-format` a date in front of the text.
fn pm2(line: &[u8]) -> Option<Unwrapped> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > 4 || line.get(digits) != Some(&b'|') {
        return None;
    }
    let mut named = bar(line, digits + 1)?;
    let text = &line[named.text.clone()];
    let date = text.iter().take_while(|byte| byte.is_ascii_digit() || b"-+.:/TZ ".contains(byte)).count();
    // The blank behind the date, and what the program printed, which may begin with blanks or digits itself.
    if let Some(end) = memmem::find(&text[..date], b": ")
        && end >= b"2026-01-02".len()
    {
        named.text.start += end + 2;
    }
    Some(named)
}

/// docker compose: `notify-1  | text`.
fn compose(line: &[u8]) -> Option<Unwrapped> {
    bar(line, 0)
}

/// docker compose on a terminal: the name and its bar in colour, `␛[36mnotify-1  |␛[0m text`.
fn coloured_compose(line: &[u8]) -> Option<Unwrapped> {
    let name = colours(line);
    let bar = name + memchr(b'|', line.get(name..120.min(line.len()))?)?;
    let origin = line[name..bar].trim_ascii_end();
    if name == 0 || origin.len() == bar - name || origin.is_empty() || !origin.iter().all(|byte| is_name(*byte)) {
        return None;
    }
    let text = bar + 1 + colours(&line[bar + 1..]);
    if line.get(text).is_some_and(|byte| *byte != b' ') {
        return None;
    }
    prefix(line, origin, (text + 1).min(line.len()))
}

/// A name, blanks, a bar and a blank (or the end).
fn bar(line: &[u8], from: usize) -> Option<Unwrapped> {
    let rest = &line[from..];
    let name = rest.iter().take_while(|byte| is_name(**byte)).count();
    let blanks = rest[name..].iter().take_while(|byte| **byte == b' ').count();
    if name == 0 || blanks == 0 || rest.get(name + blanks) != Some(&b'|') {
        return None;
    }
    let text = from + name + blanks + 1;
    match line.get(text) {
        None => prefix(line, &line[..from + name], text),
        Some(b' ') => prefix(line, &line[..from + name], text + 1),
        Some(_) => None,
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// `kubectl logs --prefix`: `[pod/notify-0aa4e5256-8w9b7/app] text`.
fn kubectl_prefix(line: &[u8]) -> Option<Unwrapped> {
    if !line.starts_with(b"[pod/") {
        return None;
    }
    let end = memmem::find(line.get(..400.min(line.len()))?, b"] ")?;
    prefix(line, &line[..end], end + 2)
}

/// stern, and older `kubectl`: `notify-0aa4e5256-8w9b7 app text`, `minter-0 › app text`.
fn stern(line: &[u8]) -> Option<Unwrapped> {
    const ARROW: &[u8] = " \u{203a} ".as_bytes();
    let pod = line.iter().take_while(|byte| is_name(**byte)).count();
    let between = match &line[pod..] {
        rest if rest.starts_with(ARROW) => ARROW.len(),
        [b' ', ..] if is_pod(&line[..pod]) => 1,
        _ => return None,
    };
    let container = line[pod + between..].iter().take_while(|byte| is_name(**byte)).count();
    let end = pod + between + container;
    if container == 0 || line.get(end).is_some_and(|byte| *byte != b' ') {
        return None;
    }
    prefix(line, &line[..end], (end + 1).min(line.len()))
}

/// A pod of a deployment: `NAME-HASH-FIVE`, or of a stateful set: `NAME-N`, which is too common a form to take.
fn is_pod(name: &[u8]) -> bool {
    let mut parts = name.rsplit(|byte| *byte == b'-');
    let lower = |part: &[u8]| part.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let suffix = parts.next().is_some_and(|part| part.len() == 5 && lower(part));
    let hash = parts
        .next()
        .is_some_and(|part| (8..=10).contains(&part.len()) && lower(part) && part.iter().any(u8::is_ascii_digit));
    suffix && hash && parts.next().is_some_and(|part| !part.is_empty())
}

/// A syslog line with its priority: RFC 5424 `<131>1 TIME HOST APP PROCID MSGID SD MSG`, else RFC 3164.
fn syslog(line: &[u8]) -> Option<Unwrapped> {
    let close = memchr(b'>', line.get(..5.min(line.len()))?)?;
    if close < 2 || !line[1..close].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let header = close + 1;
    if !line[header..].starts_with(b"1 ") {
        return bsd_syslog(line, header).or_else(|| prefix(line, b"<>", header));
    }
    let mut at = header + 2;
    let mut origin = at..at;
    for field in 0..5 {
        let end = at + memchr(b' ', &line[at..])?;
        match field {
            1 => origin = at..end,
            2 | 3 => origin.end = end,
            _ => {}
        }
        at = end + 1;
    }
    let text = match line.get(at) {
        Some(b'[') => structured_data_end(line, at),
        _ => at + 1,
    };
    prefix(line, &line[origin], (text + 1).min(line.len()))
}

/// Where the elements `[id key="value" …]…` that begin at `at` end.
fn structured_data_end(line: &[u8], mut at: usize) -> usize {
    let mut quoted = false;
    while let Some(byte) = line.get(at) {
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b']' if !quoted && line.get(at + 1) != Some(&b'[') => return at + 1,
            _ => {}
        }
        at += 1;
    }
    line.len()
}

/// RFC 3164 and journald's short form: `Mar 17 06:26:48 host unit[pid]: text`.
fn bsd_syslog(line: &[u8], from: usize) -> Option<Unwrapped> {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let stamp = line.get(from..from + 16)?;
    if !MONTHS.contains(&&stamp[..3]) || stamp[3] != b' ' || stamp[9] != b':' || stamp[12] != b':' || stamp[15] != b' '
    {
        return None;
    }
    tagged(line, from + 16)
}

/// journald's ISO form and Heroku: `2025-12-07T01:16:52-0500 host unit[pid]: text`.
fn dated_syslog(line: &[u8]) -> Option<Unwrapped> {
    if line.get(10) != Some(&b'T') {
        return None;
    }
    let space = memchr(b' ', line.get(..40.min(line.len()))?)?;
    tagged(line, space + 1)
}

/// `host tag[pid]: text` or `tag[pid]: text`; the first two words, up to the colon.
fn tagged(line: &[u8], from: usize) -> Option<Unwrapped> {
    let rest = line.get(from..)?;
    let colon = memchr(b':', rest.get(..120.min(rest.len()))?)?;
    let origin = &rest[..colon];
    let spaces = memchr::memchr_iter(b' ', origin).count();
    let tag = origin.rsplit(|byte| *byte == b' ').next()?;
    // Without a pid in brackets a word and a colon are any sentence, unless a host stands before them.
    let bracketed = tag.ends_with(b"]") && tag.contains(&b'[');
    if tag.is_empty() || spaces > 1 || (!bracketed && spaces != 1) {
        return None;
    }
    // `[component] word:` and `ERROR word:` are an application's own.
    let host = &origin[..origin.len() - tag.len()];
    let host = host.trim_ascii_end();
    if !host.iter().all(|byte| is_name(*byte) || *byte == b':') || (!bracketed && is_level(host)) {
        return None;
    }
    match rest.get(colon + 1) {
        None => prefix(line, origin, from + colon + 1),
        Some(b' ') => prefix(line, origin, from + colon + 2),
        Some(_) => None,
    }
}

/// Whether a word is a level, as applications print it between the time and the text.
fn is_level(word: &[u8]) -> bool {
    const LEVELS: [&[u8]; 10] =
        [b"trace", b"debug", b"info", b"notice", b"warn", b"warning", b"error", b"err", b"critical", b"fatal"];
    LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let wrapped = unwrap(line.as_bytes());
        assert_eq!(line.get(wrapped.text.clone()), Some(expected));
        assert_ne!(wrapped.stream, 0, "{line}");
    }

    #[track_caller]
    fn check_plain(line: &str) {
        assert_eq!(unwrap(line.as_bytes()).stream, 0, "{line}");
    }

    #[test]
    fn looks_through_each_wrapping() {
        check(r#"{"log":"a \"b\"\n","stream":"stdout","time":"2026-01-04T00:02:10.97Z"}"#, r#"a \"b\""#);
        check("2025-03-24T22:29:56.099119149Z stderr F  code: 1\n", " code: 1");
        check("2025-03-24T22:29:56.099119149Z stderr F", "");
        check("03-01 19:27:20.330 28602 17577 E ReactNativeJS:   code: 31400,", "  code: 31400,");
        check("E/ReactNativeJS(28602):   code: 31400,", "  code: 31400,");
        check("E/ReactNativeJS:   code: 31400,", "  code: 31400,");
        check("03-01 19:27:20.330 E/ReactNativeJS(28602):   code: 31400,", "  code: 31400,");
        check("2026-03-01 19:27:20.330 28602-17577/com.example E/ReactNativeJS:   code: 31400,", "  code: 31400,");
        check("2026-03-01 19:27:20.330 28602-17577 ReactNativeJS    com.example   E    code: 31400,", "  code: 31400,");
        check("2026-03-01 19:27:20.330 28602 17577 E ReactNativeJS:   code: 31400,", "  code: 31400,");
        check("1|callflow  |   status: 401,", "  status: 401,");
        check("1|callflow  | 2026-02-27 07:12:09 +01:00:   status: 401,", "  status: 401,");
        check("notify-1  |     at success", "    at success");
        check("notify-1  |\r\n", "");
        check("\u{1b}[36mnotify-1    |\u{1b}[0m   status: 401,", "  status: 401,");
        check("[pod/notify-0aa4e5256-8w9b7/app] text", "text");
        check("notify-0aa4e5256-8w9b7 app   status: 401,", "  status: 401,");
        check("minter-0 › app   status: 401,", "  status: 401,");
        check("Mar 17 06:26:48 callsrv phone-worker.1[16795]: W, x", "W, x");
        check("2025-12-07T01:16:52-0500 box9 uvicorn[17944]: callback", "callback");
        check("2025-09-23T19:45:09.145808+00:00 app[web.1]: Authenticate", "Authenticate");
        check("<11>May 12 10:46:45 node-14 dialer[21218]: twilio-go", "twilio-go");
        check(
            r#"<131>1 2026-07-14T01:53:47.896Z web3 frontdesk 20106 - [o ip="1]"][b x="2"] Twilio 400"#,
            "Twilio 400",
        );
        check("<131>1 2026-07-14T01:53:47.896Z web3 frontdesk 20106 - - Twilio 400", "Twilio 400");
    }

    #[test]
    fn leaves_plain_lines_alone() {
        check_plain("2025-12-15 02:54:10.777 | ERROR    | outreach.dial:ring:99 - Twilio error");
        check_plain("2026-03-01 19:27:20.330 28602 jobs are waiting: all");
        check_plain("2026-03-01 19:27:20.330 28602-17577 is the range");
        check_plain("2026-08-18T16:26:31 ERROR voice.agent - closed: now");
        check_plain(r#"{"level":"error","msg":"x"}"#);
        check_plain("ConnectionError (31005): x");
        check_plain("2026-03-02T09:14:07.6Z [agent-ui] wanda: device error: CallCancelledError {");
        check_plain("2026-03-02T09:14:07.6Z ERROR dialer: device error {");
        check_plain("Dec is a month");
        check_plain("");
    }

    #[test]
    fn tells_streams_and_partial_lines() {
        let part = unwrap(b"2025-03-24T22:29:56.099119149Z stdout P x");
        assert!(part.partial);
        assert_ne!(part.stream, unwrap(b"2025-03-24T22:29:56.099119149Z stderr F x").stream);
        assert!(unwrap(br#"{"log":"half","stream":"stdout","time":"x"}"#).partial);
        assert!(!unwrap(br#"{"log":"whole\n","stream":"stdout","time":"x"}"#).partial);
    }
}
