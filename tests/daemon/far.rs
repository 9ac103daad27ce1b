//! A file system that does not answer holds up what is there, and nothing else.

use crate::common::our_program;
use crate::daemon::far::{Far, TEXT, link_to};
use crate::daemon::http::Reply;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, alone, log, now_ns, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use schedule::core::database::Driver;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

const NEVER: Due = Due::Never("0 0 1 1 *");

/// What hangs is told in 5 s; a busy machine may need longer to say so.
const TOLD: Duration = Duration::from_secs(9);

/// Asks in a thread: when there was an answer, and which.
fn asked(address: SocketAddr, method: &str, target: &str) -> JoinHandle<(Duration, String)> {
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    spawn(move || {
        let began = Instant::now();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON * 2)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        (began.elapsed(), String::from_utf8_lossy(&answer).into_owned())
    })
}

/// How late the runs of a job were started, in milliseconds, the latest first.
fn lateness(site: &Site, job: u32, from: usize) -> Vec<u64> {
    let starts = site.logged(&format!("start job={job} "));
    let late = |line: &String| log::field(line, "late").unwrap().parse::<u64>().unwrap();
    let mut late: Vec<u64> = starts.iter().skip(from).map(late).collect();
    late.sort_unstable_by(|a, b| b.cmp(a));
    late
}

fn keeper_of(site: &Site) -> Pid {
    let is_keeper = |pid: &Pid| {
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap();
        String::from_utf8_lossy(&line).contains("keeper")
    };
    site.processes().into_iter().find(is_keeper).expect("a keeper")
}

