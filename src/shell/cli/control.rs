//! `schedule start|stop|restart|reload|reopen|status`: daemons in the background, as an init script
//! needs them. A daemon is found by its lock (`shell::holder`), told by signals, and asked over
//! HTTP, each with a deadline. `api` is for commands that speak to one.

pub mod api;
mod ask;
mod forgotten;
mod renew;
mod start;
mod status;
mod stop;

use super::BAD_CONFIGURATION;
use super::number::number;
use crate::core::config::Config;
use crate::core::plain;
use crate::shell::config_file;
use crate::shell::holder::{self, Found, Holder};
use crate::shell::journal;
use crate::shell::keeper::SOCKET;
use crate::shell::notify::Note;
use crate::shell::owner;
use crate::shell::predecessor;
use crate::shell::proc_fs;
use crate::shell::search::{self, Process};
use crate::shell::start::server_of;
use crate::shell::sys::Pid;
use std::fmt::Display;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

/// Done, or there was nothing to do.
const DONE: u8 = 0;
/// It was not done.
const FAILED: u8 = 1;
/// Not permitted (LSB 3.1 §22.2: insufficient privilege).
const NOT_PERMITTED: u8 = 4;
/// It does not run, and what was asked for needs that it does (LSB 3.1 §22.2).
const NOT_RUNNING: u8 = 7;

/// Which groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Each one of the configuration.
    All,
    /// This one.
    One(u32),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Which, String> {
        if text == "all" {
            return Ok(Which::All);
        }
        let wrong = || "a number as in [server_N], or `all`".to_owned();
        text.parse().ok().filter(|id| *id > 0).map(Which::One).ok_or_else(wrong)
    }
}

/// Arguments of those that need no more.
#[derive(Clone, Debug, clap::Args)]
pub struct GroupArgs {
    /// The group: the number of a [server_N] section, or `all`
    #[arg(value_name = "SERVER_ID|all")]
    pub which: Which,
    /// Configuration file [default: /etc/schedule/schedule.ini, then ./conf/schedule.ini; of a
    /// program that is not installed the reverse]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `schedule status`.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    /// The group: the number of a [server_N] section; without it, or by `all`, each of them
    #[arg(value_name = "SERVER_ID|all", default_value = "all", hide_default_value = true)]
    pub which: Which,
    /// Configuration file [default: /etc/schedule/schedule.ini, then ./conf/schedule.ini; of a
    /// program that is not installed the reverse]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `schedule start`.
#[derive(Clone, Debug, clap::Args)]
pub struct StartArgs {
    /// Which, by which configuration
    #[command(flatten)]
    pub group: GroupArgs,
}

/// Arguments of `schedule stop`.
#[derive(Clone, Debug, clap::Args)]
pub struct StopArgs {
    /// Which, by which configuration
    #[command(flatten)]
    pub group: GroupArgs,
    /// Start no more, and end when the last run has ended
    #[arg(long, conflicts_with = "kill")]
    pub drain: bool,
    /// Stop the runs, too: TERM, after `stop_grace` seconds KILL
    #[arg(long)]
    pub kill: bool,
    /// Wait so many seconds at the most [default: 30; with --drain and --kill as long as it takes]
    #[arg(long, value_name = "SECONDS", value_parser = number(0..=u32::MAX))]
    pub timeout: Option<u32>,
}

/// A configuration and the groups of it that are meant.
struct Groups {
    config: Config,
    /// Its file, absolute: a daemon reads it again later.
    file: PathBuf,
    ids: Vec<u32>,
    /// All groups are meant.
    all: bool,
    /// It has errors, so daemons may be elsewhere than it says.
    flawed: bool,
    /// All groups are meant, and it may have more.
    incomplete: bool,
    /// What is wrong with it.
    problems: Vec<String>,
}

/// Runs that are named one by one.
const MAX_NAMED: usize = 5;

/// Runs that go on without a daemon.
struct Left {
    /// None: it was killed as well.
    keeper: Option<Pid>,
    /// The processes that lead them: children of the keeper, and others.
    runs: Vec<Process>,
    /// Their user, if the files are another's by now.
    stranger: Option<String>,
    /// What to do where the configuration has their group no more; empty if it has.
    back: String,
}

impl Left {
    /// With what to do, where that is not only to start the daemon.
    fn said(&self) -> String {
        let kept = match self.keeper {
            Some(pid) => format!("with keeper pid {}", pid.as_raw_nonzero()),
            None => "without a keeper".to_owned(),
        };
        let runs = self.named();
        match &self.stranger {
            None => format!("; runs of it go on, {kept}{runs}{}", self.back),
            Some(user) => {
                let advice = owner::advice_to_end(user);
                format!("; runs of it go on as user '{user}', {kept}{runs}: {advice}")
            }
        }
    }

