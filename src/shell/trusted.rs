//! Opens paths that rows name, without being led astray.
//!
//! Who owns a directory can put a symbolic link into it, to a file that only the daemon may read
//! or write. So links are followed if they are root's or those of the daemon's own user, and no
//! others. In `/proc`, where the kernel makes them, that is enough, too: they belong to the user
//! of the process. A program that serves a file system (FUSE) may call anybody the owner: there all
//! links are those of who has mounted it. And where users may make hard links to what is not theirs
//! ([`hard_links`]), a link of root is only as good as the directory that it is in.

pub mod hard_links;
pub mod mounts;

use mounts::{Mounts, mounter};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, open, openat, openat2,
    readlinkat, statat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Links on the way to a file, as the kernel has it.
const MAX_LINKS: usize = 40;

/// `PROC_SUPER_MAGIC` (statfs(2)).
const PROC_FS: i64 = 0x9fa0;

/// `FUSE_SUPER_MAGIC` (statfs(2)).
const FUSE: i64 = 0x6573_5546;

/// Why a path was not opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The system's error number.
    System(i32),
    /// This link belongs to that user.
    Stranger(String, u32),
    /// A stranger may have made this name of it.
    HardLink(PathBuf),
    /// It leads to this file system, which may not answer: nothing was asked of it.
    MayHang(PathBuf),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Refusal {
        Refusal::System(errno.raw_os_error())
    }
}

impl From<Refusal> for io::Error {
    /// What is wrong, why, and what to do.
    fn from(why: Refusal) -> io::Error {
        match why {
            Refusal::System(errno) => io::Error::from_raw_os_error(errno),
            Refusal::Stranger(link, owner) => io::Error::other(told(&link, owner)),
            Refusal::HardLink(path) => io::Error::other(hard_links::told(&path)),
            Refusal::MayHang(mount) => {
                io::Error::other(format!("it leads to {} by now", mount.display()))
            }
        }
    }
}

/// What is said of a link that is not followed: what, why, and what to do.
pub fn told(link: &str, owner: u32) -> String {
    told_of(link, owner, rustix::process::geteuid().as_raw())
}

/// The same of a daemon of this user.
pub fn told_of(link: &str, owner: u32, user: u32) -> String {
    let ours = if user == 0 { "root".into() } else { format!("root or user {user}") };
    format!(
        "{link} is a link that belongs to user {owner}, and only links of {ours} are followed: \
         name the file itself"
    )
}

/// Opens a file as open(2) does. Where no link is on the way, that is one system call.
///
/// # Errors
/// See [`Refusal`]. Nothing is asked of what may hang.
pub fn open_file(
    path: &Path,
    how: OFlags,
    mode: Mode,
    mounts: &Mounts,
) -> Result<OwnedFd, Refusal> {
    if let Some(mount) = mounts.on_way(path) {
        return Err(Refusal::MayHang(mount.into()));
    }
    let how = how | OFlags::CLOEXEC;
    match openat2(CWD, path, how, mode, ResolveFlags::NO_SYMLINKS) {
        // PERM: what keeps watch over a container does not know the call.
        Err(Errno::LOOP | Errno::NOSYS | Errno::PERM) => Walk::begin(path)?.open(how, mode, mounts),
        opened => Ok(opened?),
    }
}

/// The same of what a row names, and of the log: nor is it a file to which a stranger may have made
/// a hard link. What would have to be refused is not made.
///
/// # Errors
/// See [`Refusal`].
pub fn open_named(
    path: &Path,
    how: OFlags,
    mode: Mode,
    mounts: &Mounts,
) -> Result<OwnedFd, Refusal> {
    if hard_links::are_prevented() {
        return open_file(path, how, mode, mounts);
    }
    let file = match open_file(path, how - OFlags::CREATE, Mode::empty(), mounts) {
        Err(why) if how.contains(OFlags::CREATE) && why == Errno::NOENT.into() => {
            hard_links::check_new(path, mounts)?;
            open_file(path, how, mode, mounts)?
        }
        opened => opened?,
    };
    hard_links::judge(&file, mounts)?;
    Ok(file)
}

