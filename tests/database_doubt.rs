//! Errors that may be one record's fault or that of all: only other records tell.
#![allow(clippy::unwrap_used)]

mod common;

use common::database::{Kind, TestDatabase};
use common::refusing::{Journal, runs};
use schedule::core::protocol::{ErrorKind, SetAside};
use schedule::core::settle::MAX_UNPROVEN;

/// A trigger that fails by an error which blames nobody, for records of this condition.
fn fails_where(kind: Kind, condition: &str) -> String {
    match kind {
        Kind::Sqlite => format!(
            "CREATE TRIGGER guard AFTER INSERT ON scheduler_logs WHEN {condition}
             BEGIN SELECT json_extract('no', '$.team'); END"
        ),
        Kind::Mariadb | Kind::Mysql => format!(
            "CREATE TRIGGER guard AFTER INSERT ON scheduler_logs FOR EACH ROW
             IF {condition} THEN SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 30001; END IF"
        ),
    }
}

#[test]
fn what_blames_nobody_is_the_databases_until_another_is_taken() {
    for mut database in TestDatabase::each() {
        database.sql(&fails_where(database.kind, "NEW.command_id = 2"));
        let mut journal = Journal::new();
        (1..=3).for_each(|number| journal.run(number, 2, true));
        // A skip has another table.
        journal.skip(1);
        assert_eq!(journal.fails(&database).0, ErrorKind::Unsure);
        assert!(!journal.set_aside());
        journal.run(4, 1, true);
        let (told, aside) = journal.carry(&database, false);
        assert_eq!((told.len(), aside.count), (3, 3), "{told:?}");
        assert_eq!(runs(&mut database), "1");
        // What is set aside stays there, and fails nothing, while it is refused.
        let (told, aside) = journal.carry(&database, true);
        assert_eq!((told.len(), aside.count), (0, 3), "{told:?}");
    }
}

/// However many records there are that none is taken of, one among them that is taken is found.
#[test]
fn a_record_that_is_taken_is_found_behind_very_many_that_are_not() {
    for mut database in TestDatabase::each() {
        database.sql(&fails_where(database.kind, "NEW.command_id = 2"));
        let mut journal = Journal::new();
        (1..=2_000).for_each(|number| journal.run(number, 2, true));
        journal.run(2_001, 1, true);
        let before = journal.through;
        let reply = journal.talk(&database);
        let (_, aside) = journal.carry(&database, false);
        assert_eq!(reply.code, Some(0), "{reply:?}");
        assert!(before < journal.through && aside.count == 2_000, "{aside:?}");
        assert_eq!(runs(&mut database), "1");
    }
}

/// A trigger that refuses all is a fault of the database: nothing may pile up beside the journal,
/// where there is less room.
#[test]
fn a_trigger_that_refuses_all_sets_few_aside_and_only_when_it_lasts() {
    for mut database in TestDatabase::each() {
        database.sql(&fails_where(database.kind, "1 = 1"));
        let mut journal = Journal::new();
        let few = MAX_UNPROVEN;
        (1..=few + 1).for_each(|number| journal.run(number, number as u32, true));
        for believe in [false, true] {
            journal.believe = believe;
            assert_eq!(journal.fails(&database).0, ErrorKind::Unsure);
            assert!(!journal.set_aside());
        }
        let mut journal = Journal { believe: true, ..Journal::new() };
        (1..=few).for_each(|number| journal.run(number, number as u32, true));
        assert_eq!(journal.carry(&database, false).1.count, few);
        journal.run(few + 1, 1, true);
        assert_eq!(journal.fails(&database).0, ErrorKind::Unsure);
        database.sql("DROP TRIGGER guard");
        assert_eq!(journal.carry(&database, true).1, SetAside::default());
        assert_eq!(runs(&mut database), (few + 1).to_string());
    }
}

/// What a trigger names is not told as a table of ours that is missing.
#[test]
fn what_a_trigger_misses_is_told_as_its_own() {
    for mut database in TestDatabase::each() {
        let trigger = "CREATE TRIGGER guard AFTER INSERT ON scheduler_logs";
        let (begin, end) = match database.kind {
            Kind::Sqlite => ("BEGIN", "; END"),
            Kind::Mariadb | Kind::Mysql => ("FOR EACH ROW", ""),
        };
        database.sql("CREATE TABLE other (n INT)");
        for (statement, missing) in [
            ("INSERT INTO audit VALUES (1)", "audit"),
            ("INSERT INTO other (team) VALUES (1)", "team"),
            ("UPDATE other SET team = 1", "team"),
        ] {
            database.sql(&format!("{trigger} {begin} {statement}{end}"));
            let mut journal = Journal::new();
            journal.run(1, 1, true);
            let (kind, why) = journal.fails(&database);
            assert_eq!(kind, ErrorKind::Unsure, "{why}");
            assert!(why.contains(missing) && why.contains("trigger"), "{why}");
            assert!(!why.contains("db init") && !why.contains("ALTER TABLE"), "{why}");
            database.sql("DROP TRIGGER guard");
        }
    }
}

/// As many rows as an operator's table has ids: that those are used up is not taken for ours.
#[test]
fn used_up_ids_of_a_triggers_table_are_not_ours() {
    for mut database in TestDatabase::each_server() {
        database.sql(
            "CREATE TABLE other (id TINYINT AUTO_INCREMENT PRIMARY KEY, n INT);
             INSERT INTO other VALUES (127, 1);
             INSERT INTO scheduler_logs (id, uniq_id) VALUES (127, 'x');
             CREATE TRIGGER guard AFTER INSERT ON scheduler_logs FOR EACH ROW
                 INSERT INTO other (n) VALUES (1)",
        );
        let mut journal = Journal::new();
        journal.run(1, 1, true);
        let reply = journal.talk(&database);
        assert!(!format!("{reply:?}").contains("no ids are left"), "{reply:?}");
    }
}
