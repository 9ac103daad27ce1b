//! Telling others how the daemon is: the service manager, by the protocol of sd_notify(3);
//! `schedule start`, which waits for the daemon to be ready; and those who look later, by a note
//! in the state directory. All of them hear the same at the same time.
//!
//! A daemon is *ready* when its port is bound and the database was asked once, whatever it said:
//! a database that is down is no reason for a start to fail.

use super::clock;
use super::detach;
use super::own;
use crate::core::daemon::Core;
use crate::core::plain;
use crate::core::plain::counted;
use crate::core::scheduler::DatabaseState;
use crate::core::time::Now;
use rustix::fs::OFlags;
use std::env;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::mem;
use std::net::SocketAddr as Address;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process;

/// The database's first answer is waited for this long, in milliseconds; then the daemon is ready
/// all the same.
const FIRST_SYNC_MS: u64 = 5_000;

/// The status line is told again once in so many milliseconds, if it has changed.
const STATUS_MS: u64 = 5_000;

/// The name of the note in the state directory.
const NOTE: &str = "daemon";

/// Columns of what went wrong that the note tells: all of it is to fit in a block.
const MAX_TROUBLE: usize = 800;

/// Columns of the database's trouble likewise; what a server that refuses a user is told with has
/// some 500, and what helps stands at its end.
const MAX_WARNING: usize = 640;

/// Bytes of the note at the most.
const MAX_NOTE_BYTES: u64 = 16 << 10;

/// Whom to tell, and what they know.
#[derive(Default)]
pub struct Notify {
    service: Option<SocketAddr>,
    /// A sign of life is due once in so many milliseconds: half of what the service manager waits.
    alive_ms: Option<u64>,
    /// `schedule start` waits.
    detached: bool,
    state_dir: PathBuf,
    /// The note that is there, open: it can be written where nothing can be made any more.
    note: Option<File>,
    /// What stands in it.
    said: Option<Note>,
    address: Option<Address>,
    config: PathBuf,
    trouble: String,
    ready: bool,
    /// When the daemon is ready at the latest, monotonic; set by the first turn.
    ready_by_ms: Option<u64>,
    alive_at_ms: u64,
    status_at_ms: u64,
    status: String,
}

