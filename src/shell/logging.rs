//! The daemon's log: `log` in front, `env_logger` as the filter, and a sink of our own.
//!
//! A line is `2026-11-22 13:42:07 [INFO] text`, the original's form; in the journal of systemd,
//! which has the time by itself, `<6>[INFO] text` (sd-daemon(3)). Logging never waits and never
//! fails: a line that can't be written at once (disk full, a pipe nobody reads) is dropped and
//! counted, and the first line that can be written again is preceded by the count. Where the file
//! system may not answer, lines go to a process that writes them (`writer`). Is that gone, another
//! one goes on, but not more often than once a second: whatever ends one may end the next. Until
//! then the daemon keeps the pipe open itself, so that lines wait there as they do for a writer.

pub mod writer;

use crate::core::plain;
use crate::shell::far_files;
use crate::shell::handover::Handover;
use crate::shell::own;
use crate::shell::trusted::mounts::Mounts;
use crate::shell::trusted::{Refusal, open_named};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use log::{Level, LevelFilter};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fstat};
use rustix::io::Errno;
use thiserror::Error;

/// Bytes of a line at the most, its end included: what a pipe takes in one piece.
const MAX_LINE_BYTES: usize = 4_096;

/// Bytes that the longest escape, the mark of a cut and the end of a line take.
const ROOM_BYTES: usize = 16;

/// A file system that may not answer has so long to open the file, where that is waited for.
const PATIENCE: Duration = Duration::from_secs(4);

/// Between two starts of a process that writes the log.
const REST: Duration = Duration::from_secs(1);

/// Logging could not be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file can't be opened.
    #[error("cannot open the log {}: {source}; {}", path.display(), hint(path, source))]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// [`init`] was called before.
    #[error("logging is set up already")]
    Twice,
}

fn hint(path: &Path, source: &io::Error) -> &'static str {
    // A socket can't be opened by its name, nor what belongs to another user.
    let streams = ["/dev/stderr", "/dev/stdout", "/dev/fd", "/proc/self/fd"];
    if streams.iter().any(|it| path.starts_with(it)) {
        return "write `logfile = -` for stderr";
    }
    match source.kind() {
        io::ErrorKind::NotFound => "create its directory or change `logfile`",
        io::ErrorKind::PermissionDenied => "let this user write there or change `logfile`",
        _ => "change `logfile`",
    }
}

/// Where lines go, and how. There is one: the `log` crate knows one logger in a process.
struct Sink {
    /// `None` = stderr.
    path: Option<PathBuf>,
    out: Option<Out>,
    /// When another process was last to be put in place of one that was gone.
    replaced: Option<Instant>,
    /// Stderr is the journal of systemd.
    journal: bool,
    zone: TimeZone,
    /// The second whose time stamp is kept, and the stamp.
    stamp: (i64, String),
    /// Lines dropped since the last one that was written.
    lost: u64,
    /// The last write broke off within a line.
    torn: bool,
}

/// What lines are written to.
struct Out {
    file: File,
    /// It is the pipe to a process that writes them.
    is_far: bool,
    /// The other end of the pipe, while there is no such process.
    kept: Option<File>,
}

impl Out {
    fn new(file: File, is_far: bool) -> Out {
        Out { file, is_far, kept: None }
    }
}

// A mutex because statics ask for one; with a single thread nobody ever waits for it.
static SINK: Mutex<Sink> = Mutex::new(Sink {
    path: None,
    out: None,
    replaced: None,
    journal: false,
    zone: TimeZone::UTC,
    stamp: (i64::MIN, String::new()),
    lost: 0,
    torn: false,
});

fn sink() -> MutexGuard<'static, Sink> {
    SINK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts logging to `file` (opened for append, created with mode 0640; its directory is not
/// created), or to stderr where that is `None`.
///
/// `level` holds for this program's own lines; those of libraries appear from `warn` on. If the
/// environment has a `RUST_LOG` that names this program, that counts instead of `level`.
pub fn init(file: Option<&Path>, level: LevelFilter, zone: TimeZone) -> Result<(), LogError> {
    // Who takes the place of another program was asked before whether it can be opened.
    let patience = if Handover::is_there() { Duration::ZERO } else { PATIENCE };
    let opened = file.map(|file| open(file, patience)).transpose()?;
    let silent = file.filter(|_| !patience.is_zero() && matches!(opened, Some((_, false))));
    {
        let mut sink = sink();
        sink.path = file.map(Path::to_path_buf);
        sink.out = opened.map(|(out, _)| out);
        sink.journal = file.is_none() && stderr_is_journal();
    }
    set_zone(zone);
    let mut builder = env_logger::Builder::new();
    match rust_log() {
        Some(filters) => builder.parse_filters(&filters),
        // The level itself is set by `set_level`, so that a reload can change it.
        None => {
            builder.filter_level(LevelFilter::Warn).filter_module("schedule", LevelFilter::Trace)
        }
    };
    builder
        .format(|out, record| {
            let text = line(&sink().head(record.level()), record.args());
            out.write_all(text.as_bytes())
        })
        .target(env_logger::Target::Pipe(Box::new(ToSink)))
        .try_init()
        .map_err(|_| LogError::Twice)?;
    set_level(level);
    if let Some(file) = silent {
        let why =
            format!("the log {}: its file system does not answer: lines wait", file.display());
        log::warn!("{why}");
        // For who starts it.
        let _ = writeln!(io::stderr(), "warning: {why}");
    }
    Ok(())
}

/// Changes the level; without effect where `RUST_LOG` rules.
pub fn set_level(level: LevelFilter) {
    if rust_log().is_none() {
        log::set_max_level(level);
    }
}

/// Changes the zone of the time stamps.
pub fn set_zone(zone: TimeZone) {
    let mut sink = sink();
    sink.zone = zone;
    sink.stamp.0 = i64::MIN;
}

/// Whether the log could be opened. A file system without an answer is no error.
///
/// # Errors
/// It can't.
pub fn try_open(file: &Path) -> Result<(), LogError> {
    open(file, PATIENCE).map(drop)
}

/// Has panics logged, with a backtrace.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        log::error!("{panic}");
        let trace = std::backtrace::Backtrace::force_capture().to_string();
        trace.lines().for_each(|line| log::error!("{line}"));
    }));
}

