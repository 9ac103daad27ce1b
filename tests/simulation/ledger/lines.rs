//! What the journal says, and what of it survives the daemon.

use super::super::database::{PATHS, home};
use super::pauses::{self, Pauses};
use super::{Before, End, Ledger, Run, State, remarks};
use schedule::core::daemon::Core;
use schedule::core::ids::RunId;
use schedule::core::journal::{self, Entry, RunEntry, SkipEntry, Stand, TableEntry, decode};
use schedule::core::outcome::Outcome;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// What a daemon left that could not write its journal.
pub struct LastWord {
    /// Lines up to here are lost with it.
    pub end: u64,
    /// Others were dropped: it counts until a segment begins behind this.
    pub until: Option<u64>,
    pub anew: u64,
    /// Every slot up to this instant counts as decided.
    pub decided: i64,
    pub boot: String,
    pub table: Option<Told>,
    pub pauses: Pauses,
}

/// The table in force, as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub digest: String,
    pub at_ms: i64,
    /// Which database it is of.
    source: Option<String>,
}

impl Told {
    fn of(entry: &TableEntry<'_>) -> Told {
        let source = entry.source.as_ref().map(|source| source.clone().into_owned());
        Told { digest: entry.digest.clone().into_owned(), at_ms: entry.at_ms, source }
    }
}

impl LastWord {
    /// None: there is none.
    pub fn read(word: &[u8]) -> Option<LastWord> {
        let mut entries = word.split(|&byte| byte == b'\n').filter_map(decode);
        let Some(Entry::Unwritten { end, until, .. }) = entries.next() else { return None };
        let Some(Entry::Boot(boot)) = entries.next() else { return None };
        let boot = boot.into_owned();
        let anew = entries.find_map(|entry| match entry {
            Entry::Anew(sequence) => Some(sequence),
            _ => None,
        });
        let decided = entries.find_map(|entry| match entry {
            Entry::Decided(at) => Some(at),
            _ => None,
        });
        let pauses = pauses::of_word(word)?;
        let table = entries.find_map(|entry| match entry {
            Entry::Table(table) => Some(Told::of(&table)),
            _ => None,
        });
        Some(LastWord { end, until, anew: anew?, decided: decided?, boot, table, pauses })
    }
}

/// A piece of the journal on its way to the disk.
pub struct Piece<'a> {
    pub offset: u64,
    pub bytes: &'a [u8],
    /// How many of the bytes reach the disk.
    pub kept: usize,
    /// A new segment, to begin with a checkpoint.
    pub segment: bool,
    /// Everything before this offset is in the database, or was dropped at the limit.
    pub recorded: u64,
}

impl Ledger {
    /// Were the daemon killed now, this run would be known of, or counted.
    pub fn check_known(&self, id: RunId, word: &[u8]) {
        let run = &self.runs[&id];
        let told = LastWord::read(word).is_some_and(|word| {
            let before = run.epoch != self.epoch;
            let counts = before || run.slot.is_none_or(|slot| slot <= word.decided);
            counts && run.intent_at.is_some_and(|at| at <= word.end)
        });
        assert!(run.durable || told, "run {id} is launched and nobody would know of it");
    }

    /// Were the daemon killed now, the next one would know which table is in force.
    pub fn check_table_told(&self, word: &[u8]) {
        let Some(table) = &self.table else { return };
        let is = |told: &Option<Told>| told.as_ref().is_some_and(|told| told.digest == *table);
        let told = is(&self.durable.table) || LastWord::read(word).is_some_and(|it| is(&it.table));
        assert!(told, "table {table} is in force, the journal has {:?}", self.durable.table);
    }

    /// A last word counts until there is a segment behind those that are on the disk: the next one
    /// tells all that counts.
    pub fn check_last_word(&self, word: &[u8], on_disk: Option<u64>) {
        let (Some(word), Some(last)) = (LastWord::read(word), on_disk) else { return };
        let is_short = word.until.is_none_or(|until| until <= last);
        assert!(is_short, "a last word counts until {:?}, the last segment is {last}", word.until);
    }

