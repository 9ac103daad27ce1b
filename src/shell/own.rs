//! Files of the daemon's own: the state directory and what is in it. Commands, outputs and the
//! variables of jobs are in there, so they are nobody else's to read.
//!
//! The directory belongs to the user of the jobs, and root looks into it, too (`schedule status`):
//! whatever lies there in place of a file, a link, a FIFO, somebody else's file, is refused with
//! the reason, and nothing is waited for. Who may write the directories above it can put another in
//! its place, or a link to root's: what is made, written, renamed or deleted is found by no link of
//! a stranger's and is in no directory that a stranger can have put there, and nothing of ours goes
//! into a stranger's file.

use crate::shell::owner;
use crate::shell::remedy::{LEASED, Whose, remedy};
use crate::shell::trusted;
use crate::shell::trusted::mounts::Mounts;
use rustix::fs::{
    Access, AtFlags, CWD, Mode, OFlags, RenameFlags, StatxAttributes, StatxFlags, access, fstat,
    mkdirat, openat, renameat, renameat_with, statx, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::OsStr;
use std::fs::{self, DirEntry, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The mode of such a file.
pub const FILE_MODE: u32 = 0o600;

/// The mode of such a directory.
const DIR_MODE: u32 = 0o700;

/// The bits of a mode that are about others than the owner.
const OTHERS: u32 = 0o077;

/// Directories within each other that are looked at: `runs/JOB/RUN.out`.
const MAX_DEPTH: u32 = 3;

/// What a daemon, its keeper and its helpers make in a state directory.
const NAMES: [&str; 19] = [
    "daemon",
    "daemon.new",
    "home",
    "instance",
    "instance.tmp",
    "journal",
    "journal.last",
    "keeper.ends",
    "keeper.sock",
    "keeper.tmp",
    "lock",
    "refused",
    "refused.tmp",
    "runs",
    "snapshot",
    "snapshot.new",
    "snapshot.old",
    "snapshot.room",
    "snapshot.stale",
];

/// The name of what can't be read of the records that are set aside; the next ones have a number.
const UNREAD: &str = "refused.bad";

/// Entries that are looked at.
const MAX_ENTRIES: usize = 200_000;

/// Opens a directory to make or write something in it. No link of a stranger's is followed.
///
/// # Errors
/// It can't be opened, is none, or is found by such a link.
pub fn enter(path: &Path, how: OFlags) -> io::Result<OwnedFd> {
    let how = how | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(trusted::open_file(or_here(path), how, Mode::empty(), &Mounts::default())?)
}

/// The same of a directory of ours: root's or this user's, or one that nobody else can have put
/// there, as a package or a restore does for another user.
///
/// # Errors
/// See [`enter`]; or it is somebody else's.
pub fn enter_ours(path: &Path, how: OFlags) -> io::Result<OwnedFd> {
    let dir = enter(path, how)?;
    check_dir(path, fstat(&dir)?.st_uid, rustix::process::geteuid().as_raw())?;
    Ok(dir)
}

/// Whether a directory that belongs to `found` is one in which a daemon of this user works.
fn check_dir(path: &Path, found: u32, uid: u32) -> io::Result<()> {
    if found == uid || trusted::is_trusted(found) || !owner::may_be_strangers(path, uid) {
        return Ok(());
    }
    Err(another_users("directory", found, uid))
}

/// The directory of ours that a file is in, and the file's name there.
fn place(path: &Path) -> io::Result<(OwnedFd, &OsStr)> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(no_file());
    };
    Ok((enter_ours(above, OFlags::PATH)?, name))
}

/// Gives a file another name, in place of what has that.
///
/// # Errors
/// It can't be had, or one of the directories is none of ours: see [`enter_ours`].
pub fn rename(path: &Path, to: &Path) -> io::Result<()> {
    let ((from, old), (to, new)) = (place(path)?, place(to)?);
    Ok(renameat(from, old, to, new)?)
}

/// Gives two files each other's name; where there is only the first, or that can't be done here,
/// the first one gets that of the second.
///
/// # Errors
/// See [`rename`].
pub fn exchange(path: &Path, with: &Path) -> io::Result<()> {
    let ((from, old), (to, new)) = (place(path)?, place(with)?);
    match renameat_with(&from, old, &to, new, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        Err(_) => Ok(renameat(from, old, to, new)?),
    }
}

