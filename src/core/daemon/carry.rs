//! Records on their way to the database. Those that it refuses for themselves are set aside by the
//! helper (see [`crate::core::refused`]): the daemon knows how many, and when they are tried again.

use super::Core;
use crate::core::clock;
use crate::core::protocol::{Ask, SetAside};
use crate::core::time::Now;

/// What is set aside is tried again this often, in milliseconds.
const RETRY_MS: u64 = 600_000;

/// Records that could not be set aside are carried again after this, in milliseconds.
const UNKEPT_MS: u64 = 10_000;

/// Records of one exchange that the log is told of one by one.
pub(super) const MAX_TOLD: usize = 20;

/// What is set aside.
#[derive(Debug, Default)]
pub struct Refused {
    aside: SetAside,
    /// When it is tried again, by the monotonic clock.
    retry_ms: u64,
    /// What the log was told last, so as not to be told again and again.
    said: Vec<String>,
    /// Records were refused for long although the database was well, and are set aside since then.
    believes: bool,
    /// Why records could not be set aside.
    unkept: Option<String>,
}

impl Refused {
    /// When it is tried again, by the monotonic clock; none if there is nothing.
    pub fn retry_at(&self) -> Option<u64> {
        (self.aside.count > 0).then_some(self.retry_ms)
    }

    /// Whether the exchange that begins now is to try again.
    pub fn begin(&mut self, now: Now) -> bool {
        let due = self.retry_at().is_some_and(|at| at <= now.mono_ms);
        if due {
            self.retry_ms = clock::between_slots(now, now.mono_ms + RETRY_MS);
        }
        due
    }

    /// It is tried again with the next exchange.
    pub fn retry_now(&mut self) {
        self.retry_ms = 0;
    }

    /// Whether a few are set aside although none is taken: once they have been refused for long,
    /// and then as long as there are any.
    fn believe(&mut self, for_long: bool) -> bool {
        self.believes = for_long || (self.believes && self.aside.count > 0);
        self.believes
    }

    fn is_news(&mut self, why: &str) -> bool {
        let news = self.said.iter().all(|said| said != why);
        if news {
            if self.said.len() == MAX_TOLD {
                self.said.remove(0);
            }
            self.said.push(why.to_owned());
        }
        news
    }
}

impl Core {
    /// Records that are set aside.
    pub fn set_aside(&self) -> &SetAside {
        &self.refused.aside
    }

    /// Why the state directory does not take what is to be kept there.
    pub fn disk_error(&self) -> Option<&str> {
        self.outbox.error().or(self.refused.unkept.as_deref())
    }

    /// What an earlier daemon left set aside: it is tried again at once.
    pub fn begin_with_set_aside(&mut self, aside: SetAside) {
        self.refused.aside = aside;
    }

    /// The question that carries what the journal has by now.
    pub(super) fn record_ask(&mut self, now: Now) -> Ask {
        // What is noted from here on waits for the next exchange.
        self.outbox.record_at = None;
        self.outbox.must_flush = true;
        self.outbox.recorded_target = self.outbox.written_end();
        Ask::Record {
            journal: format!("{}/journal", self.settings.state_dir),
            from: self.outbox.recorded,
            to: self.outbox.recorded_target,
            server_id: self.settings.server_id,
            timezone: self.settings.timezone.clone(),
            refused: format!("{}/refused", self.settings.state_dir),
            retry: self.refused.begin(now),
            believe: self.refused.believe(self.sync.refused_for_long(now)),
        }
    }

    pub(super) fn recorded(&mut self, now: Now, through: u64, unkept: String) {
        if through < self.outbox.recorded_target {
            self.outbox.record_at = Some(match unkept.is_empty() {
                true => 0,
                false => clock::between_slots(now, now.mono_ms + UNKEPT_MS),
            });
        }
        self.outbox.recorded_through(through);
        self.told_of_unkept(unkept);
    }

    fn told_of_unkept(&mut self, why: String) {
        let why = (!why.is_empty()).then_some(why);
        if why == self.refused.unkept {
            return;
        }
        match &why {
            Some(why) => log::error!("records: {why}: the others go on"),
            None => log::info!("records: what the database refuses is kept again"),
        }
        self.refused.unkept = why;
        self.touch_daemon();
    }

    /// A helper has carried records: what it says of those that were refused.
    pub(super) fn told_of_refused(&mut self, now: Now, told: &[String], aside: SetAside) {
        for why in told {
            if self.refused.is_news(why) {
                log::error!("record set aside, the database refuses it: {why}");
            }
        }
        let dropped = aside.dropped.saturating_sub(self.refused.aside.dropped);
        if dropped > 0 {
            self.records_dropped(dropped, "too many records set aside");
        }
        let before = self.refused.aside.count;
        if aside.count == 0 && before > 0 {
            log::info!("records: the database has taken the last of those that were set aside");
            self.refused.said.clear();
        } else if aside.count != before {
            let count = aside.count;
            log::warn!("records: {count} set aside, tried again each 10 minutes and by a sync");
        }
        if before == 0 && aside.count > 0 {
            self.refused.retry_ms = clock::between_slots(now, now.mono_ms + RETRY_MS);
        }
        if self.refused.aside != aside {
            self.refused.aside = aside;
            self.touch_daemon();
        }
    }
}