    /// Whether nothing of them is left. A keeper ends with its last run.
    fn has_ended(&self) -> bool {
        let over = |(pid, start): &Process| !proc_fs::is_running(*pid, *start);
        match self.keeper {
            Some(keeper) => proc_fs::has_ended(keeper) && self.runs.iter().all(over),
            None => self.runs.iter().all(over),
        }
    }

    /// How many, and which; nothing where they can't be seen.
    fn named(&self) -> String {
        if self.runs.is_empty() {
            return String::new();
        }
        let named = |(pid, _): &Process| {
            let job = search::job_of(*pid).map(|job| format!("job {job}, "));
            format!("{}pid {}", job.unwrap_or_default(), pid.as_raw_nonzero())
        };
        let mut names: Vec<String> = self.runs.iter().take(MAX_NAMED).map(named).collect();
        if self.runs.len() > MAX_NAMED {
            names.push("…".to_owned());
        }
        let count = plain::counted(self.runs.len() as u64, "run");
        format!(" ({count}: {})", names.join("; "))
    }
}

/// The runs of a state directory that go on and have no keeper, as the journal knows them: a
/// process of each.
fn orphans(dir: &Path, uid: u32, kept: &[Process]) -> Vec<Process> {
    let mut runs = journal::left(&dir.join("journal")).unwrap_or_default();
    for run in kept.iter().filter_map(|(pid, _)| search::run_of(*pid)) {
        runs.remove(&run);
    }
    match runs.is_empty() {
        true => Vec::new(),
        false => search::left_of(&runs, uid, dir).unwrap_or_default(),
    }
}

/// What is said of a process that listens at the keeper's socket and is no keeper.
fn impostor(dir: &Path, (pid, uid): (Pid, u32)) -> String {
    let path = dir.join(SOCKET);
    let (path, pid, user) = (path.display(), pid.as_raw_nonzero(), owner::user(uid));
    format!(
        "; something that is no keeper listens at {path} (pid {pid} of user '{user}'): end it, and \
         see who may write there"
    )
}

impl Groups {
    /// Reads the configuration; what is wrong with it is told.
    fn read(verb: &str, args: &GroupArgs) -> Result<Groups, ()> {
        let groups = Groups::read_most(verb, args)?;
        if groups.flawed {
            eprintln!("schedule {verb}: the configuration has errors");
            return Err(());
        }
        // Of a group that it has no more there is nothing to put in force.
        if let Some(text) = groups.ids.iter().find_map(|id| groups.told_as_forgotten(*id)) {
            eprintln!("{text}");
            return Err(());
        }
        Ok(groups)
    }

    /// The same for verbs that have to do with running daemons only: what can be read will do.
    fn read_most(verb: &str, args: &GroupArgs) -> Result<Groups, ()> {
        let refuse = |why: &dyn Display| eprintln!("schedule {verb}: {why}");
        let parsed = config_file::load(args.config.as_deref()).map_err(|why| refuse(&why))?;
        let flawed = parsed.config.is_none();
        let problems: Vec<String> = parsed.problems.iter().map(ToString::to_string).collect();
        if flawed {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
        }
        let config = parsed.config.or(parsed.rest);
        let config = config.ok_or_else(|| refuse(&"the configuration has errors"))?;
        let ids = match args.which {
            Which::All => config.servers.keys().copied().collect(),
            Which::One(id) => vec![id],
        };
        let file = std::path::absolute(&parsed.file).map_err(|why| refuse(&why))?;
        let all = args.which == Which::All;
        let incomplete = flawed && all;
        let groups = Groups { config, file, ids, all, flawed, incomplete, problems };
        if let Which::One(id) = args.which
            && let Err(why) = server_of(&groups.config, id)
            && groups.told_as_forgotten(id).is_none()
        {
            refuse(&why);
            return Err(());
        }
        Ok(groups)
    }

    /// Shows the warnings to who puts the configuration in force. A daemon that starts shows them
    /// itself.
    fn warn(&self) {
        let mut found = self.ids.iter().map(|id| self.find(*id));
        if found.any(|found| matches!(found, Found::Running(_))) {
            self.problems.iter().for_each(|problem| eprintln!("{problem}"));
        }
    }

