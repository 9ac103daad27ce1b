//! Questions about what was: several clients may wait, one question at a time is under way. Each is
//! answered within five seconds, one way or the other; who has left is forgotten.

use super::lanes::Waiter;
use super::news::News;
use crate::core::database::ErrorKind;
use crate::core::protocol::{Ask, Past, Purpose};
use crate::core::time::Now;
use std::collections::VecDeque;

/// A question.
#[derive(Debug)]
struct Read {
    ticket: u64,
    ask: Ask,
    /// When it is given up, monotonic ms.
    until_ms: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Reads {
    waiting: VecDeque<Read>,
    /// The ticket of the one under way, and when it is given up; none: nobody waits any more.
    under_way: Option<(u64, u64)>,
}

impl Reads {
    /// Somebody wants to know.
    pub fn add(&mut self, now: Now, ticket: u64, ask: Ask) {
        let until_ms = now.mono_ms + Purpose::History.deadline_ms();
        self.waiting.push_back(Read { ticket, ask, until_ms });
    }

    /// Nobody waits for this any more.
    pub fn forget(&mut self, ticket: u64) {
        self.waiting.retain(|read| read.ticket != ticket);
        self.under_way.take_if(|(under_way, _)| *under_way == ticket);
    }

    /// When there is something to ask, monotonic ms.
    pub fn ask_ms(&self) -> u64 {
        if self.waiting.is_empty() { u64::MAX } else { 0 }
    }

    /// When one is given up, monotonic ms. They wait in the order in which they came.
    pub fn late_ms(&self) -> Option<u64> {
        let under_way = self.under_way.map(|(_, until_ms)| until_ms);
        self.waiting.front().map(|read| read.until_ms).into_iter().chain(under_way).min()
    }

    /// Gives up the next one whose time is over.
    pub fn late(&mut self, now: Now) -> Option<News> {
        let is_late = |under_way: &mut (u64, u64)| under_way.1 <= now.mono_ms;
        if let Some((ticket, _)) = self.under_way.take_if(is_late) {
            // Its helper is killed, and need not be gone yet.
            return Some(News::Past(ticket, Err(SILENT.into())));
        }
        self.waiting.front().filter(|read| read.until_ms <= now.mono_ms)?;
        let late = self.waiting.pop_front()?;
        Some(News::Past(late.ticket, Err(BUSY.into())))
    }

    /// The next question.
    pub fn next(&mut self) -> Option<(Waiter, Ask)> {
        let Read { ticket, ask, until_ms } = self.waiting.pop_front()?;
        self.under_way = Some((ticket, until_ms));
        Some((Waiter::Client { until_ms }, ask))
    }

    /// The question under way is answered, or failed. Returns what is to be told.
    pub fn answered(&mut self, failure: Option<(ErrorKind, String)>, past: Past) -> Option<News> {
        let (ticket, _) = self.under_way.take()?;
        let result = match failure {
            None => Ok(Box::new(past)),
            Some((_, why)) => Err(why),
        };
        Some(News::Past(ticket, result))
    }
}

/// Why the one under way was given up.
const SILENT: &str = "no answer within 5 s";

/// Why one was given up that waited.
const BUSY: &str = "it was not asked in time: other questions about the past are under way";
