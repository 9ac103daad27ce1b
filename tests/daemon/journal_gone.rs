//! Somebody deletes or moves the journal under a daemon, while the database is away: what the
//! journal alone knew reaches the database all the same, and nothing is launched twice.

use crate::common::database::Parts;
use crate::common::{TempDir, our_program};
use crate::daemon::facts::{Logged, STAMPS, Stamp, logged, stamps};
use crate::daemon::held::helpers;
use crate::daemon::rows::{Due, Row};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use schedule::core::database::Driver;
use schedule::core::plain::counted;
use schedule::shell::journal;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Deletes a directory in one step: the daemon may make something in it meanwhile.
fn delete(dir: &Path) {
    let gone = dir.with_extension("gone");
    fs::rename(dir, &gone).unwrap();
    wait_for("the directory to be gone", SOON, || fs::remove_dir_all(&gone).ok());
}

/// Waits until there are so many stamps more.
pub fn wait_runs(site: &Site, count: usize) {
    let before = stamps(site).len();
    wait_for("runs", SOON, || (stamps(site).len() >= before + count).then_some(()));
}

/// Does this while records wait, then `go_on`; all of the runs are recorded, each once.
fn gone(take_away: impl Fn(&Path), go_on: impl Fn(&Site, Daemon) -> Daemon) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let job = Row::stamping(1, Due::Step(1), &site.file(STAMPS), "");
    database.sql(&job.insert());
    let daemon = site.start();
    daemon.wait_jobs(1);
    database.sql("ALTER TABLE scheduler_logs RENAME TO elsewhere;");
    wait_runs(&site, 3);
    take_away(Path::new(&site.file("state.1")));
    let daemon = go_on(&site, daemon);
    wait_runs(&site, 2);
    assert_eq!(site.logged("somebody took ").len(), 1, "{:?}", site.log());
    database.sql("ALTER TABLE elsewhere RENAME TO scheduler_logs;");
    database.sql("UPDATE scheduler_jobs SET status = 0;");
    daemon.wait_gone(1);
    wait_for("the database", SOON, || {
        let status = daemon.status();
        (status["database"] == "up" && status["records_waiting_bytes"] == 0).then_some(())
    });
    let runs: BTreeSet<String> = stamps(&site).into_iter().map(|stamp| stamp.run).collect();
    let slots: BTreeSet<i64> = stamps(&site).into_iter().map(|stamp| stamp.slot).collect();
    assert_eq!(runs.len(), slots.len(), "a slot was launched twice");
    let recorded: BTreeSet<String> = logged(&mut database).into_iter().map(|it| it.run).collect();
    assert_eq!(runs, recorded);
}

/// Records wait in segments of which this takes some away or cuts them. What is lost for it is
/// counted, while the database is away; in the end each run is recorded or counted.
fn lost(reload: bool, at_once: bool, spoil: impl Fn(&Path)) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let job = Row::stamping(1, Due::Step(1), &site.file(STAMPS), "");
    database.sql(&job.insert());
    let daemon = site.start();
    daemon.wait_jobs(1);
    database.sql("ALTER TABLE scheduler_logs RENAME TO elsewhere;");
    wait_runs(&site, 3);
    if reload {
        reloaded(&site, &daemon);
        wait_runs(&site, 2);
    }
    spoil(Path::new(&site.file("state.1/journal")));
    let told = || daemon.status()["records_dropped"].as_u64().filter(|dropped| *dropped > 0);
    if at_once {
        wait_for("records that are told to be lost", SOON, told);
    }
    wait_runs(&site, 2);
    database.sql("ALTER TABLE elsewhere RENAME TO scheduler_logs;");
    database.sql("UPDATE scheduler_jobs SET status = 0;");
    daemon.wait_gone(1);
    wait_for("the database", SOON, || {
        let status = daemon.status();
        (status["database"] == "up" && status["records_waiting_bytes"] == 0).then_some(())
    });
    let dropped = wait_for("records that are told to be lost", SOON, told);
    let runs: BTreeSet<String> = stamps(&site).into_iter().map(|stamp| stamp.run).collect();
    let recorded: BTreeSet<String> = logged(&mut database)
        .into_iter()
        .filter(|it| !it.outcome.is_empty())
        .map(|it| it.run)
        .collect();
    let missing = runs.difference(&recorded).count() as u64;
    assert_eq!(missing, dropped, "{:?}", site.log());
    let page = daemon.get("/").body;
    assert!(page.contains("somebody took away or damaged files of the journal"), "{page}");
    let said = stop(&site, &[]).output().unwrap();
    let told = format!("server 1: warning: {} dropped for good\n", counted(dropped, "record"));
    assert!(said.status.success() && said.stderr == told.as_bytes(), "{said:?}");
    drop(daemon);
    let daemon = site.start();
    assert_eq!(daemon.status()["records_dropped"], dropped);
    let page = daemon.get("/").body;
    assert!(page.contains("somebody took away or damaged files of the journal"), "{page}");
}

