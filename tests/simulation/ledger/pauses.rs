//! Pauses: what somebody wanted, what of it the disk knows, and which slots fall into one.

use super::lines::LastWord;
use super::{Def, Ledger};
use schedule::core::journal::{Entry, PauseEntry, PauseOf, SkipReason, decode};
use schedule::core::time::{Now, instant};
use std::collections::BTreeMap;

/// Until when slots are skipped, unix ms; the greatest: somebody has to end it.
pub type Pauses = BTreeMap<PauseOf, i64>;

/// Those that a line tells of.
pub fn told(entries: &[PauseEntry]) -> Pauses {
    entries.iter().map(|it| (it.of, it.until_ms.unwrap_or(i64::MAX))).collect()
}

/// Those that a last word tells of.
pub fn of_word(word: &[u8]) -> Option<Pauses> {
    lines(word).find_map(|entry| match entry {
        Entry::Pauses(all) => Some(told(&all)),
        _ => None,
    })
}

/// Whether some lines say anything of pauses.
fn says(bytes: &[u8]) -> bool {
    lines(bytes).any(|entry| matches!(entry, Entry::Pauses(_)))
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    bytes.split(|&byte| byte == b'\n').filter_map(decode)
}

/// What the row of a job says: until when its slots are skipped. None: that is no instant.
pub fn of_row(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(i64::MIN);
    }
    let is_open = text.starts_with("9999-");
    instant(text).ok().map(|at_ms| if is_open { i64::MAX } else { at_ms })
}

impl Ledger {
    /// Somebody wants something of a pause, and will be told that it is done.
    pub fn pause_ordered(&mut self, now: Now, of: PauseOf, is_pause: bool, until_ms: Option<i64>) {
        let known = self.pauses.get(&of).copied().filter(|end_ms| *end_ms > now.wall_ms);
        match (is_pause, known) {
            (true, _) => drop(self.pauses.insert(of, until_ms.unwrap_or(i64::MAX))),
            // It ends now.
            (false, Some(_)) => drop(self.pauses.insert(of, now.wall_ms)),
            (false, None) => return,
        }
        self.pauses_unsaid.push_back(self.pauses.clone());
    }

    /// The first instant whose slots are launched again.
    pub(super) fn pause_end(&self, def: &Def) -> i64 {
        let of_tag = self.pauses.get(&PauseOf::Tag(def.row.tag_id)).filter(|_| def.row.tag_id > 0);
        let all = [self.pauses.get(&PauseOf::All), of_tag].into_iter().flatten().copied();
        all.chain(of_row(&def.row.paused_until)).max().unwrap_or(i64::MIN)
    }

    /// Were the daemon killed now, the next one would know of a pause what this one does.
    pub fn check_pause_known(&self, of: PauseOf, word: &[u8]) {
        let due = self.pauses.get(&of);
        let word = LastWord::read(word).filter(|word| word.end >= self.durable.at.pauses);
        let known = word.as_ref().map_or(&self.durable.pauses, |word| &word.pauses).get(&of);
        assert_eq!(known, due, "the pause of {of} as the next daemon would know it, and as it is");
    }

    /// A segment begins: where it says nothing of the table, or of pauses, there are none.
    pub(super) fn begins_segment(&mut self, bytes: &[u8], news: bool, durable: Option<u64>) {
        if durable.is_some() {
            self.durable.table = None;
        }
        if !says(bytes) {
            self.pauses_told(Pauses::new(), news, durable);
        }
    }

    /// The journal says which pauses there are, and no others.
    pub(super) fn pauses_told(&mut self, told: Pauses, news: bool, durable: Option<u64>) {
        if news {
            self.pauses_said(&told);
        }
        if let Some(at) = durable {
            (self.durable.pauses, self.durable.at.pauses) = (told, at);
        }
    }

    /// They are those of the next order, or those that were said last; some may be over.
    fn pauses_said(&mut self, told: &Pauses) {
        let is_of = |known: &Pauses| told.iter().all(|(of, end_ms)| known.get(of) == Some(end_ms));
        if *told == self.pauses_said {
            // Somebody may have wanted what there is.
            if self.pauses_unsaid.front() == Some(told) {
                self.pauses_unsaid.pop_front();
            }
            return;
        }
        // One that is over may be forgotten before the next order is told.
        let may_be = |next: &&Pauses| {
            is_of(next) && next.iter().all(|(of, end)| told.contains_key(of) || self.is_over(*end))
        };
        let next = self.pauses_unsaid.front().filter(may_be).cloned();
        let known = match next {
            Some(next) => {
                self.pauses_unsaid.pop_front();
                next
            }
            None => self.pauses_said.clone(),
        };
        assert!(is_of(&known), "{told:?} are told, and there are {known:?}");
        self.check_forgotten(&known, told);
        self.pauses.retain(|of, end_ms| told.contains_key(of) || known.get(of) != Some(end_ms));
        self.pauses_said.clone_from(told);
    }

    /// Whether all slots before the end of a pause are decided.
    fn is_over(&self, end_ms: i64) -> bool {
        end_ms <= self.decided.max(self.before_anew.unwrap_or(i64::MIN)).saturating_add(1)
    }

    /// None is forgotten before all slots in it are told.
    fn check_forgotten(&self, known: &Pauses, told: &Pauses) {
        for (of, end_ms) in known.iter().filter(|(of, _)| !told.contains_key(of)) {
            assert!(self.is_over(*end_ms), "the pause of {of} is forgotten, and ends at {end_ms}");
            for (id, job) in &self.jobs {
                let is_in =
                    |(why, slot): &&(SkipReason, i64)| *why == SkipReason::Paused && slot < end_ms;
                let untold = job.untold.iter().find(is_in);
                assert_eq!(untold, None, "the pause of {of} is forgotten before job {id}'s slots");
            }
        }
    }

    /// The schedule begins again: a pause that is over does not come back with the time.
    pub(super) fn forget_pauses_before(&mut self, decided_ms: i64) {
        self.pauses.retain(|_, end_ms| *end_ms > decided_ms.saturating_add(1));
    }
}
