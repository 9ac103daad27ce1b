//! Upgrades and restarts, one after the other, while clients ask without a pause and fifty jobs a
//! second are due: no request fails, no slot is left out or started twice, every run has the end
//! that it came to.
//!
//! `SCHEDULE_RENEWALS` says how many of each (4), `SCHEDULE_RENEWALS_WRK=1` has `wrk` on the page,
//! too. `scripts/long renewals` is the long form.

use crate::daemon;
use crate::daemon::account::{account, carry_over, catch_up, end};
use crate::daemon::clients::{Clients, Wrk};
use crate::daemon::facts::{Logged, STAMPS};
use crate::daemon::ledger::Account;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, log, now_ns, setting, wait_for};
use crate::random::Random;
use crate::service::Groups;
use rustix::process::Signal;
use schedule::shell::notify::Note;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Jobs that are due each second.
const JOBS: u32 = 50;

/// The job that is started by hand.
const BY_HAND: u32 = JOBS + 1;

/// No limit is in the way: each slot must be launched.
const LIMIT: u32 = 1_000;

/// Jobs 1 to `count`, due each second, with ends of all kinds; every tenth run is alive over
/// several renewals.
pub fn due_each_second(site: &Site, count: u32) -> impl Iterator<Item = Row> {
    let stamps = site.file(STAMPS);
    (1..=count).map(move |id| {
        let (rest, outcome) = match id % 10 {
            0 => ("sleep 4; exit 7", "exit 7"),
            1 => ("exit 3", "exit 3"),
            2 => ("exit 255", "exit 255"),
            3 => ("sleep 1; exit 127", "exit 127"),
            4 => ("kill -KILL $$", "signal 9"),
            5 => ("kill -TERM $$", "signal 15"),
            _ => ("", "exit 0"),
        };
        Row::stamping(id, Due::Step(1), &stamps, rest).ends(outcome).limit(LIMIT)
    })
}

/// A job that is started by hand alone, and says which run it is.
pub fn by_hand(site: &Site, id: u32) -> Row {
    let command = format!("echo $SCHEDULE_RUN_ID >>'{}'; exit 9", site.file("by-hand"));
    Row::new(id, Due::Never("0 0 1 1 *"), &command).limit(LIMIT)
}

fn rows(site: &Site) -> Vec<Row> {
    due_each_second(site, JOBS).chain([by_hand(site, BY_HAND)]).collect()
}

/// Where the program is installed: a link to one of two files.
pub struct Installed {
    link: PathBuf,
    pub files: [PathBuf; 2],
    now: usize,
}

impl Installed {
    /// These programs.
    pub fn at(site: &Site, programs: [&str; 2]) -> Installed {
        let files = ["one", "other"].map(|name| PathBuf::from(site.file(name)));
        for (program, file) in programs.iter().zip(&files) {
            fs::hard_link(program, file).or_else(|_| fs::copy(program, file).map(drop)).unwrap();
        }
        let installed = Installed { link: site.file("schedule").into(), files, now: 0 };
        symlink(&installed.files[0], &installed.link).unwrap();
        installed
    }

    /// Installs the other file, as package managers do: never is there none.
    fn upgrade(&mut self) {
        self.now = 1 - self.now;
        let next = self.link.with_extension("new");
        symlink(&self.files[self.now], &next).unwrap();
        fs::rename(&next, &self.link).unwrap();
    }
}

/// What the daemon last told of itself.
fn told(groups: &Groups) -> Option<i64> {
    let note = Note::read(Path::new(&groups.site.file("state.1")))?;
    assert_eq!(note.trouble, "");
    Some(note.told_ms)
}

/// USR2, or the command: then the daemon is the other program in the same process.
pub fn renew(
    groups: &Groups,
    daemon: &Daemon,
    installed: &mut Installed,
    by_command: bool,
) -> Duration {
    installed.upgrade();
    let (before, began) = (told(groups), Instant::now());
    if by_command {
        groups.run(&["restart", "1"]).expect(0, "has restarted in place");
    } else {
        daemon.signal(Signal::USR2);
        wait_for("the other program to serve", SOON, || {
            told(groups).filter(|at| Some(*at) != before)
        });
    }
    let took = began.elapsed();
    let exe = fs::read_link(format!("/proc/{}/exe", daemon.pid().as_raw_nonzero())).unwrap();
    assert_eq!(exe, installed.files[installed.now]);
    took
}

