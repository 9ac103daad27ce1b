//! `schedule reload` and `schedule restart`: a daemon that runs gets a new configuration or a new
//! program, and tells by its note how that went.

use super::{
    DONE, FAILED, Groups, NOT_RUNNING, Which, cannot_signal, not_permitted, start, warn_of_database,
};
use crate::core::plain;
use crate::shell::clock;
use crate::shell::holder::{Found, Holder};
use crate::shell::notify::Note;
use crate::shell::predecessor;
use crate::shell::start::needs;
use crate::shell::sys::Signal;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A daemon has this long to tell; a new program first asks the database.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the daemon of a group read its configuration again, and reopen its log.
pub(super) fn reload(groups: &Groups, id: u32) -> u8 {
    match groups.find(id) {
        Found::Running(holder) => match renewed(groups, id, &holder, Signal::HUP) {
            Renewed::Done(warning) => {
                groups.warn_of_twice(id, &holder);
                let read = its_file(groups, id, &holder, "has read");
                told(id, &holder, &read, &warning)
            }
            Renewed::Ended => failed(id, "it has ended instead; its log tells why"),
            Renewed::Not(why) => failed(id, &why),
            Renewed::Refused(code) => code,
        },
        Found::Nobody | Found::Stale => {
            eprintln!("server {id}: not running, so there is nothing to reload");
            let beside = predecessor::beside(id).map(predecessor::in_the_way);
            beside.iter().for_each(|text| eprintln!("server {id}: {text}"));
            NOT_RUNNING
        }
        Found::Predecessor(pid) => groups.predecessor(id, pid),
        Found::Unclear(why) => failed(id, &why),
        Found::NotPermitted(what) => not_permitted(id, &what),
    }
}

/// Makes the daemon of a group reopen its log, after that was moved away. Where none runs there
/// is no log to be opened.
pub(super) fn reopen(groups: &Groups, id: u32) -> u8 {
    match groups.find(id) {
        Found::Running(holder) => match holder.signal(Signal::USR1) {
            Ok(()) => told(id, &holder, "reopens its log", ""),
            Err(why) => cannot_signal(id, &why),
        },
        Found::Nobody | Found::Stale => {
            println!("server {id}: not running, so there is no log to be opened");
            DONE
        }
        Found::Predecessor(pid) => groups.predecessor(id, pid),
        Found::Unclear(why) => failed(id, &why),
        Found::NotPermitted(what) => not_permitted(id, &what),
    }
}

/// Puts the program that is installed now in place of the one that runs, in the same process;
/// starts a daemon where there is none, if this very group was named.
pub(super) fn restart(groups: &Groups, id: u32, which: Which) -> u8 {
    match groups.find(id) {
        Found::Running(holder) => {
            let user = holder.user();
            match renewed(groups, id, &holder, Signal::USR2) {
                Renewed::Done(warning) => {
                    groups.warn_of_twice(id, &holder);
                    let by = its_file(groups, id, &holder, "has restarted in place, with");
                    told(id, &holder, &by, &warning)
                }
                Renewed::Ended => start_again(groups, id, user),
                Renewed::Not(why) => failed(id, &why),
                Renewed::Refused(code) => code,
            }
        }
        Found::Nobody | Found::Stale => match which {
            Which::One(_) => start::start(groups, &[id]),
            Which::All => {
                println!("server {id}: not running: left as it is");
                DONE
            }
        },
        Found::Predecessor(pid) => groups.predecessor(id, pid),
        Found::Unclear(why) => failed(id, &why),
        Found::NotPermitted(what) => not_permitted(id, &what),
    }
}

/// Starts a daemon that ended over its signal, as the user that it had: another one, above all
/// root, would leave files that it can't write, and run its jobs as somebody else.
fn start_again(groups: &Groups, id: u32, user: Option<u32>) -> u8 {
    if user != Some(rustix::process::geteuid().as_raw()) {
        return failed(id, "it has ended instead; start it as the user that it was started as");
    }
    eprintln!("server {id}: it has ended; starting it");
    start::start(groups, &[id])
}

enum Renewed {
    /// It serves, renewed; what the database said at first, empty = nothing wrong.
    Done(String),
    /// It is gone.
    Ended,
    /// It goes on as it was; the reason.
    Not(String),
    /// It can't be signalled; the exit status.
    Refused(u8),
}

/// Sends the signal, and waits for the note that tells what came of it.
fn renewed(groups: &Groups, id: u32, holder: &Holder, signal: Signal) -> Renewed {
    let dir = groups.state_dir(id, holder);
    let (before, asked_ms) = (Note::read(&dir).map(|note| note.told_ms), clock::now().wall_ms);
    let unheard = Note::try_write(&dir).err();
    let unheard = unheard.or_else(|| unheard_by(&dir, holder).filter(|_| before.is_none()));
    if let Some(why) = unheard {
        return Renewed::Not(format!("it goes on as it was: {why}"));
    }
    if let Err(why) = holder.signal(signal) {
        return Renewed::Refused(cannot_signal(id, &why));
    }
    // Where there was none it is put back as it was, if that was taken away.
    let is_news = |note: &Note| match before {
        Some(before) => note.told_ms != before,
        None => note.told_ms >= asked_ms,
    };
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if holder.has_ended(Duration::ZERO) {
            return Renewed::Ended;
        }
        // A directory that was moved is left for one at the place where it was.
        match Note::read(&groups.state_dir(id, holder)).filter(is_news) {
            Some(note) if note.trouble.is_empty() => return Renewed::Done(note.warning),
            Some(note) => return Renewed::Not(format!("it goes on as it was: {}", note.trouble)),
            None => sleep(Duration::from_millis(10)),
        }
    }
    let seconds = PATIENCE.as_secs();
    Renewed::Not(format!("it has not told in {seconds} s what became of it; its log may"))
}

/// Why the user of a daemon could not read what it tells, where it could not write it either: it
/// would refuse to be renewed, so it is not asked. It makes a directory that is gone.
fn unheard_by(dir: &Path, holder: &Holder) -> Option<String> {
    let me = rustix::process::geteuid().as_raw();
    let may_look = holder.user() == Some(me) && dir.exists();
    let wrong = may_look.then(|| needs::state_dir(dir, me).err());
    wrong.flatten().map(|wrong| wrong.to_string())
}

/// What the daemon did with its configuration. Warns where that is not the one which is read here.
fn its_file(groups: &Groups, id: u32, holder: &Holder, did: &str) -> String {
    groups.other_file(id, holder).iter().for_each(|text| eprintln!("{text}"));
    let file = groups.file_of(id, holder).map(|file| format!(" {file}")).unwrap_or_default();
    format!("{did} its configuration{file}")
}

fn told(id: u32, holder: &Holder, what: &str, warning: &str) -> u8 {
    println!("server {id}: pid {} {what}", holder.pid.as_raw_nonzero());
    warn_of_database(id, warning);
    DONE
}

fn failed(id: u32, why: &str) -> u8 {
    eprintln!("server {id}: {}", plain::line(why));
    FAILED
}
