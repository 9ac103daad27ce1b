//! A database that refuses records, a journal that has some, and the helper in between.

use super::database::{Kind, TestDatabase};
use super::{TempDir, helper};
use schedule::core::database::ErrorKind;
use schedule::core::homes::Homes;
use schedule::core::ids::{JobId, RunId};
use schedule::core::journal::{Cause, End, Entry, RunEntry, SkipEntry, SkipReason, encode};
use schedule::core::outcome::{Exit, Outcome, Usage};
use schedule::core::protocol::{Answer, Ask, SetAside, Statement};
use std::fs;

const AT_MS: i64 = 1_795_326_120_000;

/// A journal in a state directory, and what of it the database has.
pub struct Journal {
    pub dir: TempDir,
    pub bytes: Vec<u8>,
    pub through: u64,
    /// What it asks for is believed: see `core::settle`.
    pub believe: bool,
    /// So many at a time: see `core::settle`.
    pub pace: u32,
    pub taken: Vec<Statement>,
    /// What is known to be set aside.
    pub aside: SetAside,
    /// Where below the state directory is kept what is refused.
    pub place: &'static str,
    /// The database that what is added is for.
    pub home: u32,
    /// Those that records may be for.
    pub homes: Homes,
}

impl Journal {
    pub fn new() -> Journal {
        let dir = TempDir::new();
        fs::create_dir(dir.file("journal")).unwrap();
        let (bytes, place) = (Vec::new(), "refused");
        let (taken, aside) = (Vec::new(), SetAside::default());
        let (believe, home, homes) = (false, 0, Homes::default());
        Journal { dir, bytes, through: 0, believe, pace: 0, taken, aside, place, home, homes }
    }

    pub fn run(&mut self, number: u64, job: u32, ended: bool) {
        self.named(number, job, ended, "true");
    }

    pub fn named(&mut self, number: u64, job: u32, ended: bool, command: &str) {
        let outcome = Outcome::Ended(Exit::Code(0));
        let usage = Usage::default();
        let end = End { at_ms: AT_MS + 5_000, outcome, usage, duration_ms: 5_000, stopped: false };
        let entry = Entry::Run(RunEntry {
            run: RunId { server_id: 1, sequence: number, instance: 0 },
            job: JobId(job),
            slot_ms: Some(AT_MS),
            cause: Cause::Due,
            attempt: 1,
            at_ms: AT_MS + 3,
            name: "n".into(),
            command: command.into(),
            md5: "".into(),
            concurrent: 1,
            pid: 9,
            kernel_start: 5,
            deadline_ms: None,
            kill_ms: None,
            end: ended.then_some(end),
            home: self.home,
            remarks: None,
        });
        encode(&mut self.bytes, &entry);
    }

    pub fn skip(&mut self, job: u32) {
        let reason = SkipReason::Overlap;
        let (job, first_ms, last_ms, home) = (JobId(job), AT_MS, AT_MS, self.home);
        let skip = SkipEntry { job, reason, first_ms, last_ms, count: 1, home };
        encode(&mut self.bytes, &Entry::Skip(skip));
    }

    pub fn ask(&self, from: u64, retry: bool) -> Ask {
        fs::write(self.dir.file("journal/00000000000000000000.log"), &self.bytes).unwrap();
        Ask::Record {
            journal: self.dir.file("journal"),
            from,
            to: self.bytes.len() as u64,
            server_id: 1,
            timezone: "UTC".to_owned(),
            refused: self.dir.file(self.place),
            retry,
            believe: self.believe,
            pace: self.pace,
            taken: self.taken.clone(),
            aside: Box::new(self.aside.clone()),
            homes: self.homes.clone(),
        }
    }

    /// What the helper says of all that is new.
    pub fn talk(&self, database: &TestDatabase) -> helper::Reply {
        helper::talk(&helper::request(&database.config, self.ask(self.through, false)))
    }

    /// Why nothing of what is new counts.
    #[track_caller]
    pub fn fails(&self, database: &TestDatabase) -> (ErrorKind, String) {
        let reply = self.talk(database);
        let (kind, why) = reply.error();
        (kind, why.to_owned())
    }

    /// Whether anything is set aside.
    pub fn set_aside(&self) -> bool {
        fs::exists(self.dir.file(self.place)).unwrap()
    }

