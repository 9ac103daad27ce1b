//! `schedule check`: what is wrong with the configuration and the rows, where, and what would be
//! right.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::BAD_CONFIGURATION;
use super::control::Which;
use crate::core::check::{
    Finding, OutputFile, check_crons, check_future, check_rows, moved_rows, moved_zone,
    output_files, rows_of_others, told, unique_key,
};
use crate::core::config::{Config, Parsed, Severity};
use crate::core::homes::Homes;
use crate::core::ids::AskId;
use crate::core::journal::Stand;
use crate::core::plain;
use crate::core::protocol::{Answer, Ask, Request, SetAside};
use crate::shell::clock;
use crate::shell::config_file;
use crate::shell::database::{self, migrate};
use crate::shell::far_files;
use crate::shell::holder::{self, Found};
use crate::shell::journal;
use crate::shell::look::Looker;
use crate::shell::own;
use crate::shell::owner;
use crate::shell::predecessor;
use crate::shell::start::{needs, server_of};
use crate::shell::system_zone::system_zone;

const SILENT: &str = "its file system does not answer: see to its mount";

/// Arguments of `schedule check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// Check this server group only: the number of a [server_N] section. Without it, or by `all`,
    /// each of them
    #[arg(value_name = "SERVER_ID|all", default_value = "all", hide_default_value = true)]
    pub which: Which,
    /// Configuration file [default: /etc/schedule/schedule.ini, then ./conf/schedule.ini; of a
    /// program that is not installed the reverse]
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
    let only = match args.which {
        Which::All => None,
        Which::One(id) => Some(id),
    };
    if let Some(why) = only.and_then(|id| server_of(config, id).err()) {
        lines.push_str(&format!("{}: error: {why}\n", parsed.file));
        return Ok((lines, BAD_CONFIGURATION.into()));
    }
    lines.push_str(&format!("{}: configuration is right; {}\n", parsed.file, in_force(config)));
    if let Some(why) = system_zone().1.filter(|_| config.base.timezone.is_none()) {
        lines.push_str(&format!("warning: {why}\n"));
    }
    let mut right = true;
    let (mut report, mut looker) = (Report::default(), Looker::default());
    for id in config.servers.keys().filter(|id| only.is_none_or(|only| only == **id)) {
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
    if own.iter().any(|(_, _, what)| what == SILENT) {
        return false;
    }
    owner::seen_as_root(config, id).iter().for_each(|it| report.add(id, format!("note: {it}")));
    let strangers = owner::strangers_above(config, id, owner::of_state(config, id));
    let others = predecessor_of(config, id).into_iter().chain(refused(config, id));
    let warnings = strangers.into_iter().chain(others);
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
    let dialect = config.base.cron_dialect;
    let mut findings = rows_by(looker, &answers);
    // Who can't read the catalogue is told nothing of the key.
    let key = migrate::has_unique_md5(&config.database).unwrap_or(false);
    findings.extend(check_crons(&answers, dialect, key || parsed.flat));
    findings.extend(check_future(&answers, dialect, clock::now().wall_ms));
    findings.extend(moved((key, parsed.flat), config, &answers));
    findings.sort_by_key(|finding| finding.job_id);
    let mut told = told(&findings);
    told.extend(unwritable(config));
    told.extend(crowded(config));
    told.iter().for_each(|(_, line)| report.add(id, line.clone()));
    all.extend(told);
    for table in migrate::missing_tables(&config.database).unwrap_or_default() {
        report.add(id, format!("note: {}", without(table)));
    }
    other_servers(config).iter().for_each(|text| report.add(id, format!("note: {text}")));
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
    let dir = PathBuf::from(config.base.statedir.path(id));
    let path = dir.join("refused");
    let homes = homes(config, &dir);
    let mut told: Vec<_> = homes.strange_move().into_iter().collect();
    told.extend(match database::read_set_aside(&path, Stand::default(), &homes) {
        Ok(aside) => waiting(&aside, &path.display().to_string()),
        Err(why) => vec![format!("records that were set aside, {}: {why}", path.display())],
    });
    let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
    let unread = entries.filter(|entry| own::is_unread(&entry.file_name()));
    let mut unread: Vec<_> = unread.map(|entry| entry.path().display().to_string()).collect();
    unread.sort();
    let unread = (!unread.is_empty()).then(|| {
        format!(
            "records that were set aside could not be read and are in {}: put them back into {} \
             when they can be, or take them away",
            unread.join(", "),
            path.display()
        )
    });
    told.extend(unread);
    (!told.is_empty()).then(|| told.join("; "))
}

