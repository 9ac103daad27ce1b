//! `schedule check`: what is wrong with the configuration and the rows, where, and what would be
//! right.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::BAD_CONFIGURATION;
use crate::core::check::{Finding, OutputFile, check_crons, check_rows, output_files};
use crate::core::config::{Config, Parsed, Severity};
use crate::core::protocol::{Answer, Ask, Driver, Request};
use crate::shell::config_file;
use crate::shell::database;

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
    lines.push_str(&format!("{}: configuration is right\n", parsed.file));
    let mut right = true;
    for id in config.servers.keys().filter(|id| args.server_id.is_none_or(|only| only == **id)) {
        right &= check_group(config, *id, &mut lines);
    }
    Ok((lines, if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

/// Reads the rows of a group, as the daemon would, and appends what is wrong with them to `lines`.
/// Returns whether nothing is.
fn check_group(config: &Config, id: u32, lines: &mut String) -> bool {
    let own = own_paths(config, id);
    for (name, path, what) in &own {
        lines.push_str(&format!("server {id}: error: {name}: {path}: {what}\n"));
    }
    let answers = match ask(config, id) {
        Ok(answers) => answers,
        Err(why) => {
            lines.push_str(&format!("server {id}: error: {why}\n"));
            return false;
        }
    };
    // The configuration takes no other text.
    let dialect = config.base.cron_dialect.parse().unwrap_or_default();
    let mut findings = rows(&answers);
    findings.extend(check_crons(&answers, dialect));
    findings.sort_by_key(|finding| finding.job_id);
    for finding in &findings {
        lines.push_str(&format!("server {id}: {finding}\n"));
    }
    let jobs = answers.iter().filter(|answer| matches!(answer, Answer::Job(_))).count();
    let errors = findings.iter().filter(|it| it.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    lines.push_str(&format!("server {id}: {jobs} jobs, {errors} errors, {warnings} warnings\n"));
    errors == 0 && own.is_empty()
}

/// What is wrong with the daemon's own files: key, path, and why.
fn own_paths(config: &Config, id: u32) -> Vec<(&'static str, String, &'static str)> {
    let base = &config.base;
    let mut files =
        vec![("[base] pidfile", base.pidfile.path(id)), ("[base] logfile", base.logfile.path(id))];
    if config.database.driver == Driver::Sqlite {
        let path = config.database.path.clone();
        // Journals of the database are made beside it.
        let beside = Path::new(&path).with_extension("db-journal").to_string_lossy().into_owned();
        files.extend([("[db1] path", path), ("[db1] path", beside)]);
    }
    let mut wrong = Vec::new();
    for (name, path) in files {
        match look_at(Path::new(&path)) {
            OutputFile::Writable => {}
            OutputFile::IsDirectory => wrong.push((name, path, "is a directory: name a file")),
            OutputFile::NoDirectory => wrong.push((name, path, "its directory is not there")),
            OutputFile::Forbidden => wrong.push((name, path, "this user can't write it")),
        }
    }
    // The daemon makes this one, with all that lead to it.
    let dir = base.statedir.path(id);
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
    let look = |path: String| {
        let found = look_at(Path::new(&path));
        (path, found)
    };
    let files: BTreeMap<_, _> = output_files(answers).into_iter().map(look).collect();
    check_rows(answers, &files)
}

/// Whether this user could append to a file, without touching it.
fn look_at(path: &Path) -> OutputFile {
    if path.is_dir() {
        return OutputFile::IsDirectory;
    }
    match access(path, Access::WRITE_OK) {
        Ok(()) => return OutputFile::Writable,
        Err(Errno::NOENT) => {}
        Err(Errno::NOTDIR) => return OutputFile::NoDirectory,
        Err(_) => return OutputFile::Forbidden,
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match access(directory, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => OutputFile::Writable,
        Err(Errno::NOENT | Errno::NOTDIR) => OutputFile::NoDirectory,
        Err(_) => OutputFile::Forbidden,
    }
}
