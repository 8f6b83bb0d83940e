//! Files of the repository that are made from other files or from what the program prints.

use std::path::Path;

/// Holds a kept file to what it is made from; `TWDIAG_UPDATE=1 cargo test` writes it.
#[track_caller]
pub(crate) fn assert_current(path: &str, made: &str) {
    if std::env::var_os("TWDIAG_UPDATE").is_some() {
        std::fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        std::fs::write(path, made).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == made, "{path} is out of date: TWDIAG_UPDATE=1 cargo test");
}
