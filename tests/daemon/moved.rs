//! A daemon that is started by a configuration which names another database: what waits in the
//! journal is not written there, until somebody says that it is the same one.

use crate::common::database::{Parts, TestDatabase};
use crate::common::our_program;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use rustix::process::Signal;
use schedule::core::database::{Database, Driver};
use std::collections::BTreeSet;
use std::fs;

/// Jobs of the database that was left: one whose runs end at once, one whose first run goes on and
/// keeps the others from starting.
const LEFT: [u32; 2] = [1, 2];

/// A job of the other one.
const OTHER: u32 = 5;

/// A database that is away, records that wait for it, and a run of its jobs that goes on.
struct Left {
    site: Site,
    database: TestDatabase,
    other: TestDatabase,
}

impl Left {
    fn new(mut database: TestDatabase) -> Left {
        let site = Site::new(&database.config);
        let noted = format!("echo $SCHEDULE_RUN_ID >>'{}'", site.file("ran"));
        let row = |id, rest: &str| Row::new(id, Due::Step(1), &format!("{noted}; {rest}"));
        database.sql(&insert(&[row(LEFT[0], "true"), row(LEFT[1], &site.waits())]));
        let mut other = TestDatabase::new(database.kind);
        other.sql(&insert(&[Row::new(OTHER, Due::Step(1), "true")]));
        let mut left = Left { site, database, other };
        let daemon = left.site.start();
        wait_for("a run that is recorded and one that goes on", SOON, || {
            let count =
                |id: u32| format!("SELECT COUNT(*) FROM scheduler_logs WHERE command_id = {id}");
            let all = LEFT.map(|id| left.database.value(&count(id)));
            all.iter().all(|count| count != "0").then_some(())
        });
        daemon.kill();
        left.away();
        let before = left.ran().len();
        let daemon = left.site.start();
        wait_for("runs that can't be recorded", SOON, || {
            let skips = daemon.job(LEFT[1]).is_some_and(|job| job["skipped"] != 0);
            (left.ran().len() > before + 2 && skips).then_some(())
        });
        daemon.kill();
        left.back();
        left
    }

    /// The database can't be had by its name.
    fn away(&mut self) {
        match self.site.database.driver() {
            Driver::Sqlite => {
                let path = self.site.database.path();
                fs::rename(path, format!("{path}.away")).unwrap();
            }
            Driver::Mysql => self.site.database.server_mut().password = "not this one".into(),
        }
    }

    fn back(&mut self) {
        self.site.database = self.database.config.clone();
        if let Some(path) = self.site.database.file() {
            let _ = fs::rename(format!("{path}.away"), path);
        }
    }

    /// Ids of its runs that began.
    fn ran(&self) -> BTreeSet<String> {
        self.site.read("ran").lines().map(str::to_owned).collect()
    }

    fn start_by(&mut self, database: &Database, more: &str) -> Daemon {
        self.site.database = database.clone();
        let command = self.site.command();
        self.say(more);
        self.site.start_by(command)
    }

    /// Adds a line to the section of the database.
    fn say(&self, more: &str) {
        let file = self.site.file("schedule.ini");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}\n{more}\n")).unwrap();
    }

    /// Waits until that run of its jobs has ended which goes on.
    fn end(&self, daemon: &Daemon) {
        self.site.go();
        wait_for("the run to end", SOON, || {
            (!self.site.logged(&format!("end job={} ", LEFT[1])).is_empty()).then_some(())
        });
        wait_all(daemon);
    }

    /// Nothing more is started by the other one, and what was is recorded there.
    fn records_all_of_other(&mut self, daemon: &Daemon) {
        self.other.sql("UPDATE scheduler_jobs SET status = 0");
        assert_eq!(daemon.request("POST", "/api/v1/sync").status, 200);
        daemon.wait_gone(OTHER);
        wait_for("nothing to wait", SOON, || {
            (daemon.status()["records_waiting_bytes"] == 0).then_some(())
        });
    }

    /// The configuration names its database again, which does not answer: its records wait for it
    /// as all others do, and nobody is told of another one.
    fn waits_for_its_database(&mut self) {
        self.site.database = self.database.config.clone();
        self.away();
        let away = self.site.database.clone();
        let daemon = self.start_by(&away, "");
        let status = daemon.status();
        assert_eq!(status["records_elsewhere"], 0, "{status}");
        let last = status["records_refused_last"].as_str().unwrap();
        assert!(last.ends_with("it waits for the database"), "{last}");
        let checked = self.program(&["check"]);
        assert!(checked.contains(" for the database: it has not answered"), "{checked}");
        for told in [checked, self.program(&["status", "1"])] {
            assert!(
                !told.contains("another database") && !told.contains("database refuses"),
                "{told}"
            );
        }
        daemon.kill();
        self.back();
    }

    /// A former name that is none is told, with those that it may be.
    fn mistypes(&self, daemon: &Daemon) {
        let place = self.database.config.place();
        let said = "no record is of that database; those that records here may be of are: ";
        let file = self.site.file("schedule.ini");
        let before = fs::read_to_string(&file).unwrap();
        self.say("moved_from = sqlite /no/such");
        let told = self.program(&["check"]);
        assert!(told.contains(said) && told.contains(&place), "{told}");
        daemon.signal(Signal::HUP);
        wait_for("it to be told", SOON, || (!self.site.logged(said).is_empty()).then_some(()));
        fs::write(&file, before).unwrap();
    }

    fn program(&self, words: &[&str]) -> String {
        let mut command = our_program();
        command.args(words).args(["-c", &self.site.file("schedule.ini")]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }
}

