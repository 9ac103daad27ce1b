//! A daemon of another user than the one before: runs that it may not signal, and keepers that it
//! may not ask. Each is told, with whose they are and what to do; nothing hangs.

use crate::common::install_program;
use crate::daemon::rows::{Due, Row};
use crate::daemon::{SOON, wait_for};
use crate::service::{Groups, Said, is_alive};
use rustix::process::{Pid, Signal, geteuid, kill_process, kill_process_group};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::Command;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_schedule");

const ROOT: u32 = 0;

/// Users A and B.
const A: u32 = 65_533;
const B: u32 = 65_534;

/// Who comes after whom.
const CHANGES: [(u32, u32); 3] = [(ROOT, B), (B, ROOT), (A, B)];

/// Only root can be several users.
fn is_root() -> bool {
    let is = geteuid().is_root();
    if !is {
        eprintln!("SKIPPED: only root can start daemons of several users");
    }
    is
}

/// What messages call a user.
fn name(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid.to_string()));
    line.map_or(format!("#{uid}"), |line| line.split(':').next().unwrap().to_owned())
}

pub fn give(groups: &Groups, uid: u32) {
    let mut chown = Command::new("chown");
    let dir = &groups.site.dir.0;
    assert!(chown.args(["-R", &format!("{uid}:{uid}")]).arg(dir).status().unwrap().success());
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
}

pub fn run_as(groups: &Groups, uid: u32, words: &[&str]) -> Said {
    let mut command = groups.command(PROGRAM);
    command.args(words).args(["-c", &groups.config]).uid(uid).gid(uid);
    Said::of(&command.output().unwrap())
}

/// A job that a daemon of this user has started, and that goes on without it.
fn left_by(uid: u32, command: &str) -> (Groups, Pid) {
    let mut groups = Groups::new();
    let file = groups.site.file("pid");
    let row = Row::new(1, Due::Step(1), &format!("echo $$ >>'{file}'; {command}"));
    groups.database.sql(&row.insert());
    give(&groups, uid);
    run_as(&groups, uid, &["start", "1"]).expect(0, "started");
    groups.wait_lines("pid", 1);
    let pid = Pid::from_raw(groups.site.read("pid").trim().parse().unwrap()).unwrap();
    (groups, pid)
}