    /// A snapshot is kept. Were the daemon killed now, the next one would launch nothing by it for
    /// slots before its rows were there: the disk says how far deciding has come, or the last word.
    pub fn check_rows_decided(&self, word: &[u8]) {
        let Some(decided) = self.durable.decided.filter(|_| self.durable.epoch == self.epoch)
        else {
            return;
        };
        let word = LastWord::read(word).filter(|word| word.anew >= self.durable.anew);
        let decided = word.map_or(decided, |word| decided.max(word.decided));
        for (id, job) in &self.jobs {
            let Some(def) = job.scheduled() else { continue };
            let last = self.durable.last.get(id).copied().unwrap_or(i64::MIN);
            let next = def.expr.next(&self.zones[def.zone], last.max(decided));
            let early = next.filter(|next| *next <= job.since);
            assert_eq!(
                early, None,
                "a snapshot is kept, and by the disk job {id} is due before it"
            );
        }
    }

    /// Whether a snapshot is of the table that was in force last, as far as the disk tells.
    pub fn is_last_table(&self, digest: &str) -> bool {
        self.durable.table.as_ref().is_none_or(|told| told.digest == digest)
    }

    /// The same of one that was not kept: slots before its rows were there must be decided.
    pub fn is_last_table_decided(&self, digest: &str) -> bool {
        let is = |told: &Told| told.digest == digest && told.at_ms <= self.decided;
        !self.is_foreign_table() && self.durable.table.as_ref().is_some_and(is)
    }

    /// Whether the table that was in force last was another database's, as far as the disk tells.
    pub fn is_foreign_table(&self) -> bool {
        let here = format!(" of sqlite {} ", PATHS[self.named]);
        let source = self.durable.table.as_ref().and_then(|told| told.source.as_ref());
        source.is_some_and(|source| !source.contains(&here))
    }

    /// Whether this is the table in force.
    pub fn is_table(&self, digest: Option<&str>) -> bool {
        self.table.as_deref().is_none_or(|table| Some(table) == digest)
    }

    /// The keeper forgets how a run ended: the journal has it, or it was dropped. `none_waits`:
    /// nothing of the journal is in memory alone.
    pub fn check_end_kept(&self, id: RunId, none_waits: bool) {
        let Some(run) = self.runs.get(&id) else { return };
        let is_kept = run.durable_end.is_some() || (!run.durable && none_waits);
        assert!(
            is_kept,
            "the keeper forgets how run {id} ended, and the journal has no word of it"
        );
    }

    /// The daemon is gone, and its last word counts. What the journal tells behind the place where
    /// it ended then is newer.
    pub(super) fn hear_last_word(&mut self, word: LastWord) {
        let is_older = |at: u64| at <= word.end;
        let durable = &mut self.durable;
        if is_older(durable.at.table) {
            durable.table = word.table.or(durable.table.take());
        }
        if is_older(durable.at.pauses) {
            durable.pauses = word.pauses;
        }
        if is_older(durable.at.boot) {
            durable.boot = word.boot;
        }
        if !is_older(durable.at.anew) {
            return;
        }
        if word.anew > durable.anew || durable.epoch != self.epoch {
            durable.decided = durable.decided.filter(|_| !is_older(durable.at.decided));
            self.anew_told();
        }
        self.durable.decided = self.durable.decided.max(Some(word.decided));
    }

    /// A segment is about to begin: all that is known without it.
    pub fn remember(&mut self, start: u64) {
        let known = |run: &Run| (run.durable, run.slot_durable, run.kill_ms);
        let open = self.runs.iter().filter(|(_, run)| run.durable_end.is_none());
        self.before = Before {
            start: Some(start),
            durable: self.durable.clone(),
            kept_skips: self.kept_skips.clone(),
            runs: open.map(|(id, run)| (*id, known(run))).collect(),
            gone: BTreeMap::new(),
        };
    }