/// What was started by hand is no slot's and has an account of its own.
pub fn split_by_hand(account: &mut Account) -> Vec<Logged> {
    let (due, by_hand) = account.logged.drain(..).partition(|run: &Logged| run.slot.is_some());
    account.logged = due;
    account.starts.retain(|start| start.cause != "manual");
    by_hand
}

/// Renews again and again; how long each took, in milliseconds.
fn renew_often(
    groups: &Groups,
    daemon: &Daemon,
    installed: &mut Installed,
    clients: &Clients,
    count: u64,
) -> Vec<u128> {
    let mut random = Random::new(1);
    let mut took = Vec::new();
    for n in (0..2 * count).take_while(|_| !clients.have_failed()) {
        // At any moment of a second.
        sleep(Duration::from_millis(random.below(1_000)));
        took.push(renew(groups, daemon, installed, n % 2 == 1).as_millis());
        if n % 20 == 19 {
            println!("{} renewals", n + 1);
        }
    }
    took.sort_unstable();
    took
}

#[test]
fn upgrades_and_restarts_under_load() {
    let _alone = daemon::alone();
    let count = setting("SCHEDULE_RENEWALS", 4);
    let mut groups = Groups::new();
    let rows = rows(&groups.site);
    groups.database.sql(&insert(&rows));
    let mut installed = Installed::at(&groups.site, [env!("CARGO_BIN_EXE_schedule"); 2]);
    let program = groups.site.file("schedule");
    let daemon = groups.site.start_by(groups.site.command_of(&program));
    daemon.wait_jobs(rows.len() as u64);
    let first = now_ns() / 1_000_000_000 + 1;

    let mut clients = Clients::start(daemon.address, 6, 2);
    clients.start_by_hand(daemon.address, BY_HAND, &[200]);
    let day = Duration::from_secs(86_400);
    let wrk = (setting("SCHEDULE_RENEWALS_WRK", 0) == 1)
        .then(|| Wrk::start(daemon.address, "/", 16, day));
    let took = renew_often(&groups, &daemon, &mut installed, &clients, count);
    let kept = concat!(env!("CARGO_TARGET_TMPDIR"), "/renewals.log");
    fs::write(kept, groups.site.log().join("\n")).unwrap();
    println!("the log is kept in {kept}");
    let answered = clients.end();
    let by_wrk = wrk.map_or(0, |wrk| {
        wrk.cut_short();
        wrk.end()
    });
    let before = log::starts(&groups.site.log()).len() as u64;
    let status = daemon.status();
    let launched = status["launched"].as_u64().unwrap();
    let after = log::starts(&groups.site.log()).len() as u64;
    assert!((before..=after).contains(&launched), "{before} to {after} are in the log: {status}");
    assert_eq!(status["pid"], daemon.pid().as_raw_nonzero().get(), "{status}");
    catch_up(&groups.site, 1);
    let last = end(daemon);
    carry_over(&groups.site, &mut groups.database);
    judge(&mut groups, &rows, (first, last), count);
    println!(
        "{count} upgrades and {count} restarts, each {} to {} ms, half of them at most {} ms; \
         {answered} answers to clients and {by_wrk} to wrk, all right",
        took[0],
        took[took.len() - 1],
        took[took.len() / 2],
    );
}

fn judge(groups: &mut Groups, rows: &[Row], window: (i64, i64), count: u64) {
    let mut account = account(&groups.site, &mut groups.database, rows, window);
    let by_hand = split_by_hand(&mut account);
    let figures = account.settle();
    println!("{} slots due, {} launched {:?}", figures.due, figures.launched, figures.outcomes);
    assert_eq!(figures.skipped, BTreeMap::new(), "slots were left out");
    let wrong: Vec<_> = by_hand.iter().filter(|run| run.outcome != "exit 9").collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let mut recorded: Vec<&str> = by_hand.iter().map(|run| run.run.as_str()).collect();
    recorded.sort_unstable();
    let ran = groups.site.read("by-hand");
    let mut ran: Vec<&str> = ran.lines().collect();
    ran.sort_unstable();
    assert_eq!(ran, recorded, "runs by hand");
    println!("by hand: {} runs", ran.len());
    let bad: Vec<String> = (groups.site.log().into_iter())
        .filter(|line| line.contains("ERROR") || line.contains("lost") || line.contains("not done"))
        .collect();
    assert!(bad.is_empty(), "{bad:?}");
    // The first start, that of carry_over, and the renewals.
    assert_eq!(groups.site.logged("begin: ").len() as u64, 2 + 2 * count);
}
