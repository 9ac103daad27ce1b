//! Why a job ran, or did not: 10,000 questions about a month that was lived through, with jobs that
//! are changed, disabled, paused, deleted and made, outages, and runs that take longer than their
//! slots are apart. A ledger of its own tells what is right: it reads schedules by arithmetic
//! alone, and knows of each slot what must have become of it.

mod pauses;
mod turned;

use crate::web_common::{Bench, START, row, settings};
use schedule::core::event::{Ended, Event};
use schedule::core::ids::RunId;
use schedule::core::outcome::{Exit, Outcome};
use schedule::core::protocol::{Answer, JobRow};
use schedule::core::scheduler::Settings;
use schedule::core::time::{Now, rfc3339};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const MINUTE: i64 = 60_000;
const DAY: i64 = 1_440 * MINUTE;

/// Local time of the bench is so far ahead of UTC, ms.
const AHEAD: i64 = 8 * 60 * MINUTE;

/// Numbers that are the same each time (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.unsigned_abs()).cast_signed()
    }
}

/// What a job is: due at this minute of each so many hours, or of one hour of the day.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Def {
    minute: i64,
    every_h: i64,
    hour: Option<i64>,
    limit: usize,
    enabled: bool,
}

impl Def {
    fn any(random: &mut Random) -> Def {
        let daily = random.below(4) == 0;
        Def {
            minute: random.below(60),
            every_h: [1, 2, 3, 6][random.below(4) as usize],
            hour: daily.then(|| random.below(24)),
            limit: 1 + random.below(2) as usize,
            enabled: true,
        }
    }

    fn cron(&self) -> String {
        match self.hour {
            Some(hour) => format!("{} {hour} * * *", self.minute),
            None => format!("{} */{} * * *", self.minute, self.every_h),
        }
    }

    fn is_due(&self, at: i64) -> bool {
        let local = at + AHEAD;
        let (hour, minute) = (local.rem_euclid(DAY) / (60 * MINUTE), local.rem_euclid(60 * MINUTE));
        let is_hour = self.hour.map_or(hour % self.every_h == 0, |its| its == hour);
        is_hour && minute == self.minute * MINUTE
    }

    fn slot(&self, near: i64, step: i64) -> i64 {
        let mut at = near.div_euclid(MINUTE) * MINUTE;
        while !self.is_due(at) {
            at += step * MINUTE;
        }
        at
    }
}

/// What became of a slot.
#[derive(Clone, Debug, PartialEq)]
enum Fate {
    Ran,
    Skipped(&'static str),
}

struct Month {
    bench: Bench,
    random: Random,
    /// Since when each job is what; none: it is not there.
    lives: BTreeMap<u32, Vec<(i64, Option<Def>)>>,
    fates: BTreeMap<(u32, i64), Fate>,
    /// Who disabled each job last.
    disabled_by: BTreeMap<u32, Vec<(i64, &'static str)>>,
    /// Who paused each job, and all.
    pauses: pauses::Pauses,
    /// The runs that are alive, and when they end.
    alive: BTreeMap<u32, Vec<i64>>,
    /// Runs of an older definition are alive until then.
    waits: BTreeMap<u32, i64>,
    restarts: u64,
}

impl Month {
    fn new() -> Month {
        let mut random = Random(7);
        let defs: Vec<Def> = (0..8).map(|_| Def::any(&mut random)).collect();
        let rows: Vec<JobRow> = defs
            .iter()
            .zip(1..)
            .map(|(def, id)| JobRow {
                max_concurrence: def.limit as u32,
                ..row(id, &def.cron(), &format!("sleep {id}"))
            })
            .collect();
        let lives = defs.iter().zip(1..).map(|(def, id)| (id, vec![(i64::MIN, Some(*def))]));
        Month {
            bench: Bench::that_asks_seldom(&rows),
            random,
            lives: lives.collect(),
            fates: BTreeMap::new(),
            disabled_by: BTreeMap::new(),
            pauses: pauses::Pauses::default(),
            alive: BTreeMap::new(),
            waits: BTreeMap::new(),
            restarts: 0,
        }
    }

    fn now(&self) -> i64 {
        self.bench.now.wall_ms
    }

    fn def(&self, id: u32, at: i64) -> Option<Def> {
        let life = self.lives.get(&id)?;
        life.iter().rev().find(|(since, _)| *since <= at)?.1
    }

    fn ids(&self) -> Vec<u32> {
        self.lives.keys().copied().filter(|id| self.def(*id, self.now()).is_some()).collect()
    }

