//! Ways to die, and what else goes wrong meanwhile.

use super::daemon::keeper::signal;
use super::daemon::server::Server;
use super::daemon::{Daemon, SOON, Site, now_ns, wait_for};
use super::jobs::STUBBORN;
use super::random::Random;
use crate::common::database::TestDatabase;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The database that suffers, too.
pub struct Victim {
    pub database: TestDatabase,
    pub server: Option<Server>,
    /// It is locked, hung or dead until then.
    until: Option<(Instant, &'static str)>,
}

impl Victim {
    pub fn new(database: TestDatabase, server: Option<Server>) -> Victim {
        Victim { database, server, until: None }
    }

    /// Something may happen to it, or end.
    pub fn suffer(&mut self, random: &mut Random, told: &mut BTreeMap<String, u32>) {
        if self.until.is_some_and(|(until, _)| until <= Instant::now()) {
            self.recover();
        }
        if self.until.is_some() || !random.one_in(5) {
            return;
        }
        let what = match (&self.server, random.below(2)) {
            (None, _) => {
                self.database.sql("BEGIN EXCLUSIVE;");
                "database locked"
            }
            (Some(server), 0) => {
                server.signal(Signal::STOP);
                "database hung"
            }
            (Some(server), _) => {
                server.kill();
                "database killed"
            }
        };
        *told.entry(what.into()).or_default() += 1;
        let until = Instant::now() + Duration::from_millis(1_000 + random.below(3_000));
        self.until = Some((until, what));
    }

    /// All is well again.
    pub fn recover(&mut self) {
        let Some((_, what)) = self.until.take() else { return };
        match (&mut self.server, what) {
            (None, _) => self.database.sql("ROLLBACK;"),
            (Some(server), "database hung") => server.signal(Signal::CONT),
            (Some(server), _) => {
                server.start_again(&[]);
                self.database.reconnect(&server.config());
            }
        }
    }
}

/// Lets a daemon live for a moment that chance chooses, and kills it. Says which moment it was.
pub fn kill_some_time(site: &Site, daemon: Daemon, random: &mut Random) -> &'static str {
    let what = match random.below(6) {
        0 | 1 => {
            let ms = random.pick(&[-3, 1, 3, 5, 8, 12, 18, 26, 40, 60, 90]);
            wait_after_even_second(ms);
            "within the launches"
        }
        2 if wait_exchange(&daemon) => "within an exchange",
        3 => {
            let stubborn = STUBBORN.start() + random.below(4) as u32;
            daemon.request("POST", &format!("/api/v1/jobs/{stubborn}/stop"));
            sleep(Duration::from_millis(random.below(1_500)));
            "after a stop"
        }
        _ => {
            sleep(Duration::from_millis(random.below(1_800)));
            "at a random instant"
        }
    };
    daemon.kill();
    if random.one_in(4) {
        sleep(Duration::from_millis(random.below(2_500)));
    }
    if !random.one_in(3) {
        return what;
    }
    let twice = ["within compaction", "twice at its start"][random.below(2) as usize];
    for _ in 0..2 {
        killed_at_its_start(site, random, twice == "within compaction");
    }
    twice
}

/// Waits until so many milliseconds after the next even second: most rows are due there.
fn wait_after_even_second(ms: i64) {
    let period = 2_000_000_000;
    let to_go = period - (now_ns() - ms * 1_000_000).rem_euclid(period);
    sleep(Duration::from_nanos(to_go.unsigned_abs()));
}

/// Waits for a helper of the daemon that is at a question; not for ever, for a database that hangs
/// is left alone.
fn wait_exchange(daemon: &Daemon) -> bool {
    let pid = daemon.pid().as_raw_nonzero();
    let until = Instant::now() + Duration::from_millis(2_500);
    while Instant::now() < until {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let is_helper = |child: &str| {
            let cmdline = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            // One that waits for a question reads from descriptor 0.
            let call = fs::read_to_string(format!("/proc/{child}/syscall")).unwrap_or_default();
            let is_idle = call.split_whitespace().nth(1) == Some("0x0");
            !is_idle && cmdline.split(|&byte| byte == 0).any(|word| word == b"exchange")
        };
        if children.unwrap_or_default().split_whitespace().any(is_helper) {
            return true;
        }
        sleep(Duration::from_micros(300));
    }
    false
}

/// A daemon that does not live long enough to say anything. Each begins with a new segment of the
/// journal, so that there is a moment in which that is half done.
fn killed_at_its_start(site: &Site, random: &mut Random, at_segment: bool) {
    let before = segments(site);
    let stderr = fs::File::options().append(true).create(true).open(site.file("stderr")).unwrap();
    let mut child = site.command().stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    if at_segment {
        wait_for("a new segment", SOON, || (segments(site) != before).then_some(()));
    } else {
        sleep(Duration::from_millis(random.below(45)));
    }
    signal(rustix::process::Pid::from_child(&child), Signal::KILL);
    child.wait().unwrap();
}

fn segments(site: &Site) -> Vec<String> {
    let entries = fs::read_dir(site.file("state.1/journal")).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
