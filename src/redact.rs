//! Takes secrets out of what is printed, served or stored of a record.
//!
//! What is taken: access tokens (JWT), auth tokens and API key secrets, phone numbers, SIP users and e-mail
//! addresses, also where JSON or a URL escapes them. An account SID keeps its last four characters. Where a
//! run of characters only may be a secret (any 32 hexadecimal digits that are no SID) it is taken too: a trace
//! id lost is a small price.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};

/// How often a text is gone through at most: more than twice only where it was made for that.
const ROUNDS: usize = 8;

/// The text as valid UTF-8, in which nothing looks like a secret any more.
pub fn redact(text: &[u8]) -> Cow<'_, str> {
    let mut text = String::from_utf8_lossy(text);
    // What is taken may leave what looks like a secret only then: once more, until nothing changes.
    for _ in 0..ROUNDS {
        let Some(less) = without_secrets(&text) else { break };
        text = Cow::Owned(less);
    }
    text
}

/// The text without the secrets in it, where there are any.
fn without_secrets(text: &str) -> Option<String> {
    let taken = SECRETS.replace_all(text.as_bytes(), replacement);
    // Only then: what looks like a part of one may begin something else, as a number does an address.
    let taken = BROKEN.replace_all(&taken, joined);
    (taken != text.as_bytes()).then(|| String::from_utf8_lossy(&taken).into_owned())
}

/// A part of a text, narrowed until neither of its ends lies within a secret, whose rest could not be told as one.
pub(crate) fn outside_secrets(text: &[u8], mut part: Range<usize>) -> Range<usize> {
    for secret in SECRETS.find_iter(text).map(|found| found.range()) {
        if (secret.start + 1..secret.end).contains(&part.start) {
            part.start = secret.end;
        }
        if (secret.start + 1..secret.end).contains(&part.end) {
            part.end = secret.start;
        }
    }
    part
}

/// A line that goes on, as terminals and log daemons break it.
const BREAK: &str = "(?:\\r?\\n|\\\\+n)[ \\t]*";

/// Parts of a secret in hexadecimal digits that is broken over lines.
static BROKEN: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = format!("(?i-u)[0-9a-f]{{8,31}}(?:{BREAK}[0-9a-f]{{8,31}})+");
    Regex::new(&pattern).expect("the pattern is constant and tested")
});

/// One secret where the parts are as long as one.
fn joined(found: &Captures<'_>) -> Vec<u8> {
    let parts = found[0].split(|byte| !byte.is_ascii_hexdigit());
    if parts.map(<[u8]>::len).sum::<usize>() >= 32 { b"[secret]".to_vec() } else { found[0].to_vec() }
}

