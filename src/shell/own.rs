//! Files of the daemon's own: the state directory and what is in it. Commands, outputs and the
//! variables of jobs are in there, so they are nobody else's to read.
//!
//! The directory belongs to the user of the jobs, and root looks into it, too (`schedule status`):
//! whatever lies there in place of a file, a link, a FIFO, somebody else's file, is refused with
//! the reason, and nothing is waited for. Who may write the directories above it can put another in
//! its place, or a link to root's: what is made or written is found by no link of a stranger's, and
//! nothing of ours goes into a stranger's file.

use crate::shell::files::mounts::Mounts;
use crate::shell::files::trusted;
use crate::shell::owner;
use crate::shell::remedy::{Whose, remedy};
use rustix::fs::{
    Access, AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags, access, fstat, mkdirat,
    openat, statx,
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

/// The same of the state directory, or of one in it, that is this user's, root's or ours; or that
/// nobody else can have put there.
///
/// # Errors
/// See [`make_dir`]; or it is somebody else's.
pub fn make_dir_of(path: &Path, uid: u32, state_dir: &Path) -> io::Result<()> {
    make_dir(path)?;
    let found = fstat(enter(path, OFlags::PATH)?)?.st_uid;
    if found == uid || trusted::is_trusted(found) || owner::stranger_above(state_dir, uid).is_none()
    {
        return Ok(());
    }
    Err(another_users("directory", found, uid))
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
    let dir = open_dir(path)?;
    access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?;
    shut_out(&dir.metadata()?, uid).map_or(Ok(()), Err)?;
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

/// Opens a file; one that is made is the owner's alone. Don't ask for `truncate`: whose file it is
/// is known only when it is open.
///
/// # Errors
/// It can't be opened, or it is no regular file of the right owner.
pub fn open(path: &Path, how: OFlags) -> io::Result<File> {
    let own = rustix::process::geteuid().as_raw();
    open_if(path, how, FILE_MODE, |found| found.uid() == own)
}

/// Opens a pid file, which everybody may read. It may be anybody's: it only tells where to look.
///
/// # Errors
/// See [`open`].
pub fn open_pid_file(path: &Path, how: OFlags) -> io::Result<File> {
    open_if(path, how, 0o644, |_| true)
}

/// What is not the directory's owner's file is taken only if it passes, and never if it is a hard
/// link to one: that may be a file that its maker could not even read. Root reads such files, and
/// writes none of another user's.
fn open_if(
    path: &Path,
    how: OFlags,
    mode: u32,
    passes: impl Fn(&Metadata) -> bool,
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
    let is_strange = writes && rustix::process::geteuid().is_root() && found.uid() != 0;
    let is_its = !is_strange && fstat(&dir).is_ok_and(|dir| dir.st_uid == found.uid());
    let is_right = is_its || (found.nlink() == 1 && passes(&found));
    if !is_right {
        return Err(another_users("file", found.uid(), rustix::process::geteuid().as_raw()));
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

/// What to do about a file that is not opened because somebody has a lease on it (fcntl(2)): that
/// is all that this error means of an open. After 45 seconds (`lease-break-time` of proc(5)) the
/// kernel takes the lease away.
pub const LEASED: &str = "another process holds a lease on it: end that process (`lslocks` or \
    /proc/locks tells its pid), or try again in 45 seconds";

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
pub fn leave_to_owner_of(dir: &Path, file: &File) {
    if rustix::process::geteuid().is_root()
        && let Ok(found) = fs::metadata(dir)
    {
        let _ = std::os::unix::fs::fchown(file, Some(found.uid()), Some(found.gid()));
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
    if path.is_empty() {
        return;
    }
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
