//! A record that the database refuses for itself is set aside and blocks no other; and a run takes
//! one id of its table.
#![allow(clippy::unwrap_used)]

mod common;

use common::database::{Kind, TestDatabase};
use common::{TempDir, helper};
use schedule::core::ids::{JobId, RunId};
use schedule::core::journal::{Cause, End, Entry, RunEntry, SkipEntry, SkipReason, encode};
use schedule::core::outcome::{Exit, Outcome, Usage};
use schedule::core::protocol::{Answer, Ask, ErrorKind, SetAside};
use std::fs;
use std::time::{Duration, Instant};

const AT_MS: i64 = 1_795_326_120_000;

/// A journal in a state directory, and what of it the database has.
struct Journal {
    dir: TempDir,
    bytes: Vec<u8>,
    through: u64,
}

impl Journal {
    fn new() -> Journal {
        let dir = TempDir::new();
        fs::create_dir(dir.file("journal")).unwrap();
        Journal { dir, bytes: Vec::new(), through: 0 }
    }

    fn run(&mut self, number: u64, job: u32, ended: bool) {
        self.named(number, job, ended, "true");
    }

    fn named(&mut self, number: u64, job: u32, ended: bool, command: &str) {
        let outcome = Outcome::Ended(Exit::Code(0));
        let usage = Usage::default();
        let end = End { at_ms: AT_MS + 5_000, outcome, usage, duration_ms: 5_000, stopped: false };
        let entry = Entry::Run(RunEntry {
            run: RunId { server_id: 1, sequence: number, instance: 0 },
            job: JobId(job),
            slot_ms: Some(AT_MS),
            cause: Cause::Due,
            at_ms: AT_MS + 3,
            name: "n".into(),
            command: command.into(),
            md5: "".into(),
            concurrent: 1,
            pid: 9,
            kernel_start: 5,
            end: ended.then_some(end),
        });
        encode(&mut self.bytes, &entry);
    }

    fn skip(&mut self, job: u32) {
        let reason = SkipReason::Overlap;
        let skip = SkipEntry { job: JobId(job), reason, first_ms: AT_MS, last_ms: AT_MS, count: 1 };
        encode(&mut self.bytes, &Entry::Skip(skip));
    }

    fn ask(&self, from: u64, retry: bool) -> Ask {
        fs::write(self.dir.file("journal/00000000000000000000.log"), &self.bytes).unwrap();
        Ask::Record {
            journal: self.dir.file("journal"),
            from,
            to: self.bytes.len() as u64,
            server_id: 1,
            timezone: "UTC".to_owned(),
            refused: self.dir.file("refused"),
            retry,
        }
    }

    /// Carries what is new until all of it was. What was told, and what is set aside.
    fn carry(&mut self, database: &TestDatabase, retry: bool) -> (Vec<String>, SetAside) {
        let mut all = Vec::new();
        loop {
            let ask = self.ask(self.through, retry);
            let reply = helper::talk(&helper::request(&database.config, ask));
            let Some(Answer::Recorded { through, aside, .. }) = reply.answers.last().cloned()
            else {
                panic!("{reply:?}")
            };
            let told = reply.answers.into_iter().filter_map(|answer| match answer {
                Answer::Refused(why) => Some(why),
                _ => None,
            });
            all.extend(told);
            self.through = through;
            if through == self.bytes.len() as u64 {
                return (all, aside);
            }
        }
    }
}

fn runs(database: &mut TestDatabase) -> String {
    database.value("SELECT COUNT(*) FROM scheduler_logs")
}

/// Ways in which a record of job 2 can be refused for itself: what makes it so, and what ends it.
fn refusals(kind: Kind) -> Vec<(&'static str, &'static str, &'static str)> {
    match kind {
        Kind::Mariadb | Kind::Mysql => server_refusals(),
        Kind::Sqlite => file_refusals(),
    }
}

