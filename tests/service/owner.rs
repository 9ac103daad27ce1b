//! Root starts nothing for another user, and leaves no files of its own among that user's.

use crate::common::attribute::Attribute;
use crate::daemon::rows::{Due, Row};
use crate::daemon::{SOON, wait_for};
use crate::service;
use crate::service::{Groups, Said};
use rustix::process::{Signal, geteuid, kill_process};
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

/// The files of a group are the other user's, and a daemon of that user runs.
fn started_as_nobody(groups: &Groups) {
    chown_all(&groups.site.dir.0, NOBODY);
    as_nobody(groups, &["start", "1"]).expect(0, "started");
}

fn chown_all(path: &Path, user: u32) {
    let mut chown = Command::new("chown");
    assert!(chown.args(["-R", &format!("{user}:{user}")]).arg(path).status().unwrap().success());
}

fn as_nobody(groups: &Groups, words: &[&str]) -> Said {
    let mut command = groups.command(PROGRAM);
    command.args(words).args(["-c", &groups.config]).uid(NOBODY).gid(NOBODY);
    Said::of(&command.output().unwrap())
}

/// A new program could not open what this one has open.
#[test]
fn a_daemon_whose_files_are_taken_from_it_goes_on_and_says_so() {
    if !geteuid().is_root() {
        eprintln!("SKIPPED: only root can take files from another user");
        return;
    }
    let groups = Groups::new();
    started_as_nobody(&groups);
    let pid = groups.pid(1);
    let state = groups.site.file("state.1");
    let chmod = |mode| fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
    type Act<'a> = &'a dyn Fn();
    let takes: [(&str, Act, Act); 4] = [
        ("", &|| chown_all(Path::new(&state), 0), &|| chown_all(Path::new(&state), NOBODY)),
        ("", &|| chmod(0o500), &|| chmod(0o700)),
        ("/journal", &|| chown_one(&state, "journal", 0), &|| chown_one(&state, "journal", NOBODY)),
        ("/keeper.sock", &|| chown_one(&state, "keeper.sock", 0), &|| {
            chown_one(&state, "keeper.sock", NOBODY);
        }),
    ];
    for (entry, take, give_back) in takes {
        take();
        let why = format!("{state}{entry}: Permission denied");
        let what = format!("let user {} write there", name());
        for verb in ["reload", "restart"] {
            let logged = groups.site.logged(&why).len();
            let said = groups.run(&[verb, "1"]);
            said.expect(1, "it goes on as it was: ").expect(1, &why).expect(1, &what);
            assert!(groups.site.logged(&why).len() > logged, "{entry}: the log says nothing");
            as_nobody(&groups, &[verb, "1"]).expect(1, &why).expect(1, &what);
        }
        assert_eq!(groups.pid(1), pid);
        assert!(service::is_alive(pid));
        if entry != "/keeper.sock" {
            expect_told(&groups, &format!("{state}{entry}"));
        }
        give_back();
        groups.run(&["reload", "1"]).expect(0, "has read");
        groups.run(&["restart", "1"]).expect(0, "has restarted in place");
    }
    // Nor can what root has fixed be changed by root.
    for entry in ["", "/journal", "/daemon", "/daemon.new"] {
        let Some(fixed) = Attribute::set('a', format!("{state}{entry}")) else { break };
        let why = format!("{state}{entry}: Operation not permitted (os error 1): `lsattr -d`");
        for verb in ["reload", "restart"] {
            groups.run(&[verb, "1"]).expect(1, "it goes on as it was: ").expect(1, &why);
        }
        assert_eq!(groups.pid(1), pid);
        // These two are files, which are made anew.
        if !entry.starts_with("/daemon") {
            groups.run(&["check", "1"]).expect(1, &format!("[base] statedir: {why}"));
            groups.run(&["status", "1"]).expect(0, &why);
        }
        drop(fixed);
        groups.run(&["reload", "1"]).expect(0, "has read");
    }
    // A pid file that can't be had is no reason to end either.
    let blocked = groups.site.file("blocked");
    fs::create_dir(&blocked).unwrap();
    groups.edit("pidfile = ", &format!("pidfile = \"{blocked}/{{%d}}.pid\" ; "));
    kill_process(pid, Signal::HUP).unwrap();
    wait_for("a refusal", SOON, || {
        let told = groups.site.logged("reload not done");
        told.last().filter(|line| line.contains(&format!("pid file {blocked}/1.pid"))).map(drop)
    });
    assert!(service::is_alive(pid));
    assert_eq!(groups.site.logged("start failed"), [""; 0]);
}

/// Root may write everywhere, and writes no file of another user all the same.
#[test]
fn the_daemon_of_root_says_how_its_files_come_back() {
    if !geteuid().is_root() {
        return;
    }
    let groups = Groups::new();
    groups.run(&["start", "1"]).expect(0, "started");
    let state = groups.site.file("state.1");
    chown_all(Path::new(&state), NOBODY);
    let why = "take it away, or, if it is ours, give it back to user root (chown -R)";
    groups.run(&["reload", "1"]).expect(1, "it goes on as it was: ").expect(1, why);
    chown_all(Path::new(&state), 0);
    groups.run(&["reload", "1"]).expect(0, "has read");
}

