//! A server of a test's own, to be stopped and killed.

use crate::common::TempDir;
use crate::common::database::{Kind, server_of};
use rustix::process::{Pid, Signal, kill_process};
use schedule::core::database::Database;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

pub struct Server {
    pub kind: Kind,
    dir: TempDir,
    environment: BTreeMap<String, String>,
}

impl Server {
    /// Installs and starts one of MariaDB or MySQL.
    pub fn start(kind: Kind) -> Self {
        let mut server = Self { kind, dir: TempDir::new(), environment: BTreeMap::new() };
        server.start_again(&[]);
        server
    }

    /// Starts it on what it had, with more options; the port is another one.
    pub fn start_again(&mut self, options: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(self.kind.name());
        let mut command = Command::new(script);
        command.arg("start").arg(&self.dir.0).args(options);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let pair = |line: &str| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('\'').to_owned()))
        };
        self.environment = text.lines().filter_map(pair).collect();
    }

    /// How to reach it over its socket; no database chosen.
    pub fn config(&self) -> Database {
        server_of(self.kind, |name| self.environment[&name].clone())
    }

    fn pid(&self) -> std::io::Result<String> {
        fs::read_to_string(self.dir.0.join(format!("{}.pid", self.kind.name())))
    }

    pub fn signal(&self, signal: Signal) {
        let text = self.pid().unwrap();
        kill_process(Pid::from_raw(text.trim().parse().unwrap()).unwrap(), signal).unwrap();
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&self) {
        let text = self.pid().unwrap();
        self.signal(Signal::KILL);
        super::wait_for("the killed server to be gone", super::SOON, || {
            let status = fs::read_to_string(format!("/proc/{}/status", text.trim()));
            let gone = status.map_or(true, |status| status.contains("State:\tZ"));
            gone.then_some(())
        });
    }
}

impl Drop for Server {
    /// A stopped process is killed as well as any other.
    fn drop(&mut self) {
        if let Ok(text) = self.pid()
            && let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
