//! What a launch costs, as a ratio against `benches/bare_loop.c` in the same run: output files,
//! environment, process group, signal defaults, start time, usage, and everything else a run gets.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{WaitId, WaitIdOptions, waitid};
use schedule::core::launch::LaunchPlan;
use schedule::shell::cgroup::Groups;
use schedule::shell::process::{Launcher, settle_process};
use schedule::shell::sys::wait_any;

const COUNT: usize = 300;
const ROUNDS: usize = 5;

/// Time until the last process was started and until the last was reaped.
#[derive(Clone, Copy)]
struct Took {
    started: Duration,
    reaped: Duration,
}

/// What is compared with what.
struct Case<'a> {
    name: &'a str,
    /// Ours.
    command: &'a str,
    /// The bare loop's.
    argv: &'a [&'a str],
    /// Empty: two new files for each run.
    output: String,
    /// Whether each run gets a control group of its own.
    grouped: bool,
}

fn main() -> io::Result<()> {
    settle_process()?;
    let bare = compile_bare_loop()?;
    let temp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let state = temp.join(format!("bench-{}", std::process::id()));
    std::fs::create_dir_all(&state)?;
    let log = state.join("log").display().to_string();
    let direct = &["/bin/true"][..];
    let shell = &["/bin/sh", "-c", "/bin/true;"][..];
    let case = |name, command, argv, output| Case { name, command, argv, output, grouped: false };
    let grouped = |case: Case<'static>| Case { grouped: true, ..case };
    let null = || "/dev/null".to_owned();
    println!("{COUNT} starts, median of {ROUNDS} interleaved rounds; ratio = ours / bare loop");
    println!("case               mode   bare starts/s  ours starts/s   ratio  ratio (last start)");
    for case in [
        case("direct", "/bin/true", direct, String::new()),
        case("direct, /dev/null", "/bin/true", direct, null()),
        grouped(case("the same, grouped", "/bin/true", direct, null())),
        case("direct, by PATH", "true", &["true"], String::new()),
        case("direct, job's log", "/bin/true", direct, log.clone()),
        case("shell", "/bin/true;", shell, String::new()),
        case("shell, job's log", "/bin/true;", shell, log),
    ] {
        for mode in ["serial", "burst"] {
            compare(&bare, &state, &case, mode)?;
        }
    }
    // Only now: removing a file can make creating the next ones slower for a while.
    std::fs::remove_dir_all(&state)
}

/// Rounds are interleaved so that both meet the same moods of the machine.
fn compare(bare: &Path, state: &Path, case: &Case, mode: &str) -> io::Result<()> {
    let mut theirs = Vec::new();
    let mut ours = Vec::new();
    for round in 0..=ROUNDS {
        let (their, our) = (run_bare(bare, mode, case.argv)?, run_ours(state, case, mode, round)?);
        if round > 0 {
            theirs.push(their);
            ours.push(our);
        }
    }
    let median = |rounds: &[Took], of: fn(&Took) -> Duration| {
        let mut times: Vec<f64> = rounds.iter().map(|took| of(took).as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (bare_all, our_all) = (median(&theirs, |t| t.reaped), median(&ours, |t| t.reaped));
    let (bare_start, our_start) = (median(&theirs, |t| t.started), median(&ours, |t| t.started));
    println!(
        "{:<18} {mode:<7} {:>12.0} {:>14.0} {:>7.2} {:>12.2}",
        case.name,
        COUNT as f64 / bare_all,
        COUNT as f64 / our_all,
        our_all / bare_all,
        our_start / bare_start,
    );
    Ok(())
}

fn run_bare(bare: &Path, mode: &str, argv: &[&str]) -> io::Result<Took> {
    let output = Command::new(bare).args([mode, &COUNT.to_string()]).args(argv).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut micros = text.split_whitespace().filter_map(|number| number.parse().ok());
    match (micros.next(), micros.next()) {
        (Some(started), Some(reaped)) => Ok(Took {
            started: Duration::from_micros(started),
            reaped: Duration::from_micros(reaped),
        }),
        _ => Err(io::Error::other(format!("bare_loop: {output:?}"))),
    }
}

fn run_ours(state: &Path, case: &Case, mode: &str, round: usize) -> io::Result<Took> {
    let mut launcher = Launcher::new(state)?;
    let mut groups = if case.grouped { Groups::new(state) } else { None };
    if case.grouped && groups.is_none() {
        return Err(io::Error::other("no control groups of version 2 can be made here"));
    }
    let prefix =
        format!("{}{mode}{round}", case.name.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
    let begin = Instant::now();
    let mut reaped = 0;
    for n in 0..COUNT {
        let plan = LaunchPlan {
            job_id: (n % 100) as u32,
            run_id: format!("{prefix}-{n}"),
            server_id: 1,
            command: case.command.to_owned(),
            output: case.output.clone(),
            stderr: case.output.clone(),
            slot: "2026-11-22T13:42:07+08:00".to_owned(),
        };
        let group = groups.as_mut().map(Groups::take).transpose()?;
        let dir = group.as_ref().map(|(_, dir)| dir.as_fd());
        launcher.launch(&plan, dir).map_err(|error| io::Error::other(error.text))?;
        while mode == "serial" && reaped <= n {
            reaped += wait_for_one()?;
        }
        if let (Some(groups), Some((group, _)), "serial") = (&mut groups, group, mode) {
            groups.give_back(group);
        }
        while wait_any().is_some() {
            reaped += 1;
        }
    }
    let started = begin.elapsed();
    while reaped < COUNT {
        reaped += wait_for_one()?;
    }
    // A keeper takes each away when its run has ended.
    groups.iter().for_each(Groups::remove_all);
    Ok(Took { started, reaped: begin.elapsed() })
}

/// Sleeps until there is one to reap, as the daemon does in its poll.
fn wait_for_one() -> io::Result<usize> {
    waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    Ok(usize::from(wait_any().is_some()))
}

fn compile_bare_loop() -> io::Result<PathBuf> {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bare_loop");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/bare_loop.c");
    let compiler = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-o"])
        .arg(&target)
        .arg(source)
        .stdin(Stdio::null())
        .status()?;
    if compiler.success() { Ok(target) } else { Err(io::Error::other("cc failed: see above")) }
}
