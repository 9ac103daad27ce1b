//! A daemon whose log is its stderr: for service managers and containers.

use crate::common::database::TestDatabase;
use crate::daemon::{SOON, Site, wait_for};
use crate::service::{Groups, is_alive};
use rustix::process::Signal;
use schedule::core::database::Driver;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, lchown, symlink};

/// Both ways to say it.
const WAYS: [(&str, &[&str]); 2] =
    [("logfile = -\n", &[]), ("logfile = /nowhere/{%d}.log\n", &["--log-to-stderr"])];

/// A site whose daemons write to what the tests read as their log, by stderr.
fn site(base: &str) -> (Site, TestDatabase) {
    let (mut site, database) = Site::on(Driver::Sqlite);
    site.base.push_str(base);
    symlink("stderr", site.file("1.log")).unwrap();
    (site, database)
}

#[test]
fn stderr_is_the_log_in_all_that_has_to_do_with_it() {
    for (base, words) in WAYS {
        let (site, _database) = site(base);
        let mut command = site.command();
        command.args(words);
        let daemon = site.start_by(command);
        let begin = site.logged("begin: ").pop().unwrap();
        assert!(begin.starts_with("20") && begin[19..].starts_with(" [INFO] begin: "), "{begin}");
        // Nothing is opened anew, and it says so.
        daemon.signal(Signal::USR1);
        wait_for("an answer to USR1", SOON, || site.logged("nothing to be opened again").pop());
        // Nor is it waited for: it will never be there.
        for target in ["/api/v1/log", "/api/v1/log?tail=9", "/api/v1/log?follow=1"] {
            let answer = daemon.get(target);
            assert_eq!(answer.status, 409, "{}", answer.body);
            assert!(answer.body.contains("logs to its standard error"), "{}", answer.body);
        }
        assert_eq!(daemon.request("POST", "/api/v1/log/clear").status, 409);
        // A new program has the same stderr.
        daemon.signal(Signal::HUP);
        wait_for("a reload", SOON, || (site.logged("begin: ").len() == 2).then_some(()));
        assert!(site.logged("not done").is_empty());
        // Another one is told once why it is not started, not by the log and by stderr.
        let mut second = site.command();
        let output = second.args(words).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.matches("master still alive").count(), 1, "{text}");
    }
}

/// Who owns the directory of the log could put a link there to what only the daemon may write.
#[test]
fn a_stranger_s_link_is_not_followed_to_the_log() {
    const STRANGER: u32 = 54_321;
    let (site, _database) = Site::on(Driver::Sqlite);
    fs::write(site.file("secret"), "of root\n").unwrap();
    let put_link = || {
        symlink("secret", site.file("1.log")).unwrap();
        let given = lchown(site.file("1.log"), Some(STRANGER), None);
        given.expect("this test needs root, to make links of others");
    };
    put_link();
    let ((status, told), reason) = (site.refused_by(site.command()), "belongs to user 54321");
    assert!(told.contains("cannot open the log") && told.contains(reason), "{told}");
    assert_eq!(status.code(), Some(2), "{told}");
    fs::remove_file(site.file("1.log")).unwrap();
    let daemon = site.start();
    // Nor when the log is opened anew: lines go on to the old one.
    fs::rename(site.file("1.log"), site.file("1.log.1")).unwrap();
    put_link();
    daemon.signal(Signal::USR1);
    wait_for("an answer to USR1", SOON, || site.read("1.log.1").contains(reason).then_some(()));
    assert_eq!(site.read("secret"), "of root\n");
}

#[test]
fn the_journal_is_told_priorities() {
    let (site, _database) = site("logfile = -\n");
    let stderr = File::create(site.file("stderr")).unwrap().metadata().unwrap();
    let mut command = site.command();
    command.env("JOURNAL_STREAM", format!("{}:{}", stderr.dev(), stderr.ino()));
    let daemon = site.start_by(command);
    let begin = site.logged("begin: ").pop().unwrap();
    assert!(begin.starts_with("<6>[INFO] begin: server=1 "), "{begin}");
    daemon.signal(Signal::HUP);
    let again = wait_for("a reload", SOON, || site.logged("begin: ").into_iter().nth(1));
    assert!(again.starts_with("<6>[INFO] begin: "), "{again}");
}

/// Nobody would read what a daemon in the background says to its stderr.
#[test]
fn in_the_background_it_is_refused_with_what_to_do() {
    let groups = Groups::new();
    let advice = "name a file, or have systemd or a container start `schedule run`";
    groups.run(&["start", "1"]).expect(0, "started");
    let pid = groups.pid(1);
    groups.edit("[base]\n", "[base]\nlogfile = -\n");
    let text = fs::read_to_string(&groups.config).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("logfile = \""));
    fs::write(&groups.config, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    for verb in ["reload", "restart"] {
        groups.run(&[verb, "1"]).expect(1, "it goes on as it was").expect(1, advice);
        assert!(is_alive(pid));
    }
    groups.run(&["start", "2"]).expect(2, advice).expect(2, "server 2: not started");
    groups.run(&["restart", "2"]).expect(2, advice);
    groups.run(&["check"]).expect(0, "configuration is right");
    groups.run(&["stop", "1"]).expect(0, "stopped");
}
