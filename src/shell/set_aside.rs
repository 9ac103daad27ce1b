//! The file of records that are set aside, held open while the daemon runs: who takes the file
//! away takes nothing with it. What is in the file is `core::refused`'s business, and a helper
//! changes it.

use crate::shell::own;
use rustix::fs::OFlags;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes of the file that are put back at the most.
const MAX_BYTES: u64 = 64 << 20;

/// The file as it was left, if there was one.
pub struct SetAside {
    path: PathBuf,
    held: Option<(File, Mark)>,
    /// It can't be put back, and that was said.
    is_silent: bool,
}

/// By this it is known whether somebody has changed it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark {
    place: (u64, u64),
    bytes: u64,
    changed: (i64, i64),
}

impl Mark {
    fn of(found: &Metadata) -> Mark {
        Mark {
            place: (found.dev(), found.ino()),
            bytes: found.len(),
            changed: (found.mtime(), found.mtime_nsec()),
        }
    }
}

impl SetAside {
    /// That of a state directory, as it is now.
    pub fn of(state_dir: &Path) -> SetAside {
        let path = state_dir.join("refused");
        let mut set_aside = SetAside { path, held: None, is_silent: false };
        set_aside.hold();
        set_aside
    }

    /// It is to be as it is now.
    fn hold(&mut self) {
        let opened = own::open(&self.path, OFlags::RDONLY);
        let held = opened.and_then(|file| Ok((Mark::of(&file.metadata()?), file)));
        self.held = held.ok().map(|(mark, file)| (file, mark));
        self.is_silent = false;
    }

    /// A helper that may have changed it has come to its end, and so much is set aside now. Returns
    /// whether somebody else has changed it, too.
    pub fn left_by_helper(&mut self, count: u64) -> bool {
        if self.is_gone() && count > 0 {
            // What the helper may have added is not in it.
            self.put_back();
            return true;
        }
        let before = self.held.take().map(|(_, mark)| mark);
        self.hold();
        let now = self.held.as_ref().map(|(_, mark)| mark);
        // A helper adds to it, or puts another file in its place.
        let is_cut =
            |(before, now): (Mark, &Mark)| now.place == before.place && now.bytes < before.bytes;
        before.zip(now).is_some_and(is_cut)
    }

    /// Puts it back where somebody took it away. Returns whether it is not as it was left.
    pub fn look(&mut self) -> bool {
        let Some((_, mark)) = &self.held else { return false };
        if fs::symlink_metadata(&self.path).is_ok_and(|found| Mark::of(&found) == *mark) {
            return false;
        }
        if self.is_gone() {
            self.put_back();
            return false;
        }
        // What lies in its place is for a helper.
        self.hold();
        true
    }

    fn is_gone(&self) -> bool {
        let gone = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        fs::symlink_metadata(&self.path).is_err_and(|why| gone.contains(&why.kind()))
    }

    fn put_back(&mut self) {
        let Some((file, _)) = &self.held else { return };
        let path = self.path.display();
        match self.write_anew(file) {
            Ok(()) => {
                log::error!("records: somebody took {path} away: it is written again");
                self.hold();
            }
            // As long as it is held it can be later.
            Err(why) if !self.is_silent => {
                let why = own::told(&self.path, &why);
                log::error!("records: somebody took {path} away, and it can't be put back: {why}");
                self.is_silent = true;
            }
            Err(_) => {}
        }
    }

    fn write_anew(&self, file: &File) -> io::Result<()> {
        let bytes = file.metadata()?.len().min(MAX_BYTES);
        let mut lines = vec![0; usize::try_from(bytes).unwrap_or(0)];
        file.read_exact_at(&mut lines, 0)?;
        self.path.parent().map_or(Ok(()), own::make_dir)?;
        let temporary = self.path.with_extension("tmp");
        let new = own::create(&temporary)?;
        let put = new.write_all_at(&lines, 0).and_then(|()| own::rename(&temporary, &self.path));
        put.inspect_err(|_| drop(own::remove(&temporary)))
    }
}
