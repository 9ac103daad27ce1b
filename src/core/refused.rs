//! Records that the database refuses for themselves: a foreign key, a trigger, a constraint. They
//! are set aside so that they block no other, kept in a file beside the journal, and tried again
//! now and then.
//!
//! A line of the file is one of the journal's kind; of several with one key the last one counts.
//! The helper alone reads and writes it, after it has committed and before it answers: killed in
//! between, it is asked to carry the same range again and comes to the same file.

use crate::core::homes::Homes;
use crate::core::journal::{Entry, decode_line, encode_line, whole_lines};
use crate::core::limits::{MAX_REASON_CHARS, MAX_REFUSED_BYTES, cut};
use crate::core::plain::counted;
use crate::core::protocol::SetAside;
use crate::core::records::{Key, key, says_more};

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

/// Bytes that are left free where nothing is to be dropped: more than the longest line.
const SPARE_BYTES: usize = MAX_REFUSED_BYTES / 16;

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
    /// What of the file can't be read.
    damaged: Vec<&'a [u8]>,
    /// So many whole lines of it: each is taken for a record that nothing else has.
    unread: u64,
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
    /// Reads the bytes of the file. What can't be read is for [`damaged`](Self::damaged).
    pub fn read(bytes: &'a [u8]) -> Refused<'a> {
        let mut refused = Refused::default();
        let (lines, whole) = whole_lines(bytes);
        for line in lines {
            let mut bad = &line[..memchr::memrchr(0, line).unwrap_or(0)];
            match decode_line(line) {
                Some(Line::Refused { why, entry }) => {
                    refused.keep(why, *entry, line.len() + 1);
                }
                Some(Line::Dropped(total)) => refused.dropped = total,
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
        refused
    }

    /// So many were dropped at least, as is known: what the file says of that may be damaged, too.
    pub fn dropped_at_least(&mut self, count: u64) {
        self.dropped = self.dropped.max(count);
    }

    /// The bytes of a file in place of one that can't be read; none where nothing was ever dropped.
    pub fn begun_anew(dropped: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        if dropped > 0 {
            encode_line(&mut bytes, &Line::Dropped(dropped));
        }
        bytes
    }

    fn keep(&mut self, why: Cow<'a, str>, entry: Entry<'a>, bytes: usize) {
        let Some(key) = key(&entry) else { return };
        self.places += 1;
        self.kept.insert(key, Kept { place: self.places, why, entry, bytes });
    }

    /// What of the file can't be read and will not be in the new one. Parts that are torn are from
    /// a write that failed, of which nothing counts: what they begin is carried again.
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
        let before = self.added.len();
        write_line(&mut self.added, &entry, &why);
        self.keep(why, entry, self.added.len() - before);
        news
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

    /// So many bytes can be set aside without anything being dropped.
    pub fn room(&self) -> usize {
        let kept: usize = self.kept.values().map(|kept| kept.bytes).sum();
        MAX_REFUSED_BYTES.saturating_sub(kept + SPARE_BYTES)
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
        self.dropped += std::mem::take(&mut self.unread);
        self.drop_oldest(max_bytes);
        let mut bytes = Self::begun_anew(self.dropped);
        for (_, kept) in self.by_age() {
            write_line(&mut bytes, &kept.entry, &kept.why);
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

    /// What the daemon is told. Why those of another database wait is said anew each time: another
    /// one may be named by now.
    pub fn told(&self, homes: &Homes) -> SetAside {
        let mut told = SetAside { dropped: self.dropped, ..SetAside::default() };
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

fn write_line(lines: &mut Vec<u8>, entry: &Entry<'_>, why: &str) {
    let line = Line::Refused { why: why.into(), entry: Box::new(entry.clone()) };
    encode_line(lines, &line);
}

/// Bytes that it takes to set a record aside.
pub fn bytes_of(entry: &Entry<'_>, why: &str) -> usize {
    let mut line = Vec::new();
    write_line(&mut line, entry, &cut(why, MAX_REASON_CHARS));
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
        _ => "a record".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::core::homes::mark;
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
            home: 0,
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
        assert_eq!(Refused::read(file).told(&Homes::default()), refused.told(&Homes::default()));
        refused.told(&Homes::default())
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

    /// Who is to write its name into the configuration must be able to copy it.
    #[test]
    fn what_is_said_of_another_database_is_of_now_and_never_cut() {
        let (here, other) = ("sqlite /here", format!("sqlite /{}", "x".repeat(500)));
        let mut homes = Homes { here: here.into(), ..Homes::default() };
        homes.know(other.clone());
        let mut entry = run(1, true);
        if let Entry::Run(run) = &mut entry {
            run.home = mark(&other);
        }
        let mut refused = Refused::default();
        let told = refused.put_by(&[entry], &homes).unwrap();
        assert!(told[0].ends_with(&other), "{told:?}");
        let aside = refused.told(&homes);
        assert!(aside.last_elsewhere.ends_with(&other), "{aside:?}");
        assert_eq!((aside.count, aside.elsewhere, aside.waiting), (1, 1, 0));
        let aside = refused.told(&Homes { here: other, ..Homes::default() });
        assert_eq!((aside.count, aside.elsewhere, aside.waiting), (1, 0, 1));
        assert_eq!(
            (aside.last.as_str(), aside.last_elsewhere.as_str()),
            ("run=1-1 job=3: it waits for the database", "")
        );
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
        assert_eq!(Refused::read(&file).told(&Homes::default()).dropped, 0);
    }

    #[test]
    fn a_damaged_line_is_counted_and_for_others_to_keep() {
        let mut file = Vec::new();
        for sequence in 1..=3 {
            write(&mut file, |it| assert!(it.refuse(run(sequence, false), "no")));
        }
        let lines: Vec<_> = file.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        // A byte that flipped; a hole in a line; the beginning of one and a hole before another.
        let flipped = lines[1].to_ascii_uppercase();
        let holed = [&lines[1][..20], b"\0\0", &lines[1][22..]].concat();
        let after_hole = [&lines[1][..20], b"\0\0", &lines[2]].concat();
        for (damaged, lost, kept) in
            [(&flipped, 1, &flipped[..]), (&holed, 1, &holed), (&after_hole, 0, &lines[1][..20])]
        {
            let mut file = [&lines[0], damaged, &lines[2], &b""[..]].join(&b'\n');
            let read = Refused::read(&file);
            assert!(read.damaged().concat().starts_with(kept) && read.damaged().len() == 1);
            // Until the file is written anew the count is of that.
            assert_eq!(Refused::read(&file).told(&Homes::default()).dropped, 0);
            assert_eq!(write(&mut file, |_| {}).dropped, lost);
            assert_eq!(write(&mut file, |_| {}).dropped, lost);
            assert_eq!(Refused::read(&file).entries(), [run(1, false), run(3, false)]);
            assert!(Refused::read(&file).damaged().is_empty());
        }
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
