//! Everything with everything: what programs print, in every way of printing it.
//!
//! Labelled records sample the forms; here each word of a form meets each dress.

use twdiag::detect::Assume;

use crate::accuracy::{codes, scanner};

/// Asserts that each record reports what is expected of it.
fn sweep(records: impl Iterator<Item = (String, Vec<u32>)>) {
    let mut scanner = scanner(Assume::Nothing);
    let (mut all, mut wrong) = (0, Vec::new());
    for (record, expected) in records {
        all += 1;
        let found = codes(&mut scanner, &record);
        if found != expected {
            wrong.push(format!("{found:?} for {expected:?}: {record}"));
        }
    }
    assert!(all > 0 && wrong.is_empty(), "{} of {all} wrong:\n{}", wrong.len(), wrong.join("\n"));
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
    let forms = || REPORTS.iter().map(|form| (*form, true)).chain(DECOYS.iter().map(|form| (*form, false)));
    sweep(WRITERS.iter().flat_map(|writer| {
        forms().flat_map(move |(form, reports)| {
            [20104, 31005, 31486, 53000, 53405].map(|code| {
                let record = written(writer, &form.replace('#', &code.to_string()));
                (record, if reports { vec![code] } else { vec![] })
            })
        })
    }));
}

/// How programs print a field: `@` is its name, `#` its value, and `¤` that sign itself.
const NOTATIONS: [&str; 40] = [
    r##"{"@":#,"provider":"twilio","msg":"call failed"}"##,
    r##"{"provider":"twilio","msg":"call failed","@":"#"}"##,
    r##"{"provider": "twilio", "msg": "call failed", "@": #}"##,
    r##"{"log":"{\"@\":#,\"provider\":\"twilio\",\"msg\":\"call failed\"}"}"##,
    r##"{"msg":"twilio call failed","detail":{"@":#}}"##,
    r##""2026-01-02","{""msg"":""twilio call failed"",""@"":#}""##,
    r##"level=error msg="twilio call failed" @=# attempt=2"##,
    r##"level=error msg="twilio call failed" @="#""##,
    "ERROR twilio call failed {'@': #, 'attempt': 2}",
    "ERROR twilio call failed {:@=>#, :attempt=>2}",
    r##"ERROR twilio call failed {"@"=>#}"##,
    "ERROR twilio call failed {@: #}",
    "ERROR twilio call failed Array\n(\n    [@] => #\n    [attempt] => 2\n)",
    "ERROR twilio call failed array ( '@' => #, )",
    "ERROR twilio call failed Failure(@=#, attempt=2)",
    "ERROR twilio call failed Failure { @: #, attempt: 2 }",
    "ERROR twilio call failed Failure { @: Some(#) }",
    "[error] twilio call failed %{@: #}",
    r##"[error] twilio call failed %{"@" => #}"##,
    "[error] twilio call failed ¤{@ => #}",
    "twilio call failed {\n  @: #,\n  attempt: 2\n}",
    "twilio call failed:\n  @: #\n  attempt: 2",
    "twilio call failed {\n    @ = #;\n}",
    "POST /twilio/status?@=#&attempt=2",
    "ERROR [twilio] call failed [@=#]",
    "ERROR [twilio] call failed [@: #]",
    "ERROR twilio call failed (@=#)",
    "ERROR twilio call failed (@: #)",
    "ERROR | twilio | call failed | @=# | attempt=2",
    "ERROR\ttwilio\tcall failed\t@=#\tattempt=2",
    "twilio call failed; @=#; attempt=2",
    r##"<failure provider="twilio"><@>#</@></failure>"##,
    r##"<failure provider="twilio" @="#"/>"##,
    "Attributes:\n     -> provider: Str(twilio)\n     -> @: Int(#)",
    "ERROR twilio call failed \u{1b}[36m@\u{1b}[0m=\u{1b}[33m#\u{1b}[0m",
    "ERROR twilio call failed \u{1b}[36m@=\u{1b}[0m#",
    r##"{"message":"twilio call failed \u001b[36m@\u001b[0m=\u001b[33m#\u001b[0m"}"##,
    r##"body={\x22provider\x22:\x22twilio\x22,\x22@\x22:#}"##,
    r##"twilio call failed ["@": #, "attempt": 2]"##,
    "2026-01-02T10:00:00Z twilio call failed @=#",
];

