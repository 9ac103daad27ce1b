//! A state disk that is full while fifty runs a second begin and end: afterwards every run is in
//! the database or counted as dropped, and no slot was started twice. On each database, with the
//! daemon killed meanwhile and without, with room kept for the journal and on a disk too small for
//! that. `scripts/long full-disk` is the long form.

use crate::common::database::{Kind, Parts, TestDatabase};
use crate::common::our_program;
use crate::daemon;
use crate::daemon::rows::{Due, Row};
use crate::daemon::{Daemon, Site, alone, setting, wait_for};
use schedule::core::ids::RunId;
use schedule::shell::journal::Journal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

/// Jobs, each due each second.
const JOBS: u32 = 50;

/// A disk with room for what is kept for the journal, and one without.
const SIZES: [&str; 2] = ["64m", "4m"];

/// A file system of its own for the state directory of a site.
struct Disk(PathBuf);

impl Disk {
    /// None where nothing can be mounted: that is said loudly.
    fn mount(site: &Site, size: &str) -> Option<Disk> {
        let dir = PathBuf::from(site.file("state.1"));
        fs::create_dir_all(&dir).unwrap();
        let options = format!("size={size},mode=0755");
        let mut command = Command::new("mount");
        let mounted = command.args(["-t", "tmpfs", "-o", &options, "full-disk"]).arg(&dir).output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Disk(dir));
        }
        // Past the harness, which keeps to itself what a test that passes has to say.
        let said = b"\nNOT TESTED: a full disk, for only root can mount one; run this as root\n";
        std::io::stderr().write_all(said).unwrap();
        None
    }

    /// Fills it, and takes whatever is freed, until it is emptied.
    fn fill(&self) -> Filler {
        let (path, is_over) = (self.0.join("filler"), Arc::new(AtomicBool::new(false)));
        let (file, stop) = (path.clone(), Arc::clone(&is_over));
        let eat = move || {
            let mut file = File::options().create(true).append(true).open(&file).unwrap();
            while !stop.load(Ordering::Relaxed) {
                for bytes in [64 << 10, 4 << 10] {
                    while file.write(&vec![1; bytes]).is_ok() {}
                }
                sleep(Duration::from_millis(2));
            }
        };
        Filler { path, is_over, eater: Some(std::thread::spawn(eat)) }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

struct Filler {
    path: PathBuf,
    is_over: Arc<AtomicBool>,
    eater: Option<JoinHandle<()>>,
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.eater.take().into_iter().for_each(|eater| drop(eater.join()));
        let _ = fs::remove_file(&self.path);
    }
}

/// What runs say of themselves: job and slot, and the run's id.
fn stamps(site: &Site) -> Vec<(String, String)> {
    let text = site.read("stamps");
    let two = |line: &str| line.rsplit_once(' ').map(|(slot, run)| (slot.into(), run.into()));
    text.lines().filter_map(two).collect()
}

fn schedule(site: &Site, what: &str) -> (bool, String) {
    let mut command = our_program();
    let output = command.args([what, "1", "-c", &site.file("schedule.ini")]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text + &String::from_utf8_lossy(&output.stderr))
}

fn journal_error(status: &Value) -> Option<()> {
    status["journal_error"].is_string().then_some(())
}

/// That the disk is full is told everywhere, and what is asked for is done or truly refused.
fn is_told(site: &Site, daemon: &Daemon) {
    wait_for("the full disk to be noticed", daemon::SOON, || journal_error(&daemon.status()));
    let page = daemon.get("/").body;
    assert!(page.contains("The journal can") && page.contains("make room there"), "{page}");
    assert_eq!(daemon.metric("schedule_journal_error"), 1);
    let (_, said) = schedule(site, "status");
    assert!(said.contains("make room there"), "{said}");
    for what in ["reload", "restart"] {
        let began = Instant::now();
        let (done, said) = schedule(site, what);
        assert!(done && began.elapsed() < Duration::from_secs(10), "{what}: {said}");
    }
}

fn fresh_jobs(site: &Site, database: &mut TestDatabase) {
    let stamp =
        format!("echo $SCHEDULE_JOB_ID $SCHEDULE_SLOT $SCHEDULE_RUN_ID >> {}", site.file("stamps"));
    for id in 1..=JOBS {
        database.sql(&format!(
            "INSERT INTO scheduler_jobs (id, name, command, cron, max_concurrence, server_id, \
             status, output, stderr) VALUES ({id}, 'job {id}', '{stamp}', '* * * * * *', 9, 1, 1, \
             '', '');"
        ));
    }
}

