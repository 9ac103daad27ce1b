//! Many rows: nothing is held, and an unchanged table costs next to nothing.

use crate::common::database::{TestDatabase, numbers};
use crate::common::helper::{self, ask_sync, sync};
use schedule::core::protocol::Answer;
use std::fs;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

/// A database of each kind with so many jobs of group 1.
fn with_jobs(count: u32) -> Vec<TestDatabase> {
    let columns = "INSERT INTO scheduler_jobs (name, command, cron, output, server_id, status)";
    let row = "'任务', '/usr/local/bin/php /data/scripts/job.php --mode=full', '*/5 * * * *',
        '/var/log/jobs/out.log', 1, 1";
    let rows = format!("{columns} SELECT {row} FROM {}", numbers(count));
    let mut each = TestDatabase::each();
    each.iter_mut().for_each(|database| database.sql(&rows));
    each
}

#[test]
fn ten_thousand_jobs_are_the_same_until_one_changes() {
    for mut database in with_jobs(10_000) {
        let reply = sync(&database.config, "");
        let jobs = reply.jobs();
        assert_eq!(jobs.len(), 10_000);
        assert!(jobs.is_sorted_by_key(|job| job.id));
        let digest = reply.digest();
        let before = Instant::now();
        sync(&database.config, digest).same();
        let took = before.elapsed();
        println!("{:?}: same in {took:?}", database.kind);
        assert!(took < Duration::from_secs(1), "{took:?}");
        database.sql("UPDATE scheduler_jobs SET cron = '*/6 * * * *' WHERE id = 5000");
        let next = sync(&database.config, digest);
        assert_eq!((next.jobs().len(), next.digest() == digest), (10_000, false));
    }
}

#[test]
fn a_hundred_thousand_rows_pass_through_without_being_held() {
    for database in with_jobs(100_000) {
        let mut child = helper::start(&helper::request(&database.config, ask_sync("")));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut jobs = 0;
        let mut held_kb = 0;
        for line in lines.map(Result::unwrap) {
            match serde_json::from_str(&line).unwrap() {
                Answer::Job(_) => jobs += 1,
                Answer::To(_) | Answer::Done(_) | Answer::Works => {}
                answer => {
                    assert!(matches!(answer, Answer::End { rows: 100_000, .. }), "{answer:?}")
                }
            }
            // The helper is somewhere in the last rows: it can't be gone while we don't read.
            if jobs == 90_000 {
                held_kb = private_memory_kb(child.id());
            }
        }
        assert_eq!((jobs, child.wait().unwrap().code()), (100_000, Some(0)));
        println!("{:?}: {held_kb} kB", database.kind);
        // The rows are 15 MB as JSON. The client of MySQL has a buffer of 4 MiB, the rest 1 MB.
        assert!((1..5_500).contains(&held_kb), "{:?}: {held_kb} kB", database.kind);
    }
}

/// What a process has for itself. Not the pages of the program: they are one copy for the daemon
/// and all helpers, and grow with each capability.
fn private_memory_kb(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn all_kinds_tell_the_same_story() {
    let each = with_jobs(100);
    let answers: Vec<_> = each.iter().map(|database| sync(&database.config, "").answers).collect();
    let rows = |answers: &[Answer]| answers[..answers.len() - 1].to_vec();
    for (database, told) in each.iter().zip(&answers) {
        assert_eq!(rows(told), rows(&answers[0]), "{:?}", database.kind);
    }
}
