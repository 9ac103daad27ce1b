//! `schedule log FILE`: a process that writes the log where writing may take forever.
//!
//! The daemon waits for no file system, so its lines go into a pipe, as they would to a reader of
//! its stderr. What the pipe holds waits for the file system; a line for which there is no room is
//! dropped and counted. The file is opened for each piece anew: log rotation may move it away.

use super::open_here;
use crate::shell::sys::{self, Spawn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Bytes of lines that wait, where the system lets a pipe have that many (pipe(7)).
const WAITING_BYTES: usize = 1 << 20;

/// Bytes of lines written at a time.
const PIECE_BYTES: usize = 64 << 10;

/// What the process says when it could open the file; else it says the system's error number.
const OPENED: &str = "opened";

/// Where lines go, and whether the file could be opened in the time that this was waited for.
pub struct Begun {
    /// Never waits.
    pub pipe: File,
    /// `false`: the file system gave no answer.
    pub is_open: bool,
}

/// Starts such a process, and waits so long until it has opened the file.
///
/// # Errors
/// It can't open it; no process, no descriptors.
pub fn start(path: &Path, patience: Duration) -> io::Result<Begun> {
    // What the program before this one handed over is to stay with this one alone.
    sys::set_cloexec_from(3)?;
    let (lines, pipe) = pipe_with(PipeFlags::CLOEXEC)?;
    let (said, says) = pipe_with(PipeFlags::CLOEXEC)?;
    fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
    // More than it has by itself, if it may.
    let _ = fcntl_setpipe_size(&pipe, WAITING_BYTES);
    let null = File::options().read(true).write(true).open("/dev/null")?;
    sys::spawn(&Spawn {
        program: c"/proc/self/exe",
        search_path: false,
        argv: &[c"schedule", c"log", &CString::new(path.as_os_str().as_bytes())?],
        envp: &[],
        stdin: lines.as_fd(),
        stdout: says.as_fd(),
        stderr: null.as_fd(),
        group: None,
    })?;
    drop(says);
    Ok(Begun { is_open: has_opened(said, patience)?, pipe: pipe.into() })
}

fn has_opened(said: OwnedFd, patience: Duration) -> io::Result<bool> {
    let wait = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: 0 };
    if poll(&mut [PollFd::new(&said, PollFlags::IN)], Some(&wait))? == 0 {
        return Ok(false);
    }
    let mut text = [0; 16];
    let length = rustix::io::read(&said, &mut text)?;
    let text = String::from_utf8_lossy(&text[..length]);
    match text.parse() {
        Ok(errno) => Err(io::Error::from_raw_os_error(errno)),
        Err(_) if text == OPENED => Ok(true),
        Err(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The process itself. It ends with its stdin, when all is written.
pub fn serve(path: Option<OsString>) -> ExitCode {
    let Some(path) = path.map(PathBuf::from) else { return ExitCode::FAILURE };
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let answer = match open_here(&path) {
        Ok(_) => OPENED.to_owned(),
        Err(why) => why.raw_os_error().unwrap_or_default().to_string(),
    };
    // Whoever wanted to know that may have gone on. Where it can't be opened now, it may be later.
    let _ = io::stdout().write_all(answer.as_bytes()).and_then(|()| io::stdout().flush());
    let mut lost = Lost::default();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match io::stdin().read(&mut piece) {
            Ok(0) => return ExitCode::SUCCESS,
            Ok(count) => lost.write(&path, &piece[..count]),
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return ExitCode::FAILURE,
        }
    }
}

/// What could not be written since something was.
#[derive(Debug, Default)]
struct Lost {
    lines: usize,
}

impl Lost {
    /// Writes a piece. What was lost before it is told first.
    fn write(&mut self, path: &Path, piece: &[u8]) {
        let told = match self.lines {
            0 => Vec::new(),
            // In a line of its own, also where the last one broke off.
            lost => format!("\nlog: lost={lost} lines could not be written\n").into_bytes(),
        };
        let written = open_here(path).and_then(|mut file| {
            file.write_all(&told)?;
            file.write_all(piece)
        });
        match written {
            Ok(()) => self.lines = 0,
            Err(_) => self.lines += piece.iter().filter(|byte| **byte == b'\n').count().max(1),
        }
    }
}
