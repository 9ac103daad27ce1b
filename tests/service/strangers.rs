//! State directories that somebody else can move: what that user puts in their place is no way to
//! have root write into files of its own, or into that user's.

use crate::daemon::facts::{STAMPS, logged, stamps};
use crate::daemon::rows::{Due, Row};
use crate::daemon::{Daemon, SOON, wait_for};
use crate::service::{Groups, Said};
use crate::users::{PROGRAM, give, run_as};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::geteuid;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

const NOBODY: u32 = 65534;

/// Another one.
const OTHER: u32 = 65_533;

/// Files that root has elsewhere.
const PRECIOUS: [&str; 4] = ["last", "next.1", "next.2", "00000000000000000000.log"];

/// A daemon of root's whose state directory is in a directory of another user's.
struct Place(Groups);

impl Place {
    /// None where nobody else can be a stranger.
    fn new() -> Option<Place> {
        if !geteuid().is_root() {
            eprintln!("SKIPPED: only root can play another user");
            return None;
        }
        let groups = Groups::new();
        let root = groups.site.file("root's");
        fs::create_dir(&root).unwrap();
        PRECIOUS.iter().for_each(|name| fs::write(format!("{root}/{name}"), name).unwrap());
        chown(&groups.site.dir.0, Some(NOBODY), Some(NOBODY)).unwrap();
        Some(Place(groups))
    }

    /// What the stranger does there.
    #[track_caller]
    fn stranger(&self, script: &str) {
        let mut sh = Command::new("/bin/sh");
        sh.args(["-euc", script]).current_dir(&self.0.site.dir.0).uid(NOBODY).gid(NOBODY);
        assert!(sh.status().unwrap().success(), "{script}");
    }

    /// That nothing of root's was touched.
    #[track_caller]
    fn expect_untouched(&self) {
        let root = self.0.site.file("root's");
        let mut names: Vec<_> =
            fs::read_dir(&root).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["00000000000000000000.log", "last", "next.1", "next.2"]);
        for name in PRECIOUS {
            assert_eq!(fs::read_to_string(format!("{root}/{name}")).unwrap(), name);
        }
    }
}

/// What the log has of a directory that was moved away. A snapshot that was to be written just then
/// has a line of its own, which says why, too.
fn told_astray(groups: &Groups, why: &str) -> Vec<String> {
    let mut told = groups.site.logged(why);
    told.retain(|line| line.contains("it was moved away"));
    told
}

/// Waits until this is told in place of where the journal is; the log has it once.
#[track_caller]
fn wait_astray(groups: &Groups, daemon: &Daemon, why: &str) {
    let is_told = || daemon.status()["journal_error"].as_str().is_some_and(|it| it.contains(why));
    wait_for(why, SOON, || is_told().then_some(()));
    // It looks again and again.
    let looks = daemon.status()["uptime_ms"].as_u64().unwrap() + 2_500;
    wait_for("more looks", SOON, || {
        (daemon.status()["uptime_ms"].as_u64().unwrap() > looks).then_some(())
    });
    assert!(is_told());
    assert_eq!(daemon.metric("schedule_journal_error"), 1);
    let told = told_astray(groups, why);
    assert_eq!(told.len(), 1, "{told:?}");
    groups.run(&["status", "1"]).expect(0, "it was moved away");
}

/// `new` in place of the state directory, in one step: where there is none the daemon makes one.
#[track_caller]
fn exchange(groups: &Groups) {
    exchange_with(groups, "state.1");
}

#[track_caller]
fn exchange_with(groups: &Groups, name: &str) {
    let [new, old] = ["new", name].map(|name| groups.site.file(name));
    renameat_with(CWD, &new, CWD, &old, RenameFlags::EXCHANGE).unwrap();
}

/// Waits until others can find the daemon.
#[track_caller]
fn wait_note(groups: &Groups) {
    wait_for("its note", SOON, || (!groups.site.read("state.1/daemon").is_empty()).then_some(()));
}

#[track_caller]
fn wait_back(daemon: &Daemon) {
    wait_for("the state directory", SOON, || {
        daemon.status()["journal_error"].is_null().then_some(())
    });
}

#[test]
fn what_a_stranger_puts_in_place_of_the_state_directory_is_not_written() {
    let Some(place) = Place::new() else { return };
    let groups = &place.0;
    let daemon = groups.site.start();
    wait_note(groups);
    let swaps = [
        ("mkdir new; ln -s \"$PWD/root's\" new/journal", "it is a directory of user"),
        ("ln -s \"$PWD/root's\" new", "is a link that belongs to user"),
    ];
    for (make, why) in swaps {
        place.stranger(make);
        exchange(groups);
        wait_astray(groups, &daemon, why);
        place.expect_untouched();
        exchange(groups);
        place.stranger("rm -rf new");
        wait_back(&daemon);
    }
    // A file of the stranger's gets none of it either.
    place.stranger("mkdir -p new/journal; touch new/snapshot.new new/refused new/journal/last");
    exchange(groups);
    wait_for("another look", SOON, || {
        (told_astray(groups, "it is a directory of user").len() == 2).then_some(())
    });
    assert_eq!(daemon.request("POST", "/api/v1/sync").status, 200);
    place.stranger("test -z \"$(find state.1 -user 65534 -type f -size +0)\"");
}