/// That `check` and `status` tell of a directory of the state directory, to its daemon's user and
/// to root, who might write there.
fn expect_told(groups: &Groups, dir: &str) {
    let denied = format!("{dir}: Permission denied");
    let shut = format!("{dir}: it belongs to user ");
    let advice = format!("let user {} write there", name());
    as_nobody(groups, &["check", "1"]).expect(1, &format!("[base] statedir: {denied}"));
    as_nobody(groups, &["status", "1"]).expect(0, &denied).expect(0, &advice);
    groups.run(&["status", "1"]).expect(0, &shut).expect(0, &advice);
    // Group 2 does not run.
    groups.run(&["status", "all"]).expect(3, &shut).expect(3, &advice);
    // Whose daemon it is the state directory tells, as long as it is that user's.
    if dir.ends_with("/journal") || dir.ends_with("/runs") {
        groups.run(&["check", "1"]).expect(1, &format!("[base] statedir: {shut}"));
    }
}

/// The daemon goes on without its outputs, but that is told; so is what the kernel does not let
/// even root write.
#[test]
fn what_a_daemon_can_not_write_is_told_before_it_is_missed() {
    if !geteuid().is_root() {
        return;
    }
    let groups = Groups::new();
    started_as_nobody(&groups);
    let state = groups.site.file("state.1");
    let runs = format!("{state}/runs");
    fs::create_dir_all(&runs).unwrap();
    give(&runs);
    for dir in [&runs, &format!("{state}/journal")] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o500)).unwrap();
        expect_told(&groups, dir);
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
        let Some(mounted) = ReadOnly::mount(dir) else { continue };
        let why = format!("{dir}: Read-only file system (os error 30): its file system is read-");
        groups.run(&["check", "1"]).expect(1, &format!("[base] statedir: {why}"));
        groups.run(&["status", "1"]).expect(0, &why);
        drop(mounted);
    }
    let ours = |said: Said| !said.out.contains(&state) && !said.err.contains(&state);
    for verb in ["check", "status"] {
        assert!(ours(groups.run(&[verb, "1"])), "{verb}");
    }
}

/// A directory that is mounted onto itself to be read only, until this is dropped.
struct ReadOnly(String);

impl ReadOnly {
    fn mount(dir: &str) -> Option<ReadOnly> {
        let mount = |words: &[&str]| Command::new("mount").args(words).status();
        let done = |words: &[&str]| mount(words).is_ok_and(|status| status.success());
        if !done(&["--bind", dir, dir]) {
            eprintln!("NOT TESTED: a read-only mount, which only root can make");
            return None;
        }
        let mounted = ReadOnly(dir.to_owned());
        assert!(done(&["-o", "remount,bind,ro", dir]), "{dir}");
        Some(mounted)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn chown_one(state: &str, name: &str, user: u32) {
    chown(format!("{state}/{name}"), Some(user), Some(user)).unwrap();
}

/// What the table of exit statuses says, and whom to let in.
#[test]
fn a_start_in_a_directory_that_can_not_be_written_names_the_user() {
    if !geteuid().is_root() {
        return;
    }
    let groups = Groups::new();
    started_as_nobody(&groups);
    groups.run(&["stop", "1"]).expect(0, "stopped");
    let state = groups.site.file("state.1");
    let what = format!("Permission denied (os error 13): let user {} write there", name());
    for entry in ["", "/journal"] {
        let dir = format!("{state}{entry}");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o500)).unwrap();
        for verb in ["start", "restart", "run"] {
            as_nobody(&groups, &[verb, "1"]).expect(2, &format!("{dir}: {what}"));
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    }
    started_as_nobody(&groups);
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

/// Root may write everywhere, so its look says nothing of the daemon's.
#[test]
fn check_says_that_it_looked_as_root() {
    if !geteuid().is_root() {
        return;
    }
    let groups = Groups::new();
    let note = "note: files were looked at as root";
    assert!(!groups.run(&["check"]).out.contains(note), "they are root's");
    let dir = groups.site.dir.0.to_str().unwrap();
    give(dir);
    fs::read_dir(dir).unwrap().for_each(|it| give(it.unwrap().path().to_str().unwrap()));
    let said = groups.run(&["check"]);
    said.expect(0, note).expect(0, &format!("sudo -u '{}' ", name())).expect(0, "servers 1, 2: ");
    let mut check = groups.command("setpriv");
    check.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    check.args([PROGRAM, "check", "-c", &groups.config]);
    let said = Said::of(&check.output().unwrap());
    assert!(said.out.contains("configuration is right") && !said.out.contains(note), "{said:?}");
}

/// `/run` is empty after a boot.
#[test]
fn a_directory_that_is_not_there_is_told_as_that() {
    let groups = Groups::new();
    groups.edit("{%d}.pid", "away/{%d}.pid");
    let away = groups.site.file("away");
    let [me, its] = [geteuid().as_raw(), NOBODY].map(schedule::shell::owner::user);
    let advice =
        |user: &str| format!("its directory is not there: sudo install -d -o '{user}' {away}\n");
    let said = groups.run(&["start", "1"]);
    said.expect(2, "No such file").expect(2, &advice(&me));
    assert!(!said.err.contains("set [base] pidfile"), "{said:?}");
    groups.run(&["check"]).expect(1, &advice(&me));
    if geteuid().is_root() {
        give(groups.site.dir.0.to_str().unwrap());
        groups.run(&["check"]).expect(1, &advice(&its));
    }
    // What it says helps.
    fs::create_dir(&away).unwrap();
    assert!(!groups.run(&["check"]).out.contains("not there"));
}