/// The whole of it on a database; `kills`: how often the daemon is killed meanwhile.
fn full_disk(kind: Kind, size: &str, kills: u64) {
    let mut database = TestDatabase::new(kind);
    let site = Site::new(&database.config);
    let Some(disk) = Disk::mount(&site, size) else { return };
    fresh_jobs(&site, &mut database);
    let mut daemon = site.start();
    wait_for("runs", daemon::SOON, || (stamps(&site).len() > 60).then_some(()));
    let filler = disk.fill();
    is_told(&site, &daemon);
    let seconds = setting("SCHEDULE_FULL_DISK_SECONDS", 3);
    for _ in 0..=kills {
        sleep(Duration::from_secs_f64(seconds as f64 / (kills + 1) as f64));
        if kills > 0 {
            daemon.kill();
            daemon = site.start();
        }
    }
    drop(filler);
    wait_for("room", daemon::SOON, || daemon.status()["journal_error"].is_null().then_some(()));
    database.sql("UPDATE scheduler_jobs SET status = 0;");
    let (launched, recorded, missing, dropped) = account(&site, &daemon, &mut database);
    println!(
        "{:8} {size:>3} {kills} kills: {launched} launched, {recorded} recorded, {missing} \
         missing, {dropped} dropped",
        kind.name(),
    );
    assert!(launched > seconds * 25, "{launched} runs");
    // What is kept for the journal, or the memory, was enough.
    assert!(dropped == 0 || (kills > 0 && size == SIZES[1]), "{dropped} are dropped");
}

/// No slot was started twice, and each run is recorded or counted, when all has ended. Returns how
/// many were launched, recorded, are missing and called dropped.
fn account(site: &Site, daemon: &Daemon, database: &mut TestDatabase) -> (u64, u64, u64, u64) {
    let status = wait_for("the records", Duration::from_secs(90), || {
        let status = daemon.status();
        let done = ["jobs", "running", "records_waiting_bytes"].map(|name| status[name] == 0);
        (done == [true; 3]).then_some(status)
    });
    let recorded = database.query("SELECT uniq_id FROM scheduler_logs WHERE outcome <> 'running'");
    let recorded: BTreeSet<String> = recorded.into_iter().flatten().collect();
    let stamps = stamps(site);
    let slots: BTreeSet<&String> = stamps.iter().map(|(slot, _)| slot).collect();
    assert_eq!(slots.len(), stamps.len(), "a slot was started twice");
    let missing = stamps.iter().filter(|(_, run)| !recorded.contains(run)).count() as u64;
    let dropped = status["records_dropped"].as_u64().unwrap();
    assert!(missing <= dropped, "{missing} runs are missing, and {dropped} are called dropped");
    (stamps.len() as u64, recorded.len() as u64, missing, dropped)
}

/// In its short form the databases are gone through where the daemon is killed on a disk with
/// room for what is kept; all else is the same for each.
fn on_each(size: &str, kills: u64) {
    let _alone = alone();
    let is_long = std::env::var_os("SCHEDULE_FULL_DISK_SECONDS").is_some();
    let short = |kind: &Kind| is_long || *kind == Kind::Sqlite || (kills, size) == (2, SIZES[0]);
    Kind::all().into_iter().filter(short).for_each(|kind| full_disk(kind, size, kills));
}

#[test]
fn every_run_is_recorded_out_of_what_is_kept_for_the_journal() {
    on_each(SIZES[0], 0);
}

#[test]
fn every_run_is_recorded_though_the_daemon_is_killed() {
    on_each(SIZES[0], 2);
}

#[test]
fn every_run_is_recorded_out_of_memory_where_there_is_no_room_to_keep() {
    on_each(SIZES[1], 0);
}

#[test]
fn what_a_killed_daemon_had_in_memory_is_counted() {
    on_each(SIZES[1], 2);
}

