//! What jobs are in the midst of when another program takes over. Each comes to its right end
//! afterwards, as if nothing had happened.

use super::JOBS;
use crate::daemon::facts::{Logged, STAMPS};
use crate::daemon::keeper::signal;
use crate::daemon::log;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, now_ns, wait_for};
use crate::service::Groups;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Its slots of a time without a daemon are late or missed, and the end of a run nobody saw.
pub const MISSED: u32 = JOBS + 5;

/// The keeper of its run was killed with its daemon: the run goes on without.
const LEFT: u32 = JOBS + 6;

/// Its row is deleted while it runs.
const DELETED: u32 = JOBS + 7;

/// Its row is changed while it runs: the new definition waits.
const CHANGED: u32 = JOBS + 8;

/// Told to end, and takes no notice until it is killed.
pub const STOPPING: u32 = JOBS + 9;

/// Alive while the daemon drains.
pub const HELD: u32 = JOBS + 10;

/// A run of each of them is lost.
pub const LOST: [u32; 2] = [MISSED, LEFT];

/// What is told to end has this long, in seconds: longer than it takes until the next program is
/// there.
pub const GRACE_S: u64 = 8;

/// A time without a daemon: longer than a run of [`MISSED`], and slots besides.
const DOWN: Duration = Duration::from_secs(6);

/// Lets the runs that wait for it go on.
const GO_ON: &str = "go-on";

/// The same of the last one.
const GO_LAST: &str = "go-last";

/// Their rows.
pub fn rows(site: &Site) -> Vec<Row> {
    let stamps = site.file(STAMPS);
    let waits = |file: &str| format!("until [ -e '{}' ]; do sleep 0.1; done", site.file(file));
    let never = Due::Never("0 0 1 1 *");
    let go_on = waits(GO_ON);
    vec![
        Row::stamping(MISSED, Due::Step(1), &stamps, "sleep 2").ends(""),
        Row::new(LEFT, never.clone(), &go_on).ends("lost"),
        Row::new(DELETED, never.clone(), &go_on),
        Row::stamping(CHANGED, Due::Step(1), &stamps, &format!("{go_on}; exit 5")).ends("exit"),
        Row::new(STOPPING, never.clone(), "trap '' TERM; sleep 600").ends("signal 9"),
        Row::new(HELD, never, &waits(GO_LAST)),
    ]
}

/// What a daemon came to that was killed.
pub struct Killed {
    /// Runs that it launched.
    pub launched: u64,
    /// When it was, unix seconds.
    pub at: i64,
}

/// A daemon that is killed, and its keeper with it, while two runs are alive. Then there is none
/// for a while. Other rows than those two come after it.
pub fn leave_behind(groups: &mut Groups, rows: &[Row], program: &str) -> Killed {
    let is_early = |row: &&Row| [MISSED, LEFT].contains(&row.id);
    let (early, late): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(is_early);
    let insert = |rows: Vec<&Row>| insert(&rows.into_iter().cloned().collect::<Vec<_>>());
    groups.database.sql(&insert(early));
    let site = &groups.site;
    let daemon = site.start_by(site.command_of(program));
    daemon.wait_jobs(2);
    daemon.start_job(LEFT);
    wait_for("the table to be kept", SOON, || {
        site.read("state.1/snapshot").contains("sleep 2").then_some(())
    });
    let launched = wait_for("two runs", SOON, || {
        let starts = log::starts(&site.log());
        starts.iter().any(|start| start.job == MISSED).then_some(starts.len() as u64)
    });
    let keeper = site.keeper();
    daemon.kill();
    signal(keeper, Signal::KILL);
    let at = now_ns() / 1_000_000_000;
    groups.database.sql(&insert(late));
    sleep(DOWN);
    Killed { launched, at }
}

/// Runs of theirs, by job.
pub struct Midst {
    runs: BTreeMap<u32, Value>,
    stopped: Instant,
}