    /// The newest segment, which begins here, is lost. Returns the runs whose ends were in it: they
    /// may have another. None: what was there without it is not known.
    pub fn lose(&mut self, start: u64) -> Option<Vec<RunId>> {
        let before = std::mem::take(&mut self.before);
        if before.start != Some(start) {
            return None;
        }
        let mut ended = Vec::new();
        self.runs.extend(before.gone);
        for (id, run) in &mut self.runs {
            if run.durable_end.as_ref().is_some_and(|(at, _)| *at <= start) {
                continue;
            }
            ended.extend(run.durable_end.take().map(|_| *id));
            let known = before.runs.get(id).copied().unwrap_or_default();
            (run.durable, run.slot_durable, run.kill_ms) = known;
        }
        self.durable = before.durable;
        let now = std::mem::replace(&mut self.kept_skips, before.kept_skips);
        let is_lost = |(key, kept): &(_, _)| self.kept_skips.get(key) != Some(kept);
        self.lost_skips.extend(now.into_iter().filter(is_lost).map(|(key, _)| key));
        Some(ended)
    }

    /// Compares what is written with what it should be.
    pub fn wrote(&mut self, piece: &Piece<'_>) {
        let mut carried = BTreeSet::new();
        let mut at = 0;
        let mut is_new = false;
        for line in piece.bytes.split_inclusive(|&byte| byte == b'\n') {
            // What waited for room is told once, and durable later.
            let news = piece.offset + at as u64 >= self.told_to;
            is_new |= news;
            at += line.len();
            let entry = line.strip_suffix(b"\n").and_then(decode);
            let entry = entry.unwrap_or_else(|| panic!("no line of the journal: {line:?}"));
            let durable = (at <= piece.kept).then_some(piece.offset + at as u64);
            if !news && durable.is_none() {
                continue;
            }
            if let Entry::Anew(sequence) = entry
                && news
            {
                self.anew_from = piece.offset + at as u64;
                self.began_anew(sequence, piece.segment);
            }
            match entry {
                Entry::Checkpoint => {
                    assert!(piece.segment && at == line.len(), "a checkpoint");
                    self.begins_segment(piece.bytes, news, durable);
                }
                Entry::Pauses(all) => self.pauses_told(pauses::told(&all), news, durable),
                Entry::Table(table) if durable.is_some() => {
                    self.durable.table = Some(Told::of(&table));
                    self.durable.at.table = piece.offset + at as u64;
                }
                Entry::Boot(boot) => self.boot_told(&boot, piece.segment, durable),
                Entry::Run(run) => {
                    self.run_told(run, news.then_some(piece.offset + at as u64), durable)
                }
                Entry::Carried(run) => {
                    carried.insert(run.run);
                    self.carried(&run, durable);
                }
                Entry::Skip(skip) => self.skip_told(skip, news, durable),
                Entry::Decided(upto) => self.decided_told(upto, news, durable),
                Entry::Recorded(through) => {
                    let known = piece.recorded;
                    assert!(through <= known, "{through} recorded; the database has {known}");
                }
                Entry::Anew(sequence) if durable.is_some() => {
                    self.durable.anew = sequence;
                    self.durable.at.anew = piece.offset + at as u64;
                    // How far it had come before counts no more, should what follows be lost.
                    self.durable.decided = None;
                    self.anew_told();
                }
                Entry::SetAside(stand) => self.set_aside_told(stand, durable),
                // An entry that only narrows what comes after.
                _ => {}
            }
        }
        self.told_to = self.told_to.max(piece.offset + at as u64);
        if piece.segment {
            // Since it was put together some ended and some were decided; both is told behind it.
            let there = |id: &RunId| carried.contains(id) || !self.runs[id].intent_seen;
            let open = |id: &RunId| self.live.contains(id) || !self.runs[id].end_seen;
            let all = self.live.iter().all(there) && carried.iter().all(open);
            assert!(all || !is_new, "the checkpoint has {carried:?}, alive are {:?}", self.live);
            if piece.kept == piece.bytes.len() {
                self.forget_unwritten_ends(&carried);
            }
        }
    }

    /// A checkpoint is all that counts. Runs whose end could not be written are not in it.
    fn forget_unwritten_ends(&mut self, carried: &BTreeSet<RunId>) {
        for (id, run) in &mut self.runs {
            let lost = run.state == State::Gone && run.durable_end.is_none();
            run.durable &= !lost || carried.contains(id);
        }
    }

    fn set_aside_told(&mut self, stand: Stand, durable: Option<u64>) {
        self.durable.set_aside = durable.map(|_| stand).or(self.durable.set_aside);
    }

