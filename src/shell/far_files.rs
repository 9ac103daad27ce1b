//! The daemon's own files on file systems that may not answer: said at start and by `check`, for
//! there the promise that nothing is waited for has an end.

use crate::core::config::Config;
use crate::shell::trusted;
use crate::shell::trusted::mounts::Mounts;
use std::path::{Path, PathBuf};

/// What it means for each of them, and what to do.
const STATE: &str = "the daemon and the keeper of runs wait for it: while it does not answer no \
    job is started and no page comes. Put statedir on a disk of this machine";
const PID: &str = "a start waits for it, and a lock there may not keep two daemons apart. Put \
    pidfile on a disk of this machine";
const SQLITE: &str = "its locks are not to be relied on there, which can damage the database, and \
    a start waits for it. Put it on a disk of this machine, or use MySQL or MariaDB";
const LOG: &str = "a process of its own writes it: while it does not answer up to 1 MB of lines \
    wait, and further ones are dropped and counted";

/// The file system on the way to this file that may not answer (NFS, CIFS, FUSE and the like).
pub fn mount_of(path: &Path) -> Option<PathBuf> {
    trusted::hangs(path, &Mounts::of(Path::new("/")))
}

/// What is to be known of the files of a group, a line each.
pub fn told(config: &Config, server_id: u32) -> Vec<String> {
    let base = &config.base;
    let state_dir = base.statedir.path(server_id);
    let pid_file = base.pidfile.path(server_id);
    let mut files = vec![("[base] statedir", state_dir, STATE), ("[base] pidfile", pid_file, PID)];
    files.extend(base.log_path(server_id).map(|path| ("[base] logfile", path, LOG)));
    files.extend(config.database.file().map(|path| ("[db1] path", path.clone(), SQLITE)));
    let line = |(key, path, what): (&str, String, &str)| {
        let mount = mount_of(Path::new(&path))?;
        let mount = mount.display();
        Some(format!("{key}: {path} is on a network or FUSE file system ({mount}): {what}"))
    };
    files.into_iter().filter_map(line).collect()
}