    /// How long a run takes: longer than an hour where slots may overlap.
    fn takes(id: u32) -> i64 {
        [4, 75, 130, 7][id as usize % 4] * MINUTE + 30_000
    }

    fn go_to(&mut self, at: i64) {
        let ms = u64::try_from(at - self.now()).unwrap();
        self.bench.pass(ms);
    }

    /// A minute goes by: first what ends in it, then what is due at its end.
    fn minute(&mut self, at: i64) {
        let ends = self.alive.values().flatten().any(|end| *end < at);
        if ends {
            self.go_to(at - 20_000);
            self.end_runs();
        }
        let due: Vec<(u32, Def)> = self
            .ids()
            .into_iter()
            .filter_map(|id| Some((id, self.def(id, at)?)))
            .filter(|(_, def)| def.enabled && def.is_due(at))
            .collect();
        if due.is_empty() {
            return;
        }
        for (id, def) in due {
            let is_paused = self.pauses.end(id) > at;
            let alive = self.alive.entry(id).or_default();
            let fate = if is_paused {
                Fate::Skipped("paused")
            } else if self.waits.get(&id).is_some_and(|until| *until > at) {
                Fate::Skipped("waiting")
            } else if alive.len() >= def.limit {
                Fate::Skipped("overlap")
            } else {
                alive.push(at + Month::takes(id));
                Fate::Ran
            };
            self.fates.insert((id, at), fate);
        }
        self.go_to(at + 100);
    }

    /// Those end that have run for their time. Every seventh fails.
    fn end_runs(&mut self) {
        let now = self.now();
        let runs = self.bench.core.scheduler.runs();
        let over: Vec<RunId> = runs
            .values()
            .filter(|run| run.slot_ms.unwrap() + Month::takes(run.job.0) < now)
            .map(|run| run.id)
            .collect();
        for run in over {
            let code = u8::from(run.sequence / 1_024 % 7 == 0);
            let outcome = Outcome::Ended(Exit::Code(code));
            let ended = Ended::unseen(run, self.bench.now, outcome);
            self.bench.core.handle(self.bench.now, Event::Ended(Box::new(ended)));
        }
        self.bench.turn();
        self.alive.values_mut().for_each(|ends| ends.retain(|end| *end >= now));
        let left = self.bench.core.scheduler.runs().len();
        assert_eq!(left, self.alive.values().map(Vec::len).sum::<usize>(), "runs are alive");
    }

    fn is(&mut self, id: u32, def: Option<Def>) {
        let now = self.now();
        self.lives.entry(id).or_insert_with(|| vec![(i64::MIN, None)]).push((now, def));
    }

    /// Somebody changes something, over the API or in the table itself.
    fn change(&mut self) {
        let ids = self.ids();
        let id = ids[self.random.below(ids.len() as i64) as usize];
        let def = self.def(id, self.now()).unwrap();
        let is_alive = self.alive.get(&id).is_some_and(|ends| !ends.is_empty());
        match self.random.below(8) {
            0 if ids.len() < 12 && def.enabled => {
                let new = Def::any(&mut self.random);
                let body = json!({ "command": "date", "cron": new.cron(), "name": "new",
                    "max_concurrence": new.limit });
                let made = self.bench.ask("POST", "/api/v1/jobs", "", &body.to_string());
                let id = made.is(201).json()["id"].as_u64().unwrap() as u32;
                self.is(id, Some(new));
            }
            1 if !is_alive && ids.len() > 5 => {
                self.bench.ask("DELETE", &format!("/api/v1/jobs/{id}"), "", "").is(204);
                self.is(id, None);
            }
            2..=3 if !is_alive => {
                let enabled = !def.enabled;
                let by_sql = self.random.below(2) == 0;
                match by_sql {
                    true => self.sql(id, None, enabled),
                    false => {
                        let verb = if enabled { "enable" } else { "disable" };
                        let path = format!("/api/v1/jobs/{id}/{verb}");
                        self.bench.ask("POST", &path, "", "").is(200);
                    }
                }
                if !enabled {
                    let who = if by_sql { "database" } else { "loopback" };
                    let now = self.now();
                    self.disabled_by.entry(id).or_default().push((now, who));
                }
                self.is(id, Some(Def { enabled, ..def }));
            }
            4..=7 if def.enabled => {
                let new = Def { limit: def.limit, ..Def::any(&mut self.random) };
                if new.cron() == def.cron() {
                    return;
                }
                match self.random.below(2) == 0 {
                    true => self.sql(id, Some(&new.cron()), true),
                    false => {
                        let body = json!({ "cron": new.cron() }).to_string();
                        self.bench.ask("PATCH", &format!("/api/v1/jobs/{id}"), "", &body).is(200);
                    }
                }
                let until = self.alive.get(&id).and_then(|ends| ends.iter().max());
                if let Some(until) = until {
                    self.waits.insert(id, *until);
                }
                self.is(id, Some(new));
            }
            _ => {}
        }
    }

