//! `scripts/sched` under the shells that an init system may have, with the real daemon; the unit,
//! and that all scripts are what their checkers expect.

use crate::daemon::{SOON, wait_for};
use crate::service::{Groups, Said, is_alive, stand_in};
use rustix::process::{Signal, kill_process};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const SHELLS: [&str; 2] = ["dash", "bash"];

/// The script of a site, called as init does: by a link, with almost no environment.
struct Sched<'a> {
    shell: &'static str,
    groups: &'a Groups,
    defaults: String,
}

impl<'a> Sched<'a> {
    fn new(shell: &'static str, groups: &'a Groups) -> Sched<'a> {
        let link = groups.site.file("sched");
        if !Path::new(&link).exists() {
            symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/sched"), link).unwrap();
        }
        let program = env!("CARGO_BIN_EXE_schedule");
        let config = &groups.config;
        let defaults = format!("SCHEDULE={program}\nSCHEDULE_CONFIG={config}\n");
        Sched { shell, groups, defaults }
    }

    fn run(&self, words: &[&str]) -> Said {
        let defaults = self.groups.site.file("defaults");
        fs::write(&defaults, &self.defaults).unwrap();
        let mut command = self.groups.command(self.shell);
        command.arg(self.groups.site.file("sched")).args(words).current_dir("/");
        command.env("SCHEDULE_DEFAULTS", defaults).env_remove("PATH");
        Said::of(&command.output().unwrap())
    }
}

#[test]
fn a_day_in_the_life() {
    for shell in SHELLS {
        let groups = Groups::new();
        let sched = Sched::new(shell, &groups);
        sched.run(&["status", "1"]).expect(3, "server 1: not running");
        sched.run(&["start", "1"]).expect(0, "server 1: started");
        let pid = groups.pid(1);
        sched.run(&["start", "1"]).expect(0, "running already");
        sched.run(&["status", "1"]).expect(0, "server 1: running");
        sched.run(&["status"]).expect(3, "SERVER  STATE");
        // Without an id, as at boot.
        sched.run(&["start"]).expect(0, "server 2: started");
        assert_eq!(groups.pid(1), pid);
        fs::rename(groups.site.file("1.log"), groups.site.file("moved")).unwrap();
        sched.run(&["reopen"]).expect(0, "");
        wait_for("a new log", SOON, || groups.site.dir.0.join("1.log").exists().then_some(()));
        sched.run(&["status", "all"]).expect(0, "running");
        kill_process(pid, Signal::KILL).unwrap();
        wait_for("its end", SOON, || (!is_alive(pid)).then_some(()));
        sched.run(&["status", "1"]).expect(1, "dead");
        sched.run(&["restart", "1"]).expect(0, "server 1: started");
        sched.run(&["stop"]).expect(0, "server 2: stopped");
        sched.run(&["stop", "all"]).expect(0, "server 2: not running");
        sched.run(&["reload", "1"]).expect(7, "not running");
        sched.run(&["force-reload", "1"]).expect(7, "not running");
        sched.run(&["reopen", "1"]).expect(0, "not running");
        sched.run(&["status"]).expect(3, "stopped");
    }
}

#[test]
fn some_groups_only() {
    for shell in SHELLS {
        let groups = Groups::new();
        let mut sched = Sched::new(shell, &groups);
        sched.defaults.push_str("SCHEDULE_IDS='2'\n");
        let said = sched.run(&["start"]);
        said.expect(0, "server 2: started");
        assert!(!said.out.contains("server 1"), "{said:?}");
        sched.run(&["status"]).expect(0, "server 2: running");
        sched.run(&["status", "1"]).expect(3, "not running");
        sched.run(&["stop"]).expect(0, "stopped");
    }
}

