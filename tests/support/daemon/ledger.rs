//! An independent account of what should have been started: every due slot was launched exactly
//! once or has its reason, and everybody who speaks of a run says the same.

use super::bare::Machine;
use super::facts::{Logged, Skipped, Stamp};
use super::log::{SkipLine, Start};
use super::rows::Row;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What is known at the end.
pub struct Account<'a> {
    pub rows: &'a [Row],
    /// Every due slot in these unix seconds, both included, is demanded.
    pub window: (i64, i64),
    pub stamps: Vec<Stamp>,
    pub logged: Vec<Logged>,
    pub skipped: Vec<Skipped>,
    /// What the daemon's log says.
    pub starts: Vec<Start>,
    pub skip_lines: Vec<SkipLine>,
    /// The daemon was killed in between: its log lacks the last lines.
    pub killed: bool,
}

/// How late something was, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lateness {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// The latest start that is demanded of 99 in 100, in milliseconds.
const MAX_LATE_MS: f64 = 20.0;

/// From here on a measurement is the long form.
const LONG_FORM_S: u64 = 300;

/// What the account comes to.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// How long was measured.
    pub seconds: u64,
    pub due: usize,
    pub launched: usize,
    pub skipped: BTreeMap<String, u64>,
    pub outcomes: BTreeMap<String, usize>,
    /// By the daemon's own clock reading after the launch.
    pub daemon: Lateness,
    /// The same in seconds in which the machine kept its processors, and how many starts those are.
    pub undisturbed: Lateness,
    pub undisturbed_starts: usize,
    /// By the stamps: with the start of the shell and of `date`.
    pub stamps: Lateness,
    /// A bare loop in the same seconds.
    pub bare: Lateness,
    /// Runs whose recorded start is in a later second than their slot.
    pub seconds_late: usize,
}

impl Lateness {
    /// Of fewer than a hundred, 99 in 100 are all but one: a single one is no share of them.
    pub fn of(mut late: Vec<f64>) -> Self {
        late.sort_by(f64::total_cmp);
        let rank = |share: f64| (late.len() as f64 * share).ceil() as usize;
        let at = |rank: usize| late.get(rank.saturating_sub(1)).copied().unwrap_or_default();
        let all_but_one = late.len().saturating_sub(1).max(1);
        Self { p50: at(rank(0.5)), p99: at(rank(0.99).min(all_but_one)), max: at(late.len()) }
    }
}

impl Figures {
    /// Whether the daemon was in time, as far as that can be said: when other work has the
    /// processors, a bare loop is not in time either, and only what is far worse is a fault. The
    /// long form of the test is for a quiet machine and takes no such excuse.
    pub fn in_time(&self) -> bool {
        let bare = self.bare.p99;
        let bound = match bare <= MAX_LATE_MS {
            _ if self.seconds >= LONG_FORM_S => MAX_LATE_MS,
            true => MAX_LATE_MS.max(bare * 2.0),
            false => bare * 4.0,
        };
        let late = self.daemon.p99;
        if late > MAX_LATE_MS {
            println!("p99 {late:.1} ms, over {MAX_LATE_MS} ms; a bare loop {bare:.1} ms");
        }
        late <= bound
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p99, max } = self;
        write!(f, "p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms")
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { due, launched, skipped, outcomes, daemon, stamps, bare, seconds_late, .. } =
            self;
        let (undisturbed, starts) = (self.undisturbed, self.undisturbed_starts);
        let skips: u64 = skipped.values().sum();
        writeln!(f, "slots due            {due}")?;
        writeln!(f, "launched             {launched}  {outcomes:?}")?;
        writeln!(f, "skipped              {skips}  {skipped:?}")?;
        writeln!(f, "late by the log      {daemon}")?;
        writeln!(f, "  with both processors {undisturbed} ({starts} starts)")?;
        writeln!(f, "late by the stamps   {stamps}")?;
        writeln!(f, "late, a bare loop    {bare}")?;
        write!(f, "start_time in a later second than the slot: {seconds_late}")
    }
}

