//! What becomes of a question to the database.

use super::database::{Asked, DEADLINE_MS, Database, Done, PATHS, Rows};
use super::disk::{Disk, Snapshot};
use super::random::Random;
use schedule::core::change::{Of, Refused};
use schedule::core::database::ErrorKind;
use schedule::core::ids::{AskId, JobId};
use schedule::core::protocol::{
    ActsEnd, Answer, Ask, ChangeAsk, Changed, Mark, Purged, Purpose, Request, Rolled, RunsEnd,
    SetAside, Tended, TimelineEnd,
};
use std::collections::VecDeque;

/// How it goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    /// Says something, or nothing, and then no more.
    Hangs,
    /// The answer ends in the middle, and so does the helper, with status 0.
    Cut,
    /// The same, and the status says so.
    Dies,
    /// All was said but that it is done.
    NotDone,
    /// There is a line that makes no sense.
    Garbage,
    /// It says what is wrong.
    Error,
    /// A line in the middle is not there, and all else is as it should be.
    Loses,
    /// The database refuses all that it is to write.
    Refused,
    /// It claims to have written more than it was asked to.
    Boasts,
    NoStart,
}

/// A question under way.
pub struct Exchange {
    pub id: AskId,
    ask: Ask,
    /// An answer that nobody waits for any more comes before its own.
    is_behind_another: bool,
    /// Which database it names.
    named: usize,
    fate: Fate,
    /// When the answer comes, by the monotonic clock.
    at_ms: u64,
    /// When it is to be killed at the latest.
    pub deadline_ms: u64,
    pub killed: bool,
    /// What was read from the tables: lines, and what they mean.
    table: Option<(Vec<Vec<u8>>, Rows)>,
    answer: Option<Reply>,
    /// What the database took to do it, ms.
    spent_ms: u64,
}

/// An answer on its way.
struct Reply {
    lines: VecDeque<Vec<u8>>,
    /// None: it never ends by itself.
    end_ms: Option<u64>,
    ending: Ending,
}

/// How an exchange ended.
#[derive(Clone)]
pub struct Ending {
    pub last: Last,
    /// The answer was whole and is done.
    pub good: bool,
    /// The table it told of, if it is a new one.
    pub rows: Option<Rows>,
}

/// What comes last.
#[derive(Clone, Debug)]
pub enum Last {
    /// A line; the helper stays.
    Line(Vec<u8>),
    /// The end of the helper.
    Gone(Result<(), String>),
}

fn line(answer: &Answer) -> Vec<u8> {
    serde_json::to_vec(answer).unwrap()
}

impl Exchange {
    /// A helper gets `question`. With `faults` it may fail in any way.
    pub fn start(
        question: &[u8],
        mono_ms: u64,
        (random, apart): (&mut Random, &mut Random),
        faults: bool,
    ) -> Exchange {
        let request: Request = serde_json::from_slice(question).unwrap();
        let (mut fate, mut delay_ms) = (Fate::Good, 1 + random.below(20));
        if faults && random.one_in(4) {
            fate = random.pick(&[
                Fate::Good,
                Fate::Hangs,
                Fate::Cut,
                Fate::Cut,
                Fate::Dies,
                Fate::NotDone,
                Fate::Garbage,
                Fate::Error,
                Fate::Loses,
                Fate::Boasts,
                Fate::NoStart,
            ]);
            delay_ms += if fate == Fate::Good { random.below(28_000) } else { 0 };
        }
        let deadline_ms = match request.ask.purpose() {
            Purpose::Sync | Purpose::Record | Purpose::Purge | Purpose::Outputs => {
                mono_ms + DEADLINE_MS
            }
            Purpose::RollUp => mono_ms + Purpose::RollUp.deadline_ms(),
            // As long as who waits for it.
            Purpose::Change | Purpose::History => u64::MAX,
        };
        Exchange {
            id: request.id,
            ask: request.ask,
            is_behind_another: faults && apart.one_in(8),
            named: PATHS
                .iter()
                .position(|path| Some(*path) == request.database.file().map(|it| &**it))
                .unwrap(),
            fate,
            at_ms: mono_ms + delay_ms,
            deadline_ms,
            killed: false,
            table: None,
            answer: None,
            spent_ms: 0,
        }
    }

    /// Whether the helper could not even be started.
    pub fn refused(&self) -> bool {
        self.fate == Fate::NoStart
    }

    /// Whether the next one of its purpose waits after it has failed: not so one that only looks at
    /// what is set aside.
    pub fn is_paced(&self) -> bool {
        let Ask::Record { from, to, .. } = &self.ask else {
            return self.ask.purpose() == Purpose::Sync;
        };
        from < to
    }

