//! A daemon of the PHP program that is alive: it is never signalled, its pid file is never written,
//! and no daemon starts beside it.
#![allow(clippy::unwrap_used)]

mod common;
mod daemon;
mod service;

use service::{Groups, Said};
use std::fs;
use std::process::{Child, Command, Stdio};

/// What looks like `php Process.php ID`, until it is dropped.
struct Php(Child);

impl Php {
    /// Its pid file is that of group 1, and it holds a lock on it if it is to.
    fn new(groups: &Groups, id: &str, locks: bool) -> Php {
        let script = groups.site.file("Process.php");
        let pid_file = groups.site.file("1.pid");
        let lock = if locks { "flock 9; " } else { "" };
        let text =
            format!("exec 9>>'{pid_file}'; {lock}echo $$ >'{pid_file}'; echo >>ready; read x");
        fs::write(&script, text).unwrap();
        let ready = groups.site.read("ready").lines().count();
        let mut command = Command::new("sh");
        command.args([&script, id]).current_dir(&groups.site.dir.0).stdin(Stdio::piped());
        let php = Php(command.spawn().unwrap());
        groups.wait_lines("ready", ready + 1);
        php
    }

    fn is_well(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Php {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_keeps_its_group_and_its_pid_file() {
    let groups = Groups::new();
    // With the id of another group the file is no less its own.
    for (id, locks) in [("1", false), ("1", true), ("2", false)] {
        let mut php = Php::new(&groups, id, locks);
        let pid = php.0.id();
        let told = format!("the PHP program runs this group, pid {pid}: ");
        for words in [
            &["start", "1"][..],
            &["restart", "1"],
            &["reload", "1"],
            &["stop", "1"],
            &["stop", "1", "--kill"],
            &["run", "1"],
            &["run", "1", "--log-to-stderr"],
        ] {
            groups.run(words).expect(1, &told).expect(1, "1.pid");
        }
        groups.run(&["status", "1"]).expect(4, &told).expect(4, "not running");
        groups.run(&["status", "all"]).expect(4, &told).expect(4, &format!("php      {pid}"));
        assert_eq!(groups.site.read("1.pid"), format!("{pid}\n"));
        assert!(php.is_well());
    }
    groups.run(&["start", "1"]).expect(0, "started");
}

#[test]
fn it_keeps_no_other_group_from_starting() {
    let groups = Groups::new();
    let php = Php::new(&groups, "1", false);
    groups.run(&["start", "all"]).expect(1, "server 2: started");
    groups.run(&["start", "1"]).expect(1, "the PHP program");
    drop(php);
    groups.run(&["start", "all"]).expect(0, "server 1: started");
}

/// Only its daemons are meant: an editor that has the script open is none.
#[test]
fn a_pid_that_names_somebody_else_is_no_obstacle() {
    let groups = Groups::new();
    for id in ["", "x"] {
        let _php = Php::new(&groups, id, false);
        let said: Said = groups.run(&["start", "1"]);
        said.expect(0, "started");
        groups.run(&["stop", "1"]).expect(0, "stopped");
    }
}
