//! Changes of jobs, from who wants them to who writes them. One at a time is under way; the others
//! wait, and not for long: who has clicked is told within five seconds, one way or the other.
//!
//! A helper says what a change comes to before it commits. If it dies before it has said so,
//! nothing was committed. If it dies later, the next question of the lane finds out what became of
//! it; the change itself is never asked for twice.

use super::Settings;
use super::lanes::Waiter;
use super::news::{News, NotChanged};
use crate::core::change::{By, Change, Refused};
use crate::core::database::ErrorKind;
use crate::core::protocol::{Ask, ChangeAsk, Changed, Mark, Purpose};
use crate::core::time::Now;
use std::collections::VecDeque;

/// So long it is tried to find out what became of a change, in milliseconds.
const FIND_MS: u64 = 10_000;

/// The pause before it is tried once more, in milliseconds.
const FIND_AGAIN_MS: u64 = 500;

/// A change.
#[derive(Debug)]
struct Edit {
    ticket: u64,
    change: Change,
    by: By,
    /// When it is given up, monotonic ms.
    until_ms: u64,
    /// Not to be asked before, monotonic ms.
    not_before_ms: u64,
    /// It is to be found out whether this has come of it.
    find: Option<Mark>,
    /// It is to be done if not: who wanted it wants it once more.
    again: bool,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Edits {
    waiting: VecDeque<Edit>,
    under_way: Option<Edit>,
}

impl Edits {
    /// Somebody wants a change; once more, and the last time it was not known whether this has come
    /// of it (`doubt`).
    pub fn add(&mut self, now: Now, ticket: u64, change: Change, by: By, doubt: Option<Mark>) {
        let until_ms = now.mono_ms + Purpose::Change.deadline_ms();
        let (find, again, not_before_ms) = (doubt, doubt.is_some(), 0);
        let edit = Edit { ticket, change, by, until_ms, not_before_ms, find, again };
        self.waiting.push_back(edit);
    }

    /// When there is something to ask, monotonic ms.
    pub fn ask_ms(&self) -> u64 {
        self.waiting.front().map_or(u64::MAX, |edit| edit.not_before_ms)
    }

    /// When one that waits is given up, monotonic ms.
    pub fn late_ms(&self) -> Option<u64> {
        self.waiting.iter().map(|edit| edit.until_ms).min()
    }

    /// Gives up those whose time is over. They were not begun.
    pub fn late(&mut self, now: Now) -> Vec<News> {
        if self.late_ms().is_none_or(|at_ms| now.mono_ms < at_ms) {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.waiting);
        let (late, waiting): (VecDeque<_>, _) =
            all.into_iter().partition(|edit| edit.until_ms <= now.mono_ms);
        self.waiting = waiting;
        let told = |edit: Edit| match edit.find {
            None => edit.told(Err(NotChanged::Away(BUSY.into()))),
            Some(mark) => edit.told(Err(NotChanged::InDoubt { why: BUSY.into(), mark })),
        };
        late.into_iter().map(told).collect()
    }

    /// The next question.
    pub fn next(&mut self, now: Now, settings: &Settings) -> Option<(Waiter, Ask)> {
        if self.ask_ms() > now.mono_ms {
            return None;
        }
        let edit = self.waiting.pop_front()?;
        let ask = ChangeAsk {
            server_id: settings.server_id,
            vars_server: settings.vars_server,
            dialect: settings.dialect,
            timezone: settings.timezone.clone(),
            change: edit.change.clone(),
            by: edit.by.clone(),
            find: edit.find,
        };
        let waiter = Waiter::Edit { until_ms: edit.until_ms };
        self.under_way = Some(edit);
        Some((waiter, Ask::Change(Box::new(ask))))
    }

    /// The question under way is answered, or failed; what was said of it. Returns what is to be
    /// told; nothing if it is still to be found out.
    pub fn answered(
        &mut self,
        now: Now,
        failure: Option<(ErrorKind, String)>,
        changing: Option<Mark>,
        changed: Option<Result<Changed, Refused>>,
    ) -> Option<News> {
        let mut edit = self.under_way.take()?;
        let why = match (failure, changed) {
            (None, Some(Err(Refused::NotDone))) if edit.again => {
                (edit.find, edit.again) = (None, false);
                self.waiting.push_front(edit);
                return None;
            }
            (None, Some(Err(Refused::NotDone))) => {
                let why = "the database went away before it had taken the change".into();
                return Some(edit.told(Err(NotChanged::Away(why))));
            }
            (None, Some(changed)) => return Some(edit.told(changed.map_err(NotChanged::Refused))),
            (Some((_, why)), _) => {
                log::warn!("{} of a job: {why}", edit.change.verb());
                why
            }
            // An answer without this is not whole, and has failed.
            (None, None) => String::new(),
        };
        let began = edit.find.is_none();
        let Some(mark) = edit.find.or(changing) else {
            return Some(edit.told(Err(NotChanged::Away(why))));
        };
        if began {
            edit.until_ms = now.mono_ms + FIND_MS;
        }
        if now.mono_ms + FIND_AGAIN_MS >= edit.until_ms {
            return Some(edit.told(Err(NotChanged::InDoubt { why, mark })));
        }
        edit.find = Some(mark);
        edit.not_before_ms = if began { 0 } else { now.mono_ms + FIND_AGAIN_MS };
        self.waiting.push_front(edit);
        None
    }
}

impl Edit {
    fn told(self, what: Result<Changed, NotChanged>) -> News {
        News::Changed(self.ticket, what)
    }
}

/// Why one was given up that waited.
const BUSY: &str = "it was not asked in time: other changes are under way";
