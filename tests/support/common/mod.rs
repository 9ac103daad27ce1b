//! Help for tests that drive the real binary against real databases.
//!
//! Each test file is a crate of its own and uses a part of this only. What fails here fails a test.
#![allow(dead_code, clippy::unwrap_used)]

pub mod attribute;
pub mod database;
pub mod helper;
pub mod refusing;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A text that no other test uses, of this run or of another that goes on at the same time.
pub fn unique() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!("{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// A daemon with this does not mind what looks like the PHP program.
pub const BESIDE_PHP: &str = "SCHEDULE_BESIDE_PHP";

/// The program of this project. It does not mind what looks like the PHP program: tests beside this
/// one have such processes.
pub fn our_program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schedule"));
    command.env(BESIDE_PHP, "1").env_remove("RUST_LOG");
    command
}

/// Puts a copy of a program there. A process of its own writes it: what a child of another thread
/// has open for writing can't be executed (`ETXTBSY` of `execve(2)`).
pub fn install_program(from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) {
    let mut install = Command::new("install");
    let done = install.args(["-m", "755"]).arg(from).arg(to).status().unwrap();
    assert!(done.success(), "{done}");
}

/// The same of a script.
pub fn write_program(to: &str, text: &str) {
    let source = format!("{to}.text");
    fs::write(&source, text).unwrap();
    install_program(&source, to);
    fs::remove_file(source).unwrap();
}

/// A directory that is removed at the end.
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique());
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