#[test]
fn while_it_hangs_all_the_rest_goes_on_and_what_hangs_is_told() {
    let _alone = alone();
    let Some(far) = Far::mount() else { return };
    let (site, mut database) = Site::on(Driver::Sqlite);
    let link = link_to(&far, site.file("link"));
    let rows = [
        Row::new(1, Due::Step(1), "true").limit(9),
        Row::new(2, NEVER, "echo out").output(&far.file("out")),
        Row::new(3, NEVER, "echo out").output(&link),
        Row::new(4, Due::Step(1), "echo x").output(&far.file("each")).limit(3),
        Row::new(5, NEVER, &far.file("script")),
    ];
    database.sql(&insert(&rows));
    let daemon = site.start();
    // Gone first when something fails: a daemon that hangs can't be killed before.
    let far = far;
    let keeper = keeper_of(&site);
    wait_for("runs there", SOON, || (far.written() > 0).then_some(()));
    assert_eq!(daemon.get("/api/v1/jobs/2/output").body, TEXT);
    assert_eq!(daemon.request("POST", "/api/v1/jobs/3/output/clear").status, 200);
    let count = || site.logged("start job=1 ").len();
    wait_for("starts", SOON, || (count() >= 5).then_some(()));
    let calm = lateness(&site, 1, 0)[0];
    far.hang(true);
    let (from, began) = (count(), Instant::now());
    let hung = ask_all(&daemon);
    let start = |id: u32| asked(daemon.address, "POST", &format!("/api/v1/jobs/{id}/start"));
    let begun = [2, 3].map(start);
    // Its program is there: a shell waits for it, and nobody else.
    assert_eq!(daemon.request("POST", "/api/v1/jobs/5/start").status, 200);
    while began.elapsed() < Duration::from_secs(6) {
        let (page, slowest) = slowest_page(&daemon);
        assert!(slowest < Duration::from_millis(500), "{page} took {slowest:?}");
    }
    for one in hung {
        let (took, answer) = one.join().unwrap();
        assert!(took < TOLD, "told after {took:?}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
        assert!(answer.contains(&link) || answer.contains(&far.file("out")), "{answer}");
        assert!(answer.contains("does not answer"), "{answer}");
    }
    for one in begun {
        let (took, answer) = one.join().unwrap();
        assert!(took < TOLD, "told after {took:?}: {answer}");
        assert!(answer.contains("\"starting\"") && answer.contains("opening /"), "{answer}");
    }
    told_of_the_second_job(&site, &daemon, &far);
    wait_for("starts of others", SOON, || (count() >= from + 6).then_some(()));
    let hung = lateness(&site, 1, from)[0];
    assert!(hung <= calm * 5 + 250, "started {hung} ms late instead of {calm} ms");
    assert_eq!(keeper_of(&site), keeper);
    // What can't be killed is one process for each side.
    assert!(helpers(&[daemon.pid(), keeper]).len() <= 2);

    // It comes back: what waited goes on.
    let written = far.written();
    far.hang(false);
    for id in [2, 3] {
        let job = daemon.wait_job(id, "done", |job| !job["last_run"].is_null());
        assert_eq!(job["last_run"]["outcome"], "exit 0", "{job}");
    }
    assert!(far.written() > written);
    wait_for("the file to be shown again", SOON * 3, || {
        (daemon.get("/api/v1/jobs/2/output").status == 200).then_some(())
    });
    daemon.stop();
}

/// Which of the pages took longest, and how long. None of them is of a file that hangs.
fn slowest_page(daemon: &Daemon) -> (&'static str, Duration) {
    let pages = ["/healthz", "/", "/api/v1/jobs/2", "/api/v1/jobs/1/output", "/jobs/2"];
    let took = pages.map(|target| {
        let asked = Instant::now();
        assert!(matches!(daemon.get(target).status, 200 | 404), "{target}");
        (target, asked.elapsed())
    });
    took.into_iter().max_by_key(|(_, took)| *took).unwrap()
}

/// All ways to look at the files of jobs 2 and 3.
fn ask_all(daemon: &Daemon) -> Vec<JoinHandle<(Duration, String)>> {
    let ask = |method, target: &str| asked(daemon.address, method, target);
    let mut all = Vec::new();
    for id in 2..=3 {
        let base = format!("/api/v1/jobs/{id}");
        all.push(ask("GET", &format!("{base}/output")));
        all.push(ask("GET", &format!("{base}/output?download=1")));
        all.push(ask("GET", &format!("{base}/output?follow=1")));
        all.push(ask("POST", &format!("{base}/output/clear")));
        all.push(ask("GET", &format!("/stderr.php?id={id}&type=1")));
    }
    all
}

/// What is said of it while its run waits.
fn told_of_the_second_job(site: &Site, daemon: &Daemon, far: &Far) {
    // At once to whoever asks by now.
    let asked = Instant::now();
    assert_eq!(daemon.get("/api/v1/jobs/2/output").status, 504);
    assert!(asked.elapsed() < Duration::from_secs(1));
    let runs = daemon.json("/api/v1/jobs/2/runs");
    let opening = format!("opening {}", far.file("out"));
    assert_eq!(runs["runs"][0]["detail"], opening.as_str(), "{runs}");
    assert!(daemon.get("/jobs/2").body.contains(&format!("starting: {opening}")));
    assert!(!site.logged(&format!("{opening}: its file system has not answered")).is_empty());
}

/// Processes that look at files.
fn helpers(of: &[Pid]) -> Vec<Pid> {
    let parent = |pid: &Pid| format!("PPid:\t{}", pid.as_raw_nonzero());
    let parents: Vec<String> = of.iter().map(parent).collect();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let of_ours = entries.filter(|entry| {
        let read = |name: &str| std::fs::read_to_string(entry.path().join(name));
        let ours = |status: String| status.lines().any(|line| parents.iter().any(|it| it == line));
        read("status").is_ok_and(ours) && read("cmdline").is_ok_and(|it| it.contains("files"))
    });
    let pid = |entry: std::fs::DirEntry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?);
    of_ours.filter_map(pid).collect()
}

/// Who asked for it was told that nobody answers, or is gone. When the file system is back, there
/// may be newer things in the file.
#[test]
fn a_clear_that_nobody_waits_for_any_more_is_not_carried_out() {
    for daemon_dies in [false, true] {
        let Some(far) = Far::mount() else { return };
        let (site, mut database) = Site::on(Driver::Sqlite);
        database.sql(&Row::new(1, NEVER, "true").output(&far.file("out")).insert());
        let daemon = site.start();
        let far = far;
        daemon.wait_job(1, "there", |_| true);
        let clear = "/api/v1/jobs/1/output/clear";
        assert_eq!(daemon.request("POST", clear).status, 200);
        assert_eq!(far.cut(), 1);
        let helper = helpers(&[daemon.pid()])[0];
        far.hang(true);
        let began = Instant::now();
        let left = if daemon_dies {
            let mut client = TcpStream::connect(daemon.address).unwrap();
            write!(client, "POST {clear} HTTP/1.0\r\nContent-Length: 0\r\n\r\n").unwrap();
            wait_for("the question", SOON, || (far.held() > 0).then_some(()));
            daemon.kill();
            let is_late = || (began.elapsed() > TOLD).then_some(());
            wait_for("the end of its time", SOON, is_late);
            None
        } else {
            assert_eq!(daemon.request("POST", clear).status, 504);
            Some(daemon)
        };
        far.hang(false);
        let is_there =
            || std::fs::exists(format!("/proc/{}/exe", helper.as_raw_nonzero())).unwrap();
        wait_for("the end of who was asked", SOON, || (!is_there()).then_some(()));
        assert_eq!(far.cut(), 1, "daemon_dies={daemon_dies}");
        if let Some(daemon) = left {
            daemon.stop();
        }
    }
}