fn server_refusals() -> Vec<(&'static str, &'static str, &'static str)> {
    vec![
        (
            "foreign key",
            "ALTER TABLE scheduler_logs ADD CONSTRAINT known_job FOREIGN KEY (command_id)
                 REFERENCES scheduler_jobs (id)",
            "ALTER TABLE scheduler_logs DROP FOREIGN KEY known_job",
        ),
        (
            "trigger",
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs FOR EACH ROW
                 IF NEW.command_id = 2 THEN
                   SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF",
            "DROP TRIGGER guard",
        ),
        (
            "trigger of another class",
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs FOR EACH ROW
                 IF NEW.command_id = 2 THEN
                   SIGNAL SQLSTATE 'HY000' SET MESSAGE_TEXT = 'not this one'; END IF",
            "DROP TRIGGER guard",
        ),
        (
            "check",
            "ALTER TABLE scheduler_logs ADD CONSTRAINT guard CHECK (command_id <> 2)",
            "ALTER TABLE scheduler_logs DROP CONSTRAINT guard",
        ),
        (
            "unique index of the operator's",
            "INSERT INTO scheduler_logs (uniq_id, command_id, command)
                   VALUES ('theirs', 1, 'c10'), ('theirs 2', 1, 'c20');
                 CREATE UNIQUE INDEX one_each ON scheduler_logs (command)",
            "DROP INDEX one_each ON scheduler_logs;
                 DELETE FROM scheduler_logs WHERE uniq_id LIKE 'theirs%'",
        ),
        (
            "partition",
            "ALTER TABLE scheduler_logs DROP INDEX uniq_id, DROP PRIMARY KEY,
                   ADD PRIMARY KEY (id, command_id);
                 ALTER TABLE scheduler_logs PARTITION BY LIST (command_id)
                   (PARTITION p VALUES IN (0, 1))",
            "ALTER TABLE scheduler_logs REMOVE PARTITIONING",
        ),
        (
            "strict trigger",
            "CREATE TABLE other (n TINYINT NOT NULL);
                 SET sql_mode = 'STRICT_ALL_TABLES';
                 CREATE TRIGGER guard AFTER INSERT ON scheduler_logs FOR EACH ROW
                 INSERT INTO other VALUES (IF(NEW.command_id = 2, 1000, 1));
                 SET sql_mode = DEFAULT",
            "DROP TRIGGER guard",
        ),
    ]
}

fn file_refusals() -> Vec<(&'static str, &'static str, &'static str)> {
    vec![
        (
            "trigger",
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs WHEN NEW.command_id = 2
                 BEGIN SELECT RAISE(ABORT, 'not this one'); END",
            "DROP TRIGGER guard",
        ),
        (
            "trigger that ends the transaction",
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs WHEN NEW.command_id = 2
                 BEGIN SELECT RAISE(ROLLBACK, 'not this one'); END",
            "DROP TRIGGER guard",
        ),
        (
            "unique index of the operator's",
            "INSERT INTO scheduler_logs (uniq_id, command_id, command)
                   VALUES ('theirs', 1, 'c10'), ('theirs 2', 1, 'c20');
                 CREATE UNIQUE INDEX one_each ON scheduler_logs (command)",
            "DROP INDEX one_each;
                 DELETE FROM scheduler_logs WHERE uniq_id LIKE 'theirs%'",
        ),
        (
            "foreign key that is looked at when all is written",
            "CREATE TABLE known (id INTEGER PRIMARY KEY); INSERT INTO known VALUES (0), (1);
                 CREATE TABLE watched (job INTEGER REFERENCES known (id)
                   DEFERRABLE INITIALLY DEFERRED);
                 CREATE TRIGGER guard AFTER INSERT ON scheduler_logs
                 BEGIN INSERT INTO watched VALUES (NEW.command_id); END",
            "INSERT INTO known VALUES (2)",
        ),
        (
            "check and a strict table",
            "CREATE TABLE watched (job INTEGER CHECK (job <> 2)) STRICT;
                 CREATE TRIGGER guard AFTER INSERT ON scheduler_logs
                 BEGIN INSERT INTO watched VALUES (NEW.command_id); END",
            "DROP TRIGGER guard",
        ),
        (
            "text in a number of a strict table",
            "CREATE TABLE watched (job INTEGER) STRICT;
                 CREATE TRIGGER guard AFTER INSERT ON scheduler_logs WHEN NEW.command_id = 2
                 BEGIN INSERT INTO watched VALUES (NEW.command); END",
            "DROP TRIGGER guard",
        ),
    ]
}