/// Names of fields that hold an error's code.
const CODE_FIELDS: &str = "\
    code errorCode error_code ErrorCode err_code errCode ERROR_CODE twilioCode twilio_code twilioErrorCode \
    twilio.code twilio_error_code cause_code reasonCode reason_code apiCode api_code restCode err_no errorNo \
    errorNumber error_number err resultCode result_code respCode response_code vendor_code provider_code \
    providerCode providerErrorCode provider_error_code gateway_code carrierCode sdk_code lastErrorCode \
    last_error_code exc_code failure_code failureCode fault_code disconnect_code disconnectCode hangup_code \
    inner_code original_code callErrorCode call_error_code smsErrorCode message_error_code deviceErrorCode \
    voice_error_code";

/// Names of fields that hold something else.
const OTHER_FIELDS: &str = "\
    port pid tid duration duration_ms ms bytes size len length count total attempt attempts retries seq ssrc \
    line col column row offset id user_id userId order order_id orderId ticket ticket_id extension ext agent \
    agent_id queue room zip zipcode zip_code postal_code postcode amount price balance version build uid gid fd \
    thread worker process latency latency_ms elapsed rtt jitter age ttl timeout timeout_ms expires_in max min \
    limit remaining threshold window index shard partition node generation epoch rev revision hash checksum \
    frames packets samples bitrate level score views hits misses dropped sent received delivered queued messages \
    calls tokens users sessions connections exit_code exitCode http_code status_code statusCode close_code \
    closeCode area_code areaCode country_code countryCode dial_code product_code tracking_code sms_code \
    verify_code verification_code access_code promo_code promoCode store_code dept_code cost_code mccmnc mcc_mnc \
    network_code job job_id task task_id request_id reqId batch batch_id campaign campaign_id customer \
    customer_id lead lead_id case case_id contact contact_id store store_id patient_id account account_id tenant \
    tenant_id sku model serial device_id sensor_id msg_id message_id call_id conf_id span trace session \
    session_id conn conn_id local_port localPort remote_port src_port dst_port rtp_port sip_port listen_port \
    nodePort hostPort containerPort targetPort uptime uptime_s pos position depth backlog lag inflight pending \
    buffered heap rss mem memory cpu allocs goroutines threads handles gc page pages block blocks chunk chunks \
    segment segments part parts year km miles steps votes points credits cents usd eur quantity qty stock units \
    weight height width distance altitude lat lon sum avg p95 p99 median rate rps qps tps hash_code hashCode \
    byte_code source_code line_code bar_code qr_code language_code locale_code currency_code color_code \
    region_code state_code";

/// A field in one of the notations.
fn noted(notation: &str, field: &str, value: u32) -> String {
    notation.replace('@', field).replace('#', &value.to_string()).replace('¤', "#")
}

#[test]
fn a_code_is_found_under_any_name_in_any_notation() {
    sweep(NOTATIONS.iter().flat_map(|notation| {
        CODE_FIELDS
            .split(' ')
            .flat_map(move |field| [31005, 21610].map(|code| (noted(notation, field, code), vec![code])))
    }));
}

#[test]
fn no_other_field_is_a_code() {
    sweep(
        NOTATIONS
            .iter()
            .flat_map(|notation| OTHER_FIELDS.split(' ').map(move |field| (noted(notation, field, 31005), vec![]))),
    );
}

