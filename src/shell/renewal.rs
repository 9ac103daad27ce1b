//! Putting a program in place of this one: reload, upgrade, and restart for want of memory or
//! after a panic are all the same `execve`. The process, its children, its sockets and its lock
//! stay; everything else is built again from the journal, as after a crash, but nothing is lost
//! meanwhile.
//!
//! First the new program is asked, as a helper, whether it can run with the configuration, and with
//! the files, as they are now; if not, the old one goes on. Then no new request is begun until
//! those under way are answered, and between two slots the program is executed.

use crate::core::limits::cut;
use crate::shell::exchange::Exchange;
use crate::shell::helper::Helper;
use crate::shell::sys::{self, Ended};
use mio::{Registry, Token};
use std::ffi::{CStr, CString, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Asks a program whether it could run, with the arguments of this one and with this variable as
/// the state directory: it says [`agreement`] on stdout, or why not and exits with another status
/// than 0.
pub const PROBE: &str = "SCHEDULE_PROBE";

/// With it, the pid file of this program: a pid file that stays is not opened again.
const PROBE_PID_FILE: &str = "SCHEDULE_PROBE_PIDFILE";

/// A program that could run says this, and its version: many others end with status 0, too.
const AGREES: &str = "schedule ";

/// The program has this long to answer, in milliseconds.
const PROBE_MS: u64 = 10_000;

/// It says no more than so many lines, and of each so many characters are kept: a configuration may
/// have many mistakes. What says more is another program, and is not heard to its end.
const MAX_SAID_LINES: usize = 200;
const MAX_SAID_CHARS: usize = 500;

/// This program, even if its file was replaced.
pub const THIS: &str = "/proc/self/exe";

/// What to do about a program that does not answer as this one would.
const NO_GOOD: &str = "is it a whole `schedule` that runs on this machine? Install it again";

/// The same where it may be an earlier version: those said nothing.
const GO_BACK: &str = "to go back to an earlier version, stop the daemon, then start that one";

/// Why there is a new program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// SIGHUP: the same one, for another configuration.
    Reload,
    /// SIGUSR2: the file that was started, as it is now.
    Upgrade,
    /// The memory limit is reached.
    Memory,
    /// A turn of the loop panicked.
    Panic,
}

impl Why {
    /// The word in the log.
    pub fn label(self) -> &'static str {
        match self {
            Why::Reload => "reload",
            Why::Upgrade => "upgrade",
            Why::Memory => "restart for memory",
            Why::Panic => "new start after a panic",
        }
    }
}

/// A renewal under way.
pub struct Renewal {
    /// Why.
    pub why: Why,
    program: PathBuf,
    state: State,
}

enum State {
    /// The new program is asked.
    Probing { probe: Box<Exchange>, until_ms: u64, said: Vec<String> },
    /// It has agreed; requests under way are answered.
    Quiet { since_ms: u64 },
}

/// What is to be done next.
pub enum Step {
    /// Nothing yet.
    Wait,
    /// The new program agrees: no new requests from now on.
    Pause,
    /// It has agreed: execute it, if it may be by now.
    Execute {
        /// How long ago that was, in milliseconds.
        agreed_ms: u64,
    },
    /// It can't be; the reason.
    Refused(String),
}

impl Renewal {
    /// Asks the program.
    ///
    /// # Errors
    /// It can't be executed.
    pub fn begin(
        why: Why,
        program: &Path,
        (state_dir, pid_file): (&Path, &Path),
        now_ms: u64,
        poll: &Registry,
        tokens: (Token, Token),
    ) -> io::Result<Renewal> {
        let path = CString::new(program.as_os_str().as_bytes())?;
        let argv = arguments();
        let argv: Vec<&CStr> = argv.iter().map(AsRef::as_ref).collect();
        let dir = variable(PROBE, state_dir)?;
        let pid_file = variable(PROBE_PID_FILE, pid_file)?;
        let helper = Helper::start_with(&path, &argv, &[&dir, &pid_file])?;
        let mut probe = Box::new(Exchange::with(helper, poll, tokens)?);
        probe.ask_no_more();
        let state = State::Probing { probe, until_ms: now_ms + PROBE_MS, said: Vec::new() };
        Ok(Renewal { why, program: program.into(), state })
    }

    /// The program to be executed.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The helper that is asked.
    pub fn probe(&mut self) -> Option<&mut Exchange> {
        match &mut self.state {
            State::Probing { probe, .. } => Some(probe),
            State::Quiet { .. } => None,
        }
    }

    /// A child has ended; the helper, perhaps.
    pub fn reaped(&mut self, ended: &Ended) {
        let name = named(&self.program);
        if let Some(probe) = self.probe().filter(|it| it.pid() == ended.pid) {
            probe.reaped(name, ended.exit);
        }
    }

    /// When the next step is due, monotonic ms.
    pub fn next_ms(&self, now_ms: u64) -> u64 {
        match &self.state {
            State::Probing { probe, .. } if probe.readable => now_ms,
            State::Probing { until_ms, .. } => *until_ms,
            State::Quiet { .. } => now_ms + 2,
        }
    }

