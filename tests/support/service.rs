//! Help for tests of daemons in the background: groups 1 and 2 of a site, and the command that
//! controls them. What fails here fails a test.
#![allow(dead_code, clippy::unwrap_used)]

use crate::common::database::{Kind, TestDatabase};
use crate::daemon::rows::{Row, insert};
use crate::daemon::{SOON, Site, wait_for};
use rustix::process::Pid;
use schedule::core::database::Driver;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::thread::{JoinHandle, spawn};

/// The groups of a site and their configuration.
pub struct Groups {
    pub site: Site,
    pub database: TestDatabase,
    pub config: String,
    /// Environment of all that is started, so that what is left behind is ended with the site.
    marks: Vec<(OsString, OsString)>,
}

/// What a command came to.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: &Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let code = output.status.code().expect("an exit status");
        Said { code, out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// That it ended with this status, and said this on stdout or stderr.
    #[track_caller]
    pub fn expect(&self, code: i32, text: &str) -> &Said {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.out.contains(text) || self.err.contains(text), "no {text:?} in {self:?}");
        self
    }
}

impl Groups {
    /// Two groups, group 1 with these jobs.
    pub fn with(rows: &[Row]) -> Groups {
        Groups::on(Driver::Sqlite, rows)
    }

    /// The same on another kind of database.
    pub fn on(kind: impl Into<Kind>, rows: &[Row]) -> Groups {
        let (mut site, mut database) = Site::on(kind);
        site.server = "[server_2]\nport = 0\n".into();
        site.base.push_str("stop_grace = 1\n");
        if !rows.is_empty() {
            database.sql(&insert(rows));
        }
        let marked = site.command();
        let owned = |(name, value): (&OsStr, Option<&OsStr>)| Some((name.into(), value?.into()));
        let marks = marked.get_envs().filter_map(owned).collect();
        let config = site.file("schedule.ini");
        Groups { site, database, config, marks }
    }

    pub fn new() -> Groups {
        Groups::with(&[])
    }

    /// Takes a mark from the environment of all that is started.
    pub fn forget(&mut self, mark: &str) {
        self.marks.retain(|(name, _)| name != mark);
    }

    /// Changes the text of the configuration.
    #[track_caller]
    pub fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&self.config, text.replacen(from, to, 1)).unwrap();
    }

    /// A command with the mark of the site.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.marks.iter().map(|(name, value)| (name, value))).env_remove("RUST_LOG");
        command
    }

    /// `schedule WORDS -c CONFIG`, and what it said.
    pub fn run(&self, words: &[&str]) -> Said {
        let mut command = self.command(env!("CARGO_BIN_EXE_schedule"));
        Said::of(&command.args(words).args(["-c", &self.config]).output().unwrap())
    }

    /// The pid that the pid file of a group names.
    #[track_caller]
    pub fn pid(&self, id: u32) -> Pid {
        let text = self.site.read(&format!("{id}.pid"));
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }

    /// Waits until a file of the site has this many lines.
    #[track_caller]
    pub fn wait_lines(&self, name: &str, count: usize) {
        wait_for(&format!("{count} lines in {name}"), SOON, || {
            (self.site.read(name).lines().count() >= count).then_some(())
        });
    }
}

/// A stand-in that holds the lock of group 1, notes the signals that it gets, and runs `on_signal`
/// then: for what no real daemon can be made to do.
pub fn stand_in(groups: &Groups, on_signal: &str) -> Child {
    let (dir, pid) = (groups.site.dir.0.display(), groups.site.file("1.pid"));
    let text = format!(
        "exec 9>>'{pid}'; flock 9; echo $$ >'{pid}'; cd '{dir}'; mkdir -p state.1\n\
         note() {{ printf 'pid 1\\naddress 127.0.0.1:1\\ntold_ms %s\\nversion 0\\ntrouble %s\\n' \
         \"$1\" \"$2\" >state.1/daemon.new; mv state.1/daemon.new state.1/daemon; }}\n\
         note 1 ''; trap 'echo HUP >>signals; {on_signal}' HUP\n\
         trap 'echo USR1 >>signals' USR1; trap 'echo USR2 >>signals; {on_signal}' USR2\n\
         echo >>ready; while :; do sleep 0.02 9>&-; done"
    );
    // There may have been another one before.
    let ready = groups.site.read("ready").lines().count();
    // A shell can't trap a signal that it inherits ignored: HUP under nohup.
    let mut command = groups.command("env");
    command.args(["--default-signal=HUP,USR1,USR2", "/bin/sh"]);
    let child = command.args(["-c", &text]).stdin(Stdio::null()).spawn().unwrap();
    groups.wait_lines("ready", ready + 1);
    child
}

/// A file of `/proc/PID`.
pub fn proc_file(pid: Pid, name: &str) -> String {
    let bytes = fs::read(format!("/proc/{}/{name}", pid.as_raw_nonzero())).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a process runs. One that has ended may wait for init to take note of it.
pub fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// A server that gives this answer to one request: its URL, and what it was asked.
pub fn answers_once(answer: &'static str) -> (String, JoinHandle<String>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let asked = spawn(move || {
        let (mut client, _) = server.accept().unwrap();
        let mut request = [0; 1_024];
        let bytes = client.read(&mut request).unwrap();
        client.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..bytes]).into_owned()
    });
    (url, asked)
}
