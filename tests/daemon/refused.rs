//! `kill -9` of the daemon and of its helper while records are being set aside, and while they are
//! tried again: nothing is lost, nothing is there twice.

use crate::common::database::{Kind, TestDatabase};
use crate::common::our_program;
use crate::common::refusing::{Journal, refusals};
use crate::daemon::facts::{STAMPS, stamps};
use crate::daemon::held::helpers;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, now_ns, setting, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use schedule::core::refused::Refused;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Of three jobs the records of one are refused by an error that blames them, of one by an error
/// that blames nobody.
const JOBS: u32 = 30;

fn guards(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => {
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs WHEN NEW.command_id % 3 = 1
             BEGIN SELECT RAISE(ABORT, 'not this one'); END;
             CREATE TRIGGER other BEFORE INSERT ON scheduler_logs WHEN NEW.command_id % 3 = 2
             BEGIN SELECT json_extract('no', '$.team'); END"
        }
        Kind::Mariadb | Kind::Mysql => {
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs FOR EACH ROW
             IF NEW.command_id % 3 = 1 THEN SIGNAL SQLSTATE '45000'; END IF;
             CREATE TRIGGER other AFTER INSERT ON scheduler_logs FOR EACH ROW
             IF NEW.command_id % 3 = 2 THEN
               SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 30001; END IF"
        }
    }
}

/// Helpers that are killed again and again have the daemon pause.
const PATIENCE: Duration = Duration::from_secs(60);

const MEND: &str = "DROP TRIGGER guard; DROP TRIGGER other";

/// A helper of a daemon.
fn helper(daemon: &Daemon) -> Option<Pid> {
    helpers(daemon).into_iter().next()
}

/// What the file of refused records looks like.
fn look(site: &Site) -> u64 {
    fs::metadata(site.file("state.1/refused")).map_or(0, |file| file.len())
}

/// Asks now and then for what is set aside to be tried again: a daemon whose helper was killed may
/// not know of it yet.
fn try_again(daemon: &Daemon, asked: &mut u32) {
    if asked.is_multiple_of(50) {
        assert_eq!(daemon.request("POST", "/api/v1/sync").status, 200);
    }
    *asked += 1;
}

/// Lets some instant come that chance chooses, most of them around the file's change, and kills
/// helper, daemon or both. Returns whether the daemon lives.
fn kill_some_time(site: &Site, daemon: &Daemon, database: &mut TestDatabase, chance: u64) -> bool {
    let what = chance % 5;
    let mut before = look(site);
    if what < 2 {
        // All that is set aside is taken, and the file is written anew.
        let there = || Some(look(site)).filter(|bytes| *bytes > 0);
        before = wait_for("what is set aside", PATIENCE, there);
        database.sql(MEND);
    }
    let mut asked = 0;
    let at = match what {
        // The file has just changed: the daemon was not told yet.
        0..=2 => wait_for("a change of what is set aside", PATIENCE, || {
            if what < 2 {
                try_again(daemon, &mut asked);
            }
            (look(site) != before).then(|| helper(daemon))
        }),
        _ => Some(wait_for("a helper", PATIENCE, || helper(daemon))),
    };
    if what == 4 {
        sleep(Duration::from_micros(chance / 8 % 40_000));
    }
    let at = at.or_else(|| helper(daemon));
    let whom = chance / 16 % 3;
    // It may have ended by itself.
    if let Some(pid) = at.filter(|_| whom != 0) {
        let _ = kill_process(pid, Signal::KILL);
    }
    if whom != 1 {
        kill_process(daemon.pid(), Signal::KILL).unwrap();
    }
    if what < 2 {
        database.sql(guards(database.kind));
    }
    whom == 1
}

