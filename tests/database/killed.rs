//! A helper that is killed (`kill -9`) while it carries records, at each step of what it says to
//! the database and to its daemon: the next one carries them all, and none is there twice.

use crate::common::database::{Kind, Parts, TestDatabase, over_tcp};
use crate::common::helper::{request, start};
use crate::common::our_program;
use crate::common::refusing::Journal;
use crate::daemon::keeper::wait_state;
use crate::daemon::steps::{Cut, Steps};
use crate::daemon::{SOON, wait_for};
use rusqlite::Connection;
use rustix::fs::{FlockOperation, OFlags, fcntl_getfl, fcntl_setfl, flock};
use rustix::process::Pid;
use schedule::core::database::{Database, ErrorKind};
use schedule::core::protocol::Answer;
use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Write, pipe};
use std::process::{Child, Stdio};
use std::thread::{spawn, yield_now};
use std::time::Instant;

const JOB: &str =
    "INSERT INTO scheduler_jobs (id, command, server_id, status) VALUES (1, 'a', 1, 1)";

const CLEAN: &str = "DELETE FROM scheduler_logs; DELETE FROM scheduler_skips;
    UPDATE scheduler_jobs SET last_run_time = '1970-01-01 00:00:00'";

/// Refuses records of job 2: by an error that blames them, and by one that only others can tell of.
fn refuses(kind: Kind, blames: bool) -> &'static str {
    match (kind, blames) {
        (Kind::Sqlite, true) => {
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs WHEN NEW.command_id = 2
             BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        }
        (Kind::Sqlite, false) => {
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs WHEN NEW.command_id = 2
             BEGIN SELECT json_extract('no', '$.team'); END"
        }
        (Kind::Mariadb | Kind::Mysql, true) => {
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs FOR EACH ROW
             IF NEW.command_id = 2 THEN SIGNAL SQLSTATE '45000'; END IF"
        }
        (Kind::Mariadb | Kind::Mysql, false) => {
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs FOR EACH ROW
             IF NEW.command_id = 2 THEN SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 30001; END IF"
        }
    }
}

/// Keys that operators have given the column of ids: a partitioned table can't have the first.
const KEYS: [&str; 3] = [
    "ALTER TABLE scheduler_logs ADD INDEX other (pid)",
    "ALTER TABLE scheduler_logs DROP INDEX uniq_id, ADD INDEX uniq_id (uniq_id)",
    "ALTER TABLE scheduler_logs DROP INDEX uniq_id",
];

/// All that the database says of the records; ids of rows may be used up by what was rolled back.
fn content(database: &mut TestDatabase) -> Vec<Vec<String>> {
    let queries = [
        "SELECT uniq_id, command_id, start_time, end_time, running_time, outcome, pid
         FROM scheduler_logs ORDER BY uniq_id",
        "SELECT job_id, first_slot, last_slot, skipped FROM scheduler_skips ORDER BY job_id",
        "SELECT id, last_run_time FROM scheduler_jobs ORDER BY id",
    ];
    queries.iter().flat_map(|query| database.query(query)).collect()
}

/// One with a run whose start the database has and whose end is new, one that goes on, one that was
/// never there, a bad one before them, and skipped slots.
fn journal_on(database: &TestDatabase) -> Journal {
    let mut journal = Journal::new();
    journal.run(1, 1, false);
    journal.carry(database, false);
    journal.run(2, 2, true);
    journal.run(1, 1, true);
    journal.run(3, 1, false);
    journal.run(4, 1, true);
    journal.skip(1);
    journal
}

/// Carries what another one left. Whether that took the record of a further run: the word that one
/// was taken is lost with a helper, and where it was the only one that could tell, nobody knows who
/// is to blame before there is another.
fn carry_on(journal: &mut Journal, database: &TestDatabase) -> bool {
    let reply = journal.talk(database);
    let in_doubt = match reply.answers.last().unwrap() {
        Answer::Error { kind, message } => {
            assert_eq!(*kind, ErrorKind::Unsure, "{message}");
            true
        }
        _ => false,
    };
    journal.run(9, 1, true);
    assert_eq!(journal.carry(database, false).1.count, 1);
    in_doubt
}

/// What is there if nobody is killed.
fn undisturbed(database: &mut TestDatabase) -> Vec<Vec<String>> {
    let mut journal = journal_on(database);
    journal.run(9, 1, true);
    assert_eq!(journal.carry(database, false).1.count, 1);
    let content = content(database);
    database.sql(CLEAN);
    content
}

