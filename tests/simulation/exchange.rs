//! What becomes of a question to the database.

use super::database::{Asked, DEADLINE_MS, Database, Done, PATHS, Rows};
use super::disk::{Disk, Snapshot};
use super::random::Random;
use schedule::core::database::ErrorKind;
use schedule::core::protocol::{Answer, Ask, Request};
use std::collections::VecDeque;

/// How it goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    /// Says something, or nothing, and then no more.
    Hangs,
    /// The answer ends in the middle, with status 0.
    Cut,
    /// The answer ends in the middle, and the status says so.
    Dies,
    /// All was said, but the status is bad.
    BadStatus,
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

/// A helper under way.
pub struct Exchange {
    ask: Ask,
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
    pub result: Result<(), String>,
    /// The answer was whole and the helper succeeded.
    pub good: bool,
    /// The table it told of, if it is a new one.
    pub rows: Option<Rows>,
}

fn line(answer: &Answer) -> Vec<u8> {
    serde_json::to_vec(answer).unwrap()
}

impl Exchange {
    /// A helper gets `question`. With `faults` it may fail in any way.
    pub fn start(question: &[u8], mono_ms: u64, random: &mut Random, faults: bool) -> Exchange {
        let request: Request = serde_json::from_slice(question).unwrap();
        let (mut fate, mut delay_ms) = (Fate::Good, 1 + random.below(20));
        if faults && random.one_in(4) {
            fate = random.pick(&[
                Fate::Good,
                Fate::Hangs,
                Fate::Cut,
                Fate::Cut,
                Fate::Dies,
                Fate::BadStatus,
                Fate::Garbage,
                Fate::Error,
                Fate::Loses,
                Fate::Boasts,
                Fate::NoStart,
            ]);
            delay_ms += if fate == Fate::Good { random.below(28_000) } else { 0 };
        }
        Exchange {
            ask: request.ask,
            named: PATHS.iter().position(|path| *path == request.database.path).unwrap(),
            fate,
            at_ms: mono_ms + delay_ms,
            deadline_ms: mono_ms + DEADLINE_MS,
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

    /// From which offset records were asked for.
    pub fn from(&self) -> Option<u64> {
        match &self.ask {
            Ask::Record { from, .. } => Some(*from),
            Ask::Sync { .. } => None,
        }
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
        };
        let result = self.spoil(&mut lines, random);
        if let Some((_, rows)) = &self.table {
            let is_whole = matches!(self.fate, Fate::Good | Fate::Boasts | Fate::BadStatus);
            let new = Snapshot { lines: lines.clone(), rows: rows.clone(), is_whole };
            if !disk.write_snapshot(new) {
                lines.push(line(&Answer::NoSnapshot("No space left on device".into())));
            }
        }
        let good = matches!(self.fate, Fate::Good | Fate::Boasts);
        let rows = self.table.take().filter(|_| good).map(|(_, rows)| rows);
        let end_ms = mono_ms + self.spent_ms;
        let hangs = self.fate == Fate::Hangs || end_ms >= self.deadline_ms;
        let end_ms = (!hangs).then_some(end_ms);
        Reply { lines: lines.into(), end_ms, ending: Ending { result, good, rows } }
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
        let rolled_back = matches!(self.fate, Fate::Error | Fate::Dies | Fate::Hangs);
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

    /// Does to the answer what the fate says. Returns the status.
    fn spoil(&self, lines: &mut Vec<Vec<u8>>, random: &mut Random) -> Result<(), String> {
        let at = random.below(lines.len() as u64) as usize;
        match self.fate {
            Fate::Good | Fate::Boasts => {}
            Fate::Hangs | Fate::Cut => lines.truncate(at),
            Fate::Dies | Fate::NoStart => {
                lines.truncate(at);
                return Err("the helper ended with exit 1".into());
            }
            Fate::BadStatus => return Err("the helper ended with signal 9".into()),
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
                lines.push(line(&Answer::Error { kind, message: why.into() }));
                return if random.one_in(2) { Ok(()) } else { Err("exit 1".into()) };
            }
        }
        Ok(())
    }

    /// The helper is killed. What it did for the database may stand.
    pub fn kill(&mut self, mono_ms: u64) {
        self.killed = true;
        let result = Err("the helper ended with signal 9".into());
        let ending = Ending { result, good: false, rows: None };
        self.answer = Some(Reply { lines: VecDeque::new(), end_ms: Some(mono_ms + 1), ending });
    }

    /// The daemon died; the helper may still do what it was asked to.
    pub fn abandon(&self, random: &mut Random, database: &mut Database, disk: &mut Disk) {
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