    fn sql(&mut self, id: u32, cron: Option<&str>, enabled: bool) {
        let mut lines = self.bench.table.clone();
        lines.pop();
        for line in &mut lines {
            let (Answer::Job(its) | Answer::Disabled(its)) = &*line else { continue };
            if its.id == id {
                let cron = cron.map_or(its.cron.clone(), str::to_owned);
                let its = Box::new(JobRow { cron, ..(**its).clone() });
                *line = if enabled { Answer::Job(its) } else { Answer::Disabled(its) };
            }
        }
        self.bench.set_answers(lines);
        self.bench.ask("POST", "/api/v1/sync", "", "").is(200);
    }

    /// No daemon is there for a while.
    fn outage(&mut self) {
        self.bench.end_all(0);
        self.alive.values_mut().for_each(Vec::clear);
        self.waits.clear();
        let (from, minutes) = (self.now(), 30 + self.random.below(400));
        let to = from.div_euclid(MINUTE) * MINUTE + minutes * MINUTE + 40_000;
        let mut at = (from.div_euclid(MINUTE) + 1) * MINUTE;
        while at < to {
            for id in self.ids() {
                let def = self.def(id, at).unwrap();
                if def.enabled && def.is_due(at) {
                    let is_paused = self.pauses.end(id) > at;
                    let why = if is_paused { "paused" } else { "misfire" };
                    self.fates.insert((id, at), Fate::Skipped(why));
                }
            }
            at += MINUTE;
        }
        self.restarts += 1;
        let mono_ms = self.bench.now.mono_ms + u64::try_from(to - from).unwrap();
        let instance = 7 + self.restarts;
        let settings = Settings { sync_interval_ms: 3_600_000, instance, ..settings() };
        self.bench.begins_again(Now { wall_ms: to, mono_ms }, settings);
    }

    fn live_through(&mut self) {
        let begin = START.wall_ms.div_euclid(MINUTE) * MINUTE + MINUTE;
        let mut at = begin;
        let (mut next_change, mut next_outage) = (begin + 200 * MINUTE, begin + DAY);
        while at < begin + 30 * DAY {
            self.minute(at);
            if at >= next_change {
                self.go_to(at + 15_000);
                match self.random.below(3) {
                    0 => self.pause(),
                    _ => self.change(),
                }
                next_change = at + (30 + self.random.below(400)) * MINUTE;
            }
            if at >= next_outage {
                self.go_to(self.now().max(at + 20_000));
                self.outage();
                next_outage = self.now() + DAY + self.random.below(2 * DAY);
            }
            at = (self.now().max(at).div_euclid(MINUTE) + 1) * MINUTE;
        }
        // What is due then is none of the month.
        self.go_to(at - 1);
        self.bench.carry_all();
    }

    /// Some job and some instant of the month or later, mostly one that somebody would ask about.
    fn question(&mut self) -> (u32, i64) {
        loop {
            let (id, at) = self.any_question();
            if at > START.wall_ms {
                return (id, at);
            }
        }
    }

    fn any_question(&mut self) -> (u32, i64) {
        let last = *self.lives.keys().last().unwrap();
        let (any, ids) = (1 + self.random.below(i64::from(last) + 1) as u32, self.ids());
        let known = ids[self.random.below(ids.len() as i64) as usize];
        let id = if self.random.below(6) == 0 { any } else { known };
        let (now, month) = (self.now(), 30 * DAY);
        let at = match self.random.below(8) {
            0 | 1 => now + self.random.below(10 * DAY),
            _ => now - self.random.below(month),
        };
        let life = self.lives.get(&id).cloned().unwrap_or_default();
        let defs: Vec<Def> = life.iter().filter_map(|(_, def)| *def).collect();
        let then = self.def(id, at);
        let of = match self.random.below(6) {
            0 => None,
            1 | 2 if !defs.is_empty() => Some(defs[self.random.below(defs.len() as i64) as usize]),
            _ => then,
        };
        (id, of.map_or(at.div_euclid(MINUTE) * MINUTE, |def| def.slot(at, -1)))
    }

