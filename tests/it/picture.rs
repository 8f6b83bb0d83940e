//! The README's picture, drawn from what the program prints.

use std::io::Write;
use std::process::Stdio;

use crate::kept::assert_current;
use crate::program::{LOG, twdiag};

#[test]
fn shows_what_the_program_prints() {
    // A quarter of an hour in which a TURN server is out of reach.
    let log = std::fs::read_to_string(LOG).unwrap();
    let excerpt: Vec<&str> = log.lines().filter(|line| line.contains("T11:3")).collect();
    let mut command = twdiag(&["--output", "pretty", "--listen", "none", "--log-level", "warn"]);
    command.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all((excerpt.join("\n") + "\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(printed.contains("\u{1b}["), "in colour");
    let drawn = anstyle_svg::Term::new().min_width_px(900).render_svg(&printed);
    assert_current("docs/images/terminal.svg", &drawn);
}
