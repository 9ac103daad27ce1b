//! Runs as processes: how they are executed, how they end, what they used.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helper functions too")]

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Instant;

use crate::process_support::{Stage, code, each_way, until, wait_for};
use rustix::process::{Resource, Rlimit, Signal, getpgid, getrlimit, setrlimit};
use schedule::core::launch::Stream;
use schedule::core::outcome::Exit;
use schedule::shell::output::Outputs;
use schedule::shell::proc_fs::{boot_id, is_running, is_same_process, kernel_start, watch};
use schedule::shell::process::signal_group;
use schedule::shell::search::find_by_run_id;

#[test]
fn both_parts_of_a_list_run() {
    each_way(|stage| {
        assert_eq!(stage.run("echo one; echo two").stdout, "one\ntwo\n");
        assert_eq!(stage.run("echo one\necho two").stdout, "one\ntwo\n");
        assert_eq!(stage.run("exit 3").ended.exit, code(3));
        assert_eq!(stage.run("").ended.exit, code(0));
    });
}

/// The shell is the judge: a command executed directly must be told from it by nothing, least of
/// all where it can't be executed.
#[test]
fn direct_execution_is_what_the_shell_would_do() {
    each_way(|stage| {
        let file = |name: &str, text: &str, mode| {
            let path = stage.dir.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path.display().to_string()
        };
        let dir = stage.dir.display().to_string();
        for command in [
            "true".to_owned(),
            "false".to_owned(),
            "expr 1 + 2".to_owned(),
            "basename /a/b".to_owned(),
            "no-such-command-anywhere x".to_owned(),
            "/no/such/file".to_owned(),
            "/etc/passwd/x".to_owned(),
            file("not-executable", "echo no\n", 0o644),
            file("no-hashbang", "echo \"ran $1\"; exit 5\n", 0o755) + " arg",
            file("hashbang", "#!/bin/sh\necho \"ran $1\"; exit 6\n", 0o755) + " arg",
            file("bad-interpreter", "#!/no/such/interpreter\n", 0o755),
            format!("{dir} x"),
            "-x".to_owned(),
            "+x y".to_owned(),
        ] {
            // Stage.dir holds no character that needs a shell, else this would test nothing.
            let judge = Command::new("/bin/sh").args(["-c", "--", &command]).output().unwrap();
            let ran = stage.run(&command);
            assert_eq!(ran.ended.exit, code(judge.status.code().unwrap() as u8), "{command}");
            assert_eq!(ran.stdout.as_bytes(), judge.stdout, "{command}");
            assert_eq!(ran.stderr.as_bytes(), judge.stderr, "{command}");
        }
        assert_eq!(stage.run("no-such-command-anywhere").ended.exit, code(127));
        assert_eq!(stage.run(&format!("{dir}/not-executable")).ended.exit, code(126));
    });
}

#[test]
fn a_plain_command_has_no_shell_in_between() {
    each_way(|stage| {
        let ran = stage.run("readlink /proc/self/stat /proc/self");
        assert_eq!(ran.stdout, format!("{}\n", ran.started.pid.as_raw_nonzero()));
        let plan = stage.plan("sleep 60");
        let started = stage.launch(&plan).unwrap();
        let path = format!("/proc/{}/cmdline", started.pid.as_raw_nonzero());
        // The kernel lets a launch return some microseconds before the arguments are in place.
        until("it has its arguments", || !fs::read(&path).unwrap().is_empty());
        assert_eq!(fs::read(&path).unwrap(), b"sleep\x0060\0");
        assert!(signal_group(started.pid, started.kernel_start, Signal::KILL).unwrap());
        assert_eq!(wait_for(started.pid).exit, Exit::Signal { number: 9, core_dumped: false });
    });
}

#[test]
fn a_signal_reaches_the_whole_group_and_nobody_else() {
    each_way(|stage| {
        let plan = stage.plan("sleep 61 & sleep 62 & wait");
        let started = stage.launch(&plan).unwrap();
        let (pid, start) = (started.pid, started.kernel_start);
        assert_eq!(getpgid(Some(pid)).unwrap(), pid, "leads its own group");
        until("all three are there", || find_by_run_id(&plan.run_id, start).unwrap().len() == 3);
        assert!(!signal_group(pid, start + 1, Signal::KILL).unwrap(), "another start time");
        assert!(!signal_group(pid, 0, Signal::KILL).unwrap(), "unknown start time");
        assert_eq!(find_by_run_id(&plan.run_id, start).unwrap().len(), 3);
        assert!(signal_group(pid, start, Signal::TERM).unwrap());
        assert_eq!(wait_for(pid).exit, Exit::Signal { number: 15, core_dumped: false });
        until("its children are gone", || find_by_run_id(&plan.run_id, start).unwrap().is_empty());
        assert!(!signal_group(pid, start, Signal::KILL).unwrap(), "it was reaped");
    });
}

