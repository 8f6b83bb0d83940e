//! Arguments in, exit code out.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use twdiag::cli::{self, Arguments};
use twdiag::output::escape_lines;

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(refusal) => return refuse(&refusal),
    };
    match cli::run(arguments) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone too, the exit code is all that is left to say.
            match writeln!(anstream::stderr(), "twdiag: {}", escape_lines(&format!("{error:#}"))) {
                Ok(()) | Err(_) => ExitCode::from(2),
            }
        }
    }
}

/// Prints help, or what is wrong with the arguments: some of them may be names of files that a shell has put there.
fn refuse(refusal: &clap::Error) -> ExitCode {
    let plain = refusal.render().to_string();
    let escaped = escape_lines(&plain);
    let printed = if escaped == plain { refusal.print() } else { write!(anstream::stderr(), "{escaped}") };
    match printed {
        Ok(()) | Err(_) => ExitCode::from(if refusal.use_stderr() { 2 } else { 0 }),
    }
}

/// Whether the reader of standard output went away, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind =
        |error: &(dyn std::error::Error + 'static)| error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    error.chain().any(|cause| kind(cause) == Some(ErrorKind::BrokenPipe))
}
