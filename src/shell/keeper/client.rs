//! The daemon's side of the keeper: found or started, then a socket that never blocks the loop.

use super::socket_path;
use crate::core::ids::RunId;
use crate::core::keeping::{self, Notice, Order};
use crate::core::launch::LaunchPlan;
use crate::shell::process::inherited_environment;
use crate::shell::sys::{self, Spawn};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// A keeper that says nothing for so long is not waited for: it is stopped or out of its mind.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes read at a time.
const READ_BYTES: usize = 32 << 10;

/// A keeper that a daemon talks to.
pub struct Keeper {
    stream: mio::net::UnixStream,
    id: String,
    after: String,
    version: String,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Runs it was asked to launch and has said nothing of.
    outstanding: BTreeSet<RunId>,
}

impl Keeper {
    /// The keeper of this group: the one that is there, else a new one. Also what it knows of
    /// runs that earlier daemons had it start.
    ///
    /// # Errors
    /// No process, no descriptor, or the state directory can't be used.
    pub fn find(state_dir: &Path) -> io::Result<(Keeper, Vec<Notice>)> {
        Keeper::connect(state_dir).or_else(|_| Keeper::start(state_dir))
    }

    fn connect(state_dir: &Path) -> io::Result<(Keeper, Vec<Notice>)> {
        let (_dir, path) = socket_path(state_dir)?;
        Keeper::greet(UnixStream::connect(path)?)
    }

    fn start(state_dir: &Path) -> io::Result<(Keeper, Vec<Notice>)> {
        let (ours, its) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let environment = inherited_environment();
        let envp: Vec<&CStr> = environment.iter().map(AsRef::as_ref).collect();
        let state_dir = CString::new(state_dir.as_os_str().as_bytes())?;
        sys::spawn(&Spawn {
            program: c"/proc/self/exe",
            search_path: false,
            argv: &[c"schedule", c"keeper", &state_dir],
            envp: &envp,
            stdin: its.as_fd(),
            stdout: null.as_fd(),
            stderr: null.as_fd(),
        })?;
        drop(its);
        Keeper::greet(UnixStream::from(ours))
    }

    /// Hears what the keeper knows, and tells it what jobs are to find around them.
    fn greet(stream: UnixStream) -> io::Result<(Keeper, Vec<Notice>)> {
        let deadline = Instant::now() + PATIENCE;
        let (mut input, mut notices) = (Vec::new(), Vec::new());
        let mut buffer = [0; 4096];
        while notices.last() != Some(&Notice::Complete) {
            let left = deadline.saturating_duration_since(Instant::now());
            stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match (&stream).read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => input.extend_from_slice(&buffer[..read]),
            }
            notices.extend(keeping::decode(&mut input, warn));
        }
        let Some(Notice::Keeper { id, after, version }) = notices.first().cloned() else {
            return Err(io::Error::other("the keeper does not say who it is"));
        };
        stream.set_read_timeout(None)?;
        stream.set_nonblocking(true)?;
        let stream = mio::net::UnixStream::from_std(stream);
        let (output, outstanding) = (Vec::new(), BTreeSet::new());
        let mut keeper = Keeper { stream, id, after, version, input, output, outstanding };
        keeper.order(&Order::Surroundings {
            environment: inherited_environment().into_iter().map(CString::into_bytes).collect(),
            directory: std::env::current_dir()?.as_os_str().as_bytes().to_vec(),
        });
        Ok((keeper, notices))
    }

    /// Names this keeper, as no other.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it knows everything that the keeper with this id knew.
    pub fn knows_as(&self, id: &str) -> bool {
        id == self.id || id == self.after
    }

    /// Whether it is of another version than this daemon.
    pub fn is_stale(&self) -> bool {
        self.version != env!("CARGO_PKG_VERSION")
    }

    /// What to register with the poll, readable and writable.
    pub fn source(&mut self) -> &mut mio::net::UnixStream {
        &mut self.stream
    }

    /// Asks for a launch that is no use after this reading of the monotonic clock.
    pub fn launch(&mut self, run: RunId, plan: Box<LaunchPlan>, not_after_ms: u64) {
        self.outstanding.insert(run);
        self.order(&Order::Launch { run, plan, not_after_ms });
    }

    /// Says that the end of a run is in the journal.
    pub fn forget(&mut self, run: RunId) {
        self.order(&Order::Forget(run));
    }

    fn order(&mut self, order: &Order) {
        keeping::encode(&mut self.output, order);
        self.send();
    }

    /// Hands over what the keeper takes now.
    pub fn send(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(written) => drop(self.output.drain(..written)),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                // Later, or never: then the next read says so.
                Err(_) => return,
            }
        }
    }

    /// What the keeper says now, and whether it is still there.
    pub fn listen(&mut self) -> (Vec<Notice>, bool) {
        let mut alive = true;
        loop {
            let length = self.input.len();
            self.input.resize(length + READ_BYTES, 0);
            let read = self.stream.read(&mut self.input[length..]);
            self.input.truncate(length + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(1..) => {}
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => break,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => {
                    alive = false;
                    break;
                }
            }
        }
        let notices: Vec<Notice> = keeping::decode(&mut self.input, warn);
        for notice in &notices {
            if let Notice::Started(run, _) | Notice::Failed(run, _) = notice {
                self.outstanding.remove(run);
            }
        }
        (notices, alive)
    }

    /// The launches it took with it.
    pub fn into_outstanding(self) -> BTreeSet<RunId> {
        self.outstanding
    }
}

fn warn(line: &[u8]) {
    let text = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
    log::warn!("keeper: this makes no sense: {text:?}");
}
