//! The real daemon as a process: its threads, its descriptors, its children, its end.

use crate::common::our_program;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{SOON, Site, wait_for};
use rustix::process::{Pid, Signal, test_kill_process};
use schedule::core::database::Driver;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The names of the descriptors of a process, in order.
fn descriptors(pid: u64) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The command that starts a daemon, by way of another program.
fn command_by(site: &Site, program: &str, args: &[&str]) -> Command {
    let given = site.command();
    let mut command = Command::new(program);
    command.args(args).arg(given.get_program()).args(given.get_args()).stdin(Stdio::null());
    for (name, value) in given.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
}

#[test]
fn one_thread_and_no_inherited_descriptors() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let lists = Row::new(1, Due::Step(1), "ls /proc/$$/fd; true").output(&site.file("listed"));
    let rows = [
        lists,
        // Executed directly, without a shell.
        Row::new(2, Due::Step(1), "sleep 60"),
        Row::new(3, Due::Step(1), "head -c 200000 /dev/urandom"),
    ];
    database.sql(&insert(&rows));
    // The daemon itself inherits descriptors that it did not ask for.
    let opening = "exec \"$0\" \"$@\" 5</dev/null 9>/dev/null 8</etc/passwd";
    let daemon = site.start_by(command_by(&site, "/bin/sh", &["-c", opening]));
    let sleeper = daemon.wait_job(2, "running", |job| job["state"] == "running");
    let pid = sleeper["live"][0]["pid"].as_u64().unwrap();
    // Its loader opens libraries at first; what is inherited would stay.
    wait_for("a process with three descriptors", SOON, || {
        (descriptors(pid) == ["0", "1", "2"]).then_some(())
    });
    wait_for("three jobs that list their descriptors", SOON, || {
        assert_eq!(daemon.proc_status("Threads"), "1");
        (site.read("listed").lines().count() >= 9).then_some(())
    });
    let listed = site.read("listed");
    let times = listed.lines().count() / 3;
    assert_eq!(listed, "0\n1\n2\n".repeat(times));
    // It kept what it inherited, so the above was no accident.
    let own = descriptors(daemon.pid().as_raw_nonzero().get().try_into().unwrap());
    assert!(own.contains(&"8".to_owned()), "{own:?}");
}

#[test]
fn runs_may_use_the_processors_that_their_daemon_may() {
    for processors in [None, Some("0")] {
        let (site, mut database) = Site::on(Driver::Sqlite);
        let look = "grep -h Cpus_allowed_list: /proc/$$/status /proc/self/status";
        let rows = (1..=5).map(|id| Row::new(id, Due::Step(1), look).output(&site.file("looked")));
        database.sql(&insert(&rows.collect::<Vec<_>>()));
        let daemon = match processors {
            None => site.start(),
            Some(list) => site.start_by(command_by(&site, "taskset", &["-c", list])),
        };
        wait_for("jobs that look at themselves", SOON, || {
            (site.read("looked").lines().count() >= 20).then_some(())
        });
        let own = daemon.proc_status("Cpus_allowed_list");
        assert!(processors.is_none_or(|list| list == own), "{own}");
        for line in site.read("looked").lines() {
            assert_eq!(line.split_whitespace().nth(1), Some(own.as_str()));
        }
    }
}

/// Policy, real-time priority and nice value of a process (proc(5), `/proc/PID/stat`).
fn scheduling(stat: &str) -> [i32; 3] {
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    [41, 40, 19].map(|field: usize| fields[field - 3].parse().unwrap())
}

#[test]
fn the_keeper_goes_before_its_runs_and_they_have_the_nice_value_of_the_daemon() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows = [
        Row::new(1, Due::Step(1), "sleep 600").output("/dev/null"),
        Row::new(2, Due::Step(1), "sleep 0.2; cat /proc/$$/stat /proc/self/stat")
            .output(&site.file("shell")),
    ];
    database.sql(&insert(&rows));
    let daemon = site.start_by(command_by(&site, "nice", &["-n", "5"]));
    let looked = |times: usize| {
        wait_for("jobs that look at themselves", SOON, || {
            (site.read("shell").lines().count() >= 2 * times).then_some(())
        });
    };
    looked(2);
    let own = |pid: Pid| {
        scheduling(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap())
    };
    // The tests may have been started with `nice` themselves.
    let nice = scheduling(&fs::read_to_string("/proc/self/stat").unwrap())[2] + 5;
    // One that is executed without a shell; until its parent comes to take it back, it has more.
    let job = daemon.wait_job(1, "running", |job| job["running"] == 1);
    let pid = Pid::from_raw(job["live"][0]["pid"].as_i64().unwrap().try_into().unwrap()).unwrap();
    wait_for("a job without precedence", SOON, || {
        (own(pid) == [libc::SCHED_OTHER, 0, nice]).then_some(())
    });
    if rustix::process::geteuid().is_root() {
        assert_eq!(own(daemon.pid()), [libc::SCHED_OTHER, 0, -10]);
        assert_eq!(own(site.keeper()), [libc::SCHED_RR, 2, -10]);
    }
    // The next program takes the same.
    daemon.signal(Signal::USR2);
    wait_for("the next program", SOON, || site.logged("begin: ").get(1).map(drop));
    looked(site.read("shell").lines().count() / 2 + 2);
    for line in site.read("shell").lines() {
        assert_eq!(scheduling(line), [libc::SCHED_OTHER, 0, nice], "{line}");
    }
}