#[test]
fn a_record_that_is_refused_for_itself_is_set_aside_and_taken_later() {
    for driver in Kind::all() {
        for (what, begin, end) in refusals(driver) {
            let mut database = TestDatabase::new(driver);
            database.sql("INSERT INTO scheduler_jobs (id) VALUES (1)");
            database.sql(begin);
            let before: u64 = runs(&mut database).parse().unwrap();
            let mut journal = Journal::new();
            for number in 1..=20 {
                let job = if number % 10 == 0 { 2 } else { 1 };
                journal.named(number, job, number % 2 == 0, &format!("c{number}"));
            }
            let bad = 2;
            let good = before + 18;
            let (told, aside) = journal.carry(&database, false);
            assert_eq!((told.len(), aside.count), (bad, bad as u64), "{driver:?} {what} {told:?}");
            assert!(told[0].contains("job=2: "), "{what}: {told:?}");
            assert_eq!(runs(&mut database), good.to_string(), "{driver:?} {what}");
            // Theirs is as it was.
            let theirs = "SELECT COUNT(*) FROM scheduler_logs WHERE uniq_id LIKE 'theirs%'";
            assert_eq!(database.value(theirs), before.to_string(), "{what}");

            // Refused again: nothing is told twice.
            let (told, aside) = journal.carry(&database, true);
            assert_eq!((told.len(), aside.count), (0, bad as u64), "{what}: {told:?}");
            assert_eq!(runs(&mut database), good.to_string(), "{what}");

            database.sql(end);
            let (told, aside) = journal.carry(&database, true);
            assert_eq!((told.len(), aside), (0, SetAside::default()), "{what}: {told:?}");
            let all = (good + bad as u64 - before).to_string();
            assert_eq!(runs(&mut database), all, "{driver:?} {what}");
            assert!(!fs::exists(journal.dir.file("refused")).unwrap(), "{what}");
        }
    }
}

#[test]
fn a_foreign_key_of_sqlite_is_minded() {
    let mut database = TestDatabase::new(Kind::Sqlite);
    database.sql(
        "INSERT INTO scheduler_jobs (id) VALUES (1); DROP TABLE scheduler_logs;
         CREATE TABLE scheduler_logs (id INTEGER PRIMARY KEY AUTOINCREMENT,
             command_id INT REFERENCES scheduler_jobs (id), server_id INT, command TEXT,
             create_time TEXT, running_time INT, start_time TEXT, end_time TEXT,
             uniq_id TEXT UNIQUE, pid INT, concurrent INT)",
    );
    let mut journal = Journal::new();
    (1..=9).for_each(|number| journal.run(number, if number == 5 { 2 } else { 1 }, true));
    let (told, aside) = journal.carry(&database, false);
    assert_eq!((told.len(), aside.count), (1, 1), "{told:?}");
    assert_eq!(runs(&mut database), "8");
}

#[test]
fn a_fault_of_the_database_sets_nothing_aside() {
    for mut database in TestDatabase::each() {
        let mut journal = Journal::new();
        journal.run(1, 1, true);
        database.sql("ALTER TABLE scheduler_jobs RENAME TO away");
        let reply = helper::talk(&helper::request(&database.config, journal.ask(0, true)));
        assert_eq!(reply.error().0, ErrorKind::NoTable);
        assert!(!fs::exists(journal.dir.file("refused")).unwrap());
        database.sql("ALTER TABLE away RENAME TO scheduler_jobs");
        assert_eq!(journal.carry(&database, false), (vec![], SetAside::default()));
        assert_eq!(runs(&mut database), "1");
    }
}

/// Ids that are used up are the table's fault.
#[test]
fn what_a_server_refuses_to_every_record_sets_nothing_aside() {
    for mut database in TestDatabase::each_server() {
        database.sql(
            "INSERT INTO scheduler_logs (uniq_id) VALUES ('x');
         ALTER TABLE scheduler_logs MODIFY id TINYINT NOT NULL AUTO_INCREMENT;
         UPDATE scheduler_logs SET id = 127; ALTER TABLE scheduler_logs AUTO_INCREMENT = 127",
        );
        let mut journal = Journal::new();
        journal.run(1, 1, true);
        let reply = helper::talk(&helper::request(&database.config, journal.ask(0, true)));
        assert_eq!(reply.error().0, ErrorKind::Full, "{reply:?}");
        assert!(reply.error().1.contains("MODIFY id BIGINT UNSIGNED"), "{reply:?}");
        assert!(!fs::exists(journal.dir.file("refused")).unwrap());
    }
}

#[test]
fn a_trigger_on_jobs_costs_their_time_and_no_record() {
    for mut database in TestDatabase::each() {
        let kind = database.kind;
        database.sql("INSERT INTO scheduler_jobs (id) VALUES (1), (2)");
        database.sql(match kind {
            Kind::Mariadb | Kind::Mysql => {
                "CREATE TRIGGER guard BEFORE UPDATE ON scheduler_jobs FOR EACH ROW
                 IF NEW.id = 2 THEN SIGNAL SQLSTATE '45000'; END IF"
            }
            Kind::Sqlite => {
                "CREATE TRIGGER guard BEFORE UPDATE ON scheduler_jobs WHEN NEW.id = 2
                 BEGIN SELECT RAISE(ABORT, 'no'); END"
            }
        });
        let mut journal = Journal::new();
        (1..=4).for_each(|number| journal.run(number, 1 + (number % 2) as u32, true));
        let (told, aside) = journal.carry(&database, false);
        assert_eq!(aside, SetAside::default());
        assert!(told.iter().all(|why| why.contains("last_run_time of job=2")), "{told:?}");
        assert_eq!(runs(&mut database), "4");
        let times = database.query("SELECT last_run_time > '2026-01-01' FROM scheduler_jobs");
        assert_eq!(times, [["1"], ["0"]], "{kind:?}");
    }
}

