//! A MariaDB of a test's own, to be stopped and killed.

use crate::common::TempDir;
use rustix::process::{Pid, Signal, kill_process};
use schedule::core::protocol::Database;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

pub struct Mariadb {
    dir: TempDir,
    environment: BTreeMap<String, String>,
}

impl Mariadb {
    /// Installs and starts one.
    pub fn start() -> Self {
        let mut server = Self { dir: TempDir::new(), environment: BTreeMap::new() };
        server.start_again();
        server
    }

    /// Starts it on what it had; the port is another one.
    pub fn start_again(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/mariadb");
        let mut command = Command::new(script);
        let output = command.arg("start").arg(&self.dir.0).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let pair = |line: &str| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('\'').to_owned()))
        };
        self.environment = text.lines().filter_map(pair).collect();
    }

    fn value(&self, name: &str) -> String {
        self.environment[&format!("SCHEDULE_TEST_MYSQL_{name}")].clone()
    }

    pub fn port(&self) -> u16 {
        self.value("PORT").parse().unwrap()
    }

    /// How to reach it over its socket; no database chosen.
    pub fn config(&self, like: &Database) -> Database {
        Database {
            user: self.value("USER"),
            password: self.value("PASSWORD"),
            port: self.port(),
            unix_socket: self.value("SOCKET"),
            ..like.clone()
        }
    }

    pub fn signal(&self, signal: Signal) {
        let text = fs::read_to_string(self.dir.0.join("mariadb.pid")).unwrap();
        kill_process(Pid::from_raw(text.trim().parse().unwrap()).unwrap(), signal).unwrap();
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&self) {
        let text = fs::read_to_string(self.dir.0.join("mariadb.pid")).unwrap();
        self.signal(Signal::KILL);
        super::wait_for("the killed server to be gone", super::SOON, || {
            let status = fs::read_to_string(format!("/proc/{}/status", text.trim()));
            let gone = status.map_or(true, |status| status.contains("State:\tZ"));
            gone.then_some(())
        });
    }
}

impl Drop for Mariadb {
    /// A stopped process is killed as well as any other.
    fn drop(&mut self) {
        if let Ok(text) = fs::read_to_string(self.dir.0.join("mariadb.pid"))
            && let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