    /// Carries what is new until all of it was. What was told, and what is set aside.
    pub fn carry(&mut self, database: &TestDatabase, retry: bool) -> (Vec<String>, SetAside) {
        let mut all = Vec::new();
        loop {
            let ask = self.ask(self.through, retry);
            let reply = helper::talk(&helper::request(&database.config, ask));
            let Some(Answer::Recorded { through, aside, taken, .. }) =
                reply.answers.last().cloned()
            else {
                panic!("{reply:?}")
            };
            let told = reply.answers.into_iter().filter_map(|answer| match answer {
                Answer::Refused(why) => Some(why),
                _ => None,
            });
            all.extend(told);
            self.through = through;
            self.taken.extend(taken);
            if through == self.bytes.len() as u64 {
                self.taken.clear();
                return (all, aside);
            }
        }
    }
}

/// How many runs it has.
pub fn runs(database: &mut TestDatabase) -> String {
    database.value("SELECT COUNT(*) FROM scheduler_logs")
}

/// Ways in which a record of job 2 can be refused for itself: what makes it so, and what ends it.
pub fn refusals(kind: Kind) -> Vec<(&'static str, &'static str, &'static str)> {
    match kind {
        Kind::Mariadb | Kind::Mysql => [server_refusals(), trigger_refusals()].concat(),
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

/// By errors that don't tell whether the record is to blame, or that are like those of ours.
fn trigger_refusals() -> Vec<(&'static str, &'static str, &'static str)> {
    vec![
        (
            "trigger with a number of its own",
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs FOR EACH ROW
                 IF NEW.command_id = 2 THEN SIGNAL SQLSTATE 'HY000'
                   SET MYSQL_ERRNO = 30001, MESSAGE_TEXT = 'not in the night'; END IF",
            "DROP TRIGGER guard",
        ),
        (
            "trigger whose CASE has no ELSE",
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs FOR EACH ROW
                 CASE NEW.command_id WHEN 1 THEN SET @x = 1; END CASE",
            "DROP TRIGGER guard",
        ),
        (
            "trigger that reads two rows",
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs FOR EACH ROW
                 IF NEW.command_id = 2 THEN
                   SELECT 1 INTO @x FROM (SELECT 1 UNION SELECT 2) AS two; END IF",
            "DROP TRIGGER guard",
        ),
        (
            "trigger that reads a date in strict mode",
            "CREATE TABLE other (at DATETIME);
                 SET sql_mode = 'STRICT_ALL_TABLES';
                 CREATE TRIGGER guard AFTER INSERT ON scheduler_logs FOR EACH ROW
                 IF NEW.command_id = 2 THEN
                   INSERT INTO other VALUES (STR_TO_DATE(NEW.command, '%Y-%m-%d')); END IF;
                 SET sql_mode = DEFAULT",
            "DROP TRIGGER guard",
        ),
        (
            "trigger that names a table which is gone",
            "CREATE TRIGGER guard AFTER INSERT ON scheduler_logs FOR EACH ROW
                 IF NEW.command_id = 2 THEN INSERT INTO gone VALUES (1); END IF",
            "DROP TRIGGER guard",
        ),
        (
            "trigger that names a column which is gone",
            "CREATE TABLE other (n INT);
                 CREATE TRIGGER guard AFTER INSERT ON scheduler_logs FOR EACH ROW
                 IF NEW.command_id = 2 THEN INSERT INTO other (team) VALUES (1); END IF",
            "DROP TRIGGER guard",
        ),
        (
            "table of a trigger whose ids are used up",
            "CREATE TABLE other (id TINYINT AUTO_INCREMENT PRIMARY KEY, n INT);
                 INSERT INTO other VALUES (127, 1);
                 CREATE TRIGGER guard AFTER INSERT ON scheduler_logs FOR EACH ROW
                 IF NEW.command_id = 2 THEN INSERT INTO other (n) VALUES (1); END IF",
            "DROP TRIGGER guard",
        ),
        (
            "strict column of a trigger's table that is called id",
            "CREATE TABLE other (id TINYINT);
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
            "trigger that reads JSON",
            "CREATE TRIGGER guard AFTER INSERT ON scheduler_logs WHEN NEW.command_id = 2
                 BEGIN SELECT json_extract(NEW.command, '$.team'); END",
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
