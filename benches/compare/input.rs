//! What the tools are given: logs of any size, and a dictionary of any length.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::log::{self, Log, Truth};

/// Writes a log again and again, to at least `size` bytes; what is in the file.
pub(crate) fn write(path: &Path, log: &Log, size: u64) -> io::Result<Truth> {
    let mut out = BufWriter::new(File::create(path)?);
    let times = size.div_ceil(log.truth.bytes);
    for _ in 0..times {
        out.write_all(log.text.as_bytes())?;
    }
    out.flush()?;
    let truth = &log.truth;
    Ok(Truth {
        bytes: truth.bytes * times,
        lines: truth.lines * times,
        hits: truth.hits * times,
        codes: truth.codes.iter().map(|(code, count)| (*code, count * times)).collect(),
        word_lines: truth.word_lines * times,
    })
}

/// Twilio's full dictionary in the shape in which it is published: `count` codes, the embedded ones among them.
pub(crate) fn dictionary(count: usize) -> String {
    let mut all: BTreeSet<u32> = log::codes().into_iter().collect();
    let more = (0..).map(|n: u32| 10_000 + n * 7919 % 90_000);
    for code in more {
        if all.len() >= count {
            break;
        }
        all.insert(code);
    }
    let objects: Vec<String> = all
        .iter()
        .map(|code| {
            format!(
                r#"{{"code":{code},"message":"Condition {code}","log_level":"ERROR","log_type":"Application","secondary_message":null,"description":"What happens under condition {code}.","causes":"- One cause\n- Another cause","solutions":"- One solution","product":"Programmable Voice","docs":"https://www.twilio.com/docs/errors/{code}"}}"#
            )
        })
        .collect();
    format!("[{}]", objects.join(",\n"))
}
