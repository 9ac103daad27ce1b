//! A keeper that is killed, stopped, hung, in a far place or short of disk: the daemon goes on,
//! nothing is launched twice, and what can't be known is said to be lost.

use crate::common::attribute::Attribute;
use crate::daemon::clients::Kept;
use crate::daemon::facts::{STAMPS, stamps};
use crate::daemon::keeper::{signal, wait_state};
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, middle_of_a_second, now_ns, wait_for};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit, test_kill_process};
use schedule::core::database::Driver;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Never by itself.
const NEVER: Due = Due::Never("0 0 1 1 *");

/// A site with a job that is due every second and one that takes its time, both up and running.
fn busy_site(limit: u32, long: &str) -> (Site, Daemon) {
    busy_site_of(limit, |_| long.to_owned())
}

/// The same with a command that names files of the site.
fn busy_site_of(limit: u32, long: impl Fn(&Site) -> String) -> (Site, Daemon) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows = [
        Row::stamping(1, Due::Step(1), &site.file(STAMPS), "").limit(limit),
        Row::new(2, NEVER, &long(&site)).limit(9),
    ];
    database.sql(&insert(&rows));
    let daemon = site.start();
    daemon.wait_jobs(2);
    daemon.start_job(2);
    daemon.wait_job(2, "running", |job| job["running"] == 1);
    (site, daemon)
}

/// A site with these settings and one job, which is started by hand only.
fn site_of_one(settings: &str, command: &str) -> (Site, Daemon) {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    site.base.push_str(settings);
    database.sql(&Row::new(1, NEVER, command).insert());
    let daemon = site.start();
    daemon.wait_jobs(1);
    (site, daemon)
}

/// The slots from which job 1 was launched; none twice.
fn slots(site: &Site) -> BTreeSet<i64> {
    let stamps = stamps(site);
    let slots: BTreeSet<i64> = stamps.iter().map(|stamp| stamp.slot).collect();
    assert_eq!(slots.len(), stamps.len(), "a slot was launched twice: {stamps:?}");
    slots
}

/// Waits for a launch of a slot that is still to come.
#[track_caller]
fn wait_launch(site: &Site) {
    let from = now_ns() / 1_000_000_000 + 1;
    wait_for("a launch", SOON, || slots(site).iter().any(|slot| *slot >= from).then_some(()));
}

#[test]
fn killed_under_a_daemon_it_is_replaced_and_its_runs_are_watched() {
    let (site, daemon) = busy_site_of(1, |site| format!("{}; exit 5", site.waits()));
    wait_launch(&site);
    let (first, began) = (site.keeper(), now_ns() / 1_000_000_000);
    signal(first, Signal::KILL);
    let second = wait_for("another keeper", SOON, || {
        site.keepers().into_iter().find(|keeper| *keeper != first)
    });
    wait_launch(&site);
    assert_eq!(daemon.job(2).unwrap()["running"], 1, "it was let alone");
    site.go();
    let lost = daemon.wait_end(2);
    assert!(lost["outcome"].as_str().unwrap().starts_with("lost"), "{lost}");
    site.go();
    daemon.start_job(2);
    assert_eq!(daemon.wait_end(2)["outcome"], "exit 5", "by the new keeper");
    assert_eq!(site.keeper(), second);
    let last = middle_of_a_second();
    wait_launch(&site);
    let slots = slots(&site);
    // The launch that it took with it is lost, and there can be only one.
    let missing: Vec<i64> = (began..=last).filter(|slot| !slots.contains(slot)).collect();
    assert!(missing.len() <= 1, "{missing:?}");
    assert_eq!(site.logged("is gone: how its runs end").len(), 1);
}