    /// From which offset records were asked for.
    pub fn from(&self) -> Option<u64> {
        let Ask::Record { from, .. } = &self.ask else { return None };
        Some(*from)
    }

    /// When there is something to do; none: never.
    pub fn next_ms(&self) -> Option<u64> {
        match &self.answer {
            None => Some(self.at_ms),
            Some(answer) if !answer.lines.is_empty() => Some(0),
            Some(answer) => answer.end_ms,
        }
    }

    /// What is there to read now, and the end if it has come.
    pub fn read(
        &mut self,
        mono_ms: u64,
        random: &mut Random,
        database: &mut Database,
        disk: &mut Disk,
    ) -> (Vec<Vec<u8>>, Option<Ending>) {
        if self.answer.is_none() && self.at_ms <= mono_ms {
            self.answer = Some(self.reply(mono_ms, random, database, disk));
        }
        let Some(answer) = &mut self.answer else { return Default::default() };
        let all = answer.lines.len();
        let now = if random.one_in(4) { random.below(all as u64) as usize } else { all };
        let lines = answer.lines.drain(..now).collect();
        let ended = answer.lines.is_empty() && answer.end_ms.is_some_and(|at| at <= mono_ms);
        (lines, ended.then(|| answer.ending.clone()))
    }

    fn reply(
        &mut self,
        mono_ms: u64,
        random: &mut Random,
        database: &mut Database,
        disk: &mut Disk,
    ) -> Reply {
        let mut lines = match self.ask.clone() {
            Ask::Sync { digest, .. } => self.read_table(&digest, database, random),
            Ask::Record { from, to, retry, believe, pace, taken, homes, aside, .. } => {
                let max_bytes = random.pick(&[8 << 20, 8 << 20, 200_000]);
                let any = random.below(1_000) as usize;
                let range = (from, to);
                let (named, known) = (self.named, aside.stand);
                let asked = Asked {
                    range,
                    max_bytes,
                    retry,
                    believe,
                    pace,
                    any,
                    taken,
                    named,
                    homes,
                    known,
                };
                self.carry(asked, random, database, disk)
            }
            Ask::Change(ask) => return self.change(mono_ms, &ask, random, database),
            Ask::Runs(ask) => {
                let answers = database.past_answers(self.named, &ask);
                return self.tell_past(mono_ms, &answers, random);
            }
            Ask::Acts(ask) => {
                let answers = database.act_answers(self.named, &ask);
                return self.tell_past(mono_ms, &answers, random);
            }
            Ask::Why(_) => panic!("nobody asks why"),
            Ask::Statistics(_) => vec![line(&Answer::Statistics(Box::default()))],
            Ask::Timeline(_) => vec![line(&Answer::Timeline(TimelineEnd::default()))],
            Ask::Purge { .. } => vec![line(&Answer::Purged(Purged::default()))],
            Ask::Outputs(ask) => {
                // Whatever is said of it, it may be done.
                if self.is_good() || random.one_in(2) {
                    disk.files.tend(&ask);
                }
                let within_ms = if ask.live.is_empty() { 0 } else { 1 + random.below(40_000) };
                vec![line(&Answer::Tended(Tended { within_ms, ..Tended::default() }))]
            }
            Ask::RollUp { .. } => vec![line(&Answer::Rolled(Rolled::default()))],
        };
        let last = self.spoil(&mut lines, random);
        if let Some((_, rows)) = &self.table {
            let is_whole = matches!(self.fate, Fate::Good | Fate::Boasts | Fate::NotDone);
            let new = Snapshot { lines: lines.clone(), rows: rows.clone(), is_whole };
            if !disk.write_snapshot(new) && self.fate != Fate::Error {
                lines.push(line(&Answer::NoSnapshot("No space left on device".into())));
            }
        }
        let good = self.is_good();
        let rows = self.table.take().filter(|_| good).map(|(_, rows)| rows);
        let end_ms = mono_ms + self.spent_ms;
        let hangs = self.fate == Fate::Hangs || end_ms >= self.deadline_ms;
        let end_ms = (!hangs).then_some(end_ms);
        Reply { lines: self.begun(lines), end_ms, ending: Ending { last, good, rows } }
    }

    fn is_good(&self) -> bool {
        matches!(self.fate, Fate::Good | Fate::Boasts)
    }

