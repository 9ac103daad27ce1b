//! What a daemon needs of its files, tried before anything depends on it: a start says at once what
//! is wrong, and a program that could not go on is never put in place of one that runs.

use crate::shell::journal;
use crate::shell::keeper;
use crate::shell::own;
use rustix::fs::{Access, OFlags, access};
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::{Path, PathBuf};

/// In the state directory: what a new program takes over from the one before, and goes on without
/// at a pinch. One that runs is not given up for that.
const TAKEN_OVER: [&str; 2] = ["snapshot", "refused"];

/// In the state directory: outputs of runs. A daemon without them goes on.
const RUNS: &str = "runs";

/// A file or directory that a daemon can't work with.
pub struct Unusable {
    what: &'static str,
    /// Which.
    pub path: PathBuf,
    /// Why, and what to do.
    pub why: String,
}

impl Unusable {
    fn new(what: &'static str, path: PathBuf, why: &io::Error) -> Unusable {
        Unusable { what, path, why: own::advised(why) }
    }
}

impl Display for Unusable {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        write!(to, "{} {}: {}", self.what, self.path.display(), self.why)
    }
}

/// Why no daemon of this user can work in a state directory; nothing is made.
///
/// # Errors
/// None can.
pub fn state_dir(path: &Path, uid: u32) -> Result<(), Unusable> {
    let wrong = |why| Unusable::new("state directory", path.into(), &why);
    own::try_dir(path, uid).map_err(wrong)?;
    journal::try_open(&path.join("journal"), uid)
        .map_err(|(path, why)| Unusable::new("journal", path, &why))
}

/// The same, and what it could do without at a pinch.
///
/// # Errors
/// None can, or something will be missed.
pub fn whole_state_dir(path: &Path, uid: u32) -> Result<(), Unusable> {
    state_dir(path, uid)?;
    let runs = path.join(RUNS);
    found(own::try_dir(&runs, uid)).map_err(|why| Unusable::new("outputs", runs, &why))
}

/// The same for the program that would take over from one that runs: its keeper, and what it knows.
///
/// # Errors
/// It could not.
pub fn renewal(dir: &Path) -> Result<(), String> {
    state_dir(dir, rustix::process::geteuid().as_raw()).map_err(|wrong| wrong.to_string())?;
    let socket = dir.join(keeper::SOCKET);
    found(access(&socket, Access::WRITE_OK).map_err(io::Error::from))
        .map_err(|why| own::told(&socket, &why))?;
    for path in TAKEN_OVER.map(|name| dir.join(name)) {
        let opened = own::open(&path, OFlags::RDONLY).map(drop);
        // What is broken there in other ways is told, and put aside, by who finds it.
        let closed = opened.or_else(|why| match why.kind() {
            io::ErrorKind::PermissionDenied => Err(why),
            _ => Ok(()),
        });
        closed.map_err(|why| own::told(&path, &why))?;
    }
    Ok(())
}

/// What is not there will be made.
fn found(tried: io::Result<()>) -> io::Result<()> {
    tried.or_else(|why| match why.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(why),
    })
}
