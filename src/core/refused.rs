//! Records that the database refuses for themselves: a foreign key, a trigger, a constraint. They
//! are set aside so that they block no other, kept in a file beside the journal, and tried again
//! now and then.
//!
//! A line of the file is one of the journal's kind; of several with one key the last one counts.
//! Somebody may take the file away, or a part of it: see [`Stand`].
//! The helper alone reads and writes it, after it has committed and before it answers: killed in
//! between, it is asked to carry the same range again and comes to the same file.

mod change;

pub use change::Change;

use crate::core::homes::Homes;
use crate::core::journal::{Entry, Stand, decode_line, encode_line, whole_lines};
use crate::core::limits::{MAX_REASON_CHARS, cut};
use crate::core::plain::counted;
use crate::core::protocol::SetAside;
use crate::core::records::{Key, key, says_more};
use change::write_line;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    /// A record and why it was refused; empty: it was not, it is of another database than the one
    /// that was named then. What is said of that depends on which one is named now.
    Refused {
        #[serde(borrow)]
        why: Cow<'a, str>,
        #[serde(borrow)]
        entry: Box<Entry<'a>>,
        /// That of a record among all that were set aside; 0: it is none, or of an earlier version.
        #[serde(default, skip_serializing_if = "is_zero")]
        number: u64,
    },
    /// How the file stood when it was last written as a whole.
    Stands(Stand),
    /// What an earlier version said of that: so many were dropped.
    Dropped(u64),
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A record that was refused.
#[derive(Clone, Debug)]
struct Kept<'a> {
    /// Its place in the order in which they were refused.
    place: u64,
    number: u64,
    why: Cow<'a, str>,
    entry: Entry<'a>,
    /// Bytes of its line.
    bytes: usize,
}

/// What the file says.
#[derive(Clone, Debug, Default)]
pub struct Refused<'a> {
    kept: BTreeMap<Key, Kept<'a>>,
    places: u64,
    /// What the daemon knows of it.
    known: Stand,
    /// What it says of itself.
    head: Option<Stand>,
    numbered: u64,
    dropped: u64,
    /// So many records should be there, are not, and were not counted yet.
    gone: u64,
    /// Lines that are not in the file yet and can be added behind it.
    added: Vec<u8>,
    /// The whole file must be written again.
    anew: bool,
    bytes: usize,
    /// What of the file can't be read.
    damaged: Vec<&'a [u8]>,
    /// So many whole lines of it: each is taken for a record that nothing else has.
    unread: u64,
}

