//! `schedule generate`: the man page and the shell completions, made from the definitions that
//! the command line itself is read by. Nothing generated is kept in the source.

mod completions;

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
        Generated::Completions { shell } => Ok(completions::completions(*shell, &command)),
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
    writeln!(text, ".SH ENVIRONMENT\n{ENVIRONMENT}\n.SH FILES\n{FILES}")?;
    writeln!(text, ".SH SEE ALSO\n{SEE_ALSO}")?;
    Ok(text)
}

fn section(subcommand: Command, text: &mut Vec<u8>) -> io::Result<()> {
    let heading = format!("schedule {}", subcommand.get_name()).to_uppercase();
    let inner: Vec<Command> = subcommand.get_subcommands().cloned().collect();
    writeln!(text, ".SH \"{heading}\"")?;
    part(subcommand, text)?;
    for command in inner.into_iter().filter(|command| command.get_name() != "help") {
        let name = command.get_display_name().unwrap_or(command.get_name());
        // As it is typed; a built command is called `schedule-job-list`.
        writeln!(text, ".SS \"{}\"", name.replace('-', " "))?;
        part(command, text)?;
    }
    Ok(())
}

/// How a command is called, what it does, its options, and examples of it.
fn part(command: Command, text: &mut Vec<u8>) -> io::Result<()> {
    let has_options = command.get_arguments().any(|argument| !argument.is_hide_set());
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let page = clap_mangen::Man::new(command);
    let mut part = Vec::new();
    page.render_synopsis_section(&mut part)?;
    page.render_description_section(&mut part)?;
    if has_options {
        page.render_options_section(&mut part)?;
    }
    // The headings of a page of its own become those of a part of this one.
    for line in String::from_utf8_lossy(&part).lines() {
        match line.strip_prefix(".SH ") {
            Some(_) => writeln!(text, ".PP")?,
            None => writeln!(text, "{line}")?,
        }
    }
    if !examples.is_empty() {
        let plain = examples.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
        writeln!(text, ".PP\n.nf")?;
        // A line that begins with a dot would be a request.
        plain.lines().try_for_each(|line| writeln!(text, "\\&{line}"))?;
        writeln!(text, ".fi")?;
    }
    Ok(())
}

const ENVIRONMENT: &str = ".TP
.B RUST_LOG
Filters of the log (\\(oqschedule=debug\\(cq), before loglevel of the configuration, where they name
schedule: off, error, warn, info, debug, trace.
.TP
.B SCHEDULE_TOKEN
Who asks, for the commands that speak to a daemon over HTTP, where \\-\\-token does not say.
.TP
.B NO_COLOR, TERM
With NO_COLOR, or with TERM=dumb, nothing is in colour; what is no terminal gets no colour anyway.
.TP
.B TZ
The system's zone, where timezone of the configuration is empty.";

const SEE_ALSO: &str = ".BR cron (8),
.BR crontab (5),
.BR systemctl (1)
.PP
The configuration, jobs and the API are described in docs/ of the source; the Debian package has
that in /usr/share/doc/schedule/docs.";

const FILES: &str = ".TP
.I /etc/schedule/schedule.ini, ./conf/schedule.ini
The configuration, where none is named: the first that exists. A program that is not in a directory
bin or sbin, because it was just built, looks in the working directory first.
.TP
.I /run/schedule/ID.pid
The pid file, locked by the running daemon.
.TP
.I /var/log/schedule/ID.log
The log.
.TP
.I /var/lib/schedule/ID
Journal, snapshot of the jobs, and output of runs.";
