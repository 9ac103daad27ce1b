//! Reading and clearing the files that the web shows. Bounded, and never waiting: what is no
//! regular file (a FIFO, a device) is left alone, and no stranger's link is followed.

pub mod mounts;
pub mod trusted;

use crate::core::files::{FileName, FileTrouble, MAX_READ_BYTES, Mark, Piece, ReadPlan};
use crate::shell::logging;
use crate::shell::output::Outputs;
use mounts::Mounts;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use trusted::{Refusal, open_regular};

/// Where a file is.
fn path_of(name: &FileName, outputs: &Outputs) -> Result<PathBuf, FileTrouble> {
    match name {
        FileName::Path(path) => Ok(PathBuf::from(path)),
        FileName::Run(job, run, stream) => Ok(outputs.path(job.0, &run.to_string(), *stream)),
        FileName::Log => logging::path().ok_or_else(|| {
            let why = "the daemon logs to its standard error: look where that goes";
            FileTrouble::Unusable(why.into())
        }),
    }
}

/// Reads what is planned.
///
/// # Errors
/// See [`FileTrouble`].
pub fn read(plan: &ReadPlan, outputs: &Outputs) -> Result<Piece, FileTrouble> {
    let (path, file) = open_first(&plan.names, outputs, OFlags::RDONLY, &Mounts::none())?;
    read_piece(&file, plan).map_err(|why| trouble(&path, &why))
}

fn read_piece(file: &File, plan: &ReadPlan) -> io::Result<Piece> {
    let meta = file.metadata()?;
    let (identity, size) = ((meta.dev(), meta.ino()), meta.size());
    let max_bytes = plan.max_bytes.min(MAX_READ_BYTES);
    let offset = match plan.from {
        None => size.saturating_sub(max_bytes),
        Some(mark) if mark.identity == identity && mark.offset <= size => mark.offset,
        Some(_) => 0,
    };
    let mut bytes = vec![0; usize::try_from((size - offset).min(max_bytes)).unwrap_or(0)];
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    bytes.truncate(length);
    Ok(Piece { start: Mark { identity, offset }, size, bytes })
}

/// Makes the first of the files that exists empty. Who writes to it for append goes on at its
/// beginning.
///
/// # Errors
/// See [`FileTrouble`].
pub fn clear(names: &[FileName], outputs: &Outputs) -> Result<(), FileTrouble> {
    let (path, file) = open_first(names, outputs, OFlags::WRONLY, &Mounts::none())?;
    file.set_len(0).map_err(|why| trouble(&path, &why))
}

fn open_first(
    names: &[FileName],
    outputs: &Outputs,
    how: OFlags,
    mounts: &Mounts,
) -> Result<(PathBuf, File), FileTrouble> {
    let mut missing = FileTrouble::Missing("there is no such file".into());
    for name in names {
        let path = path_of(name, outputs)?;
        // In the state directory nobody but a job that wants to mislead makes links.
        let follow = !matches!(name, FileName::Run(..));
        match open_regular(&path, how, follow, mounts) {
            Ok(Some(file)) => return Ok((path, file.into())),
            Ok(None) => {
                let text = format!("{} is no regular file: nothing to show", path.display());
                return Err(FileTrouble::Unusable(text));
            }
            Err(why) if why == Errno::NOENT.into() => {
                missing = FileTrouble::Missing(format!("{} does not exist (yet)", path.display()));
            }
            Err(why) => return Err(refused(&path, &why)),
        }
    }
    Err(missing)
}

fn refused(path: &Path, why: &Refusal) -> FileTrouble {
    match why {
        Refusal::System(errno) => trouble(path, &io::Error::from_raw_os_error(*errno)),
        Refusal::Stranger(link, owner) => {
            FileTrouble::Unusable(format!("{}: {}", path.display(), trusted::told(link, *owner)))
        }
        Refusal::MayHang(mount) => {
            FileTrouble::Unusable(format!("{} leads to {}", path.display(), mount.display()))
        }
    }
}

fn trouble(path: &Path, why: &io::Error) -> FileTrouble {
    let user = rustix::process::geteuid().as_raw();
    FileTrouble::Unusable(match why.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{}: {why}: let user {user} read and write it", path.display())
        }
        _ => format!("{}: {why}", path.display()),
    })
}
