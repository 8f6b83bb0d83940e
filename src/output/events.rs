//! Where twdiag's own log goes as JSON: an event is one line, whatever a file name or an error in it holds.

use std::io::{self, Write};

use super::escape_json;

/// Writes events, each in one call, so that none can forge another or move a terminal.
#[derive(Debug)]
pub struct Events<W>(pub W);

impl<W: Write> Write for Events<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(escape_json(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_and_the_same_event() {
        let mut written = Vec::new();
        Events(&mut written).write_all("{\"path\":\"a\\n\u{2028}\u{9b}\u{e0041}\"}\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "{\"path\":\"a\\n\\u2028\\u009b\\udb40\\udc41\"}\n");
    }
}
