//! The fuzz targets' corpora, replayed: what once failed or reached far stays tested without a fuzzer.

#[path = "../../fuzz/properties.rs"]
mod properties;

fn replay(target: &str, property: fn(&[u8])) {
    let mut inputs = 0;
    for file in std::fs::read_dir(format!("fuzz/corpus/{target}")).unwrap() {
        property(&std::fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "{target} has a corpus");
    property(b"");
}

#[test]
fn scanner() {
    replay("scanner", properties::scanner);
}

#[test]
fn joining() {
    replay("joining", properties::joining);
}

#[test]
fn time() {
    replay("time", properties::time);
}

#[test]
fn redaction() {
    replay("redaction", properties::redaction);
}

#[test]
fn catalog() {
    replay("catalog", properties::catalog);
}
