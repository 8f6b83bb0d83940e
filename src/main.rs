//! Arguments in, exit code out.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use twdiag::cli::{self, Arguments};

fn main() -> ExitCode {
    match cli::run(Arguments::read()) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone too, the exit code is all that is left to say.
            match writeln!(anstream::stderr(), "twdiag: {error:#}") {
                Ok(()) | Err(_) => ExitCode::from(2),
            }
        }
    }
}

/// Whether the reader of standard output went away, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind =
        |error: &(dyn std::error::Error + 'static)| error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    error.chain().any(|cause| kind(cause) == Some(ErrorKind::BrokenPipe))
}
