//! What the machine gives to a bare loop in the same seconds: without that, a lateness says as much
//! about the machine as about the daemon.

use super::ledger::Lateness;
use super::{Site, now_ns};
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

/// A thread that starts a burst of small commands each second.
pub struct Bare {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Vec<f64>>,
}

impl Bare {
    /// One whose commands write to files of their own.
    pub fn start(site: &Site) -> Self {
        let dir = PathBuf::from(site.file("bare"));
        fs::create_dir(&dir).unwrap();
        let end = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&end);
        let thread = spawn(move || {
            let mut late = Vec::new();
            while !told.load(Ordering::Relaxed) {
                burst(&dir, &mut late);
            }
            late
        });
        Self { end, thread }
    }

    /// How late its starts were.
    pub fn end(self) -> Lateness {
        self.end.store(true, Ordering::Relaxed);
        Lateness::of(self.thread.join().unwrap())
    }
}

/// As for a run without files of its job's, two are made for each.
fn burst(dir: &Path, late: &mut Vec<f64>) {
    let second = 1_000_000_000;
    let to_go = second - (now_ns() - PHASE_NS).rem_euclid(second);
    let at = now_ns() + to_go;
    sleep(Duration::from_nanos(to_go.unsigned_abs()));
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
