//! Which records a database takes, on a desk that is none: who is to blame, and when to stop.

use schedule::core::database::ErrorKind;
use schedule::core::ids::{JobId, RunId};
use schedule::core::journal::{Cause, End, Entry, RunEntry, SkipEntry, SkipReason};
use schedule::core::outcome::{Exit, Outcome, Usage};
use schedule::core::protocol::Statement;
use schedule::core::settle::{Desk, PACE, PATIENCE_MS, Refusal, Settling, Taken};
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
struct No(ErrorKind, Option<Statement>, String);

impl Refusal for No {
    fn kind(&self) -> ErrorKind {
        self.0
    }

    fn statement(&self) -> Option<Statement> {
        self.1
    }

    fn why(&self) -> &str {
        &self.2
    }

    fn told_as(self, what: &str) -> Self {
        No(self.0, self.1, format!("{what}: {}", self.2))
    }
}

/// Refuses a statement for records of some jobs, by errors of a kind.
struct Fake {
    rows: BTreeSet<RunId>,
    refuses: Vec<(Statement, Option<u32>, ErrorKind)>,
    room: usize,
    spent_ms: u64,
    /// A write takes this long, and each record of it.
    slow: (u64, u64),
    writes: u32,
    /// The connection breaks at this write.
    breaks: Option<u32>,
}

impl Fake {
    fn new(refuses: &[(Statement, Option<u32>, ErrorKind)]) -> Fake {
        let rows = BTreeSet::new();
        let refuses = refuses.to_vec();
        Fake { rows, refuses, room: 1 << 20, spent_ms: 0, slow: (0, 0), writes: 0, breaks: None }
    }

    fn refusal(&self, statement: Statement, of: u32) -> Option<No> {
        let is = |job: &Option<u32>| job.is_none_or(|job| job == of);
        let found = self.refuses.iter().find(|(it, job, _)| *it == statement && is(job));
        found.map(|(_, _, kind)| No(*kind, Some(statement), statement.label().to_owned()))
    }
}

impl Desk for Fake {
    type Failure = No;

    fn write(&mut self, entries: &[Entry<'_>], jobs: bool) -> Result<Taken, No> {
        self.writes += 1;
        self.spent_ms += self.slow.0 + self.slow.1 * entries.len() as u64;
        if self.breaks.is_some_and(|at| self.writes >= at) {
            return Err(No(ErrorKind::Connect, None, "gone".into()));
        }
        let (mut taken, mut rows) = (Taken::new(), Vec::new());
        for entry in entries {
            let (job, statement) = match entry {
                Entry::Run(run) if !self.rows.contains(&run.run) => {
                    rows.push(run.run);
                    (run.job.0, Statement::Insert)
                }
                Entry::Run(run) if run.end.is_some() => (run.job.0, Statement::Update),
                Entry::Skip(skip) => (skip.job.0, Statement::Skip),
                _ => continue,
            };
            let of_job = (jobs && statement != Statement::Skip).then_some(Statement::LastRun);
            for statement in [Some(statement), of_job].into_iter().flatten() {
                if let Some(no) = self.refusal(statement, job) {
                    return Err(no);
                }
                taken.insert(statement);
            }
        }
        self.rows.extend(rows);
        Ok(taken)
    }

    fn spent_ms(&self) -> u64 {
        self.spent_ms
    }

    fn room(&mut self) -> usize {
        self.room
    }
}

fn run(sequence: u64, job: u32, ended: bool) -> Entry<'static> {
    let (outcome, usage) = (Outcome::Ended(Exit::Code(0)), Usage::default());
    let end = End { at_ms: 7, outcome, usage, duration_ms: 7, stopped: false };
    Entry::Run(RunEntry {
        run: id(sequence),
        job: JobId(job),
        slot_ms: None,
        cause: Cause::Due,
        attempt: 1,
        at_ms: 0,
        name: "n".into(),
        command: "true".into(),
        md5: "".into(),
        concurrent: 1,
        pid: 9,
        kernel_start: 0,
        deadline_ms: None,
        kill_ms: None,
        end: ended.then_some(end),
        home: 0,
        remarks: None,
    })
}

fn id(sequence: u64) -> RunId {
    RunId { server_id: 1, sequence, instance: 0 }
}