impl Notify {
    /// Whom the environment names, and `schedule start` where `detached` is set. `state_dir` is
    /// the state directory of the group, `config` the file of the configuration.
    ///
    /// `trouble` is what of the configuration could not be done; empty = nothing.
    pub fn new(
        (state_dir, config): (&Path, &Path),
        address: Address,
        detached: bool,
        trouble: String,
    ) -> Notify {
        let service = env::var_os("NOTIFY_SOCKET").and_then(|name| service(name.as_bytes()));
        // For another process of the service: not for this one (sd_watchdog_enabled(3)).
        let ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid == process::id().to_string());
        let period_us = env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse::<u64>().ok());
        let alive_ms = period_us.filter(|us| ours && *us > 0 && service.is_some());
        Notify {
            service,
            alive_ms: alive_ms.map(|us| (us / 2_000).max(1)),
            detached,
            state_dir: state_dir.into(),
            config: config.into(),
            address: Some(address),
            trouble,
            ..Notify::default()
        }
    }

    /// To be called once in a turn of the loop.
    pub fn turned(&mut self, now: Now, core: &Core) {
        if self.address.is_none() {
            return;
        }
        let by_ms = *self.ready_by_ms.get_or_insert(now.mono_ms + FIRST_SYNC_MS);
        let asked = core.scheduler.sync_state().database != DatabaseState::Unknown;
        if !self.ready && (asked || now.mono_ms >= by_ms) {
            self.ready = true;
            self.tell_ready(core);
        }
        self.alive(now.mono_ms);
        if self.ready && self.service.is_some() && now.mono_ms >= self.status_at_ms {
            self.status_at_ms = now.mono_ms + STATUS_MS;
            self.tell_status(core);
        }
    }

    /// Gives a sign of life if one is due. Returns when the next one is, monotonic ms; `None` if
    /// nobody waits for any.
    pub fn alive(&mut self, now_ms: u64) -> Option<u64> {
        let period_ms = self.alive_ms?;
        if now_ms >= self.alive_at_ms {
            self.alive_at_ms = now_ms + period_ms;
            self.send("WATCHDOG=1");
        }
        Some(self.alive_at_ms)
    }

    /// The loop stands still after a panic, and why the program can't start again.
    pub fn stands_still(&mut self, why: &str) {
        let text = format!("it has panicked, and launches nothing until it can start again: {why}");
        self.send(&format!("STATUS={}", plain::clean(&text, MAX_TROUBLE)));
        self.write_note(&text, "");
    }

    /// When the next turn has to come at the latest, monotonic ms.
    pub fn next_ms(&self) -> Option<u64> {
        let ready = self.ready_by_ms.filter(|_| !self.ready);
        ready.into_iter().chain(self.alive_ms.map(|_| self.alive_at_ms)).min()
    }

    /// A reload begins; [`Notify::settled`] must follow.
    pub fn reloading(&self) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::mono_us()));
    }

    /// A reload has come to an end, or an upgrade has failed: where the daemon listens now, and
    /// why what was asked for was not done. `schedule reload` and `schedule restart` wait for it.
    pub fn settled(&mut self, address: Address, result: Result<(), &str>) {
        self.address = Some(address);
        self.send("READY=1");
        let trouble = result.err().unwrap_or("");
        if !self.ready {
            // The note is written once more soon, and is to say it then, too.
            trouble.clone_into(&mut self.trouble);
        }
        self.write_note(trouble, "");
    }

    /// The daemon is ending, in order.
    pub fn ending(&self) {
        if self.address.is_some() {
            self.send("STOPPING=1");
            let path = self.state_dir.join(NOTE);
            let _ = own::remove(&path);
            let _ = own::remove(&path.with_extension("new"));
        }
    }

    fn tell_ready(&mut self, core: &Core) {
        self.status = status(core);
        let (pid, status) = (process::id(), &self.status);
        self.send(&format!("READY=1\nMAINPID={pid}\nSTATUS={status}"));
        let warning = match &core.scheduler.sync_state().database {
            DatabaseState::Up => "",
            DatabaseState::Down { message, .. } => message,
            DatabaseState::Unknown => "the database has not answered yet",
        };
        // Before `schedule start` returns, so that who comes after it finds the note.
        let trouble = mem::take(&mut self.trouble);
        self.write_note(&trouble, warning);
        if self.detached {
            self.detached = false;
            let address = self.address.map(|it| it.to_string()).unwrap_or_default();
            let said = format!("http://{address}/ {warning}");
            if let Err(why) = detach::ready(said.trim_end()) {
                log::warn!("stdout, stderr: {why}");
            }
        }
    }

    fn tell_status(&mut self, core: &Core) {
        let status = status(core);
        if status != self.status {
            self.send(&format!("STATUS={status}"));
            self.status = status;
        }
    }

    /// A message that gets lost is not missed: the manager's own time limits speak up then.
    fn send(&self, state: &str) {
        let Some(service) = &self.service else { return };
        let sent = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.send_to_addr(state.as_bytes(), service)
        });
        if let Err(why) = sent {
            log::debug!("the service manager can't be told {state:?}: {why}");
        }
    }

    fn write_note(&mut self, trouble: &str, warning: &str) {
        let Some(address) = self.address else { return };
        let line = plain::clean;
        let note = Note {
            pid: process::id(),
            address,
            told_ms: clock::now().wall_ms,
            version: env!("CARGO_PKG_VERSION").into(),
            config: line(self.config.to_str().unwrap_or_default(), MAX_TROUBLE),
            trouble: line(trouble, MAX_TROUBLE),
            warning: line(warning, MAX_WARNING),
        };
        if let Err(why) = self.put(&note) {
            log::warn!("{}", own::told(&self.state_dir.join(NOTE), &why));
            // For who waits, if it still is the file that is looked at.
            let _ = self.note.as_ref().map(|file| fill(file, &note.text()));
        }
        self.said = Some(note);
    }

    fn put(&mut self, note: &Note) -> io::Result<()> {
        note.write(&self.state_dir)?;
        let path = self.state_dir.join(NOTE);
        self.note = own::open(&path, OFlags::WRONLY).ok();
        Ok(())
    }

    /// Writes the note once more, as it was, where somebody took it away.
    pub fn tend(&mut self) {
        let found = fs::symlink_metadata(self.state_dir.join(NOTE));
        if found.is_err_and(|why| why.kind() == ErrorKind::NotFound)
            && let Some(said) = self.said.clone()
        {
            // What can't be written now is tried again.
            let _ = self.put(&said);
        }
    }
}

/// A socket of the file system, or an abstract one, which begins with `@`.
fn service(name: &[u8]) -> Option<SocketAddr> {
    match name {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest).ok(),
        [b'/', ..] => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)).ok(),
        // vsock, for virtual machines, is for those who boot the machine.
        _ => None,
    }
}

fn status(core: &Core) -> String {
    let (jobs, runs) = (
        counted(core.scheduler.table().len() as u64, "job"),
        counted(core.scheduler.runs().len() as u64, "run"),
    );
    if core.scheduler.draining() {
        return format!("ending: waiting for {runs}");
    }
    let database = match &core.scheduler.sync_state().database {
        DatabaseState::Unknown => "not asked yet",
        DatabaseState::Up => "up",
        DatabaseState::Down { .. } => "down",
    };
    format!("{jobs}, {runs}, database {database}")
}

