//! What to do where the system refuses a file: one list, so that the same error has the same advice
//! wherever it is told.

use crate::shell::owner;
use rustix::io::Errno;

/// What to do about a file that is not opened because somebody has a lease on it (fcntl(2)): that
/// is all that this error means of an open. After 45 seconds (`lease-break-time` of proc(5)) the
/// kernel takes the lease away.
pub const LEASED: &str = "another process holds a lease on it: end that process (`lslocks` or \
    /proc/locks tells its pid), or try again in 45 seconds";

/// Whose file it is that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The daemon's, in its state directory.
    Daemons,
    /// An operator's: `output` or `stderr` of a row.
    Rows,
}

/// What to do about this error, if we know it.
pub fn remedy(errno: Errno, whose: Whose) -> Option<String> {
    let text = match (errno, whose) {
        (Errno::NOSPC | Errno::DQUOT, _) => "make room there",
        (Errno::FBIG, _) => {
            "start the daemon with a larger limit of a file's size (`ulimit -f`, `LimitFSIZE=`)"
        }
        (Errno::ACCESS, _) => return Some(format!("let user {} write there", owner::me())),
        (Errno::PERM, _) => {
            "`lsattr -d` tells whether it, or its directory, is immutable or append-only: \
             `chattr -i -a` ends that"
        }
        (Errno::ROFS, _) => "its file system is read-only: `mount -o remount,rw`",
        (Errno::IO, _) => "the kernel's log (`dmesg`) tells more of the disk",
        (Errno::MFILE | Errno::NFILE, _) => "raise the limit of open files",
        (Errno::ISDIR | Errno::NOTDIR | Errno::NOTEMPTY, Whose::Daemons) => {
            "what lies there is not ours: take it away"
        }
        (Errno::NOENT, Whose::Daemons) => "somebody took it away, or its directory",
        (Errno::NOENT, Whose::Rows) => "create the directory",
        (Errno::NOTDIR, Whose::Rows) => "a part of the path is no directory",
        (Errno::ISDIR, Whose::Rows) => "name a file, not a directory",
        (Errno::NXIO, Whose::Rows) => "nobody reads this FIFO, or it is a socket: start its reader",
        // All that this error means of an open.
        (Errno::AGAIN, Whose::Rows) => LEASED,
        (Errno::INVAL, Whose::Rows) => "a path can't hold a NUL byte",
        _ => return None,
    };
    Some(text.to_owned())
}
