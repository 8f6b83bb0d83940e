//! `man`: one manual page for all commands, from the definitions that arguments are read with.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;

/// Writes the page.
///
/// # Errors
/// Those of `out`.
pub fn render(program: &Command, out: &mut impl Write) -> io::Result<()> {
    let man = Man::new(program.clone());
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    commands(program, program.get_name(), out)
}

/// A section for each command below `parent`, with the options that it does not share with all.
fn commands(parent: &Command, path: &str, out: &mut impl Write) -> io::Result<()> {
    for command in parent.get_subcommands() {
        let path = format!("{path} {}", command.get_name());
        let man = Man::new(command.clone().bin_name(&path).disable_help_flag(true));
        let mut sections = Vec::new();
        man.render_synopsis_section(&mut sections)?;
        man.render_description_section(&mut sections)?;
        if command.get_arguments().next().is_some() {
            man.render_options_section(&mut sections)?;
        }
        // Sections of their own in a page of their own are parts of one here.
        let sections = String::from_utf8_lossy(&sections).replace(".SH ", ".SS ");
        write!(out, ".SH \"{}\"\n{sections}", path.to_uppercase())?;
        commands(command, &path, out)?;
    }
    Ok(())
}