    fn boot_told(&mut self, boot: &str, segment: bool, durable: Option<u64>) {
        assert!(segment || boot == self.boot, "the boot {boot} is noted");
        if let Some(at) = durable {
            self.durable.boot = boot.into();
            self.durable.at.boot = at;
        }
    }

    fn run_told(&mut self, entry: RunEntry<'_>, news: Option<u64>, durable: Option<u64>) {
        let (id, epoch) = (entry.run, self.epoch);
        let Some(run) = self.runs.get_mut(&id) else { panic!("run {id} was never decided") };
        assert_eq!((entry.job.0, entry.slot_ms), (run.job, run.slot), "run {id}");
        assert_eq!(entry.home, home(run.named), "run {id}: the database of its job");
        let is_intent = entry.pid == 0 && entry.end.is_none();
        if is_intent && news.is_some() {
            assert!(!run.intent_seen, "run {id} has two intents");
            assert!(entry.kernel_start > 0, "run {id}: no word of when it can have begun");
            run.intent_seen = true;
            run.intent_at = news;
            self.fresh.remove(&id);
        }
        assert!(run.intent_seen, "run {id} has no intent");
        if let Some(end) = entry.end.as_ref().filter(|_| news.is_some()) {
            assert!(!run.end_seen, "run {id} has two ends");
            run.end_seen = true;
            check_end(id, run.end.as_ref(), end);
            remarks::check(id, run, &entry);
        }
        let Some(at) = durable else { return };
        run.durable = true;
        run.kill_ms = entry.kill_ms;
        run.is_by = remarks::is_by(&entry);
        run.durable_end = entry.end.map(|end| (at, end.outcome)).or(run.durable_end.take());
        run.slot_durable = true;
        if let Some(slot) = run.slot.filter(|_| run.epoch == epoch) {
            let last = self.durable.last.entry(run.job).or_insert(slot);
            *last = slot.max(*last);
        }
    }

    fn carried(&mut self, entry: &RunEntry<'_>, durable: Option<u64>) {
        let id = entry.run;
        let Some(run) = self.runs.get_mut(&id) else { panic!("run {id} was never decided") };
        run.durable |= durable.is_some();
        run.slot_durable |= durable.is_some();
        remarks::check_stop(id, run, entry);
        if durable.is_some() {
            run.kill_ms = entry.kill_ms;
            run.is_by = remarks::is_by(entry);
        }
    }

    fn skip_told(&mut self, skip: SkipEntry, news: bool, durable: Option<u64>) {
        if news {
            assert_eq!(skip.home, home(self.named), "{skip:?}: the database of its job");
            self.skip_is_right(skip);
        }
        let (id, key) = (skip.job.0, (skip.job.0, skip.first_ms, skip.home));
        if let Some(at) = durable {
            let before = self.durable.last.get(&id).copied();
            let last = self.durable.last.entry(id).or_insert(skip.last_ms);
            *last = skip.last_ms.max(*last);
            if self.is_forgotten(at) {
                // It is told again behind what made an end of it.
                self.durable.last.remove(&id);
                self.durable.last.extend(before.map(|before| (id, before)));
            }
            let kept = self.kept_skips.entry(key).or_default();
            match kept.first().map_or(0, |(longest, _)| longest.count).cmp(&skip.count) {
                Ordering::Less => *kept = vec![(skip, at)],
                Ordering::Equal if kept.iter().all(|(known, _)| *known != skip) => {
                    kept.push((skip, at));
                }
                _ => {}
            }
        }
    }

