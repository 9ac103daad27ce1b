//! What the machine gives to a bare loop in the same seconds: without that, a lateness says as much
//! about the machine as about the daemon. And when it took its processors away.

use super::ledger::Lateness;
use super::{Site, now_ns};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

/// Starts of a burst.
const BURST: usize = 8;

/// The bursts are this long after each full second, where the daemon has little to do.
const PHASE_NS: i64 = 250_000_000;

/// What becomes of the processors is watched from so long before each full second.
const AHEAD_NS: i64 = 10_000_000;

const SECOND_NS: i64 = 1_000_000_000;

/// A thread that starts a burst of small commands each second.
pub struct Bare {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Machine>,
}

/// What was seen of the machine.
#[derive(Default)]
pub struct Machine {
    late: Vec<f64>,
    /// The seconds (unix) in whose first quarter the hypervisor had others run on our processors.
    stolen: BTreeSet<i64>,
}

impl Machine {
    /// How late the loop's starts were.
    pub fn late(&self) -> Lateness {
        Lateness::of(self.late.clone())
    }

    pub fn was_whole(&self, second: i64) -> bool {
        !self.stolen.contains(&second)
    }
}

impl Bare {
    /// One whose commands write to files of their own.
    pub fn start(site: &Site) -> Self {
        let dir = PathBuf::from(site.file("bare"));
        fs::create_dir(&dir).unwrap();
        let end = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&end);
        let thread = spawn(move || {
            let mut machine = Machine::default();
            while !told.load(Ordering::Relaxed) {
                burst(&dir, &mut machine);
            }
            machine
        });
        Self { end, thread }
    }

    pub fn end(self) -> Machine {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// As for a run without files of its job's, two are made for each.
fn burst(dir: &Path, machine: &mut Machine) {
    let second = (now_ns() + AHEAD_NS) / SECOND_NS + 1;
    let at = second * SECOND_NS + PHASE_NS;
    let until = |ns: i64| sleep(Duration::from_nanos((ns - now_ns()).max(0).unsigned_abs()));
    until(second * SECOND_NS - AHEAD_NS);
    let before = stolen_ticks();
    until(at);
    if stolen_ticks() != before {
        machine.stolen.insert(second);
    }
    let late = &mut machine.late;
    let children: Vec<_> = (0..BURST)
        .map(|_| {
            let file = |ending| File::create(dir.join(format!("{}.{ending}", late.len()))).unwrap();
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "date >/dev/null"]).stdin(Stdio::null());
            command.stdout(file("out")).stderr(file("err"));
            let child = command.spawn().unwrap();
            late.push((now_ns() - at) as f64 / 1e6);
            child
        })
        .collect();
    for mut child in children {
        child.wait().unwrap();
    }
}

/// How much was taken from all processors since the system began (proc(5), `/proc/stat`: `steal`).
fn stolen_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    stat.split_whitespace().nth(8).unwrap().parse().unwrap()
}