fn stop(site: &Site, how: &[&str]) -> Command {
    let mut stop = our_program();
    stop.args(["stop", "1", "-c", &site.file("schedule.ini")]).args(how);
    stop
}

/// The same within a second before an orderly end: each run, and what was done, is recorded by the
/// next daemon or counted by the one that ends.
fn stopped(reload: bool, spoil: impl Fn(&Path)) -> u64 {
    ended_after(reload, false, spoil)
}

/// `helped`: while a helper is at the records and does not answer.
fn ended_after(reload: bool, helped: bool, spoil: impl Fn(&Path)) -> u64 {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    site.base = "sync_interval = 3600\n".repeat(usize::from(helped));
    let job = Row::stamping(1, Due::Step(1), &site.file(STAMPS), "");
    database.sql(&job.insert());
    let daemon = site.start();
    daemon.wait_jobs(1);
    database.sql("ALTER TABLE scheduler_logs RENAME TO elsewhere;");
    wait_runs(&site, 3);
    if reload {
        reloaded(&site, &daemon);
        wait_runs(&site, 2);
    }
    database.sql("UPDATE scheduler_jobs SET status = 0;");
    assert_eq!(daemon.request("POST", "/api/v1/sync").status, 200);
    daemon.wait_gone(1);
    let name_again = "ALTER TABLE elsewhere RENAME TO scheduler_logs;";
    if helped {
        database.sql(name_again);
        // Later on all helpers carry records. They can be read; who writes waits.
        database.sql("BEGIN IMMEDIATE");
        assert_eq!(daemon.request("POST", "/api/v1/sync").status, 200);
        stop_who_writes(&site, &daemon);
    }
    let acts = daemon.json("/api/v1/audit")["entries"].as_array().unwrap().len() as u64;
    spoil(Path::new(&site.file("state.1/journal")));
    assert!(daemon.stop().success());
    let said = site.logged("dropped, ");
    database.sql(if helped { "COMMIT" } else { name_again });
    let daemon = site.start();
    wait_for("the database", SOON, || {
        let status = daemon.status();
        (status["database"] == "up" && status["records_waiting_bytes"] == 0).then_some(())
    });
    let runs: BTreeSet<String> = stamps(&site).into_iter().map(|stamp| stamp.run).collect();
    let recorded: BTreeSet<String> = logged(&mut database).into_iter().map(|it| it.run).collect();
    let noted: u64 = database.value("SELECT COUNT(*) FROM scheduler_audit").parse().unwrap();
    let missing = runs.difference(&recorded).count() as u64 + acts - noted;
    let dropped = daemon.status()["records_dropped"].as_u64().unwrap();
    assert_eq!(missing, dropped, "{:?}", site.log());
    assert_eq!(said.is_empty(), dropped == 0, "{said:?}");
    dropped
}

pub fn reloaded(site: &Site, daemon: &Daemon) {
    let begun = site.logged("begin: ").len();
    daemon.signal(Signal::HUP);
    wait_for("a reload", SOON, || (site.logged("begin: ").len() > begun).then_some(()));
}

