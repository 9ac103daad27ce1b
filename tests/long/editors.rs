//! Very many editors of few jobs over the API, each of whom changes only what was seen
//! (`If-Match`): no change is lost, and the table of acts has each of them once and in order. The
//! ledger is the test's own: what each editor was told.
//!
//! `SCHEDULE_EDITORS` says how many (40). `scripts/long editors` is the long form.

use crate::common::database::{Kind, TestDatabase};
use crate::daemon::http::Reply;
use crate::daemon::{Daemon, SOON, Site, alone, setting, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread::scope;

const JOBS: u64 = 20;

/// Changes that each editor makes.
const CHANGES: u64 = 3;

/// What an editor was told of a change that was made.
#[derive(Debug)]
struct Told {
    job: u64,
    /// The number that the job had, and that it got.
    numbers: (u64, u64),
    /// Its version afterwards.
    version: String,
}

/// What all of them were told: changes that were made, by what each has written; and how often
/// somebody was second, or not asked in time.
#[derive(Debug, Default)]
struct Ledger {
    made: BTreeMap<String, Told>,
    second: u64,
    busy: u64,
}

fn number(job: &Value) -> u64 {
    job["max_concurrence"].as_u64().unwrap()
}

fn text(of: &Value) -> String {
    of.as_str().unwrap().to_owned()
}

/// Counts a job on by one, and signs that.
fn count_on(daemon: &Daemon, id: u64, sign: &str, ledger: &Mutex<Ledger>) {
    loop {
        let seen = daemon.json(&format!("/api/v1/jobs/{id}"));
        let next = json!({"max_concurrence": number(&seen) + 1, "owner": sign}).to_string();
        let expected = format!("If-Match: \"{}\"\r\n", text(&seen["version"]));
        let reply: Reply = daemon.send("PATCH", &format!("/api/v1/jobs/{id}"), &expected, &next);
        let mut ledger = ledger.lock().unwrap();
        match reply.status {
            200 => {
                let version = text(&reply.json()["version"]);
                let numbers = (number(&seen), number(&seen) + 1);
                let told = Told { job: id, numbers, version };
                assert!(ledger.made.insert(sign.to_owned(), told).is_none(), "{sign} twice");
                return;
            }
            412 => ledger.second += 1,
            503 => {
                assert!(reply.body.contains("nothing was changed"), "{reply:?}");
                ledger.busy += 1;
            }
            _ => panic!("{reply:?}"),
        }
    }
}

/// What the table of acts says of each change, in its order: what was written, the job, the numbers
/// before and afterwards, the version.
fn audit(database: &mut TestDatabase) -> Vec<(String, Told)> {
    let sql = "SELECT job_id, version, what FROM scheduler_audit
        WHERE action = 'edit' AND result = 'done' ORDER BY id";
    let entry = |row: Vec<String>| {
        let what: Value = serde_json::from_str(&row[2]).unwrap();
        let of = |at: usize| what["max_concurrence"][at].as_u64().unwrap();
        let told =
            Told { job: row[0].parse().unwrap(), numbers: (of(0), of(1)), version: row[1].clone() };
        (text(&what["owner"][1]), told)
    };
    database.query(sql).into_iter().map(entry).collect()
}

fn editors_on(kind: Kind, editors: u64) {
    let (site, mut database) = Site::on(kind);
    for id in 1..=JOBS {
        database.sql(&format!(
            "INSERT INTO scheduler_jobs (id, name, command, cron, server_id, status)
             VALUES ({id}, 'job {id}', 'true {id}', '0 0 1 1 *', 1, 1)"
        ));
    }
    let daemon = site.start();
    daemon.wait_jobs(JOBS);
    let ledger = Mutex::new(Ledger::default());
    scope(|threads| {
        for editor in 0..editors {
            let (daemon, ledger) = (&daemon, &ledger);
            threads.spawn(move || {
                for change in 0..CHANGES {
                    let id = 1 + (editor + 7 * change) % JOBS;
                    count_on(daemon, id, &format!("{editor}.{change}"), ledger);
                }
            });
        }
    });
    let Ledger { made, second, busy } = ledger.into_inner().unwrap();
    let all = editors * CHANGES;
    assert_eq!(made.len() as u64, all, "{kind:?}");
    // No update is lost: the rows have counted as far as the editors have.
    let sum = database.value("SELECT SUM(max_concurrence) FROM scheduler_jobs");
    assert_eq!(sum, (JOBS + all).to_string(), "{kind:?}");
    // Each is there once, says what its editor was told, and goes on from the one before.
    let audit = audit(&mut database);
    assert_eq!(audit.len() as u64, all, "{kind:?}");
    let mut numbers: BTreeMap<u64, u64> = (1..=JOBS).map(|id| (id, 1)).collect();
    let mut versions = BTreeMap::new();
    for (sign, entry) in &audit {
        let told = &made[sign];
        assert_eq!((entry.job, &entry.version), (told.job, &told.version), "{kind:?}: {sign}");
        assert_eq!(entry.numbers, told.numbers, "{kind:?}: {sign}");
        let before = numbers.insert(entry.job, entry.numbers.1);
        assert_eq!(before, Some(entry.numbers.0), "{kind:?}: job {}: {sign}", entry.job);
        versions.insert(entry.job, entry.version.clone());
    }
    for (id, version) in versions {
        assert_eq!(daemon.json(&format!("/api/v1/jobs/{id}"))["version"], version, "{kind:?}");
    }
    // Who was second is written down as well.
    let refused = "SELECT COUNT(*) FROM scheduler_audit WHERE result LIKE 'somebody was first%'";
    wait_for("who was second", SOON, || {
        (database.value(refused) == second.to_string()).then_some(())
    });
    println!("{kind:?}: {editors} editors, {all} changes; {second} second, {busy} not in time");
    assert!(second > 0, "{kind:?}: nobody was second");
}

#[test]
fn no_editor_loses_what_another_has_changed() {
    let _alone = alone();
    for kind in Kind::all() {
        editors_on(kind, setting("SCHEDULE_EDITORS", 40));
    }
}