/// What the disk had no room for is told by the last word alone. There are two, and one is enough.
#[test]
fn what_is_in_memory_is_counted_though_a_last_word_is_deleted() {
    let _alone = alone();
    for name in ["journal/last", "journal.last"] {
        let mut database = TestDatabase::new(Kind::Sqlite);
        let site = Site::new(&database.config);
        let Some(disk) = Disk::mount(&site, SIZES[1]) else { return };
        fresh_jobs(&site, &mut database);
        let daemon = site.start();
        wait_for("runs", daemon::SOON, || (stamps(&site).len() > 60).then_some(()));
        let filler = disk.fill();
        wait_for("the full disk to be noticed", daemon::SOON, || journal_error(&daemon.status()));
        let before = stamps(&site).len();
        wait_for("more", daemon::SOON, || (stamps(&site).len() > before + 110).then_some(()));
        fs::remove_file(disk.0.join(name)).unwrap();
        daemon.kill();
        drop(filler);
        let daemon = site.start();
        let before = stamps(&site).len();
        wait_for("more", daemon::SOON, || (stamps(&site).len() > before + 60).then_some(()));
        database.sql("UPDATE scheduler_jobs SET status = 0;");
        let (.., missing, dropped) = account(&site, &daemon, &mut database);
        assert!(missing > 0, "all was written: {dropped} dropped");
    }
}

/// The daemon remembers 20 runs of a job: those that it has forgotten are older, and go first.
#[test]
fn the_oldest_outputs_give_way_whether_or_not_their_runs_are_remembered() {
    let mut database = TestDatabase::new(Kind::Sqlite);
    let mut site = Site::new(&database.config);
    site.base.push_str("keep_output = 100\n");
    let Some(disk) = Disk::mount(&site, "64m") else { return };
    database.sql(&Row::new(1, Due::Never("0 0 1 1 *"), "head -c 300000 /dev/zero").insert());
    let dir = disk.0.join("runs/1");
    fs::create_dir_all(&dir).unwrap();
    // So long ago that the daemon knows nothing of them.
    let mut last = 0;
    let old: Vec<PathBuf> = (0..36)
        .map(|_| {
            let run = RunId::next(1, 9, last, 1_750_000_000_000);
            last = run.sequence;
            let file = dir.join(format!("{run}.out"));
            fs::write(&file, vec![b'x'; 1 << 20]).unwrap();
            file
        })
        .collect();
    // What is kept for the journal finds no room.
    let mut filler = File::create(disk.0.join("filler")).unwrap();
    filler.write_all(&vec![1; 22 << 20]).unwrap();
    let daemon = site.start();
    daemon.wait_jobs(1);
    let runs: Vec<String> = (0..3)
        .map(|_| {
            daemon.start_job(1);
            daemon.wait_end(1)["run_id"].as_str().unwrap().to_owned()
        })
        .collect();
    while filler.write(&[1; 4 << 10]).is_ok() {}
    wait_for("the oldest to be gone", daemon::SOON, || (!old[0].exists()).then_some(()));
    let is_there = |run: &String| dir.join(format!("{run}.out")).exists();
    assert!(runs.iter().all(is_there), "the newest are gone");
    let dropped = || daemon.metric("schedule_outputs_dropped_total");
    wait_for("its number to be told", daemon::SOON, || (dropped() >= 32).then_some(()));
    let left = old.iter().filter(|file| file.exists()).count() as u64;
    assert!(old.iter().rev().take(left as usize).all(|file| file.exists()), "{left} are left");
    assert!(!site.logged("the oldest outputs, of 32 runs, are deleted; 32 in all").is_empty());
}

#[test]
fn a_job_whose_output_finds_no_room_runs_without_it() {
    let mut database = TestDatabase::new(Kind::Sqlite);
    let site = Site::new(&database.config);
    let Some(disk) = Disk::mount(&site, "64m,nr_inodes=200") else { return };
    let daemon = site.start();
    wait_for("its note", daemon::SOON, || disk.0.join("daemon").exists().then_some(()));
    let full = (0..1_000).any(|n| File::create(disk.0.join(format!("file.{n}"))).is_err());
    assert!(full, "no inode is left");
    is_told(&site, &daemon);
    fresh_jobs(&site, &mut database);
    wait_for("runs", daemon::SOON, || (stamps(&site).len() > 60).then_some(()));
    assert!(!site.logged("its output is not kept").is_empty());
    assert_eq!(daemon.status()["failed"], 0);
    assert!(daemon.metric("schedule_outputs_dropped_total") > 60);
}