/// Where a file of this path is or would be, links followed: the directory, and its own path.
///
/// # Errors
/// See [`Refusal`].
pub fn end_of(path: &Path, mounts: &Mounts) -> Result<(OwnedFd, PathBuf), Refusal> {
    let mut walk = Walk::begin(path)?;
    let (name, _) = walk.go(mounts)?;
    Ok((walk.at, walk.place.join(name)))
}

/// The file system that a look at this path could wait for.
pub fn hangs(path: &Path, mounts: &Mounts) -> Option<PathBuf> {
    match open_file(path, OFlags::PATH, Mode::empty(), mounts) {
        Err(Refusal::MayHang(mount)) => Some(mount),
        Ok(_) | Err(Refusal::System(_) | Refusal::Stranger(..) | Refusal::HardLink(_)) => None,
    }
}

/// A walk along a path, part by part.
struct Walk {
    at: OwnedFd,
    /// The same by its name, without links.
    place: PathBuf,
    rest: VecDeque<OsString>,
    links: usize,
}

/// To look into a directory.
pub const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Walk {
    fn begin(path: &Path) -> Result<Walk, Refusal> {
        // Where we are may be no place of ours: nothing asks for it that need not.
        let (start, place) = match path.is_absolute() {
            true => ("/", PathBuf::from("/")),
            false => (".", std::env::current_dir().unwrap_or_default()),
        };
        let at = open(start, DIRECTORY, Mode::empty())?;
        let mut walk = Walk { at, place, rest: VecDeque::new(), links: 0 };
        walk.turn_to(path)?;
        Ok(walk)
    }

    /// Goes on along this path, before what is left.
    fn turn_to(&mut self, path: &Path) -> Result<(), Refusal> {
        let mut at = 0;
        for part in path.components() {
            match part {
                Component::RootDir => {
                    self.at = open("/", DIRECTORY, Mode::empty())?;
                    self.place = "/".into();
                }
                Component::CurDir | Component::Prefix(_) => {}
                Component::ParentDir | Component::Normal(_) => {
                    self.rest.insert(at, part.as_os_str().into());
                    at += 1;
                }
            }
        }
        Ok(())
    }

    fn open(mut self, how: OFlags, mode: Mode, mounts: &Mounts) -> Result<OwnedFd, Refusal> {
        loop {
            let (name, links) = self.go(mounts)?;
            match openat(&self.at, &name, how | links, mode) {
                // Made a link in between.
                Err(Errno::LOOP) if links == OFlags::NOFOLLOW => self.go_back_to(name)?,
                opened => return Ok(opened?),
            }
        }
    }

    /// Goes where the last part is or would be. Returns its name, and how it is to be opened: it is
    /// no link, unless one of the kernel's.
    fn go(&mut self, mounts: &Mounts) -> Result<(OsString, OFlags), Refusal> {
        while let Some(name) = self.rest.pop_front() {
            let place = match name == ".." {
                true => self.place.parent().unwrap_or(Path::new("/")).to_path_buf(),
                false => self.place.join(&name),
            };
            if let Some(mount) = mounts.on_way(&place) {
                return Err(Refusal::MayHang(mount.into()));
            }
            let is_last = self.rest.is_empty();
            let step = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&self.at, &name, step, Mode::empty()) {
                Ok(found) if is_link(&found)? => {
                    if self.follow(&found, &name, &place, mounts)? {
                        return Ok((name, OFlags::empty()));
                    }
                }
                Ok(_) | Err(Errno::NOENT) if is_last => return Ok((name, OFlags::NOFOLLOW)),
                Ok(found) => (self.at, self.place) = (found, place),
                Err(errno) => return Err(errno.into()),
            }
        }
        // The root, or nothing at all.
        Ok((".".into(), OFlags::empty()))
    }

    fn go_back_to(&mut self, name: OsString) -> Result<(), Refusal> {
        self.rest.push_front(name);
        self.count()
    }

    fn count(&mut self) -> Result<(), Refusal> {
        self.links += 1;
        if self.links > MAX_LINKS { Err(Errno::LOOP.into()) } else { Ok(()) }
    }

    /// Goes where a link leads, unless it is one of the kernel's and the last part: then it returns
    /// `true`, and the kernel is to follow it.
    fn follow(
        &mut self,
        link: &OwnedFd,
        name: &OsStr,
        place: &Path,
        mounts: &Mounts,
    ) -> Result<bool, Refusal> {
        self.count()?;
        #[allow(clippy::unnecessary_cast)] // Its width depends on the machine.
        let kind = fstatfs(&self.at)?.f_type as i64;
        check_owner(link, kind, place)?;
        if kind != PROC_FS {
            hard_links::check_link(&self.at, place)?;
        }
        let target = PathBuf::from(OsString::from_vec(readlinkat(link, "", Vec::new())?.into()));
        if kind != PROC_FS {
            self.turn_to(&target)?;
            return Ok(false);
        }
        // What such a one says is only a name; often of nothing that could be opened by it. That of
        // another process is one of the mounts that it sees, which may not be those that we see.
        if target.is_absolute() && !mounts.may_wait() && !is_ours(place) {
            return Err(Refusal::MayHang(place.into()));
        }
        if let Some(mount) = mounts.on_way(&target).filter(|_| target.is_absolute()) {
            return Err(Refusal::MayHang(mount.into()));
        }
        if self.rest.is_empty() {
            return Ok(true);
        }
        self.at = openat(&self.at, name, DIRECTORY, Mode::empty())?;
        self.place = if target.is_absolute() { target } else { place.with_file_name(target) };
        Ok(false)
    }
}