#[test]
fn a_run_that_waits_for_its_file_is_stopped_and_fails_in_time() {
    let Some(far) = Far::mount() else { return };
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows = [
        Row::new(1, NEVER, "echo out").output(&far.file("out")),
        Row::new(2, NEVER, "echo out").output(&far.file("out2")),
    ];
    database.sql(&insert(&rows));
    let daemon = site.start();
    let far = far;
    daemon.wait_job(2, "there", |_| true);
    far.hang(true);
    let start = |id: u32| daemon.request("POST", &format!("/api/v1/jobs/{id}/start"));
    let begun: Reply = start(1);
    assert_eq!(begun.json()["state"], "starting", "{begun:?}");
    let began = Instant::now();
    assert_eq!(start(2).json()["state"], "starting");
    assert_eq!(daemon.request("POST", "/api/v1/jobs/1/stop").status, 200);
    let stopped = daemon.wait_job(1, "stopped", |job| !job["last_run"].is_null());
    let said = stopped["last_run"]["outcome"].as_str().unwrap();
    assert_eq!(said, "spawn failed: stopped before it was started");
    assert!(began.elapsed() < SOON / 2);
    // What was told to wait is no silence of the keeper's.
    let keeper = keeper_of(&site);
    let failed = wait_for("an end of the wait", SOON * 4, || {
        let job = daemon.job(2)?;
        (!job["last_run"].is_null()).then_some(job)
    });
    let said = failed["last_run"]["outcome"].as_str().unwrap();
    let start = format!("spawn failed: opening {}: no answer for ", far.file("out2"));
    assert!(said.starts_with(&start), "{said}");
    assert_eq!(keeper_of(&site), keeper);
    assert!(site.logged("answers no more").is_empty());
    daemon.stop();
}

#[test]
fn whoever_dies_meanwhile_a_slot_starts_once() {
    let Some(far) = Far::mount() else { return };
    for keeper_dies in [false, true] {
        let (site, mut database) = Site::on(Driver::Sqlite);
        let said = site.file("said");
        let command = format!("echo $SCHEDULE_RUN_ID >> {said}");
        database.sql(&Row::new(1, NEVER, &command).output(&far.file("out")).insert());
        let daemon = site.start();
        daemon.wait_job(1, "there", |_| true);
        far.hang(true);
        let begun = daemon.request("POST", "/api/v1/jobs/1/start");
        assert_eq!(begun.json()["state"], "starting", "{begun:?}");
        let began = now_ns();
        let daemon = if keeper_dies {
            kill_process(keeper_of(&site), Signal::KILL).unwrap();
            daemon
        } else {
            daemon.kill();
            site.start()
        };
        far.hang(false);
        let ended = wait_for("an end of the run", SOON * 3, || {
            let job = daemon.job(1)?;
            (!job["last_run"].is_null()).then_some(job)
        });
        let outcome = ended["last_run"]["outcome"].as_str().unwrap().to_owned();
        daemon.stop();
        let starts = site.read("said").lines().count();
        let lines = site.logged("job=1 ");
        match keeper_dies {
            true => assert!(outcome.starts_with("lost: ") && starts == 0, "{outcome}: {lines:?}"),
            false => assert!(starts <= 1, "{outcome} after {began}: {lines:?}"),
        }
    }
}

#[test]
fn the_check_does_not_wait_either() {
    let Some(far) = Far::mount() else { return };
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows: Vec<Row> =
        (1..=5).map(|id| Row::new(id, NEVER, "true").output(&far.file(&id.to_string()))).collect();
    database.sql(&insert(&rows));
    far.hang(true);
    let began = Instant::now();
    let config = site.write_config();
    let checked = our_program().args(["check", "-c", &config]).output().unwrap();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let told = String::from_utf8_lossy(&checked.stdout);
    assert!(told.contains("does not answer"), "{told}");
    assert_eq!(checked.status.code(), Some(1), "{told}");
}