    fn skip_is_right(&mut self, skip: SkipEntry) {
        let id = skip.job.0;
        let earlier = self.fresh.iter().find(|run| {
            let run = &self.runs[*run];
            run.job == id && run.slot.is_some_and(|slot| slot < skip.last_ms)
        });
        assert_eq!(earlier, None, "{skip:?} is told first: killed now, the launch is lost");
        let key = (id, skip.first_ms);
        let before = self.ranges.insert(key, skip);
        let (told, count) = match before {
            Some(old) if old.reason == skip.reason => (old.last_ms, skip.count - old.count),
            _ => (skip.first_ms - 1, skip.count),
        };
        if let Some(job) = self.jobs.get_mut(&id) {
            let is_part = |(reason, slot): &(_, i64)| {
                *reason == skip.reason && *slot > told && *slot <= skip.last_ms
            };
            let told: Vec<i64> =
                job.untold.extract_if(.., |it| is_part(it)).map(|it| it.1).collect();
            let (first, last) = (told.first(), told.last());
            assert_eq!(count, told.len() as u64, "job {id}: {skip:?} is told, due were {told:?}");
            assert_eq!(last, Some(&skip.last_ms), "job {id}: {skip:?} is told");
            assert!(before.is_some() || first == Some(&skip.first_ms), "job {id}: {skip:?}");
        }
    }

    /// Nothing may be called decided that was not told before.
    fn decided_told(&mut self, upto: i64, news: bool, durable: Option<u64>) {
        // A last word from before the clock was set back.
        if news && self.before_anew.is_none_or(|before| upto > before || upto <= self.decided) {
            self.check_decided(upto);
        }
        let Some(at) = durable else { return };
        self.durable.decided = Some(upto);
        self.durable.at.decided = at;
        if at >= self.anew_from {
            self.anew_told();
        }
    }

    /// Of a last word and a journal it must be clear which is the later one.
    fn began_anew(&mut self, sequence: u64, segment: bool) {
        let before = self.anew_known.replace(sequence);
        let is_later = segment || before.is_none_or(|before| before < sequence);
        assert!(is_later, "the schedule begins anew at {sequence} once more");
        if !segment {
            // What was decided before may have been told only since then.
            self.forget_ranges();
        }
    }

    /// Whether a line is of the time before the schedule began anew, and that is known already.
    fn is_forgotten(&self, at: u64) -> bool {
        at < self.anew_from && self.durable.epoch == self.epoch
    }

    /// What is on the disk is of the time since the schedule began anew.
    pub(super) fn anew_told(&mut self) {
        if self.durable.epoch != self.epoch {
            self.durable.last.clear();
            self.durable.epoch = self.epoch;
        }
    }

    fn check_decided(&self, upto: i64) {
        assert!(upto <= self.decided, "decided up to {upto} is told at {}", self.decided);
        for (id, job) in &self.jobs {
            let next = job.next.filter(|next| *next <= upto);
            assert_eq!(next, None, "job {id}: told that all up to {upto} is decided");
            let untold = job.untold.iter().find(|(_, slot)| *slot <= upto);
            assert_eq!(untold, None, "job {id}: told too early that all up to {upto} is decided");
        }
        for id in &self.fresh {
            let slot = self.runs[id].slot.filter(|slot| *slot <= upto);
            assert_eq!(slot, None, "decided up to {upto} is told before the intent of {id}");
        }
    }

    /// At the end of a turn nothing is left to be told.
    pub(super) fn check_told(&self, core: &Core) {
        let forgotten = if self.is_stuck() { None } else { self.fresh.first() };
        assert_eq!(forgotten, None, "no intent was written for it");
        if core.busy() {
            return;
        }
        for (id, job) in &self.jobs {
            assert!(job.untold.is_empty(), "job {id}: never told: {:?}", job.untold);
        }
        let told = |id: &RunId| self.live.contains(id) || self.runs[id].end_seen;
        let last = self.runs.keys().rev().take(8).find(|id| !told(id));
        assert_eq!(last, None, "a run whose end was never told");
    }
}

fn check_end(id: RunId, expected: Option<&End>, end: &journal::End) {
    let is = &end.outcome;
    match expected {
        Some(End::Seen(outcome, at_ms, lasted_ms)) => {
            assert_eq!(is, outcome, "run {id}: its outcome");
            let times = (end.at_ms, end.duration_ms);
            assert_eq!(times, (*at_ms, *lasted_ms), "run {id}: when it ended, how long it took");
        }
        Some(End::Exactly(outcome)) => assert_eq!(is, outcome, "run {id}: its outcome"),
        Some(End::NoProcess) => {
            assert!(!matches!(is, Outcome::Ended(_)), "run {id} ended with {is} out of nothing");
        }
        None => panic!("run {id} has the end {is} and is alive"),
    }
}
