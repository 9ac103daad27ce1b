//! Errors that may be one record's fault or that of all: only other records tell.

use crate::common::database::{Kind, TestDatabase};
use crate::common::refusing::{Journal, runs};
use schedule::core::database::ErrorKind;
use schedule::core::protocol::SetAside;
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
        let (_, aside) = journal.carry(&database, false);
        assert_eq!(aside.count, 2_000, "{aside:?}");
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

/// A trigger that fails by an error which blames nobody, at this event, where the condition holds.
fn fails_at(kind: Kind, event: &str, condition: &str) -> String {
    fails_where(kind, condition).replace("AFTER INSERT", &format!("BEFORE {event}"))
}

/// Starts and ends have statements of their own: that one is taken proves nothing of the other.
#[test]
fn what_refuses_every_end_or_every_start_sets_nothing_aside() {
    for event in ["UPDATE", "INSERT"] {
        for mut database in TestDatabase::each() {
            let mut journal = Journal::new();
            let job = |number: u64| 1 + number as u32 % 2;
            (1..=50).for_each(|number| journal.run(number, job(number), false));
            journal.carry(&database, false);
            database.sql(&fails_at(database.kind, event, "1 = 1"));
            (51..=60).for_each(|number| journal.run(number, 1, false));
            (1..=50).for_each(|number| journal.run(number, job(number), true));
            for _ in 0..2 {
                let (kind, why) = journal.fails(&database);
                let told = match event {
                    "UPDATE" => "no end of a run is taken: UPDATE scheduler_logs: ",
                    _ => "no row of a run is taken: INSERT INTO scheduler_logs: ",
                };
                assert!(kind == ErrorKind::Unsure && why.starts_with(told), "{why}");
                assert!(!journal.set_aside(), "{:?} {event}", database.kind);
            }
            // It was for one job only: the others go on.
            database.sql("DROP TRIGGER guard");
            database.sql(&fails_at(database.kind, event, "NEW.command_id = 2"));
            journal.run(61, 1, false);
            journal.run(62, 2, false);
            let (_, aside) = journal.carry(&database, false);
            let bad = if event == "UPDATE" { 25 } else { 1 };
            assert_eq!(aside.count, bad, "{:?} {event}", database.kind);
            assert!(aside.last.contains(event), "{aside:?}");
            database.sql("DROP TRIGGER guard");
            assert_eq!(journal.carry(&database, true).1, SetAside::default());
            let all = "SELECT COUNT(*), SUM(outcome = 'exit 0') FROM scheduler_logs";
            assert_eq!(database.query(all), [["62", "50"]], "{:?} {event}", database.kind);
        }
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
