//! `schedule files`: a process that looks at files where that may take forever.
//!
//! The loop and the keeper must not wait, so they ask a process with memory of its own:
//! a question is a line on its stdin, which is a socket; the answer a line and perhaps bytes and a
//! descriptor. One question at a time. It ends with its stdin.

use crate::core::check::OutputFile;
use crate::core::files::{FileTrouble, Mark, Piece};
use crate::shell::clock;
use crate::shell::helper::ended_early;
use crate::shell::output::open_append;
use crate::shell::sys::{self, Pid, Spawn};
use crate::shell::trusted::Refusal;
use crate::shell::trusted::mounts::Mounts;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Bytes of an answer read at a time.
const READ_BYTES: usize = 64 << 10;

/// How [`What::Look`] is answered.
pub type LookAt = fn(&Path) -> OutputFile;

/// What is to be done with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Which.
    pub path: PathBuf,
    /// What.
    pub what: What,
    /// By the monotonic clock: the asker has given up then, and nothing is changed any more.
    pub not_after_ms: u64,
}

impl Question {
    fn is_late(&self) -> bool {
        clock::now().mono_ms >= self.not_after_ms
    }
}

/// See [`Question`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// Read a piece, as a [`ReadPlan`](crate::core::files::ReadPlan) has it.
    Read(Option<Mark>, u64),
    /// Make it empty.
    Clear,
    /// Open it for a run to append to.
    Append,
    /// Say whether this user could.
    Look,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Of [`What::Read`].
    Read(Result<Piece, FileTrouble>),
    /// Of [`What::Clear`].
    Cleared(Result<(), FileTrouble>),
    /// Of [`What::Append`]; with it comes a socket in which the descriptor waits, for the child.
    Opened(Result<(), Refusal>),
    /// Of [`What::Look`].
    Looked(OutputFile),
}

/// The line of an answer: behind it come so many bytes.
#[derive(Serialize, Deserialize)]
struct Head {
    answer: Answer,
    bytes: usize,
}

/// Answers one question after the other.
pub fn serve(look: LookAt) -> ExitCode {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let mut input = io::stdin().lock();
    let mut line = String::new();
    // What was opened last stays open here, so that nobody else is the last to close it.
    let mut kept = None;
    while input.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
        let Ok(question) = serde_json::from_str(&line) else { return ExitCode::FAILURE };
        drop(kept.take());
        let (answer, file) = answer(&question, look);
        let sent = file.as_ref().map(parcel).transpose();
        if sent.and_then(|parcel| send(answer, parcel.as_ref())).is_err() {
            return ExitCode::FAILURE;
        }
        kept = file;
        line.clear();
    }
    ExitCode::SUCCESS
}

fn answer(question: &Question, look: LookAt) -> (Answer, Option<OwnedFd>) {
    let path = &question.path;
    match question.what {
        What::Read(from, max_bytes) => {
            (Answer::Read(super::read_path(path, from, max_bytes)), None)
        }
        What::Clear => (Answer::Cleared(super::clear_path(path, || question.is_late())), None),
        // It may be made by that.
        What::Append if question.is_late() => {
            (Answer::Opened(Err(rustix::io::Errno::TIMEDOUT.into())), None)
        }
        What::Append => match open_append(path, &Mounts::none()) {
            Ok(file) => (Answer::Opened(Ok(())), Some(file)),
            Err(why) => (Answer::Opened(Err(why)), None),
        },
        What::Look => (Answer::Looked(look(path)), None),
    }
}