/// Which records are for the database, as far as the journal below this directory tells.
fn homes(config: &Config, dir: &Path) -> Homes {
    // Who may not read it is told less.
    let known = journal::homes(&dir.join("journal")).unwrap_or_default();
    Homes { known, ..Homes::of(&config.database, &config.moved_from) }
}

/// What is set aside in the file at this path.
fn waiting(aside: &SetAside, path: &str) -> Vec<String> {
    let records = |count| plain::counted(count, "record");
    let (elsewhere, waiting) = (records(aside.elsewhere), records(aside.waiting));
    let (refused, last) = (records(aside.tried().saturating_sub(aside.waiting)), &aside.last);
    let mut told = Vec::new();
    if aside.elsewhere > 0 {
        let last = &aside.last_elsewhere;
        told.push(format!("{elsewhere} of another database wait in {path}, the last one: {last}"));
    }
    if aside.waiting > 0 {
        told.push(format!(
            "{waiting} wait in {path} for the database: it has not answered a daemon since the \
             configuration names it again"
        ));
    }
    if aside.tried() > aside.waiting {
        told.push(format!(
            "{refused} that the database refuses wait in {path}, the last one: {last}: correct the \
             table and ask for a sync, or wait 10 minutes"
        ));
    }
    told
}

/// Why no run could be recorded.
fn unwritable(config: &Config) -> Option<(Severity, String)> {
    let why = database::may_write(&config.database).err()?.message;
    Some((Severity::Error, format!("error: runs could not be recorded: {why}")))
}

/// Whether records are kept for ever that are many already.
fn crowded(config: &Config) -> Option<(Severity, String)> {
    const MANY: u64 = 5_000_000;
    let rows = migrate::recorded_runs(&config.database).unwrap_or(0);
    (config.base.keep_records_days == 0 && rows > MANY).then(|| {
        let text = format!(
            "warning: scheduler_logs has some {rows} rows, and all are kept: set keep_records = \
             90d in [base], or delete old ones by yourself"
        );
        (Severity::Warning, text)
    })
}

/// What is to be known where an optional table is missing.
fn without(table: &str) -> String {
    let what = match table {
        "scheduler_skips" => "skipped slots are not recorded",
        "scheduler_statistics" => "statistics are slow, and go no further than the runs",
        _ => "who changed or did what is not recorded in the database",
    };
    format!(
        "{what}, for there is no table {table}, which is optional: `schedule db migrate` makes it"
    )
}

/// Rows that no group of this configuration has. They may be another machine's.
fn other_servers(config: &Config) -> Option<String> {
    // Who can't read them was told why.
    let rows = migrate::rows_of_servers(&config.database).unwrap_or_default();
    rows_of_others(&rows, |id| config.servers.contains_key(&id))
}

/// How schedules are read.
fn in_force(config: &Config) -> String {
    let zone = match config.base.zone_name() {
        "" => format!("the system's zone, {}", system_zone().0.iana_name().unwrap_or("unnamed")),
        name => format!("zone {name}"),
    };
    format!("schedules are read with cron_dialect = {} in {zone}", config.base.cron_dialect)
}

