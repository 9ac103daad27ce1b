//! Whether this user could append to a file, also where nobody answers.

use crate::core::check::OutputFile;
use crate::shell::files::helper::{Answer, Question, What, ask_once};
use crate::shell::files::mounts::Mounts;
use crate::shell::files::trusted;
use rustix::fs::{Access, access};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file system has so long for an answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// Looks at files, and waits for no file system twice.
#[derive(Debug)]
pub struct Looker {
    mounts: Mounts,
    silent: BTreeSet<PathBuf>,
}

impl Default for Looker {
    fn default() -> Looker {
        // The root is no directory of a daemon: that one may be where nobody answers.
        Looker { mounts: Mounts::of(Path::new("/")), silent: BTreeSet::new() }
    }
}

impl Looker {
    /// Whether this user could append to a file, without touching it.
    pub fn look(&mut self, path: &Path) -> OutputFile {
        let Some(mount) = trusted::hangs(path, &self.mounts) else { return look_at(path) };
        if self.silent.contains(&mount) {
            return OutputFile::NoAnswer;
        }
        let question = Question { path: path.into(), what: What::Look };
        match ask_once(&question, PATIENCE) {
            Ok(Answer::Looked(found)) => found,
            Ok(Answer::Read(_) | Answer::Cleared(_) | Answer::Opened(_)) | Err(_) => {
                self.silent.insert(mount);
                OutputFile::NoAnswer
            }
        }
    }
}

/// The same for who may wait.
pub fn look_at(path: &Path) -> OutputFile {
    if path.is_dir() {
        return OutputFile::IsDirectory;
    }
    match access(path, Access::WRITE_OK) {
        Ok(()) => return OutputFile::Writable,
        Err(Errno::NOENT) => {}
        Err(Errno::NOTDIR) => return OutputFile::NoDirectory,
        Err(_) => return OutputFile::Forbidden,
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match access(directory, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => OutputFile::Writable,
        Err(Errno::NOENT | Errno::NOTDIR) => OutputFile::NoDirectory,
        Err(_) => OutputFile::ForbiddenDirectory,
    }
}