/// Reopens the file, after it was moved away by log rotation; says whether there is one. If it
/// can't be opened, lines go on to the old one.
pub fn reopen() -> Result<bool, LogError> {
    let mut sink = sink();
    let Some(path) = &sink.path else { return Ok(false) };
    // The process that writes it opens it for each piece.
    let is_far =
        sink.out.as_ref().is_some_and(|out| out.is_far) && far_files::mount_of(path).is_some();
    if !is_far {
        let (opened, _) = open(path, Duration::ZERO)?;
        sink.leave();
        sink.out = Some(opened);
        sink.torn = false;
    }
    Ok(true)
}

/// Sends lines to another file from now on (`logfile` was changed). If it can't be opened, they go
/// on to the old one.
pub fn move_to(file: &Path) -> Result<(), LogError> {
    let (opened, _) = open(file, Duration::ZERO)?;
    let mut sink = sink();
    sink.leave();
    sink.path = Some(file.to_path_buf());
    sink.out = Some(opened);
    sink.journal = false;
    sink.torn = false;
    Ok(())
}

/// Puts another process in place of one that wrote the log and is gone, once it is time. Returns in
/// how many milliseconds this is to be called again, if it is not yet.
pub fn tend() -> Option<u64> {
    sink().tend()
}

/// The daemon ends, or another program takes its place: what waits in a pipe has a last chance.
pub fn leave() {
    sink().leave();
}

/// The file that lines go to; `None` = stderr.
pub fn path() -> Option<PathBuf> {
    sink().path.clone()
}

/// Lines dropped since the last one that could be written.
pub fn lost() -> u64 {
    sink().lost
}

/// `RUST_LOG`, if it is about this program: it may be there for another.
fn rust_log() -> Option<String> {
    let names_us = |filter: &str| {
        let target = filter.trim_start().strip_prefix(env!("CARGO_CRATE_NAME"));
        target.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '=', ' ']))
    };
    let filters = std::env::var("RUST_LOG").ok();
    // What follows a slash is a pattern for messages.
    filters.filter(|all| all.split('/').next().unwrap_or_default().split(',').any(names_us))
}

/// What lines go to, and whether it is open: where the file system may not answer, that is waited
/// for no longer than so long.
fn open(path: &Path, patience: Duration) -> Result<(Out, bool), LogError> {
    let opened = match far_files::mount_of(path) {
        Some(_) => {
            writer::start(path, patience).map(|begun| (Out::new(begun.pipe, true), begun.is_open))
        }
        None => open_here(path).map(|file| (Out::new(file, false), true)).map_err(refused),
    };
    opened.map_err(|source| LogError::Open { path: path.to_path_buf(), source })
}

/// The directory may be one of the user of the jobs, so no stranger's link is followed.
/// `O_NONBLOCK` only matters for the opening: of a FIFO, which would wait for a reader, or of a
/// file on which somebody has a lease.
fn open_here(path: &Path) -> Result<File, Refusal> {
    let how = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOCTTY | OFlags::NONBLOCK;
    open_named(path, how, Mode::from_raw_mode(0o640), &Mounts::none()).map(File::from)
}

fn refused(why: Refusal) -> io::Error {
    own::leased(why.into())
}

