//! Files, and links, to which a stranger may have made a hard link.
//!
//! Who can make names in a directory can give one to a file that only the daemon may read or write,
//! unless the kernel keeps users from that (`fs.protected_hardlinks`, proc(5)). Where it does not,
//! there is no telling by the file: a second name may be a backup's, and a name that is gone again
//! is not counted. So a file is judged by its owner, and by who can make names where it is.

use super::mounts::Mounts;
use super::{DIRECTORY, Refusal, end_of, is_trusted, open_file};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Stat, fstat, readlinkat, statat};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const SETTING: &str = "/proc/sys/fs/protected_hardlinks";

/// What is said at a start where the kernel does not keep users from such links.
pub const UNPROTECTED: &str = "fs.protected_hardlinks is not 1: outputs are refused where other \
    users can make names, except their own: `sysctl fs.protected_hardlinks=1` ends that";

/// What is said of such a file: what, why, and what to do.
pub fn told(path: &Path) -> String {
    format!(
        "{} may be another user's hard link to a file that is not theirs, for others can make \
         names there and fs.protected_hardlinks is not 1: set it (`sysctl \
         fs.protected_hardlinks=1`), or name a file in a directory of the daemon's user",
        path.display()
    )
}

/// Whether the kernel keeps users from links to files that they can't read and write.
pub fn are_prevented() -> bool {
    fs::read_to_string(SETTING).is_ok_and(|text| text.trim() == "1")
}

/// Refuses a file that would be made with this path. Asked each time, so that a change of
/// the setting needs no restart of the daemon.
///
/// # Errors
/// See [`Refusal`].
pub fn check_new(path: &Path, mounts: &Mounts) -> Result<(), Refusal> {
    if are_prevented() {
        return Ok(());
    }
    let (dir, path) = end_of(path, mounts)?;
    judge_directory(&dir, &path)
}

/// Refuses to follow a link of root or of the daemon's user that is in this directory if a stranger
/// may have put it there.
///
/// # Errors
/// See [`Refusal`].
pub fn check_link(dir: &OwnedFd, link: &Path) -> Result<(), Refusal> {
    if are_prevented() { Ok(()) } else { judge_directory(dir, link) }
}

fn judge_directory(dir: &OwnedFd, path: &Path) -> Result<(), Refusal> {
    let user = rustix::process::geteuid().as_raw();
    if is_sound(&fstat(dir)?, user) { Ok(()) } else { Err(Refusal::HardLink(path.into())) }
}

/// Refuses an open file to which a stranger may have made a link, as if the kernel let everybody.
///
/// # Errors
/// See [`Refusal`].
pub fn judge(file: &OwnedFd, mounts: &Mounts) -> Result<(), Refusal> {
    let found = fstat(file)?;
    if FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice {
        return Ok(());
    }
    // Where it really is: links may have led there. A pipe is nowhere.
    let name = readlinkat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), Vec::new())?;
    let path = PathBuf::from(OsString::from_vec(name.into()));
    if !path.is_absolute() {
        return Ok(());
    }
    let refused = || Refusal::HardLink(path.clone());
    let above = path.parent().ok_or_else(refused)?;
    let dir = open_file(above, DIRECTORY, Mode::empty(), mounts)?;
    // The directory may be another one by now, and then it says nothing of this file.
    let last = path.file_name().ok_or_else(refused)?;
    let there = match statat(&dir, last, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Err(refused()),
        there => there?,
    };
    let is_there = (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino);
    let may_stay = is_there && is_sound(&fstat(&dir)?, found.st_uid);
    if may_stay { Ok(()) } else { Err(refused()) }
}

/// Whether nobody can have put a file of this owner into a directory who has no right to the file:
/// only root, the daemon's user, or its owner could.
fn is_sound(dir: &Stat, owner: u32) -> bool {
    let others_may = dir.st_mode & 0o022 != 0;
    !others_may && (is_trusted(dir.st_uid) || dir.st_uid == owner)
}
