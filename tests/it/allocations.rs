//! What a line without a hit costs in memory: nothing.

use std::sync::Arc;

use twdiag::catalog::Catalog;
use twdiag::detect::{Assume, Cursor, Detector, End, Rules};

#[test]
fn a_line_without_a_hit_allocates_nothing() {
    let detector = Detector::new(Arc::new(Catalog::embedded()), Arc::new(Rules::embedded()));
    let mut scanner = detector.scanner(Assume::Nothing);
    // Lines with and without numbers of five digits, catalogued and not, none of them a code.
    let block = "\
        2026-03-02T07:12:01.023Z INFO leg answered after 12 rings\n\
        listening on 10.0.0.1:31005 pid=20104 took 53405ms\n\
        192.0.2.9 - - [02/Mar/2026:09:27:00 +0000] \"POST /voice HTTP/1.1\" 200 48213\n"
        .repeat(1000);
    let mut scan = |lines: u64| {
        let (mut cursor, mut accepted) = (Cursor::default(), 0);
        let allocated = allocation_counter::measure(|| {
            let mut on = |decision: twdiag::detect::Decision<'_>| {
                accepted += u64::from(matches!(decision, twdiag::detect::Decision::Accepted(_)));
            };
            assert_eq!(scanner.scan(block.as_bytes(), &mut cursor, End::More, &mut on).lines, lines);
        });
        assert_eq!(accepted, 0);
        allocated.count_total
    };
    // The first block fills the automata and the buffers that every later one uses again.
    scan(3000);
    let few = scan(3000);
    assert!(few <= 8, "{few} allocations for 3,000 lines: a block may cost a few, a line none");
}
