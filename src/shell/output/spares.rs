//! Files that wait for a run to write to them.
//!
//! To create a file is to wait for the file system: for a free inode, for its journal. Two of them
//! can take longer than all the rest of a start: ext4 without a journal passes over each inode
//! that was freed within five minutes, 0.2 to 0.9 ms a file with some thousand runs an hour. A new
//! name costs a tenth of that. So between bursts as many files are made as one has asked for.

use crate::shell::own;
use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_NOW, fstat, openat,
    renameat_with, unlinkat, utimensat,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// So many at the most.
const MAX_SPARES: usize = 256;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Spares {
    state_dir: PathBuf,
    dir: PathBuf,
    /// The directory, once a file was made there: who gives its name to another directory has no
    /// part in what is done in this one.
    held: Option<OwnedFd>,
    /// Numbers of files that are there.
    free: Vec<u64>,
    next: u64,
    /// How many the largest burst asked for.
    wanted: usize,
    /// How many were asked for since the last one was made.
    asked: usize,
    /// They can't be given names here.
    useless: bool,
}

impl Spares {
    /// None yet, in this directory below the state directory, which is made when it is needed. What
    /// an earlier process left there is taken away: only one at a time may have it.
    pub(super) fn new(state_dir: &Path, dir: PathBuf) -> Spares {
        // Mostly there is none; where a stranger's link leads there is none of ours.
        let _ = take_away(&dir);
        let (state_dir, held, free) = (state_dir.into(), None, Vec::new());
        Spares { state_dir, dir, held, free, next: 0, wanted: 0, asked: 0, useless: false }
    }

    /// Puts an empty file at `path`, if there is one to spare and none at `path`.
    pub(super) fn put(&mut self, path: &Path) {
        self.asked += 1;
        let (Some(held), false) = (&self.held, self.free.is_empty()) else { return };
        let place = place(path);
        // Files that are made in such a directory get its group; those that come there keep theirs.
        if place.as_ref().is_ok_and(|(above, _)| is_set_group_id(above)) {
            return;
        }
        let Some(number) = self.free.pop().map(|number| number.to_string()) else { return };
        match place.and_then(|(above, name)| give(held, &number, &above, name)) {
            Ok(()) => return,
            // This file system or kernel can't make sure that there is no file.
            Err(Errno::INVAL | Errno::NOSYS) => self.useless = true,
            // There is one, or its directory is missing, full, elsewhere, or found by a stranger's
            // link: no word on the others.
            Err(_) => {}
        }
        let _ = unlinkat(held, &number, AtFlags::empty());
    }

    /// Whether there are fewer than a burst has asked for.
    pub(super) fn are_short(&self) -> bool {
        !self.useless && self.free.len() < self.wanted.max(self.asked.min(MAX_SPARES))
    }

    /// Makes one more. To be called after a burst.
    pub(super) fn make(&mut self) {
        self.wanted = self.wanted.max(self.asked.min(MAX_SPARES));
        self.asked = 0;
        self.next += 1;
        match self.create(self.next) {
            Ok(()) => self.free.push(self.next),
            // What is wrong is told when a run wants a file. The next burst asks again.
            Err(_) => self.wanted = self.free.len(),
        }
    }

    fn create(&mut self, number: u64) -> io::Result<()> {
        match self.held.as_ref().map(|held| create(held, number)) {
            // Not yet, or somebody has deleted it.
            None | Some(Err(Errno::NOENT)) => {
                own::make_dir_in(&self.state_dir, &self.dir)?;
                let held = self.held.insert(own::enter_ours(&self.dir, OFlags::PATH)?);
                Ok(create(held, number)?)
            }
            Some(created) => Ok(created?),
        }
    }
}

/// Makes one in the directory.
fn create(held: &OwnedFd, number: u64) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    openat(held, number.to_string(), flags, Mode::from_raw_mode(own::FILE_MODE)).map(drop)
}

/// The directory that a file is to be in, and its name there.
fn place(path: &Path) -> Result<(OwnedFd, &OsStr), Errno> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::ISDIR);
    };
    let above = own::enter_ours(above, OFlags::PATH);
    let errno = |why| Errno::from_io_error(&why).unwrap_or(Errno::LOOP);
    Ok((above.map_err(errno)?, name))
}

/// Gives a file this place.
fn give(held: &OwnedFd, number: &str, above: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    renameat_with(held, number, above, name, RenameFlags::NOREPLACE)?;
    // Nobody has to know that it is older than its run.
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    let _ = utimensat(above, name, &times, AtFlags::SYMLINK_NOFOLLOW);
    Ok(())
}

/// Whether this directory has the set-group-ID bit (inode(7)).
fn is_set_group_id(dir: &OwnedFd) -> bool {
    fstat(dir).is_ok_and(|dir| Mode::from_raw_mode(dir.st_mode).contains(Mode::SGID))
}

/// Deletes the directory and the files in it.
fn take_away(dir: &Path) -> io::Result<()> {
    let (above, name) = place(dir)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(&above, name, flags, Mode::empty()) {
        Ok(dir) => empty(Dir::new(dir)?)?,
        // What else has its name would be in the way.
        Err(Errno::LOOP | Errno::NOTDIR) => return Ok(unlinkat(&above, name, AtFlags::empty())?),
        Err(why) => return Err(why.into()),
    }
    Ok(unlinkat(&above, name, AtFlags::REMOVEDIR)?)
}

fn empty(mut dir: Dir) -> Result<(), Errno> {
    while let Some(entry) = dir.read() {
        // What is none of ours keeps the directory, and nothing else.
        let _ = unlinkat(dir.fd()?, entry?.file_name(), AtFlags::empty());
    }
    Ok(())
}