/// An answer of the daemon: its status and its body.
fn ask(groups: &Groups, method: &str, path: &str) -> (u16, Value) {
    let note = groups.site.read("state.1/daemon");
    let address = note.lines().find_map(|line| line.strip_prefix("address ")).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close");
    write!(stream, "{method} {path} {head}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

fn killed(pid: Pid) {
    kill_process_group(pid, Signal::KILL).unwrap();
    wait_for("its end", SOON, || (!is_alive(pid)).then_some(()));
}

fn number(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

/// The keeper was killed, so the next daemon finds the run itself.
#[test]
fn a_run_of_the_user_before_that_takes_no_signal_goes_on_and_is_told() {
    if !is_root() {
        return;
    }
    for (before, after) in CHANGES {
        let (groups, run) = left_by(before, "exec sleep 600");
        run_as(&groups, before, &["stop", "1"]).expect(0, "1 run goes on");
        let keeper = groups.site.keeper();
        kill_process(keeper, Signal::KILL).unwrap();
        wait_for("the keeper's end", SOON, || (!is_alive(keeper)).then_some(()));
        give(&groups, after);
        run_as(&groups, after, &["start", "1"]).expect(0, "started");
        let (status, said) = ask(&groups, "POST", "/api/v1/jobs/1/stop");
        if after == ROOT {
            assert_eq!((status, &said["runs"][0]["reason"]), (200, &Value::Null), "{said}");
            wait_for("its end", SOON, || (!is_alive(run)).then_some(()));
            run_as(&groups, after, &["stop", "1", "--kill"]).expect(0, "stopped");
            continue;
        }
        let (user, pid) = (name(before), number(run));
        let why = format!(
            "not permitted: process {pid} belongs to user '{user}': stop it as that user (kill \
             -TERM -{pid} as root)"
        );
        assert_eq!((status, said["detail"].as_str()), (403, Some(&*why)), "{said}");
        let job = ask(&groups, "GET", "/api/v1/jobs/1").1;
        assert_eq!(job["live"][0]["outcome"], "running", "{job}");
        assert_eq!(job["live"][0]["detail"], *why, "{job}");
        run_as(&groups, after, &["status", "1"]).expect(0, &why);
        run_as(&groups, after, &["stop", "1", "--kill", "--timeout", "1"]).expect(1, &why);
        let log = groups.site.read("1.log");
        assert!(log.contains(&format!("pid={pid}: {why}")), "{log}");
        assert!(!log.contains("still alive"), "it was killed in vain: {log}");
        assert!(is_alive(run));
        let daemon = groups.pid(1);
        // What it says helps, and the daemon that waits ends with it.
        let mut kill = Command::new("sh");
        kill.args(["-c", &format!("kill -TERM -{pid}")]);
        assert!(kill.status().unwrap().success());
        wait_for("the daemon's end", SOON, || (!is_alive(daemon)).then_some(()));
    }
}

/// Root's keeper outlives the change of hands, and tells the next daemon how its run ended.
#[test]
fn how_a_run_of_root_ended_is_left_to_the_user_who_has_the_files() {
    if !is_root() {
        return;
    }
    let (groups, run) = left_by(ROOT, "while ! [ -e go ]; do sleep 0.02; done; exit 9");
    run_as(&groups, ROOT, &["stop", "1"]).expect(0, "1 run goes on");
    let keeper = groups.site.keeper();
    give(&groups, B);
    let cwd = fs::read_link(format!("/proc/{}/cwd", number(run))).unwrap();
    fs::write(cwd.join("go"), "").unwrap();
    wait_for("the keeper's end", SOON, || (!is_alive(keeper)).then_some(()));
    fs::remove_file(cwd.join("go")).unwrap();
    let file = groups.site.file("state.1/keeper.ends");
    assert_eq!(fs::metadata(&file).unwrap().uid(), B);
    // As an earlier version has left it: nothing is lost before that is known.
    chown(&file, Some(ROOT), Some(ROOT)).unwrap();
    let said = run_as(&groups, B, &["start", "1"]);
    said.expect(2, &format!("ends of runs {file}")).expect(2, "chown");
    chown(&file, Some(B), Some(B)).unwrap();
    run_as(&groups, B, &["start", "1"]).expect(0, "started");
    let past = wait_for("its end", SOON, || {
        let past = ask(&groups, "GET", "/api/v1/jobs/1/runs").1;
        past["runs"].as_array()?.iter().find(|past| past["pid"] == number(run)).cloned()
    });
    assert_eq!(past["outcome"], "exit 9", "{past}");
    run_as(&groups, B, &["stop", "1", "--kill"]).expect(0, "stopped");
}

/// `sudo` in a job: a part of its processes is root's.
#[test]
fn of_a_run_in_part_another_users_it_is_said_how_many_are() {
    if !is_root() {
        return;
    }
    // A program that becomes root, as sudo does.
    let place = Groups::new();
    let become_root = place.site.file("become");
    install_program("/usr/bin/setpriv", &become_root);
    fs::set_permissions(&become_root, fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(&place.site.dir.0, fs::Permissions::from_mode(0o755)).unwrap();
    let become_root = format!("'{become_root}' --reuid=0 --regid=0 --clear-groups sleep 600");
    let (groups, run) = left_by(B, &format!("{become_root} & {become_root} & sleep 600 & wait"));
    let sleeps = || {
        let of_root = |pid: &str| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let is_its = stat.split(' ').nth(4) == Some(&number(run).to_string());
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            is_its && status.contains("Uid:\t0\t0")
        };
        let all = fs::read_dir("/proc").unwrap().map(|it| it.unwrap().file_name());
        let found: Vec<String> = all.filter_map(|it| it.into_string().ok()).collect();
        found.into_iter().filter(|pid| of_root(pid)).collect::<Vec<_>>()
    };
    wait_for("processes of root", SOON, || (sleeps().len() == 2).then_some(()));
    let (status, said) = ask(&groups, "POST", "/api/v1/jobs/1/stop");
    assert_eq!((status, &said["runs"][0]["did"]), (200, &"terminated".into()), "{said}");
    let reason = said["runs"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("not permitted: 2 of its "), "{reason}");
    assert!(reason.contains("belong to user 'root'"), "{reason}");
    // Its end says what goes on.
    let log = wait_for("its end", SOON, || {
        Some(groups.site.read("1.log")).filter(|log| log.contains("left behind: "))
    });
    let left = log.lines().find(|line| line.contains("left behind: ")).unwrap();
    sleeps().iter().for_each(|pid| assert!(left.contains(&format!("{pid} sleep")), "{left}"));
    for pid in sleeps() {
        kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    }
    run_as(&groups, B, &["stop", "1", "--kill"]).expect(0, "stopped");
}

/// The keeper goes on, and is another user's than the files.
#[test]
fn without_a_daemon_runs_of_another_users_keeper_are_told() {
    if !is_root() {
        return;
    }
    for (before, after) in CHANGES {
        let (groups, run) = left_by(before, "exec sleep 600");
        run_as(&groups, before, &["stop", "1"]).expect(0, "1 run goes on");
        let (keeper, user) = (groups.site.keeper(), name(before));
        give(&groups, after);
        let whose =
            format!("runs of it go on as user '{user}', with keeper pid {} (", number(keeper));
        let advice = format!("give '{user}' the files of [base] back (chown -R)");
        let told = |said: Said, code| {
            said.expect(code, &whose).expect(code, &advice);
        };
        told(run_as(&groups, after, &["status", "1"]), 3);
        told(run_as(&groups, after, &["status", "all"]), 3);
        told(run_as(&groups, after, &["stop", "1", "--kill"]), 1);
        told(run_as(&groups, after, &["stop", "1"]), 0);
        let start = format!("pid {}, is user '{user}'s", number(keeper));
        run_as(&groups, after, &["start", "1"]).expect(1, &start).expect(1, &advice);
        assert!(is_alive(run) && is_alive(keeper));
        killed(run);
        wait_for("the keeper's end", SOON, || (!is_alive(keeper)).then_some(()));
    }
}

/// The socket of a keeper that was killed stays, as the user's before.
#[test]
fn a_dead_keepers_socket_stands_in_nobodys_way() {
    if !is_root() {
        return;
    }
    let (groups, run) = left_by(ROOT, "exec sleep 600");
    run_as(&groups, ROOT, &["stop", "1"]).expect(0, "1 run goes on");
    let keeper = groups.site.keeper();
    give(&groups, B);
    let socket = groups.site.file("state.1/keeper.sock");
    std::os::unix::fs::chown(&socket, Some(0), Some(0)).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o700)).unwrap();
    // As long as it lives it is a stranger's, though it can't be asked.
    let whose = format!("pid {}, is user 'root's", number(keeper));
    run_as(&groups, B, &["start", "1"]).expect(1, &whose);
    kill_process(keeper, Signal::KILL).unwrap();
    wait_for("the keeper's end", SOON, || (!is_alive(keeper)).then_some(()));
    killed(run);
    run_as(&groups, B, &["start", "1"]).expect(0, "started");
    run_as(&groups, B, &["stop", "1", "--kill"]).expect(0, "stopped");
}

/// Whoever may write into the directory can listen there: that is told, and no runs.
#[test]
fn who_listens_at_the_keepers_socket_and_is_none_is_told() {
    let groups = Groups::new();
    let state = groups.site.file("state.1");
    fs::create_dir(&state).unwrap();
    let socket = format!("{state}/keeper.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    // As another user than the files are: that alone made it a stranger's.
    if is_root() {
        std::os::unix::fs::chown(&state, Some(B), Some(B)).unwrap();
    }
    let me = name(geteuid().as_raw());
    let told = format!(
        "not running; something that is no keeper listens at {socket} (pid {} of user '{me}')",
        std::process::id()
    );
    for (words, code) in
        [(&["status", "1"][..], 3), (&["stop", "1"], 0), (&["stop", "1", "--kill"], 0)]
    {
        let said = run_as(&groups, geteuid().as_raw(), words);
        said.expect(code, &told);
        assert!(!said.out.contains("runs of it"), "{said:?}");
    }
    // Who listens elsewhere is not in the way.
    let elsewhere = groups.site.file("elsewhere.sock");
    fs::rename(&socket, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &socket).unwrap();
    let said = run_as(&groups, geteuid().as_raw(), &["status", "1"]);
    said.expect(3, "server 1: not running\n");
}

/// Nothing of that is taken for a keeper: the path and the reason are told.
#[test]
fn a_socket_that_nobody_may_replace_is_told() {
    if !is_root() {
        return;
    }
    let groups = Groups::new();
    give(&groups, B);
    let state = groups.site.file("state.1");
    fs::create_dir(&state).unwrap();
    fs::create_dir(format!("{state}/keeper.sock")).unwrap();
    give(&groups, B);
    let said = run_as(&groups, B, &["start", "1"]);
    said.expect(1, &format!("{state}/keeper.sock: "));
    assert!(!said.err.contains("user 'root's"), "{said:?}");
}

/// Such as root's own directory, where `sudo -u USER schedule start` is given.
#[test]
fn a_directory_that_the_user_may_not_enter_keeps_nothing_from_starting() {
    if !is_root() {
        return;
    }
    let (groups, place) = (Groups::new(), Groups::new());
    give(&groups, B);
    let [closed, link] = ["closed", "link"].map(|name| place.site.file(name));
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(&place.site.dir.0, fs::Permissions::from_mode(0o755)).unwrap();
    symlink(&groups.site.dir.0, &link).unwrap();
    let dir = groups.site.dir.0.to_str().unwrap().to_owned();
    let text = fs::read_to_string(&groups.config).unwrap();
    fs::write(&groups.config, text.replace(&dir, &link)).unwrap();
    for (word, told) in [("start", "started"), ("status", "running"), ("stop", "stopped")] {
        let mut command = groups.command("/bin/sh");
        let become_b = format!("exec setpriv --reuid={B} --regid={B} --clear-groups \"$@\"");
        command.args(["-c", &format!("cd '{closed}'; {become_b}"), "sh", PROGRAM, word, "1"]);
        command.args(["-c", &groups.config]);
        Said::of(&command.output().unwrap()).expect(0, told);
    }
}