impl Account<'_> {
    /// Demands that everything is right.
    #[track_caller]
    pub fn settle(&self) -> Figures {
        let mut wrong = Vec::new();
        self.check_slots(&mut wrong);
        self.check_ranges(&mut wrong);
        self.check_runs(&mut wrong);
        self.check_stamps(&mut wrong);
        self.check_lines(&mut wrong);
        let first: Vec<_> = wrong.iter().take(30).map(String::as_str).collect();
        assert!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), first.join("\n"));
        self.figures()
    }

    fn row(&self, id: u32) -> &Row {
        self.rows.iter().find(|row| row.id == id).unwrap_or_else(|| panic!("no row {id}"))
    }

    /// A job that is never started, for its limit is 0, has none.
    fn due_slots(&self, row: &Row, first: i64, last: i64) -> Vec<i64> {
        (first..=last).filter(|&second| row.limit > 0 && row.due.is(second)).collect()
    }

    /// Each due slot: one run, or one range that holds it.
    fn check_slots(&self, wrong: &mut Vec<String>) {
        let mut runs: BTreeMap<(u32, i64), usize> = BTreeMap::new();
        for logged in &self.logged {
            *runs.entry((logged.job, logged.slot.unwrap_or(-1))).or_default() += 1;
        }
        for (slot, count) in runs.iter().filter(|(_, count)| **count > 1) {
            wrong.push(format!("job and slot {slot:?} have {count} runs"));
        }
        for row in self.rows {
            for slot in self.due_slots(row, self.window.0, self.window.1) {
                let covers = |skip: &&Skipped| {
                    skip.job == row.id && (skip.first..=skip.last).contains(&slot)
                };
                let skips = self.skipped.iter().filter(covers).count();
                let runs = runs.get(&(row.id, slot)).copied().unwrap_or(0);
                if runs + skips != 1 {
                    let id = row.id;
                    wrong.push(format!("job {id} slot {slot}: {runs} runs, {skips} reasons"));
                }
            }
        }
    }

    /// Each range of skipped slots holds as many as it says.
    fn check_ranges(&self, wrong: &mut Vec<String>) {
        for skip in &self.skipped {
            let slots = self.due_slots(self.row(skip.job), skip.first, skip.last).len();
            if slots as u64 != skip.count {
                wrong.push(format!("{skip:?}: there are {slots} slots in between"));
            }
        }
    }

    /// Each recorded run had a due slot, within the daemon's time, and the right end.
    fn check_runs(&self, wrong: &mut Vec<String>) {
        let last = self.window.1;
        for run in &self.logged {
            let row = self.row(run.job);
            if !run.slot.is_some_and(|slot| row.due.is(slot) && slot <= last) {
                wrong.push(format!("{run:?}: its slot is not due, or after {last}"));
            }
            if !run.outcome.starts_with(row.outcome) {
                wrong.push(format!("{run:?}: should have come to {:?}", row.outcome));
            }
            let never = run.outcome.starts_with("spawn failed");
            if (run.pid == 0) != never {
                wrong.push(format!("{run:?}: pid and outcome don't go together"));
            }
        }
    }

    /// Stamps and records are the same runs.
    fn check_stamps(&self, wrong: &mut Vec<String>) {
        let logged: BTreeMap<&str, &Logged> =
            self.logged.iter().map(|run| (run.run.as_str(), run)).collect();
        let mut stamped = BTreeSet::new();
        for stamp in &self.stamps {
            if !stamped.insert(stamp.run.as_str()) {
                wrong.push(format!("{stamp:?}: the run left two stamps"));
            }
            let same = |run: &&&Logged| {
                (run.job, run.slot, run.pid) == (stamp.job, Some(stamp.slot), stamp.pid)
            };
            if logged.get(stamp.run.as_str()).filter(same).is_none() {
                let record = logged.get(stamp.run.as_str());
                wrong.push(format!("{stamp:?}: recorded as {record:?}"));
            }
        }
        for run in &self.logged {
            let row = self.row(run.job);
            // Of jobs that are stopped: it was told to end before its first command.
            let stopped = row.outcome.is_empty() && run.outcome == "signal 15";
            let launched = run.pid != 0 && row.stamped && !stopped;
            if launched && !stamped.contains(run.run.as_str()) {
                wrong.push(format!("{run:?}: it left no stamp"));
            }
        }
    }

    /// The daemon's log speaks of the same runs and ranges.
    fn check_lines(&self, wrong: &mut Vec<String>) {
        let pids: BTreeMap<&str, (u32, u32)> =
            self.logged.iter().map(|run| (run.run.as_str(), (run.job, run.pid))).collect();
        for start in &self.starts {
            if pids.get(start.run.as_str()) != Some(&(start.job, start.pid)) {
                wrong.push(format!("{start:?}: recorded as {:?}", pids.get(start.run.as_str())));
            }
        }
        let launched = self.logged.iter().filter(|run| run.pid != 0).count();
        if launched != self.starts.len() && !self.killed {
            let starts = self.starts.len();
            wrong.push(format!("{starts} starts in the log, {launched} in the database"));
        }
        let ranges: BTreeSet<_> =
            self.skipped.iter().map(|skip| (skip.job, skip.first, skip.reason.as_str())).collect();
        let lines: BTreeSet<_> = (self.skip_lines.iter())
            .map(|line| (line.job, line.slot, line.reason.as_str()))
            .collect();
        for skip in ranges.symmetric_difference(&lines).filter(|_| !self.killed) {
            wrong.push(format!("skip {skip:?} is not in both the log and the database"));
        }
    }

    /// How late the runs of these slots were started by the daemon's log, in milliseconds.
    fn late(&self, of: impl Fn(i64) -> bool) -> Vec<f64> {
        let runs = self.logged.iter().filter(|run| run.slot.is_some_and(&of));
        let wanted: BTreeSet<&str> = runs.map(|run| run.run.as_str()).collect();
        let starts = self.starts.iter().filter(|start| wanted.contains(start.run.as_str()));
        starts.map(|start| start.late_ms as f64).collect()
    }

    /// Puts what was seen of the machine in the same seconds beside the figures.
    pub fn settle_beside(&self, machine: &Machine) -> Figures {
        let (first, last) = self.window;
        let whole = |slot: i64| (first..=last).contains(&slot) && machine.was_whole(slot);
        let late = self.late(whole);
        let undisturbed_starts = late.len();
        let undisturbed = Lateness::of(late);
        Figures { bare: machine.late(), undisturbed, undisturbed_starts, ..self.settle() }
    }

    fn figures(&self) -> Figures {
        let (first, last) = self.window;
        let inside = |slot: i64| (first..=last).contains(&slot);
        let mut figures = Figures::default();
        for row in self.rows {
            figures.due += self.due_slots(row, first, last).len();
        }
        for skip in &self.skipped {
            *figures.skipped.entry(skip.reason.clone()).or_default() += skip.count;
        }
        for run in self.logged.iter().filter(|run| run.slot.is_some_and(inside)) {
            let slot = run.slot.unwrap_or_default();
            figures.launched += usize::from(run.pid != 0);
            figures.seconds_late += usize::from(run.start > slot);
            let outcome = run.outcome.split(':').next().unwrap_or_default();
            *figures.outcomes.entry(outcome.to_owned()).or_default() += 1;
        }
        figures.daemon = Lateness::of(self.late(inside));
        let stamps = self.stamps.iter().filter(|stamp| inside(stamp.slot));
        let late = |stamp: &Stamp| (stamp.at_ns - stamp.slot * 1_000_000_000) as f64 / 1e6;
        figures.stamps = Lateness::of(stamps.map(late).collect());
        figures
    }
}