impl Midst {
    /// Brings all of them about.
    pub fn begin(groups: &mut Groups, daemon: &Daemon) -> Midst {
        let with_run = [DELETED, STOPPING, CHANGED, LEFT];
        [DELETED, STOPPING].into_iter().for_each(|id| daemon.start_job(id));
        let run = |id| {
            let job = daemon.wait_job(id, "running", |job| job["running"] == 1);
            (id, job["live"][0]["run_id"].clone())
        };
        let runs = with_run.into_iter().map(run).collect();
        groups.database.sql(&format!("DELETE FROM scheduler_jobs WHERE id = {DELETED};"));
        groups.database.sql(&format!(
            "UPDATE scheduler_jobs SET command = REPLACE(command, 'exit 5', 'exit 6') \
             WHERE id = {CHANGED};"
        ));
        daemon.wait_job(DELETED, "about to go", |job| job["state"] == "deleting");
        daemon.wait_job(CHANGED, "about to change", |job| job["waiting"].is_object());
        let stopped = daemon.request("POST", &format!("/api/v1/jobs/{STOPPING}/stop"));
        assert_eq!(stopped.status, 200, "{stopped:?}");
        let midst = Midst { runs, stopped: Instant::now() };
        midst.goes_on(daemon);
        midst
    }

    /// The same runs are alive, and it is known what is to become of their jobs.
    pub fn goes_on(&self, daemon: &Daemon) {
        for (id, run) in &self.runs {
            let state = match *id {
                STOPPING if self.stopped.elapsed() > Duration::from_secs(GRACE_S - 2) => continue,
                STOPPING => "stopping",
                LEFT => "running",
                _ => "deleting",
            };
            let job = daemon.wait_job(*id, state, |job| job["state"] == state);
            assert_eq!(&job["live"][0]["run_id"], run, "{job}");
            let next = job["waiting"]["command"].as_str().unwrap_or_default();
            assert_eq!(next.contains("exit 6"), *id == CHANGED, "{job}");
        }
    }

    /// Lets them come to their ends.
    pub fn end(&self, groups: &Groups, daemon: &Daemon) {
        let stopped = daemon.wait_end(STOPPING);
        assert_eq!(stopped["run_id"], self.runs[&STOPPING], "{stopped}");
        fs::write(groups.site.file(GO_ON), "").unwrap();
        daemon.wait_gone(DELETED);
        daemon.wait_job(CHANGED, "another job", |job| {
            job["waiting"].is_null() && job["last_run"]["outcome"] == "exit 6"
        });
        let left = daemon.wait_end(LEFT);
        assert_eq!(left["run_id"], self.runs[&LEFT], "{left}");
    }
}

/// The last one may end.
pub fn let_go(groups: &Groups) {
    fs::write(groups.site.file(GO_LAST), "").unwrap();
}

/// Each has come to its right end, and is recorded once.
pub fn judge(logged: &[Logged]) {
    let mut ends: BTreeMap<(u32, &str), u64> = BTreeMap::new();
    for run in logged {
        let end = run.outcome.split(':').next().unwrap_or_default();
        *ends.entry((run.job, end)).or_default() += 1;
    }
    let all = |id: u32| {
        let of = ends.iter().filter(move |((job, _), _)| *job == id);
        of.map(|((_, end), count)| (*end, *count)).collect::<Vec<_>>()
    };
    assert_eq!(all(LEFT), [("lost", 1)]);
    assert_eq!(all(DELETED), [("exit 0", 1)]);
    assert_eq!(all(STOPPING), [("signal 9", 1)]);
    assert_eq!(all(HELD), [("exit 0", 1)]);
    let [("exit 5", 1), ("exit 6", count)] = all(CHANGED)[..] else {
        panic!("the changed one: {:?}", all(CHANGED))
    };
    let [("exit 0", others), ("lost", 1)] = all(MISSED)[..] else {
        panic!("the missed one: {:?}", all(MISSED))
    };
    println!("{count} runs of the changed definition, {others} after slots were missed");
}