/// Whether a user is root or the daemon's own.
pub fn is_trusted(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

/// Refuses a link that is a stranger's, on a file system of this kind.
fn check_owner(link: &OwnedFd, kind: i64, place: &Path) -> Result<(), Refusal> {
    let (found, place) = (fstat(link)?, place.display());
    if !is_trusted(found.st_uid) {
        return Err(Refusal::Stranger(place.to_string(), found.st_uid));
    }
    #[allow(clippy::useless_conversion)] // Its width depends on the machine.
    let mounter = (kind == FUSE).then(|| mounter(found.st_dev.into())).flatten();
    match mounter.filter(|user| !is_trusted(*user)) {
        Some(user) => {
            let link = format!("{place} (on a file system that this user has mounted)");
            Err(Refusal::Stranger(link, user))
        }
        None => Ok(()),
    }
}

/// Whether a place in `/proc` is of this very process.
fn is_ours(place: &Path) -> bool {
    place.starts_with(format!("/proc/{}", std::process::id()))
}

fn is_link(found: &OwnedFd) -> Result<bool, Errno> {
    Ok(FileType::from_raw_mode(fstat(found)?.st_mode) == FileType::Symlink)
}

/// Opens a regular file to read or to write it; none if it is something else. Looked at before it
/// is opened, because opening a device may do something to it; and once more after, because it may
/// be another one by then. With `follow` not set, a link is no regular file.
///
/// # Errors
/// As [`open_file`].
pub fn open_regular(
    path: &Path,
    how: OFlags,
    follow: bool,
    mounts: &Mounts,
) -> Result<Option<OwnedFd>, Refusal> {
    let is_regular = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
    let how = how | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match follow {
        true => {
            let found = open_file(path, OFlags::PATH, Mode::empty(), mounts)?;
            if !is_regular(fstat(&found)?.st_mode) {
                return Ok(None);
            }
            open_named(path, how, Mode::empty(), mounts)?
        }
        // Links are not followed where nobody else can make any.
        false => {
            if !is_regular(statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?.st_mode) {
                return Ok(None);
            }
            open(path, how | OFlags::NOFOLLOW, Mode::empty())?
        }
    };
    Ok(is_regular(fstat(&file)?.st_mode).then_some(file))
}
