//! `schedule check`: what is wrong with the configuration and the rows, where, and what would be
//! right.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{Access, access};

use super::BAD_CONFIGURATION;
use super::look::Looker;
use crate::core::check::{
    Finding, OutputFile, check_crons, check_future, check_rows, moved_rows, moved_zone,
    output_files, told, unique_key,
};
use crate::core::config::{Config, Parsed, Severity};
use crate::core::plain;
use crate::core::protocol::{Answer, Ask, Driver, Request};
use crate::shell::clock;
use crate::shell::config_file;
use crate::shell::database::{self, schema};
use crate::shell::far_files;
use crate::shell::holder::{self, Found};
use crate::shell::predecessor;
use crate::shell::system_zone::system_zone;

const SILENT: &str = "its file system does not answer: see to its mount";

/// Arguments of `schedule check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// Check this server group only; without it all of them
    pub server_id: Option<u32>,
    /// Configuration file [default: ./conf/schedule.ini, then /etc/schedule/schedule.ini]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Prints what is wrong. Exit status 0: nothing is, warnings allowed; 1: the database or rows; 2:
/// the configuration.
pub fn run(args: &CheckArgs) -> ExitCode {
    match checked(args) {
        Ok((lines, status)) => {
            // Nobody left to read it: then it needn't be written.
            let _ = io::stdout().write_all(lines.as_bytes());
            status
        }
        Err(why) => {
            let _ = writeln!(io::stderr(), "schedule check: {why}");
            BAD_CONFIGURATION.into()
        }
    }
}

/// What is told, each thing once: what is the same for several groups stands where the first of
/// them has it.
#[derive(Default)]
struct Report(Vec<(Vec<u32>, String)>);

impl Report {
    fn add(&mut self, id: u32, text: String) {
        // Rows, and what the database says, may hold anything.
        let text = plain::line(&text);
        match self.0.iter_mut().find(|(_, known)| *known == text) {
            Some((ids, _)) if ids.contains(&id) => {}
            Some((ids, _)) => ids.push(id),
            None => self.0.push((vec![id], text)),
        }
    }

    fn lines(&self) -> String {
        let line = |(ids, text): &(Vec<u32>, String)| {
            let names: Vec<String> = ids.iter().map(u32::to_string).collect();
            let servers = if ids.len() == 1 { "server" } else { "servers" };
            format!("{servers} {}: {text}\n", names.join(", "))
        };
        self.0.iter().map(line).collect()
    }
}

