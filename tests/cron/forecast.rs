//! What starts between two instants, against a brute force that goes from slot to slot with
//! `next_after`: random expressions in every kind of zone, about the changes of their offsets.

use crate::cron_common::{Random, YEARS, all_due, made, zone_of};
use crate::past::past;
use jiff::Timestamp;
use schedule::core::cron::{Cron, CronCache, Dialect, Walk, Zone};
use schedule::core::definition::{Schedule, Vars};
use schedule::core::forecast::{Busiest, Forecast, Found, Span};
use schedule::core::history::PastRun;
use schedule::core::ids::JobId;
use schedule::core::outcome::{Exit, Outcome};
use schedule::core::protocol::JobRow;
use schedule::core::table::{Job, Table};
use schedule::core::time::rfc3339;
use std::collections::{BTreeMap, BTreeSet};

const HOUR_S: i64 = 3_600;

/// Seconds at which the offset of a zone changes in a year.
fn changes(zone: &Zone, year: i16) -> Vec<i64> {
    let from: Timestamp = format!("{year}-01-01T00:00:00Z").parse().unwrap();
    let times = zone.following(from).map(|change| change.timestamp().as_second());
    times.take_while(|at| *at < from.as_second() + 366 * 24 * HOUR_S).take(6).collect()
}

/// An expression and how many hours of it can be walked through: with seconds there are more slots.
fn expression(random: &mut Random) -> (String, i64) {
    match random.below(12) {
        0 => (format!("@every {}s", 1 + random.below(200)), 2),
        1 => (format!("@every {}h", 1 + random.below(30)), 90),
        2 => ("* * * * * *".into(), 2),
        3 => ("0-59 0-59 0-23 * * *".into(), 1),
        4 => ("*/5 * * * *".into(), 60),
        5..8 => (made(random, true).text(), 6),
        _ => (made(random, false).text(), 90),
    }
}

fn walked(cron: &Cron, zone: &Zone, from: i64, to: i64) -> Vec<i64> {
    let (mut walk, mut found) = (Walk::new(cron, zone, from, to), Vec::new());
    while walk.step(|slot| found.push(slot)).is_some() {}
    found
}

#[test]
fn a_walk_finds_each_slot_and_no_other() {
    let (mut compared, mut expressions) = (0, 0);
    for (at, (name, year)) in YEARS.iter().enumerate() {
        let zone = zone_of(name);
        let mut random = Random(7 + at as u64);
        let mut places = changes(&zone, *year);
        places.push(Timestamp::now().as_second());
        for place in places {
            for _ in 0..12 {
                let (text, hours) = expression(&mut random);
                let Ok(cron) = Cron::parse(&text, Dialect::Crontab) else { continue };
                let length = hours * HOUR_S;
                // The change is within, at either end, or just before.
                let from = place - length + random.below(length.unsigned_abs() * 5 / 4) as i64;
                let to = from + length;
                let expected = all_due(&cron, &zone, from - 1, to - 1);
                let found = walked(&cron, &zone, from, to);
                let differ = found.iter().zip(&expected).find(|(a, b)| a != b);
                assert!(
                    found == expected,
                    "{text} in {name} from {from} to {to}: {} found, {} expected, {differ:?}",
                    found.len(),
                    expected.len()
                );
                compared += expected.len();
                expressions += 1;
            }
        }
    }
    assert!(compared > 50_000 && expressions > 400, "{compared} slots of {expressions}");
}