fn begin(journal: &Journal, config: &Database) -> Child {
    start(&request(config, journal.ask(journal.through, false)))
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Kills a helper before the server hears of each of its statements, and when the server has
/// answered that. Returns how often a further record was needed.
fn at_each_statement(database: &mut TestDatabase, name: &str) -> usize {
    let expected = undisturbed(database);
    let mut in_doubt = 0;
    for cut in [Cut::Before, Cut::Behind] {
        for nth in 1.. {
            let mut journal = journal_on(database);
            let mut left = nth;
            let steps = Steps::start(database.config.server().port, cut, move |_| {
                left -= 1;
                left == 0
            });
            let mut config = over_tcp(database.config.clone());
            config.server_mut().port = steps.port;
            let mut child = begin(&journal, &config);
            let arrived = wait_for("the statement or the end", SOON, || {
                let arrived = steps.has_arrived();
                let ended = child.try_wait().unwrap().is_some();
                (arrived || ended).then_some(arrived)
            });
            kill(child);
            drop(steps);
            in_doubt += usize::from(carry_on(&mut journal, database));
            assert_eq!(content(database), expected, "{name}: {cut:?} statement {nth}");
            database.sql(CLEAN);
            if !arrived {
                assert!(nth > 10, "{name}: only {nth} statements");
                break;
            }
        }
    }
    in_doubt
}

#[test]
fn killed_at_any_statement_no_record_is_lost_or_twice() {
    let servers = Kind::servers().into_iter().map(|kind| {
        spawn(move || {
            for (keys, blames) in [(KEYS[0], false), (KEYS[1], true)] {
                let mut database = TestDatabase::new(kind);
                database.sql(&format!("{JOB}; {keys}"));
                database.sql(refuses(kind, blames));
                let name = format!("{kind:?} {keys} {blames}");
                // Those that are taken are there, and nobody was told.
                let in_doubt = at_each_statement(&mut database, &name);
                assert_eq!(in_doubt > 0, !blames, "{name}: {in_doubt}");
            }
        })
    });
    servers.collect::<Vec<_>>().into_iter().for_each(|server| server.join().unwrap());
}

/// A file has no statements that could be seen: it is locked by others meanwhile, and not.
#[test]
fn killed_at_any_time_no_record_of_a_file_is_lost_or_twice() {
    let mut database = TestDatabase::new(Kind::Sqlite);
    database.sql(JOB);
    database.sql(refuses(Kind::Sqlite, true));
    let expected = undisturbed(&mut database);
    let holder = Connection::open(database.config.path()).unwrap();
    let began = Instant::now();
    carry_on(&mut journal_on(&database), &database);
    let whole = began.elapsed();
    database.sql(CLEAN);
    for nth in 0..42 {
        let mut journal = journal_on(&database);
        // A reader lets it write all and not commit; a writer lets it not even begin.
        let lock = ["BEGIN; SELECT * FROM scheduler_logs", "BEGIN IMMEDIATE"].get(nth as usize);
        lock.iter().for_each(|lock| holder.execute_batch(lock).unwrap());
        let child = begin(&journal, &database.config);
        match nth {
            0 => {
                // What it needs to take it back is there, and it sleeps.
                let undo = format!("{}-journal", database.config.path());
                wait_for("writes", SOON, || fs::exists(&undo).unwrap().then_some(()));
                wait_state(Pid::from_child(&child), 'S');
            }
            1 => wait_state(Pid::from_child(&child), 'S'),
            _ => {
                let until = Instant::now() + whole * (nth - 2) / 40;
                while Instant::now() < until {
                    yield_now();
                }
            }
        }
        kill(child);
        if lock.is_some() {
            holder.execute_batch("ROLLBACK").unwrap();
        }
        carry_on(&mut journal, &database);
        assert_eq!(content(&mut database), expected, "killed at {nth}");
        database.sql(CLEAN);
    }
}

/// All is committed, and what is refused is not yet in its file; it is there, and not yet told.
#[test]
fn killed_behind_the_last_commit_no_record_is_lost_or_twice() {
    for mut database in TestDatabase::each() {
        database.sql(JOB);
        database.sql(refuses(database.kind, true));
        let expected = undisturbed(&mut database);
        for is_in_its_file in [false, true] {
            let mut journal = journal_on(&database);
            let held = File::open(journal.dir.file("journal")).unwrap();
            if !is_in_its_file {
                flock(&held, FlockOperation::LockExclusive).unwrap();
            }
            let question = request(&database.config, journal.ask(journal.through, false));
            let (_unread, full) = full_pipe();
            let mut command = our_program();
            command.arg("exchange").stdin(Stdio::piped()).stdout(full);
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(&question).unwrap();
            let skipped = "SELECT COUNT(*) FROM scheduler_skips";
            wait_for("the last commit", SOON, || {
                (database.value(skipped) == "1" && journal.set_aside() == is_in_its_file)
                    .then_some(())
            });
            kill(child);
            drop(held);
            carry_on(&mut journal, &database);
            let name = format!("{:?} {is_in_its_file}", database.kind);
            assert_eq!(content(&mut database), expected, "{name}");
            database.sql(CLEAN);
        }
    }
}

/// A pipe that takes no more.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'\n'; 4_096]).is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// The server has the COMMIT of one that was killed, and is not done with it: the line is slow, or
/// its disk is. (Or the helper lives, as that of a daemon that was killed does.)
#[test]
fn what_is_still_being_committed_is_not_written_beside_it() {
    for kind in Kind::servers() {
        for keys in KEYS {
            let mut database = TestDatabase::new(kind);
            database.sql(&format!("{JOB}; {keys}"));
            let mut journal = Journal::new();
            journal.run(1, 1, false);
            (2..=4).for_each(|number| journal.run(number, 1, true));
            let is_commit = |statement: &[u8]| statement == b"\x03COMMIT";
            let steps = Steps::start(database.config.server().port, Cut::Before, is_commit);
            let mut config = over_tcp(database.config.clone());
            config.server_mut().port = steps.port;
            let first = begin(&journal, &config);
            wait_for("the COMMIT", SOON, || steps.has_arrived().then_some(()));
            kill(first);
            let mut second = begin(&journal, &database.config);
            wait_for("one that waits, or ends", SOON, || {
                let ended = second.try_wait().unwrap().is_some();
                (ended || database.value(WAITING) != "0").then_some(())
            });
            steps.go_on();
            second.wait().unwrap();
            drop(steps);
            journal.carry(&database, false);
            let ids = database.query("SELECT uniq_id FROM scheduler_logs ORDER BY uniq_id");
            assert_eq!(ids, [["1-1"], ["1-2"], ["1-3"], ["1-4"]], "{kind:?} {keys}");
        }
    }
}

/// Statements that something keeps waiting for a second or two.
const WAITING: &str = "SELECT COUNT(*) FROM information_schema.PROCESSLIST
    WHERE DB = DATABASE() AND ID <> CONNECTION_ID() AND COMMAND <> 'Sleep' AND TIME >= 2";
