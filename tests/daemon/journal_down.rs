//! Somebody takes away what the journal wrote last, or damages it, while no daemon runs: the next
//! one notices, starts nothing twice, and counts what is missing.

use crate::common::database::TestDatabase;
use crate::daemon::facts::{STAMPS, logged, stamps};
use crate::daemon::rows::{Due, Row};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use crate::journal_gone::{reloaded, segments, wait_runs};
use schedule::core::database::Driver;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The daemon is killed, and this is done to the newest segment before the next one starts, while
/// the last slots are fresh. None is started twice; each run is recorded or counted.
fn while_down(spoil: impl Fn(&Path)) {
    let alone = |site: &Site, daemon: &Daemon, database: &mut TestDatabase| {
        database.sql(AWAY);
        wait_runs(site, 10);
        // From here on the newest segment alone knows.
        reloaded(site, daemon);
    };
    spoilt(alone, spoil);
}

const AWAY: &str = "ALTER TABLE scheduler_logs RENAME TO elsewhere;";

fn spoilt(before: impl Fn(&Site, &Daemon, &mut TestDatabase), spoil: impl Fn(&Path)) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let jobs = (1..=5).map(|id| Row::stamping(id, Due::Step(1), &site.file(STAMPS), "").insert());
    database.sql(&jobs.collect::<String>());
    let daemon = site.start();
    daemon.wait_jobs(5);
    before(&site, &daemon, &mut database);
    wait_runs(&site, 15);
    daemon.kill();
    let all = segments(Path::new(&site.file("state.1/journal")));
    spoil(all.last().unwrap());
    let daemon = site.start();
    daemon.wait_jobs(5);
    wait_runs(&site, 10);
    let told = daemon.status()["records_dropped"].clone();
    database.sql("ALTER TABLE elsewhere RENAME TO scheduler_logs;");
    database.sql("UPDATE scheduler_jobs SET status = 0;");
    wait_for("the database", SOON, || {
        let status = daemon.status();
        let none = ["jobs", "running", "records_waiting_bytes"].map(|name| status[name] == 0);
        (status["database"] == "up" && none == [true; 3]).then_some(())
    });
    let runs: BTreeSet<String> = stamps(&site).into_iter().map(|stamp| stamp.run).collect();
    let slots: BTreeSet<(u32, i64)> =
        stamps(&site).into_iter().map(|stamp| (stamp.job, stamp.slot)).collect();
    assert_eq!(runs.len(), slots.len(), "a slot was launched twice: {:?}", site.log());
    let ended = logged(&mut database).into_iter().filter(|it| !it.outcome.is_empty());
    let recorded: BTreeSet<String> = ended.map(|it| it.run).collect();
    let missing = runs.difference(&recorded).count() as u64;
    let dropped = daemon.status()["records_dropped"].as_u64().unwrap();
    println!("{} runs, {missing} missing, {dropped} dropped, {told} at once", runs.len());
    // Of a run under way when the daemon was killed it is not known whether another line told it.
    assert!(missing <= dropped && dropped <= missing + 5, "{missing}, {dropped}: {:?}", site.log());
    assert!(dropped > 0, "{:?}", site.log());
    assert!(!site.logged("removed, cut or damaged").is_empty(), "{:?}", site.log());
    drop(daemon);
    let daemon = site.start();
    assert_eq!(daemon.status()["records_dropped"], dropped, "it is counted once");
}

#[test]
fn a_newest_segment_that_was_removed_without_a_daemon_is_missed() {
    while_down(|newest| fs::remove_file(newest).unwrap());
}

#[test]
fn a_newest_segment_that_was_emptied_without_a_daemon_is_missed() {
    while_down(|newest| fs::write(newest, "").unwrap());
}

#[test]
fn a_newest_segment_that_was_zeroed_without_a_daemon_is_missed() {
    while_down(|newest| {
        let zeros = vec![0; fs::read(newest).unwrap().len()];
        fs::write(newest, zeros).unwrap();
    });
}

#[test]
fn a_newest_segment_that_was_cut_without_a_daemon_is_missed() {
    while_down(|newest| {
        let whole = fs::read(newest).unwrap();
        fs::write(newest, &whole[..whole.len() / 2]).unwrap();
    });
}

#[test]
fn a_journal_that_was_removed_without_a_daemon_is_missed() {
    while_down(|newest| fs::remove_dir_all(newest.parent().unwrap()).unwrap());
}

/// What the database has of it is not taken for what is missing.
#[test]
fn a_newest_segment_of_which_the_database_has_a_part_is_missed() {
    let partly = |site: &Site, daemon: &Daemon, database: &mut TestDatabase| {
        wait_runs(site, 15);
        assert_eq!(daemon.request("POST", "/api/v1/sync").status, 200);
        wait_for("the records", SOON, || (logged(database).len() >= 15).then_some(()));
        database.sql(AWAY);
    };
    spoilt(partly, |newest| {
        let whole = fs::read_to_string(newest).unwrap();
        let told = whole.rfind("{\"recorded\":").expect("the database has some");
        fs::write(newest, &whole[..told]).unwrap();
    });
}

/// The lines behind it are there, and what they say is not asked twice.
#[test]
fn a_hole_in_the_newest_segment_is_missed() {
    while_down(|newest| {
        let mut bytes = fs::read(newest).unwrap();
        let (from, to) = (bytes.len() / 4, bytes.len() / 2);
        bytes[from..to].fill(0);
        fs::write(newest, bytes).unwrap();
    });
}

/// Nothing tells what was decided: what may have been is not started.
fn without_last_words(take: impl Fn(&Path)) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let row = Row::stamping(1, Due::Step(1), &site.file(STAMPS), "");
    database.sql(&row.insert());
    let daemon = site.start();
    wait_runs(&site, 3);
    daemon.kill();
    for name in ["journal/last", "journal.last"] {
        take(Path::new(&site.file(&format!("state.1/{name}"))));
    }
    let _daemon = site.start();
    wait_runs(&site, 2);
    assert_eq!(site.logged("somebody took its last word away").len(), 1, "{:?}", site.log());
    let slots: BTreeSet<i64> = stamps(&site).into_iter().map(|stamp| stamp.slot).collect();
    assert_eq!(slots.len(), stamps(&site).len(), "a slot was launched twice");
}

#[test]
fn where_both_last_words_are_removed_no_slot_is_started_twice() {
    without_last_words(|word| fs::remove_file(word).unwrap());
}

#[test]
fn where_both_last_words_are_emptied_no_slot_is_started_twice() {
    without_last_words(|word| fs::write(word, "").unwrap());
}

/// Under a daemon that runs each of them is written anew.
#[test]
fn a_last_word_that_is_taken_away_is_said_again() {
    let site = Site::on(Driver::Sqlite).0;
    let daemon = site.start();
    let path = |name| PathBuf::from(site.file(&format!("state.1/{name}")));
    for name in ["journal/last", "journal.last"] {
        let is_said = || fs::read(path(name)).is_ok_and(|it| it.first().is_some_and(|it| *it != 0));
        wait_for("a last word", SOON, || is_said().then_some(()));
        fs::remove_file(path(name)).unwrap();
        wait_for("it again", SOON, || {
            // The loop sleeps until somebody asks.
            daemon.status();
            is_said().then_some(())
        });
    }
}