#[test]
fn stopped_for_a_while_it_delays_launches_and_no_page() {
    let (site, daemon) = busy_site(1, "sleep 600");
    wait_launch(&site);
    let keeper = site.keeper();
    let from = middle_of_a_second() + 1;
    signal(keeper, Signal::STOP);
    wait_state(keeper, 'T');
    let (until, mut worst) = (Instant::now() + Duration::from_secs(5), Duration::ZERO);
    while Instant::now() < until {
        let began = Instant::now();
        assert_eq!(daemon.get("/").status, 200);
        worst = worst.max(began.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    let before = slots(&site);
    assert!(before.iter().all(|slot| *slot < from), "{before:?}");
    signal(keeper, Signal::CONT);
    wait_launch(&site);
    let slots = slots(&site);
    // The limit of job 1 is 1: of the seconds meanwhile the first was waiting, the rest skipped.
    assert!(slots.contains(&from), "{from}: {slots:?}");
    let meanwhile = (from + 1..from + 4).filter(|slot| slots.contains(slot)).count();
    assert_eq!(meanwhile, 0, "{slots:?}");
    println!("a page took at most {worst:?} while the keeper stood still");
    assert!(worst < Duration::from_millis(500), "{worst:?}");
    assert_eq!(site.keeper(), keeper);
}

#[test]
fn hung_when_a_daemon_starts_it_is_killed_and_replaced() {
    let (site, daemon) = busy_site(1, "sleep 30; exit 5");
    wait_launch(&site);
    let keeper = site.keeper();
    let run = daemon.job(2).unwrap()["live"][0]["run_id"].clone();
    daemon.kill();
    // Not before: the kernel lets a stopped process go on when its parent dies (setpgid(2)).
    signal(keeper, Signal::STOP);
    wait_state(keeper, 'T');
    let daemon = site.start();
    assert_ne!(site.keeper(), keeper);
    // Until somebody has reaped it there is a trace of it.
    wait_for("the old one to be gone", SOON, || test_kill_process(keeper).err());
    let job = daemon.wait_job(2, "adopted", |job| job["running"] == 1);
    assert_eq!(job["live"][0]["run_id"], run);
    wait_launch(&site);
    let stopped = daemon.request("POST", "/api/v1/jobs/2/stop");
    assert_eq!(stopped.status, 200, "{stopped:?}");
    let end = daemon.wait_end(2);
    assert!(end["outcome"].as_str().unwrap().starts_with("lost"), "{end}");
    slots(&site);
}

#[test]
fn hung_for_good_it_is_replaced_while_the_daemon_goes_on() {
    // Of a run that ends in the moment in which the keeper is stopped nobody hears. A later slot is
    // to be launched all the same: the keeper has to owe an answer.
    let (site, daemon) = busy_site(9, "sleep 600");
    wait_launch(&site);
    let keeper = site.keeper();
    signal(keeper, Signal::STOP);
    wait_for("another keeper", Duration::from_secs(60), || {
        site.keepers().into_iter().find(|other| *other != keeper)
    });
    wait_launch(&site);
    assert_ne!(site.keeper(), keeper);
    assert_eq!(daemon.job(2).unwrap()["running"], 1);
}

#[test]
fn hung_while_it_has_nothing_to_answer_it_is_replaced() {
    let (site, daemon) = site_of_one("", "sleep 600");
    daemon.start_job(1);
    let keeper = site.keeper();
    signal(keeper, Signal::STOP);
    wait_state(keeper, 'T');
    let stopped = daemon.request("POST", "/api/v1/jobs/1/stop");
    assert_eq!(stopped.status, 200, "{stopped:?}");
    let end = wait_for("its end, told by nobody", Duration::from_secs(60), || {
        daemon.runs(1).first().filter(|run| !run["ended_at"].is_null()).cloned()
    });
    assert!(end["outcome"].as_str().unwrap().starts_with("lost"), "{end}");
    assert_eq!(site.logged("answers no more").len(), 1, "{:?}", site.log());
}

/// So many descriptors may be open from now on; what is open stays so.
fn limit_descriptors(pid: Pid, number: Option<u64>) -> Rlimit {
    let limit = Rlimit { current: number, ..getrlimit(Resource::Nofile) };
    prlimit(Some(pid), Resource::Nofile, limit).unwrap()
}

#[test]
fn killed_while_there_is_no_descriptor_its_runs_are_looked_at() {
    let (site, daemon) = busy_site(1, "sleep 4; exit 5");
    wait_launch(&site);
    let before = limit_descriptors(daemon.pid(), Some(0));
    signal(site.keeper(), Signal::KILL);
    wait_for("a word about it", SOON, || (!site.logged("is looked at").is_empty()).then_some(()));
    prlimit(Some(daemon.pid()), Resource::Nofile, before).unwrap();
    let lost = daemon.wait_end(2);
    assert!(lost["outcome"].as_str().unwrap().starts_with("lost"), "{lost}");
    assert!(lost["duration_ms"].as_u64().unwrap() > 3_500, "it was let alone: {lost}");
    wait_launch(&site);
}

#[test]
fn killed_with_many_runs_it_leaves_descriptors_to_others() {
    let (site, daemon) = busy_site(1, "sleep 4");
    (1..9).for_each(|_| daemon.start_job(2));
    daemon.wait_job(2, "nine runs", |job| job["running"] == 9);
    limit_descriptors(daemon.pid(), Some(40));
    signal(site.keeper(), Signal::KILL);
    wait_launch(&site);
    let looked_at = site.logged("is looked at").len();
    assert!((4..=5).contains(&looked_at), "an eighth of 40 is watched: {:?}", site.log());
    daemon.wait_job(2, "their ends", |job| job["running"] == 0);
}

#[test]
fn a_stop_without_descriptors_is_made_up_for() {
    let settings = "stop_grace = 1\ncontrol_groups = off\n";
    let (site, daemon) = site_of_one(settings, "trap '' TERM; while :; do sleep 0.1; done");
    daemon.start_job(1);
    // A request needs a connection.
    let mut client = Kept::connect(daemon.address).unwrap();
    client.ask("GET", "/healthz").unwrap();
    let before = limit_descriptors(daemon.pid(), Some(0));
    let (status, told) = client.ask("POST", "/api/v1/jobs/1/stop").unwrap();
    assert_eq!(status, 200);
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    let (did, reason) = (&told["runs"][0]["did"], told["runs"][0]["reason"].as_str().unwrap());
    assert!(did == "delayed" && reason.contains("raise the limit of open files"), "{told}");
    wait_for("the grace time to end", SOON, || {
        (!site.logged("still alive").is_empty()).then_some(())
    });
    prlimit(Some(daemon.pid()), Resource::Nofile, before).unwrap();
    assert_eq!(daemon.wait_end(1)["outcome"], "signal 9");
}

/// The daemon that was asked is gone before the keeper comes to start it.
#[test]
fn a_stop_of_what_is_being_started_goes_on_under_the_next_daemon() {
    let (site, daemon) = site_of_one("stop_grace = 1\n", "sleep 600");
    let keeper = site.keeper();
    signal(keeper, Signal::STOP);
    wait_state(keeper, 'T');
    let mut client = TcpStream::connect(daemon.address).unwrap();
    let start =
        "POST /api/v1/jobs/1/start HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    client.write_all(start.as_bytes()).unwrap();
    daemon.wait_job(1, "starting", |job| job["state"] == "starting");
    assert_eq!(daemon.request("POST", "/api/v1/jobs/1/stop").status, 200);
    daemon.kill();
    signal(keeper, Signal::CONT);
    let daemon = site.start();
    assert_eq!(daemon.wait_end(1)["outcome"], "signal 15");
}

#[test]
fn a_state_directory_may_be_deep() {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    let deep = format!("deep/{}", ["a-directory-with-a-long-name"; 8].join("/"));
    site.base += &format!("statedir = \"{}\"\n", site.file(&deep));
    database.sql(&insert(&[Row::new(1, NEVER, "sleep 0.3; exit 9")]));
    let start = |site: &Site| {
        let command = site.command();
        // The configuration of all tests names a directory, and each key stands there once.
        let config = site.read("schedule.ini");
        let (own, _) = config.split_once("statedir").unwrap().1.split_once('\n').unwrap();
        fs::write(site.file("schedule.ini"), config.replacen(&format!("statedir{own}"), "", 1))
            .unwrap();
        site.start_by(command)
    };
    let daemon = start(&site);
    daemon.wait_jobs(1);
    daemon.start_job(1);
    daemon.kill();
    site.wait_empty();
    assert!(site.file_exists(&format!("{deep}/keeper.ends")));
    let daemon = start(&site);
    assert_eq!(daemon.wait_end(1)["outcome"], "exit 9");
}

#[test]
fn a_second_daemon_does_not_touch_the_keeper() {
    let (site, daemon) = busy_site(1, "sleep 600");
    let keeper = site.keeper();
    let second = site.command().stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    assert!(!second.status.success());
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(text.contains("master still alive"), "{text}");
    assert_eq!(site.keeper(), keeper);
    wait_launch(&site);
    assert_eq!(daemon.job(2).unwrap()["running"], 1);
    assert!(site.logged("keeper ").is_empty(), "{:?}", site.log());
}

/// Files may have so many bytes for this process.
fn limit_files(pid: Pid, bytes: Option<u64>) {
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

#[test]
fn a_keeper_without_disk_leaves_no_word_and_nothing_runs_again() {
    let (site, daemon) = busy_site_of(1, |site| format!("{}; exit 5", site.waits()));
    wait_launch(&site);
    limit_files(site.keeper(), Some(0));
    daemon.kill();
    site.go();
    site.wait_empty();
    assert!(!site.file_exists("state.1/keeper.ends"));
    let daemon = site.start();
    let end = daemon.wait_end(2);
    assert!(end["outcome"].as_str().unwrap().starts_with("lost"), "{end}");
    wait_launch(&site);
}

/// The limit of a file's size is told and ends nothing: neither the daemon nor its helpers.
#[test]
fn a_daemon_whose_files_may_not_grow_goes_on() {
    let (site, daemon) = busy_site(1, "sleep 600");
    wait_launch(&site);
    limit_files(daemon.pid(), Some(0));
    let error = wait_for("the journal's error", SOON, || {
        daemon.status()["journal_error"].as_str().map(str::to_owned)
    });
    let told = "File too large (os error 27): start the daemon with a larger limit";
    assert!(error.contains(told) && error.contains("ulimit -f"), "{error}");
    wait_launch(&site);
    limit_files(daemon.pid(), None);
    wait_for("the journal to be whole", SOON, || {
        daemon.status()["journal_error"].is_null().then_some(())
    });
    wait_launch(&site);
    assert_eq!(daemon.status()["records_dropped"], 0);
    slots(&site);
}

#[test]
fn a_state_directory_that_cannot_be_used_is_a_mistake_at_start() {
    let (site, _database) = Site::on(Driver::Sqlite);
    fs::write(site.file("state.1"), "a file, not a directory").unwrap();
    let refused = site.command().stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("state.1") && text.contains("statedir"), "{text}");
    assert!(site.processes().is_empty(), "nothing is left");
}

/// A keeper that can't be set up says why, and the daemon tells it, at the start and later.
#[test]
fn why_there_is_no_keeper_is_told() {
    let (site, _database) = Site::on(Driver::Sqlite);
    let socket = site.file("state.1/keeper.sock");
    let refused = |code| {
        let output = site.command().stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    fs::create_dir_all(&socket).unwrap();
    let text = refused(1);
    let why = "state.1/keeper.sock: Is a directory (os error 21): what lies there is not ours";
    assert!(text.contains("the keeper of runs: ") && text.contains(why), "{text}");
    fs::remove_dir(&socket).unwrap();

    let daemon = site.start();
    let keeper = site.keeper();
    // The next one finds the socket of this one, and may not take it away.
    let Some(immutable) = Attribute::set('i', site.file("state.1")) else { return };
    signal(keeper, Signal::KILL);
    let line = wait_for("word of it", SOON, || {
        site.logged("the keeper of runs can't be started: ").into_iter().next()
    });
    daemon.kill();
    let text = refused(2);
    drop(immutable);
    for (told, what) in [(line, "state.1/keeper.sock"), (text, "state.1")] {
        let why = format!("{what}: Operation not permitted (os error 1): `lsattr -d`");
        assert!(told.contains(&why), "{told}");
    }
}

#[test]
fn jobs_of_a_keeper_that_serves_its_second_daemon_inherit_nothing() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let list = "ls -l /proc/self/fd | sed 's/.* -> //' | grep . >>\"$LISTED\"; true";
    let list = list.replace("$LISTED", &site.file("listed"));
    database.sql(&insert(&[Row::new(1, NEVER, &list), Row::new(2, NEVER, "sleep 600")]));
    let daemon = site.start();
    daemon.wait_jobs(2);
    daemon.start_job(2);
    daemon.wait_running(1);
    let keeper = site.keeper();
    daemon.kill();
    let daemon = site.start();
    assert_eq!(site.keeper(), keeper);
    daemon.wait_jobs(2);
    daemon.start_job(1);
    assert_eq!(daemon.wait_end(1)["outcome"], "exit 0");
    let listed = site.read("listed");
    let foreign =
        |line: &&str| line.contains("socket") || line.contains(".log") || line.contains("anon");
    let foreign: Vec<&str> = listed.lines().filter(foreign).collect();
    assert!(foreign.is_empty() && listed.contains("/dev/null\n"), "{listed}");
    let stdin = fs::read_link(format!("/proc/{}/fd/0", keeper.as_raw_nonzero())).unwrap();
    assert_eq!(stdin.to_str(), Some("/dev/null"), "the keeper's own");
}
