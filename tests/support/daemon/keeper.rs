//! The keeper of a site, seen from outside, and runs that are started by hand and end when told.

use super::{Daemon, SOON, Site, wait_for};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::time::Duration;

impl Site {
    /// The keepers of this site; zombies are none.
    pub fn keepers(&self) -> Vec<Pid> {
        let is_keeper = |pid: &Pid| {
            let cmdline = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
            let cmdline = cmdline.unwrap_or_default();
            let called = cmdline.split(|&byte| byte == 0).nth(1) == Some(b"keeper");
            called || cmdline.starts_with(b"schedule: keeper")
        };
        self.processes().into_iter().filter(is_keeper).collect()
    }

    /// The keeper; there must be one and no more. For a moment a job that it is about to start
    /// looks like another.
    #[track_caller]
    pub fn keeper(&self) -> Pid {
        wait_for("the one keeper", SOON, || match self.keepers()[..] {
            [keeper] => Some(keeper),
            _ => None,
        })
    }

    /// Waits until every process that came of this site has ended by itself.
    #[track_caller]
    pub fn wait_empty(&self) {
        wait_for("the last process to end", Duration::from_secs(60), || {
            self.processes().is_empty().then_some(())
        });
    }
}

/// Sends a signal to a process that must be there.
pub fn signal(pid: Pid, signal: Signal) {
    kill_process(pid, signal).unwrap();
}

/// Waits until the state of a process is this letter of `/proc/PID/stat`.
#[track_caller]
pub fn wait_state(pid: Pid, state: char) {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    wait_for(&format!("process {pid:?} to be {state}"), SOON, || {
        let stat = fs::read_to_string(&path).ok()?;
        stat.rsplit_once(") ")?.1.starts_with(state).then_some(())
    });
}

/// Milliseconds since 1970 of a time in an answer.
pub fn millis(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<Timestamp>().unwrap().as_millisecond()
}

impl Daemon {
    /// Starts a run of a job by hand.
    #[track_caller]
    pub fn start_job(&self, id: u32) {
        let reply = self.request("POST", &format!("/api/v1/jobs/{id}/start"));
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// Waits until so many runs have a process.
    #[track_caller]
    pub fn wait_running(&self, count: u64) {
        wait_for(&format!("{count} runs"), SOON, || {
            (self.status()["running"] == count).then_some(())
        });
    }

    /// Waits until the newest run of a job has ended, and says how.
    #[track_caller]
    pub fn wait_end(&self, id: u32) -> Value {
        wait_for(&format!("the run of job {id} to end"), SOON, || {
            self.runs(id).first().filter(|run| !run["ended_at"].is_null()).cloned()
        })
    }
}
