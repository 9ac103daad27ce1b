//! Whether this user could append to a file, also where nobody answers.

use crate::core::check::OutputFile;
use crate::shell::clock;
use crate::shell::files::helper::{Answer, Question, What, ask_once};
use crate::shell::trusted::hard_links;
use crate::shell::trusted::mounts::Mounts;
use crate::shell::trusted::{self, Refusal, open_named};
use rustix::fs::{Access, AtFlags, Mode, OFlags, access, accessat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A file system has so long for an answer, in milliseconds.
const PATIENCE_MS: u64 = 4_000;

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
        let not_after_ms = clock::now().mono_ms + PATIENCE_MS;
        let question = Question { path: path.into(), what: What::Look, not_after_ms };
        match ask_once(&question) {
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
    let mounts = Mounts::none();
    match access(path, Access::WRITE_OK) {
        Ok(()) => {
            return judged(open_named(path, OFlags::PATH, Mode::empty(), &mounts).map(drop));
        }
        Err(Errno::NOENT) => {}
        Err(Errno::NOTDIR) => return OutputFile::NoDirectory,
        Err(_) => return OutputFile::Forbidden,
    }
    let dir = match trusted::end_of(path, &mounts) {
        Ok((dir, _)) => dir,
        Err(why) if [Errno::NOENT, Errno::NOTDIR].iter().any(|none| why == (*none).into()) => {
            return OutputFile::NoDirectory;
        }
        Err(why) => return judged(Err(why)),
    };
    match accessat(dir, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty()) {
        Ok(()) => judged(hard_links::check_new(path, &mounts)),
        Err(_) => OutputFile::ForbiddenDirectory,
    }
}

/// What else may be wrong with a file that could be written.
fn judged(checked: Result<(), Refusal>) -> OutputFile {
    match checked {
        Err(Refusal::HardLink(_)) => OutputFile::MayBeLink,
        Ok(()) | Err(Refusal::System(_) | Refusal::Stranger(..) | Refusal::MayHang(_)) => {
            OutputFile::Writable
        }
    }
}
