//! Questions about files on file systems that may not answer: a lane for each.
//!
//! A lane is a file system, its questions in order, and the one process that is asked them, one
//! at a time. A question has a deadline; when that has passed the process is killed and left to
//! itself, for it may only go when the file system comes back. Until it has gone there is no other,
//! so that a file system that hangs costs one process, however many ask. Without questions, the
//! process ends after a while.

use super::helper::{Answer, Helper, Question};
use crate::shell::sys::Pid;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A process without questions ends after so many milliseconds.
const IDLE_MS: u64 = 10_000;

/// A question whose turn comes late has so many milliseconds all the same.
const TURN_MS: u64 = 1_000;

/// File systems that are asked at a time.
const MAX_LANES: usize = 32;

/// Questions that wait for one file system.
const MAX_WAITING: usize = 1_024;

/// See the module's text. `T` is what the one who asks knows a question by.
#[derive(Debug)]
pub struct Lanes<T> {
    lanes: BTreeMap<PathBuf, Lane<T>>,
    done: Vec<Done<T>>,
    poll: Registry,
    token: Token,
    rest_ms: u64,
}

/// A question that is done with.
#[derive(Debug)]
pub struct Done<T> {
    /// Which.
    pub tag: T,
    /// The answer, with a descriptor where one was asked for; or why there is none.
    pub result: Result<(Answer, Option<OwnedFd>), Silence>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The file system mounted here has not given one in time.
    NoAnswer(PathBuf),
    /// It could not be asked.
    Trouble(String),
}

#[derive(Debug)]
struct Lane<T> {
    helper: Option<Helper>,
    /// The first one is under way if it was begun.
    waiting: VecDeque<Asked<T>>,
    /// A process that was killed and is not gone.
    stuck: Option<Pid>,
    /// It gave no answer: until then no other is waited for.
    rests_until_ms: u64,
    idle_from_ms: u64,
}

#[derive(Debug)]
struct Asked<T> {
    tag: T,
    question: Question,
    is_begun: bool,
}

impl<T> Lanes<T> {
    /// None yet. Their sockets have this token. After a question without an answer, all others of
    /// that file system are without one at once for `rest_ms`.
    pub fn new(poll: &Registry, token: Token, rest_ms: u64) -> io::Result<Lanes<T>> {
        let poll = poll.try_clone()?;
        Ok(Lanes { lanes: BTreeMap::new(), done: Vec::new(), poll, token, rest_ms })
    }

    /// Asks the file system that is mounted there.
    pub fn ask(&mut self, now_ms: u64, mount: &Path, tag: T, question: Question) {
        let full = !self.lanes.contains_key(mount) && self.lanes.len() >= MAX_LANES;
        let lane = self.lanes.get(mount);
        let rests = lane.is_some_and(|lane| lane.rests(now_ms));
        let crowded = lane.is_some_and(|lane| lane.waiting.len() >= MAX_WAITING);
        let silence = if full || crowded {
            Some(Silence::Trouble("too many questions to file systems wait already".into()))
        } else {
            rests.then(|| Silence::NoAnswer(mount.into()))
        };
        if let Some(silence) = silence {
            self.done.push(Done { tag, result: Err(silence) });
            return;
        }
        let lane = self.lanes.entry(mount.into()).or_insert_with(|| Lane::new(now_ms));
        lane.waiting.push_back(Asked { tag, question, is_begun: false });
    }

    /// Takes in answers, gives up what took too long, asks what is next. Returns what is done.
    pub fn turn(&mut self, now_ms: u64) -> Vec<Done<T>> {
        for (mount, lane) in &mut self.lanes {
            lane.hear(&mut self.done);
            lane.expire(now_ms, mount, self.rest_ms, &mut self.done);
            lane.go_on(now_ms, (&self.poll, self.token), &mut self.done);
        }
        self.lanes.retain(|_, lane| !lane.is_over(now_ms));
        std::mem::take(&mut self.done)
    }

    /// When [`Lanes::turn`] has something to do by itself, by the monotonic clock.
    pub fn next_ms(&self) -> Option<u64> {
        let done = (!self.done.is_empty()).then_some(0);
        self.lanes.values().filter_map(Lane::next_ms).chain(done).min()
    }

    /// Whether a question waits for its answer.
    pub fn are_busy(&self) -> bool {
        !self.done.is_empty() || self.lanes.values().any(|lane| !lane.waiting.is_empty())
    }

    /// A process of this one's was reaped.
    pub fn reaped(&mut self, pid: Pid) {
        for lane in self.lanes.values_mut().filter(|lane| lane.stuck == Some(pid)) {
            lane.stuck = None;
        }
    }

