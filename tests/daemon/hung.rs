//! A helper that hangs: that is seen long before its question is given up, and told as what it is.

use crate::daemon::held::helpers;
use crate::daemon::keeper::{signal, wait_state};
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use rustix::process::Signal;
use schedule::core::database::Driver;
use std::time::{Duration, Instant};

/// The daemon gives a question up after 30 s.
const GIVEN_UP: Duration = Duration::from_secs(50);

fn is(daemon: &Daemon, database: &str) -> Option<Instant> {
    (daemon.status()["database"] == database).then(Instant::now)
}

#[test]
fn a_helper_that_is_stopped_is_seen_within_seconds_and_told_when_it_is_killed() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&insert(&[Row::new(1, Due::Never("0 0 1 1 *"), "true")]));
    let daemon = site.start();
    daemon.wait_jobs(1);
    for lasts in [true, false] {
        let stopped = wait_for("a helper", SOON, || helpers(&daemon).pop());
        signal(stopped, Signal::STOP);
        wait_state(stopped, 'T');
        let since = Instant::now();
        // A second for the next question, and five without an answer.
        let seen = wait_for("the silence", Duration::from_secs(20), || is(&daemon, "down"));
        assert!(seen - since < Duration::from_secs(12), "{:?}", seen - since);
        let told = daemon.status()["database_error"].as_str().unwrap().to_owned();
        assert!(told.contains("no answer for 5 s"), "{told}");
        assert_eq!(site.logged("no answer within").len(), 0);
        if lasts {
            signal(stopped, Signal::CONT);
            wait_for("the answer", SOON, || is(&daemon, "up"));
            continue;
        }
        let log = wait_for("its end", GIVEN_UP, || {
            Some(site.logged("no answer within 30 s")).filter(|log| !log.is_empty())
        });
        let pid = stopped.as_raw_nonzero();
        let what = format!("its helper, process {pid}, was stopped by a signal");
        assert!(log[0].contains(&what) && !log[0].contains("overloaded"), "{log:?}");
        wait_for("another helper", SOON, || is(&daemon, "up"));
    }
}
