//! A voice backend's log of any size, made the same every time, whose exact truth is known.
//!
//! Nothing in it depends on what stands before it, so that repeating it multiplies every figure of its [`Truth`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use twdiag::catalog::Catalog;

/// Which lines a log is made of; parts in ten thousand lines, the rest are ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mix {
    /// Records that report a code.
    pub(crate) hits: u32,
    /// Lines that hold catalogued numbers as ports, pids, sizes and durations.
    pub(crate) decoys: u32,
}

/// What is in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Truth {
    /// In bytes.
    pub(crate) bytes: u64,
    /// Line ends.
    pub(crate) lines: u64,
    /// Records that report a code; each reports one.
    pub(crate) hits: u64,
    /// By code.
    pub(crate) codes: BTreeMap<u32, u64>,
    /// Lines that hold a catalogued number as a word of its own: what `grep -c -w -f CODES` counts.
    pub(crate) word_lines: u64,
}

/// A log and its truth.
#[derive(Debug)]
pub(crate) struct Log {
    /// The text; ends with a line's end.
    pub(crate) text: String,
    /// What is in it.
    pub(crate) truth: Truth,
}

/// The embedded catalogue's codes, ascending: what the comparison's other tools search for.
pub(crate) fn codes() -> Vec<u32> {
    Catalog::embedded().entries().iter().map(|entry| entry.code.get()).collect()
}

impl Log {
    /// A log of at least `size` bytes, by a line.
    pub(crate) fn new(size: usize, mix: Mix) -> Log {
        let mut writer = Writer {
            text: String::with_capacity(size + 1024),
            draw: Draw(0x7477_6469_6167),
            at: 0,
            codes: codes(),
            truth: Truth::default(),
        };
        let known: BTreeSet<u32> = writer.codes.iter().copied().collect();
        while writer.text.len() < size {
            let of = writer.draw.below(10_000);
            if of < mix.hits {
                writer.hit();
            } else if of < mix.hits + mix.decoys {
                writer.decoy();
            } else {
                writer.ordinary(&known);
            }
        }
        let Writer { text, mut truth, .. } = writer;
        truth.bytes = text.len() as u64;
        truth.lines = text.bytes().filter(|byte| *byte == b'\n').count() as u64;
        Log { text, truth }
    }
}

/// A generator that gives the same numbers on every machine (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `bound`, which is left out.
    fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound)) as u32
    }
}

struct Writer {
    text: String,
    draw: Draw,
    /// The time of the last line, in milliseconds of the log.
    at: u64,
    codes: Vec<u32>,
    truth: Truth,
}

/// Writes to the log's text, which cannot fail.
macro_rules! put {
    ($writer:expr, $($format:tt)*) => {
        $writer.text.write_fmt(format_args!($($format)*)).expect("writing to a string")
    };
}

impl Writer {
    /// What time it is, as `2026-03-02T08:00:00.000`: lines come in the order of their times, some hundred a second.
    fn time(&mut self) -> String {
        self.at += u64::from(self.draw.below(20));
        let (day, hour, minute) = (2 + self.at / 86_400_000, self.at / 3_600_000 % 24, self.at / 60_000 % 60);
        format!("2026-03-{day:02}T{hour:02}:{minute:02}:{:02}.{:03}", self.at / 1000 % 60, self.at % 1000)
    }

    fn stamp(&mut self) {
        let time = self.time();
        put!(self, "{time}Z ");
    }

    fn code(&mut self) -> u32 {
        let at = self.draw.below(self.codes.len() as u32);
        self.codes[at as usize]
    }

