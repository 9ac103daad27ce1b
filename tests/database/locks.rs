//! `schedule db migrate` while somebody holds the tables: it waits and says so.

use crate::common::database::{Kind, Parts, TestDatabase, mysql_conn};
use crate::common::helper::sync;
use crate::common::{TempDir, our_program, unique};
use mysql::Conn;
use mysql::prelude::Queryable;
use std::fs::{self, File};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A database without the optional columns, a migration of it, and what that says.
struct Migration {
    database: TestDatabase,
    dir: TempDir,
    child: Option<Child>,
}

impl Migration {
    fn prepare(kind: Kind) -> Self {
        let mut database = TestDatabase::new(kind);
        database.sql("ALTER TABLE scheduler_jobs DROP COLUMN timezone");
        Self { database, dir: TempDir::new(), child: None }
    }

    /// Somebody's transaction that read the table; it holds a lock on it until it is dropped.
    fn reader(&self) -> Conn {
        self.reader_of("scheduler_jobs")
    }

    fn reader_of(&self, table: &str) -> Conn {
        let config = &self.database.config;
        let mut conn = mysql_conn(config);
        conn.query_drop(format!("USE {}; START TRANSACTION", config.server().dbname)).unwrap();
        conn.query_drop(format!("SELECT * FROM {table}")).unwrap();
        conn
    }

    fn start(&mut self) {
        let config = &self.database.config;
        let ini = self.dir.file(&format!("{}.ini", unique()));
        let text = format!(
            "[base]\npidfile = /nowhere/{{%d}}.pid\nlogfile = /dev/null\n[server_1]\nport = 1\n\
             [db1]\ndriver = mysql\ndbname = {}\nuser = {}\npassword = \"{}\"\nunix_socket = {}\n",
            config.server().dbname,
            config.server().user,
            config.server().password,
            config.server().unix_socket
        );
        fs::write(&ini, text).unwrap();
        let mut command = our_program();
        command.args(["db", "migrate", "-c", &ini]);
        command.stderr(File::create(self.dir.file("stderr")).unwrap());
        self.child =
            Some(command.stdout(File::create(self.dir.file("out")).unwrap()).spawn().unwrap());
    }

    fn said(&self) -> String {
        fs::read_to_string(self.dir.file("stderr")).unwrap()
    }

    #[track_caller]
    fn until(&mut self, what: &str, mut there: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(40);
        while !there(self) {
            assert!(Instant::now() < deadline, "not within 40 s: {what}: {}", self.said());
            sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn ends(&mut self) -> Option<i32> {
        let mut code = None;
        self.until("the end", |migration| {
            let ended = migration.child.as_mut().unwrap().try_wait().unwrap();
            code = ended.and_then(|status| status.code());
            ended.is_some()
        });
        code
    }
}

#[test]
fn it_waits_for_a_lock_lets_others_work_and_names_the_holder() {
    for kind in Kind::servers() {
        let mut migration = Migration::prepare(kind);
        let reader = migration.reader();
        migration.start();
        let held = format!(
            "schedule db: waits for a lock on scheduler_jobs held by connection {} (",
            reader.connection_id()
        );
        migration.until("the holder", |migration| migration.said().contains(&held));
        // No other waits behind it for long.
        sync(&migration.database.config, "").digest();
        drop(reader);
        assert_eq!(migration.ends(), Some(0), "{}", migration.said());
        let out = fs::read_to_string(migration.dir.file("out")).unwrap();
        assert_eq!(out, "added column timezone of scheduler_jobs\n");
    }
}

/// An index takes the table's lock only where it comes at once or soon: who works with the table
/// waits behind it for two seconds at the most, and goes on in between.
#[test]
fn an_index_that_waits_for_a_lock_holds_up_others_for_a_moment() {
    for kind in Kind::servers() {
        let mut migration = Migration::prepare(kind);
        migration.database.sql(
            "ALTER TABLE scheduler_jobs ADD COLUMN timezone VARCHAR(64) NOT NULL DEFAULT '';
             ALTER TABLE scheduler_logs DROP INDEX history_group",
        );
        let reader = migration.reader_of("scheduler_logs");
        migration.start();
        let held = "schedule db: waits for a lock on scheduler_logs held by connection ";
        let (mut longest, mut worked) = (Duration::ZERO, 0);
        migration.until("several tries", |migration| {
            let began = Instant::now();
            migration
                .database
                .sql("INSERT INTO scheduler_logs (uniq_id) VALUES (UUID_SHORT() % 1000000000000)");
            longest = longest.max(began.elapsed());
            worked += 1;
            migration.said().matches(held).count() >= 4
        });
        assert!(longest < Duration::from_secs(5), "{kind:?}: {longest:?}");
        assert!(worked > 10, "{kind:?}: {worked} rows");
        drop(reader);
        assert_eq!(migration.ends(), Some(0), "{}", migration.said());
        let out = fs::read_to_string(migration.dir.file("out")).unwrap();
        assert_eq!(out, "added index history_group of scheduler_logs\n");
    }
}

/// Longer than any other answer is waited for.
#[test]
fn a_change_that_takes_long_is_not_given_up() {
    for kind in Kind::servers() {
        let mut migration = Migration::prepare(kind);
        // No column can be added at once to such a table.
        migration.database.sql("ALTER TABLE scheduler_jobs ROW_FORMAT = COMPRESSED");
        let reader = migration.reader();
        migration.start();
        let long = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                    WHERE INFO LIKE 'ALTER TABLE scheduler_jobs ADD%' AND TIME >= 11 \
                    AND DB = DATABASE()";
        migration.until("a long change", |migration| migration.database.value(long) == "1");
        drop(reader);
        assert_eq!(migration.ends(), Some(0), "{}", migration.said());
        let said = "schedule db: this server rebuilds scheduler_jobs: ";
        assert!(migration.said().starts_with(said), "{}", migration.said());
    }
}

#[test]
fn an_interrupt_says_what_the_server_does() {
    for kind in Kind::servers() {
        let mut migration = Migration::prepare(kind);
        let reader = migration.reader();
        migration.start();
        migration.until("the wait", |migration| migration.said().contains("waits for a lock"));
        let pid = rustix::process::Pid::from_child(migration.child.as_ref().unwrap());
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert_eq!(migration.ends(), None);
        let said = migration.said();
        assert!(said.contains("stopped; ") && said.contains("`KILL QUERY "), "{said}");
        let waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                       WHERE INFO LIKE 'ALTER TABLE scheduler_jobs%' AND DB = DATABASE()";
        migration.until("nobody waits", |migration| migration.database.value(waiting) == "0");
        drop(reader);
    }
}
