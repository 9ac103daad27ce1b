//! Another state directory, or an older one, has the name: put there under a daemon or without one.
//! Its journal is not written over, no slot is started twice, and what the database knows stays.

use crate::common::database::TestDatabase;
use crate::daemon::facts::{STAMPS, logged, stamps};
use crate::daemon::rows::{Due, Row};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use crate::journal_gone::{reloaded, segments, wait_runs};
use rustix::process::Signal;
use schedule::core::database::Driver;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

const AWAY: &str = "ALTER TABLE scheduler_logs RENAME TO elsewhere;";
const BACK: &str = "ALTER TABLE elsewhere RENAME TO scheduler_logs;";

fn sh(site: &Site, script: &str) {
    let mut sh = Command::new("/bin/sh");
    sh.args(["-euc", script]).current_dir(&site.dir.0);
    assert!(sh.status().unwrap().success(), "{script}");
}

fn five_jobs() -> (Site, TestDatabase) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let jobs = (1..=5)
        .map(|id| Row::stamping(id, Due::Step(1), &site.file(STAMPS), "").limit(60).insert());
    database.sql(&jobs.collect::<String>());
    (site, database)
}

/// Waits until nothing runs and nothing waits.
fn settle(daemon: &Daemon, database: &mut TestDatabase) {
    database.sql("UPDATE scheduler_jobs SET status = 0;");
    wait_for("the database", SOON, || {
        let status = daemon.status();
        let none = ["jobs", "running", "records_waiting_bytes"].map(|name| status[name] == 0);
        (status["database"] == "up" && none == [true; 3]).then_some(())
    });
}

#[track_caller]
fn expect_no_slot_twice(site: &Site) {
    let all = stamps(site);
    let slots: BTreeSet<(u32, i64)> = all.iter().map(|stamp| (stamp.job, stamp.slot)).collect();
    assert_eq!(slots.len(), all.len(), "a slot was launched twice: {:?}", site.log());
}

/// The runs that began, and whose end the database does not have. (Of one that was alive when its
/// daemon ended the next one, which does not know it, was told the end: it is lost.)
fn unrecorded(site: &Site, database: &mut TestDatabase) -> BTreeSet<String> {
    let ended = logged(database).into_iter().filter(|it| it.outcome != "running");
    let ended: BTreeSet<String> = ended.map(|it| it.run).collect();
    stamps(site).into_iter().map(|it| it.run).filter(|run| !ended.contains(run)).collect()
}

/// A daemon was started while its state directory was not there: with records that wait in several
/// segments. It comes back.
fn comes_back(end: impl Fn(Daemon)) {
    let (site, mut database) = five_jobs();
    let daemon = site.start();
    daemon.wait_jobs(5);
    database.sql(AWAY);
    wait_runs(&site, 10);
    reloaded(&site, &daemon);
    wait_runs(&site, 10);
    assert!(daemon.stop().success());
    let first: BTreeSet<String> = stamps(&site).into_iter().map(|it| it.run).collect();
    sh(&site, "mv state.1 old");
    let before: Vec<Vec<u8>> = contents(Path::new(&site.file("old/journal")));
    let daemon = site.start();
    daemon.wait_jobs(5);
    wait_runs(&site, 10);
    sh(&site, "mv state.1 new; mv old state.1");
    let is_told = || {
        let why = daemon.status()["journal_error"].clone();
        why.as_str().filter(|why| why.contains("holds the journal of another daemon")).map(|_| ())
    };
    wait_for("another journal", SOON, is_told);
    // A reload finds no place for what counts, and says so.
    daemon.signal(Signal::HUP);
    wait_for("a reload that is refused", SOON, || {
        (!site.logged("reload not done").is_empty()).then_some(())
    });
    wait_runs(&site, 10);
    assert_eq!(contents(Path::new(&site.file("state.1/journal"))), before);
    assert_eq!(site.logged("it was moved away, and nothing is put").len(), 1, "{:?}", site.log());
    end(daemon);
    let daemon = site.start();
    daemon.wait_jobs(5);
    wait_runs(&site, 10);
    let told = site.logged("is not where the daemon before has worked");
    assert_eq!(told.len(), 1, "{:?}", site.log());
    database.sql(BACK);
    settle(&daemon, &mut database);
    expect_no_slot_twice(&site);
    let missing = unrecorded(&site, &mut database);
    assert!(missing.is_disjoint(&first), "{missing:?} {:?}", site.log());
    assert_eq!(daemon.status()["records_dropped"], 0, "{:?}", site.log());
    // The others are where that daemon has left them.
    assert!(daemon.stop().success());
    sh(&site, "mv state.1 done; mv new state.1");
    let daemon = site.start();
    settle(&daemon, &mut database);
    let missing = unrecorded(&site, &mut database);
    assert!(missing.is_empty(), "{missing:?} {:?}", site.log());
    expect_no_slot_twice(&site);
    let skips = database.value("SELECT COUNT(*) FROM scheduler_skips");
    assert_eq!(skips, "0", "{:?}", site.log());
}