/// A socket in which a descriptor waits.
fn parcel(file: &OwnedFd) -> io::Result<OwnedFd> {
    let (into, out) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [file.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(&into, &[IoSlice::new(b".")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(out)
}

fn send(mut answer: Answer, file: Option<&OwnedFd>) -> io::Result<()> {
    let bytes = match &mut answer {
        Answer::Read(Ok(piece)) => std::mem::take(&mut piece.bytes),
        Answer::Read(Err(_)) | Answer::Cleared(_) | Answer::Opened(_) | Answer::Looked(_) => {
            Vec::new()
        }
    };
    let mut out = serde_json::to_vec(&Head { answer, bytes: bytes.len() })?;
    out.push(b'\n');
    out.extend_from_slice(&bytes);
    let socket = io::stdin();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut sent = 0;
    while sent < out.len() {
        let fds: Vec<BorrowedFd<'_>> =
            file.filter(|_| sent == 0).map(AsFd::as_fd).into_iter().collect();
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&fds));
        }
        let piece = [IoSlice::new(&out[sent..])];
        sent += sendmsg(socket.as_fd(), &piece, &mut control, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Such a process, as it is seen by who asks it. Dropped, it ends when it can.
#[derive(Debug)]
pub struct Helper {
    pid: Pid,
    socket: OwnedFd,
    input: Vec<u8>,
    file: Option<OwnedFd>,
}

impl Helper {
    /// Starts one.
    ///
    /// # Errors
    /// No descriptors, no process: worth another try later.
    pub fn start() -> io::Result<Helper> {
        let (ours, its) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        fcntl_setfl(&ours, OFlags::NONBLOCK)?;
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let child = sys::spawn(&Spawn {
            program: c"/proc/self/exe",
            search_path: false,
            argv: &[c"schedule", c"files"],
            envp: &[],
            stdin: its.as_fd(),
            stdout: null.as_fd(),
            // One that hangs is to keep open nothing that somebody reads up to its end.
            stderr: null.as_fd(),
            group: None,
        })?;
        Ok(Helper { pid: child.pid(), socket: ours, input: Vec::new(), file: None })
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// To be polled for reading.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Asks it, once it has answered what it was asked before.
    ///
    /// # Errors
    /// It is gone.
    pub fn ask(&self, question: &Question) -> io::Result<()> {
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        // The socket takes far more than a path.
        match rustix::net::send(&self.socket, &line, SendFlags::NOSIGNAL)? {
            sent if sent == line.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Its answer, if all of it has come.
    ///
    /// # Errors
    /// It is gone, or speaks another language.
    pub fn hear(&mut self) -> io::Result<Option<(Answer, Option<OwnedFd>)>> {
        loop {
            if let Some(answer) = self.take()? {
                return Ok(Some((answer, self.file.take())));
            }
            let length = self.input.len();
            self.input.resize(length + READ_BYTES, 0);
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let mut into = [IoSliceMut::new(&mut self.input[length..])];
            let got = recvmsg(&self.socket, &mut into, &mut control, flags);
            self.input.truncate(length + got.as_ref().map_or(0, |got| got.bytes));
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(files) = message {
                    self.file = files.last().or(self.file.take());
                }
            }
            match got {
                Ok(got) if got.bytes == 0 => return Err(ended_early()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(why) => return Err(why.into()),
            }
        }
    }

    fn take(&mut self) -> io::Result<Option<Answer>> {
        let Some(end) = memchr::memchr(b'\n', &self.input) else { return Ok(None) };
        // Parsed again with each piece that comes: a line of a hundred bytes.
        let Head { mut answer, bytes } = serde_json::from_slice(&self.input[..end])?;
        if self.input.len() < end + 1 + bytes {
            return Ok(None);
        }
        if let Answer::Read(Ok(piece)) = &mut answer {
            piece.bytes = self.input[end + 1..].to_vec();
        }
        self.input = Vec::new();
        Ok(Some(answer))
    }

    /// Kills it; that may take as long as what it waits for.
    pub fn kill(&self) {
        let _ = kill_process(self.pid, Signal::KILL);
    }
}

/// Has one question answered by a process of its own, and waits for that as long as it says.
///
/// # Errors
/// No answer, or no process.
pub fn ask_once(question: &Question) -> io::Result<Answer> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut helper = Helper::start()?;
    helper.ask(question)?;
    loop {
        if let Some((answer, _)) = helper.hear()? {
            return Ok(answer);
        }
        let left = clock::until(question.not_after_ms);
        if left.is_zero() {
            helper.kill();
            return Err(io::ErrorKind::TimedOut.into());
        }
        let wait = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let socket = helper.socket();
        let _ = poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&wait));
    }
}
