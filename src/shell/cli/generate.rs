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
        Generated::Completions { shell } => Ok(completions(*shell, &command)),
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

const ENVIRONMENT: &str = ".TP
.B RUST_LOG
Filters of the log (\\(oqschedule=debug\\(cq), before loglevel of the configuration, where they name
schedule: off, error, warn, info, debug, trace.
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

/// Completions without what is hidden, and with the groups of the configuration as values.
fn completions(shell: Shell, command: &Command) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut shown(command), "schedule", &mut text);
    let text = String::from_utf8_lossy(&text);
    let text = match shell {
        Shell::Bash => with_groups_in_bash(&text),
        Shell::Zsh => with_groups_in_zsh(&text),
        Shell::Fish => with_groups_in_fish(&text),
        _ => text.into_owned(),
    };
    text.into_bytes()
}

/// A command without its hidden subcommands and arguments: the generators don't leave them out.
fn shown(command: &Command) -> Command {
    // The name has to live as long as the program, which is not long here.
    let name: &'static str = Box::leak(command.get_name().to_owned().into_boxed_str());
    let mut shown = Command::new(name);
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        let version: &'static str = Box::leak(version.to_owned().into_boxed_str());
        shown = shown.version(version);
    }
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let inner = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    shown.args(arguments.cloned()).subcommands(inner.map(self::shown))
}

/// Subcommands that take a group.
const OF_GROUPS: [&str; 8] =
    ["start", "stop", "restart", "reload", "reopen", "status", "run", "check"];

/// Prints the groups of the configurations that are read where none is named; for any shell.
const GROUPS: &str = r"sed -n \
    's/^ *\[server_\([0-9]*\)\].*/\1/p; s/^ *server_id\[\([0-9]*\)\].*/\1/p' \
    /etc/schedule/schedule.ini ./conf/schedule.ini 2>/dev/null | sort -nu";

fn with_groups_in_bash(text: &str) -> String {
    let mut label = "";
    let mut all = format!("_schedule_groups() {{\n    echo all\n    {GROUPS}\n}}\n\n");
    for line in text.lines() {
        label = line.trim().strip_suffix(')').unwrap_or(label);
        let takes =
            label.strip_prefix("schedule__subcmd__").is_some_and(|it| OF_GROUPS.contains(&it));
        match line.trim().strip_prefix("opts=\"") {
            Some(_) if takes => all += &line.replacen("opts=\"", "opts=\"$(_schedule_groups) ", 1),
            _ => all += line,
        }
        all.push('\n');
    }
    all
}

fn with_groups_in_zsh(text: &str) -> String {
    let mut all = String::new();
    for (number, line) in text.lines().enumerate() {
        let takes = line.contains("which -- ") || line.contains("server_id -- ");
        all += &if takes { line.replace(":_default'", ":_schedule_groups'") } else { line.into() };
        all.push('\n');
        // The first line tells zsh what the file is for.
        if number == 0 {
            all += &format!("\n_schedule_groups() {{\n    compadd all $({GROUPS})\n}}\n");
        }
    }
    all
}

fn with_groups_in_fish(text: &str) -> String {
    let function = format!("function __schedule_groups\n    echo all\n    {GROUPS}\nend\n");
    let of = OF_GROUPS.join(" ");
    let line = format!(
        "complete -c schedule -n \"__fish_schedule_using_subcommand {of}\" -f \
         -a \"(__schedule_groups)\"\n"
    );
    format!("{text}\n{function}{line}")
}