    /// Forgets the questions of those who don't wait any more.
    pub fn forget(&mut self, is_gone: impl Fn(&T) -> bool) {
        self.done.retain(|done| !is_gone(&done.tag));
        for lane in self.lanes.values_mut() {
            if lane.waiting.front().is_some_and(|first| first.is_begun && is_gone(&first.tag)) {
                lane.give_up();
            }
            lane.waiting.retain(|asked| !is_gone(&asked.tag));
        }
    }
}

impl<T> Lane<T> {
    fn new(now_ms: u64) -> Lane<T> {
        Lane {
            helper: None,
            waiting: VecDeque::new(),
            stuck: None,
            rests_until_ms: 0,
            idle_from_ms: now_ms,
        }
    }

    fn rests(&self, now_ms: u64) -> bool {
        now_ms < self.rests_until_ms
    }

    fn hear(&mut self, done: &mut Vec<Done<T>>) {
        let Some(helper) = &mut self.helper else { return };
        if !self.waiting.front().is_some_and(|first| first.is_begun) {
            return;
        }
        let result = match helper.hear() {
            Ok(None) => return,
            Ok(Some(answer)) => Ok(answer),
            Err(why) => {
                self.helper = None;
                Err(Silence::Trouble(format!("it was not answered: {why}")))
            }
        };
        done.extend(self.waiting.pop_front().map(|asked| Done { tag: asked.tag, result }));
    }

    fn expire(&mut self, now_ms: u64, mount: &Path, rest_ms: u64, done: &mut Vec<Done<T>>) {
        let first = self.waiting.front();
        let hangs =
            first.is_some_and(|first| first.is_begun && first.question.not_after_ms <= now_ms);
        if hangs {
            self.give_up();
            self.rests_until_ms = now_ms + rest_ms;
            log::warn!("the file system at {} does not answer", mount.display());
        }
        let all = hangs && rest_ms > 0;
        let mut at = 0;
        while let Some(asked) = self.waiting.get(at) {
            if !all && (asked.question.not_after_ms > now_ms || (asked.is_begun && !hangs)) {
                at += 1;
                continue;
            }
            let silence = Silence::NoAnswer(mount.into());
            let asked = self.waiting.remove(at);
            done.extend(asked.map(|asked| Done { tag: asked.tag, result: Err(silence) }));
        }
    }

    /// Kills the process that is asked.
    fn give_up(&mut self) {
        if let Some(helper) = self.helper.take() {
            helper.kill();
            self.stuck = Some(helper.pid());
        }
    }

    fn go_on(&mut self, now_ms: u64, poll: (&Registry, Token), done: &mut Vec<Done<T>>) {
        if self.waiting.is_empty() {
            if now_ms >= self.idle_from_ms + IDLE_MS {
                self.helper = None;
            }
            return;
        }
        self.idle_from_ms = now_ms;
        while let Some(first) = self.waiting.front_mut() {
            if first.is_begun || self.stuck.is_some() {
                return;
            }
            // What was answered takes no second turn; what is begun late has a chance.
            let not_after_ms = &mut first.question.not_after_ms;
            *not_after_ms = (*not_after_ms).max(now_ms + TURN_MS);
            let begun = begin(&mut self.helper, &first.question, poll);
            first.is_begun = begun.is_ok();
            if let Err(why) = begun {
                self.helper = None;
                let why = format!("no process to look at files: {why}");
                let asked = self.waiting.pop_front();
                let silent =
                    |asked: Asked<T>| Done { tag: asked.tag, result: Err(Silence::Trouble(why)) };
                done.extend(asked.map(silent));
            }
        }
    }

    fn next_ms(&self) -> Option<u64> {
        if self.waiting.front().is_some_and(|first| !first.is_begun) && self.stuck.is_none() {
            return Some(0);
        }
        let deadline = self.waiting.iter().map(|asked| asked.question.not_after_ms).min();
        let idle = self.helper.is_some() && self.waiting.is_empty();
        deadline.or(idle.then_some(self.idle_from_ms + IDLE_MS))
    }

    fn is_over(&self, now_ms: u64) -> bool {
        self.helper.is_none()
            && self.waiting.is_empty()
            && self.stuck.is_none()
            && !self.rests(now_ms)
    }
}

fn begin(
    helper: &mut Option<Helper>,
    question: &Question,
    (poll, token): (&Registry, Token),
) -> io::Result<()> {
    if let Some(helper) = helper
        && helper.ask(question).is_ok()
    {
        return Ok(());
    }
    let fresh = Helper::start()?;
    poll.register(&mut SourceFd(&fresh.socket().as_raw_fd()), token, Interest::READABLE)?;
    fresh.ask(question)?;
    *helper = Some(fresh);
    Ok(())
}
