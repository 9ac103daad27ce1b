//! The snapshot of the table: what a daemon that starts without its database goes by. Only that of
//! the table which was in force last counts, whatever a kill or the state directory did to it.

use crate::common::database::{Parts, TestDatabase};
use crate::common::our_program;
use crate::daemon::rows::{Due, Row};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use schedule::core::database::{Database, Driver, Sqlite};
use std::fs;

/// A site with one job, called `first`, that is due each second.
fn site_of(database: &mut TestDatabase) -> Site {
    let site = Site::new(&database.config);
    let row = Row::new(1, Due::Step(1), &format!("echo >>'{}'", site.file("ran")));
    database.sql(&row.named("first").insert());
    site
}

fn snapshot(site: &Site) -> String {
    site.read("state.1/snapshot")
}

fn wait_for_snapshot(site: &Site, name: &str) {
    wait_for("a snapshot", SOON, || snapshot(site).contains(name).then_some(()));
}

/// Renames the job and waits until its snapshot is kept. Returns that of before.
fn rename(site: &Site, database: &mut TestDatabase, name: &str) -> String {
    let before = snapshot(site);
    database.sql(&format!("UPDATE scheduler_jobs SET name = '{name}';"));
    wait_for_snapshot(site, name);
    before
}

/// A daemon whose database can't be had, though it is the same one. Returns it when it has missed
/// that.
fn start_without_database(site: &mut Site) -> Daemon {
    match site.database.driver() {
        Driver::Sqlite if fs::exists(site.database.path()).unwrap() => {
            fs::rename(site.database.path(), site.database.path().clone() + ".away").unwrap();
        }
        Driver::Sqlite => {}
        Driver::Mysql => site.database.server_mut().password = "not this one".into(),
    }
    missing_its_database(site)
}

/// The database is there again.
fn come_back(site: &mut Site, database: &TestDatabase) {
    site.database = database.config.clone();
    // Where it was not taken away there is nothing to be done.
    if let Some(path) = site.database.file() {
        let _ = fs::rename(format!("{path}.away"), path);
    }
}

fn missing_its_database(site: &Site) -> Daemon {
    let daemon = site.start();
    wait_for("the database to be missed", SOON, || {
        (daemon.metric("schedule_exchanges_total{result=\"failure\"}") > 2).then_some(())
    });
    daemon
}

/// Who starts a daemon by another configuration does not run the jobs of the one by the rules of
/// the other. A name in the journal of an earlier version is none: there it goes on.
#[test]
fn a_snapshot_of_another_database_is_not_used() {
    for mut database in TestDatabase::each() {
        let mut site = site_of(&mut database);
        let daemon = site.start();
        wait_for_snapshot(&site, "first");
        wait_for("a run", SOON, || (!site.read("ran").is_empty()).then_some(()));
        daemon.kill();
        let (before, own) = (site.read("ran"), site.database.clone());
        site.database = Database::Sqlite(Sqlite { path: site.file("sample.db") });
        let daemon = missing_its_database(&site);
        says(&site, &daemon, "/snapshot is of server 1 of ", "The snapshot of the jobs in");
        assert_eq!(site.read("ran"), before, "runs of another database's jobs");
        assert!(!site.logged("sample.db").is_empty());
        daemon.kill();
        // By the right one it is good, even though the database is away.
        site.database = own;
        let daemon = start_without_database(&mut site);
        wait_for("a run", SOON, || (site.read("ran").len() > before.len()).then_some(()));
        assert!(daemon.status()["snapshot_error"].is_null());
    }
}

fn status_line(site: &Site) -> String {
    let mut command = our_program();
    let output = command.args(["status", "1", "-c", &site.file("schedule.ini")]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everywhere the same is said of the snapshot.
fn says(site: &Site, daemon: &Daemon, api: &str, page: &str) {
    wait_for("that to be told", SOON, || {
        daemon.status()["snapshot_error"].as_str().is_some_and(|it| it.contains(api)).then_some(())
    });
    let body = daemon.get("/").body;
    assert!(body.contains(page), "{page}: {body}");
    let line = status_line(site);
    assert!(line.contains(api), "{line}");
    assert_eq!(daemon.metric("schedule_snapshot_error"), 1);
}

#[test]
fn a_snapshot_that_cannot_be_written_is_none_and_is_made_up_for() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&Row::new(1, Due::Minute, "true").named("first").insert());
    let daemon = site.start();
    let snapshot = || fs::read_to_string(site.file("state.1/snapshot")).unwrap_or_default();
    let names = |name: &str| {
        wait_for("a snapshot", SOON, || snapshot().contains(name).then_some(()));
    };
    names("first");
    // The helper can't write here. (On a disk that is full it is the same.)
    fs::create_dir(site.file("state.1/snapshot.new")).unwrap();
    for name in ["second", "third"] {
        database.sql(&format!("UPDATE scheduler_jobs SET name = '{name}';"));
        daemon.wait_job(1, "renamed", |job| job["name"] == name);
        // That of before is not what is in force: nobody is to start from it.
        wait_for("no snapshot", SOON, || snapshot().is_empty().then_some(()));
    }
    assert!(!site.logged("that of before is put").is_empty());
    // What the system said, and what to do: not that it is missing.
    let path = site.file("state.1/snapshot.new");
    let said = format!("{path}: Is a directory (os error 21): what lies there is not ours: take");
    says(&site, &daemon, &said, "Is a directory");
    fs::remove_dir(site.file("state.1/snapshot.new")).unwrap();
    names("third");
}