#[test]
fn exit_statuses_of_mistakes() {
    for shell in SHELLS {
        let groups = Groups::new();
        let mut sched = Sched::new(shell, &groups);
        for words in [&[][..], &["begin"], &["start", "1", "2"]] {
            sched.run(words).expect(2, "usage: ");
        }
        sched.run(&["try-restart"]).expect(3, "usage: ");
        for id in ["one", "0", "-1", "1x", ""] {
            let said = sched.run(&["start", id]);
            assert_eq!(said.code, if id.is_empty() { 0 } else { 2 }, "{id:?}: {said:?}");
        }
        sched.run(&["stop"]).expect(0, "stopped");
        sched.run(&["start", "9"]).expect(6, "no [server_9]");
        sched.run(&["status", "9"]).expect(4, "no [server_9]");
        groups.edit("sync_interval = 1", "sync_interval = often");
        sched.run(&["start", "1"]).expect(6, "schedule.ini:6");
        sched.defaults = format!("SCHEDULE={}\n", env!("CARGO_BIN_EXE_schedule"));
        sched.defaults.push_str("SCHEDULE_CONFIG=/not/there\n");
        sched.run(&["start", "1"]).expect(6, "/not/there");
        sched.run(&["status", "1"]).expect(4, "/not/there");
        sched.defaults = "SCHEDULE=/not/there\n".into();
        sched.run(&["start", "1"]).expect(5, "no program");
        sched.run(&["status", "1"]).expect(4, "no program");
        assert_eq!(sched.run(&["stop", "1"]).code, 0);
    }
}

#[test]
fn a_user_of_its_own() {
    if !rustix::process::getuid().is_root() {
        // Who is not root can't become somebody else, and is told so.
        let groups = Groups::new();
        let mut sched = Sched::new("dash", &groups);
        sched.defaults.push_str("SCHEDULE_USER=root\n");
        sched.run(&["start", "1"]).expect(4, "be root");
        return;
    }
    for shell in SHELLS {
        let groups = Groups::new();
        let mut sched = Sched::new(shell, &groups);
        sched.defaults.push_str("SCHEDULE_USER=nobody\n");
        // It may not write there.
        let said = sched.run(&["start", "1"]);
        assert_ne!(said.code, 0, "{said:?}");
        assert!(said.err.contains("1.log") || said.err.contains("denied"), "{said:?}");
    }
}

/// Runs a checker; what it says against it is the answer.
#[track_caller]
fn content(command: &mut Command) {
    let output = command.output().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    let said = Said::of(&output);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", ""), "{command:?}");
}

#[test]
fn shellcheck_is_content_with_every_script() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut scripts = Vec::new();
    for dir in ["scripts", "scripts/debian", ".ci"] {
        let entries = fs::read_dir(root.join(dir)).unwrap();
        let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        scripts.extend(files.filter(|path| fs::read(path).unwrap().starts_with(b"#!/bin/sh")));
    }
    assert!(scripts.len() > 8, "{scripts:?}");
    content(Command::new("shellcheck").arg("--severity=style").args(&scripts));
    for script in &scripts {
        content(Command::new("dash").arg("-n").arg(script));
    }
}

#[test]
fn systemd_is_content_with_the_unit() {
    let groups = Groups::new();
    let text =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/schedule@.service"));
    // It looks whether the program is there.
    let text = text.unwrap().replace("/usr/bin/schedule", env!("CARGO_BIN_EXE_schedule"));
    let unit = groups.site.file("schedule@1.service");
    fs::write(&unit, text).unwrap();
    content(Command::new("systemd-analyze").args(["verify", "--man=no", &unit]));
}

#[test]
fn log_rotation_signals_daemons_and_nobody_else() {
    let groups = Groups::new();
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/logrotate")).unwrap();
    let (_, script) = text.split_once("postrotate\n").unwrap();
    let (script, _) = script.split_once("endscript").unwrap();
    let script = script.replace("/usr/bin/schedule", env!("CARGO_BIN_EXE_schedule"));
    let script = script.replace("/etc/schedule/schedule.ini", &groups.config);
    let mut daemon = stand_in(&groups, "");
    // A pid file of a daemon that was killed; its pid has become somebody else's.
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    fs::write(groups.site.file("2.pid"), other.id().to_string()).unwrap();
    content(Command::new("sh").args(["-c", &script]));
    groups.wait_lines("signals", 1);
    assert_eq!(groups.site.read("signals"), "USR1\n");
    assert!(other.try_wait().unwrap().is_none());
    for child in [&mut other, &mut daemon] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