/// One line. Control characters and marks of direction are written as escapes: what a job is called
/// or a client sends must not be able to begin a line of its own, or to look like another.
///
/// A line is cut where it has [`MAX_LINE_BYTES`]; who wants to fill a disk needs many lines.
fn line(head: &str, text: &std::fmt::Arguments) -> String {
    let mut line = head.to_owned();
    for c in text.to_string().chars() {
        if line.len() > MAX_LINE_BYTES - ROOM_BYTES {
            line.push('…');
            break;
        }
        match c {
            '\t' => line.push(c),
            c if plain::acts(c) => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line.push('\n');
    line
}

/// Whether stderr is the journal: the variable is inherited, too, by what writes elsewhere
/// (systemd.exec(5), `$JOURNAL_STREAM`).
fn stderr_is_journal() -> bool {
    let told = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    fstat(io::stderr()).is_ok_and(|stat| told == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// The priority of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

impl Sink {
    /// What a line begins with.
    fn head(&mut self, level: Level) -> String {
        match self.journal {
            true => format!("<{}>[{level}] ", priority(level)),
            false => format!("{} [{level}] ", self.stamp_now()),
        }
    }

    /// The time, to the second; rendered once a second.
    fn stamp_now(&mut self) -> String {
        let now = Timestamp::now();
        if self.stamp.0 != now.as_second() {
            let text = self.zone.to_datetime(now).strftime("%Y-%m-%d %H:%M:%S").to_string();
            self.stamp = (now.as_second(), text);
        }
        self.stamp.1.clone()
    }

    fn write(&mut self, text: &[u8]) {
        self.tend();
        let mut bytes = Vec::new();
        if self.torn {
            bytes.push(b'\n');
        }
        if self.lost > 0 {
            let note =
                format_args!("log: lost={} lines could not be written", self.lost).to_string();
            let head = self.head(Level::Warn);
            bytes.extend(line(&head, &format_args!("{note}")).into_bytes());
        }
        bytes.extend_from_slice(text);
        let mut done = self.write_out(&bytes);
        if let Err((before, Errno::PIPE)) = done
            && self.keep_pipe()
        {
            // What it has taken already is still there.
            let rest = self.write_out(&bytes[before..]);
            done = rest.map_err(|(written, why)| (before + written, why));
        }
        match done {
            Ok(()) => (self.lost, self.torn) = (0, false),
            Err((written, _)) => {
                self.lost += 1;
                self.torn |= written > 0;
            }
        }
    }

    fn write_out(&self, bytes: &[u8]) -> Result<(), (usize, Errno)> {
        let stderr = io::stderr();
        write_now(self.out.as_ref().map_or(stderr.as_fd(), |out| out.file.as_fd()), bytes)
    }

    /// The process that wrote the log is gone. Returns whether lines can go into its pipe all the
    /// same.
    fn keep_pipe(&mut self) -> bool {
        let Some(out) = self.out.as_mut().filter(|out| out.is_far) else { return false };
        out.kept = writer::held_by(&out.file).ok();
        let is_kept = out.kept.is_some();
        self.tend();
        is_kept
    }

    /// See [`tend`].
    fn tend(&mut self) -> Option<u64> {
        self.out.as_ref()?.kept.as_ref()?;
        let rested = self.replaced.map_or(REST, |at| at.elapsed());
        if rested >= REST {
            self.replace_writer();
        }
        self.out.as_ref()?.kept.as_ref()?;
        let rest = REST.saturating_sub(self.replaced.map_or(REST, |at| at.elapsed()));
        Some(1 + u64::try_from(rest.as_millis()).unwrap_or(u64::MAX))
    }

    /// Puts another process in place of the one that wrote the log and is gone. Where that can't be
    /// done the pipe is kept.
    fn replace_writer(&mut self) {
        let (Some(path), Some(out)) = (&self.path, &mut self.out) else { return };
        let Some(lines) = &out.kept else { return };
        self.replaced = Some(Instant::now());
        if writer::replace(path, lines).is_ok() {
            out.kept = None;
        }
    }

    /// See [`leave`].
    fn leave(&mut self) {
        let Some(out) = self.out.as_mut().filter(|out| out.is_far) else { return };
        if out.kept.is_none() && writer::is_over(&out.file) {
            out.kept = writer::held_by(&out.file).ok();
        }
        self.replace_writer();
    }
}

/// Writes without waiting; otherwise tells how many bytes went out, and why not all did.
///
/// The descriptor itself may block: stderr is shared with others and can't be switched. But once
/// `poll` says that it is writable, `PIPE_BUF` bytes fit (POSIX `write`, "Pipes").
fn write_now(out: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), (usize, Errno)> {
    const PIPE_BUF: usize = 4096;
    const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut written = 0;
    while written < bytes.len() {
        let mut fds = [PollFd::from_borrowed_fd(out, PollFlags::OUT)];
        let end = bytes.len().min(written + PIPE_BUF);
        let ready = match poll(&mut fds, Some(&AT_ONCE)) {
            // No descriptor may be polled where their limit was set to 0 meanwhile (poll(2)).
            Err(Errno::INVAL) => Ok(1),
            ready => ready,
        };
        match ready
            .and_then(|n| if n == 0 { Ok(0) } else { rustix::io::write(out, &bytes[written..end]) })
        {
            Ok(0) => return Err((written, Errno::AGAIN)),
            Ok(n) => written += n,
            Err(Errno::INTR) => {}
            Err(why) => return Err((written, why)),
        }
    }
    Ok(())
}

/// What `env_logger` writes to: a line comes in one piece.
struct ToSink;

impl Write for ToSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sink().write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
