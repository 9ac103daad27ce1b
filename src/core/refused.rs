//! Records that the database refuses for themselves: a foreign key, a trigger, a constraint. They
//! are set aside so that they block no other, kept in a file beside the journal, and tried again
//! now and then.
//!
//! A line of the file is one of the journal's kind; of several with one key the last one counts.
//! The helper alone reads and writes it, after it has committed and before it answers: killed in
//! between, it is asked to carry the same range again and comes to the same file.

use crate::core::journal::{Entry, decode_line, encode_line, whole_lines};
use crate::core::limits::{MAX_REASON_CHARS, MAX_REFUSED_BYTES, cut};
use crate::core::plain::counted;
use crate::core::protocol::SetAside;
use crate::core::records::{Key, key};

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    /// A record and why it was refused.
    Refused {
        #[serde(borrow)]
        why: Cow<'a, str>,
        #[serde(borrow)]
        entry: Box<Entry<'a>>,
    },
    /// So many were dropped since the file was first made.
    Dropped(u64),
}

/// A record that was refused.
#[derive(Clone, Debug)]
struct Kept<'a> {
    /// Its place in the order in which they were refused.
    place: u64,
    why: Cow<'a, str>,
    entry: Entry<'a>,
    /// Bytes of its line.
    bytes: usize,
}

/// What the file says.
#[derive(Clone, Debug, Default)]
pub struct Refused<'a> {
    kept: BTreeMap<Key, Kept<'a>>,
    dropped: u64,
    places: u64,
    /// Lines that are not in the file yet and can be added behind it.
    added: Vec<u8>,
    /// The file must be written anew.
    anew: bool,
    bytes: usize,
}

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

impl<'a> Refused<'a> {
    /// Reads the bytes of the file. A line that can't be read is left out.
    pub fn read(bytes: &'a [u8]) -> Refused<'a> {
        let mut refused = Refused::default();
        let (lines, whole) = whole_lines(bytes);
        for line in lines {
            match decode_line(line) {
                Some(Line::Refused { why, entry }) => {
                    refused.keep(why, *entry, line.len() + 1);
                }
                Some(Line::Dropped(total)) => refused.dropped = total,
                None => refused.anew = true,
            }
        }
        refused.bytes = whole;
        // What is added must not be taken for the rest of a torn line.
        refused.anew |= whole < bytes.len();
        refused
    }

    fn keep(&mut self, why: Cow<'a, str>, entry: Entry<'a>, bytes: usize) {
        let Some(key) = key(&entry) else { return };
        self.places += 1;
        self.kept.insert(key, Kept { place: self.places, why, entry, bytes });
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
        if known.is_some_and(|known| known.entry == entry && known.why == why) {
            return news;
        }
        let before = self.added.len();
        let line = Line::Refused { why: why.clone(), entry: Box::new(entry.clone()) };
        encode_line(&mut self.added, &line);
        self.keep(why, entry, self.added.len() - before);
        news
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

    /// What is to be done with the file.
    pub fn change(&mut self) -> Change {
        self.change_within(MAX_REFUSED_BYTES)
    }

    fn change_within(&mut self, max_bytes: usize) -> Change {
        if !self.anew && self.bytes + self.added.len() <= max_bytes {
            return match self.added.is_empty() {
                true => Change::None,
                false => Change::Add(std::mem::take(&mut self.added)),
            };
        }
        self.drop_oldest(max_bytes);
        let mut bytes = Vec::new();
        if self.dropped > 0 {
            encode_line(&mut bytes, &Line::Dropped(self.dropped));
        }
        for (_, kept) in self.by_age() {
            let (why, entry) = (kept.why.clone(), Box::new(kept.entry.clone()));
            encode_line(&mut bytes, &Line::Refused { why, entry });
        }
        Change::Replace(bytes)
    }

    /// Drops the oldest until a good part of the file is free: not each record that follows is to
    /// have it written anew.
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
            self.kept.remove(&key);
            self.dropped += 1;
        }
    }

    /// What the daemon is told.
    pub fn told(&self) -> SetAside {
        let last = self.kept.values().max_by_key(|kept| kept.place);
        let last = last.map(|kept| about(&kept.entry, &kept.why)).unwrap_or_default();
        SetAside { count: self.kept.len() as u64, dropped: self.dropped, last }
    }
}