/// One alternative for each kind, the more telling ones first.
static SECRETS: LazyLock<Regex> = LazyLock::new(|| {
    // An escaped character, as URLs (once or twice), JSON and HTML write it.
    let escaped = |hex: &str| format!("%(?:25)*{hex}|\\\\+u00{hex}|&#x{hex};");
    let at = format!("(?:@|{})", escaped("40"));
    let plus = format!("(?:\\+|{}|&#43;)", escaped("2b"));
    let colon = format!("(?::|{})", escaped("3a"));
    let dot = format!("(?:\\.|{})", escaped("2e"));
    let gap = format!("(?:[ ().+\\-]|{}|{}|{})", escaped("20"), escaped("28"), escaped("29"));
    let quote = ["22", "27", "5c"].map(escaped).join("|");
    let sign = format!(
        "(?:[\\\\\"' ]|{quote})*(?:=>|[:=]|{}|{})(?:[\\\\\"'\\s+]|\\\\+n|{quote}|{})*",
        escaped("3a"),
        escaped("3d"),
        escaped("20")
    );
    let patterns = [
        format!("(?P<token>(?-i:eyJ)[a-z0-9_-]{{4,}}(?:{dot}[a-z0-9_-]*|{BREAK}[a-z0-9_-]{{20,}})*)"),
        "(?P<bearer>(?:bearer|basic|digest)(?: |%20|\\+)+)[a-z0-9._~+/=-]{8,}".to_owned(),
        format!(
            "(?P<key>(?:auth[_-]?token|api[_-]?(?:key[_-]?)?secret|secret|password|passwd|access[_-]?token){sign})(?:[^\\s\"'&,;\\\\%}}]|(?:%(?:25)*|\\\\+u00)(?:2[013489abdef]|[0-13-69][0-9a-f])|&#(?:43|x2b);){{6,}}"
        ),
        "(?-i:AC)(?P<account>[0-9a-f]{28})(?P<last>[0-9a-f]{4})".to_owned(),
        // Other SIDs are no secrets: they are matched so that their digits are not taken for one.
        "(?P<sid>(?-i:[A-Z]{2})[0-9a-f]{32})".to_owned(),
        "(?P<hex>[0-9a-f]{32,})".to_owned(),
        "(?P<word>[a-z0-9]{32,})".to_owned(),
        format!("(?P<sip>sips?{colon})[^\\s@\"'<>;,&]{{1,128}}?(?P<host>{at})"),
        format!("(?P<email>(?:[a-z0-9._+-]|{plus}|{dot}){{1,64}}{at}(?:[a-z0-9-]{{1,63}}{dot})+[a-z]{{2,}})"),
        format!("{plus}{gap}?[1-9](?:{gap}{{0,2}}[0-9]){{6,14}}[0-9]*"),
        format!(
            "(?P<field>(?:to|from|called|caller|phone(?:_?number)?|msisdn|ani|dnis|mobile|tel){sign})[0-9](?:{gap}?[0-9]){{6,14}}[0-9]*"
        ),
        "(?P<lead>^|[^0-9])\\(?[0-9]{3}\\)?[ .-][0-9]{3}[ .-][0-9]{4}\\b".to_owned(),
    ];
    Regex::new(&format!("(?i-u){}", patterns.join("|"))).expect("the patterns are constant and tested")
});

