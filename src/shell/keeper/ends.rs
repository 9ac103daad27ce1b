//! Ends of runs that no daemon was there to hear of; between two keepers they are on disk.

use crate::core::ids::RunId;
use crate::core::keeping::{KeptEnd, Legacy};
use crate::shell::own;
use rustix::fs::{OFlags, Stat, fstat, renameat};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Keepers that are remembered by name. A daemon that is killed before it has noted its keeper
/// leaves one that no journal tells of; so many of them in a row don't come about.
const MAX_KEEPERS: usize = 32;

/// Bytes of the file at the most: some 100,000 ends.
const MAX_BYTES: u64 = 32 << 20;

/// The name of the file, in the state directory.
const LEFT: &str = "keeper.ends";

/// The name of the file while it is being written.
pub const UNFINISHED: &str = "keeper.tmp";

/// The ends that no daemon has taken yet, by run.
#[derive(Debug)]
pub struct Ends {
    ends: BTreeMap<RunId, KeptEnd>,
    after: Vec<String>,
    path: PathBuf,
    /// The state directory as it was found.
    dir: Option<Stat>,
}

impl Ends {
    /// Those that the keeper before left in the state directory. If it left nothing that can be
    /// read, there are none.
    pub fn inherit(state_dir: &Path) -> Ends {
        let path = state_dir.join(LEFT);
        let left = read(&path);
        let dir = own::enter(state_dir, OFlags::PATH).and_then(|dir| Ok(fstat(dir)?)).ok();
        let _ = own::remove(&path.with_file_name(UNFINISHED));
        let Legacy { keepers: after, ends } = left.ok().flatten().unwrap_or_default();
        Ends { ends: ends.into_iter().map(|end| (end.run, end)).collect(), after, path, dir }
    }

    /// Ids of the keepers that left them, one after the other.
    pub fn after(&self) -> &[String] {
        &self.after
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &KeptEnd> {
        self.ends.values()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes note of an end.
    pub fn add(&mut self, end: KeptEnd) {
        self.ends.insert(end.run, end);
    }

    /// The daemon has this one in its journal.
    pub fn forget(&mut self, run: RunId) {
        self.ends.remove(&run);
    }

    /// Leaves them for the next keeper: all or, if the disk is full, none.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn bequeath(&self, keeper: &str) -> io::Result<()> {
        let mut keepers = self.after.clone();
        keepers.push(keeper.to_owned());
        keepers.drain(..keepers.len().saturating_sub(MAX_KEEPERS));
        let legacy = Legacy { keepers, ends: self.ends.values().cloned().collect() };
        let temporary = self.path.with_file_name(UNFINISHED);
        let dir = self.enter()?;
        let mut file = own::open_beside(&temporary, OFlags::WRONLY | OFlags::CREATE)?;
        file.set_len(0)?;
        file.write_all(&serde_json::to_vec(&legacy)?)?;
        own::leave_to_owner_of(&dir, &file);
        Ok(renameat(&dir, UNFINISHED, &dir, LEFT)?)
    }

    /// The state directory that this keeper knows, whose ever it is by now, or another of ours.
    fn enter(&self) -> io::Result<OwnedFd> {
        let path = self.path.parent().unwrap_or(&self.path);
        let dir = own::enter(path, OFlags::PATH)?;
        let found = fstat(&dir)?;
        let is_it = |known: &Stat| (known.st_dev, known.st_ino) == (found.st_dev, found.st_ino);
        if self.dir.as_ref().is_some_and(is_it) {
            return Ok(dir);
        }
        own::enter_ours(path, OFlags::PATH)
    }
}

/// What is there; nothing is, where nobody has left any.
fn read(path: &Path) -> io::Result<Option<Legacy>> {
    match own::read(path, MAX_BYTES) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        read => Ok(Some(serde_json::from_slice(&read?)?)),
    }
}

/// Looks whether a new keeper could read what the last one left. What is broken is told: the runs
/// that ended meanwhile count as lost.
///
/// # Errors
/// This user may not read it, and who gives it to him loses nothing; the file and why.
pub fn look(state_dir: &Path) -> Result<(), (PathBuf, io::Error)> {
    let path = state_dir.join(LEFT);
    match read(&path).map(drop) {
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => Err((path, why)),
        Err(why) => {
            let told = own::told(&path, &why);
            log::error!("how runs ended while no daemon was there can't be read: {told}");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