/// The segments, oldest first.
pub fn segments(journal: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(journal).unwrap().map(|it| it.unwrap().path());
    let mut found: Vec<PathBuf> =
        found.filter(|path| path.extension().is_some_and(|it| it == "log")).collect();
    found.sort();
    found
}

#[test]
fn what_older_segments_had_that_went_with_the_journal_is_counted() {
    lost(true, true, delete);
}

#[test]
fn what_an_older_segment_had_that_was_deleted_is_counted() {
    lost(true, true, |journal| {
        let all = segments(journal);
        fs::remove_file(&all[all.len() - 2]).unwrap();
    });
}

#[test]
fn what_the_newest_segment_had_that_was_emptied_is_counted() {
    lost(false, true, |journal| fs::write(segments(journal).last().unwrap(), "").unwrap());
}

/// A hole of zeros, as a crash of the machine leaves it.
#[test]
fn what_a_segment_had_that_was_overwritten_is_counted() {
    lost(true, false, |journal| {
        let all = segments(journal);
        let path = &all[all.len() - 2];
        let zeros = vec![0; fs::read(path).unwrap().len()];
        fs::write(path, zeros).unwrap();
    });
}

/// What the program before wrote is the measure for the next one, which finds it damaged.
#[test]
fn what_was_damaged_before_a_reload_is_counted() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let job = Row::stamping(1, Due::Step(1), &site.file(STAMPS), "");
    database.sql(&job.insert());
    let daemon = site.start();
    daemon.wait_jobs(1);
    database.sql("ALTER TABLE scheduler_logs RENAME TO elsewhere;");
    wait_runs(&site, 4);
    database.sql("UPDATE scheduler_jobs SET status = 0;");
    daemon.wait_gone(1);
    let newest = segments(Path::new(&site.file("state.1/journal"))).pop().unwrap();
    let ends = || {
        let text = fs::read_to_string(&newest).unwrap();
        let places = text.match_indices("\"end\":").map(|(at, _)| at as u64);
        places.collect::<Vec<u64>>()
    };
    let there = ends();
    let file = fs::File::options().write(true).open(&newest).unwrap();
    let damaged = &there[there.len() - 2..];
    damaged.iter().for_each(|at| file.write_all_at(b"X", at + 1).unwrap());
    reloaded(&site, &daemon);
    // Once, however often.
    reloaded(&site, &daemon);
    database.sql("ALTER TABLE elsewhere RENAME TO scheduler_logs;");
    wait_for("the database", SOON, || {
        let status = daemon.status();
        (status["database"] == "up" && status["records_waiting_bytes"] == 0).then_some(())
    });
    assert_eq!(daemon.status()["records_dropped"], 2, "{:?}", site.log());
    let why =
        "journal: somebody took away or damaged what the database did not have yet: 2 records";
    assert_eq!(site.logged(why).len(), 1, "{:?}", site.log());
    let runs: BTreeSet<String> = stamps(&site).into_iter().map(|stamp| stamp.run).collect();
    let ended = |it: &Logged| it.outcome == "exit 0";
    wait_for("the other records", SOON, || {
        let recorded = logged(&mut database).into_iter().filter(ended).count();
        (recorded + 2 == runs.len()).then_some(())
    });
}

/// Stops the helper that carries records, as soon as it waits for the database.
fn stop_who_writes(site: &Site, daemon: &Daemon) -> Pid {
    let path = PathBuf::from(site.database.path());
    let has_read = |pid: &Pid| {
        let dir = format!("/proc/{}/fd", pid.as_raw_nonzero());
        let files = fs::read_dir(dir).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file == path)
    };
    let helper =
        wait_for("a helper that writes", SOON, || helpers(daemon).into_iter().find(has_read));
    kill_process(helper, Signal::STOP).unwrap();
    helper
}