/// The original's dialect has expressions that are never due, and years.
#[test]
fn a_walk_ends_where_nothing_is_due_any_more() {
    let zone = zone_of("Europe/London");
    let from = 1_798_761_600; // 2027-01-01T00:00:00Z
    for (text, count) in [("60 * * * *", 0), ("0 0 * * * 2026", 0), ("0 0 * * * 2027", 31)] {
        let cron = Cron::parse(text, Dialect::Original).unwrap();
        assert_eq!(walked(&cron, &zone, from, from + 31 * 24 * HOUR_S).len(), count, "{text}");
    }
    let boot = Cron::parse("@reboot", Dialect::Crontab).unwrap();
    assert_eq!(walked(&boot, &zone, from, from + HOUR_S), [0; 0]);
    // Before days are counted, and an empty stretch.
    let each = Cron::parse("0 * * * *", Dialect::Crontab).unwrap();
    assert_eq!(walked(&each, &zone_of("UTC"), -400_000, 3_601), [0, 3_600]);
    assert_eq!(walked(&each, &zone, from, from), [0; 0]);
}

#[test]
fn equal_expressions_are_known_as_equal_and_others_are_not() {
    let mut cache = CronCache::default();
    let mut all = Vec::new();
    for text in
        ["* * * * *", "0 * * * *", "0-59 * * * *", "0-59 0-23 * * *", "* * * * 1", "@every 60s"]
    {
        all.push(cache.parse(text, Dialect::Crontab).unwrap());
    }
    for (one, first) in all.iter().enumerate() {
        for (other, second) in all.iter().enumerate() {
            // The third follows the wall as the first does, since its hours begin with a star.
            let same = one == other || [(0, 2), (2, 0)].contains(&(one, other));
            assert_eq!(first.identity() == second.identity(), same, "{one} {other}");
        }
    }
    let again = cache.parse("* * * * MON", Dialect::Crontab).unwrap();
    assert_eq!(again.identity(), all[4].identity());
}

/// A table in a zone, and rows of it as they are put in.
struct Fleet {
    table: Table,
    zone: Zone,
}

impl Fleet {
    fn new(zone: &Zone) -> Fleet {
        Fleet { table: Table::new(Dialect::Crontab, zone.clone()), zone: zone.clone() }
    }

    /// A job, how often it may run at a time, and how long its runs took.
    fn put(&mut self, id: u32, cron: &str, zone: &str, limit: u32, took_ms: &[u64]) {
        let row = JobRow {
            id,
            name: format!("job {id}"),
            command: "true".into(),
            cron: cron.into(),
            timezone: zone.into(),
            max_concurrence: limit,
            server_id: 1,
            ..JobRow::default()
        };
        let def = self.table.define(row, &Vars::new());
        self.table.put(def, 1, 0);
        for (run, ms) in took_ms.iter().enumerate() {
            let ended = past(run as u64 + 1, Outcome::Ended(Exit::Code(0)), *ms);
            self.table.get_mut(JobId(id)).unwrap().history_mut().ended(ended);
        }
    }

    fn forecast(&self, span: Span, limit: usize) -> Found {
        let mut forecast = Forecast::new(span, limit, &self.zone);
        self.table.iter().for_each(|job| forecast.add(&self.table, job));
        while forecast.work() {}
        forecast.found()
    }

    /// The slots of a job, one by one, Unix seconds.
    fn slots(&self, job: &Job, span: Span) -> Vec<i64> {
        let def = job.scheduled().unwrap();
        let Schedule::Due(cron, zone) = &def.schedule else { return Vec::new() };
        if def.max_concurrence == 0 {
            return Vec::new();
        }
        let next = |after: &i64| cron.next_after(self.table.zone(*zone), *after);
        let slots = std::iter::successors(next(&(span.from_ms - 1)), next);
        slots.take_while(|slot| *slot < span.to_ms).map(|slot| slot / 1000).collect()
    }