/// What is to be known by who comes from the PHP program, by whose unique key or form of the
/// configuration it is seen.
fn moved((key, flat): (bool, bool), config: &Config, answers: &[Answer]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !key && !flat {
        return findings;
    }
    findings.extend(key.then(unique_key));
    if config.base.timezone.is_none() {
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
fn own_paths(config: &Config, id: u32, looker: &mut Looker) -> Vec<(&'static str, String, String)> {
    let base = &config.base;
    let mut files = vec![("[base] pidfile", base.pidfile.path(id))];
    files.extend(base.log_path(id).map(|path| ("[base] logfile", path)));
    if let Some(path) = config.database.file().cloned() {
        // Journals of the database are made beside it.
        let beside = Path::new(&path).with_extension("db-journal").to_string_lossy().into_owned();
        let wanted =
            if looker.look(Path::new(&path)) == OutputFile::Writable { beside } else { path };
        files.push(("[db1] path", wanted));
    }
    let mut wrong = Vec::new();
    for (name, path) in files {
        match looker.look(Path::new(&path)) {
            // The daemon writes these, and nobody else is to be kept from it.
            OutputFile::Writable | OutputFile::MayBeLink => {}
            OutputFile::NoAnswer => wrong.push((name, path, SILENT.to_owned())),
            OutputFile::IsDirectory => {
                wrong.push((name, path, "is a directory: name a file".to_owned()));
            }
            // That there is no such database is told below.
            OutputFile::NoDirectory if name == "[db1] path" => {}
            OutputFile::NoDirectory => {
                let advice = owner::advice_to_make(Path::new(&path), owner::of_state(config, id));
                wrong.push((name, path, advice));
            }
            OutputFile::Forbidden | OutputFile::ForbiddenDirectory => {
                wrong.push((name, path, "this user can't write it".to_owned()));
            }
        }
    }
    // The daemon makes this one, with all that lead to it.
    let dir = base.statedir.path(id);
    if looker.look(Path::new(&dir)) == OutputFile::NoAnswer {
        wrong.push(("[base] statedir", dir, SILENT.to_owned()));
        return wrong;
    }
    let uid = owner::of_state(config, id);
    let ways = [Path::new(&dir).join("journal"), PathBuf::from(base.pidfile.path(id))];
    let links = ways.iter().filter_map(|way| Some((way, owner::strange_link(way, uid)?)));
    if let Some((way, why)) = links.into_iter().next() {
        wrong.push(("[base]", way.display().to_string(), why));
    } else if let Err((path, why)) = try_state_dir(Path::new(&dir), uid) {
        wrong.push(("[base] statedir", path.display().to_string(), why));
    } else if let Some(why) = full_disk(Path::new(&dir), uid) {
        wrong.push(("[base] statedir", dir, why));
    }
    wrong
}

/// Whether the daemon of this user could work there; what it can't have, and why.
fn try_state_dir(dir: &Path, uid: u32) -> Result<(), (PathBuf, String)> {
    let there = dir.ancestors().find(|part| part.exists());
    match there {
        Some(there) if there == dir => {
            needs::whole_state_dir(dir, uid).map_err(|wrong| (wrong.path, wrong.why))
        }
        Some(there) if own::try_dir(there, uid).is_ok() => Ok(()),
        _ => Err((dir.into(), "this user can't make it".to_owned())),
    }
}

/// What a full file system costs the daemon of this user.
fn full_disk(state_dir: &Path, uid: u32) -> Option<String> {
    let journal = state_dir.join("journal");
    let there = journal.ancestors().find(|part| part.exists())?;
    let why = journal::why_full(there, uid)?;
    Some(format!(
        "its file system {why}: outputs of runs are lost, and so are the records of runs that the \
         daemon has no room for in its memory: make room there"
    ))
}

/// One exchange, in this very process: nobody waits for anything else here.
fn ask(config: &Config, id: u32) -> Result<Vec<Answer>, String> {
    let Some(server) = config.servers.get(&id) else { return Ok(Vec::new()) };
    let ask = Ask::Sync {
        server_id: id,
        vars_server: server.vars_server,
        digest: String::new(),
        snapshot: String::new(),
        last_runs: false,
    };
    let request = Request { id: AskId::default(), database: config.database.clone(), ask };
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