/// How sentences lead to Twilio's code.
const LEADS: [&str; 84] = [
    "Twilio error",
    "twilio error code",
    "Twilio code",
    "Twilio returned",
    "Twilio returned error",
    "Twilio returned error code",
    "call failed: Twilio error",
    "Twilio: error",
    "[twilio] error",
    "[twilio] code",
    "twilio call failed, code",
    "twilio call failed, error",
    "twilio call failed, error code",
    "Twilio call failed with code",
    "Twilio call failed with error",
    "Twilio call failed with error code",
    "Twilio call failed with status",
    "Twilio call failed with",
    "Twilio rejected with",
    "Twilio API error",
    "Twilio REST error",
    "TwilioRestException",
    "twilio_error",
    "twilio.error",
    "twilio-error",
    "TWILIO_ERROR",
    "twilio_code",
    "twilio_err",
    "twilioErrorCode",
    "Twilio Voice error",
    "Twilio SMS error",
    "Twilio voice SDK error",
    "Twilio device error",
    "twilio device error code",
    "Twilio warning",
    "Twilio alert",
    "Twilio failure",
    "twilio err",
    "twilio errcode",
    "twilio err_code",
    "Twilio error no.",
    "Twilio error number",
    "Twilio error nr",
    "Twilio exception",
    "Twilio exception code",
    "Twilio response code",
    "Twilio reason code",
    "Twilio cause code",
    "Twilio disconnect code",
    "Twilio Fehler",
    "Twilio Fehlercode",
    "Twilio error was",
    "Twilio error is",
    "Twilio says",
    "Twilio said",
    "Twilio gave",
    "Twilio answered",
    "Twilio responded with",
    "Twilio replied",
    "Twilio reported",
    "Twilio threw",
    "got Twilio error",
    "received Twilio error",
    "due to Twilio error",
    "because of Twilio error",
    "reason: Twilio error",
    "Twilio error: code",
    "Twilio error, code",
    "Twilio error - code",
    "Twilio error code is",
    "Twilio error code was",
    "Twilio error code of",
    "Twilio errorCode",
    "Twilio ErrorCode",
    "Twilio error_code",
    "twilio status=failed code",
    "twilio status=failed error",
    "twilio status=failed err",
    "twilio status=failed errcode",
    "twilio status=failed error_code",
    "twilio status=failed errorCode",
    "twilio http=400 code",
    "twilio status 400 code",
    "Twilio 401 error",
];

/// What stands between a sentence and the code at `#`; `¤` is that sign itself.
const SIGNS: [&str; 27] = [
    " #",
    ": #",
    ":#",
    "=#",
    " = #",
    " -> #",
    " => #",
    " ¤#",
    ": ¤#",
    " (#)",
    " [#]",
    ": (#)",
    ": [#]",
    " '#'",
    " \"#\"",
    ": \"#\"",
    "=\"#\"",
    " - #",
    " \u{2013} #",
    " \u{2014} #",
    " \u{2192} #",
    " `#`",
    ": `#`",
    ": **#**",
    " *#*",
    "\t#",
    " \u{2116}#",
];

/// How sentences go on behind it.
const TAILS: [&str; 7] = ["", ".", ", retrying", ": Try again", " - Try again", " for call 7", " (Try again)"];

#[test]
fn a_code_is_found_behind_any_words_and_signs() {
    sweep(LEADS.iter().flat_map(|lead| {
        SIGNS.iter().flat_map(move |sign| {
            TAILS
                .iter()
                .map(move |tail| (format!("{lead}{}{tail}", sign.replace('#', "21610").replace('¤', "#")), vec![21610]))
        })
    }));
}