/// A helper has read it, and the database takes it in the end.
#[test]
fn what_a_deleted_segment_had_that_is_on_its_way_is_no_loss() {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    // Later on all helpers carry records.
    site.base = "sync_interval = 3600\n".to_owned();
    let job = Row::stamping(1, Due::Step(1), &site.file(STAMPS), "");
    database.sql(&job.insert());
    let daemon = site.start();
    daemon.wait_jobs(1);
    database.sql("ALTER TABLE scheduler_logs RENAME TO elsewhere;");
    wait_runs(&site, 2);
    reloaded(&site, &daemon);
    wait_runs(&site, 1);
    database.sql("ALTER TABLE elsewhere RENAME TO scheduler_logs;");
    // It can be read; who writes waits.
    database.sql("BEGIN IMMEDIATE");
    assert_eq!(daemon.request("POST", "/api/v1/sync").status, 200);
    let helper = stop_who_writes(&site, &daemon);
    let all = segments(Path::new(&site.file("state.1/journal")));
    all[..all.len() - 1].iter().for_each(|path| fs::remove_file(path).unwrap());
    // The daemon looks once a second.
    wait_runs(&site, 3);
    database.sql("COMMIT");
    kill_process(helper, Signal::CONT).unwrap();
    wait_for("the loss to be seen", SOON, || {
        (!site.logged("somebody took its segment").is_empty()).then_some(())
    });
    // The next exchange carries what has ended since.
    let before = stamps(&site).len();
    wait_for("the runs to be recorded", SOON, || {
        (logged(&mut database).len() > before).then_some(())
    });
    assert_eq!(daemon.status()["records_dropped"], 0, "{:?}", site.log());
    let recorded: BTreeSet<String> = logged(&mut database).into_iter().map(|it| it.run).collect();
    let is_there = |run: &Stamp| recorded.contains(&run.run);
    assert!(stamps(&site)[..before].iter().all(is_there));
}

fn as_it_is(_: &Site, daemon: Daemon) -> Daemon {
    daemon
}

#[test]
fn what_a_deleted_journal_knew_is_recorded() {
    gone(|state| delete(&state.join("journal")), as_it_is);
}

#[test]
fn what_a_moved_journal_knew_is_recorded() {
    gone(|state| fs::rename(state.join("journal"), state.join("moved")).unwrap(), as_it_is);
}

#[test]
fn what_a_state_directory_knew_that_was_replaced_is_recorded() {
    let replace = |state: &Path| {
        fs::rename(state, state.with_extension("moved")).unwrap();
        fs::create_dir(state).unwrap();
    };
    gone(replace, as_it_is);
}

/// The next program opens the journal by its name.
#[test]
fn a_journal_that_is_gone_is_written_anew_for_the_next_program() {
    let delete = |state: &Path| delete(&state.join("journal"));
    gone(delete, |site, daemon| {
        reloaded(site, &daemon);
        daemon
    });
}

/// The reason of the daemon that could not write is told by the next one, whatever that was.
#[test]
fn what_a_limit_of_file_sizes_cost_is_told_as_that() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let job = Row::stamping(1, Due::Step(1), &site.file(STAMPS), "");
    database.sql(&job.insert());
    let daemon = site.start();
    daemon.wait_jobs(1);
    let limit = Rlimit { current: Some(4_096), maximum: Some(4_096) };
    prlimit(Some(daemon.pid()), Resource::Fsize, limit).unwrap();
    wait_for("a journal that can't be written", SOON, || {
        daemon.status()["journal_error"].is_string().then_some(())
    });
    wait_runs(&site, 2);
    daemon.kill();
    let next = site.start();
    let told = site.logged("could not be written by the daemon before: ");
    assert!(told[0].contains("ulimit -f"), "{told:?}");
    let page = next.get("/").body;
    assert!(page.contains("in the memory of a daemon that ended"), "{page}");
}