#[test]
fn an_end_takes_the_place_of_its_start_wherever_either_is() {
    for mut database in TestDatabase::each() {
        database.sql("INSERT INTO scheduler_jobs (id) VALUES (1)");
        let (_, begin, end) =
            refusals(database.kind).into_iter().find(|(what, ..)| *what == "trigger").unwrap();
        database.sql(begin);
        let mut journal = Journal::new();
        journal.run(1, 2, false);
        assert_eq!(journal.carry(&database, false).1.count, 1);
        journal.run(1, 2, true);
        let (told, aside) = journal.carry(&database, false);
        assert_eq!((told.len(), aside.count), (0, 1));
        // Its start is carried once more by a helper that was late.
        journal.through = 0;
        assert_eq!(journal.carry(&database, false).1.count, 1);
        database.sql(end);
        journal.skip(2);
        journal.run(1, 2, false);
        assert_eq!(journal.carry(&database, true).1.count, 0);
        let row = "SELECT outcome FROM scheduler_logs";
        assert_eq!(database.value(row), "exit 0");
    }
}

/// Every record refused, many of them: it goes on, and each exchange ends in time.
#[test]
fn very_many_refused_records_take_no_exchange_over_its_time() {
    for mut database in TestDatabase::each() {
        let (_, begin, _) =
            refusals(database.kind).into_iter().find(|(what, ..)| *what == "trigger").unwrap();
        database.sql(begin);
        let mut journal = Journal::new();
        (1..=3_000).for_each(|number| journal.run(number, 2 - u32::from(number % 3 == 0), true));
        let began = Instant::now();
        let (told, aside) = journal.carry(&database, false);
        println!("{:?}: {:?}", database.kind, began.elapsed());
        assert!(!told.is_empty() && told.len() <= 20 * 20, "{}", told.len());
        assert_eq!(aside.count, 2_000);
        assert_eq!(runs(&mut database), "1000");
        assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    }
}

#[test]
fn a_run_takes_one_id() {
    for mut database in TestDatabase::each() {
        let mut journal = Journal::new();
        for number in 1..=40 {
            journal.run(number, 1, false);
            if number % 8 == 0 {
                journal.carry(&database, false);
            }
        }
        for number in 1..=40 {
            journal.run(number, 1, true);
            if number % 8 == 0 {
                let before = journal.through;
                journal.carry(&database, false);
                // The answer was lost.
                journal.through = before;
                journal.carry(&database, false);
            }
        }
        // Begun and ended in between.
        for number in 41..=50 {
            journal.run(number, 1, false);
            journal.run(number, 1, true);
        }
        journal.carry(&database, false);
        let ids = database.query("SELECT id FROM scheduler_logs ORDER BY uniq_id, id");
        let mut ids: Vec<u64> = ids.iter().map(|row| row[0].parse().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, (1..=50).collect::<Vec<u64>>(), "{:?}", database.kind);
        let ended = "SELECT COUNT(*) FROM scheduler_logs WHERE outcome = 'exit 0'";
        assert_eq!(database.value(ended), "50");
    }
}

#[test]
fn many_ends_at_once_fill_their_rows() {
    for mut database in TestDatabase::each() {
        let mut journal = Journal::new();
        (1..=1_000).for_each(|number| journal.named(number, 1, false, &format!("c{number}")));
        journal.carry(&database, false);
        (1..=2_000).for_each(|number| journal.named(number, 1, true, &format!("c{number}")));
        let began = Instant::now();
        journal.carry(&database, false);
        println!("{:?}: 2,000 ends in {:?}", database.kind, began.elapsed());
        let right = "SELECT COUNT(*), COUNT(DISTINCT command), MAX(id) FROM scheduler_logs
            WHERE outcome = 'exit 0' AND running_time = 5 AND end_time > '2026-01-01'";
        assert_eq!(database.query(right), [["2000", "2000", "2000"]]);
    }
}