#[test]
fn what_keeps_a_state_directory_from_being_locked_is_told_once() {
    let groups = Groups::new();
    let daemon = groups.site.start();
    wait_note(&groups);
    let new = groups.site.file("new");
    fs::create_dir(&new).unwrap();
    symlink("/dev/null", format!("{new}/lock")).unwrap();
    exchange(&groups);
    wait_astray(&groups, &daemon, "lock: it is a symbolic link: take it away");
    fs::remove_file(groups.site.file("state.1/lock")).unwrap();
    wait_back(&daemon);
}

#[test]
fn a_start_follows_no_link_that_a_stranger_has_prepared() {
    let Some(place) = Place::new() else { return };
    let groups = &place.0;
    let refused = |said: Said| {
        said.expect(2, "is a link that belongs to user");
        place.expect_untouched();
    };
    let state = groups.site.file("state.1");
    place.stranger("ln -s \"$PWD/root's\" state.1");
    refused(groups.run(&["run", "1"]));
    groups.run(&["check"]).expect(1, "is a link that belongs to user");
    fs::remove_file(&state).unwrap();
    // Root's own, into which everybody may put things.
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    place.stranger("ln -s \"$PWD/root's\" state.1/journal");
    groups.run(&["check"]).expect(1, "is a link that belongs to user");
    refused(groups.run(&["run", "1"]));
    fs::remove_dir_all(&state).unwrap();
    // The pid file is emptied and written.
    fs::create_dir(&state).unwrap();
    place.stranger("ln -s \"$PWD/root's\" pids");
    groups.edit("{%d}.pid", "pids/{%d}");
    groups.run(&["check"]).expect(1, "is a link that belongs to user");
    refused(groups.run(&["run", "1"]));
}

/// That is no reason not to start: it was none before.
#[test]
fn who_can_move_a_state_directory_is_told() {
    let Some(place) = Place::new() else { return };
    let groups = &place.0;
    drop(groups.site.start());
    for (key, path) in [("pidfile", "1.pid"), ("statedir", "state.1")] {
        let told = format!("[base] {key} {}: ", groups.site.file(path));
        let daemon = groups.site.start();
        for verb in ["check", "status"] {
            let said = groups.run(&[verb, "1"]);
            said.expect(0, &told).expect(0, "who can put another in its place");
        }
        drop(daemon);
        assert!(!groups.site.logged(&told).is_empty(), "{key}");
    }
    chown(&groups.site.dir.0, Some(0), Some(0)).unwrap();
    for (mode, is_told) in [(0o777, true), (0o1777, false), (0o755, false)] {
        fs::set_permissions(&groups.site.dir.0, fs::Permissions::from_mode(mode)).unwrap();
        let said = groups.run(&["check"]);
        assert_eq!(said.out.contains("can be written by everybody"), is_told, "{mode:o} {said:?}");
        assert_eq!(said.out.contains("who can put another"), is_told, "{mode:o} {said:?}");
    }
}

/// A package, or who restores a backup, puts a directory of another user there: that is no
/// stranger's doing, and what waits for the database is not lost with it.
#[test]
fn a_directory_of_the_wrong_user_in_a_place_of_root_s_is_taken() {
    if !geteuid().is_root() {
        eprintln!("SKIPPED: only root can play another user");
        return;
    }
    let groups = Groups::new();
    let daemon = groups.site.start();
    wait_note(&groups);
    let new = groups.site.file("new");
    fs::create_dir(&new).unwrap();
    chown(&new, Some(NOBODY), Some(NOBODY)).unwrap();
    exchange(&groups);
    wait_for("the journal", SOON, || {
        fs::exists(groups.site.file("state.1/journal/last")).unwrap().then_some(())
    });
    wait_note(&groups);
    assert!(daemon.status()["journal_error"].is_null(), "{:?}", groups.site.log());
    assert_eq!(groups.site.logged("what counts is put there again").len(), 1);
}

