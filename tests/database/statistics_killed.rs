//! Who counts what runs came to is killed, or the server is: each run is counted once.

use crate::common::database::{Kind, Parts, TestDatabase, over_tcp};
use crate::common::helper::{Standing, recorded, request, run, start};
use crate::daemon::server::Server;
use crate::daemon::steps::{Cut, Steps};
use crate::daemon::{SOON, wait_for};
use crate::statistics::{TODAY, one, roll, summed, written};
use schedule::core::protocol::{Ask, Record};
use schedule::core::statistics::days_before;
use schedule::shell::database::{migrate, write_records};
use std::thread;
use std::time::{Duration, Instant};

/// Kills who counts before the server hears of each of its statements, and when the server has
/// answered that; meanwhile a late record comes.
#[test]
fn killed_at_any_statement_each_run_is_counted_once() {
    for kind in Kind::servers() {
        let mut database = TestDatabase::new(kind);
        for number in 0..60 {
            let day = days_before(TODAY, 1 + number % 2);
            recorded(
                &database.config,
                &[run(one(1 + number % 2, number, &format!("{day} 07:00:00")))],
            );
        }
        let mut late = 10_000;
        for cut in [Cut::Before, Cut::Behind] {
            for nth in 1.. {
                let mut left = nth;
                let port = database.config.server().port;
                let steps = Steps::start(port, cut, move |_| {
                    left -= 1;
                    left == 0
                });
                let mut config = over_tcp(database.config.clone());
                config.server_mut().port = steps.port;
                let (server_id, today) = (1, TODAY.to_owned());
                let ask = Ask::RollUp { server_id, today, afresh: true };
                let mut child = start(&request(&config, ask));
                let arrived = wait_for("the statement or the end", SOON, || {
                    let arrived = steps.has_arrived();
                    let ended = child.try_wait().unwrap().is_some();
                    (arrived || ended).then_some(arrived)
                });
                late += 1;
                let (config, at) = (database.config.clone(), "2026-11-30 08:00:00");
                let record = vec![run(one(1, late, at))];
                // It may wait for what the one who is killed holds.
                let writer = thread::spawn(move || write_records(&config, record).unwrap());
                thread::sleep(Duration::from_millis(nth % 3 * 5));
                child.kill().unwrap();
                child.wait().unwrap();
                drop(steps);
                writer.join().unwrap();
                roll(&mut Standing::start(), &database, false);
                let (written, summed) = (written(&mut database), summed(&mut database));
                assert_eq!(written, summed, "{kind:?} {cut:?} statement {nth}");
                if !arrived {
                    assert!(nth > 15, "{kind:?}: only {nth} statements");
                    break;
                }
            }
        }
    }
}

/// The server is killed while records are written, and sent again, and counted.
#[test]
fn a_server_that_is_killed_has_each_run_counted_once() {
    let mut server = Server::start(Kind::Mariadb);
    let mut database = TestDatabase::empty_on(Kind::Mariadb, &server.config(), "");
    migrate::init(&database.config).unwrap();
    let mut number = 0;
    for round in 0..4_u64 {
        let config = database.config.clone();
        let first = number;
        let writer = thread::spawn(move || {
            let mut number = first;
            loop {
                let day = |number: u32| format!("{} 09:00:00", days_before(TODAY, 1 + number % 3));
                let batch = (number..number + 20).map(|n| run(one(1 + n % 4, n, &day(n))));
                if write_records(&config, batch.collect()).is_err() {
                    // Whether it was committed nobody knows: it is sent again.
                    return number;
                }
                number += 20;
            }
        });
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(150 + round * 130) {
            let (server_id, today) = (1, TODAY.to_owned());
            let ask = Ask::RollUp { server_id, today, afresh: false };
            let _ = start(&request(&database.config, ask)).wait();
        }
        server.kill();
        number = writer.join().unwrap();
        server.start_again(&[]);
        database.reconnect(&server.config());
    }
    let day = |number: u32| format!("{} 09:00:00", days_before(TODAY, 1 + number % 3));
    let batch: Vec<Record> =
        (number..number + 20).map(|n| run(one(1 + n % 4, n, &day(n)))).collect();
    recorded(&database.config, &batch);
    roll(&mut Standing::start(), &database, false);
    let (written, summed) = (written(&mut database), summed(&mut database));
    assert_eq!(written, summed);
    assert_eq!(summed.values().map(|(runs, _)| *runs).sum::<u64>(), u64::from(number) + 20);
}