impl<'a> Refused<'a> {
    /// Reads the bytes of a file when nothing else is known of the file. What can't be read is for
    /// [`damaged`](Self::damaged).
    pub fn read(bytes: &'a [u8]) -> Refused<'a> {
        Refused::known_as(Stand::default(), bytes)
    }

    /// Reads the bytes of a file when the daemon knows this: what the file should have and has not
    /// is [`gone`](Self::gone).
    pub fn known_as(known: Stand, bytes: &'a [u8]) -> Refused<'a> {
        let mut refused = Refused { known, ..Refused::default() };
        let (lines, whole) = whole_lines(bytes);
        for line in lines {
            let mut bad = &line[..memchr::memrchr(0, line).unwrap_or(0)];
            match decode_line(line) {
                Some(Line::Refused { why, entry, number }) => {
                    refused.keep(why, *entry, number, line.len() + 1);
                }
                Some(Line::Stands(stand)) => refused.says(stand),
                Some(Line::Dropped(dropped)) => {
                    refused.says(Stand { dropped, ..Stand::default() });
                }
                None => {
                    bad = line;
                    refused.unread += 1;
                }
            }
            refused.damaged.push(bad);
        }
        refused.bytes = whole;
        // What is added must not be taken for the rest of a torn line.
        refused.damaged.push(&bytes[whole..]);
        refused.damaged.retain(|bad| bad.iter().any(|byte| *byte > 0));
        refused.anew = !refused.damaged.is_empty() || refused.unread > 0 || whole < bytes.len();
        refused.compare();
        refused
    }

    /// What was put back by hand stands behind the file's own: the later one counts.
    fn says(&mut self, stand: Stand) {
        if self.head.is_none_or(|head| head.written <= stand.written) {
            self.head = Some(stand);
        }
    }

    /// Compares what is there with what should be.
    fn compare(&mut self) {
        let highest = self.kept.values().map(|kept| kept.number).max().unwrap_or(0);
        let due = self.known.due(self.head, highest);
        let should = due.map_or(0, |due| due.records);
        self.numbered = due.map_or(highest, |due| due.numbered);
        self.dropped = self.known.dropped.max(self.head.map_or(0, |head| head.dropped));
        self.gone = should.saturating_sub(self.records());
    }

    /// So many of those that are kept are records: ends of runs, and skips.
    fn records(&self) -> u64 {
        self.kept.values().filter(|kept| kept.entry.is_record()).count() as u64
    }

    /// So many records should be there that were taken away; those whose lines can't be read are
    /// not among them.
    pub fn gone(&self) -> u64 {
        self.gone.saturating_sub(self.damaged.len() as u64)
    }

    /// The bytes of a file in place of one that can't be read, which the daemon knows so and which
    /// had this many records; none where nothing is to be told.
    pub fn begun_anew(known: Stand, records: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (dropped, written) = (known.dropped + records, known.written + 1);
        if dropped > 0 {
            encode_line(&mut bytes, &Line::Stands(Stand { records: 0, dropped, written, ..known }));
        }
        bytes
    }

    fn keep(&mut self, why: Cow<'a, str>, entry: Entry<'a>, number: u64, bytes: usize) {
        let Some(key) = key(&entry) else { return };
        self.places += 1;
        let place = self.places;
        self.kept.insert(key, Kept { place, number, why, entry, bytes });
    }

    /// What of the file can't be read and will not be in the new one. Parts that are torn are from
    /// a write that failed, and don't count: what they begin is carried again.
    pub fn damaged(&self) -> &[&'a [u8]] {
        &self.damaged
    }

    /// Sets a record aside. Whether that is news: nothing was known of it, or just this, for the
    /// answer that told it may have been lost.
    pub fn refuse(&mut self, entry: Entry<'a>, why: &str) -> bool {
        let Some(key) = key(&entry) else { return false };
        let known = self.kept.get(&key);
        let news = known.is_none_or(|known| known.entry == entry);
        if known.is_some_and(|known| says_more(&known.entry, &entry)) {
            return false;
        }
        let why: Cow<'a, str> = Cow::Owned(cut(why, MAX_REASON_CHARS).into_owned());
        let says_no_less = |known: &Kept<'_>| why.is_empty() || known.why == why;
        if known.is_some_and(|known| known.entry == entry && says_no_less(known)) {
            return news;
        }
        let number = known.map_or(0, |known| known.number);
        let number = if number == 0 { self.number(&entry) } else { number };
        let before = self.added.len();
        write_line(&mut self.added, &entry, &why, number);
        self.keep(why, entry, number, self.added.len() - before);
        news
    }

    fn number(&mut self, entry: &Entry<'_>) -> u64 {
        let is_record = entry.is_record();
        self.numbered += u64::from(is_record);
        if is_record { self.numbered } else { 0 }
    }

    /// Keeps what is of another database, as far as nothing has to be dropped for it: there is more
    /// room in the journal. Returns what is news, each in words.
    ///
    /// # Errors
    /// There is no room, and none is kept: so much is to be told.
    pub fn put_by(
        &mut self,
        others: &[Entry<'static>],
        homes: &Homes,
    ) -> Result<Vec<String>, String> {
        let bytes: usize = others.iter().map(|entry| bytes_of(entry, "")).sum();
        if let Some(first) = others.first()
            && bytes > self.room()
        {
            let (count, why) = (counted(others.len() as u64, "record"), homes.why(first));
            return Err(format!("there is no room for {count} of another database: {why}"));
        }
        let mut told = Vec::new();
        for entry in others {
            if self.refuse(entry.clone(), "") {
                told.push(format!("{}: {}", name_of(entry), homes.why(entry)));
            }
        }
        Ok(told)
    }

    /// The database has this: what is kept of it goes, unless it says more.
    pub fn accept(&mut self, entry: &Entry<'_>) {
        let Some(key) = key(entry) else { return };
        if self.kept.get(&key).is_some_and(|kept| !says_more(&kept.entry, entry)) {
            self.kept.remove(&key);
            self.anew = true;
        }
    }

    /// What is kept, the oldest first.
    pub fn entries(&self) -> Vec<Entry<'a>> {
        self.by_age().into_iter().map(|(_, kept)| kept.entry.clone()).collect()
    }

    /// What is kept and why it was refused, the oldest first.
    pub fn reasons(&self) -> Vec<(Entry<'a>, Cow<'a, str>)> {
        let kept = self.by_age().into_iter();
        kept.map(|(_, kept)| (kept.entry.clone(), kept.why.clone())).collect()
    }

    fn by_age(&self) -> Vec<(Key, &Kept<'a>)> {
        let mut all: Vec<_> = self.kept.iter().map(|(key, kept)| (*key, kept)).collect();
        all.sort_by_key(|(_, kept)| kept.place);
        all
    }

    /// What the daemon is told. Why those of another database wait is said each time: another
    /// database may be named by now.
    pub fn told(&self, homes: &Homes) -> SetAside {
        let (stand, gone) = (self.stand(), self.gone);
        let mut told = SetAside { stand, gone, ..SetAside::default() };
        let (mut last, mut last_elsewhere) = (None, None);
        for (_, kept) in self.by_age() {
            told.count += 1;
            if !homes.has(&kept.entry) {
                told.elsewhere += 1;
                last_elsewhere = Some(&kept.entry);
            } else {
                told.waiting += u64::from(kept.why.is_empty());
                last = Some(kept);
            }
        }
        let elsewhere = |entry| format!("{}: {}", name_of(entry), homes.why(entry));
        told.last_elsewhere = last_elsewhere.map(elsewhere).unwrap_or_default();
        told.last = last.map(|kept| about(&kept.entry, &kept.why)).unwrap_or_default();
        told
    }
}

/// Bytes that it takes to set a record aside.
pub fn bytes_of(entry: &Entry<'_>, why: &str) -> usize {
    let mut line = Vec::new();
    write_line(&mut line, entry, &cut(why, MAX_REASON_CHARS), u64::MAX);
    line.len()
}

/// A record and why it was refused, for people.
pub fn about(entry: &Entry<'_>, why: &str) -> String {
    let why = if why.is_empty() { "it waits for the database" } else { why };
    format!("{}: {}", name_of(entry), cut(why, MAX_REASON_CHARS))
}

fn name_of(entry: &Entry<'_>) -> String {
    match entry {
        Entry::Run(run) => format!("run={} job={}", run.run, run.job),
        Entry::Skip(skip) => format!("skip of {} job={}", counted(skip.count, "slot"), skip.job),
        Entry::Act(act) => format!("{} by {:?}: act={}", act.action, act.who, act.id),
        _ => "a record".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