/// The room that is kept for the journal serves again and again: the blocks of a segment that the
/// database knows are those of one to come.
#[test]
fn the_journal_goes_on_for_as_long_as_the_disk_is_full() {
    let database = TestDatabase::new(Kind::Sqlite);
    let site = Site::new(&database.config);
    let Some(disk) = Disk::mount(&site, SIZES[0]) else { return };
    let mut journal = Journal::open(&disk.0.join("journal")).unwrap().journal;
    let mut filler = File::create(disk.0.join("filler")).unwrap();
    let mut fill = || while filler.write(&[1; 4 << 10]).is_ok() {};
    fill();
    let lines = [[b'.'; 1023].as_slice(), b"\n"].concat().repeat(1_024);
    let (mut starts, mut end) = (Vec::new(), 0);
    for segment in 0..10 {
        journal.begin_segment(end, &lines).unwrap_or_else(|why| panic!("{segment}: {why}"));
        starts.push(end);
        end += lines.len() as u64;
        for _ in 0..3 {
            journal.write(end, &lines).unwrap_or_else(|why| panic!("{segment}: {why}"));
            end += lines.len() as u64;
        }
        // The one before is in the database.
        if segment > 0 {
            journal.forget(starts[segment - 1]).unwrap();
        }
        // What is free now is another's.
        fill();
    }
}

/// `check` says it as well, before a daemon is there to say it, and of nothing less.
#[test]
fn check_tells_of_a_full_state_disk() {
    let database = TestDatabase::new(Kind::Sqlite);
    let site = Site::new(&database.config);
    let Some(disk) = Disk::mount(&site, "4m,nr_inodes=50") else { return };
    site.write_config();
    let check = |why: Option<&str>, when: &str| {
        let (is_right, said) = schedule(&site, "check");
        let told = why.map(|why| {
            let path = disk.0.display();
            format!("error: [base] statedir: {path}: its file system is full ({why} free): outputs")
        });
        assert_eq!(is_right, told.is_none(), "{when}: {said}");
        let is_told = |told: &String| said.contains(told) && said.contains("make room there");
        assert!(told.is_none_or(|told| is_told(&told)), "{when}: {said}");
    };
    check(None, "empty");
    let mut filler = File::create(disk.0.join("filler")).unwrap();
    filler.write_all(&vec![1; (4 << 20) - (256 << 10)]).unwrap();
    check(None, "as little is left as need be");
    filler.write_all(&[1]).unwrap();
    check(Some("252 kB are"), "a block less");
    while filler.write(&[1; 4 << 10]).is_ok() {}
    check(Some("0 kB are"), "full");
    filler.set_len(0).unwrap();
    check(None, "emptied");
    let full = (0..50).any(|n| File::create(disk.0.join(format!("file.{n}"))).is_err());
    assert!(full, "no inode is left");
    check(Some("no inode is"), "no inode is left");
}

fn exchanges(daemon: &Daemon, result: &str) -> u64 {
    daemon.metric(&format!("schedule_exchanges_total{{result=\"{result}\"}}"))
}

/// The table in force had no room on the disk, and was not kept when the daemon was killed: what is
/// there is of before, and a job that was switched off since must not run from it.
#[test]
fn a_snapshot_of_before_is_not_used_after_a_full_disk() {
    let mut database = TestDatabase::new(Kind::Sqlite);
    let site = Site::new(&database.config);
    let Some(disk) = Disk::mount(&site, SIZES[1]) else { return };
    fresh_jobs(&site, &mut database);
    let daemon = site.start();
    wait_for("runs", daemon::SOON, || (stamps(&site).len() > 60).then_some(()));
    wait_for("a snapshot", daemon::SOON, || disk.0.join("snapshot").exists().then_some(()));
    let filler = disk.fill();
    wait_for("the full disk to be noticed", daemon::SOON, || journal_error(&daemon.status()));
    database.sql("UPDATE scheduler_jobs SET status = 0;");
    // What is replaced would be room enough for fewer jobs.
    add_idle_jobs(&mut database, 3_000);
    wait_for("others", daemon::SOON, || (daemon.status()["jobs"] == 3_000).then_some(()));
    let answers = exchanges(&daemon, "success");
    wait_for("more answers", daemon::SOON, || {
        (exchanges(&daemon, "success") > answers + 2).then_some(())
    });
    let said = daemon.status()["snapshot_error"].to_string();
    let path = disk.0.join("snapshot.new").display().to_string();
    let why = format!("({path}: No space left on device (os error 28): make room there)");
    assert!(said.contains(&why), "{said}");
    daemon.kill();
    let before = stamps(&site).len();
    fs::rename(site.database.path(), site.file("away.db")).unwrap();
    // The second one tells it, too.
    for _ in 0..2 {
        let daemon = site.start();
        wait_for("the database to be missed", daemon::SOON, || {
            (exchanges(&daemon, "failure") > 2).then_some(())
        });
        let said = daemon.status()["snapshot_error"].to_string();
        assert!(said.contains("nothing is started before"), "{said}");
        assert_eq!(stamps(&site).len(), before, "runs of jobs that are switched off");
        daemon.kill();
    }
    drop(filler);
}