    /// Lines of an answer, with what is before them.
    fn begun(&self, lines: Vec<Vec<u8>>) -> VecDeque<Vec<u8>> {
        let mut lines = VecDeque::from(lines);
        lines.push_front(line(&Answer::To(self.id)));
        if self.is_behind_another {
            self.of_another().into_iter().rev().for_each(|before| lines.push_front(before));
        }
        lines
    }

    /// Changes a row as the helper does it: nothing is committed before it was said what it comes
    /// to, and nothing is called done before it is committed.
    fn change(
        &mut self,
        mono_ms: u64,
        ask: &ChangeAsk,
        random: &mut Random,
        database: &mut Database,
    ) -> Reply {
        let named = self.named;
        let decided = database.decide(ask, named);
        let is_asked = ask.find.is_none() && !ask.change.is_dry_run();
        let mut lines: Vec<Vec<u8>> = match &decided {
            Ok((work, mark)) => {
                let parts = if is_asked { work.parts(ask) } else { Vec::new() };
                let parts = parts.into_iter().map(|part| Answer::Act(Box::new(part)));
                let changed = Changed { what: work.what(*mark), ..Changed::to(*mark) };
                let changing = is_asked.then_some(Answer::Changing(*mark));
                parts
                    .chain(changing)
                    .chain([Answer::Changed(changed)])
                    .map(|it| line(&it))
                    .collect()
            }
            Err(Refused::File(told)) => {
                let refused = Refused::File(String::new());
                vec![line(&Answer::Piece(told.clone())), line(&Answer::NotChanged(refused))]
            }
            Err(refused) => vec![line(&Answer::NotChanged(refused.clone()))],
        };
        let changing = decided.as_ref().ok().map(|(_, mark)| line(&Answer::Changing(*mark)));
        let last = self.spoil(&mut lines, random);
        // Who only looks for something writes that it was not done.
        let is_said = if is_asked {
            changing.is_some_and(|it| lines.contains(&it))
        } else {
            !lines.is_empty()
        };
        let commits = match self.fate {
            Fate::Good | Fate::Boasts | Fate::Garbage | Fate::Loses => true,
            Fate::NoStart | Fate::Refused => false,
            Fate::Hangs | Fate::Cut | Fate::Dies | Fate::NotDone | Fate::Error => {
                is_said && random.one_in(2)
            }
        };
        match decided.as_ref() {
            Ok((work, mark)) if commits => {
                database.commit_change(ask, (work, *mark), named);
            }
            Err(Refused::NotDone) if commits => database.was_not_done(ask, named),
            Ok(_) | Err(_) => {}
        }
        let good = self.is_good();
        let end_ms = (self.fate != Fate::Hangs).then_some(mono_ms);
        Reply { lines: self.begun(lines), end_ms, ending: Ending { last, good, rows: None } }
    }

    /// Says what was, as the database has it now.
    fn tell_past(&mut self, mono_ms: u64, answers: &[Answer], random: &mut Random) -> Reply {
        let mut lines = answers.iter().map(line).collect();
        let last = self.spoil(&mut lines, random);
        let good = self.is_good();
        let end_ms = (self.fate != Fate::Hangs).then_some(mono_ms);
        Reply { lines: self.begun(lines), end_ms, ending: Ending { last, good, rows: None } }
    }

    /// A whole answer to the question before: no rows at all, or all that there is was carried.
    fn of_another(&self) -> Vec<Vec<u8>> {
        let id = AskId(self.id.0 - 1);
        let what = match &self.ask {
            Ask::Sync { .. } => Answer::End { digest: "of another".into(), rows: 0 },
            Ask::Record { to, .. } => Answer::Recorded {
                count: 0,
                through: *to,
                aside: SetAside::default(),
                unkept: String::new(),
                pace: 0,
                again: false,
                taken: Vec::new(),
                found: None,
            },
            Ask::Change(_) => {
                let mark = Mark { id: JobId(1), version: None, before: None, of: Of::Job };
                Answer::Changed(Changed::to(mark))
            }
            Ask::Runs(_) => Answer::Runs(RunsEnd::default()),
            Ask::Acts(_) | Ask::Why(_) => Answer::Acts(ActsEnd::default()),
            Ask::Statistics(_) => Answer::Statistics(Box::default()),
            Ask::Timeline(_) => Answer::Timeline(TimelineEnd::default()),
            Ask::Purge { .. } => Answer::Purged(Purged::default()),
            Ask::Outputs(_) => Answer::Tended(Tended::default()),
            Ask::RollUp { .. } => Answer::Rolled(Rolled::default()),
        };
        [Answer::To(id), what, Answer::Done(id)].iter().map(line).collect()
    }