/// Deletes a file.
///
/// # Errors
/// It can't be done, or its directory is none of ours: see [`enter_ours`].
pub fn remove(path: &Path) -> io::Result<()> {
    let (dir, name) = place(path)?;
    Ok(unlinkat(dir, name, AtFlags::empty())?)
}

/// What a relative path of one part is in.
fn or_here(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

/// Makes a directory where there is none, and those that it is in.
///
/// # Errors
/// It can't be made, or what is there is none of ours: see [`enter`].
pub fn make_dir(path: &Path) -> io::Result<()> {
    match enter(path, OFlags::PATH) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        entered => return entered.map(drop),
    }
    let above = path.parent().ok_or(io::ErrorKind::NotFound)?;
    make_dir(above)?;
    let Some(name) = path.file_name() else { return enter(path, OFlags::PATH).map(drop) };
    match mkdirat(enter(above, OFlags::PATH)?, name, Mode::from_raw_mode(DIR_MODE)) {
        // Somebody was faster.
        Err(Errno::EXIST) => enter(path, OFlags::PATH).map(drop),
        made => Ok(made?),
    }
}

/// The same of the state directory, or of one in it: nothing is made in what is none of ours.
///
/// # Errors
/// See [`make_dir`] and [`enter_ours`].
pub fn make_dir_in(state_dir: &Path, path: &Path) -> io::Result<()> {
    let below = path.strip_prefix(state_dir).map_err(io::Error::other)?;
    let mut dir = state_dir.to_owned();
    for part in std::iter::once(OsStr::new("")).chain(below) {
        if !part.is_empty() {
            dir.push(part);
        }
        make_dir(&dir)?;
        enter_ours(&dir, OFlags::PATH)?;
    }
    Ok(())
}

/// Opens a directory, and nothing else that may be there.
///
/// # Errors
/// It can't be opened, or is none.
pub fn open_dir(path: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
}

/// Whether entries of a directory can be found, made and taken away by us, and by a daemon of this
/// user. Nothing is made to find that out: on a full disk it could not be.
///
/// # Errors
/// They can't be, or it is no directory.
pub fn try_dir(path: &Path, uid: u32) -> io::Result<()> {
    let found = open_dir(path)?.metadata()?;
    check_dir(path, found.uid(), uid)?;
    access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?;
    shut_out(&found, uid).map_or(Ok(()), Err)?;
    try_change(path)
}

/// What keeps another user out where root looks, who may write everywhere. Whether that user is of
/// the group is not asked: then too little is told rather than too much.
fn shut_out(found: &Metadata, uid: u32) -> Option<io::Error> {
    const ALL: u32 = 0o7;
    let mode = found.mode();
    let may = if found.uid() == uid { mode >> 6 } else { mode >> 3 | mode };
    let is_looked_at_as_root = rustix::process::geteuid().is_root() && uid != 0;
    (is_looked_at_as_root && may & ALL != ALL).then(|| {
        let (owner, user) = (owner::user(found.uid()), owner::user(uid));
        let text = format!(
            "it belongs to user {owner}, mode {:04o}: let user {user} write there",
            mode & 0o7777
        );
        io::Error::new(io::ErrorKind::PermissionDenied, text)
    })
}

/// Whether what is there, if anything, can be changed by those who may: that it is immutable or
/// append-only (chattr(1)) binds root as well. Of the latter access(2) does not tell.
///
/// # Errors
/// It can't be.
pub fn try_change(path: &Path) -> io::Result<()> {
    // What the file system does not tell is found out by who does it.
    let attributes =
        statx(CWD, path, AtFlags::empty(), StatxFlags::empty()).map(|found| found.stx_attributes);
    let fixed = StatxAttributes::APPEND | StatxAttributes::IMMUTABLE;
    match attributes {
        Ok(attributes) if attributes.intersects(fixed) => Err(Errno::PERM.into()),
        _ => Ok(()),
    }
}