/// So many jobs that are never due, in place of those that are there.
fn add_idle_jobs(database: &mut TestDatabase, count: u32) {
    let rows: Vec<String> = (1_001..1_001 + count)
        .map(|id| format!("({id}, 'job {id}', 'true {:400}.', '0 0 1 1 *', 1, 1, 1, '', '')", ""))
        .collect();
    let add = match rows.is_empty() {
        true => String::new(),
        false => format!(
            "INSERT INTO scheduler_jobs (id, name, command, cron, max_concurrence, server_id, \
             status, output, stderr) VALUES {};",
            rows.join(", ")
        ),
    };
    database.sql(&format!("BEGIN; DELETE FROM scheduler_jobs WHERE id > 1000; {add} COMMIT;"));
}

/// A table that changes again and again while the disk is full has its snapshot all the same: there
/// is room for it.
#[test]
fn a_snapshot_of_a_full_disk_is_the_last_one() {
    let mut database = TestDatabase::new(Kind::Sqlite);
    let site = Site::new(&database.config);
    let Some(disk) = Disk::mount(&site, SIZES[0]) else { return };
    fresh_jobs(&site, &mut database);
    let daemon = site.start();
    let jobs_of = |text: String| text.matches("{\"job\":").count();
    let kept = || jobs_of(fs::read_to_string(disk.0.join("snapshot")).unwrap_or_default());
    wait_for("a snapshot", daemon::SOON, || (kept() == JOBS as usize).then_some(()));
    let has_room =
        |name| fs::metadata(disk.0.join(name)).is_ok_and(|found| found.blocks() * 512 >= 4 << 20);
    let two = ["snapshot", "snapshot.room"];
    wait_for("room for more of them", daemon::SOON, || two.into_iter().all(has_room).then_some(()));
    let filler = disk.fill();
    wait_for("the full disk to be noticed", daemon::SOON, || journal_error(&daemon.status()));
    for left in [JOBS - 1, JOBS - 20, 7] {
        database.sql(&format!("UPDATE scheduler_jobs SET status = 0 WHERE id > {left};"));
        wait_for("its snapshot", daemon::SOON, || (kept() == left as usize).then_some(()));
    }
    // It grows, beyond what each of them had in it, and shrinks again.
    for more in [50, 1_500, 1_600, 3_000, 3_100, 3_200, 0] {
        add_idle_jobs(&mut database, more);
        let jobs = 7 + more as usize;
        wait_for("its snapshot", daemon::SOON, || (kept() == jobs).then_some(()));
    }
    assert!(two.into_iter().all(has_room), "the room is not given back");
    assert_eq!(daemon.status()["snapshot_error"], Value::Null);
    daemon.kill();
    fs::rename(site.database.path(), site.file("away.db")).unwrap();
    let daemon = site.start();
    assert_eq!(daemon.status()["jobs"], 7);
    drop((daemon, filler));
}

/// Its runs have ended, and how they did nobody knows but a keeper that can't write that down.
#[test]
fn a_drain_without_a_daemon_does_not_wait_for_what_a_full_disk_keeps_from_ending() {
    let mut database = TestDatabase::new(Kind::Sqlite);
    let site = Site::new(&database.config);
    let Some(disk) = Disk::mount(&site, "64m") else { return };
    let go = site.file("go");
    database.sql(&format!(
        "INSERT INTO scheduler_jobs (id, name, command, cron, max_concurrence, server_id, status, \
         output, stderr) VALUES (1, '', 'while [ ! -e {go} ]; do sleep 0.1; done', '0 0 29 2 *', \
         1, 1, 1, '', '');"
    ));
    let daemon = site.start();
    daemon.wait_jobs(1);
    daemon.start_job(1);
    assert!(schedule(&site, "stop").0);
    let filler = disk.fill();
    wait_for("a full disk", daemon::SOON, || {
        File::create(disk.0.join("probe")).and_then(|mut it| it.write_all(&[1; 64])).err()
    });
    fs::write(&go, "").unwrap();
    let mut command = our_program();
    let drain = command.args(["stop", "1", "--drain", "-c", &site.file("schedule.ini")]);
    // The time-out is what a fault would cost.
    let said = drain.args(["--timeout", "120"]).output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    let why = format!("alone: {} is full (", disk.0.display());
    assert!(!said.status.success() && text.contains(&why), "{text}");
    assert!(text.contains("make room there, and it writes that down and ends"), "{text}");
    drop(filler);
    let said = drain.output().unwrap();
    assert!(said.status.success(), "{said:?}");
}
