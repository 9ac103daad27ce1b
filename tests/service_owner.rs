//! Root starts nothing for another user, and leaves no files of its own among that user's.
#![allow(clippy::unwrap_used)]

mod common;
mod daemon;
mod service;

use daemon::rows::{Due, Row};
use daemon::{SOON, wait_for};
use rustix::process::geteuid;
use service::{Groups, Said};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const NOBODY: u32 = 65534;

const PROGRAM: &str = env!("CARGO_BIN_EXE_schedule");

fn give(path: &str) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
}

/// Files below a directory that are root's.
fn of_root(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let owned = entries.filter(|path| fs::metadata(path).unwrap().uid() == 0);
    owned.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// What `id -un` calls it: not `nobody` everywhere.
fn name() -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some("65534"));
    line.map_or("#65534".to_owned(), |line| line.split(':').next().unwrap().to_owned())
}

#[test]
fn root_starts_nothing_for_another_user() {
    let groups = Groups::new();
    if !geteuid().is_root() {
        // Whoever is not root can't make files that are another's, nor write them.
        groups.run(&["start", "1"]).expect(0, "started");
        return;
    }
    give(groups.site.dir.0.to_str().unwrap());
    let before = of_root(&groups.site.dir.0);
    let say = format!("Say: sudo -u '{}' ", name());
    groups.run(&["start", "all"]).expect(4, &say).expect(4, "start all -c ");
    groups.run(&["restart", "1"]).expect(4, &say).expect(4, "restart 1 -c ");
    assert_eq!(of_root(&groups.site.dir.0), before, "something of root's was left behind");
    let db = groups.site.file("new.db");
    groups.edit("path = ", &format!("path = \"{db}\" ; "));
    groups.run(&["db", "init"]).expect(2, &say).expect(2, "db init -c ");
    assert!(!Path::new(&db).exists());
    groups.run(&["status", "all"]).expect(3, "stopped");
}

/// `sudo -u schedule schedule …` in the home of root: what can't be looked for there isn't meant.
#[test]
fn a_directory_that_nobody_may_enter_holds_no_configuration() {
    if !geteuid().is_root() {
        return;
    }
    let groups = Groups::new();
    let home = groups.site.file("home");
    let conf = format!("{home}/conf");
    fs::create_dir_all(&conf).unwrap();
    fs::copy(&groups.config, format!("{conf}/schedule.ini")).unwrap();
    let check = |words: &[&str]| {
        let mut command = groups.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.args([PROGRAM, "check"]).args(words).current_dir(&home);
        Said::of(&command.output().unwrap())
    };
    let close = |path: &str, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    close(groups.site.dir.0.to_str().unwrap(), 0o755);
    close(&home, 0o700);
    let said = check(&[]);
    assert!(!said.err.contains("ermission denied"), "{said:?}");
    assert!(!said.err.contains("reading ./conf"), "{said:?}");
    if !Path::new("/etc/schedule").exists() {
        said.expect(2, "neither ./conf/schedule.ini nor /etc/schedule/schedule.ini exists");
    }
    // It may be in there where only that is closed.
    close(&home, 0o755);
    close(&conf, 0o700);
    check(&[]).expect(2, "cannot read the configuration ./conf/schedule.ini: Permission denied");
    // A file in the place of a directory holds none either.
    fs::remove_dir_all(&conf).unwrap();
    fs::write(&conf, "").unwrap();
    assert!(!check(&[]).err.contains("Not a directory"));
}

/// What runs stays its user's, whoever says so.
#[test]
fn root_may_restart_what_runs_as_another_user() {
    let groups = Groups::new();
    if !geteuid().is_root() {
        groups.run(&["start", "1"]).expect(0, "started");
        return;
    }
    let dir = groups.site.dir.0.to_str().unwrap();
    give(dir);
    fs::read_dir(dir).unwrap().for_each(|it| give(it.unwrap().path().to_str().unwrap()));
    let mut start = groups.command(env!("CARGO_BIN_EXE_schedule"));
    start.args(["start", "1", "-c", &groups.config]).uid(NOBODY).gid(NOBODY);
    Said::of(&start.output().unwrap()).expect(0, "started");
    groups.run(&["restart", "1"]).expect(0, "has restarted in place");
    groups.run(&["reload", "1"]).expect(0, "has read");
    groups.run(&["reopen", "1"]).expect(0, "");
    groups.run(&["stop", "1"]).expect(0, "stopped");
    assert_eq!(of_root(&groups.site.dir.0), [""; 0]);
}

/// The keeper of a daemon before would start all jobs as its own user.
#[test]
fn a_keeper_of_another_user_starts_nothing() {
    if !geteuid().is_root() {
        return;
    }
    let mut groups = Groups::new();
    let file = groups.site.file("pid");
    let row = Row::new(1, Due::Step(1), &format!("echo $$ >>'{file}'; exec sleep 600"));
    groups.database.sql(&row.insert());
    groups.run(&["start", "1"]).expect(0, "started");
    groups.wait_lines("pid", 1);
    groups.run(&["stop", "1"]).expect(0, "1 run goes on");
    let keeper = groups.site.keeper();
    // What the guide says: all that root's daemon has left is the other user's now.
    let give_all = |user: &str| {
        let mut chown = Command::new("chown");
        assert!(chown.args(["-R", user]).arg(&groups.site.dir.0).status().unwrap().success());
    };
    give_all("65534:65534");
    let start = || {
        let mut start = groups.command(PROGRAM);
        start.args(["start", "1", "-c", &groups.config]).uid(NOBODY).gid(NOBODY);
        Said::of(&start.output().unwrap())
    };
    let whose = format!("pid {}, is user 'root's", keeper.as_raw_nonzero());
    start().expect(1, &whose).expect(1, "stop --drain or --kill");
    assert!(service::is_alive(keeper), "its runs go on");
    // What it says helps.
    give_all("0:0");
    groups.run(&["start", "1"]).expect(0, "started");
    groups.run(&["stop", "1", "--kill"]).expect(0, "stopped");
    wait_for("its end", SOON, || (!service::is_alive(keeper)).then_some(()));
    give_all("65534:65534");
    start().expect(0, "started");
}

/// In a container the directory of a volume may be anybody's; a log or a journal is not.
#[test]
fn run_goes_by_the_files_that_are_there() {
    let groups = Groups::new();
    if !geteuid().is_root() {
        groups.run(&["start", "1"]).expect(0, "started");
        return;
    }
    for name in ["1.log", "1.pid", "state.1"] {
        let file = groups.site.file(name);
        if name == "state.1" { fs::create_dir(&file) } else { fs::write(&file, "") }.unwrap();
        give(&file);
        let said: Said = groups.run(&["run", "1"]);
        said.expect(2, &format!("schedule run: {file} belongs to ")).expect(2, "run 1 -c ");
        if name == "state.1" { fs::remove_dir(&file) } else { fs::remove_file(&file) }.unwrap();
    }
    give(groups.site.dir.0.to_str().unwrap());
    drop(groups.site.start());
}