    /// Demands that forecasts are what is found by going from slot to slot. Returns how many slots
    /// there are.
    fn demand(&self, span: Span) -> u64 {
        let jobs: Vec<_> = self.table.iter().map(|job| (job, self.slots(job, span))).collect();
        let ids =
            jobs.iter().flat_map(|(job, slots)| slots.iter().map(|at| (*at * 1000, job.def.id)));
        let mut all: Vec<_> = ids.collect();
        all.sort_unstable();
        let busiest = busiest(&jobs);
        let mut hours: BTreeMap<String, u64> = BTreeMap::new();
        all.iter().for_each(|(slot, _)| *hours.entry(self.hour(*slot)).or_default() += 1);
        for limit in [1, 7, 1_000, 1_000_000] {
            let found = self.forecast(span, limit);
            assert_eq!(found.total, all.len() as u64, "{span:?}");
            let told: Vec<_> = found.slots.iter().map(|(slot, id, _)| (*slot, *id)).collect();
            assert_eq!(told, all[..all.len().min(limit)], "{span:?}");
            for (_, id, place) in &found.slots {
                let job = &found.jobs[*place];
                assert_eq!((job.id, &*job.name), (*id, &*format!("job {id}")));
            }
            let some = found.hours.iter().filter(|hour| hour.slots > 0);
            let told: BTreeMap<String, u64> =
                some.map(|hour| (self.hour(hour.at_ms), hour.slots)).collect();
            assert_eq!(told, hours, "{span:?}");
            assert_eq!(found.busiest, busiest, "{span:?}");
        }
        all.len() as u64
    }

    /// The hour of the wall clock, with the offset.
    fn hour(&self, at_ms: i64) -> String {
        let text = rfc3339(at_ms, &self.zone);
        format!("{}{}", &text[..13], &text[19..])
    }
}

/// When most are alive: looked for at each instant at which one starts.
fn busiest(jobs: &[(&Job, Vec<i64>)]) -> Option<Busiest> {
    let starts: BTreeSet<i64> = jobs.iter().flat_map(|(_, slots)| slots.iter().copied()).collect();
    let mut found: Option<Busiest> = None;
    for at in starts {
        let alive = |(job, slots): &(&Job, Vec<i64>)| {
            let usual_ms = job.history.as_ref().map_or(0, |past| median(&past.runs));
            let lives = (usual_ms as f64 / 1000.0).ceil().max(1.0) as i64;
            let begun = slots.partition_point(|slot| *slot <= at);
            let gone = slots.partition_point(|slot| *slot + lives <= at);
            (begun - gone).min(job.def.max_concurrence as usize) as u64
        };
        let runs = jobs.iter().map(alive).sum();
        if found.is_none_or(|found| runs > found.runs) {
            found = Some(Busiest { at_ms: at * 1000, runs });
        }
    }
    found
}

/// Of an odd number.
fn median<'a>(runs: impl IntoIterator<Item = &'a PastRun>) -> u64 {
    let mut took: Vec<u64> = runs.into_iter().map(|run| run.duration_ms).collect();
    took.sort_unstable();
    took.get(took.len() / 2).copied().unwrap_or(0)
}

#[test]
fn a_forecast_is_what_going_from_slot_to_slot_finds() {
    let mut total = 0;
    for (at, (name, year)) in YEARS.iter().enumerate() {
        let zone = zone_of(name);
        let mut random = Random(101 + at as u64);
        let changes = changes(&zone, *year);
        let place = changes.last().copied().unwrap_or(1_795_000_000);
        let mut fleet = Fleet::new(&zone);
        let mut id = 0;
        while id < 40 {
            let (text, hours) = expression(&mut random);
            // With seconds there are too many to be looked at one by one.
            if hours < 10 && random.below(8) > 0 {
                continue;
            }
            id += 1 + random.below(3) as u32;
            let zone = match random.below(3) {
                0 => "",
                1 => name,
                _ => YEARS[random.below(YEARS.len() as u64) as usize].0,
            };
            let ms = [0, 1, 999, 1_000, 1_001, 61_000, 3_700_000, 200_000_000];
            let took = ms[random.below(8) as usize];
            let took = if random.one_in(3) { vec![] } else { vec![took, took / 2, took * 2] };
            fleet.put(id, &text, zone, random.below(4) as u32, &took);
        }
        let from_ms = place * 1000 - random.below(4 * 3_600_000) as i64;
        let to_ms = from_ms + 3_600_000 + random.below(5 * 3_600_000) as i64;
        total += fleet.demand(Span { from_ms, to_ms });
    }
    assert!(total > 50_000, "{total}");
}