/// The report and the exit status.
fn checked(args: &CheckArgs) -> Result<(String, ExitCode), config_file::LoadError> {
    let parsed = config_file::load(args.config.as_deref())?;
    let mut lines: String = parsed.problems.iter().map(|p| format!("{p}\n")).collect();
    let Some(config) = &parsed.config else {
        return Ok((lines, BAD_CONFIGURATION.into()));
    };
    if let Some(id) = args.server_id.filter(|id| !config.servers.contains_key(id)) {
        lines.push_str(&no_such_server(&parsed, config, id));
        return Ok((lines, BAD_CONFIGURATION.into()));
    }
    lines.push_str(&format!("{}: configuration is right; {}\n", parsed.file, in_force(config)));
    if let Some(why) = system_zone().1.filter(|_| config.base.timezone.is_empty()) {
        lines.push_str(&format!("warning: {why}\n"));
    }
    let mut right = true;
    let (mut report, mut looker) = (Report::default(), Looker::default());
    for id in config.servers.keys().filter(|id| args.server_id.is_none_or(|only| only == **id)) {
        right &= check_group(&parsed, config, *id, (&mut report, &mut looker));
    }
    lines.push_str(&report.lines());
    Ok((lines, if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

/// Reads the rows of a group, as the daemon would, and reports what is wrong with them. Returns
/// whether nothing is.
fn check_group(
    parsed: &Parsed,
    config: &Config,
    id: u32,
    (report, looker): (&mut Report, &mut Looker),
) -> bool {
    far_files::told(config, id)
        .into_iter()
        .for_each(|text| report.add(id, format!("warning: {text}")));
    let own = own_paths(config, id, looker);
    let wrong = |(name, path, what): &(_, _, _)| {
        (Severity::Error, format!("error: {name}: {path}: {what}"))
    };
    let mut all: Vec<(Severity, String)> = own.iter().map(wrong).collect();
    all.iter().for_each(|(_, line)| report.add(id, line.clone()));
    if own.iter().any(|(_, _, what)| *what == SILENT) {
        return false;
    }
    let warnings = predecessor_of(config, id).into_iter().chain(refused(config, id));
    for text in warnings {
        all.push((Severity::Warning, format!("warning: {text}")));
        report.add(id, format!("warning: {text}"));
    }
    let answers = match ask(config, id) {
        Ok(answers) => answers,
        Err(why) => {
            report.add(id, format!("error: {why}"));
            return false;
        }
    };
    // The configuration takes no other text.
    let dialect = config.base.cron_dialect.parse().unwrap_or_default();
    let mut findings = rows_by(looker, &answers);
    findings.extend(check_crons(&answers, dialect));
    findings.extend(check_future(&answers, dialect, clock::now().wall_ms));
    findings.extend(moved(parsed, config, &answers));
    findings.sort_by_key(|finding| finding.job_id);
    let mut told = told(&findings);
    told.extend(unwritable(config));
    told.iter().for_each(|(_, line)| report.add(id, line.clone()));
    all.extend(told);
    let jobs = answers.iter().filter(|answer| matches!(answer, Answer::Job(_))).count();
    let count = |severity| all.iter().filter(|(found, _)| *found == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let told = [(jobs, "job"), (errors, "error"), (warnings, "warning")];
    let told = told.map(|(count, what)| plain::counted(count as u64, what));
    report.add(id, told.join(", "));
    errors == 0
}

/// What the daemon of the group had to set aside.
fn refused(config: &Config, id: u32) -> Option<String> {
    let path = Path::new(&config.base.statedir.path(id)).join("refused");
    let hint = "correct the table and ask for a sync, or wait 10 minutes";
    match database::read_set_aside(&path) {
        Ok(aside) if aside.count == 0 => None,
        Ok(aside) => Some(format!(
            "{} records that the database refuses wait in {}, the last one: {}: {hint}",
            aside.count,
            path.display(),
            aside.last
        )),
        Err(why) => Some(format!("records that were set aside, {}: {why}", path.display())),
    }
}

/// Why no run could be recorded.
fn unwritable(config: &Config) -> Option<(Severity, String)> {
    let why = database::may_write(&config.database).err()?.message;
    Some((Severity::Error, format!("error: runs could not be recorded: {why}")))
}

/// How schedules are read.
fn in_force(config: &Config) -> String {
    let zone = match config.base.timezone.as_str() {
        "" => format!("the system's zone, {}", system_zone().0.iana_name().unwrap_or("unnamed")),
        name => format!("zone {name}"),
    };
    format!("schedules are read with cron_dialect = {} in {zone}", config.base.cron_dialect)
}

/// What is to be known by who comes from the PHP program.
fn moved(parsed: &Parsed, config: &Config, answers: &[Answer]) -> Vec<Finding> {
    // Who can't read the catalogue is told nothing of the key.
    let key = schema::has_unique_md5(&config.database).unwrap_or(false);
    let mut findings = Vec::new();
    if !key && !parsed.flat {
        return findings;
    }
    findings.extend(key.then(unique_key));
    if config.base.timezone.is_empty() {
        findings.extend(moved_zone(&system_zone().0));
    }
    findings.extend(moved_rows(answers));
    findings
}

/// A daemon of the PHP program that runs the group.
fn predecessor_of(config: &Config, id: u32) -> Option<String> {
    let path = config.base.pidfile.path(id);
    if let Found::Predecessor(pid) = holder::find(Path::new(&path)) {
        return Some(format!("{}; its pid file is {path}", predecessor::in_the_way(pid)));
    }
    predecessor::beside(id).map(predecessor::found_beside).or_else(|| predecessor::strangers(id))
}

/// What is wrong with the daemon's own files: key, path, and why.
fn own_paths(
    config: &Config,
    id: u32,
    looker: &mut Looker,
) -> Vec<(&'static str, String, &'static str)> {
    let base = &config.base;
    let mut files = vec![("[base] pidfile", base.pidfile.path(id))];
    files.extend(base.log_path(id).map(|path| ("[base] logfile", path)));
    if config.database.driver == Driver::Sqlite {
        let path = config.database.path.clone();
        // Journals of the database are made beside it.
        let beside = Path::new(&path).with_extension("db-journal").to_string_lossy().into_owned();
        let wanted =
            if looker.look(Path::new(&path)) == OutputFile::Writable { beside } else { path };
        files.push(("[db1] path", wanted));
    }
    let mut wrong = Vec::new();
    for (name, path) in files {
        match looker.look(Path::new(&path)) {
            OutputFile::Writable => {}
            OutputFile::NoAnswer => wrong.push((name, path, SILENT)),
            OutputFile::IsDirectory => wrong.push((name, path, "is a directory: name a file")),
            // That there is no such database is told below.
            OutputFile::NoDirectory if name == "[db1] path" => {}
            OutputFile::NoDirectory => wrong.push((name, path, "its directory is not there")),
            OutputFile::Forbidden | OutputFile::ForbiddenDirectory => {
                wrong.push((name, path, "this user can't write it"));
            }
        }
    }
    // The daemon makes this one, with all that lead to it.
    let dir = base.statedir.path(id);
    if looker.look(Path::new(&dir)) == OutputFile::NoAnswer {
        wrong.push(("[base] statedir", dir, SILENT));
        return wrong;
    }
    let there = Path::new(&dir).ancestors().find(|part| part.exists());
    if !there.is_some_and(|part| part.is_dir() && access(part, Access::WRITE_OK).is_ok()) {
        wrong.push(("[base] statedir", dir, "this user can't make or write it"));
    }
    wrong
}

/// One exchange, in this very process: nobody waits for anything else here.
fn ask(config: &Config, id: u32) -> Result<Vec<Answer>, String> {
    let Some(server) = config.servers.get(&id) else { return Ok(Vec::new()) };
    let ask = Ask::Sync {
        server_id: id,
        vars_server: server.vars_server,
        digest: String::new(),
        snapshot: String::new(),
    };
    let request = Request { database: config.database.clone(), ask };
    let question = serde_json::to_vec(&request).map_err(|why| why.to_string())?;
    let mut answer = Vec::new();
    database::serve(&question[..], &mut answer);
    let lines = answer.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let answers: Result<Vec<Answer>, _> = lines.map(serde_json::from_slice).collect();
    let answers = answers.map_err(|why| why.to_string())?;
    match answers.last() {
        Some(Answer::Error { message, .. }) => Err(message.clone()),
        _ => Ok(answers),
    }
}

fn no_such_server(parsed: &Parsed, config: &Config, id: u32) -> String {
    let known: Vec<String> = config.servers.keys().map(u32::to_string).collect();
    let known = known.join(", ");
    format!("{}: error: no server {id}: add [server_{id}]; there is {known}\n", parsed.file)
}

/// What is wrong with the rows of one group, but for their schedules. `answers` is a whole answer
/// of the exchange.
pub fn rows(answers: &[Answer]) -> Vec<Finding> {
    rows_by(&mut Looker::default(), answers)
}

fn rows_by(looker: &mut Looker, answers: &[Answer]) -> Vec<Finding> {
    let look = |path: String| {
        let found = looker.look(Path::new(&path));
        (path, found)
    };
    let files: BTreeMap<_, _> = output_files(answers).into_iter().map(look).collect();
    check_rows(answers, &files)
}