fn nothing_is_aside(daemon: &Daemon) -> Option<()> {
    let status = daemon.status();
    let counts = [&status["records_refused"], &status["records_elsewhere"]];
    counts.iter().all(|count| **count == 0).then_some(())
}

/// Waits until all that the journal had is written or set aside.
fn wait_all(daemon: &Daemon) {
    let mut before = None;
    wait_for("nothing to wait", SOON, || {
        let status = daemon.status();
        let launched = status["launched"].as_u64();
        // One that came after the end of the run is recorded behind it.
        let is_behind = *before.get_or_insert(launched) < launched;
        (is_behind && status["records_waiting_bytes"] == 0).then_some(())
    });
}

/// Runs and skips of these jobs.
fn records(database: &mut TestDatabase, jobs: &[u32]) -> (BTreeSet<String>, usize, usize) {
    let jobs: Vec<_> = jobs.iter().map(u32::to_string).collect();
    let jobs = jobs.join(", ");
    let runs = database.query(&format!(
        "SELECT uniq_id, outcome FROM scheduler_logs WHERE command_id IN ({jobs})"
    ));
    let skips =
        database.query(&format!("SELECT job_id FROM scheduler_skips WHERE job_id IN ({jobs})"));
    let ids: BTreeSet<_> = runs.iter().map(|run| run[0].clone()).collect();
    assert_eq!(ids.len(), runs.len(), "a run is there twice: {runs:?}");
    let ended = runs.iter().filter(|run| run[1] != "running").count();
    (ids, ended, skips.len())
}

const NOTHING: (BTreeSet<String>, usize, usize) = (BTreeSet::new(), 0, 0);

#[test]
fn records_of_another_database_wait_for_it() {
    for database in TestDatabase::each() {
        let kind = database.kind;
        let mut left = Left::new(database);
        let place = left.database.config.place();
        let other = left.other.config.clone();
        let daemon = left.start_by(&other, "");
        left.end(&daemon);
        let status = daemon.status();
        assert!(status["records_elsewhere"].as_u64().unwrap() > 3, "{kind:?}: {status}");
        assert_eq!(status["records_refused"], 0, "{kind:?}: {status}");
        let last = status["records_elsewhere_last"].as_str().unwrap();
        let said = format!("add there: moved_from = {place}");
        assert!(last.ends_with(&said), "{last}");
        let page = daemon.get("/").body;
        assert!(page.contains("Records of another database"), "{page}");
        assert!(!left.site.logged(&said).is_empty(), "{kind:?}");
        for words in [&["status", "1"][..], &["check"]] {
            let told = left.program(words);
            assert!(told.contains(&said), "{words:?}: {told}");
            assert!(!told.contains("tried again") && !told.contains("database refuses"), "{told}");
        }
        assert!(left.site.logged("tried again").is_empty(), "{kind:?}");
        left.records_all_of_other(&daemon);
        daemon.kill();
        assert_eq!(records(&mut left.other, &LEFT), NOTHING, "{kind:?}");
        assert_ne!(records(&mut left.other, &[OTHER]), NOTHING, "{kind:?}");

        // By the right one they are written, and nothing of the other.
        let ran = left.ran();
        let own = left.database.config.clone();
        left.waits_for_its_database();
        let daemon = left.start_by(&own, "");
        wait_for("nothing to be set aside", SOON, || nothing_is_aside(&daemon));
        wait_all(&daemon);
        daemon.kill();
        let (ids, ended, skips) = records(&mut left.database, &LEFT);
        let missing: Vec<_> = ran.difference(&ids).collect();
        assert!(missing.is_empty(), "{kind:?}: {missing:?}");
        assert!(ended >= ran.len() && skips > 0, "{kind:?}: {ended} of {ran:?}, {skips}");
        assert_eq!(records(&mut left.database, &[OTHER]), NOTHING, "{kind:?}");
    }
}

/// A database that was moved is the same one, once the configuration says so.
#[test]
fn records_follow_a_database_that_was_moved() {
    for is_late in [false, true] {
        for database in TestDatabase::each() {
            let kind = database.kind;
            let mut left = Left::new(database);
            let line = format!("moved_from = {}", left.database.config.place());
            let other = left.other.config.clone();
            let daemon = left.start_by(&other, if is_late { "" } else { &line });
            left.end(&daemon);
            if is_late {
                left.mistypes(&daemon);
                assert_ne!(daemon.status()["records_elsewhere"], 0, "{kind:?}");
                left.say(&line);
                daemon.signal(Signal::HUP);
            }
            wait_for("nothing to be set aside", SOON, || nothing_is_aside(&daemon));
            daemon.kill();
            let ran = left.ran();
            let all = [&LEFT[..], &[OTHER]].concat();
            let (ids, ended, skips) = records(&mut left.other, &all);
            let before = records(&mut left.database, &LEFT).0;
            let missing: Vec<_> = ran.iter().filter(|run| !ids.contains(*run)).collect();
            let missing: Vec<_> =
                missing.into_iter().filter(|run| !before.contains(*run)).collect();
            assert!(missing.is_empty(), "{kind:?}: {missing:?}");
            assert!(ended > 3 && skips > 0, "{kind:?}: {ended}, {skips}");
            assert!(
                left.site.logged("it is of another database").is_empty() != is_late,
                "{kind:?}"
            );
        }
    }
}