#[test]
fn half_open_and_whole_seconds() {
    let mut fleet = Fleet::new(&zone_of("UTC"));
    fleet.put(1, "* * * * *", "", 1, &[]);
    let count = |from_ms, to_ms| fleet.forecast(Span { from_ms, to_ms }, 10).total;
    assert_eq!(count(60_000, 120_000), 1);
    assert_eq!(count(60_001, 120_000), 0);
    assert_eq!(count(60_001, 120_001), 1);
    assert_eq!(count(59_999, 60_000), 0);
    assert_eq!(count(60_000, 60_001), 1);
}

#[test]
fn what_has_no_slots_is_in_no_forecast() {
    let mut fleet = Fleet::new(&zone_of("UTC"));
    fleet.put(1, "@reboot", "", 1, &[]);
    fleet.put(2, "* * * * *", "", 0, &[]);
    fleet.put(3, "99 * * * *", "", 1, &[]);
    fleet.put(4, "* * * * *", "Mars/Olympus", 1, &[]);
    let found = fleet.forecast(Span { from_ms: 0, to_ms: 86_400_000 }, 10);
    assert_eq!((found.total, found.slots, found.busiest), (0, vec![], None));
    assert_eq!(found.hours.len(), 24);
}

#[test]
fn how_long_a_job_takes_is_the_median_of_its_good_runs() {
    let mut fleet = Fleet::new(&zone_of("UTC"));
    fleet.put(1, "* * * * *", "", 3, &[5_000, 90_000, 1_000, 91_000]);
    let history = fleet.table.get_mut(JobId(1)).unwrap().history_mut();
    let bad = [Outcome::Ended(Exit::Code(1)), Outcome::Lost("gone".into())];
    for outcome in bad.into_iter().cycle().take(9) {
        history.ended(past(99, outcome, 7));
    }
    history.ended(PastRun { stopped: true, ..past(99, Outcome::Ended(Exit::Code(0)), 7) });
    let usual = |fleet: &Fleet| {
        let found = fleet.forecast(Span { from_ms: 0, to_ms: 600_000 }, 10);
        (found.jobs[0].usual_ms, found.busiest.unwrap())
    };
    // What was told to end may end well, but not after its usual time.
    assert_eq!(usual(&fleet).0, 47_500);
    fleet.put(1, "*/1 * * * *", "", 3, &[150_000; 20]);
    assert_eq!(usual(&fleet), (150_000, Busiest { at_ms: 120_000, runs: 3 }));
    fleet.put(1, "*/1 * * * *", "", 2, &[]);
    assert_eq!(usual(&fleet), (150_000, Busiest { at_ms: 60_000, runs: 2 }));
    fleet.put(1, "*/1 * * * *", "", 9, &[60_000; 20]);
    assert_eq!(usual(&fleet), (60_000, Busiest { at_ms: 0, runs: 1 }));
}

/// Memory and the length of a slice: see also `cargo bench --bench forecast`.
#[test]
fn many_jobs_each_second_for_a_month_are_counted_and_not_gone_through() {
    let mut fleet = Fleet::new(&zone_of("UTC"));
    for id in 1..=2_000 {
        fleet.put(id, "* * * * * *", "", 1, &[]);
    }
    let month_ms = 31 * 86_400_000;
    let found = fleet.forecast(Span { from_ms: 0, to_ms: month_ms }, 10_000);
    assert_eq!(found.total, 2_000 * month_ms.unsigned_abs() / 1000);
    let last = found.slots.last().map(|(slot, id, _)| (*slot, *id));
    assert_eq!((found.slots.len(), last), (10_000, Some((4_000, JobId(2_000)))));
    assert_eq!(found.busiest, Some(Busiest { at_ms: 0, runs: 2_000 }));
    assert!(found.hours.iter().all(|hour| hour.slots == 7_200_000) && found.hours.len() == 744);
}