/// A state directory in which no name can be changed, as far as the snapshot goes.
fn names_stay(site: &Site, stay: bool) {
    for name in ["new", "stale", "old"] {
        let path = site.file(&format!("state.1/snapshot.{name}"));
        let _ = fs::remove_file(&path);
        if stay { fs::create_dir(path).unwrap() } else { fs::remove_dir(path).unwrap() }
    }
}

#[test]
fn a_job_that_was_switched_off_does_not_run_from_an_old_snapshot() {
    for mut database in TestDatabase::each() {
        let mut site = site_of(&mut database);
        let daemon = site.start();
        wait_for_snapshot(&site, "first");
        wait_for("a run", SOON, || (!site.read("ran").is_empty()).then_some(()));
        names_stay(&site, true);
        database.sql("UPDATE scheduler_jobs SET status = 0;");
        wait_for("no job", SOON, || (daemon.status()["jobs"] == 0).then_some(()));
        says(
            &site,
            &daemon,
            "of the table in force could not be",
            "The jobs in force could not be",
        );
        assert!(snapshot(&site).contains("first"), "nobody could take it away");
        daemon.kill();

        let before = site.read("ran");
        let daemon = start_without_database(&mut site);
        assert_eq!(site.read("ran"), before, "runs of a job that is switched off");
        says(&site, &daemon, "was not of the table that was in force last", "nothing is started");
        assert_eq!(site.logged("another table was in force after it").len(), 1);
        // So does the next one know, whose journal begins with a checkpoint.
        daemon.kill();
        drop(start_without_database(&mut site));
        assert_eq!(site.logged("another table was in force after it").len(), 2);
        assert_eq!(site.read("ran"), before, "runs of a job that is switched off");

        names_stay(&site, false);
        come_back(&mut site, &database);
        let daemon = site.start();
        wait_for("a snapshot", SOON, || {
            let status = daemon.status();
            (status["table_read"] == true && status["snapshot_error"].is_null()).then_some(())
        });
        assert_eq!(daemon.metric("schedule_snapshot_error"), 0);
    }
}

#[test]
fn a_snapshot_that_a_killed_daemon_had_not_kept_is_used() {
    for mut database in TestDatabase::each() {
        let mut site = site_of(&mut database);
        let daemon = site.start();
        wait_for_snapshot(&site, "first");
        let first = rename(&site, &mut database, "second");
        daemon.kill();
        // As if it had been killed just before, or in the middle of it.
        for name in ["snapshot", "snapshot.old"] {
            let path = |name: &str| site.file(&format!("state.1/{name}"));
            fs::rename(path("snapshot"), path("snapshot.new")).unwrap();
            fs::write(path(name), &first).unwrap();
            let daemon = start_without_database(&mut site);
            daemon.wait_job(1, "the last one", |job| job["name"] == "second");
            assert!(snapshot(&site).contains("second"));
            assert!(daemon.status()["snapshot_error"].is_null());
            daemon.kill();
        }
    }
}

/// The journal of a release that did not name its table: what is there is the last good one.
#[test]
fn a_journal_without_a_word_of_the_table_is_read_as_before() {
    let mut database = TestDatabase::new(Driver::Sqlite);
    let mut site = site_of(&mut database);
    let daemon = site.start();
    wait_for_snapshot(&site, "first");
    let first = rename(&site, &mut database, "second");
    daemon.kill();
    fs::write(site.file("state.1/snapshot"), first).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(site.file("state.1/journal")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "log") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let blank = |line: &str| match line.contains("{\"table\":") {
            true => "\n".repeat(line.len()),
            false => line.to_owned(),
        };
        count += text.matches("{\"table\":").count();
        fs::write(path, text.split_inclusive('\n').map(blank).collect::<String>()).unwrap();
    }
    assert!(count > 1, "the journal names {count} tables");
    let daemon = start_without_database(&mut site);
    daemon.wait_job(1, "as it is there", |job| job["name"] == "first");
    assert!(daemon.status()["snapshot_error"].is_null());
}

/// What a start without a usable snapshot tells, the next one tells as well, until there is one.
#[test]
fn a_snapshot_that_is_not_there_is_told_by_each_start() {
    let mut database = TestDatabase::new(Driver::Sqlite);
    let mut site = site_of(&mut database);
    drop(start_without_database(&mut site));
    assert!(site.logged("snapshot").is_empty(), "no table was ever in force");
    come_back(&mut site, &database);
    let daemon = site.start();
    wait_for_snapshot(&site, "first");
    daemon.kill();
    let path = site.file("state.1/snapshot");
    let whole = fs::read(&path).unwrap();
    type Damage<'a> = (&'a str, &'a str, &'a dyn Fn());
    let damages: [Damage<'_>; 4] = [
        ("force last is missing", "There is no snapshot", &|| ()),
        ("force last is missing", "There is no snapshot", &|| {
            fs::write(format!("{path}.stale"), &whole).unwrap();
        }),
        ("is not whole", "snapshot is not whole", &|| {
            fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        }),
        ("it is a symbolic link: take it away", "be read: ", &|| {
            std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        }),
    ];
    for (api, page, damage) in damages {
        let _ = fs::remove_file(&path);
        damage();
        for _ in 0..2 {
            let daemon = start_without_database(&mut site);
            says(&site, &daemon, api, page);
            assert_eq!(daemon.status()["jobs"], 0);
            daemon.kill();
        }
    }
    come_back(&mut site, &database);
    let daemon = site.start();
    wait_for_snapshot(&site, "first");
    wait_for("no word of it", SOON, || daemon.status()["snapshot_error"].is_null().then_some(()));
}
