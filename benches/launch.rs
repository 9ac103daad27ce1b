//! What a launch costs, as a ratio against `scripts/bare_loop.c` in the same run: output files,
//! environment, process group, signal defaults, start time, usage, and everything else a run gets.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use schedule::core::launch::LaunchPlan;
use schedule::shell::process::{Launcher, settle_process};
use schedule::shell::sys::wait_any;

const COUNT: usize = 1000;
const ROUNDS: usize = 7;

/// Time until the last process was started and until the last was reaped.
#[derive(Clone, Copy)]
struct Took {
    started: Duration,
    reaped: Duration,
}

fn main() -> io::Result<()> {
    settle_process()?;
    let bare = compile_bare_loop()?;
    let state = std::env::temp_dir().join(format!("schedule-bench-{}", std::process::id()));
    println!("{COUNT} starts, median of {ROUNDS} interleaved rounds; ratio = ours / bare loop");
    println!("command      mode    bare starts/s  ours starts/s   ratio  ratio (last start)");
    for (command, argv) in [
        ("/bin/true", &["/bin/true"][..]),
        ("true", &["true"][..]),
        ("/bin/true;", &["/bin/sh", "-c", "/bin/true;"][..]),
        ("true;", &["/bin/sh", "-c", "true;"][..]),
    ] {
        for mode in ["serial", "burst"] {
            compare(&bare, &state, command, argv, mode)?;
        }
    }
    std::fs::remove_dir_all(&state)
}

/// Rounds are interleaved so that both meet the same moods of the machine.
fn compare(bare: &Path, state: &Path, command: &str, argv: &[&str], mode: &str) -> io::Result<()> {
    let mut theirs = Vec::new();
    let mut ours = Vec::new();
    for round in 0..=ROUNDS {
        let (their, our) = (run_bare(bare, mode, argv)?, run_ours(state, command, mode)?);
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
        "{command:<12} {mode:<7} {:>13.0} {:>14.0} {:>7.2} {:>12.2}",
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

fn run_ours(state: &Path, command: &str, mode: &str) -> io::Result<Took> {
    let launcher = Launcher::new(state)?;
    let run_id = |n: usize| format!("bench{n:08}");
    let begin = Instant::now();
    let mut reaped = 0;
    for n in 0..COUNT {
        let plan = LaunchPlan {
            job_id: (n % 100) as u32,
            run_id: run_id(n),
            server_id: 1,
            command: command.to_owned(),
            slot: "2026-11-22T13:42:07+08:00".to_owned(),
            ..LaunchPlan::default()
        };
        launcher.launch(&plan).map_err(|error| io::Error::other(error.text))?;
        while mode == "serial" && reaped <= n {
            reaped += wait_a_little();
        }
        while wait_any().is_some() {
            reaped += 1;
        }
    }
    let started = begin.elapsed();
    while reaped < COUNT {
        reaped += wait_a_little();
    }
    let took = Took { started, reaped: begin.elapsed() };
    (0..COUNT).for_each(|n| launcher.outputs().forget((n % 100) as u32, &run_id(n)));
    Ok(took)
}

/// Reaps one, giving way to the children while there is none. The daemon sleeps in its poll here.
fn wait_a_little() -> usize {
    if wait_any().is_some() {
        return 1;
    }
    thread::yield_now();
    0
}

fn compile_bare_loop() -> io::Result<PathBuf> {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bare_loop");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/bare_loop.c");
    let compiler = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-o"])
        .arg(&target)
        .arg(source)
        .stdin(Stdio::null())
        .status()?;
    if compiler.success() { Ok(target) } else { Err(io::Error::other("cc failed: see above")) }
}