/// What goes with a daemon that is ended is told before and after.
#[test]
fn what_a_daemon_that_ends_has_in_memory_alone_is_told_by_status_and_stop() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let job = Row::stamping(1, Due::Step(1), &site.file(STAMPS), "");
    database.sql(&job.insert());
    let daemon = site.start();
    daemon.wait_jobs(1);
    assert_eq!(daemon.status()["records_unwritten"], 0);
    let limit = Rlimit { current: Some(4_096), maximum: Some(4_096) };
    prlimit(Some(daemon.pid()), Resource::Fsize, limit).unwrap();
    let held = || daemon.status()["records_unwritten"].as_u64().filter(|held| *held > 1);
    wait_for("records in memory alone", SOON, held);
    let mut status = our_program();
    let said = status.args(["status", "1", "-c", &site.file("schedule.ini")]).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("records in memory alone, lost if the daemon ends"), "{said}");
    let said = stop(&site, &[]).output().unwrap();
    let told = String::from_utf8(said.stderr).unwrap();
    let count = told.strip_prefix("server 1: warning: ").and_then(|it| it.split_once(' '));
    let (count, rest) = count.unwrap();
    assert!(
        rest.contains("in its memory alone and lost: ") && rest.contains("ulimit -f"),
        "{told}"
    );
    let next = site.start();
    assert_eq!(next.status()["records_dropped"].to_string(), count, "{told}");
}

/// While the last run was waited for.
#[test]
fn what_is_lost_while_a_daemon_drains_is_told_by_who_ended_it() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let job = Row::stamping(1, Due::Step(1), &site.file(STAMPS), "");
    let (go, never) = (site.file("go"), Due::Never("0 0 29 2 *"));
    let waits = Row::new(2, never, &format!("while [ ! -e {go} ]; do sleep 0.1; done"));
    database.sql(&(job.insert() + &waits.insert()));
    let daemon = site.start();
    daemon.wait_jobs(2);
    daemon.start_job(2);
    database.sql("ALTER TABLE scheduler_logs RENAME TO elsewhere;");
    wait_runs(&site, 3);
    let mut stop = stop(&site, &["--drain"]);
    let stop = stop.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the end to begin", SOON, || {
        (!site.logged("end: waiting for ").is_empty()).then_some(())
    });
    wait_for("the last stamping run to end", SOON, || {
        (daemon.status()["running"] == 1).then_some(())
    });
    let journal = site.file("state.1/journal");
    fs::write(segments(Path::new(&journal)).last().unwrap(), "").unwrap();
    let told = || daemon.status()["records_dropped"].as_u64().filter(|dropped| *dropped > 0);
    wait_for("records that are told to be lost", SOON, told);
    fs::write(&go, "").unwrap();
    let said = stop.wait_with_output().unwrap();
    let told = String::from_utf8(said.stderr).unwrap();
    assert!(said.status.success() && told.contains(" dropped for good\n"), "{told}");
}

#[test]
fn a_journal_that_is_deleted_just_before_the_end_is_written_anew() {
    let dropped = stopped(false, delete);
    assert_eq!(dropped, 0);
    let delete = |path: &PathBuf| fs::remove_file(path).unwrap();
    let dropped = stopped(false, |journal| segments(journal).iter().for_each(delete));
    assert_eq!(dropped, 0);
}

#[test]
fn what_was_deleted_or_emptied_just_before_the_end_is_counted() {
    let dropped = stopped(true, delete);
    assert!(dropped > 0);
    let empty = |journal: &Path| fs::write(segments(journal).last().unwrap(), "").unwrap();
    assert!(stopped(false, empty) > 0);
    assert!(ended_after(true, true, delete) > 0);
}

/// A program that is asked whether it could take over looks while the daemon lets go of segments.
#[test]
fn a_segment_that_goes_while_others_look_is_no_obstacle() {
    let dir = TempDir::new();
    let uid = rustix::process::getuid().as_raw();
    let kept = dir.0.join(format!("{:020}.log", 1));
    fs::write(&kept, "").unwrap();
    let goes = dir.0.join(format!("{:020}.log", 0));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                fs::write(&goes, "").unwrap();
                fs::remove_file(&goes).unwrap();
            }
        });
        let looks = (0..5_000).try_for_each(|_| {
            journal::try_open(&dir.0, uid).map_err(|(path, why)| format!("{path:?}: {why}"))?;
            journal::missed(&dir.0).map_err(|why| why.to_string())?;
            journal::homes(&dir.0).map(drop).map_err(|why| why.to_string())
        });
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(looks, Ok(()));
    });
}