/// What holds the number and is no code.
const THINGS: [&str; 171] = [
    "after 31005 ms",
    "31005 ms",
    "in 31005 milliseconds",
    "port 31005",
    "10.0.0.7:31005",
    "pid 31005",
    "thread 31005",
    "order #31005",
    "order 31005",
    "order-31005",
    "ORD-31005",
    "ticket VOICE-31005",
    "ticket 31005",
    "ZIP 31005",
    "zip code 31005",
    "Bonaire, GA 31005",
    "31005 calls",
    "31005 of 53405 calls",
    "31005 bytes",
    "31005 messages queued",
    "$31005",
    "31005 USD",
    "EUR 31005",
    "31,005 calls",
    "v3.31005",
    "build 31005",
    "r31005",
    "rev 31005",
    "line 31005",
    "app.js:31005:7",
    "app.js:31005",
    "app.js line 31005",
    "0x31005",
    "31005s",
    "31005k",
    "31005 seconds",
    "x31005",
    "ext 31005",
    "extension 31005",
    "ext. 31005",
    "agent 31005",
    "agent-31005",
    "agent #31005",
    "user_31005",
    "user 31005",
    "room 31005",
    "queue 31005",
    "conf-31005",
    "job 31005",
    "job #31005",
    "task-31005",
    "task 31005",
    "+31005",
    "short code 31005",
    "shortcode 31005",
    "sender 31005",
    "+1 555 31005",
    "sip:31005@pbx.example",
    "31005@pbx.example",
    "channel 31005",
    "trunk 31005",
    "digits 31005",
    "pin 31005",
    "otp 31005",
    "verification code 31005",
    "confirmation code 31005",
    "batch 31005",
    "shard 31005",
    "seq 31005",
    "retry 31005 ms",
    "took 31005",
    "offset 31005",
    "row 31005",
    "id 31005",
    "id=31005",
    "id: 31005",
    "invoice 31005",
    "invoice no. 31005",
    "case 31005",
    "patient 31005",
    "customer 31005",
    "customer no. 31005",
    "booking 31005",
    "reservation 31005",
    "flight 31005",
    "bus 31005",
    "store 31005",
    "site 31005",
    "unit 31005",
    "lead 31005",
    "campaign 31005",
    "contact 31005",
    "tenant 31005",
    "account 31005",
    "account no. 31005",
    "device 31005",
    "sensor 31005",
    "node 31005",
    "worker 31005",
    "PR 31005",
    "PR #31005",
    "defect #31005",
    "commit 31005ab",
    "ab31005",
    "pod web-31005",
    "web-31005-abcde",
    "host web31005",
    "km 31005",
    "31005 km",
    "31005 steps",
    "member 31005",
    "member no 31005",
    "Mr. Kim (31005)",
    "agent Anna (31005)",
    "customer Anna Berg (31005)",
    "line:31005",
    "col 31005",
    "2026-01-01T10:00:00.31005Z",
    "10:00:00.31005",
    "31005.50",
    "3.31005",
    "31005°",
    "31005th",
    "age 31005",
    "size 31005",
    "len 31005",
    "31005 rows",
    "31005 retries",
    "31005 tokens",
    "balance 31005",
    "amount 31005",
    "price 31005",
    "31005 credits",
    "score 31005",
    "level 31005",
    "31005 attempts",
    "31005 pending",
    "31005 left",
    "31005 waiting",
    "limit 31005",
    "max 31005",
    "timeout 31005",
    "ttl 31005",
    "uid 31005",
    "gid 31005",
    "fd 31005",
    "conn 31005",
    "session 31005",
    "span 31005",
    "call 31005",
    "call #31005",
    "leg 31005",
    "message 31005",
    "msg #31005",
    "sms 31005",
    "MessageID 31005",
    "ref 31005",
    "ref. 31005",
    "reference 31005",
    "tracking no 31005",
    "postcode 31005",
    "PLZ 31005",
    "Bestellung 31005",
    "Kunde 31005",
    "commande 31005",
    "pedido 31005",
    "ordine 31005",
    "zamówienie 31005",
    "заказ 31005",
    "受注 31005",
    "订单 31005",
];

/// Where it stands in a sentence about a failure without a code.
const PLACES: [&str; 26] = [
    "@: twilio call failed with a timeout",
    "twilio call failed with a timeout (@)",
    "twilio call failed (@) with a timeout",
    "twilio call failed, @, timeout",
    "Twilio error: timeout @",
    "Twilio error (@)",
    "Twilio error for @",
    "Twilio error on @: timeout",
    "@ - Twilio error: timeout",
    "[@] twilio error: timeout",
    "twilio error while calling @: timeout",
    "call to @ rejected by twilio: timeout",
    "Twilio could not reach @",
    "timeout from Twilio, @",
    "twilio failed; @; timeout",
    "ERROR @ twilio timeout",
    "twilio: @ failed",
    "Twilio refused @",
    "twilio - @ - failed",
    "Twilio rejected @ because the number is invalid",
    "sms for @ not sent (twilio unreachable)",
    "Twilio returned an error for @",
    "twilio alert: @",
    "@ failed: twilio timeout",
    "error=\"@\" provider=twilio",
    "twilio error, @",
];

#[test]
fn no_thing_is_a_code_wherever_it_stands() {
    sweep(PLACES.iter().flat_map(|place| THINGS.iter().map(move |thing| (place.replace('@', thing), vec![]))));
}
