//! The PHP program whose place this one takes: its daemons are known by their command line,
//! `php …/Process.php SERVER_ID`. A job that both of them run is run twice, so one that is alive
//! keeps its pid file and its group.
//!
//! Anybody can call a process that. So it counts only if it is root's, or of our own user, or of
//! the user whose pid file names it; somebody else's keeps nothing from starting and is told.

use super::clock;
use super::proc_fs;
use super::sys::Pid;
use crate::core::scheduler::twin::{self, BESIDE_PHP as BESIDE};
use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The script that its daemons execute.
const SCRIPT: &str = "Process.php";

/// In the name of each program that executes such a script: `php8.2`, `php-cgi`, `lsphp`. What has
/// only started one, as `sudo` and `sh -c` do, has the same words in its command line.
const INTERPRETER: &str = "php";

/// It is looked for so often while a daemon runs.
const LOOK_MS: u64 = 10_000;

/// The loop is held so long by that.
const LOOK_US: u64 = 1_000;

/// The daemon that the text of a pid file names, whichever group it runs: the file is its.
pub fn named(text: &str, file: &File) -> Option<Pid> {
    let pid = text.split_whitespace().next()?.parse().ok().and_then(Pid::from_raw)?;
    let (_, user) = daemon(pid)?;
    let is_its = file.metadata().is_ok_and(|found| found.uid() == user);
    (is_its || is_trusted(user)).then_some(pid)
}

/// The daemon of a group, wherever its pid file is.
pub fn of_group(server_id: u32) -> Option<Pid> {
    daemons_of(server_id).find(|(_, user)| is_trusted(*user)).map(|(pid, _)| pid)
}

/// What to say of a process of somebody else that calls itself the daemon of a group.
pub fn strangers(server_id: u32) -> Option<String> {
    let (pid, user) = daemons_of(server_id).find(|(_, user)| !is_trusted(*user))?;
    (!is_said_to_be_beside()).then(|| {
        let pid = pid.as_raw_nonzero();
        format!(
            "pid {pid} of user {user} calls itself the PHP program's daemon of this group. If it \
             is, its jobs run twice: end it (kill {pid}). If not, no daemon minds it"
        )
    })
}

fn daemons_of(server_id: u32) -> impl Iterator<Item = (Pid, u32)> {
    let processes = proc_fs::all().into_iter().flatten();
    processes.filter_map(move |pid| {
        let (group, user) = daemon(pid)?;
        (group == server_id).then_some((pid, user))
    })
}