/// Whether `one` says more than `other` of the same run or the same skipped slots.
fn says_more(one: &Entry<'_>, other: &Entry<'_>) -> bool {
    match (one, other) {
        (Entry::Run(one), Entry::Run(other)) => one.end.is_some() && other.end.is_none(),
        (Entry::Skip(one), Entry::Skip(other)) => one.count > other.count,
        _ => false,
    }
}

/// A record and why it was refused, for people.
pub fn about(entry: &Entry<'_>, why: &str) -> String {
    let why = cut(why, MAX_REASON_CHARS);
    match entry {
        Entry::Run(run) => format!("run={} job={}: {why}", run.run, run.job),
        Entry::Skip(skip) => {
            let slots = counted(skip.count, "slot");
            format!("skip of {slots} job={}: {why}", skip.job)
        }
        _ => why.into_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::core::ids::{JobId, RunId};
    use crate::core::journal::{Cause, End, RunEntry};
    use crate::core::outcome::{Exit, Outcome, Usage};

    fn run(sequence: u64, ended: bool) -> Entry<'static> {
        let end = End {
            at_ms: 7,
            outcome: Outcome::Ended(Exit::Code(0)),
            usage: Usage::default(),
            duration_ms: 7,
            stopped: false,
        };
        Entry::Run(RunEntry {
            run: RunId { server_id: 1, sequence, instance: 0 },
            job: JobId(3),
            slot_ms: None,
            cause: Cause::Due,
            at_ms: 0,
            name: "n".into(),
            command: "true".into(),
            md5: "".into(),
            concurrent: 1,
            pid: 9,
            kernel_start: 0,
            end: ended.then_some(end),
        })
    }

    fn write(file: &mut Vec<u8>, act: impl FnOnce(&mut Refused<'_>)) -> SetAside {
        let old = file.clone();
        let mut refused = Refused::read(&old);
        act(&mut refused);
        match refused.change_within(1_000) {
            Change::None => {}
            Change::Add(lines) => file.extend(lines),
            Change::Replace(lines) => *file = lines,
        }
        assert_eq!(Refused::read(file).told(), refused.told());
        refused.told()
    }

    #[test]
    fn what_is_refused_stays_until_it_is_accepted() {
        let mut file = Vec::new();
        write(&mut file, |it| assert!(it.refuse(run(1, false), "no")));
        // The same range again, because the answer was lost: told again, kept once.
        let told = write(&mut file, |it| assert!(it.refuse(run(1, false), "no")));
        assert_eq!((told.count, told.last.as_str()), (1, "run=1-1 job=3: no"));
        // Its end is no news, but is what is kept; its start does not take its place.
        write(&mut file, |it| assert!(!it.refuse(run(1, true), "no")));
        write(&mut file, |it| assert!(!it.refuse(run(1, false), "no")));
        // An older helper had its start accepted: the end is still to come.
        assert_eq!(write(&mut file, |it| it.accept(&run(1, false))).count, 1);
        assert_eq!(write(&mut file, |it| it.accept(&run(1, true))).count, 0);
        assert_eq!(write(&mut file, |_| {}).count, 0);
    }

    #[test]
    fn a_torn_line_costs_itself_only() {
        let mut file = Vec::new();
        write(&mut file, |it| assert!(it.refuse(run(1, false), "no")));
        let whole = file.len();
        write(&mut file, |it| assert!(it.refuse(run(2, false), "no")));
        file.truncate(whole + 20);
        write(&mut file, |it| assert!(it.refuse(run(3, false), "no")));
        assert_eq!(Refused::read(&file).entries(), [run(1, false), run(3, false)]);
    }

    #[test]
    fn beyond_the_limit_the_oldest_are_dropped_and_counted() {
        let mut file = Vec::new();
        let mut told = SetAside::default();
        for sequence in 1..=20 {
            told = write(&mut file, |it| assert!(it.refuse(run(sequence, true), "no")));
            assert!(file.len() <= 1_100, "{}", file.len());
        }
        assert_eq!(told.count + told.dropped, 20);
        assert!(told.dropped > 10, "{told:?}");
        let entries = Refused::read(&file).entries();
        assert_eq!(entries.last(), Some(&run(20, true)));
    }
}