fn replacement(found: &Captures<'_>) -> Vec<u8> {
    let kept = |name: &str| found.name(name).map(|kept| kept.as_bytes());
    let all = &found[0];
    if let Some(last) = kept("last") {
        ["AC…".as_bytes(), last].concat()
    } else if kept("sid").is_some() {
        all.to_vec()
    } else if let Some(hex) = kept("hex") {
        // A SID right behind `%22` or `%2522`, whose digits seem to belong to it.
        let sid = hex.len().checked_sub(34).map(|start| (&hex[..start], &hex[start..start + 2]));
        match sid {
            Some((b"22" | b"2522", b"AC")) => [&hex[..hex.len() - 32], "…".as_bytes(), &hex[hex.len() - 4..]].concat(),
            Some((b"22" | b"2522", [b'A'..=b'F', b'A'..=b'F'])) => hex.to_vec(),
            _ => b"[secret]".to_vec(),
        }
    } else if let Some(word) = kept("word") {
        // An API key's secret: characters of all three kinds. Or an auth token with letters right before it, as
        // escape sequences end. Others are words and identifiers.
        let has = |kind: fn(&u8) -> bool| word.iter().any(kind);
        let mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
        let hex = word.split(|byte| !byte.is_ascii_hexdigit()).any(|run| run.len() >= 32);
        if mixed || hex { b"[secret]".to_vec() } else { all.to_vec() }
    } else if let Some(name) = kept("bearer").or(kept("key")) {
        [name, b"[secret]"].concat()
    } else if let (Some(scheme), Some(at)) = (kept("sip"), kept("host")) {
        [scheme, b"[user]", at].concat()
    } else if let Some(field) = kept("field").or(kept("lead")) {
        [field, b"[phone]"].concat()
    } else if kept("token").is_some() {
        b"[token]".to_vec()
    } else if kept("email").is_some() {
        b"[email]".to_vec()
    } else {
        b"[phone]".to_vec()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(redact(text.as_bytes()), expected);
    }

    #[test]
    fn takes_each_kind() {
        check("token eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJTSyJ9.c2lnbmF0dXJl rejected", "token [token] rejected");
        check("Authorization: Bearer abc.def-123456", "Authorization: Bearer [secret]");
        check("auth_token=0a1b2c3d4e5f60718293a4b5c6d7e8f9 x", "auth_token=[secret] x");
        check("key 0a1b2c3d4e5f60718293a4b5c6d7e8f9 x", "key [secret] x");
        check("key aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF x", "key [secret] x");
        check("AC0a1b2c3d4e5f60718293a4b5c6d7e8f9", "AC…e8f9");
        check("CA0a1b2c3d4e5f60718293a4b5c6d7e8f9", "CA0a1b2c3d4e5f60718293a4b5c6d7e8f9");
        check("dial +14155550169 failed", "dial [phone] failed");
        check("dial +1 (415) 555-0169 failed", "dial [phone] failed");
        check("dial (415) 555-0169 failed", "dial [phone] failed");
        check("415 555 0169", "[phone]");
        check("called +14155550169 +14155550170 x", "called [phone] x");
        check("to=14155550169+14155550170&x", "to=[phone]&x");
        check("from sip:alice@example.com", "from sip:[user]@example.com");
        check("mail nadia@callio.example bounced", "mail [email] bounced");
        check("{\"To\":\"4155550169\"}", "{\"To\":\"[phone]\"}");
    }

    #[test]
    fn takes_what_is_escaped() {
        check("To=%2B14155550169&x=1", "To=[phone]&x=1");
        check("To=%252B14155550169&x=1", "To=[phone]&x=1");
        check(r#""\u002B14155550169""#, r#""[phone]""#);
        check("sip%3Aalice%40example.com", "sip%3A[user]%40example.com");
        check("nadia%40callio.example", "[email]");
        check(r#"{\"authToken\":\"hunter2hunter2\"}"#, r#"{\"authToken\":\"[secret]\"}"#);
    }

    #[test]
    fn leaves_the_rest() {
        for text in [
            "2026-01-02T04:11:53.120-05:00 ConnectionError (31005): x",
            "{\"time\":1738141056971,\"code\":31005}",
            "listening on 10.0.0.1:31005 pid=20104 took 53405ms",
            "at org.springframework.web.servlet.FrameworkServlet.service(FrameworkServlet.java:897)",
            "rust + go = 12345678",
            "seq 622 200 5100622 200 5100",
        ] {
            check(text, text);
        }
    }

    /// Text around a secret that does not touch it.
    fn around() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z ,;]{0,12}[ ,;\"']",
            Just("{\\\"a\\\": \\\"".to_owned()),
            Just("a%22%3A%22".to_owned()),
            Just("\u{1b}[31m".to_owned())
        ]
    }

    /// A way in which a log escapes what it quotes.
    type Escape = fn(&str) -> String;

    fn as_json(text: &str) -> String {
        let quoted = serde_json::to_string(text).unwrap();
        quoted.trim_matches('"').to_owned()
    }

    fn percent(text: &str) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        text.bytes()
            .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    }

    const ESCAPES: [Escape; 6] = [
        str::to_owned,
        percent,
        |text| percent(&percent(text)),
        as_json,
        |text| as_json(&as_json(text)),
        |text| percent(&as_json(text)),
    ];

    /// What of each secret must not be left, and how it is shown.
    fn shown(hex: &str, key: &str, jwt: &str, phone: &str, user: &str) -> Vec<(String, String)> {
        let number = phone.trim_start_matches('+');
        vec![
            (hex.to_owned(), hex.to_owned()),
            (hex.to_owned(), format!("{{\"authToken\": \"{hex}\"}}")),
            (key.to_owned(), key.to_owned()),
            (key.to_owned(), format!("api_key_secret={key}&code=31005")),
            (key.to_owned(), format!("{{'apiSecret': '{key}'}}")),
            (jwt.to_owned(), jwt.to_owned()),
            (jwt.to_owned(), format!("?token={jwt}&x=1")),
            (number.to_owned(), phone.to_owned()),
            (number.to_owned(), format!("To={phone}&From=x")),
            (number.to_owned(), format!("\"Called\":\"{phone}\"")),
            (number.to_owned(), format!("\"msisdn\": \"{number}\"")),
            (format!("{user}@"), format!("sip:{user}@example.pstn.twilio.com")),
            (format!("{user}@"), format!("<sips:{user}@10.0.0.8:5061>")),
            (format!("{user}@"), format!("{user}@mail.example.com")),
            (format!("{user}+tag"), format!("{user}+tag@mail.example.com")),
            (hex.get(..28).unwrap().to_owned(), format!("AC{hex}")),
            (hex.get(..28).unwrap().to_owned(), format!("/Accounts/AC{hex}/Calls.json")),
        ]
    }

    #[test]
    fn an_account_keeps_its_last_four_however_it_is_escaped() {
        let account = "\"AC0a1b2c3d4e5f60718293a4b5c6d7e8f9\"";
        for escape in ESCAPES {
            let redacted = redact(escape(account).as_bytes()).into_owned();
            assert!(redacted.contains("AC…e8f9") && !redacted.contains("0a1b"), "{redacted}");
        }
    }

    #[test]
    fn takes_what_is_broken_over_lines() {
        check("token 0a1b2c3d4e5f6071\n    8293a4b5c6d7e8f9 x", "token [secret] x");
        check(r"token 0a1b2c3d4e5f6071\n8293a4b5c6d7e8f9 x", "token [secret] x");
        check("auth_token:\n  hunter2hunter2\ncode: 31005", "auth_token:\n  [secret]\ncode: 31005");
        check(
            "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJTSyJ9\nc2lnbmF0dXJlc2lnbmF0dXJl.c2ln\nTransportError (31009)",
            "[token]\nTransportError (31009)",
        );
        check("request 4bf92f3577b34da6\n  20240001@uni.example.edu", "request 4bf92f3577b34da6\n  [email]");
        check("build 0a1b2c3d\n4e5f6071 code 31005", "build 0a1b2c3d\n4e5f6071 code 31005");
    }

    #[test]
    fn takes_what_is_no_text_as_it_is_shown() {
        assert_eq!(redact(b"auth_token=\xffXf65 x"), "auth_token=[secret] x");
    }

    #[test]
    fn takes_what_looks_like_a_secret_once_others_are_taken() {
        check(&format!("sip:alice.{}@pbx", "0a1b2c3d4e5f60718293a4b5c6d7e8f9.".repeat(5)), "sip:[user]@pbx");
    }

    proptest! {
        #[test]
        fn no_secret_survives(
            before in around(),
            after in "([ \"',;&\\\\]|%22)[a-z ]{0,12}",
            hex in "[0-9a-f]{32}",
            key in "[a-z][A-Z][0-9][A-Za-z0-9]{29}",
            jwt in "eyJ[A-Za-z0-9_-]{10,40}\\.[A-Za-z0-9_-]{10,40}\\.[A-Za-z0-9_-]{10,40}",
            phone in "\\+[1-9][0-9]{7,14}",
            user in "[a-z][a-z0-9.]{2,12}",
        ) {
            for (secret, shown) in shown(&hex, &key, &jwt, &phone, &user) {
                for escape in ESCAPES {
                    // Beside the code, and at either edge of the record.
                    for text in [
                        format!("{before}{}{after}", escape(&shown)),
                        format!("code 31005 {} ConnectionError (31005)", escape(&shown)),
                        escape(&shown),
                        format!("{}\n    at x", escape(&shown)),
                    ] {
                        let redacted = redact(text.as_bytes());
                        for secret in [secret.clone(), escape(&secret)] {
                            prop_assert!(!redacted.contains(&secret), "{} left {}", text, redacted);
                        }
                    }
                }
            }
        }

        #[test]
        fn is_stable_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let once = redact(&bytes).into_owned();
            prop_assert_eq!(redact(once.as_bytes()), once.as_str());
        }
    }
}