/// Waits until the database has each run that began.
#[track_caller]
fn wait_recorded(groups: &mut Groups, daemon: &Daemon) {
    let ran: BTreeSet<String> = stamps(&groups.site).into_iter().map(|it| it.run).collect();
    wait_for("the database to have all", SOON, || {
        let ended = logged(&mut groups.database).into_iter().filter(|it| it.outcome == "exit 0");
        (ended.map(|it| it.run).collect::<BTreeSet<_>>() == ran).then_some(())
    });
    assert_eq!(daemon.status()["records_dropped"], 0, "{:?}", groups.site.log());
}

/// Another journal has its name, or none: that is no word of the database, nor of what waits.
#[test]
fn records_wait_until_a_state_directory_is_back() {
    let taken = [
        ("state.1", "mkdir new; ln -s /dev/null new/lock"),
        ("state.1", "mkdir -p new/journal; ln -s /dev/null new/lock"),
        ("state.1/journal", "touch new"),
    ];
    for (name, make) in taken {
        let mut groups = Groups::new();
        let job = Row::stamping(1, Due::Step(1), &groups.site.file(STAMPS), "");
        groups.database.sql(&job.insert());
        let daemon = groups.site.start();
        daemon.wait_jobs(1);
        wait_note(&groups);
        let mut sh = Command::new("/bin/sh");
        sh.args(["-euc", make]).current_dir(&groups.site.dir.0);
        assert!(sh.status().unwrap().success());
        exchange_with(&groups, name);
        let wait_runs = || {
            let before = stamps(&groups.site).len();
            wait_for("runs", SOON, || (stamps(&groups.site).len() >= before + 4).then_some(()));
        };
        wait_runs();
        let status = daemon.status();
        assert!(status["journal_error"].is_string(), "{status}");
        assert_eq!(status["database"], "up", "{:?}", groups.site.log());
        assert_ne!(status["records_waiting_bytes"], 0, "{status}");
        assert_eq!(status["records_dropped"], 0, "{:?}", groups.site.log());
        exchange_with(&groups, name);
        wait_back(&daemon);
        wait_runs();
        // The next daemon finds what the last one has told.
        exchange_with(&groups, name);
        wait_runs();
        groups.database.sql("UPDATE scheduler_jobs SET status = 0;");
        daemon.wait_gone(1);
        let said = groups.run(&["stop", "1"]);
        said.expect(0, "lost unless it is put back before the next start");
        said.expect(0, "records that the database does not have");
        drop(daemon);
        let told = groups.site.logged("end: ").concat();
        assert!(told.contains("lost unless it is put back"), "{told}");
        assert!(told.contains("records that the database does not have"), "{told}");
        exchange_with(&groups, name);
        let daemon = groups.site.start();
        wait_recorded(&mut groups, &daemon);
        assert!(groups.site.logged("database: ").is_empty(), "{:?}", groups.site.log());
    }
}

/// In the state directory: what is renamed and deleted there, too.
const NAMES: [&str; 14] = [
    "daemon",
    "daemon.new",
    "home",
    "instance",
    "instance.tmp",
    "keeper.ends",
    "keeper.tmp",
    "refused",
    "refused.tmp",
    "snapshot",
    "snapshot.new",
    "snapshot.old",
    "snapshot.room",
    "snapshot.stale",
];

/// Has the daemon take another table, and waits until it has.
#[track_caller]
fn change_table(groups: &mut Groups, daemon: &Daemon, id: u32) {
    groups.database.sql(&Row::new(id, Due::Step(1), "echo SECRET").insert());
    assert_eq!(daemon.request("POST", "/api/v1/sync").status, 200);
    wait_for("the table", SOON, || {
        (daemon.status()["jobs"].as_u64() == Some(u64::from(id))).then_some(())
    });
    wait_for("the snapshot's fate", SOON, || {
        daemon.status()["snapshot_error"].is_string().then_some(())
    });
}

#[test]
fn nothing_of_roots_is_renamed_or_deleted_through_a_strangers_link() {
    let Some(mut place) = Place::new() else { return };
    let root = place.0.site.file("root's");
    NAMES.iter().for_each(|name| fs::write(format!("{root}/{name}"), name).unwrap());
    let daemon = place.0.site.start();
    wait_note(&place.0);
    place.stranger("ln -s \"$PWD/root's\" new");
    exchange(&place.0);
    wait_astray(&place.0, &daemon, "is a link that belongs to user");
    for id in 1..=3 {
        change_table(&mut place.0, &daemon, id);
    }
    let told = place.0.site.logged("of the table in force could not be written");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(daemon.stop().success());
    for name in NAMES {
        assert_eq!(fs::read_to_string(format!("{root}/{name}")).ok().as_deref(), Some(name));
        fs::remove_file(format!("{root}/{name}")).unwrap();
    }
    place.expect_untouched();
}