fn contents(journal: &Path) -> Vec<Vec<u8>> {
    segments(journal).iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn a_state_directory_that_comes_back_under_a_daemon_that_is_killed_is_not_written_over() {
    comes_back(Daemon::kill);
}

#[test]
fn a_state_directory_that_comes_back_under_a_daemon_that_is_stopped_is_not_written_over() {
    comes_back(|daemon| assert!(daemon.stop().success()));
}

/// Another journal in the place of this one alone.
#[test]
fn a_journal_that_comes_back_under_a_daemon_is_not_written_over() {
    let (site, mut database) = five_jobs();
    database.sql(AWAY);
    let daemon = site.start();
    wait_runs(&site, 10);
    assert!(daemon.stop().success());
    sh(&site, "mv state.1/journal old; rm state.1/journal.last");
    let before = contents(Path::new(&site.file("old")));
    let daemon = site.start();
    wait_runs(&site, 10);
    sh(&site, "mv state.1/journal new; mv old state.1/journal");
    wait_for("another journal", SOON, || {
        let why = daemon.status()["journal_error"].clone();
        why.as_str().filter(|why| why.contains("holds the journal of another daemon")).map(|_| ())
    });
    assert_eq!(contents(Path::new(&site.file("state.1/journal"))), before);
    sh(&site, "mv state.1/journal old; mv new state.1/journal");
    wait_for("its own", SOON, || daemon.status()["journal_error"].is_null().then_some(()));
    expect_no_slot_twice(&site);
}

/// A start that fails when it has looked at the state directory: its address is taken.
fn start_in_vain(site: &Site) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = site.command();
    let config = site.read("schedule.ini");
    let port = format!("\nport = {}\n", taken.local_addr().unwrap().port());
    fs::write(site.file("schedule.ini"), config.replace("\nport = 0\n", &port)).unwrap();
    let out = command.output().unwrap();
    assert_eq!(out.status.code(), Some(2), "{out:?}");
}

/// A state directory of before is put back while no daemon runs: what came since it does not know.
fn put_back(how: &str) {
    let (site, mut database) = five_jobs();
    let slow = Row::new(6, Due::Never("0 0 29 2 *"), "sleep 2").insert();
    database.sql(&slow);
    let daemon = site.start();
    daemon.wait_jobs(6);
    daemon.start_job(6);
    wait_for("a run", SOON, || (daemon.status()["running"] != 0).then_some(()));
    wait_runs(&site, 5);
    sh(&site, "cp -a state.1 bak");
    wait_runs(&site, 25);
    wait_for("the slow run to be recorded", SOON, || {
        let ended = logged(&mut database).into_iter().filter(|it| it.outcome == "exit 0");
        ended.map(|it| it.job).any(|job| job == 6).then_some(())
    });
    assert!(daemon.stop().success());
    let outcomes = |database: &mut TestDatabase| -> BTreeMap<String, String> {
        logged(database).into_iter().map(|it| (it.run, it.outcome)).collect()
    };
    let before = outcomes(&mut database);
    sh(&site, how);
    start_in_vain(&site);
    let daemon = site.start();
    wait_runs(&site, 10);
    settle(&daemon, &mut database);
    expect_no_slot_twice(&site);
    let after = outcomes(&mut database);
    let changed: Vec<_> = before.iter().filter(|(run, was)| after.get(*run) != Some(was)).collect();
    assert!(changed.is_empty(), "{changed:?} {:?}", site.log());
    let skips = database.value("SELECT COUNT(*) FROM scheduler_skips");
    assert_eq!(skips, "0", "{:?}", site.log());
    let told = site.logged("no slot before that is launched");
    assert_eq!(told.len(), 1, "{:?}", site.log());
    // The next one goes on as ever.
    daemon.kill();
    let _daemon = site.start();
    let told = site.logged("no slot before that is launched");
    assert_eq!(told.len(), 1, "{:?}", site.log());
}