    /// A record that reports one code.
    fn hit(&mut self) {
        let code = self.code();
        let (id, form) = (self.draw.next(), self.draw.below(6));
        self.truth.hits += 1;
        *self.truth.codes.entry(code).or_default() += 1;
        self.truth.word_lines += 1;
        if form == 2 {
            let time = self.time();
            put!(
                self,
                r#"{{"level":"error","ts":"{time}Z","logger":"dial","msg":"create call failed","error":{{"code":{code},"message":"The request was refused","more_info":"https://www.twilio.com/docs/errors/{code}","status":400}}}}"#
            );
            self.text.push('\n');
            return;
        }
        self.stamp();
        match form {
            0 => put!(
                self,
                "ERROR voice-gw call failed leg={id:016x}: ConnectionError ({code}): A connection error occurred\n"
            ),
            1 => put!(
                self,
                "ERROR [twilio] RestException [HTTP 400] {code} : Unable to create record for job {id:016x}\n"
            ),
            3 => put!(
                self,
                "WARN  status callback CallSid=CA{id:016x}{id:016x} CallStatus=failed ErrorCode={code} Duration=0\n"
            ),
            4 => put!(
                self,
                "ERROR dialer gave up on leg {id:016x}, see https://www.twilio.com/docs/errors/{code} for what it means\n"
            ),
            _ => {
                put!(
                    self,
                    "ERROR device error on leg {id:016x} TwilioError {{\n  causes: [],\n  code: {code},\n  description: 'An error occurred',\n  twilioError: true\n}}\n"
                );
            }
        }
    }

    /// A line with catalogued numbers that are no codes.
    fn decoy(&mut self) {
        let (code, other) = (self.code(), self.code());
        let id = self.draw.next();
        self.stamp();
        self.truth.word_lines += 1;
        match self.draw.below(5) {
            0 => put!(self, "INFO  accepted connection from 10.2.{}.{}:{code} pid={other}\n", id % 250, id % 240),
            1 => put!(
                self,
                "INFO  http request served method=POST path=/voice/status status=200 bytes={code} id={id:016x}\n"
            ),
            2 => put!(self, "DEBUG media leg bridged rtp_port={code} codec=opus leg={id:016x}\n"),
            3 => put!(
                self,
                "INFO  routing ticket {code} queued behind {} others, took {other} us in worker {}\n",
                id % 90,
                id % 60
            ),
            _ => put!(
                self,
                "INFO  sshd[{code}]: Accepted publickey for deploy from 192.0.2.{} port {other} ssh2\n",
                id % 250
            ),
        }
    }

    /// A line as most are: one in six holds a number of five digits that no catalogue knows.
    fn ordinary(&mut self, known: &BTreeSet<u32>) {
        let (id, form) = (self.draw.next(), self.draw.below(6));
        let size = loop {
            let size = self.draw.below(100_000);
            if !known.contains(&size) {
                break size;
            }
        };
        match form {
            0 => {
                let time = self.time();
                put!(
                    self,
                    r#"{{"level":"info","ts":"{time}Z","logger":"dial.pool","msg":"worker idle","worker":{},"queue":"outbound","trace":"{id:016x}"}}"#,
                    id % 64
                );
                self.text.push('\n');
            }
            1 => {
                let time = self.time();
                let (day, clock) = (time.get(8..10).unwrap_or(""), time.get(11..19).unwrap_or(""));
                put!(
                    self,
                    "192.0.2.{} - - [{day}/Mar/2026:{clock} +0000] \"POST /twilio/voice HTTP/1.1\" 200 {size} \"-\" \"TwilioProxy/1.1\"\n",
                    id % 250
                );
            }
            _ => {
                self.stamp();
                match form {
                    2 => put!(
                        self,
                        "INFO  http request served method=POST path=/voice/status status=200 bytes={} ms={} request_id={id:016x}\n",
                        size % 9000,
                        size % 700
                    ),
                    3 => put!(
                        self,
                        "DEBUG media leg bridged call=CA{id:016x}{id:016x} codec=opus jitter_ms={} loss=0.{}\n",
                        id % 30,
                        id % 10
                    ),
                    4 => put!(
                        self,
                        "WARN  retry attempt={} backoff_ms={} peer=10.2.3.{}:5061 session={id:016x}\n",
                        id % 5,
                        id % 4000,
                        id % 250
                    ),
                    _ => put!(
                        self,
                        "INFO  conference room-{} has {} participants, longest talked {} s, mixing on node-{}\n",
                        id % 900,
                        id % 40,
                        size % 5000,
                        id % 12
                    ),
                }
            }
        }
    }
}