/// Whoever starts thousands must not keep all others from the processors meanwhile.
#[test]
fn the_keeper_goes_first_for_a_short_stretch_only() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (site, mut database) = Site::on(Driver::Sqlite);
    let row = |id| Row::new(id, Due::Step(5), "/bin/true").output("/dev/null");
    let rows: Vec<Row> = (1..=1000).map(row).collect();
    database.sql(&insert(&rows));
    let _daemon = site.start();
    let stat = format!("/proc/{}/stat", site.keeper().as_raw_nonzero());
    let policy_becomes = |wanted: i32| {
        wait_for(&format!("policy {wanted} of the keeper"), SOON, || {
            let policy = scheduling(&fs::read_to_string(&stat).unwrap())[0];
            (policy == wanted).then_some(())
        });
    };
    for policy in [libc::SCHED_RR, libc::SCHED_OTHER, libc::SCHED_RR, libc::SCHED_OTHER] {
        policy_becomes(policy);
    }
}

#[test]
fn runs_go_on_after_term_and_are_adopted() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let done = site.file("done");
    let command = format!("{}; echo done >>'{done}'", site.waits());
    database.sql(&Row::new(1, Due::Step(1), &command).insert());
    let daemon = site.start();
    let job = daemon.wait_job(1, "running", |job| job["running"] == 1);
    let (run, pid) = (job["live"][0]["run_id"].clone(), job["live"][0]["pid"].clone());
    assert_eq!(daemon.stop().code(), Some(0));
    assert_eq!(site.logged("end: 1 run goes on").len(), 1);
    let leader = rustix::process::Pid::from_raw(pid.as_i64().unwrap().try_into().unwrap());
    test_kill_process(leader.unwrap()).expect("the run is alive");
    assert_eq!(site.read("done"), "");

    let daemon = site.start();
    let job = daemon.wait_job(1, "running", |job| job["running"] == 1);
    assert_eq!((&job["live"][0]["run_id"], &job["live"][0]["pid"]), (&run, &pid));
    assert_eq!(site.logged(&format!("adopt job=1 run={}", run.as_str().unwrap())).len(), 1);
    // The limit holds while it lives, and the next one starts once it is gone.
    let skipped = &job["skipped"]["overlap"];
    daemon.wait_job(1, "skipped", |job| job["skipped"]["overlap"].as_u64() > skipped.as_u64());
    site.go();
    wait_for("the adopted run to end", SOON, || {
        let live: Vec<_> = daemon.job(1)?["live"].as_array()?.clone();
        assert!(live.len() <= 1, "{live:?}");
        (!live.iter().any(|live| live["run_id"] == run)).then_some(())
    });
    assert_eq!(site.read("done").lines().count(), 1);
    daemon.wait_job(1, "running again", |job| job["running"] == 1);
    let past = daemon.runs(1);
    let adopted = past.iter().find(|past| past["run_id"] == run);
    let adopted = adopted.unwrap_or_else(|| panic!("{run} is not in {past:?}"));
    assert_eq!(
        (adopted["outcome"].as_str(), adopted["exit_code"].as_u64()),
        (Some("exit 0"), Some(0))
    );
    assert!(adopted["duration_ms"].as_u64() >= Some(1000), "{adopted}");
}

#[test]
fn a_second_daemon_is_refused() {
    let (site, _database) = Site::on(Driver::Sqlite);
    let first = site.start();
    let second = site.command().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    let pid = first.pid().as_raw_nonzero();
    assert!(said.contains(&format!("master still alive: pid {pid} runs server 1")), "{said}");
    assert!(said.contains(&site.file("1.pid")), "{said}");
    assert_eq!(first.get("/healthz").status, 200);
    // What a crash leaves behind is no obstacle.
    first.kill();
    assert_eq!(site.read("1.pid").trim(), pid.to_string());
    site.start();
}

#[test]
fn mistakes_in_the_configuration_are_told_with_file_and_line() {
    let (site, _database) = Site::on(Driver::Sqlite);
    let run = |server: &str, text: &str| {
        let file = site.file("bad.ini");
        fs::write(&file, text).unwrap();
        let mut command = our_program();
        let output = command.args(["run", server, "-c", &file]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap(), file)
    };
    let bad = "[base]\nkeepalive = maybe\nsync_intervall = 3\n[server_1]\nport = 99999\n";
    let (code, said, file) = run("1", bad);
    assert_eq!(code, Some(2));
    for line in [2, 3, 5] {
        assert!(said.contains(&format!("{file}:{line}")), "{line}: {said}");
    }
    assert!(said.contains("sync_interval"), "did you mean: {said}");
    let good = fs::read_to_string(site.write_config()).unwrap();
    let (code, said, _) = run("2", &good);
    assert_eq!(code, Some(2));
    assert!(said.contains("no [server_2]") && said.contains("[server_1]"), "{said}");
    let (code, said, _) = run("1", &good.replace("{%d}.log", "none/1.log"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("none/1.log"), "{said}");
    let mut command = our_program();
    let output = command.args(["run", "1", "-c", &site.file("not-there.ini")]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("not-there.ini"));
}

#[test]
fn term_is_obeyed_while_a_run_ignores_it() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let row = Row::new(1, Due::Step(1), "trap '' TERM; while :; do sleep 1; done");
    database.sql(&row.insert());
    let daemon = site.start();
    daemon.wait_job(1, "running", |job| job["running"] == 1);
    daemon.signal(rustix::process::Signal::TERM);
    let status = daemon.stop();
    assert_eq!(status.code(), Some(0));
    let left = wait_for("nothing but the run", Duration::from_secs(5), || {
        let left = site.processes();
        (!left.is_empty()).then_some(left)
    });
    assert!(!left.is_empty());
}