    fn find(&self, id: u32) -> Found {
        match holder::find(Path::new(&self.config.base.pidfile.path(id))) {
            none @ (Found::Nobody | Found::Stale) => match self.find_in_state_dir(id) {
                Some(holder) => Found::Running(holder),
                // It may be there all the same, under another pid file.
                None => self.hidden_state_dir(id).map_or(none, Found::NotPermitted),
            },
            found => found,
        }
    }

    /// Tells that the PHP program runs a group; the exit status.
    fn predecessor(&self, id: u32, pid: Pid) -> u8 {
        let path = self.config.base.pidfile.path(id);
        eprintln!("server {id}: {}; its pid file is {path}", predecessor::in_the_way(pid));
        FAILED
    }

    /// Says that the PHP program runs a group beside a daemon of ours.
    fn warn_of_twice(&self, id: u32, holder: &Holder) {
        let twice = predecessor::beside_daemon(id, holder.pid).map(predecessor::twice);
        twice.iter().for_each(|text| eprintln!("server {id}: warning: {text}"));
    }

    fn configured_state_dir(&self, id: u32) -> PathBuf {
        self.config.base.statedir.path(id).into()
    }

    fn find_in_state_dir(&self, id: u32) -> Option<Holder> {
        let dir = self.configured_state_dir(id);
        holder::find_in(&dir, Note::read(&dir)?.pid)
    }

    /// What keeps this user from looking into the state directory.
    fn hidden_state_dir(&self, id: u32) -> Option<String> {
        let dir = self.configured_state_dir(id);
        let why = fs::read_dir(&dir).err()?;
        let is_closed = why.kind() == io::ErrorKind::PermissionDenied;
        is_closed.then(|| format!("state directory {}: {why}", dir.display()))
    }

    /// The runs that go on without a daemon, and what is to be said of them, or of who only
    /// listens where their keeper would.
    fn without_daemon(&self, id: u32) -> (Option<Left>, String) {
        let dir = self.configured_state_dir(id);
        let kept = search::keeper_of(&dir);
        let owner = fs::metadata(&dir).map(|found| found.uid()).ok();
        let of = |(keeper, _)| search::runs_of(keeper).into_iter();
        let start = |pid| Some((pid, proc_fs::kernel_start(pid)?));
        let mut runs: Vec<Process> = kept.into_iter().flat_map(of).filter_map(start).collect();
        runs.extend(owner.map(|uid| orphans(&dir, uid, &runs)).unwrap_or_default());
        if kept.is_none() && runs.is_empty() {
            let told = search::impostor_of(&dir).map(|found| impostor(&dir, found));
            return (None, told.unwrap_or_default());
        }
        let stranger = kept.filter(|(_, uid)| owner != Some(*uid));
        let stranger = stranger.map(|(_, uid)| owner::user(uid));
        let keeper = kept.map(|(keeper, _)| keeper);
        let left = Left { keeper, runs, stranger, back: self.advice_to_put_back(id) };
        let told = left.said();
        (Some(left), told)
    }

    /// The state directory that a daemon works in. The configuration may name another one by now.
    fn state_dir(&self, id: u32, holder: &Holder) -> PathBuf {
        let configured = self.configured_state_dir(id);
        let pid = holder.pid.as_raw_nonzero().get();
        let is_its =
            |dir: &PathBuf| Note::read(dir).is_some_and(|note| pid == note.pid.cast_signed());
        let others = || holder.open_directories().into_iter().find(is_its);
        if is_its(&configured) { configured } else { others().unwrap_or(configured) }
    }

    /// The file that the daemon of a group has read, where it says so.
    fn file_of(&self, id: u32, holder: &Holder) -> Option<String> {
        let note = Note::read(&self.state_dir(id, holder))?;
        Some(note.config).filter(|file| !file.is_empty())
    }

    /// What to say where that is not the one which is read here: what it says may not be in force.
    fn other_file(&self, id: u32, holder: &Holder) -> Option<String> {
        let its = self.file_of(id, holder)?;
        let ours = plain::line(&self.file.display().to_string());
        (!self.is_same_file(&its)).then(|| {
            format!(
                "server {id}: warning: its configuration is {its}, not {ours}, which is read here: \
                 say `-c {its}`; for {ours} to be in force it has to be stopped and started"
            )
        })
    }

