//! A helper that stays: question after question on one connection, which is as good as a new one
//! each time, and silently replaced where somebody has closed it.

use crate::common::database::TestDatabase;
use crate::common::helper::{Standing, ask_sync};
use crate::daemon::{SOON, wait_for};
use schedule::core::protocol::Answer;

/// The connections to this database but that of the test.
fn others(database: &mut TestDatabase) -> Vec<String> {
    let sql = "SELECT id FROM information_schema.processlist \
               WHERE db = DATABASE() AND id <> CONNECTION_ID()";
    database.query(sql).into_iter().flatten().collect()
}

fn digest(answers: &[Answer]) -> &str {
    match answers {
        [Answer::Same(digest)] | [.., Answer::End { digest, .. }] => digest,
        _ => panic!("no table: {answers:?}"),
    }
}

fn jobs(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| matches!(answer, Answer::Job(_))).count()
}

const JOB: &str = "INSERT INTO scheduler_jobs (name, command, cron, server_id, status) \
                   VALUES ('a', 'true', '* * * * * *', 1, 1)";

#[test]
fn a_helper_keeps_its_connection_and_nothing_of_a_session() {
    for mut database in TestDatabase::each_server() {
        let config = database.config.clone();
        let mut helper = Standing::start();
        let first = helper.ask(&config, ask_sync(""));
        let its = others(&mut database);
        assert_eq!(its.len(), 1, "{:?}: {its:?}", database.kind);
        // No transaction is open behind an answer: it would hold this up, and hide the row.
        database.sql("SET lock_wait_timeout = 2");
        database.sql("ALTER TABLE scheduler_jobs ADD COLUMN extra INT");
        database.sql(JOB);
        let next = helper.ask(&config, ask_sync(digest(&first)));
        assert_eq!(jobs(&next), 1, "{:?}: {next:?}", database.kind);
        let same = helper.ask(&config, ask_sync(digest(&next)));
        assert_eq!(same, [Answer::Same(digest(&next).to_owned())], "{:?}", database.kind);
        assert_eq!(others(&mut database), its, "{:?}", database.kind);
    }
}

#[test]
fn a_connection_that_was_closed_meanwhile_costs_nothing() {
    for mut database in TestDatabase::each_server() {
        database.sql(JOB);
        let config = database.config.clone();
        let mut helper = Standing::start();
        let first = helper.ask(&config, ask_sync(""));
        let its = others(&mut database);
        database.sql(&format!("KILL {}", its[0]));
        wait_for("its end", SOON, || others(&mut database).is_empty().then_some(()));
        let same = helper.ask(&config, ask_sync(digest(&first)));
        assert_eq!(same, [Answer::Same(digest(&first).to_owned())], "{:?}", database.kind);
        assert_ne!(others(&mut database), its, "{:?}", database.kind);
    }
}

/// The configuration names another database by now.
#[test]
fn a_question_for_another_database_goes_there() {
    for mut database in TestDatabase::each_server() {
        let mut other = TestDatabase::new(database.kind);
        other.sql(JOB);
        let mut helper = Standing::start();
        assert_eq!(jobs(&helper.ask(&database.config.clone(), ask_sync(""))), 0);
        assert_eq!(jobs(&helper.ask(&other.config.clone(), ask_sync(""))), 1);
        wait_for("the end of the first", SOON, || others(&mut database).is_empty().then_some(()));
        assert!(helper.end().success());
    }
}
