//! What a replay comes to.

use super::Replay;
use crate::core::custody::Machine;
use crate::core::event::Started;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{Cause, End, Entry, RunEntry, decode, encode};
use crate::core::keeping::Notice;
use crate::core::outcome::{Exit, Outcome, Usage};
use crate::core::time::Now;
use std::collections::{BTreeMap, BTreeSet};

fn run(sequence: i64) -> RunId {
    RunId::next(1, 7, 0, 1_800_000_000_000 + 1_000 * sequence)
}

fn intent(sequence: i64) -> Entry<'static> {
    Entry::Run(RunEntry {
        run: run(sequence),
        job: JobId(1),
        slot_ms: None,
        cause: Cause::Due,
        attempt: 1,
        at_ms: 0,
        name: "".into(),
        command: "".into(),
        md5: "".into(),
        concurrent: 1,
        pid: 0,
        kernel_start: 0,
        deadline_ms: None,
        kill_ms: None,
        end: None,
        home: 0,
        remarks: None,
    })
}

/// A clock was set back after runs of the time that never was. What is told of that is so; only
/// where the line was lost all runs until then count no more.
#[test]
fn a_schedule_begins_anew_where_it_is_told() {
    let entries = [Entry::Sequence(20), Entry::Decided(1_000), Entry::Anew(10)];
    let told = entries.into_iter().chain([Entry::Decided(500)]);
    let mut replay = Replay::default();
    told.for_each(|entry| replay.entry(entry));
    assert_eq!((replay.anew_sequence, replay.decided_ms), (10, Some(500)));
    replay.entry(Entry::Decided(400));
    assert_eq!((replay.anew_sequence, replay.decided_ms), (20, Some(400)));
}

/// A kill between the two lines that tell of it: what the wrong clock decided is not what
/// counts then, and a last word that knows both is believed.
#[test]
fn what_a_wrong_clock_decided_does_not_count_where_a_line_is_lost() {
    let replay = || {
        let mut replay = Replay::default();
        let told = [Entry::Sequence(20), Entry::Decided(1_000), Entry::Anew(10)];
        told.into_iter().for_each(|entry| replay.entry(entry));
        replay
    };
    assert_eq!(replay().decided_ms, None);
    let mut word = Vec::new();
    encode(&mut word, &Entry::Unwritten { end: 90, until: None, records: 0, why: "".into() });
    encode(&mut word, &Entry::Anew(10));
    encode(&mut word, &Entry::Decided(500));
    let mut replay = replay();
    replay.has_last_word(&word, 0);
    assert_eq!(replay.log_ends(80), 90);
    assert_eq!((replay.anew_sequence, replay.decided_ms), (10, Some(500)));
}

/// Somebody cut the newest segment: what the database has, and how much it does not have, the
/// last word knows. Of the runs under way those count that nothing else tells of.
#[test]
fn what_was_cut_is_known_by_the_last_word() {
    let (mut log, mut word) = (Vec::new(), Vec::new());
    encode(&mut log, &Entry::Held { segment: 0, records: 9 });
    encode(&mut log, &Entry::Held { segment: 100, records: 4 });
    encode(&mut log, &intent(1));
    encode(&mut log, &intent(5));
    let end = 100 + log.len() as u64 + 500;
    encode(&mut word, &Entry::Unwritten { end, until: None, records: 0, why: "".into() });
    encode(&mut word, &Entry::Sequence(run(6).sequence));
    encode(&mut word, &Entry::Recorded(90));
    encode(&mut word, &Entry::Written { segment: 100, end, live: 6 });
    encode(&mut word, &Entry::Held { segment: 100, records: 6 });
    encode(&mut word, &Entry::Living((1..=3).map(run).collect()));
    let mut replay = Replay::default();
    replay.has_last_word(&word, 100);
    assert_eq!(replay.log(100, &log), log.len());
    assert_eq!(replay.log_ends(100 + log.len() as u64), end);
    assert_eq!((replay.recorded, replay.held.clone()), (90, [(100, 6)].into()));
    // The journal has 1 and 5, the keeper 2 and 6, and 5 and 6 had no room in the last word; 3 and
    // one more that had no room are gone. What was started since is not among them.
    [1, 2, 5, 6, 6, 7].into_iter().map(run).for_each(|run| replay.is_kept(run));
    replay.count_lost(5);
    assert_eq!(replay.dropped.count, 2);
}

/// Processes by their pids, and the job that each has in its environment.
struct Jobs(BTreeMap<u32, JobId>);

impl Machine for Jobs {
    fn find(&mut self, _: RunId, _: u64) -> Option<(u32, u64)> {
        None
    }

    fn is_others(&mut self, _: Started) -> bool {
        false
    }

    fn watch(&mut self, _: RunId, _: Started) -> bool {
        false
    }

    fn watched(&self) -> BTreeSet<RunId> {
        BTreeSet::new()
    }

    fn job_of(&mut self, started: Started) -> Option<JobId> {
        self.0.get(&started.pid).copied()
    }

    fn reaches(&mut self, _: RunId, _: Started) -> bool {
        false
    }

    fn left(&mut self, _: &BTreeMap<RunId, Started>) -> Option<BTreeMap<RunId, String>> {
        None
    }
}

fn started(run: RunId, pid: u32) -> Notice {
    let at = Now { wall_ms: 77_000, mono_ms: 9 };
    Notice::Started(run, Started { pid, kernel_start: 5, at })
}