/// Opens a file of a state directory; one that is made is the owner's alone. Don't ask for
/// `truncate`: whose file it is is known only when it is open.
///
/// # Errors
/// It can't be opened, it is no regular file of the right owner, or it is to be written and its
/// directory is none of ours: see [`enter_ours`].
pub fn open(path: &Path, how: OFlags) -> io::Result<File> {
    open_if(path, how, FILE_MODE, (enter_ours, false))
}

/// The same of one that is ours wherever it is: beside a pid file, or a database.
///
/// # Errors
/// See [`open`].
pub fn open_beside(path: &Path, how: OFlags) -> io::Result<File> {
    open_if(path, how, FILE_MODE, (enter, false))
}

/// Opens a pid file, which everybody may read. It may be anybody's: it only tells where to look.
///
/// # Errors
/// See [`open`].
pub fn open_pid_file(path: &Path, how: OFlags) -> io::Result<File> {
    open_if(path, how, 0o644, (enter, true))
}

/// How the directory of a file that is to be written is opened.
type Enter = fn(&Path, OFlags) -> io::Result<OwnedFd>;

/// A file is taken if it is this user's or, unless it is to be written, root looks and it is the
/// directory's owner's; or `anybodys` will do, but root writes none of those. And never is a hard
/// link taken that is not the directory's owner's: that may be a file that its maker could not even
/// read.
fn open_if(
    path: &Path,
    how: OFlags,
    mode: u32,
    (enter, anybodys): (Enter, bool),
) -> io::Result<File> {
    let writes = how.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::CREATE);
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(no_file());
    };
    let dir = match writes {
        true => enter(above, OFlags::PATH)?,
        false => rustix::fs::open(or_here(above), trusted::DIRECTORY, Mode::empty())?,
    };
    let flags = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = retry_on_intr(|| openat(&dir, name, flags, Mode::from_raw_mode(mode)));
    let file = File::from(opened.map_err(|why| match why {
        Errno::LOOP => io::Error::other("it is a symbolic link: take it away"),
        Errno::NXIO => no_file(),
        _ => leased(why.into()),
    })?);
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(no_file());
    }
    let own = rustix::process::geteuid().as_raw();
    let is_its = fstat(&dir).is_ok_and(|dir| dir.st_uid == found.uid());
    let is_right = match own {
        0 if !writes => is_its || anybodys || found.uid() == 0,
        0 => found.uid() == 0,
        _ => anybodys || found.uid() == own,
    };
    if !is_right || !(is_its || found.nlink() == 1) {
        return Err(another_users("file", found.uid(), own));
    }
    Ok(file)
}

/// It may have been put there, or be the right one after a `chown -R`.
fn another_users(what: &str, owner: u32, uid: u32) -> io::Error {
    let (owner, user) = (owner::user(owner), owner::user(uid));
    let text = format!(
        "it is a {what} of user {owner}: take it away, or, if it is ours, give it back to user \
         {user} (chown -R)"
    );
    io::Error::other(text)
}

/// The same in place of what the system says, which nobody would understand.
pub fn leased(why: io::Error) -> io::Error {
    match why.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::WouldBlock, LEASED),
        _ => why,
    }
}

/// What the system says of a file of ours, and what to do about it: `PATH: WHY: HINT`. What we say
/// ourselves has its advice.
pub fn told(path: &Path, why: &io::Error) -> String {
    format!("{}: {}", path.display(), advised(why))
}

/// The same without the path.
pub fn advised(why: &io::Error) -> String {
    let text = why.to_string();
    match Errno::from_io_error(why).and_then(|errno| remedy(errno, Whose::Daemons)) {
        Some(hint) => format!("{text}: {hint}"),
        None => text,
    }
}

/// What is there is something else.
pub fn no_file() -> io::Error {
    io::Error::other("it is no regular file: take it away")
}

/// Opens a file for writing, empty.
///
/// # Errors
/// See [`open`].
pub fn create(path: &Path) -> io::Result<File> {
    let file = open(path, OFlags::WRONLY | OFlags::CREATE)?;
    file.set_len(0)?;
    Ok(file)
}

/// The same, to be read as well.
///
/// # Errors
/// See [`open`].
pub fn create_to_read(path: &Path) -> io::Result<File> {
    let file = open(path, OFlags::RDWR | OFlags::CREATE)?;
    file.set_len(0)?;
    Ok(file)
}

