//! A record that the database refuses for itself is set aside and blocks no other; and a run takes
//! one id of its table.

use crate::common::database::{Kind, TestDatabase};
use crate::common::helper;
use crate::common::refusing::{Journal, refusals, runs};
use schedule::core::database::ErrorKind;
use schedule::core::protocol::{Answer, SetAside};
use std::fs;
use std::time::{Duration, Instant};

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

/// An INSERT of many rows that fails takes the last ids with it on MariaDB: no row has them.
#[test]
fn ids_that_went_to_no_row_are_used_up_as_well() {
    for mut database in TestDatabase::each_server() {
        database.sql(
            "ALTER TABLE scheduler_logs MODIFY id TINYINT NOT NULL AUTO_INCREMENT;
             ALTER TABLE scheduler_logs AUTO_INCREMENT = 122",
        );
        let mut journal = Journal::new();
        (1..=20).for_each(|number| journal.run(number, 1, true));
        // Some servers take what there are ids for.
        let why = loop {
            let reply = journal.talk(&database);
            let Some(Answer::Recorded { through, .. }) = reply.answers.last() else {
                let (kind, why) = reply.error();
                break (kind, why.to_owned());
            };
            assert!(*through > journal.through, "{reply:?}");
            journal.through = *through;
        };
        assert_eq!(why.0, ErrorKind::Full, "{why:?}");
        assert!(why.1.contains("MODIFY id BIGINT UNSIGNED"), "{why:?}");
        assert!(!journal.set_aside());

        database
            .sql("ALTER TABLE scheduler_logs MODIFY id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT");
        assert_eq!(journal.carry(&database, false), (vec![], SetAside::default()));
        assert_eq!(runs(&mut database), "20", "{:?}", database.kind);
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

/// The state disk takes nothing: that is the disk's fault, and all that can be told is.
#[test]
fn what_cant_be_set_aside_is_carried_again_and_blocks_no_other() {
    for mut database in TestDatabase::each() {
        let (_, begin, end) =
            refusals(database.kind).into_iter().find(|(what, ..)| *what == "trigger").unwrap();
        database.sql(begin);
        let mut journal = Journal { place: "full/refused", ..Journal::new() };
        (1..=3).for_each(|number| journal.run(number, 1, true));
        let kept = journal.bytes.len() as u64;
        journal.run(4, 2, true);
        (5..=9).for_each(|number| journal.run(number, 1, true));
        for _ in 0..2 {
            let reply = journal.talk(&database);
            let Some(Answer::Recorded { through, aside, unkept, .. }) = reply.answers.last() else {
                panic!("{reply:?}")
            };
            assert_eq!((*through, aside.count, reply.code), (kept, 0, Some(0)), "{reply:?}");
            assert!(unkept.contains("full/refused: No such file"), "{unkept}");
            assert_eq!(runs(&mut database), "8", "{:?}", database.kind);
            journal.through = *through;
        }
        fs::create_dir(journal.dir.file("full")).unwrap();
        assert_eq!(journal.carry(&database, false).1.count, 1);
        database.sql(end);
        assert_eq!(journal.carry(&database, true).1, SetAside::default());
        assert_eq!(runs(&mut database), "9");
    }
}

/// What can't be read of what was set aside gets another name, which is told, and all others go on.
#[test]
fn a_file_of_refused_records_that_cant_be_read_blocks_no_other() {
    for mut database in TestDatabase::each() {
        let mut journal = Journal::new();
        let path = journal.dir.file("refused");
        for (number, name) in [(1, "refused.bad"), (2, "refused.bad.2")] {
            match number {
                1 => fs::create_dir(&path).unwrap(),
                _ => std::os::unix::fs::symlink(journal.dir.file("journal"), &path).unwrap(),
            }
            journal.run(number, 1, true);
            let reply = journal.talk(&database);
            let Some(Answer::Recorded { through, unkept, .. }) = reply.answers.last() else {
                panic!("{reply:?}")
            };
            assert_eq!((*through, reply.code), (journal.bytes.len() as u64, Some(0)), "{reply:?}");
            assert!(unkept.contains(&format!("{name} now")), "{unkept}");
            assert!(fs::symlink_metadata(journal.dir.file(name)).is_ok(), "{unkept}");
            journal.through = *through;
            assert_eq!(runs(&mut database), number.to_string(), "{:?}", database.kind);
        }
        journal.run(3, 1, true);
        assert_eq!(journal.carry(&database, false).1, SetAside::default());
        assert_eq!(runs(&mut database), "3");
    }
}

/// Where that name can't be had either, that is told, and not what is wrong with the file alone.
#[test]
fn a_file_of_refused_records_that_cant_be_renamed_is_told_with_the_reason() {
    for mut database in TestDatabase::each() {
        let mut journal = Journal::new();
        let names = (2..=9).map(|number| format!("refused.bad.{number}"));
        names.for_each(|name| fs::create_dir(journal.dir.file(&name)).unwrap());
        fs::create_dir(journal.dir.file("refused.bad")).unwrap();
        let journals = journal.dir.file("journal");
        std::os::unix::fs::symlink(journals, journal.dir.file("refused")).unwrap();
        journal.run(1, 1, true);
        let reply = journal.talk(&database);
        let said = format!("{reply:?}");
        assert!(said.contains("refused: it is a symbolic link: take it away; it can't"), "{said}");
        let why = "refused.bad.9: Is a directory (os error 21): what lies there is not ours: take";
        assert!(said.contains(why), "{said}");
        // With one name the less taken, it is renamed.
        fs::remove_dir(journal.dir.file("refused.bad.9")).unwrap();
        assert_eq!(journal.carry(&database, false).1, SetAside::default());
        assert!(fs::symlink_metadata(journal.dir.file("refused.bad.9")).is_ok());
        assert_eq!(runs(&mut database), "1");
    }
}

/// What an exchange told of all that is set aside, and of the file.
fn told_of(journal: &mut Journal, database: &TestDatabase) -> (SetAside, String) {
    let reply = journal.talk(database);
    let Some(Answer::Recorded { through, aside, unkept, .. }) = reply.answers.last() else {
        panic!("{reply:?}")
    };
    journal.through = *through;
    journal.aside = aside.clone();
    (aside.clone(), unkept.clone())
}

/// What is in a file that can't be read is counted, once, and also if the exchange that finds the
/// file comes to nothing.
#[test]
fn records_in_a_file_that_cant_be_read_are_counted_as_dropped() {
    for mut database in TestDatabase::each() {
        let (_, begin, _) =
            refusals(database.kind).into_iter().find(|(what, ..)| *what == "trigger").unwrap();
        database.sql(begin);
        let mut journal = Journal::new();
        let path = journal.dir.file("refused");
        (1..=3).for_each(|number| journal.run(number, 2, true));
        let (aside, _) = told_of(&mut journal, &database);
        assert_eq!((aside.count, aside.stand.dropped), (3, 0));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        // One that is refused comes in the same exchange.
        journal.run(4, 2, true);
        let (aside, unkept) = told_of(&mut journal, &database);
        assert_eq!((aside.count, aside.stand.dropped), (1, 3), "{:?}", database.kind);
        assert!(unkept.contains("refused.bad now, with 3 records at least"), "{unkept}");
        let (aside, unkept) = told_of(&mut journal, &database);
        assert_eq!((aside.count, aside.stand.dropped, unkept.as_str()), (1, 3, ""));

        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(journal.dir.file("journal"), &path).unwrap();
        database.sql("ALTER TABLE scheduler_logs RENAME TO away");
        journal.believe = true;
        journal.run(5, 1, true);
        let (_, why) = journal.fails(&database);
        assert!(why.contains("refused.bad.2 now, with 1 record at least"), "{why}");
        database.sql("ALTER TABLE away RENAME TO scheduler_logs");
        let (aside, unkept) = told_of(&mut journal, &database);
        assert_eq!((aside.count, aside.stand.dropped, unkept.as_str()), (0, 4, ""));

        // A daemon that starts knows nothing of what it can't read.
        journal.aside = SetAside::default();
        let file = fs::File::create(&path).unwrap();
        file.set_len((64 << 20) + 1).unwrap();
        let (aside, unkept) = told_of(&mut journal, &database);
        assert_eq!((aside.count, aside.stand.dropped), (0, 1), "{unkept}");
        assert!(unkept.contains("refused.bad.3 now, with 1 record at least"), "{unkept}");
        assert_eq!(runs(&mut database), "1");
    }
}

/// The ninth name serves again and again, which is told.
#[test]
fn a_file_in_place_of_an_older_one_is_told() {
    let database = TestDatabase::new(Kind::Sqlite);
    let mut journal = Journal::new();
    let path = journal.dir.file("refused");
    for number in 1..=12 {
        // By turns a line of it and the whole.
        fs::write(
            &path,
            "no record
",
        )
        .unwrap();
        if number % 2 == 0 {
            fs::File::options().write(true).open(&path).unwrap().set_len((64 << 20) + 1).unwrap();
        }
        let (aside, unkept) = told_of(&mut journal, &database);
        let name = match number {
            1 => "refused.bad now".to_owned(),
            2..=9 => format!("refused.bad.{number} now"),
            _ => "refused.bad.9 now, in place of an older one that is gone".to_owned(),
        };
        assert!(unkept.contains(&name), "{number}: {unkept}");
        assert_eq!(
            (number < 10, aside.stand.dropped),
            (!unkept.contains("older"), number),
            "{unkept}"
        );
    }
    assert_eq!(fs::metadata(journal.dir.file("refused.bad.9")).unwrap().len(), (64 << 20) + 1);
}

/// What can't be read of the lines is kept, told and counted; the others are tried on.
#[test]
fn damaged_lines_of_refused_records_are_kept_and_told() {
    for mut database in TestDatabase::each() {
        let (_, begin, end) =
            refusals(database.kind).into_iter().find(|(what, ..)| *what == "trigger").unwrap();
        database.sql(begin);
        let mut journal = Journal::new();
        (1..=6).for_each(|number| journal.run(number, 2, true));
        assert_eq!(journal.carry(&database, false).1.count, 6);
        let path = journal.dir.file("refused");
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 30);
        let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        // How it stands, before all else.
        assert_eq!(lines.len(), 7);
        lines[2][30] ^= 1;
        lines[4][20..23].fill(0);
        fs::write(&path, lines.join(&b'\n')).unwrap();

        let kind = database.kind;
        let reply = journal.talk(&database);
        let Some(Answer::Recorded { aside, unkept, .. }) = reply.answers.last() else {
            panic!("{reply:?}")
        };
        // That of the last one was no write that failed: it had been told.
        assert_eq!((aside.count, aside.stand.dropped), (3, 3), "{kind:?} {reply:?}");
        let bad = journal.dir.file("refused.bad");
        assert!(unkept.contains("3 lines can't be read: in "), "{unkept}");
        assert!(unkept.ends_with(&format!("{bad} now")), "{unkept}");
        let kept = fs::read(&bad).unwrap();
        for (place, from) in [(2, 0), (4, 0), (6, 0)] {
            let part = &lines[place][from..];
            assert!(kept.windows(part.len()).any(|window| window == part), "line {place}");
        }
        // Told once, and the others go on.
        let again = journal.talk(&database);
        let Some(Answer::Recorded { aside, unkept, .. }) = again.answers.last() else {
            panic!("{again:?}")
        };
        assert_eq!((aside.stand.dropped, unkept.as_str()), (3, ""));
        assert!(!fs::exists(journal.dir.file("refused.bad.2")).unwrap());
        database.sql(end);
        let aside = journal.carry(&database, true).1;
        assert_eq!((aside.count, aside.stand.dropped), (0, 3), "{kind:?}");
        assert_eq!(runs(&mut database), "3");
    }
}
