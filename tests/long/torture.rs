//! Torture: a hundred jobs of all kinds, a daemon that is killed with -9 again and again at the
//! worst moments, a database that is locked, hung or killed meanwhile. In the end what the jobs
//! wrote down themselves and what was recorded must be the same: no slot twice, no limit exceeded,
//! every slot launched or accounted for, every outcome what the job did.
//!
//! `SCHEDULE_TORTURE_KILLS` says how often (25), `SCHEDULE_TORTURE_SEED` which instants (1),
//! `SCHEDULE_TORTURE_ON` what database (`sqlite`; `mariadb` and `mysql` are servers of its own).
//! `scripts/long torture` is the long form.

use crate::daemon;
use crate::random;

mod jobs;
mod judge;
mod kills;

use crate::common::database::{Kind, TestDatabase};
use crate::daemon::account::{account, carry_over, catch_up, end};
use crate::daemon::ledger::Account;
use crate::daemon::rows::insert;
use crate::daemon::server::Server;
use crate::daemon::{Site, middle_of_a_second, now_ns, setting};
use crate::random::Random;
use kills::{Victim, kill_some_time};
use schedule::shell::database::migrate;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn victim() -> (Site, Victim) {
    let wanted = std::env::var("SCHEDULE_TORTURE_ON").unwrap_or("sqlite".to_owned());
    let kinds = [Kind::Sqlite, Kind::Mariadb, Kind::Mysql];
    let kind = kinds.into_iter().find(|kind| kind.name() == wanted).unwrap();
    if kind == Kind::Sqlite {
        let (site, database) = Site::on(kind);
        return (site, Victim::new(database, None));
    }
    let server = Server::start(kind);
    let database = TestDatabase::empty_on(kind, &server.config(), "CHARACTER SET utf8mb4");
    migrate::init(&database.config).unwrap();
    (Site::new(&database.config), Victim::new(database, Some(server)))
}

#[test]
fn killed_again_and_again() {
    let _alone = daemon::alone();
    let (kills, seed) =
        (setting("SCHEDULE_TORTURE_KILLS", 25), setting("SCHEDULE_TORTURE_SEED", 1));
    let began = Instant::now();
    let mut random = Random::new(seed);
    let (mut site, mut victim) = victim();
    site.base += "stop_grace = 1\n";
    let rows = jobs::rows(&site);
    victim.database.sql(&insert(&rows));
    let daemon = site.start();
    daemon.wait_jobs(rows.len() as u64);
    // From now on a snapshot is there, and nothing has an excuse.
    let first = now_ns() / 1_000_000_000 + 1;
    let mut told = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    let mut daemon = Some(daemon);
    for _ in 0..kills {
        victim.suffer(&mut random, &mut told);
        let alive = daemon.take().unwrap();
        let what = kill_some_time(&site, alive, &mut random);
        *told.entry(what.into()).or_default() += 1;
        let start = Instant::now();
        daemon = Some(site.start());
        slowest = slowest.max(start.elapsed());
    }
    victim.recover();
    let daemon = daemon.unwrap();
    catch_up(&site, jobs::EVERY_SECOND);
    // Few jobs are due in an odd second; what is due in even ones takes its time on a busy machine.
    // The end is in the second after this one.
    while middle_of_a_second() % 2 != 0 {}
    let last = end(daemon);
    carry_over(&site, &mut victim.database);
    let mut account = account(&site, &mut victim.database, &rows, (first, last));
    account.killed = true;
    let kept = concat!(env!("CARGO_TARGET_TMPDIR"), "/torture.log");
    std::fs::write(kept, site.log().join("\n")).unwrap();
    println!("the log of all daemons is kept in {kept}");
    judge(&site, &mut victim, &account);
    println!(
        "seed {seed}: {kills} kills {told:?} in {:?}; the slowest start took {slowest:?}",
        began.elapsed()
    );
}

fn judge(site: &Site, victim: &mut Victim, account: &Account) {
    println!("{}", account.settle());
    let (runs, late, worst_s) = judge::outcomes(site, &mut victim.database, account);
    println!(
        "{runs} ends are what the jobs noted; {late} of their times more than a second apart, the \
         most {worst_s} s"
    );
    // A job notes its end before it ends; on a machine with much to do a shell may wait in between.
    assert!(late * 100 <= runs && worst_s <= 5, "{late} of {runs}, {worst_s} s");
    judge::outputs(site, account);
    let lost = account.logged.iter().filter(|run| run.outcome.starts_with("lost")).count();
    assert_eq!(lost, 0, "runs whose end nobody saw");
}