fn settle(site: &Site, daemon: &Daemon, database: &mut TestDatabase) {
    database.sql(MEND);
    database.sql("UPDATE scheduler_jobs SET status = 0");
    wait_for("the last runs to be recorded", PATIENCE, || {
        let status = daemon.status();
        let done = ["jobs", "running", "records_waiting_bytes"].map(|name| status[name] == 0);
        (done == [true; 3]).then_some(())
    });
    let mut asked = 0;
    wait_for("what was set aside to be taken", PATIENCE, || {
        try_again(daemon, &mut asked);
        (daemon.status()["records_refused"] == 0).then_some(())
    });
    let left = fs::read(site.file("state.1/refused")).unwrap_or_default();
    assert_eq!(Refused::read(&left).entries(), [], "what the database has is still set aside");
    assert_eq!(daemon.status()["records_dropped"], 0);
}

fn kills(kind: Kind) {
    let (site, mut database) = Site::on(kind);
    let file = site.file(STAMPS);
    let rows: Vec<Row> = (1..=JOBS).map(|id| Row::stamping(id, Due::Step(1), &file, "")).collect();
    database.sql(guards(kind));
    database.sql(&insert(&rows));
    let mut daemon = site.start();
    wait_for("records to be set aside", SOON, || (look(&site) > 0).then_some(()));
    let began = Instant::now();
    let mut chance = now_ns().unsigned_abs();
    for _ in 0..setting("SCHEDULE_REFUSED_KILLS", 14) {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 1;
        if !kill_some_time(&site, &daemon, &mut database, chance >> 8) {
            drop(daemon);
            daemon = site.start();
        }
    }
    settle(&site, &daemon, &mut database);
    let stamps = stamps(&site);
    let slots: BTreeSet<_> = stamps.iter().map(|stamp| (stamp.job, stamp.slot)).collect();
    assert_eq!(slots.len(), stamps.len(), "a slot was started twice");
    let ran: BTreeSet<String> = stamps.into_iter().map(|stamp| stamp.run).collect();
    let rows = database.query("SELECT uniq_id FROM scheduler_logs WHERE outcome = 'exit 0'");
    let recorded: BTreeSet<String> = rows.iter().flatten().cloned().collect();
    assert_eq!(recorded.len(), rows.len(), "a run is there twice");
    let lost: Vec<_> = ran.difference(&recorded).collect();
    assert!(lost.is_empty(), "{:?} on {kind:?} are lost of {}", lost, ran.len());
    println!("{kind:?}: {} runs in {:?}", ran.len(), began.elapsed());
}

#[test]
fn kills_lose_nothing_of_what_is_set_aside() {
    Kind::all().into_iter().for_each(kills);
}

/// The file of three records that are set aside, as it was at first.
const THREE: &str = "three";

/// A daemon that knows of three records that are set aside, and their file.
fn with_three_set_aside() -> (Site, TestDatabase, Daemon, String) {
    let (site, mut database) = Site::on(Kind::Sqlite);
    let refused = refusals(Kind::Sqlite);
    let (_, begin, _) = refused.iter().find(|(what, ..)| *what == "trigger").unwrap();
    database.sql(begin);
    let mut journal = Journal::new();
    (1..=3).for_each(|number| journal.run(number, 2, true));
    assert_eq!(journal.carry(&database, false).1.count, 3);
    // The state directory is made by a daemon; the next one finds what was set aside.
    drop(site.start());
    let path = site.file("state.1/refused");
    for copy in [&path, &site.file(THREE)] {
        fs::copy(journal.dir.file("refused"), copy).unwrap();
    }
    let daemon = site.start();
    // It has read the table, carried its own journal, and tried these again: no helper has them.
    let exchanges = || daemon.metric("schedule_exchanges_total{result=\"success\"}");
    wait_for("its first exchanges", SOON, || (exchanges() >= 3).then_some(()));
    assert_eq!(daemon.status()["records_refused"], 3);
    (site, database, daemon, path)
}

/// The status of a daemon that counts so many records as dropped.
fn dropped(daemon: &Daemon, count: u64) -> Value {
    let mut asked = 0;
    wait_for("the loss to be counted", SOON, || {
        try_again(daemon, &mut asked);
        Some(daemon.status()).filter(|status| status["records_dropped"] == count)
    })
}

