//! The same records in every dress and through every door give the same counts.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use twdiag::detect::Assume;

use crate::accuracy::{codes, scanner};
use crate::program::{LOG, run, stdout, twdiag};

/// Counts by code, from `scan --format json`.
fn counts(output: &str) -> BTreeMap<u64, u64> {
    let summary: serde_json::Value = serde_json::from_str(output).unwrap();
    let of = |code: &serde_json::Value| (code["code"].as_u64().unwrap(), code["count"].as_u64().unwrap());
    summary["codes"].as_array().unwrap().iter().map(of).collect()
}

fn scan(path: &str, input: &[u8]) -> BTreeMap<u64, u64> {
    counts(&stdout(&run(&["scan", "--format", "json", path], input)))
}

/// Each line as Docker's json-file driver writes it.
fn docker(log: &str) -> String {
    let wrap = |line: &str| {
        let object = serde_json::json!({ "log": line, "stream": "stdout", "time": "2026-01-01T00:00:00.1Z" });
        // The driver's own order of keys.
        let text = serde_json::to_string(&object["log"]).unwrap();
        format!("{{\"log\":{text},\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00.1Z\"}}\n")
    };
    log.split_inclusive('\n').map(wrap).collect()
}

/// Each line as a Kubernetes node keeps it, cut where it is longer than `limit` bytes.
fn cri(log: &str, limit: usize) -> String {
    let mut wrapped = String::new();
    for line in log.lines() {
        let mut rest = line;
        loop {
            let end = (limit.min(rest.len())..=rest.len()).find(|end| rest.is_char_boundary(*end)).unwrap();
            let (part, tail) = rest.split_at(end);
            let tag = if tail.is_empty() { 'F' } else { 'P' };
            wrapped += &format!("2026-01-01T00:00:00.123456789Z stdout {tag} {part}\n");
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
    }
    wrapped
}

#[test]
fn every_door_and_dress_gives_the_same_counts() {
    let log = std::fs::read_to_string(LOG).unwrap();
    let expected = scan(LOG, b"");
    assert!(expected.len() > 10, "{expected:?}");
    assert_eq!(scan("-", log.as_bytes()), expected, "standard input");

    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(log.as_bytes()).unwrap();
    for (name, content) in [
        ("log.gz", gz.finish().unwrap()),
        ("log.zst", zstd::encode_all(log.as_bytes(), 1).unwrap()),
        ("docker.log", docker(&log).into_bytes()),
        ("cri.log", cri(&log, usize::MAX).into_bytes()),
        ("cut.log", cri(&log, 61).into_bytes()),
    ] {
        std::fs::write(path(name), content).unwrap();
        assert_eq!(scan(&path(name), b""), expected, "{name}");
    }

    let fifo = path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let child = twdiag(&["scan", "--format", "json", &fifo]).stdout(Stdio::piped()).spawn().unwrap();
    std::fs::write(&fifo, &log).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(counts(&stdout(&output)), expected, "FIFO");
}

#[test]
fn interleaved_streams_do_not_join() {
    let object = ["RestException [Error]: Authenticate {", "  status: 401,", "  code: 20003,", "}"];
    let other = ["other {", "  pid: 31005,", "  code: 30003,", "}"];
    let mut log = String::new();
    for (mine, theirs) in object.iter().zip(other) {
        log += &format!("2026-01-01T00:00:00.1Z stdout F {mine}\n2026-01-01T00:00:00.1Z stderr F {theirs}\n");
    }
    assert_eq!(scan("-", log.as_bytes()), BTreeMap::from([(20003, 1)]));
}

#[test]
fn a_full_dictionary_makes_codes_catalogued_without_a_rule_change() {
    let log = b"{\"provider\":\"twilio\",\"error_code\":30007}\n";
    let matched = |output: &str| {
        let line: serde_json::Value = serde_json::from_str(output.lines().next().unwrap()).unwrap();
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        (text("category"), text("name"), text("rule"))
    };
    let (category, name, rule) = matched(&stdout(&run(&["scan", "--format", "ndjson", "-"], log)));
    assert_eq!((category.as_str(), name.as_str()), ("uncatalogued", ""));
    let table = stdout(&run(&["scan", "-"], log));
    assert!(table.contains("uncatalogued") && table.contains("30007"), "{table}");

    let mut dictionary = tempfile::NamedTempFile::new().unwrap();
    let entry = serde_json::json!([{
        "code": 30007, "message": "Message filtered", "log_level": "ERROR", "log_type": "APPLICATION",
        "secondary_message": null, "description": "Carrier violation", "causes": "- spam", "solutions": null,
        "product": "Programmable SMS", "docs": "https://www.twilio.com/docs/api/errors/30007",
    }]);
    write!(dictionary, "{entry}").unwrap();
    let path = dictionary.path().to_str().unwrap();
    let (category, name, of) = matched(&stdout(&run(&["scan", "--format", "ndjson", "--catalog", path, "-"], log)));
    assert_ne!(category, "uncatalogued");
    assert_eq!((name.as_str(), of), ("Message filtered", rule));
}

/// What writes the records of the sweep: `%` stands for the record, `"%"` for the record as a JSON string.
const WRITERS: [&str; 20] = [
    "%",
    "2026-08-19T04:17:55.918Z [ERROR] %",
    "2026-08-19 04:17:55,918 - notify.gateway - ERROR - %",
    "2026-08-19 04:17:55.918 [scheduler-4] ERROR org.example.Notifier - %",
    "2026-08-19 04:17:55.918 | ERROR    | notify.gateway:send:57 - %",
    "E, [2026-08-19T04:17:55.918273 #31502] ERROR -- : %",
    "E0819 04:17:55.918273   31502 notify.go:118] %",
    "[Nest] 31502  - 08/19/2026, 4:17:55 AM   ERROR [Notifier] %",
    "[2026-08-19 04:17:55] production.ERROR: % [] []",
    "Aug 19 04:17:55 edge-3 notifier[31502]: %",
    "<131>1 2026-08-19T04:17:55.918Z edge-3 notifier 31502 - - %",
    "2026-08-19T04:17:55.918273645Z stderr F %",
    "notifier-1  | %",
    "[pod/notifier-6c9f7d/app] %",
    "2026-08-19T04:17:55.918273+00:00 app[worker.2]: %",
    "ts=2026-08-19T04:17:55Z level=error caller=send.go:118 msg=\"%\"",
    "{\"log\":\"%\",\"stream\":\"stderr\",\"time\":\"2026-08-19T04:17:55.918273645Z\"}",
    "{\"level\":50,\"time\":1787113075918,\"pid\":31502,\"hostname\":\"edge-3\",\"msg\":\"%\"}",
    "{\"level\":\"error\",\"ts\":1787113075.918,\"caller\":\"notify/send.go:118\",\"msg\":\"%\"}",
    "{\"textPayload\":\"%\",\"severity\":\"ERROR\",\"timestamp\":\"2026-08-19T04:17:55.918Z\"}",
];

/// Records that report the code at `#`.
const REPORTS: [&str; 44] = [
    "SMS could not be sent, Twilio responded with error # (HTTP 400)",
    "TwilioRestException caught (code=#, status=400): Unable to create record",
    "twilio.base.exceptions.TwilioRestException: # - Unable to create record",
    "TwilioRestException(401, '/Messages.json', 'Unable to create record: Authenticate', #)",
    "{\"code\": #, \"message\": \"Invalid parameter\", \"more_info\": \"https://www.twilio.com/docs/errors/#\", \"status\": 400}",
    "RestException [Error]: Authenticate { status: 401, code: #, moreInfo: 'https://www.twilio.com/docs/errors/#' }",
    "MessageSid=SM7f3b9c0d1e2a4b5c6d7e8f9012345678 MessageStatus=undelivered ErrorCode=#",
    "{\"MessageSid\":\"SM7f3b9c0d1e2a4b5c6d7e8f9012345678\",\"MessageStatus\":\"failed\",\"ErrorCode\":\"#\"}",
    "{'SmsStatus': 'failed', 'ErrorCode': '#', 'FromZip': '31502'}",
    "call.on('error'): ConnectionError (#): A connection error occurred during the call",
    "registration failed, twilioError.code=# twilioError.name=AuthorizationError",
    "{ name: 'TransportError', code: #, causes: [] }",
    "Error Domain=com.twilio.voice.error Code=# \"(null)\"",
    "room left: com.twilio.video.error (#) Media connection failed",
    "onDisconnected: CallException # Connection error",
    "TwilioException(code=#, message=Signaling connection disconnected)",
    "twilio_voice onError {code: #, message: Connection error}",
    "Twilio::REST::RestError ([HTTP 400] # : Unable to create record)",
    "send: Status: 400 - ApiError #: Invalid number (null) More info: https://www.twilio.com/docs/errors/#",
    "&client.TwilioRestError{Code:#, Message:\"Authenticate\", Status:401}",
    "com.twilio.exception.ApiException: The number is not verified [code=#]",
    "Twilio.Exceptions.ApiException: Authenticate (Code: #, Status: 401)",
    "Twilio\\Exceptions\\RestException: [HTTP 400] Unable to create record: invalid (#)",
    "{error,{401,[{<<\"code\">>,#},{<<\"message\">>,<<\"Authenticate\">>}]}} from twilio",
    "{:error, %{\"code\" => #, \"status\" => 401}} from api.twilio.com",
    "INVITE failed: 403 Forbidden, X-Twilio-Error: # Domain validation error",
    "headers x-twilio-error-code=# twilio-concurrent-requests=1",
    "see https://www.twilio.com/docs/api/errors/# for why it failed",
    "ref=https%3A%2F%2Fwww.twilio.com%2Fdocs%2Ferrors%2F#&x=1",
    "Studio flow FW7f3b9c0d1e2a4b5c6d7e8f9012345678 ended in error #: Failed to execute step",
    "Twilio warning # on /voice: Document parse failure",
    "Twilio devolvió el error # al enviar el aviso",
    "Twilio вернул ошибку # при отправке",
    "Twilio 오류 #: 인증 실패",
    "twilio error #, retrying via vonage",
    "[twilio][#] Authenticate",
    "error: twilio.sendSms # The number is unverified",
    "Twilio error no. # while dialing",
    "{\"provider\":\"twilio\",\"error_code\":#,\"next\":\"vonage\"}",
    "sms_failed provider=twilio twilio_err=# country=PT",
    "softphone reported error code # during call CA7f3b9c0d1e2a4b5c6d7e8f9012345678",
    "received 429/# from api.twilio.com",
    "twilio errors seen: # (3x)",
    "TwilioError { status: 400, code: Some(#), message: \"Invalid number\" }",
];

/// Records that hold the code and report none: they speak of it, or the number is another thing.
const DECOYS: [&str; 51] = [
    "If Twilio returns #, rotate the token.",
    "When the device gets error #, build a new one.",
    "see also error # in the Twilio docs",
    "why do I see Twilio error #? Check the firewall.",
    "does anyone know what twilio # is?",
    "if (error.code === #) { retry(twilio); }",
    "const TWILIO_TOKEN_EXPIRED = #;",
    "ignored_twilio_codes: [#, 53001]",
    "TWILIO_IGNORED_ERROR_CODES=#,30005",
    "will retry Twilio errors #, 20500 and 31009 up to 3 times",
    "--- PASS: TestTwilio/# (0.00s)",
    "tests/test_twilio.py::test_error_# PASSED",
    "renders twilio-error-#.test.js",
    "treats Twilio error # as permanent",
    "simulating Twilio error # for the drill",
    "chaos: injecting twilio code # into 5% of calls",
    "silence added for twilio error # until Monday",
    "loaded 2 rules: twilio-#, twilio-53001",
    "severities of twilio errors: #=warn 53001=error",
    "usage: notify --retry-code # --provider twilio",
    "select sid from messages where provider = 'twilio' and error_code = #",
    "twilio_errors_total{code=\"#\"} 4",
    "sms_failures_total{provider=\"twilio\",code=\"#\"} 17",
    "twilio.error.#:0|c",
    "GET /search?q=twilio+error+# 200 31ms",
    "twilio-mock listening on 0.0.0.0:#",
    "twilio request failed after # ms",
    "twilio error body # bytes, truncated",
    "twilio failures in the last hour: # of 99000",
    "twilio errors=2 skipped=#",
    "twilio job # failed: timeout of 5000 ms exceeded",
    "twilio error: extension # is busy",
    "twilio callback FromZip=# ErrorCode= CallStatus=completed",
    "twilio verify code # accepted for user 8817",
    "twilio verify: sent code # to +15550100",
    "csv import: row # rejected, twilio number missing",
    "twilio-worker (pid #) died with error",
    "twilio refused the invoice: #.20 USD",
    "twilio.js:#:17 error: unexpected end of input",
    "twilio-video.js 2.#.0 error overlay enabled",
    "twilio error at 17871#",
    "twilio number near 40.#,-8.53405 error radius 20m",
    "twilio error reported as 9f#a0-#-4c",
    "plivo error #: no route; twilio next",
    "acme error #, handing over to twilio",
    "acme: error code #, twilio not used",
    "{\"carrier\":\"acme\",\"code\":#,\"message\":\"Rejected\",\"next\":\"twilio\"}",
    "{\"provider\":\"acme\",\"fallback\":\"twilio\",\"code\":#}",
    "ORA-#: change source already exists (schema TWILIO)",
    "postgres error # while storing a twilio callback",
    "aws error code # while publishing, twilio healthy",
];

/// The record as one of the writers writes it.
fn written(writer: &str, record: &str) -> String {
    let quoted = serde_json::to_string(record).unwrap();
    if writer.contains("\"%\"") { writer.replace("\"%\"", &quoted) } else { writer.replace('%', record) }
}

#[test]
fn every_form_is_judged_alike_in_every_writers_words() {
    let mut scanner = scanner(Assume::Nothing);
    let mut wrong = Vec::new();
    for writer in WRITERS {
        for (forms, reports) in [(&REPORTS[..], true), (&DECOYS[..], false)] {
            for form in forms {
                for code in [20104, 31005, 31486, 53000, 53405] {
                    let record = written(writer, &form.replace('#', &code.to_string()));
                    let expected = if reports { vec![code] } else { vec![] };
                    let found = codes(&mut scanner, &record);
                    if found != expected {
                        wrong.push(format!("{found:?} for {expected:?}: {record}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
