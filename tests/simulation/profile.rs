//! Kinds of worlds: what jobs there are, how time goes by, how often things break.

use super::cron::{Expr, FakeZone};
use super::database::Row;
use super::random::Random;
use schedule::core::outcome::Exit;
use schedule::core::protocol::JobRow;

/// How a world is.
pub struct Profile {
    /// Ids of jobs go up to here.
    pub jobs: u64,
    /// Schedules by the minute and the hour instead of by the second.
    pub slow: bool,
    /// Many jobs, due at once, most of which may not run.
    pub crowd: bool,
    /// Rows so large that the journal goes through many segments.
    pub fat: bool,
    pub sync_interval_ms: u64,
    pub stop_grace_ms: u64,
    pub journal_limit_bytes: u64,
    pub unwritten_limit_bytes: usize,
    /// A disk that is full stays so for long.
    pub long_full: bool,
    /// The clock is wrong by hours and right by turns.
    pub astray: bool,
    /// The daemon is started by the wrong configuration, and by the right one, by turns.
    pub moves: bool,
    /// Somebody takes the newest segment of the journal away while no daemon looks.
    pub loses: bool,
    /// Jobs have tags.
    pub tagged: bool,
    /// The configured zone first.
    pub zones: Vec<FakeZone>,
    pub wall_ms: i64,
}

impl Profile {
    /// `apart`: what was thought of later is drawn from this, so that all else of a world stays as
    /// it was.
    pub fn new(random: &mut Random, apart: &mut Random) -> Profile {
        let crowd = random.one_in(64);
        let fat = !crowd && random.one_in(32);
        let slow = !crowd && random.one_in(2);
        let all = [FakeZone::utc(), FakeZone::shanghai(), FakeZone::berlin(), FakeZone::new_york()];
        let configured = random.pick(&all);
        let change = configured.change_near(random.below(4) as usize);
        let start =
            change.unwrap_or(1_800_000_000) - random.within(0..=if slow { 20_000 } else { 900 });
        let zones = vec![configured, random.pick(&all), random.pick(&all)];
        let jobs = match (crowd, fat) {
            (true, _) => 250,
            (_, true) => 2,
            _ => 2 + random.below(9),
        };
        let limit = if random.one_in(6) { 60_000 } else { 64 << 20 };
        Profile {
            jobs,
            slow,
            crowd,
            fat,
            sync_interval_ms: if slow { 90_000 } else { random.pick(&[5_000, 10_000]) },
            stop_grace_ms: random.pick(&[1_000, 10_000]),
            journal_limit_bytes: if fat { 9 << 20 } else { limit },
            unwritten_limit_bytes: random.pick(&[8 << 20, 8 << 20, 4_000]),
            long_full: random.one_in(3),
            astray: slow && apart.one_in(4),
            moves: apart.one_in(4),
            loses: apart.one_in(4),
            tagged: false,
            zones,
            wall_ms: start * 1000 + random.within(0..=999),
        }
    }

    /// A new row.
    pub fn row(&self, random: &mut Random, id: u32) -> Row {
        let expr = self.expr(random);
        let (zone, timezone) = self.zone(random);
        let limit = if self.crowd { &[0, 0, 0, 0, 1][..] } else { &[0, 1, 1, 1, 1, 2, 3] };
        let name = if self.fat { "n".repeat(30_000) } else { format!("job {id}") };
        let command = random.pick(&["run {A} of {B}", "date", "/bin/true # {A}", "备份 --all"]);
        let row = JobRow {
            id,
            name,
            command: format!("{command} {}", random.below(1_000)),
            cron: expr.text(),
            max_concurrence: random.pick(limit),
            server_id: 1,
            // There are two, where somebody pauses what has one.
            tag_id: if self.tagged { id % 3 } else { 0 },
            timezone,
            ..JobRow::default()
        };
        Row { row, expr, zone, enabled: !random.one_in(8) }
    }

    /// A zone for a job: its place and its name.
    pub fn zone(&self, random: &mut Random) -> (usize, String) {
        match random.below(8) {
            0 => (1, self.zones[1].name.into()),
            1 => (2, self.zones[2].name.into()),
            _ => (0, String::new()),
        }
    }

    pub fn expr(&self, random: &mut Random) -> Expr {
        if self.crowd {
            return random.pick(&[Expr::Seconds(10), Expr::Seconds(10), Expr::Minutes(1)]);
        }
        let rare = random.below(20);
        match (rare, self.slow) {
            (0, _) => Expr::Reboot,
            (1, _) => Expr::Refused,
            (2..=5, _) => self.daily(random),
            (_, true) => {
                let (a, b) = (random.within(0..=29), random.within(30..=59));
                random.pick(&[
                    Expr::Minutes(1),
                    Expr::Minutes(5),
                    Expr::Minutes(10),
                    Expr::AtMinutes(a, b),
                    Expr::Hours(1),
                    Expr::Hours(2),
                    Expr::Period(600),
                    Expr::Period(5_400),
                ])
            }
            (_, false) => {
                let seconds = random.pick(&[1, 2, 5, 7, 10, 30]);
                let period = random.pick(&[3, 20, 90]);
                random.pick(&[
                    Expr::Seconds(seconds),
                    Expr::Seconds(seconds),
                    Expr::Period(period),
                    Expr::Minutes(1),
                ])
            }
        }
    }

    /// A fixed time of day; where the clocks change it is likely to be in the changed hour.
    fn daily(&self, random: &mut Random) -> Expr {
        match self.slow {
            true => Expr::Daily(random.within(0..=59), random.within(0..=23)),
            false => Expr::Daily(random.within(0..=59), random.within(0..=3)),
        }
    }

    /// How long a process runs, ms, and how it ends.
    pub fn fate(&self, random: &mut Random) -> (u64, Exit) {
        let scale = if self.slow { 30 } else { 1 };
        let duration = match random.below(10) {
            0..=5 => random.below(40),
            6 | 7 => scale * random.within(100..=4_000).unsigned_abs(),
            8 => scale * random.within(4_000..=20_000).unsigned_abs(),
            _ if self.crowd => 500,
            _ => scale * random.within(20_000..=90_000).unsigned_abs(),
        };
        let exit = match random.below(8) {
            0 => Exit::Code(1),
            1 => Exit::Code(127),
            2 => Exit::Signal { number: 11, core_dumped: true },
            _ => Exit::Code(0),
        };
        (duration, exit)
    }
}