fn is_trusted(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

/// As [`of_group`], unless it is said that it is another installation's: its process does not tell
/// which tables it reads.
pub fn beside(server_id: u32) -> Option<Pid> {
    if is_said_to_be_beside() { None } else { of_group(server_id) }
}

fn is_said_to_be_beside() -> bool {
    env::var_os(BESIDE).is_some_and(|value| value == "1")
}

/// What to say where its process is known, but no pid file that we share.
pub fn found_beside(pid: Pid) -> String {
    let pid = pid.as_raw_nonzero();
    // Who follows only the first advice ends nothing that is needed.
    format!(
        "the PHP program runs this group, pid {pid}: where it has other tables (it is another \
         installation's, or this one has `driver = sqlite`), set {BESIDE}=1 in the environment of \
         the daemon. With the same tables jobs would run twice: end that one first (its `sched \
         stop`, or kill {pid}; its running jobs go on)"
    )
}

/// Executes this program again, with the same arguments, as one that does not mind the PHP program.
/// Others read it in the environment of the process ([`is_told`]), so it has to begin with that.
///
/// # Errors
/// It can't be executed.
pub fn mind_none() -> io::Result<()> {
    if is_said_to_be_beside() {
        return Ok(());
    }
    let mut command = Command::new(env::current_exe()?);
    Err(command.args(env::args_os().skip(1)).env(BESIDE, "1").exec())
}

/// As [`beside`], where a daemon runs: what that one was told counts, too.
pub fn beside_daemon(server_id: u32, daemon: Pid) -> Option<Pid> {
    if is_told(daemon) { None } else { beside(server_id) }
}

/// Whether a daemon was told that the other is another installation's. Only root and its own user
/// can see that.
pub fn is_told(daemon: Pid) -> bool {
    let environ = fs::read(format!("/proc/{}/environ", daemon.as_raw_nonzero()));
    let said = format!("{BESIDE}=1").into_bytes();
    environ.is_ok_and(|text| text.split(|byte| *byte == 0).any(|it| it == said))
}

/// What to say where both run.
pub fn twice(pid: Pid) -> String {
    twin::twice(pid.as_raw_nonzero().get().cast_unsigned())
}

/// Looks for it while a daemon runs, a few processes at a time: there may be very many.
pub struct Lookout {
    server_id: u32,
    processes: Option<Box<dyn Iterator<Item = Pid>>>,
    next_ms: u64,
}

impl Lookout {
    /// For the daemon of a group.
    pub fn new(server_id: u32) -> Lookout {
        Lookout { server_id, processes: None, next_ms: 0 }
    }

    /// Goes on looking, for a moment. Returns what was found when all have been looked at.
    pub fn look(&mut self, now_ms: u64) -> Option<Option<Pid>> {
        if self.processes.is_none() {
            if is_said_to_be_beside() || now_ms < self.next_ms {
                return None;
            }
            self.next_ms = now_ms + LOOK_MS;
            self.processes = proc_fs::all().ok().map(|all| Box::new(all) as Box<_>);
        }
        let processes = self.processes.as_mut()?;
        let began_us = clock::mono_us();
        let found = loop {
            let Some(pid) = processes.next() else { break None };
            if is_clearly_php(pid)
                && daemon(pid).is_some_and(|(id, user)| id == self.server_id && is_trusted(user))
            {
                break Some(pid);
            }
            if clock::mono_us() - began_us >= LOOK_US {
                return None;
            }
        };
        self.processes = None;
        Some(found)
    }
}

/// Of one that hangs the command line may hang, too, and nobody else's is worth a look: this is
/// asked of the kernel, not of the memory of the process.
fn is_clearly_php(pid: Pid) -> bool {
    let number = pid.as_raw_nonzero();
    let is_php = match fs::read_link(format!("/proc/{number}/exe")) {
        Ok(program) => is_interpreter(&program),
        Err(_) => fs::read_to_string(format!("/proc/{number}/comm"))
            .is_ok_and(|name| name.contains(INTERPRETER)),
    };
    is_php && !proc_fs::hangs(pid)
}

/// What to say to who ends ours.
pub fn not_stopped(pid: Pid) -> String {
    let pid = pid.as_raw_nonzero();
    format!(
        "the PHP program runs this group, pid {pid}: that is not stopped by this. Its own `sched \
         stop` ends it, or kill {pid}; its running jobs go on"
    )
}

/// What to say where it keeps another daemon from its group.
pub fn in_the_way(pid: Pid) -> String {
    let pid = pid.as_raw_nonzero();
    format!(
        "the PHP program runs this group, pid {pid}: with both of them its jobs would run twice. \
         End that one first (its `sched stop`, or kill {pid}; its running jobs go on)"
    )
}

/// The group that a process runs, and whose it is, if it is such a daemon and alive.
fn daemon(pid: Pid) -> Option<(u32, u32)> {
    let number = pid.as_raw_nonzero();
    let text = fs::read(format!("/proc/{number}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&text);
    // In one piece where the process has given itself a title.
    let mut words = text.split(['\0', ' ']);
    words.find(|word| word.rsplit('/').next() == Some(SCRIPT))?;
    let id = words.next()?.parse().ok()?;
    // Of root's process only root can see it.
    let program = fs::read_link(format!("/proc/{number}/exe"));
    let is_php = program.map_or(true, |path| is_interpreter(&path));
    let user = proc_fs::real_user(pid)?;
    (is_php && !proc_fs::has_ended(pid)).then_some((id, user))
}

/// Also of one that was replaced meanwhile: the kernel writes `(deleted)` behind its name.
fn is_interpreter(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name.to_string_lossy().contains(INTERPRETER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_is_known_by_its_name() {
        for path in ["/usr/bin/php8.2", "/usr/bin/php-cgi (deleted)", "/opt/lsws/bin/lsphp"] {
            assert!(is_interpreter(Path::new(path)), "{path}");
        }
        for path in ["/usr/bin/dash", "/opt/php/bin/sudo", "/"] {
            assert!(!is_interpreter(Path::new(path)), "{path}");
        }
    }
}