    /// Goes on, as far as things have got.
    pub fn step(&mut self, now_ms: u64, scratch: &mut Vec<u8>) -> Step {
        match &mut self.state {
            State::Quiet { since_ms } => Step::Execute { agreed_ms: now_ms - *since_ms },
            State::Probing { probe, until_ms, said } => {
                if probe.readable && !hear(probe, scratch, said) {
                    probe.kill();
                    let (program, most) = (named(&self.program), MAX_SAID_LINES);
                    let text = "and does not answer as `schedule` does";
                    let why = format!("{program} says more than {most} lines {text}: {NO_GOOD}");
                    return Step::Refused(why);
                }
                match probe.result() {
                    Some(Ok(())) if !said.iter().any(|line| line.starts_with(AGREES)) => {
                        let program = named(&self.program);
                        let said = said.first().map_or("nothing", |said| said);
                        let text = "ended with exit 0, but does not answer as `schedule` does";
                        Step::Refused(format!("{program} {text} ({said}): {NO_GOOD}; {GO_BACK}"))
                    }
                    Some(Ok(())) => {
                        self.state = State::Quiet { since_ms: now_ms };
                        Step::Pause
                    }
                    Some(Err(why)) if said.is_empty() => {
                        Step::Refused(format!("{why} and said nothing: {NO_GOOD}"))
                    }
                    Some(Err(_)) => Step::Refused(said.join("; ")),
                    None if now_ms >= *until_ms => {
                        probe.kill();
                        let s = PROBE_MS / 1000;
                        let program = named(&self.program);
                        Step::Refused(format!("{program} did not answer within {s} s: {NO_GOOD}"))
                    }
                    None => Step::Wait,
                }
            }
        }
    }
}

/// Takes in what the program says. Returns whether that is not too much.
fn hear(probe: &mut Exchange, scratch: &mut Vec<u8>, said: &mut Vec<String>) -> bool {
    let mut lines = said.len();
    probe.read(scratch, |line: &[u8]| {
        lines += 1;
        if lines <= MAX_SAID_LINES {
            // A character has four bytes at the most.
            let line = String::from_utf8_lossy(&line[..line.len().min(4 * MAX_SAID_CHARS)]);
            said.push(cut(&line, MAX_SAID_CHARS).into_owned());
        }
    });
    lines <= MAX_SAID_LINES
}

/// The file that was started, to be found again when another one was put in its place: not what
/// the kernel says, because that follows symbolic links.
pub fn program() -> PathBuf {
    let name = std::env::args_os().next().unwrap_or_default();
    let found = if name.as_bytes().contains(&b'/') {
        std::path::absolute(&name).ok().filter(|path| path.is_file())
    } else {
        let dirs = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&dirs).map(|dir| dir.join(&name)).find(|path| path.is_file())
    };
    found.or_else(|| std::env::current_exe().ok()).unwrap_or_else(|| THIS.into())
}

/// A program by the name that tells somebody which one it is.
pub fn named(path: &Path) -> String {
    let path = if path == Path::new(THIS) { program() } else { path.to_owned() };
    path.display().to_string()
}

/// Executes a program in place of this one, with the same arguments, signals held back until it
/// listens to them.
///
/// # Errors
/// The program can't be executed; this one goes on.
pub fn execute(program: &Path, variable: &str) -> io::Error {
    let run = || -> io::Result<io::Error> {
        let path = CString::new(program.as_os_str().as_bytes())?;
        let mut envp: Vec<CString> = std::env::vars_os()
            .map(|(name, value)| [name, value].join(&OsString::from("=")).into_vec())
            .filter_map(|entry| CString::new(entry).ok())
            .collect();
        envp.push(CString::new(variable)?);
        let argv = arguments();
        let argv: Vec<&CStr> = argv.iter().map(AsRef::as_ref).collect();
        let envp: Vec<&CStr> = envp.iter().map(AsRef::as_ref).collect();
        Ok(sys::execute(&path, &argv, &envp))
    };
    run().unwrap_or_else(|why| why)
}

fn arguments() -> Vec<CString> {
    // None holds a NUL: they came as strings that end at one.
    std::env::args_os().filter_map(|arg| CString::new(arg.into_vec()).ok()).collect()
}

fn variable(name: &str, value: &Path) -> io::Result<CString> {
    Ok(CString::new([name.as_bytes(), b"=", value.as_os_str().as_bytes()].concat())?)
}

/// What a program says that could run.
pub fn agreement() -> String {
    format!("{AGREES}{}", env!("CARGO_PKG_VERSION"))
}

/// The pid file of the daemon that asks whether this program could take its place.
pub fn probed_pid_file() -> Option<PathBuf> {
    std::env::var_os(PROBE_PID_FILE).map(PathBuf::from)
}

/// The state directory of the daemon that asks whether this program could take its place.
pub fn probed_state_dir() -> Option<PathBuf> {
    std::env::var_os(PROBE).map(PathBuf::from)
}

/// Whether this process was only asked whether it could run.
pub fn is_probe() -> bool {
    probed_state_dir().is_some()
}
