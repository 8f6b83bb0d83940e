//! Throughput of the scanner on blocks with 0, 1 and 20 % of hit lines; every run asserts its count.

use std::fmt::Write as _;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::BytesCount;
use twdiag::catalog::Catalog;
use twdiag::detect::{Assume, Cursor, Decision, Detector, End, Rules};

fn main() {
    divan::main();
}

/// Lines of a voice backend, `percent` in a hundred of which report an error; the text and the true count.
fn block(percent: usize) -> (String, usize) {
    let (mut text, mut hits) = (String::new(), 0);
    for line in 0..100_000 {
        let stamp = format!("2026-01-02T03:{:02}:{:02}.{:03}Z", line / 60 % 60, line % 60, line % 1000);
        if line % 100 < percent {
            hits += 1;
            writeln!(text, "{stamp} ERROR voice-gw call failed: ConnectionError (31005): A connection error occurred")
        } else {
            writeln!(text, "{stamp} INFO voice-gw request served method=POST path=/voice status=200 bytes={line} ms=7")
        }
        .expect("writing to a string");
    }
    (text, hits)
}

#[divan::bench(args = [0, 1, 20])]
fn scan(bencher: Bencher<'_, '_>, percent: usize) {
    let (text, hits) = block(percent);
    let detector = Detector::new(Arc::new(Catalog::embedded()), Arc::new(Rules::embedded()));
    let mut scanner = detector.scanner(Assume::Nothing);
    bencher.counter(BytesCount::of_str(&text)).bench_local(|| {
        let mut found = 0;
        scanner.scan(text.as_bytes(), &mut Cursor::default(), End::Input, &mut |decision| {
            found += usize::from(matches!(decision, Decision::Accepted(_)));
        });
        assert_eq!(found, hits);
    });
}
