//! `schedule start`: daemons in the background.

use super::{DONE, FAILED, Groups, NOT_PERMITTED, not_permitted, warn_of_database};
use crate::core::plain;
use crate::shell::detach::MARK;
use crate::shell::holder::{Found, Holder};
use crate::shell::owner::{self, Look};
use crate::shell::process::OF_RUNS;
use crate::shell::sys::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, getpid, set_child_subreaper, waitpid};
use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A daemon has this long to be ready: a journal of years, and a database that does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether the daemon still lives.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// A daemon that was started and is not ready yet.
struct Starting {
    id: u32,
    /// What it says.
    pipe: OwnedFd,
    /// What it said, as far as it is not told yet.
    text: Vec<u8>,
    pid: Option<Pid>,
}

/// What a daemon came to.
enum Came {
    /// It serves; what it says of that.
    Ready(String),
    /// It has ended.
    Ended(u8),
}

/// Starts the groups that don't run, all at the same time, and waits for each; the highest exit
/// status. One that fails keeps no other from starting.
pub(super) fn start(groups: &Groups, ids: &[u32]) -> u8 {
    // The daemon is a grandchild: so its exit status comes to this process all the same.
    if let Err(errno) = set_child_subreaper(Some(getpid())) {
        eprintln!("schedule start: how a daemon ends will not be seen: {errno}");
    }
    let begun: Vec<Result<Starting, u8>> = ids.iter().map(|id| begin(groups, *id)).collect();
    let codes = begun.into_iter().map(|begun| begun.map_or_else(|code| code, |it| it.wait(groups)));
    codes.max().unwrap_or(DONE)
}

fn begin(groups: &Groups, id: u32) -> Result<Starting, u8> {
    match groups.find(id) {
        Found::Nobody | Found::Stale => {}
        Found::Running(holder) => return Err(running(groups, id, &holder)),
        Found::Predecessor(pid) => return Err(groups.predecessor(id, pid)),
        Found::Unclear(why) => {
            eprintln!("server {id}: {why}");
            return Err(FAILED);
        }
        Found::NotPermitted(what) => return Err(not_permitted(id, &what)),
    }
    if let Some(why) = owner::refusal(&groups.config, id, Look::Directories) {
        eprintln!("server {id}: {why}");
        return Err(NOT_PERMITTED);
    }
    spawn(groups, id).map_err(|why| {
        eprintln!("server {id}: no process can be started: {why}");
        FAILED
    })
}

/// There is a daemon.
fn running(groups: &Groups, id: u32, holder: &Holder) -> u8 {
    let pid = holder.pid.as_raw_nonzero();
    if groups.ask(id, holder).is_ok_and(|view| view["draining"] == true) {
        eprintln!(
            "server {id}: pid {pid} is ending with its last run: start it after that, or \
             `schedule stop {id}` first"
        );
        return FAILED;
    }
    println!("server {id}: running already, pid {pid}");
    DONE
}

fn spawn(groups: &Groups, id: u32) -> io::Result<Starting> {
    let (pipe, its) = pipe_with(PipeFlags::CLOEXEC)?;
    // Its name is the path of the file, so that an upgrade finds the new one there.
    let name = env::current_exe().map_or_else(|_| OsString::from("schedule"), Into::into);
    let mut command = Command::new("/proc/self/exe");
    for name in OF_RUNS {
        command.env_remove(name);
    }
    let mut child = command
        .arg0(name)
        .args(["run", &id.to_string(), "--detached", "--config"])
        .arg(&groups.file)
        .stdin(Stdio::null())
        .stdout(its.try_clone()?)
        .stderr(its)
        .spawn()?;
    // It has forked and ended, or could not; in that case it says why.
    child.wait()?;
    Ok(Starting { id, pipe, text: Vec::new(), pid: None })
}

impl Starting {
    fn wait(mut self, groups: &Groups) -> u8 {
        let id = self.id;
        match self.outcome() {
            Ok(Came::Ready(text)) => {
                let pid = self.pid.map_or(0, |pid| pid.as_raw_nonzero().get());
                let (url, warning) = text.split_once(' ').unwrap_or((&text, ""));
                println!("server {id}: started, pid {pid}, {url}");
                warn_of_database(id, warning);
                DONE
            }
            Ok(Came::Ended(code)) => match groups.find(id) {
                // Somebody else has started one at the same time.
                Found::Running(holder) => running(groups, id, &holder),
                _ => {
                    eprintln!("server {id}: not started");
                    code
                }
            },
            Err(why) => {
                eprintln!("server {id}: {why}");
                FAILED
            }
        }
    }

    /// Listens to the daemon until it is ready or has ended.
    fn outcome(&mut self) -> io::Result<Came> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut fds = [PollFd::new(&self.pipe, PollFlags::IN)];
            let heard = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&LOOK)))?;
            let mut piece = [0; 4096];
            let bytes = if heard > 0 { rustix::io::read(&self.pipe, &mut piece)? } else { 0 };
            self.text.extend_from_slice(&piece[..bytes]);
            if let Some(ready) = self.take_lines() {
                return Ok(Came::Ready(ready));
            }
            // All that it said comes first. A silent pipe may be open elsewhere, or closed.
            if bytes == 0
                && let Some(code) = self.ended(heard > 0)
            {
                return Ok(Came::Ended(code));
            }
            if Instant::now() >= deadline {
                let why = format!("not ready after {} s: see its log", PATIENCE.as_secs());
                return Err(io::Error::other(why));
            }
        }
    }

    /// Shows the whole lines that were said; what is said with the one that says "ready".
    fn take_lines(&mut self) -> Option<String> {
        while let Some(end) = self.text.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.text.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            match line.strip_prefix(MARK).and_then(|line| line.split_once(' ')) {
                Some(("pid", pid)) => self.pid = pid.parse().ok().and_then(Pid::from_raw),
                Some(("ready", text)) => return Some(plain::line(text.trim_end())),
                _ => eprintln!("{}", plain::line(line)),
            }
        }
        None
    }

    /// The exit status of the daemon, if it has ended. `closed`: it can't say any more.
    fn ended(&self, closed: bool) -> Option<u8> {
        let Some(pid) = self.pid else { return closed.then_some(FAILED) };
        match waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => {
                if let Some(signal) = status.terminating_signal() {
                    eprintln!("server {}: the daemon was ended by signal {signal}", self.id);
                }
                let code = status.exit_status().and_then(|code| u8::try_from(code).ok());
                // One that ends in order before it was ready was told to.
                Some(code.unwrap_or(FAILED).max(FAILED))
            }
            Ok(None) => None,
            Err(_) => closed.then_some(FAILED),
        }
    }
}
