//! `schedule generate`: the man page and the shell completions, made from the definitions that
//! the command line itself is read by. Nothing generated is kept in the source.

use clap::{Command, Subcommand};
use clap_complete::Shell;
use std::io::{self, Write};
use std::process::ExitCode;

/// Arguments of `schedule generate`.
#[derive(Clone, Debug, clap::Args)]
pub struct GenerateArgs {
    /// What to write.
    #[command(subcommand)]
    pub what: Generated,
}

/// What can be generated.
#[derive(Clone, Debug, Subcommand)]
pub enum Generated {
    /// The man page schedule(8), all subcommands in it
    Man,
    /// Completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Writes it to stdout. Exit status 1: it could not be written.
pub fn run(args: &GenerateArgs, command: Command) -> ExitCode {
    let text = match &args.what {
        Generated::Man => man(command),
        Generated::Completions { shell } => Ok(completions(*shell, command)),
    };
    match text.and_then(|text| io::stdout().write_all(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("schedule generate: {why}");
            ExitCode::FAILURE
        }
    }
}

/// One page: what the command is, then each subcommand with its arguments.
fn man(mut command: Command) -> io::Result<Vec<u8>> {
    command.build();
    let subcommands: Vec<Command> =
        command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned().collect();
    let page = clap_mangen::Man::new(command).section("8");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    for subcommand in subcommands.into_iter().filter(|sub| sub.get_name() != "help") {
        section(subcommand, &mut text)?;
    }
    page.render_extra_section(&mut text)?;
    writeln!(text, ".SH FILES\n{FILES}")?;
    Ok(text)
}

fn section(subcommand: Command, text: &mut Vec<u8>) -> io::Result<()> {
    let heading = format!("schedule {}", subcommand.get_name()).to_uppercase();
    let inner: Vec<Command> = subcommand.get_subcommands().cloned().collect();
    let has_options = subcommand.get_arguments().any(|argument| !argument.is_hide_set());
    let page = clap_mangen::Man::new(subcommand);
    writeln!(text, ".SH \"{heading}\"")?;
    let mut part = Vec::new();
    page.render_synopsis_section(&mut part)?;
    page.render_description_section(&mut part)?;
    if has_options {
        page.render_options_section(&mut part)?;
    }
    // The headings of a page of its own become those of a part of this one.
    for line in String::from_utf8_lossy(&part).lines() {
        match line.strip_prefix(".SH ") {
            Some("SYNOPSIS" | "DESCRIPTION") => writeln!(text, ".PP")?,
            Some(heading) => writeln!(text, ".SS {heading}")?,
            None => writeln!(text, "{line}")?,
        }
    }
    for command in inner.iter().filter(|command| command.get_name() != "help") {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(text, ".TP\n\\fB{}\\fR\n{about}", command.get_name())?;
    }
    Ok(())
}

const FILES: &str = ".TP
.I ./conf/schedule.ini, /etc/schedule/schedule.ini
The configuration, where none is named: the first that exists.
.TP
.I /run/schedule/ID.pid
The pid file, locked by the running daemon.
.TP
.I /var/log/schedule/ID.log
The log.
.TP
.I /var/lib/schedule/ID
Journal, snapshot of the jobs, and output of runs.";

fn completions(shell: Shell, mut command: Command) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "schedule", &mut text);
    text
}