    fn read_table(
        &mut self,
        known: &str,
        database: &mut Database,
        random: &mut Random,
    ) -> Vec<Vec<u8>> {
        let (lines, digest) = database.answer();
        if digest == known && !random.one_in(10) {
            return vec![line(&Answer::Same(digest))];
        }
        self.table = Some((lines.clone(), database.now.clone()));
        lines
    }

    fn carry(
        &mut self,
        asked: Asked,
        random: &mut Random,
        database: &mut Database,
        disk: &mut Disk,
    ) -> Vec<Vec<u8>> {
        let answer = |Done { through, aside, unkept, pace, again, taken, found }| {
            let count = 1;
            vec![line(&Answer::Recorded {
                count,
                through,
                aside,
                unkept,
                pace,
                again,
                taken,
                found,
            })]
        };
        let range = asked.range;
        let nothing = || Done { through: range.1, ..Done::default() };
        let rolled_back =
            matches!(self.fate, Fate::Error | Fate::Dies | Fate::Hangs | Fate::NotDone);
        if rolled_back && random.one_in(2) {
            return answer(nothing());
        }
        let keeps = !rolled_back || random.one_in(2);
        let (spent_ms, done) = database.commit(disk, asked, keeps);
        self.spent_ms = spent_ms;
        let Ok(mut done) = done else {
            self.fate = if rolled_back { self.fate } else { Fate::Refused };
            return answer(nothing());
        };
        if self.fate == Fate::Boasts && done.through == range.1 {
            done.through += 50_000;
        }
        answer(done)
    }

    /// Does to the answer what the fate says. Returns what comes last.
    fn spoil(&self, lines: &mut Vec<Vec<u8>>, random: &mut Random) -> Last {
        let at = random.below(lines.len() as u64) as usize;
        match self.fate {
            Fate::Good | Fate::Boasts => {}
            Fate::Hangs => lines.truncate(at),
            Fate::Cut => {
                lines.truncate(at);
                return Last::Gone(Ok(()));
            }
            Fate::Dies | Fate::NoStart => {
                lines.truncate(at);
                return Last::Gone(Err("the helper ended with exit 1".into()));
            }
            Fate::NotDone => return Last::Gone(Err("the helper ended with signal 9".into())),
            Fate::Garbage => {
                let garbage = random.pick(&["{\"job\":{\"id\":3", "\0\u{fffd}", "oops", ""]);
                lines.insert(at, garbage.into());
            }
            Fate::Loses => {
                // The last line says that it is the last.
                lines.remove(at.min(lines.len().saturating_sub(2)));
            }
            Fate::Error | Fate::Refused => {
                lines.truncate(at);
                let (kind, why) = match self.fate {
                    Fate::Refused => (ErrorKind::Unsure, "no CASE"),
                    _ => (ErrorKind::Other, "MySQL server has gone away"),
                };
                return Last::Line(line(&Answer::Error { kind, message: why.into() }));
            }
        }
        Last::Line(line(&Answer::Done(self.id)))
    }

    /// The helper is killed. What it did for the database may stand.
    pub fn kill(&mut self, mono_ms: u64) {
        self.killed = true;
        let last = Last::Gone(Err("the helper ended with signal 9".into()));
        let ending = Ending { last, good: false, rows: None };
        // What it has said of a change is in the pipe.
        let said = self.answer.take().filter(|_| matches!(self.ask, Ask::Change(_)));
        let lines = said.map(|said| said.lines).unwrap_or_default();
        self.answer = Some(Reply { lines, end_ms: Some(mono_ms + 1), ending });
    }

    /// The daemon died; the helper may still do what it was asked to.
    pub fn abandon(&self, random: &mut Random, database: &mut Database, disk: &mut Disk) {
        if let Ask::Change(ask) = &self.ask
            && self.answer.is_none()
            && self.fate == Fate::Good
            && ask.find.is_none()
            && let Ok((work, mark)) = database.decide(ask, self.named)
        {
            database.commit_change(ask, (&work, mark), self.named);
        }
        if let Ask::Record {
            from, to, retry, believe, pace, ref taken, ref homes, ref aside, ..
        } = self.ask
            && self.answer.is_none()
            && self.fate == Fate::Good
            && random.one_in(2)
        {
            let keeps = random.one_in(2);
            let (range, taken, max_bytes) = ((from, to), taken.clone(), 8 << 20);
            let (any, named, homes, known) = (0, self.named, homes.clone(), aside.stand);
            let asked =
                Asked { range, max_bytes, retry, believe, pace, any, taken, named, homes, known };
            let _ = database.commit(disk, asked, keeps);
        }
    }
}
