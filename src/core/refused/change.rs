//! How the file of what is set aside is changed: by lines behind it, or written as a
//! whole where some are to go.

use super::{Line, Refused, Stand};
use crate::core::journal::{Entry, encode_line};
use crate::core::limits::MAX_REFUSED_BYTES;

/// Bytes that are left free where nothing is to be dropped: more than the longest line.
const SPARE_BYTES: usize = MAX_REFUSED_BYTES / 16;

/// How the file is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Not at all.
    None,
    /// These lines are to be added.
    Add(Vec<u8>),
    /// These lines are to take the place of all; none = the file is to go.
    Replace(Vec<u8>),
}

impl Refused<'_> {
    /// So many bytes can be set aside without anything being dropped.
    pub fn room(&self) -> usize {
        let kept: usize = self.kept.values().map(|kept| kept.bytes).sum();
        MAX_REFUSED_BYTES.saturating_sub(kept + SPARE_BYTES)
    }

    /// What is to be done with the file.
    pub fn change(&mut self) -> Change {
        self.change_within(MAX_REFUSED_BYTES)
    }

    pub(super) fn change_within(&mut self, max_bytes: usize) -> Change {
        if !self.is_due_anew() && self.bytes + self.added.len() <= max_bytes {
            return match self.added.is_empty() {
                true => Change::None,
                false => Change::Add(std::mem::take(&mut self.added)),
            };
        }
        self.dropped += self.gone.max(self.unread);
        (self.gone, self.unread) = (0, 0);
        self.drop_oldest(max_bytes);
        if self.may_go() {
            (self.numbered, self.head, self.known) = (0, None, Stand::default());
            return Change::Replace(Vec::new());
        }
        let mut kept: Vec<_> = std::mem::take(&mut self.kept).into_iter().collect();
        kept.sort_by_key(|(_, kept)| kept.place);
        let mut lines = Vec::new();
        for (_, kept) in &mut kept {
            if kept.number == 0 {
                kept.number = self.number(&kept.entry);
            }
            write_line(&mut lines, &kept.entry, &kept.why, kept.number);
        }
        self.kept = kept.into_iter().collect();
        let written = self.written() + 1;
        self.head = Some(Stand { written, ..self.stand() });
        let mut bytes = Vec::new();
        encode_line(&mut bytes, &Line::Stands(self.stand()));
        bytes.extend(lines);
        Change::Replace(bytes)
    }

    /// Whether the file is to be written again as a whole. A file that does not say how it stood
    /// is, too.
    fn is_due_anew(&self) -> bool {
        let has_head = self.head.is_some_and(|head| head.written > 0);
        let has_any = !self.kept.is_empty() || !self.added.is_empty();
        let is_headless = has_any && !has_head;
        self.anew || self.gone > 0 || is_headless || (self.bytes > 0 && self.may_go())
    }

    /// Whether there is nothing left to be told. Where the daemon knows of records it is to be told
    /// first that they went to the database: else it would miss them, should the answer be lost.
    fn may_go(&self) -> bool {
        self.kept.is_empty() && self.dropped == 0 && self.known.records == 0
    }

    fn written(&self) -> u64 {
        self.known.written.max(self.head.map_or(0, |head| head.written))
    }

    /// How it stands: with what is gone, as long as that is not counted.
    pub(super) fn stand(&self) -> Stand {
        Stand {
            records: self.records() + self.gone,
            numbered: self.numbered,
            written: self.written(),
            dropped: self.dropped,
        }
    }

    /// Drops the oldest until a good part of the file is free: not each record that follows is to
    /// have it written again.
    fn drop_oldest(&mut self, max_bytes: usize) {
        let mut bytes: usize = self.kept.values().map(|kept| kept.bytes).sum();
        if bytes <= max_bytes {
            return;
        }
        let oldest: Vec<_> = self.by_age().iter().map(|(key, kept)| (*key, kept.bytes)).collect();
        for (key, of_line) in oldest {
            if bytes <= max_bytes / 4 * 3 {
                return;
            }
            bytes -= of_line;
            let kept = self.kept.remove(&key);
            self.dropped += u64::from(kept.is_some_and(|kept| kept.entry.is_record()));
        }
    }
}

/// Appends the line of a record.
pub(super) fn write_line(lines: &mut Vec<u8>, entry: &Entry<'_>, why: &str, number: u64) {
    let line = Line::Refused { why: why.into(), entry: Box::new(entry.clone()), number };
    encode_line(lines, &line);
}