/// Gives a file that root has made to the user whose the directory is by now: it is for the next
/// daemon, and that is this user's. Who may not do it leaves it as it is, which is told to who
/// can't read it.
pub fn leave_to_owner_of(dir: &OwnedFd, file: &File) {
    if rustix::process::geteuid().is_root()
        && let Ok(found) = fstat(dir)
    {
        let _ = std::os::unix::fs::fchown(file, Some(found.st_uid), Some(found.st_gid));
    }
}

/// Reads a whole file.
///
/// # Errors
/// See [`open`]; it has more bytes than that.
pub fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    read_all(open(path, OFlags::RDONLY)?, max_bytes)
}

/// The same of what tells others of the daemon: it may be anybody's, and root may read it.
///
/// # Errors
/// See [`read`].
pub fn read_anybodys(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    read_all(open_pid_file(path, OFlags::RDONLY)?, max_bytes)
}

fn read_all(file: File, max_bytes: u64) -> io::Result<Vec<u8>> {
    let too_long = || io::Error::other(format!("it has more than {max_bytes} bytes"));
    if file.metadata()?.len() > max_bytes {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    // One that grows meanwhile has no end.
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes { Err(too_long()) } else { Ok(bytes) }
}

/// Whether this is the name of a file of records that were set aside and could not be read.
pub fn is_unread(name: &OsStr) -> bool {
    let number = name.to_str().and_then(|name| name.strip_prefix(UNREAD));
    number.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Takes from others what an earlier version, or somebody, let them see of a state directory, and
/// says so. Behind one that is closed nobody sees anything, so nothing is looked at there. One that
/// holds other things, too, may be `/var/lib` by mistake: it stays as it is, only ours is closed.
pub fn tighten_dir(dir: &Path) {
    let Ok(found) = fs::metadata(dir) else { return };
    if found.mode() & OTHERS == 0 {
        return;
    }
    let is_ours = |name: &OsStr| NAMES.iter().any(|known| name == *known) || is_unread(name);
    let entries = || fs::read_dir(dir).into_iter().flatten().flatten();
    let mut left = MAX_ENTRIES;
    let mut count = 0;
    if entries().all(|entry| is_ours(&entry.file_name())) {
        match close(dir, &found) {
            Ok(()) => count += 1,
            Err(why) => {
                let dir = dir.display();
                log::warn!("{dir}: others may look into it, which can't be changed: {why}");
            }
        }
    }
    for entry in entries().filter(|entry| is_ours(&entry.file_name())) {
        count += tighten(&entry, MAX_DEPTH, &mut left);
    }
    if count > 0 {
        let dir = dir.display();
        log::warn!("{dir}: what others could read is the owner's alone now ({count} in number)");
    }
}

/// Closes a file, or a directory with what is in it. Links lead elsewhere and are left alone.
fn tighten(entry: &DirEntry, depth: u32, left: &mut usize) -> usize {
    let Ok(found) = entry.metadata() else { return 0 };
    if *left == 0 || !(found.is_dir() || found.is_file()) || found.mode() & OTHERS == 0 {
        return 0;
    }
    *left -= 1;
    let mut count = usize::from(close(&entry.path(), &found).is_ok());
    if found.is_dir() && depth > 1 {
        for below in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
            count += tighten(&below, depth - 1, left);
        }
    }
    count
}

fn close(path: &Path, found: &Metadata) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(found.mode() & !OTHERS & 0o7777))
}

/// The same of the file of an embedded database, and of those that SQLite has beside it. Where its
/// group may write it, that is meant.
pub fn tighten_database(path: &str) {
    for ending in ["", "-wal", "-shm"] {
        let path = format!("{path}{ending}");
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if !found.is_file() || found.mode() & 0o007 == 0 {
            continue;
        }
        let kept = if found.mode() & 0o020 == 0 { 0o700 } else { 0o770 };
        let mode = found.mode() & kept;
        match fs::set_permissions(&path, Permissions::from_mode(mode)) {
            Ok(()) => log::warn!("{path}: others could read it; it has mode {mode:04o} now"),
            Err(why) => log::warn!("{path}: others may read it, which can't be changed: {why}"),
        }
    }
}