/// What a daemon that is ready leaves in its state directory for those who look for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Who wrote it.
    pub pid: u32,
    /// Where the daemon listens.
    pub address: Address,
    /// When it was written, unix ms: each start, reload and upgrade writes the note again.
    pub told_ms: i64,
    /// Version of the program.
    pub version: String,
    /// The file of the configuration that is in force; empty = an earlier version did not say, or
    /// its name is no text.
    pub config: String,
    /// Why the reload or upgrade that was asked for last was not done; empty = it was.
    pub trouble: String,
    /// What the database's first answer to this program was wrong with; empty = nothing.
    pub warning: String,
}

impl Note {
    /// Reads the note; `None` if there is none, or none that makes sense.
    pub fn read(state_dir: &Path) -> Option<Note> {
        let bytes = own::read_anybodys(&state_dir.join(NOTE), MAX_NOTE_BYTES).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            let found = lines.find(|(known, _)| *known == name);
            // A program that may write there may say anything.
            found.map(|(_, value)| plain::clean(value.trim(), MAX_TROUBLE))
        };
        Some(Note {
            pid: value("pid")?.parse().ok()?,
            address: value("address")?.parse().ok()?,
            told_ms: value("told_ms")?.parse().ok()?,
            version: value("version")?,
            config: value("config").unwrap_or_default(),
            trouble: value("trouble").unwrap_or_default(),
            warning: value("warning").unwrap_or_default(),
        })
    }

    /// Whether the daemon can write a note.
    ///
    /// # Errors
    /// It can't: the file that is in the way, why, and what to do.
    pub fn try_write(state_dir: &Path) -> Result<(), String> {
        let path = state_dir.join(NOTE);
        for path in [path.with_extension("new"), path] {
            own::try_change(&path).map_err(|why| own::told(&path, &why))?;
        }
        Ok(())
    }

    fn text(&self) -> String {
        let Note { pid, address, told_ms, version, config, trouble, warning } = self;
        format!(
            "pid {pid}\naddress {address}\ntold_ms {told_ms}\nversion {version}\n\
             config {config}\ntrouble {trouble}\nwarning {warning}\n"
        )
    }

    /// In one piece: who reads sees the old one or the new one. The file of the old one stays as
    /// the place of the next, so that there is one on a full disk, too.
    fn write(&self, state_dir: &Path) -> io::Result<()> {
        let text = self.text();
        let path = state_dir.join(NOTE);
        let new = path.with_extension("new");
        match write_over(&new, &text).and_then(|()| own::exchange(&new, &path)) {
            // Somebody took the directory away: nothing is to be kept then.
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok(()),
            result => result?,
        }
        if !new.exists() {
            // What can't be had now is missed on a full disk only.
            let _ = write_over(&new, &text);
        }
        Ok(())
    }
}

/// Writes a short file in the place that it has, if there is one.
fn write_over(path: &Path, text: &str) -> io::Result<()> {
    fill(&own::open(path, OFlags::WRONLY | OFlags::CREATE)?, text)
}

fn fill(file: &File, text: &str) -> io::Result<()> {
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_note_says_nothing_to_a_terminal_and_a_long_one_nothing_at_all() {
        let dir = std::env::temp_dir().join(format!("note-{}", process::id()));
        fs::create_dir(&dir).unwrap();
        let text = "pid 7\naddress 127.0.0.1:1\ntold_ms 1\nversion 1\u{9b}2J\ntrouble ";
        fs::write(dir.join(NOTE), format!("{text}\u{1b}]0;x\u{202e}{}\n", "y".repeat(9_000)))
            .unwrap();
        let note = Note::read(&dir).unwrap();
        assert_eq!((note.pid, note.version.as_str()), (7, "1?2J"));
        assert!(note.trouble.starts_with("?]0;x?yyy"), "{}", note.trouble);
        assert!(note.trouble.chars().count() <= MAX_TROUBLE, "{}", note.trouble.len());
        fs::write(dir.join(NOTE), text.repeat(1_000)).unwrap();
        assert!(Note::read(&dir).is_none());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn sockets_have_paths_or_abstract_names() {
        assert_eq!(service(b"/run/x").unwrap().as_pathname(), Some(Path::new("/run/x")));
        assert_eq!(service(b"@a/b").unwrap().as_abstract_name(), Some(&b"a/b"[..]));
        assert!(service(b"vsock:2:1234").is_none());
        assert!(service(b"relative").is_none());
        assert!(service(b"").is_none());
    }
}
