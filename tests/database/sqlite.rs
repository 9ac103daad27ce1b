//! SQLite only: the stamp of the file, its locks, its write-ahead log.

use crate::common::database::{Parts, TestDatabase};
use crate::common::helper::{ended, recorded, run, sync};
use schedule::core::database::{Database, Driver, ErrorKind};
use std::fs::File;
use std::time::{Duration, SystemTime};

const JOB: &str =
    "INSERT INTO scheduler_jobs (id, command, server_id, status) VALUES (1, 'a', 1, 1)";

/// Makes the file look as if its last change were a while ago.
fn settle(database: &Database) {
    let before = SystemTime::now() - Duration::from_secs(10);
    File::options().write(true).open(database.path()).unwrap().set_modified(before).unwrap();
}

/// Proves that the answer to `digest` comes without reading: nobody can read under this lock.
fn same_while_locked(database: &mut TestDatabase, digest: &str) -> String {
    database.sql("BEGIN EXCLUSIVE");
    let reply = sync(&database.config, digest);
    database.sql("ROLLBACK");
    reply.same().to_owned()
}

#[test]
fn an_untouched_file_is_not_read() {
    let mut database = TestDatabase::new(Driver::Sqlite);
    database.sql(JOB);
    settle(&database.config);
    let digest = sync(&database.config, "").digest().to_owned();
    assert_eq!(same_while_locked(&mut database, &digest), digest);

    // Records touch the file but not the jobs: the next answer brings the new stamp.
    recorded(&database.config, &[run(ended("a"))]);
    settle(&database.config);
    let next = sync(&database.config, &digest).same().to_owned();
    assert_ne!(next, digest);
    assert_eq!(same_while_locked(&mut database, &next), next);

    database.sql("UPDATE scheduler_jobs SET command = 'b'");
    settle(&database.config);
    assert_eq!(sync(&database.config, &next).jobs()[0].command, "b");
}

#[test]
fn a_file_that_may_still_change_under_the_same_times_gets_no_stamp() {
    let mut database = TestDatabase::new(Driver::Sqlite);
    database.sql(JOB);
    let digest = sync(&database.config, "").digest().to_owned();
    assert!(digest.ends_with('/'), "{digest}");
    sync(&database.config, &digest).same();
}

#[test]
fn a_change_that_is_still_in_the_write_ahead_log_is_seen() {
    let mut database = TestDatabase::new(Driver::Sqlite);
    assert_eq!(database.value("PRAGMA journal_mode = WAL"), "wal");
    database.sql(JOB);
    database.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    settle(&database.config);
    let digest = sync(&database.config, "").digest().to_owned();
    assert!(!digest.ends_with('/'), "{digest}");

    // This leaves the file itself as it was, times and all.
    database.sql("UPDATE scheduler_jobs SET command = 'b'");
    let reply = sync(&database.config, &digest);
    assert_eq!(reply.jobs()[0].command, "b");

    // Back in the file, whose change counter did not move.
    database.sql("UPDATE scheduler_jobs SET command = 'c'; PRAGMA wal_checkpoint(TRUNCATE)");
    settle(&database.config);
    assert_eq!(sync(&database.config, reply.digest()).jobs()[0].command, "c");
}

#[test]
fn a_locked_file_is_waited_for_and_then_named() {
    let mut database = TestDatabase::new(Driver::Sqlite);
    database.sql(JOB);
    database.sql("BEGIN EXCLUSIVE");
    let reply = sync(&database.config, "");
    let (kind, message) = reply.error();
    assert_eq!(kind, ErrorKind::Other);
    let path = database.config.path();
    let hint = "end the transaction of the program that holds it";
    assert_eq!(message, format!("{path} has been locked for 5 s: {hint}"));
    database.sql("ROLLBACK");
    sync(&database.config, "").digest();
}
