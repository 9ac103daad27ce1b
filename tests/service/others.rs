//! Other users of the machine, and a state directory that a job has prepared: what they can see,
//! whom they can keep from starting, and what root is led to.

use crate::common::database::Parts;
use crate::daemon::rows::{Due, Row};
use crate::daemon::{SOON, wait_for};
use crate::service::{Groups, Said, stand_in};
use rustix::fs::{FileType, FlockOperation, Mode, flock, mknodat};
use rustix::process::geteuid;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

const NOBODY: u32 = 65534;

/// A command that must not hang: 124 is what `timeout` says of one that does.
fn run(groups: &Groups, words: &[&str]) -> Said {
    let mut command = groups.command("timeout");
    command.args(["60", env!("CARGO_BIN_EXE_schedule")]).args(words).args(["-c", &groups.config]);
    Said::of(&command.output().unwrap())
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// All files and directories of a directory, itself included.
fn all(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(all(&entry.path())),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

fn open_to_others(dir: &Path) -> Vec<PathBuf> {
    let mut found = all(dir);
    found.retain(|path| fs::symlink_metadata(path).is_ok_and(|it| it.mode() & 0o077 != 0));
    found
}

/// Group 1 with a job that has run, its daemon, and its state directory.
fn with_runs() -> (Groups, PathBuf) {
    let groups = Groups::with(&[Row::new(1, Due::Step(1), "echo secret; echo too >&2")]);
    run(&groups, &["start", "1"]).expect(0, "started");
    let state = PathBuf::from(groups.site.file("state.1"));
    wait_for("an output", SOON, || fs::read_dir(state.join("runs/1")).ok()?.next().map(drop));
    (groups, state)
}

#[test]
fn what_a_daemon_makes_is_its_owners() {
    let (groups, state) = with_runs();
    run(&groups, &["reload", "1"]).expect(0, "has read");
    run(&groups, &["stop", "1"]).expect(0, "stopped");
    assert!(open_to_others(&state).is_empty(), "{:?}", open_to_others(&state));
    assert!(all(&state).len() > 8, "{:?}", all(&state));
    assert_eq!(mode(groups.site.file("1.log")), 0o640);
    assert_eq!(mode(groups.site.file("1.pid")), 0o644, "others may ask who runs the group");
    assert_eq!(mode(groups.site.file("1.pid.lock")), 0o600);
    let db = groups.site.file("of-init.db");
    groups.edit("path = ", &format!("path = \"{db}\" ; "));
    run(&groups, &["db", "init"]).expect(0, "created");
    assert_eq!(mode(&db), 0o600);
}

#[test]
fn what_others_could_read_is_closed_at_the_next_start_and_that_is_told() {
    let (groups, state) = with_runs();
    run(&groups, &["stop", "1", "--kill"]).expect(0, "stopped");
    let open = |found: &[PathBuf]| {
        for path in found {
            set_mode(path, if path.is_dir() { 0o755 } else { 0o644 });
        }
    };
    let unread = ["refused.bad", "refused.bad.2"].map(|name| state.join(name));
    unread.iter().for_each(|path| fs::write(path, "").unwrap());
    open(&all(&state));
    let database = groups.database.config.path().clone();
    set_mode(&database, 0o644);
    run(&groups, &["start", "1"]).expect(0, "started");
    assert!(open_to_others(&state).is_empty(), "{:?}", open_to_others(&state));
    assert_eq!(mode(&database), 0o600);
    let log = groups.site.read("1.log");
    assert!(log.contains("what others could read is the owner's alone now"), "{log}");
    assert!(log.contains("it has mode 0600 now"), "{log}");
    let [first, second] = unread.map(|path| path.display().to_string());
    run(&groups, &["check", "1"]).expect(0, &format!("are in {first}, {second}: put them back"));
    run(&groups, &["stop", "1", "--kill"]).expect(0, "stopped");
    // It holds other things: /var/lib, by mistake. Only what is ours is closed.
    fs::write(state.join("of-others"), "").unwrap();
    open(&all(&state));
    set_mode(&database, 0o664);
    run(&groups, &["start", "1"]).expect(0, "started");
    assert_eq!(open_to_others(&state), [state.clone(), state.join("of-others")]);
    assert_eq!(mode(&database), 0o660);
}

/// Another user with a lock on this file, which everybody may open.
fn locked_by_nobody(groups: &Groups, file: &Path) -> Child {
    let ready = groups.site.file("ready");
    let text = format!("exec 9<'{}'; flock 9 && echo locked; exec sleep 600", file.display());
    let mut command = groups.command("sh");
    command.args(["-c", &text]).uid(NOBODY).gid(NOBODY).stdin(Stdio::null());
    let child = command.stdout(File::create(&ready).unwrap()).spawn().unwrap();
    wait_for("its lock", SOON, || groups.site.read("ready").contains("locked").then_some(()));
    child
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn nobody_elses_lock_keeps_a_daemon_from_starting() {
    let groups = Groups::new();
    if !geteuid().is_root() {
        // Only root can be two users.
        run(&groups, &["start", "1"]).expect(0, "started");
        return;
    }
    let state = PathBuf::from(groups.site.file("state.1"));
    fs::create_dir(&state).unwrap();
    fs::write(groups.site.file("1.pid"), "").unwrap();
    set_mode(&groups.site.dir.0, 0o755);
    // As an earlier version has left them.
    set_mode(&state, 0o755);
    let others =
        [&state, Path::new(&groups.site.file("1.pid"))].map(|file| locked_by_nobody(&groups, file));
    run(&groups, &["status", "1"]).expect(3, "not running");
    run(&groups, &["start", "1"]).expect(0, "started");
    run(&groups, &["status", "1"]).expect(0, "running");
    run(&groups, &["run", "1"]).expect(1, "master still alive");
    run(&groups, &["restart", "1"]).expect(0, "has restarted in place");
    run(&groups, &["stop", "1"]).expect(0, "stopped");
    others.into_iter().for_each(end);
}

#[test]
fn another_user_is_told_that_it_is_not_permitted() {
    let groups = Groups::new();
    if !geteuid().is_root() {
        run(&groups, &["start", "1"]).expect(0, "started");
        return;
    }
    run(&groups, &["start", "1"]).expect(0, "started");
    set_mode(&groups.site.dir.0, 0o755);
    set_mode(&groups.config, 0o644);
    let as_nobody = |words: &[&str]| {
        let mut command = groups.command("timeout");
        command.args(["60", env!("CARGO_BIN_EXE_schedule")]).args(words);
        command.args(["-c", &groups.config]).uid(NOBODY).gid(NOBODY);
        Said::of(&command.output().unwrap())
    };
    for verb in ["stop", "restart", "reload", "reopen"] {
        as_nobody(&[verb, "1"]).expect(4, "not permitted");
    }
    run(&groups, &["stop", "1"]).expect(0, "stopped");
    // It may be under another pid file.
    for verb in ["stop", "restart", "reload", "start"] {
        as_nobody(&[verb, "1"]).expect(4, "not permitted: state directory");
    }
    as_nobody(&["status", "1"]).expect(4, "unknown: not permitted");
    set_mode(groups.site.file("1.pid"), 0o600);
    as_nobody(&["status", "1"]).expect(4, "unknown: not permitted: pid file");
}

/// Both locks go over to a program that takes the place of this one, and one that comes beside an
/// earlier version sees that it is there.
#[test]
fn locks_outlive_a_new_program_and_those_of_earlier_versions_count() {
    let groups = Groups::new();
    run(&groups, &["start", "1"]).expect(0, "started");
    let guards = [groups.site.file("1.pid.lock"), groups.site.file("state.1/lock")];
    for verb in ["restart", "reload"] {
        run(&groups, &[verb, "1"]).expect(0, "pid");
        for guard in &guards {
            let file = OpenOptions::new().write(true).open(guard).unwrap();
            assert!(flock(&file, FlockOperation::NonBlockingLockExclusive).is_err(), "{guard}");
        }
    }
    run(&groups, &["stop", "1"]).expect(0, "stopped");
    for guard in &guards {
        fs::remove_file(guard).unwrap();
    }
    let daemon = stand_in(&groups, "");
    run(&groups, &["status", "1"]).expect(0, &format!("running, pid {}", daemon.id()));
    run(&groups, &["start", "1"]).expect(0, "running already");
    run(&groups, &["run", "1"]).expect(1, &format!("pid {} runs server 1", daemon.id()));
    end(daemon);
    let dir = File::open(groups.site.file("state.1")).unwrap();
    flock(&dir, FlockOperation::LockExclusive).unwrap();
    run(&groups, &["run", "1"]).expect(1, "another daemon works in the state directory");
    drop(dir);
    run(&groups, &["start", "1"]).expect(0, "started");
}

/// The user of the jobs can write what it likes in its files. Root signals only processes of the
/// user whose files those are.
#[test]
fn root_is_not_led_to_signal_somebody_else() {
    let groups = Groups::new();
    if !geteuid().is_root() {
        run(&groups, &["start", "1"]).expect(0, "started");
        return;
    }
    let file = groups.site.file("1.pid");
    let text = format!("exec 9<>'{file}'; flock 9; echo $$ >&9; exec sleep 600");
    let mut other = groups.command("sh").args(["-c", &text]).spawn().unwrap();
    wait_for("its pid", SOON, || groups.site.read("1.pid").ends_with('\n').then_some(()));
    chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
    for words in [&["stop", "1"][..], &["reopen", "1"]] {
        run(&groups, words).expect(0, "not running");
    }
    run(&groups, &["reload", "1"]).expect(7, "not running");
    assert!(other.try_wait().unwrap().is_none());
    // Nor to write where its link leads.
    let precious = groups.site.file("precious");
    fs::write(&precious, "1\n").unwrap();
    fs::remove_file(&file).unwrap();
    symlink(&precious, &file).unwrap();
    run(&groups, &["stop", "1"]).expect(1, "it is a symbolic link");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "1\n");
    end(other);
}

/// What may lie in place of a file.
#[derive(Clone, Copy, Debug)]
enum Thing {
    Fifo,
    Directory,
    Link,
    Huge,
    Noise,
}

fn put(thing: Thing, path: &Path, secret: &Path) {
    let _ = fs::remove_file(path);
    let _ = fs::remove_dir_all(path);
    match thing {
        Thing::Fifo => {
            let mode = Mode::from_raw_mode(0o666);
            mknodat(rustix::fs::CWD, path, FileType::Fifo, mode, 0).unwrap();
        }
        Thing::Directory => fs::create_dir(path).unwrap(),
        Thing::Link => symlink(secret, path).unwrap(),
        Thing::Huge => File::create(path).unwrap().set_len(1 << 40).unwrap(),
        Thing::Noise => {
            let text =
                "pid 1\naddress \x1b[2J\ntold_ms x\nversion \u{202e}\ntrouble \x1b]0;x\x07\n";
            fs::write(path, text).unwrap();
        }
    }
}

#[test]
fn a_hostile_state_directory_neither_hangs_nor_deceives() {
    let (groups, state) = with_runs();
    let secret = PathBuf::from(groups.site.file("secret"));
    fs::write(&secret, "trouble root's own secret\n").unwrap();
    let things = [Thing::Fifo, Thing::Directory, Thing::Link, Thing::Huge, Thing::Noise];
    let names = [
        "daemon",
        "snapshot",
        "refused",
        "instance",
        "keeper.ends",
        "journal.last",
        "journal/last",
    ];
    let last = "journal/00000000000999999999.log";
    for thing in things {
        let plain = |said: &Said| {
            let text = format!("{}{}", said.out, said.err);
            assert!(!text.contains(['\x1b', '\x07', '\u{202e}']), "{thing:?}: {text:?}");
            assert!(!text.contains("own secret"), "{thing:?}: {text}");
        };
        // Beside a daemon that runs.
        put(thing, &state.join("daemon"), &secret);
        for words in [&["status", "1"][..], &["status", "all"], &["start", "1"], &["reopen", "1"]] {
            let said = run(&groups, words);
            assert!(said.code == 0 || words[1] == "all", "{thing:?} {words:?}: {said:?}");
            plain(&said);
        }
        run(&groups, &["stop", "1", "--kill"]).expect(0, "stopped");
        names.iter().chain([&last]).for_each(|name| put(thing, &state.join(name), &secret));
        plain(run(&groups, &["status", "1"]).expect(3, "not running"));
        plain(&run(&groups, &["check", "1"]));
        plain(run(&groups, &["start", "1"]).expect(0, "started"));
        plain(run(&groups, &["status", "1"]).expect(0, "running"));
        assert_eq!(fs::read_to_string(&secret).unwrap(), "trouble root's own secret\n");
        let _ = fs::remove_dir_all(state.join(last));
        let _ = fs::remove_file(state.join(last));
    }
    run(&groups, &["stop", "1", "--kill"]).expect(0, "stopped");
    // What must be its own is told.
    for name in ["lock", "journal"] {
        let _ = fs::rename(state.join(name), state.join("aside"));
        put(Thing::Fifo, &state.join(name), &secret);
        let said = run(&groups, &["start", "1"]);
        assert!([1, 2].contains(&said.code) && said.err.contains(name), "{said:?}");
        fs::remove_file(state.join(name)).unwrap();
        let _ = fs::rename(state.join("aside"), state.join(name));
    }
    fs::rename(&state, groups.site.file("aside")).unwrap();
    put(Thing::Fifo, &state, &secret);
    run(&groups, &["status", "1"]).expect(3, "not running");
    run(&groups, &["start", "1"]).expect(2, "state directory");
}

/// The operator's ini has a password in it, so its mode is 600 until somebody says better.
#[test]
fn who_may_not_read_the_configuration_is_told_how_to_let_him() {
    let groups = Groups::new();
    if !geteuid().is_root() {
        return;
    }
    let as_nobody = |words: &[&str]| {
        let mut command = groups.command(env!("CARGO_BIN_EXE_schedule"));
        command.args(words).args(["-c", &groups.config]).uid(NOBODY).gid(NOBODY);
        Said::of(&command.output().unwrap())
    };
    let group = fs::read_to_string("/etc/group").unwrap();
    let group = group.lines().find(|line| line.split(':').nth(2) == Some("65534"));
    let group = group.map_or("#65534", |line| line.split(':').next().unwrap());
    let dir = &groups.site.dir.0;
    set_mode(dir, 0o755);
    set_mode(&groups.config, 0o600);
    let what = format!("cannot read the configuration {}: Permission denied", groups.config);
    let how = format!("sudo chgrp '{group}' {0} && sudo chmod 640 {0}", groups.config);
    let commands: [(&[&str], i32); 4] =
        [(&["check"], 2), (&["start", "1"], 2), (&["run", "1"], 2), (&["db", "status"], 2)];
    for (words, status) in commands {
        as_nobody(words).expect(status, &what).expect(status, &how);
    }
    // Of a service's file it is not said how to take it from that service.
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let service = passwd.lines().find(|line| line.split(':').nth(3) == Some("1")).unwrap();
    let service = service.split(':').next().unwrap();
    chown(&groups.config, None, Some(1)).unwrap();
    set_mode(&groups.config, 0o640);
    let said = as_nobody(&["check"]);
    said.expect(2, &what).expect(2, &format!("sudo -u '{service}' schedule …"));
    assert!(!said.err.contains("chgrp"), "{said:?}");
    // What it says is all there is to do.
    chown(&groups.config, None, Some(NOBODY)).unwrap();
    set_mode(&groups.config, 0o640);
    let said = as_nobody(&["status", "1"]);
    assert!(!said.err.contains("cannot read"), "{}", said.err);
    set_mode(dir, 0o700);
    as_nobody(&["check"]).expect(2, &what).expect(2, "may not enter a directory above it");
}