    /// Whether a daemon's name of a configuration means the one that is read here.
    fn is_same_file(&self, its: &str) -> bool {
        let [named, ours] = [Path::new(its), &self.file].map(|file| fs::metadata(file).ok());
        its == plain::line(&self.file.display().to_string())
            || named.zip(ours).is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino()))
    }

    /// Does something with each group, whatever becomes of the others; the highest exit status.
    fn each(&self, mut act: impl FnMut(u32) -> u8) -> ExitCode {
        // A section that could not be read may be one of all.
        let least = if self.incomplete { BAD_CONFIGURATION } else { DONE };
        let code = self.ids.iter().map(|id| act(*id)).max().unwrap_or(DONE).max(least);
        self.warn_of_forgotten();
        code.into()
    }
}

/// Starts daemons.
pub fn start(args: &StartArgs) -> ExitCode {
    match Groups::read("start", &args.group) {
        Ok(groups) => {
            let code = start::start(&groups, &groups.ids);
            groups.warn_of_forgotten();
            code.into()
        }
        Err(()) => BAD_CONFIGURATION.into(),
    }
}

/// Ends daemons.
pub fn stop(args: &StopArgs) -> ExitCode {
    let how = match (args.drain, args.kill) {
        (true, _) => stop::How::Drain,
        (_, true) => stop::How::StopRuns,
        _ => stop::How::Leave,
    };
    let timeout = args.timeout.map(|seconds| Duration::from_secs(seconds.into()));
    match Groups::read_most("stop", &args.group) {
        Ok(groups) => groups.each(|id| stop::stop(&groups, id, how, timeout)),
        Err(()) => BAD_CONFIGURATION.into(),
    }
}

/// Renews running daemons in place. One group that does not run is started; of all of them those
/// that don't run are left as they are, since somebody may have stopped them on purpose.
pub fn restart(args: &GroupArgs) -> ExitCode {
    match Groups::read("restart", args) {
        Ok(groups) => {
            groups.warn();
            groups.each(|id| renew::restart(&groups, id, args.which))
        }
        Err(()) => BAD_CONFIGURATION.into(),
    }
}

/// Makes running daemons read their configuration again.
pub fn reload(args: &GroupArgs) -> ExitCode {
    match Groups::read("reload", args) {
        Ok(groups) => {
            groups.warn();
            groups.each(|id| renew::reload(&groups, id))
        }
        Err(()) => BAD_CONFIGURATION.into(),
    }
}

/// Makes running daemons reopen their logs.
pub fn reopen(args: &GroupArgs) -> ExitCode {
    match Groups::read_most("reopen", args) {
        Ok(groups) => {
            // A log that was moved away has to be let go by the daemon that writes it.
            let forgotten = if groups.all { groups.forgotten_ids() } else { Vec::new() };
            forgotten.iter().for_each(|id| _ = renew::reopen(&groups, *id));
            groups.each(|id| renew::reopen(&groups, id))
        }
        Err(()) => BAD_CONFIGURATION.into(),
    }
}

/// Tells how daemons are.
pub fn status(args: &StatusArgs) -> ExitCode {
    let of = GroupArgs { which: args.which, config: args.config.clone() };
    match Groups::read_most("status", &of) {
        Ok(groups) if args.which == Which::All => status::table(&groups).into(),
        Ok(groups) => groups.each(|id| status::line(&groups, id)),
        Err(()) => status::UNKNOWN.into(),
    }
}

/// Tells that this user may not look; the exit status.
fn not_permitted(id: u32, what: &str) -> u8 {
    eprintln!("server {id}: {}", no_permission(what));
    NOT_PERMITTED
}

fn no_permission(what: &str) -> String {
    format!("not permitted: {what}: be root or the user of the daemon")
}

/// Tells that a daemon can't be signalled; the exit status.
fn cannot_signal(id: u32, why: &io::Error) -> u8 {
    if why.kind() == io::ErrorKind::PermissionDenied {
        return not_permitted(id, &why.to_string());
    }
    eprintln!("server {id}: it can't be signalled: {why}");
    FAILED
}

/// Tells what was wrong with the database's first answer to a daemon that serves now.
fn warn_of_database(id: u32, warning: &str) {
    if !warning.is_empty() {
        let warning = warning.trim_end_matches('?');
        eprintln!("server {id}: warning: {warning}; the database is asked again and again");
    }
}