#[test]
fn with_one_descriptor_nobody_is_taken_for_gone() {
    let stage = Stage::set();
    let started = stage.launch(&stage.plan("sleep 60")).unwrap();
    let (pid, start) = (started.pid, started.kernel_start);
    let before = getrlimit(Resource::Nofile);
    // The lowest free number is the only free one below the limit that follows it.
    let lowest = u64::try_from(fs::File::open("/dev/null").unwrap().as_raw_fd()).unwrap();
    let one = Rlimit { current: Some(lowest + 1), ..before };
    setrlimit(Resource::Nofile, one).unwrap();
    let watched = watch(pid, start);
    setrlimit(Resource::Nofile, Rlimit { current: Some(lowest), ..before }).unwrap();
    let (signalled, running) = (signal_group(pid, start, Signal::TERM), is_running(pid, start));
    setrlimit(Resource::Nofile, before).unwrap();
    assert!(watched.is_err() && signalled.is_err(), "{watched:?} {signalled:?}");
    assert!(running);
    assert!(signal_group(pid, start, Signal::KILL).unwrap());
    wait_for(pid);
    assert!(!is_running(pid, start));
}

#[test]
fn an_end_shows_on_the_pidfd_and_the_start_time_names_the_process() {
    let stage = Stage::set();
    let started = stage.launch(&stage.plan("sleep 60")).unwrap();
    let (pid, start) = (started.pid, started.kernel_start);
    assert!(start > 0);
    assert_eq!(kernel_start(pid), Some(start));
    assert!(watch(pid, start + 1).unwrap().is_none());
    let pidfd = watch(pid, start).unwrap().unwrap();
    assert!(!is_readable(&pidfd));
    assert!(signal_group(pid, start, Signal::TERM).unwrap());
    until("the pidfd is readable", || is_readable(&pidfd));
    assert!(is_same_process(pid, start).unwrap(), "until it is reaped");
    wait_for(pid);
    assert!(!is_same_process(pid, start).unwrap());
    assert!(watch(pid, start).unwrap().is_none());
    assert_eq!(boot_id().unwrap().len(), 36);
}

fn is_readable(fd: &std::os::fd::OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&now)).unwrap() == 1
}

#[test]
fn usage_is_that_of_the_run() {
    each_way(|stage| {
        let begin = Instant::now();
        let busy = stage.run("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done");
        let wall_ms = begin.elapsed().as_millis() as u64;
        let used = busy.ended.usage;
        assert!(used.user_ms >= 20 && used.user_ms + used.system_ms <= wall_ms + 10, "{used:?}");
        let large = stage.run("dd if=/dev/zero of=/dev/null bs=96M count=1").ended.usage;
        assert!((96 << 20..200 << 20).contains(&large.max_rss_bytes), "{large:?}");
        let idle = stage.run("sleep 0.1").ended.usage;
        assert!(idle.user_ms + idle.system_ms < 50 && idle.max_rss_bytes < 96 << 20, "{idle:?}");
    });
}

#[test]
fn a_command_no_process_can_have_is_refused() {
    each_way(|stage| {
        let error = stage.refused(&stage.plan("echo a\0b"));
        assert!(!error.retryable && error.text.contains("NUL"), "{error:?}");
        let plan = stage.plan(&format!("echo {};", "x".repeat(200_000)));
        let error = stage.refused(&plan);
        assert_eq!((error.errno, error.retryable), (7, false));
        assert!(error.text.contains("Argument list too long"), "{error:?}");
        let left = Outputs::new(&stage.dir).path(7, &plan.run_id, Stream::Stdout);
        assert!(!left.exists(), "an output of a run that never was");
    });
}

#[test]
fn being_short_of_descriptors_passes() {
    each_way(|stage| {
        let plan = stage.plan("true");
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(3), maximum: limit.maximum }).unwrap();
        let refused = stage.launch(&plan);
        setrlimit(Resource::Nofile, limit).unwrap();
        let error = refused.unwrap_err();
        assert_eq!((error.errno, error.retryable), (24, true), "{error:?}");
        assert_eq!(stage.run_plan(&plan).ended.exit, code(0));
    });
}