impl Drop for Spares {
    fn drop(&mut self) {
        let Some(held) = &self.held else { return };
        for number in &self.free {
            let _ = unlinkat(held, number.to_string(), AtFlags::empty());
        }
        if let Ok((above, name)) = place(&self.dir) {
            let _ = unlinkat(above, name, AtFlags::REMOVEDIR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};
    use std::time::{Duration, SystemTime};

    fn site(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("spares-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn count(dir: &Path) -> usize {
        fs::read_dir(dir).map_or(0, Iterator::count)
    }

    #[test]
    fn as_many_as_the_largest_burst_asked_for_and_each_is_put_once() {
        let site = site("burst");
        let mut spares = Spares::new(&site, site.join("spare"));
        assert!(!spares.are_short(), "nobody has asked");
        for burst in 0..2 {
            (0..5).for_each(|n| spares.put(&site.join(format!("{burst}-{n}"))));
            while spares.are_short() {
                spares.make();
            }
            assert_eq!(count(&site.join("spare")), 5);
        }
        // The first burst found none, the second five; the directory is not among them.
        assert_eq!(count(&site) - 1, 5);
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        for spare in fs::read_dir(site.join("spare")).unwrap() {
            fs::File::open(spare.unwrap().path()).unwrap().set_modified(long_ago).unwrap();
        }
        let path = site.join("later");
        spares.put(&path);
        let age = fs::metadata(&path).unwrap().modified().unwrap().elapsed().unwrap();
        assert!(age < Duration::from_secs(60), "a file is as old as its run");
        assert!(spares.are_short(), "the next burst may be as large as the last");
        drop(spares);
        assert_eq!(count(&site), 6, "what was not needed is gone");
        fs::remove_dir_all(site).unwrap();
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let site = site("there");
        let mut spares = Spares::new(&site, site.join("spare"));
        spares.put(&site.join("none"));
        spares.make();
        let path = site.join("written");
        fs::write(&path, "before").unwrap();
        spares.put(&path);
        assert_eq!(fs::read_to_string(path).unwrap(), "before");
        assert!(spares.are_short(), "that is no reason to do without");
        fs::remove_dir_all(site).unwrap();
    }

    #[test]
    fn one_directory_that_takes_none_is_no_reason_to_do_without() {
        let site = site("one");
        let mut spares = Spares::new(&site, site.join("spare"));
        spares.put(&site.join("first"));
        spares.make();
        fs::write(site.join("file"), "").unwrap();
        spares.put(&site.join("file/below"));
        assert!(spares.are_short(), "that was not its fault");
        spares.make();
        let shared = site.join("shared");
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o2755)).unwrap();
        spares.put(&shared.join("of its group"));
        assert_eq!((count(&shared), count(&site.join("spare"))), (0, 1));
        fs::remove_dir_all(site).unwrap();
    }

    #[test]
    fn a_directory_that_somebody_deletes_is_made_again() {
        let site = site("deleted");
        let mut spares = Spares::new(&site, site.join("spare"));
        spares.put(&site.join("first"));
        spares.make();
        fs::remove_dir_all(site.join("spare")).unwrap();
        spares.put(&site.join("none"));
        spares.make();
        spares.put(&site.join("second"));
        drop(spares);
        let left = fs::read_dir(&site).unwrap().map(|it| it.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["second"]);
        fs::remove_dir_all(site).unwrap();
    }

    /// Root makes, moves and deletes nothing where such a link leads, whenever it was put there.
    #[test]
    fn nothing_is_put_where_a_strangers_link_leads() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root can play another user");
            return;
        }
        let site = site("stranger");
        let (precious, outputs) = (site.join("precious"), site.join("runs"));
        fs::create_dir_all(precious.join("spare")).unwrap();
        fs::write(precious.join("spare/1"), "").unwrap();
        fs::create_dir(&outputs).unwrap();
        let link = |at: &Path| {
            symlink(&precious, at).unwrap();
            lchown(at, Some(65534), Some(65534)).unwrap();
        };
        let untouched = || {
            assert_eq!((count(&precious), count(&precious.join("spare"))), (1, 1));
        };
        let mut spares = Spares::new(&site, outputs.join("spare"));
        spares.put(&outputs.join("first"));
        spares.make();
        link(&outputs.join("7"));
        spares.put(&outputs.join("7/run.out"));
        untouched();
        // The same with the directory that they are all in.
        spares.make();
        fs::rename(&outputs, site.join("moved")).unwrap();
        link(&outputs);
        spares.put(&outputs.join("run.out"));
        spares.make();
        untouched();
        drop(spares);
        untouched();
        let mut spares = Spares::new(&site, outputs.join("spare"));
        spares.put(&outputs.join("run.out"));
        spares.make();
        drop(spares);
        untouched();
        assert_eq!(count(&site.join("moved/spare")), 0);
        fs::remove_dir_all(site).unwrap();
    }

    #[test]
    fn there_are_never_more_than_so_many_and_a_directory_that_is_full_is_not_tried_for_ever() {
        let site = site("many");
        let mut spares = Spares::new(&site, site.join("spare"));
        (0..10_000).for_each(|n| spares.put(&site.join(n.to_string())));
        while spares.are_short() {
            spares.make();
        }
        assert_eq!(count(&site.join("spare")), MAX_SPARES);

        fs::remove_dir_all(&site).unwrap();
        fs::write(&site, "no directory").unwrap();
        spares.put(&site.join("one"));
        spares.make();
        assert!(!spares.are_short());
        fs::remove_file(site).unwrap();
    }
}