fn skip(job: u32) -> Entry<'static> {
    let reason = SkipReason::Overlap;
    let job = JobId(job);
    Entry::Skip(SkipEntry { job, reason, first_ms: 0, last_ms: 0, count: 1, home: 0 })
}

/// How many were settled, and of these how many were refused.
fn settle(entries: &[Entry<'static>], fake: &mut Fake) -> Result<(usize, usize), No> {
    let mut settling = Settling::new(entries, 7, 0);
    let done = settling.carry(fake)?;
    assert_eq!(done, settling.settled.len());
    let of = settling.settled.iter().map(|(entry, _)| entry);
    assert!(of.eq(&entries[..done]), "in order");
    Ok((done, settling.settled.iter().filter(|(_, why)| why.is_some()).count()))
}

const UNSURE: ErrorKind = ErrorKind::Unsure;

#[test]
fn a_start_that_is_taken_proves_nothing_of_ends() {
    let mut fake = Fake::new(&[(Statement::Update, None, UNSURE)]);
    fake.rows.extend((1..=5).map(id));
    let starts = (6..=9).map(|number| run(number, 2, false));
    let entries: Vec<_> = starts.chain((1..=5).map(|number| run(number, 1, true))).collect();
    let No(kind, _, why) = settle(&entries, &mut fake).unwrap_err();
    assert_eq!((kind, why.as_str()), (UNSURE, "no end of a run is taken: UPDATE scheduler_logs"));

    // One end that is taken: those of the others are to blame.
    fake.refuses[0].1 = Some(1);
    let entries = [entries, vec![run(6, 2, true)]].concat();
    assert_eq!(settle(&entries, &mut fake).unwrap(), (10, 5));
}

#[test]
fn an_end_that_is_taken_proves_nothing_of_starts() {
    let mut fake = Fake::new(&[(Statement::Insert, None, UNSURE)]);
    fake.rows.extend((1..=5).map(id));
    let starts = (6..=9).map(|number| run(number, 1, false));
    let entries: Vec<_> = starts.chain((1..=5).map(|number| run(number, 2, true))).collect();
    let No(kind, _, why) = settle(&entries, &mut fake).unwrap_err();
    assert_eq!(kind, UNSURE);
    assert_eq!(why, "no row of a run is taken: INSERT INTO scheduler_logs");
    fake.refuses[0].1 = Some(1);
    let entries = [entries, vec![run(10, 2, false)]].concat();
    assert_eq!(settle(&entries, &mut fake).unwrap(), (10, 4));
}

/// Nothing but one bad end waits, and what comes after it can't be begun before: that some end is
/// taken is found out all the same.
#[test]
fn a_bad_end_does_not_wait_for_ends_that_wait_for_it() {
    let mut fake = Fake::new(&[(Statement::Update, Some(1), UNSURE)]);
    fake.rows.insert(id(1));
    assert!(settle(&[run(1, 1, true)], &mut fake).is_err());
    let entries = [run(1, 1, true), run(2, 2, true)];
    assert_eq!(settle(&entries, &mut fake).unwrap(), (2, 1));
}

/// An error that blames the record is believed as long as there is room: nothing is dropped for it
/// unless others are taken.
#[test]
fn where_all_ends_are_refused_by_name_none_is_dropped() {
    let mut fake = Fake::new(&[(Statement::Update, None, ErrorKind::Refused)]);
    fake.rows.extend((1..=100).map(id));
    fake.room = 10_000;
    let entries: Vec<_> = (1..=100).map(|number| run(number, 1, true)).collect();
    let (done, refused) = settle(&entries, &mut fake).unwrap();
    assert!(done == refused && (10..90).contains(&done), "{done}");
    fake.room = 0;
    let No(_, _, why) = settle(&entries[done..], &mut fake).unwrap_err();
    assert_eq!(why, "no end of a run is taken: UPDATE scheduler_logs");
    fake.refuses[0].1 = Some(1);
    let entries = [entries, vec![run(101, 2, true)]].concat();
    assert_eq!(settle(&entries, &mut fake).unwrap(), (101, 100));
}

#[test]
fn what_is_beside_a_run_keeps_none_waiting() {
    let refuses = [(Statement::Skip, None, UNSURE), (Statement::LastRun, None, UNSURE)];
    let mut fake = Fake::new(&refuses);
    let entries = [run(1, 1, false), skip(1), run(2, 1, true)];
    assert_eq!(settle(&entries, &mut fake).unwrap(), (3, 1));
}

/// However many are refused and however slow that is told, an exchange ends in time, and the next
/// one goes on behind it.
#[test]
fn an_exchange_ends_in_time_and_makes_progress() {
    for kind in [ErrorKind::Refused, UNSURE] {
        let mut fake = Fake::new(&[(Statement::Insert, Some(1), kind)]);
        fake.slow = (1_300, 0);
        let mut entries: Vec<_> = (1..=60).map(|number| run(number, 1, false)).collect();
        let (mut exchanges, mut refused) = (0, 0);
        while !entries.is_empty() {
            entries.push(run(100 + exchanges, 2, false));
            fake.spent_ms = 0;
            let (done, bad) = settle(&entries, &mut fake).unwrap();
            assert!(done > 0 && fake.spent_ms < PATIENCE_MS + 3_000, "{}", fake.spent_ms);
            (exchanges, refused) = (exchanges + 1, refused + bad);
            entries.drain(..done);
        }
        assert!(exchanges < 12, "{kind:?}: {exchanges} exchanges");
        assert_eq!(refused, 60);
    }
}

/// On a slow line each write takes its time, be it of one record or of many: after a trouble that
/// made them few they become many again, and slowness alone makes them no fewer than is of use.
#[test]
fn a_slow_line_is_used_for_many_at_a_time() {
    let entries: Vec<_> = (1..=2_000).map(|number| run(number, 2, false)).collect();
    let mut fake = Fake::new(&[]);
    fake.slow = (3_500, 1);
    let (mut done, mut pace, mut exchanges) = (0, 1, 0);
    while done < entries.len() {
        let mut settling = Settling::new(&entries[done..], 0, pace);
        fake.spent_ms = 0;
        done += settling.carry(&mut fake).unwrap();
        (pace, exchanges) = (settling.pace as u32, exchanges + 1);
    }
    assert!(exchanges <= 4, "{exchanges} exchanges");
    fake.slow = (9_000, 0);
    let mut settling = Settling::new(&entries, 0, 64);
    fake.spent_ms = 0;
    settling.carry(&mut fake).unwrap();
    assert!(settling.pace >= 16, "{} at a time", settling.pace);
}

/// A line that breaks again and again: what was settled by then counts.
#[test]
fn what_is_settled_counts_where_the_rest_fails() {
    let mut fake = Fake::new(&[(Statement::Insert, Some(1), ErrorKind::Refused)]);
    let entries: Vec<_> = (1..=60).map(|number| run(number, 1, false)).collect();
    fake.breaks = Some(12);
    let (done, refused) = settle(&entries, &mut fake).unwrap();
    assert!(done == refused && done > 4, "{done}");
    fake.breaks = Some(0);
    assert_eq!(settle(&entries, &mut fake).unwrap_err().0, ErrorKind::Connect);
}

#[test]
fn as_many_are_written_at_a_time_as_the_time_allows() {
    let entries: Vec<_> = (1..=9_000).map(|number| run(number, 1, false)).collect();
    let mut fake = Fake::new(&[]);
    assert_eq!(settle(&entries, &mut fake).unwrap(), (9_000, 0));
    assert!(fake.writes < 8, "{} writes", fake.writes);

    // Slow for each record: half a second.
    let mut fake = Fake { slow: (0, 500), ..Fake::new(&[]) };
    let mut settling = Settling::new(&entries, 0, PACE as u32 / 16);
    let done = settling.carry(&mut fake).unwrap();
    assert!(done >= 32 && settling.pace == 16, "{done} {}", settling.pace);
}

/// What is set aside is tried again until the time is up, and stays where it is.
#[test]
fn what_is_tried_again_takes_its_time_and_no_more() {
    for kind in [ErrorKind::Refused, UNSURE] {
        let mut fake = Fake::new(&[(Statement::Insert, None, kind)]);
        fake.slow = (1_000, 0);
        let entries: Vec<_> = (1..=60).map(|number| run(number, 1, false)).collect();
        let mut settling = Settling::new(&[], 0, 0);
        let done = settling.again(&entries, &mut fake).unwrap();
        assert!((4..9).contains(&done) && fake.spent_ms < 10_000, "{done} {}", fake.spent_ms);
        // There is no time left: not one is tried.
        fake.spent_ms = 20_000;
        assert_eq!(settling.again(&entries, &mut fake).unwrap(), 0);
    }
}