/// The daemon is not root: a stranger's file can be made for it to write.
#[test]
fn a_strangers_files_get_neither_commands_nor_outputs() {
    let Some(mut place) = Place::new() else { return };
    let groups = &mut place.0;
    give(groups, OTHER);
    chown(&groups.site.dir.0, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&groups.site.dir.0, fs::Permissions::from_mode(0o777)).unwrap();
    run_as(groups, OTHER, &["start", "1"]).expect(0, "started");
    let make = "mkdir -m 777 new new/journal new/runs new/runs/1; cd new; umask 0; \
        for it in '' .new .room .old .stale; do : >snapshot$it; done; \
        : >refused; : >refused.tmp; : >daemon; : >journal/last; : >journal.last";
    place.stranger(make);
    let groups = &mut place.0;
    exchange(groups);
    wait_logged(groups, "it is a directory of user");
    groups.database.sql(&Row::new(1, Due::Step(1), "echo SECRET").insert());
    wait_logged(groups, "snapshot ");
    wait_logged(groups, "state directory's");
    let is_clean = "test -z \"$(find state.1 -type f -size +0; find state.1 ! -user 65534)\"";
    place.stranger(is_clean);
    run_as(&place.0, OTHER, &["stop", "1"]).expect(0, "stopped");
    place.stranger(is_clean);
}

#[track_caller]
fn wait_logged(groups: &Groups, text: &str) {
    wait_for(text, SOON, || (!groups.site.logged(text).is_empty()).then_some(()));
}

/// In a directory such as `/tmp` the name is that of who comes first.
#[test]
fn no_daemon_works_in_a_directory_that_a_stranger_has_made() {
    let Some(place) = Place::new() else { return };
    let groups = &place.0;
    let dir = &groups.site.dir.0;
    chown(dir, Some(0), Some(0)).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o1777)).unwrap();
    let daemon = groups.site.start();
    wait_note(groups);
    let new = groups.site.file("new");
    fs::create_dir(&new).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o777)).unwrap();
    chown(&new, Some(NOBODY), Some(NOBODY)).unwrap();
    exchange(groups);
    wait_astray(groups, &daemon, "it is a directory of user");
    assert_eq!(fs::read_dir(groups.site.file("state.1")).unwrap().count(), 0);
    drop(daemon);
    // What is there at a start is no better.
    place.stranger("echo forged >state.1/snapshot; mkdir -m 777 state.1/journal");
    for uid in [0, OTHER] {
        forget_files(groups);
        let said = run_as(groups, uid, &["run", "1"]);
        let advice = if uid == 0 { "belongs to" } else { "take it away, or, if it is ours" };
        said.expect(2, advice);
    }
    forget_files(groups);
    run_as(groups, OTHER, &["check"]).expect(1, "it is a directory of user");
    // Of a directory that is root's what a stranger has made in it is not taken either.
    chown(&new, Some(0), Some(0)).unwrap();
    fs::remove_dir_all(groups.site.file("state.1")).unwrap();
    fs::create_dir(groups.site.file("state.1")).unwrap();
    let mode = fs::Permissions::from_mode(0o777);
    fs::set_permissions(groups.site.file("state.1"), mode).unwrap();
    place.stranger("mkdir -m 777 state.1/journal");
    for uid in [0, OTHER] {
        forget_files(groups);
        run_as(groups, uid, &["run", "1"]).expect(2, "it is a directory of user");
    }
}

/// What another user's daemon has beside the state directory.
fn forget_files(groups: &Groups) {
    for name in ["1.pid", "1.pid.lock", "1.log"] {
        let _ = fs::remove_file(groups.site.file(name));
    }
}

/// Whose daemon has the group as its first is not asked alone: others may be in it.
#[test]
fn a_group_with_others_in_it_can_move_a_state_directory() {
    let Some(place) = Place::new() else { return };
    let groups = &place.0;
    let dir = &groups.site.dir.0;
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let users: Vec<[u32; 2]> = passwd
        .lines()
        .map(|line| line.split(':').skip(2).take(2).map(|it| it.parse().unwrap()))
        .map(|mut ids| [ids.next().unwrap(), ids.next().unwrap()])
        .filter(|[uid, gid]| *uid > 0 && *gid > 0)
        .collect();
    let shared = |[uid, gid]: &[u32; 2]| users.iter().any(|it| it[0] != *uid && it[1] == *gid);
    let Some([uid, gid]) = users.iter().copied().find(shared) else {
        eprintln!("SKIPPED: no two users have one group");
        return;
    };
    chown(dir, Some(uid), Some(gid)).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o775)).unwrap();
    let mut command = groups.command(PROGRAM);
    command.args(["check", "-c", &groups.config]).uid(uid).gid(gid);
    let said = Said::of(&command.output().unwrap());
    assert!(said.out.contains("can be written by group"), "{said:?}");
}
