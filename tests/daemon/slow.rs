//! A database that takes its time, and refuses some records: each exchange ends in time and makes
//! progress, and what is tried again keeps nothing new waiting.

use crate::common::database::{Kind, Parts, TestDatabase, over_tcp};
use crate::common::helper;
use crate::common::refusing::{Journal, refusals, runs};
use crate::daemon::proxy::{Mode, Proxy};
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Site, wait_for};
use schedule::core::protocol::Answer;
use std::fs;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// The daemon kills a helper after 30 s.
const IN_TIME: Duration = Duration::from_secs(27);

fn on_each_server(test: impl Fn(Kind) + Copy + Send) {
    scope(|scope| {
        Kind::servers().into_iter().for_each(|kind| drop(scope.spawn(move || test(kind))))
    });
}

/// A quarter of a second there and back, and most records are refused.
fn slow_line(kind: Kind) {
    let mut database = TestDatabase::new(kind);
    let (_, begin, _) = refusals(kind).into_iter().find(|(what, ..)| *what == "trigger").unwrap();
    database.sql(begin);
    let mut journal = Journal::new();
    (1..=40).for_each(|number| journal.run(number, 2 - u32::from(number % 10 == 0), true));
    let proxy = Proxy::start(Mode::Slow(database.config.server().port, Duration::from_millis(125)));
    let slow = over_tcp(database.config.with(|it| it.port = proxy.port));
    let began = Instant::now();
    let reply = helper::talk(&helper::request(&slow, journal.ask(0, false)));
    println!("{kind:?}: {:?}", began.elapsed());
    assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
    let Some(Answer::Recorded { through, aside, .. }) = reply.answers.last() else {
        panic!("{reply:?}")
    };
    assert!(*through > 0 && aside.count > 1, "{reply:?}");
    journal.through = *through;
    let (_, aside) = journal.carry(&database, false);
    assert_eq!((aside.count, runs(&mut database).as_str()), (36, "4"), "{kind:?}");
}

#[test]
fn over_a_slow_line_an_exchange_ends_in_time_and_makes_progress() {
    on_each_server(slow_line);
}

/// Each record takes 0.4 s, and so does each of those that were set aside.
fn slow_retry(kind: Kind) {
    let (site, mut database) = Site::on(kind);
    let (_, begin, end) = refusals(kind).into_iter().find(|(what, ..)| *what == "trigger").unwrap();
    database.sql(begin);
    let mut journal = Journal::new();
    (1..=90).for_each(|number| journal.run(number, 2, true));
    assert_eq!(journal.carry(&database, false).1.count, 90);
    database.sql(end);
    database.sql(
        "CREATE TRIGGER slow BEFORE INSERT ON scheduler_logs FOR EACH ROW
         IF SLEEP(0.4) = 0 AND NEW.command_id = 2 THEN SIGNAL SQLSTATE '45000'; END IF",
    );
    database.sql(&insert(&[Row::new(1, Due::Step(1), "true")]));
    // The state directory is made by a daemon; the next one finds what was set aside.
    drop(site.start());
    fs::copy(journal.dir.file("refused"), site.file("state.1/refused")).unwrap();
    let daemon = site.start();
    wait_for("the database", IN_TIME, || (daemon.status()["database"] == "up").then_some(()));
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(36) {
        let status = daemon.status();
        assert_eq!(status["database"], "up", "{kind:?} after {:?}: {status}", began.elapsed());
        assert_eq!(status["records_refused"], 90);
        sleep(Duration::from_millis(200));
    }
    let taken: u32 = runs(&mut database).parse().unwrap();
    assert!(taken > 12, "{taken} records of 36");
}

#[test]
fn what_is_tried_again_keeps_nothing_new_waiting() {
    on_each_server(slow_retry);
}

/// Reading the table takes longer than `sync_interval`, so it is always due.
fn slow_table(kind: Kind) {
    let (mut site, mut database) = Site::on(kind);
    let proxy = Proxy::start(Mode::Slow(site.database.server().port, Duration::from_millis(150)));
    site.database = over_tcp(site.database.with(|it| it.port = proxy.port));
    database.sql(&insert(&[Row::new(1, Due::Step(1), "true")]));
    let daemon = site.start();
    let enough = || (runs(&mut database).parse::<u32>().unwrap() >= 5).then_some(());
    wait_for("records", Duration::from_secs(60), enough);
    daemon.kill();
}

#[test]
fn records_have_their_turn_where_the_table_takes_long() {
    on_each_server(slow_table);
}