#[test]
fn an_older_state_directory_that_is_restored_in_place_starts_nothing_twice() {
    put_back("rm -rf state.1/*; cp -a bak/. state.1/");
}

#[test]
fn an_older_state_directory_that_is_copied_over_starts_nothing_twice() {
    put_back("cp -r bak/. state.1/");
}

/// Their files keep their numbers, and get the times that they had.
#[test]
fn an_older_state_directory_that_is_copied_over_with_its_times_starts_nothing_twice() {
    put_back("cp -a bak/. state.1/");
}

#[test]
fn an_older_state_directory_that_is_moved_back_starts_nothing_twice() {
    put_back("mv state.1 gone; mv bak state.1");
}

/// The instants (in seconds) for which the first job was launched.
fn slots(site: &Site) -> BTreeSet<i64> {
    stamps(site).into_iter().filter(|it| it.job == 1).map(|it| it.slot).collect()
}

/// The time in seconds.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

fn wait_until(at: i64) {
    wait_for("time to pass", SOON, || (now() >= at).then_some(()));
}

/// Nobody has put anything back: what is due while no daemon runs is made up for.
fn touched(end: impl Fn(Daemon), what: &str) {
    let (site, _database) = five_jobs();
    let daemon = site.start();
    daemon.wait_jobs(5);
    wait_runs(&site, 10);
    end(daemon);
    let ended = now();
    wait_until(ended + 3);
    sh(&site, what);
    wait_until(ended + 5);
    let _daemon = site.start();
    let first = *slots(&site).first().unwrap();
    wait_for("all slots", SOON, || {
        let there = slots(&site);
        (first..=ended + 5).all(|slot| there.contains(&slot)).then_some(())
    });
    expect_no_slot_twice(&site);
    assert_eq!(site.logged("journal: "), [""; 0]);
}

/// As at each start of many containers, or of a backup.
const TOUCHES: &str = "chown -R $(id -u) state.1; chmod -R u+rw state.1; cp -al state.1 backup";

#[test]
fn files_that_get_an_owner_or_another_name_are_no_others() {
    touched(|daemon| assert!(daemon.stop().success()), TOUCHES);
    touched(Daemon::kill, TOUCHES);
}

/// The number of a device is another one after a restart, or where a disk is mounted again.
#[test]
fn a_disk_that_has_another_number_is_no_other() {
    let renumber = "sed -i 's/^[0-9]* /9/' state.1/home";
    touched(|daemon| assert!(daemon.stop().success()), renumber);
    touched(Daemon::kill, renumber);
}

/// What was in memory went, though the file system had noted that it was written. What was due when
/// the daemon may still have worked is not launched again; what was due later is.
#[test]
fn what_is_due_while_the_power_is_off_is_made_up_for() {
    let (site, _database) = five_jobs();
    let daemon = site.start();
    daemon.wait_jobs(5);
    wait_runs(&site, 5);
    let words = ["state.1/journal/last", "state.1/journal.last"];
    let before: Vec<Vec<u8>> = words.map(|word| fs::read(site.file(word)).unwrap()).into();
    let said = now();
    wait_until(said + 4);
    daemon.kill();
    let off = now();
    words.iter().zip(&before).for_each(|(word, text)| fs::write(site.file(word), text).unwrap());
    wait_until(off + 10);
    let _daemon = site.start();
    wait_for("the slots of the outage", SOON, || {
        let there = slots(&site);
        (off + 8..=off + 10).all(|slot| there.contains(&slot)).then_some(())
    });
    expect_no_slot_twice(&site);
    assert_eq!(site.logged("or the power failed").len(), 1, "{:?}", site.log());
}