/// Somebody removed the journal while runs went on. The keeper has them, and each has its job in
/// its environment: they are alive for the next daemon, which gives no id a second time.
#[test]
fn runs_that_only_the_keeper_knows_are_alive() {
    let mut replay = Replay::default();
    replay.entry(intent(1));
    let (outcome, usage) = (Outcome::Ended(Exit::Code(0)), Usage::default());
    let ended = End { at_ms: 5, outcome, usage, duration_ms: 1, stopped: false };
    let Entry::Run(two) = intent(2) else { panic!("no run") };
    replay.entry(Entry::Run(RunEntry { pid: 8, end: Some(ended), ..two }));
    let (old, strange) = (RunId { instance: 0, ..run(4) }, run(5));
    // Of the last one nobody can tell what it is a run of, and one before is of an older keeper.
    let mut jobs = Jobs([1, 2, 3, 4].map(|pid| (pid, JobId(30 + pid))).into());
    let all = [run(1), run(2), run(3), old, strange];
    let notices: Vec<Notice> =
        all.into_iter().zip(1..).map(|(run, pid)| started(run, pid)).collect();
    replay.knows_kept(&notices, &mut jobs);
    let live: Vec<(RunId, JobId, u32)> =
        replay.live.values().map(|run| (run.run, run.job, run.pid)).collect();
    assert_eq!(live, [(run(1), JobId(1), 0), (run(3), JobId(33), 3)]);
    let found = &replay.live[&run(3)];
    assert_eq!((found.slot_ms, found.at_ms, found.kernel_start), (None, 77_000, 5));
    assert_eq!(replay.last_sequence, run(3).sequence);
    // Nothing was cut: nothing is to be counted.
    replay.count_lost(5);
    assert_eq!(replay.dropped.count, 0);
}

/// A kill while a full disk takes a part of what waits: that part is not lost.
#[test]
fn what_the_disk_took_after_the_last_word_is_not_lost() {
    let (mut log, mut word) = (Vec::new(), Vec::new());
    encode(&mut log, &intent(1));
    let written = 100 + log.len() as u64;
    encode(&mut log, &intent(2));
    let (end, why) = (written + 900, "full".into());
    encode(&mut word, &Entry::Unwritten { end, until: None, records: 3, why });
    encode(&mut word, &Entry::Written { segment: 100, end: written, live: 1 });
    let mut replay = Replay::default();
    replay.has_last_word(&word, 100);
    assert_eq!(replay.log(100, &log), log.len());
    assert_eq!(replay.log_ends(100 + log.len() as u64), end);
    assert_eq!(replay.lost(), (2, "full"));
}

/// A full disk took a line that told that the schedule began again, and then had room. The last
/// word fills the gap, and what the journal tells since then is newer.
#[test]
fn a_last_word_is_older_than_the_lines_behind_it() {
    let (mut log, mut word) = (Vec::new(), Vec::new());
    encode(&mut log, &Entry::Decided(9_000));
    encode(&mut log, &Entry::Boot("before".into()));
    let end = 100 + log.len() as u64 + 7;
    encode(&mut word, &Entry::Unwritten { end, until: Some(100), records: 1, why: "".into() });
    encode(&mut word, &Entry::Boot("then".into()));
    encode(&mut word, &Entry::Anew(10));
    encode(&mut word, &Entry::Decided(500));
    let replayed = |log: &[u8], last: u64| {
        let mut replay = Replay::default();
        replay.has_last_word(&word, last);
        assert_eq!(replay.log(100, log), log.len());
        let _ = replay.log_ends(100 + log.len() as u64);
        (replay.anew_sequence, replay.decided_ms, replay.boot_id)
    };
    assert_eq!(replayed(&log, 100), (10, Some(500), "then".into()));
    // Behind it there is a hole, and nobody wrote what was to fill it.
    log.extend([0; 30]);
    encode(&mut log, &Entry::Boot("since".into()));
    // In the middle of a turn the last word is ahead.
    encode(&mut log, &Entry::Decided(499));
    assert_eq!(replayed(&log, 100), (10, Some(500), "since".into()));
    encode(&mut log, &Entry::Decided(700));
    assert_eq!(replayed(&log, 100), (10, Some(700), "since".into()));
    encode(&mut log, &Entry::Anew(20));
    assert_eq!(replayed(&log, 100), (20, None, "since".into()));
    // A segment that begins since then tells all.
    assert_eq!(replayed(&log, 101), (20, None, "since".into()));
}

/// A journal that was put back does not know what was launched since: nothing up to now is due, and
/// of what it wanted to launch nobody can be asked.
#[test]
fn what_a_journal_of_before_does_not_know_is_decided() {
    let mut replay = Replay::default();
    let entries = [Entry::Keeper("1".into()), Entry::Decided(500), intent(1)];
    entries.into_iter().for_each(|entry| replay.entry(entry));
    replay.log_ends(0);
    replay.is_of_before(1_000, "it was put back");
    assert_eq!(replay.decided_ms, Some(1_000));
    assert_eq!(replay.keepers.last().map(String::as_str), Some("?"));
}

/// A first attempt without a deadline stands in the journal as it always did, so that the version
/// before reads it, and this one reads what that wrote.
#[test]
fn attempts_and_deadlines_are_told_where_there_are_some() {
    let entry_of = |line: &[u8]| match decode(line.trim_ascii_end()) {
        Some(Entry::Run(run)) => run.into_owned(),
        other => panic!("no run: {other:?}"),
    };
    let (mut first, mut second) = (Vec::new(), Vec::new());
    encode(&mut first, &intent(1));
    let text = String::from_utf8_lossy(&first);
    assert!(!text.contains("attempt") && !text.contains("deadline_ms"), "{text}");
    let read = entry_of(&first);
    assert_eq!((read.attempt, read.deadline_ms), (1, None));
    encode(&mut second, &Entry::Run(RunEntry { attempt: 2, deadline_ms: Some(77), ..read }));
    let read = entry_of(&second);
    assert_eq!((read.attempt, read.deadline_ms), (2, Some(77)));
}
