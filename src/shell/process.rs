//! Launching runs and signalling them.

use std::env;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Signal, kill_process_group, test_kill_process_group};

use super::output::{Given, Opener, Streams, Written, launch_error};
use super::proc_fs::{is_same_process, kernel_start};
use super::sys::{self, Newborn, Pid, Spawn};
use crate::core::command_line::{CommandLine, parse};
use crate::core::event;
use crate::core::launch::{LaunchError, LaunchPlan};

/// Variables a service manager addresses to the daemon alone (sd_notify(3), sd_listen_fds(3)); a
/// job that saw them would speak in its name.
const NOT_FOR_JOBS: &[&str] = &[
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "SCHEDULE_HANDOVER",
    "SCHEDULE_PROBE",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// What each run has in its environment: see [`run_environment`]. A daemon that a job starts is no
/// process of the run, and has none of them.
pub const OF_RUNS: [&str; 4] =
    ["SCHEDULE_JOB_ID", "SCHEDULE_RUN_ID", "SCHEDULE_SERVER_ID", "SCHEDULE_SLOT"];

const SHELL: &CStr = c"/bin/sh";

/// Makes this process one whose children start clean: umask 022 (the files of jobs are 0644), and
/// nothing passes on that the program which started it left open. Once, at start.
///
/// # Errors
/// See [`sys::set_cloexec_from`].
pub fn settle_process() -> io::Result<()> {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    sys::set_cloexec_from(3)
}

/// What all launches share.
#[derive(Debug)]
pub struct Launcher {
    environment: Vec<CString>,
    has_path: bool,
    null: OwnedFd,
    opener: Opener,
    /// See [`Launcher::take_trouble`].
    trouble: Option<String>,
    /// See [`Launcher::take_written`].
    written: Option<Written>,
}

/// Where a run writes to, and the control group it is in.
#[derive(Clone, Copy)]
struct Place<'a> {
    streams: &'a Streams,
    group: Option<BorrowedFd<'a>>,
}

/// A run's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its pid, and the number of its process group.
    pub pid: Pid,
    /// See [`kernel_start`]; 0 if `/proc` could not be read: then it can be reaped, but neither
    /// signalled nor adopted.
    pub kernel_start: u64,
}