/// What `check` says of what is set aside, which is no error.
fn check(site: &Site) -> String {
    let mut command = our_program();
    let output = command.args(["check", "-c", &site.file("schedule.ini")]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let lines = text.lines().filter(|line| line.contains("set aside") || line.contains("refuse"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A daemon that has nothing else to carry finds, tells and counts what is damaged.
#[test]
fn damaged_lines_are_told_and_counted_by_a_daemon_without_news() {
    let (site, _database, daemon, path) = with_three_set_aside();
    let mut bytes = fs::read(site.file(THREE)).unwrap();
    let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes[second + 30] ^= 1;
    // A helper may be reading it.
    fs::write(site.file("damaged"), bytes).unwrap();
    fs::rename(site.file("damaged"), &path).unwrap();
    let status = dropped(&daemon, 1);
    assert_eq!(status["records_refused"], 2, "{status}");
    let told = status["journal_error"].as_str().unwrap();
    assert!(
        told.contains("1 line can't be read: in ") && told.contains("refused.bad now"),
        "{told}"
    );
    let log = site.log();
    let said = log.iter().filter(|line| line.contains("1 line can't be read: in "));
    assert_eq!(said.count(), 1, "{log:?}");
    assert!(log.iter().any(|line| line.contains("1 record dropped, 1 in all")), "{log:?}");
}

/// So it does with a file that can't be read at all: nobody is told that its records were taken.
#[test]
fn a_file_that_cant_be_read_is_counted_and_told_as_lost() {
    let (site, _database, daemon, path) = with_three_set_aside();
    // At once, or it would be put back.
    std::os::unix::fs::symlink(site.file("away"), site.file("link")).unwrap();
    fs::rename(site.file("link"), &path).unwrap();
    let status = dropped(&daemon, 3);
    assert_eq!(status["records_refused"], 0, "{status}");
    let log = site.log();
    let told = format!("it is {path}.bad now, with 3 records at least");
    assert_eq!(site.logged(&told).len(), 1, "{log:?}");
    assert_eq!(site.logged("3 records dropped, 3 in all").len(), 1, "{log:?}");
    assert!(site.logged("the database has taken").is_empty(), "{log:?}");
    // Once, and the next daemon knows of it.
    drop(daemon);
    let daemon = site.start();
    assert_eq!(dropped(&daemon, 3)["records_refused"], 0);
}

/// Waits until so many are called dropped, and checks that this is told as it is.
fn lost(site: &Site, daemon: &Daemon, count: u64, log_before: usize) {
    wait_for("the loss to be counted", SOON, || {
        (daemon.status()["records_dropped"] == count).then_some(())
    });
    let log = site.log();
    let said = |text: &str| log[log_before..].iter().filter(|line| line.contains(text)).count();
    let records = if count == 1 { "1 record".to_owned() } else { format!("{count} records") };
    let why = "records set aside: taken away by somebody, unreadable, or too many: ";
    assert_eq!(said(&format!("{why}{records} dropped, {count} in all")), 1, "{log:?}");
    assert_eq!(said(&format!("refused: somebody took {records} away")), 1, "{log:?}");
    assert_eq!(said("the database has taken"), 0, "{log:?}");
    let status = daemon.status();
    assert_eq!(status["records_refused"], 3 - count, "{status}");
    assert_eq!(daemon.metric("schedule_records_dropped_total"), count);
    assert!(daemon.get("/").body.contains("are missing in the database"));
}

/// What a part of the file had that is gone is counted, by itself and while the database is away;
/// once, and the next daemon knows of it. The others are taken.
fn taken_away(count: u64, is_down: bool, spoil: impl Fn(&Path)) {
    let (site, mut database, mut daemon, path) = with_three_set_aside();
    database.sql("ALTER TABLE scheduler_logs RENAME TO elsewhere;");
    let before = site.log().len();
    if is_down {
        drop(daemon);
        spoil(Path::new(&path));
        daemon = site.start();
    } else {
        spoil(Path::new(&path));
    }
    lost(&site, &daemon, count, before);
    database.sql("ALTER TABLE elsewhere RENAME TO scheduler_logs; DROP TRIGGER guard");
    drop(daemon);
    let daemon = site.start();
    wait_for("the others to be taken", SOON, || {
        (daemon.status()["records_refused"] == 0).then_some(())
    });
    assert_eq!(daemon.status()["records_dropped"], count);
    let rows = database.query("SELECT uniq_id FROM scheduler_logs");
    assert_eq!(rows.len() as u64, 3 - count);
}

fn empty(path: &Path) {
    fs::write(path, "").unwrap();
}

/// Cuts off the last line.
fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    fs::File::options().write(true).open(path).unwrap().set_len(last as u64 + 1).unwrap();
}

/// Puts a file in its place that lacks the first record.
fn shorten(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines.remove(1);
    fs::write(path.with_extension("shorter"), lines.concat()).unwrap();
    fs::rename(path.with_extension("shorter"), path).unwrap();
}

#[test]
fn what_somebody_takes_away_of_what_is_set_aside_is_counted() {
    taken_away(3, false, empty);
    taken_away(1, false, cut);
    taken_away(1, false, shorten);
}

#[test]
fn what_was_taken_away_while_no_daemon_was_there_is_counted() {
    taken_away(3, true, |path| fs::remove_file(path).unwrap());
    taken_away(3, true, empty);
    taken_away(1, true, cut);
    taken_away(1, true, shorten);
}

/// Whoever deletes or moves the file under the daemon, alone or with its directory, takes nothing
/// with it; nor is anything missed that the database took.
#[test]
fn what_is_set_aside_is_put_back_where_somebody_took_it_away() {
    let delete = |path: &Path| fs::remove_file(path).unwrap();
    let replace = |path: &Path| {
        let state = path.parent().unwrap();
        fs::rename(state, state.with_extension("moved")).unwrap();
        fs::create_dir(state).unwrap();
    };
    for take_away in [&delete as &dyn Fn(&Path), &replace] {
        let (site, mut database, daemon, path) = with_three_set_aside();
        let before = fs::read(&path).unwrap();
        take_away(Path::new(&path));
        wait_for("it to be put back", SOON, || {
            (fs::read(&path).is_ok_and(|bytes| bytes == before)).then_some(())
        });
        let told = format!("somebody took {path} away: it is written again");
        wait_for("it to be told", SOON, || (!site.logged(&told).is_empty()).then_some(()));
        database.sql("DROP TRIGGER guard");
        let mut asked = 0;
        wait_for("all to be taken", SOON, || {
            try_again(&daemon, &mut asked);
            (daemon.status()["records_refused"] == 0).then_some(())
        });
        assert_eq!(database.query("SELECT uniq_id FROM scheduler_logs").len(), 3);
        drop(daemon);
        let _ = fs::remove_file(&path);
        let daemon = site.start();
        daemon.wait_jobs(0);
        assert_eq!(daemon.status()["records_dropped"], 0);
        assert!(site.logged(" dropped, ").is_empty(), "{:?}", site.log());
    }
}

/// `check` tells of each file, whatever else is there.
#[test]
fn check_tells_of_what_is_set_aside_and_of_what_could_not_be_read() {
    let (site, _database, daemon, path) = with_three_set_aside();
    drop(daemon);
    let waiting =
        format!("warning: 3 records that the database refuses wait in {path}, the last one: run=");
    let said = check(&site);
    assert!(said.contains(&waiting) && !said.contains("could not be read"), "{said}");
    for name in ["bad.3", "bad"] {
        fs::write(format!("{path}.{name}"), "").unwrap();
    }
    let unread = format!(
        "records that were set aside could not be read and are in {path}.bad, {path}.bad.3: put \
         them back into {path} when they can be, or take them away"
    );
    let said = check(&site);
    assert!(said.contains(&waiting) && said.contains(&format!("; {unread}")), "{said}");
    fs::rename(&path, site.file("away")).unwrap();
    assert!(check(&site).contains(&format!("warning: {unread}")), "{}", check(&site));
    std::os::unix::fs::symlink(site.file("away"), &path).unwrap();
    let said = check(&site);
    assert!(said.contains(&format!("{path}: it is a symbolic link: take it away; {unread}")));
}