    /// What is right: the verdict, and for some who did it or why.
    fn right(&self, id: u32, at: i64) -> (&'static str, Option<&'static str>) {
        match self.fates.get(&(id, at)) {
            Some(Fate::Ran) if self.alive[&id].iter().any(|end| *end == at + Month::takes(id)) => {
                return ("running", None);
            }
            Some(Fate::Ran) => return ("ran", None),
            Some(Fate::Skipped(why)) => return ("skipped", Some(why)),
            None => {}
        }
        let (then, now) = (self.def(id, at), self.def(id, self.now()));
        let Some(then) = then else { return ("not_there", None) };
        if then.is_due(at) && !then.enabled {
            let mut all = self.disabled_by[&id].iter();
            let last = all.rfind(|(since, _)| *since <= at).map(|(_, who)| *who);
            return ("disabled", last);
        }
        if then.is_due(at) {
            assert!(at > self.now(), "slot {at} of job {id} is forgotten: {then:?}");
            return (if self.pauses.end(id) > at { "paused" } else { "will_run" }, None);
        }
        let other = now.filter(|now| now.cron() != then.cron());
        match other.is_some_and(|now| now.is_due(at)) {
            true => ("other_schedule", None),
            false => ("not_due", None),
        }
    }

    fn check(&mut self, id: u32, at: i64, counts: &mut BTreeMap<&str, usize>) {
        let zone = schedule::core::cron::zone("UTC").unwrap();
        let text = rfc3339(at, &zone).replace('+', "%2B");
        let told = self.bench.get(&format!("/api/v1/jobs/{id}/why?at={text}")).is(200).json();
        let (verdict, more) = self.right(id, at);
        let what = || format!("job {id} at {text}: {told:#}\nlife: {:?}", self.lives.get(&id));
        assert_eq!(told["verdict"], verdict, "{}", what());
        let said = match verdict {
            "skipped" => &told["skip"]["reason"],
            "disabled" => &told["changed"]["who"],
            _ => &Value::Null,
        };
        assert_eq!(said.as_str(), more, "{}", what());
        let is_slot =
            self.fates.contains_key(&(id, at)) || ["will_run", "paused"].contains(&verdict);
        assert_eq!(told["was_due"], is_slot, "{}", what());
        if verdict == "paused" || more == Some("paused") {
            let by = self.pauses.check(id, at, &told);
            *counts.entry(by).or_default() += 1;
        }
        let then = self.def(id, at);
        let cron = told["definition_then"]["cron"].as_str().map(str::to_owned);
        assert_eq!(cron, then.map(|then| then.cron()), "{}", what());
        if let Some(then) = then {
            assert_eq!(told["definition_then"]["enabled"], then.enabled, "{}", what());
            let slots = [then.slot(at - MINUTE, -1), then.slot(at + MINUTE, 1)];
            let near = told["nearest"].as_array().unwrap();
            let near: Vec<i64> = near
                .iter()
                .map(|it| schedule::core::time::instant(it.as_str().unwrap()).unwrap())
                .collect();
            assert_eq!(near, slots, "{}", what());
        }
        if verdict == "ran" {
            let run = told["run_id"].as_str().unwrap();
            let right = self.bench.past.iter().find(|it| it.uniq_id == run).unwrap();
            let slot = schedule::core::time::instant(&right.slot).unwrap();
            assert_eq!((right.job_id, slot), (id, at), "{}", what());
        }
        *counts.entry(verdict).or_default() += 1;
        *counts.entry(more.unwrap_or("-")).or_default() += 1;
    }
}

#[test]
fn ten_thousand_answers_are_right() {
    let mut month = Month::new();
    month.live_through();
    let mut counts = BTreeMap::new();
    for _ in 0..10_000 {
        let (id, at) = month.question();
        month.check(id, at, &mut counts);
    }
    println!("{counts:?}, {} outages", month.restarts);
    for verdict in [
        "ran",
        "skipped",
        "disabled",
        "not_there",
        "not_due",
        "other_schedule",
        "will_run",
        "overlap",
        "misfire",
        "waiting",
        "paused",
        "paused by its row",
        "paused with all",
        "database",
        "loopback",
    ] {
        assert!(counts.get(verdict).is_some_and(|count| *count > 1), "{verdict}: {counts:?}");
    }
}