impl Launcher {
    /// Reads the environment once: later changes of it reach no job. `state_dir` is where files
    /// per run go.
    ///
    /// # Errors
    /// If `/dev/null` can't be opened.
    pub fn new(state_dir: &Path) -> io::Result<Launcher> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let null = rustix::fs::open(c"/dev/null", flags, Mode::empty())
            .map_err(|errno| io::Error::other(format!("/dev/null: {errno}: have it made")))?;
        Ok(Launcher {
            environment: inherited_environment(),
            has_path: env::var_os("PATH").is_some(),
            null,
            opener: Opener::new(state_dir),
            trouble: None,
            written: None,
        })
    }

    /// Gives jobs another environment and working directory than those of this process at its
    /// start. A directory that can't be entered changes nothing.
    pub fn surround(&mut self, environment: Vec<Vec<u8>>, directory: &[u8]) {
        self.has_path = environment.iter().any(|entry| entry.starts_with(b"PATH="));
        if let Some(path) = environment.iter().find_map(|entry| entry.strip_prefix(b"PATH=")) {
            sys::search_along(OsStr::from_bytes(path));
        }
        self.environment =
            environment.into_iter().filter_map(|entry| CString::new(entry).ok()).collect();
        let _ = env::set_current_dir(OsStr::from_bytes(directory));
    }

    /// Takes in what was mounted: see [`Opener::refresh`].
    pub fn refresh(&mut self) {
        self.opener.refresh();
    }

    /// See [`Opener::hanging`].
    pub fn far_files(&self, plan: &LaunchPlan) -> Vec<(String, PathBuf)> {
        self.opener.hanging(plan)
    }

    /// See [`Opener::give`].
    pub fn give(&mut self, files: Vec<(String, Given)>) {
        files.into_iter().for_each(|(path, given)| self.opener.give(path, given));
    }

    /// See [`Opener::forget_given`].
    pub fn forget_given(&mut self) {
        self.opener.forget_given();
    }

    /// Whether to find a program could take forever. We wait until a child has executed its
    /// program; so that is a shell then, which waits by itself.
    fn is_far(&self, program: &str) -> bool {
        // Each launch pays for this. What another process sees may hang where nothing of ours may.
        if !self.opener.may_hang() && !program.starts_with("/proc/") {
            return false;
        }
        if program.contains('/') {
            return self.opener.hangs(program).is_some();
        }
        let path = env::var_os("PATH").unwrap_or_default();
        for directory in env::split_paths(&path) {
            let file = directory.join(program).display().to_string();
            match self.opener.hangs(&file) {
                Some(_) => return true,
                None if Path::new(&file).exists() => return false,
                None => {}
            }
        }
        false
    }

    /// Whether [`Launcher::prepare`] is of use.
    pub fn is_unprepared(&self) -> bool {
        self.opener.is_unprepared()
    }

    /// Does what would cost the next launches time: see [`Opener::prepare`].
    pub fn prepare(&mut self) {
        self.opener.prepare();
    }

    /// Starts a run: `/bin/sh -c COMMAND`, or the command itself where that is the same; in this
    /// control group, if one is given.
    ///
    /// # Errors
    /// An output that can't be opened, a command that can't be started. That the command is not
    /// found or not executable is none: the shell says so and exits 127 or 126.
    pub fn launch(
        &mut self,
        plan: &LaunchPlan,
        group: Option<BorrowedFd<'_>>,
    ) -> Result<Started, LaunchError> {
        let command = CString::new(plan.command.as_str()).map_err(|_| {
            let text = "command: holds a NUL byte, which none can: take it out".to_owned();
            LaunchError { errno: 0, retryable: false, text }
        })?;
        let streams = self.opener.open(plan)?;
        // Before it has written anything.
        let written = Opener::written(plan, &streams);
        let place = Place { streams: &streams, group };
        let child = self.start(plan, &command, place).inspect_err(|_| {
            self.opener.outputs().forget(plan.job_id, &plan.run_id);
        })?;
        // Gives descriptors back first, so that reading /proc can't fail for want of one.
        self.written = Some(written);
        self.trouble = streams.into_trouble();
        let pid = child.pid();
        Ok(Started { pid, kernel_start: kernel_start(pid).unwrap_or(0) })
    }

    /// What was wrong with the output of the run that was launched last, if it runs all the same.
    pub fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    /// Where the run writes to that was launched last.
    pub fn take_written(&mut self) -> Option<Written> {
        self.written.take()
    }

    /// See [`Opener::last_line`].
    pub fn last_line(&self, run_id: &str, written: &Written) -> Box<str> {
        self.opener.last_line(run_id, written)
    }

    fn start(
        &self,
        plan: &LaunchPlan,
        command: &CStr,
        place: Place<'_>,
    ) -> Result<Newborn, LaunchError> {
        let own = run_environment(plan);
        let envp: Vec<&CStr> = own.iter().chain(&self.environment).map(AsRef::as_ref).collect();
        if let Some(child) = self.start_directly(plan, &envp, place)? {
            return Ok(child);
        }
        // Without `--` a command that starts with a dash would be read as options (POSIX, sh).
        let dashed = plan.command.starts_with(['-', '+']);
        let argv: &[&CStr] =
            if dashed { &[SHELL, c"-c", c"--", command] } else { &[SHELL, c"-c", command] };
        self.spawn(SHELL, argv, &envp, place).map_err(|errno| cannot_start("/bin/sh", plan, errno))
    }

    /// `None` where a shell is needed. That includes every failure to execute but a shortage:
    /// message and exit status are then the shell's own, and a script without `#!` runs.
    fn start_directly(
        &self,
        plan: &LaunchPlan,
        envp: &[&CStr],
        place: Place<'_>,
    ) -> Result<Option<Newborn>, LaunchError> {
        let CommandLine::Direct(words) = parse(&plan.command) else { return Ok(None) };
        // Without PATH, the shell has a default of its own.
        if !self.has_path && !words[0].contains('/') {
            return Ok(None);
        }
        // A child that fails has its descriptors closed, and we wait for that.
        if place.streams.bring().contains(&true) || self.is_far(words[0]) {
            return Ok(None);
        }
        let Ok(words) = words.iter().map(|word| CString::new(*word)).collect::<Result<Vec<_>, _>>()
        else {
            return Ok(None);
        };
        let argv: Vec<&CStr> = words.iter().map(AsRef::as_ref).collect();
        match self.spawn(argv[0], &argv, envp, place) {
            Ok(child) => Ok(Some(child)),
            Err(errno) => {
                let error = cannot_start(&plan.command, plan, errno);
                if error.retryable { Err(error) } else { Ok(None) }
            }
        }
    }

    fn spawn(
        &self,
        program: &CStr,
        argv: &[&CStr],
        envp: &[&CStr],
        place: Place<'_>,
    ) -> Result<Newborn, Errno> {
        let stdin = self.null.as_fd();
        let (stdout, stderr) = (place.streams.stdout(), place.streams.stderr());
        let search_path = true;
        let group = place.group;
        let wanted = Spawn { program, search_path, argv, envp, stdin, stdout, stderr, group };
        let spawned = sys::spawn_receiving(&wanted, place.streams.bring());
        spawned.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

/// The daemon's environment without what is not for jobs. `PWD` is set as a shell would set it, so
/// that a command sees the same whether a shell is in between or not.
pub(super) fn inherited_environment() -> Vec<CString> {
    let mut environment: Vec<CString> = env::vars_os()
        .filter(|(name, _)| {
            let mut others = NOT_FOR_JOBS.iter().chain(&OF_RUNS);
            name != "PWD" && !others.any(|not| name == not)
        })
        .filter_map(|(name, value)| {
            let entry = [name.as_bytes(), b"=", value.as_bytes()].concat();
            CString::new(entry).ok() // can't fail: environment strings end at a NUL
        })
        .collect();
    let here = env::current_dir().ok();
    let pwd = here.map(|here| [b"PWD=", here.as_os_str().as_bytes()].concat());
    environment.extend(pwd.and_then(|pwd| CString::new(pwd).ok()));
    environment
}

fn run_environment(plan: &LaunchPlan) -> [CString; 4] {
    let [job, run, server, slot] = OF_RUNS;
    [
        format!("{job}={}", plan.job_id),
        format!("{run}={}", plan.run_id),
        format!("{server}={}", plan.server_id),
        format!("{slot}={}", plan.slot),
    ]
    // None holds a NUL: they are numbers, a checked file name and an instant. Were one to, the
    // job would rather run without that variable than not at all.
    .map(|entry| CString::new(entry).unwrap_or_default())
}

fn cannot_start(program: &str, plan: &LaunchPlan, errno: Errno) -> LaunchError {
    let hint = match errno {
        Errno::TOOBIG => {
            format!("the command has {} bytes, put it into a script", plan.command.len())
        }
        Errno::AGAIN => "too many processes (ulimit -u, TasksMax=, pids.max)".to_owned(),
        Errno::NOMEM => "free memory".to_owned(),
        Errno::NOENT => "a shell is needed".to_owned(),
        Errno::MFILE | Errno::NFILE => "raise the limit of open files".to_owned(),
        _ => "see execve(2)".to_owned(),
    };
    launch_error(errno, &format!("cannot start {program}"), &hint)
}

/// The system's number of a signal.
pub fn number(signal: event::Signal) -> Signal {
    match signal {
        event::Signal::Term => Signal::TERM,
        event::Signal::Kill => Signal::KILL,
    }
}

/// Whether somebody is in a process group.
pub fn is_group_alive(group: Pid) -> bool {
    // EPERM: they have become another user's.
    test_kill_process_group(group) != Err(Errno::SRCH)
}

/// Sends a signal to the process group of a run; `false`, and nothing is sent, if the process that
/// leads it is not (any more) the one started then. For a child that is exact, because its pid
/// stays its own until it is reaped here; an adopted one could end and its pid be given to another
/// between the look and the signal, some microseconds.
///
/// # Errors
/// `EPERM`, if the run has become another user's; `EMFILE`, `ENFILE`, `ENOMEM`: not now.
pub fn signal_group(pid: Pid, start: u64, signal: Signal) -> io::Result<bool> {
    if start == 0 || !is_same_process(pid, start)? {
        return Ok(false);
    }
    match kill_process_group(pid, signal) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
