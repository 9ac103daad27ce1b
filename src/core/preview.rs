//! What a change of a job would come to, worked out from the table in force: nothing is asked and
//! nothing is changed. The rules are those of the change itself ([`super::change`]); only what the
//! database alone knows is left to it: how wide its columns are, and what its files and keys say.
//!
//! All that takes long where jobs are many is done in slices: [`Preview::work`].
//!
//! - `crowd`: which other jobs start in the same minute
//! - `week`: which slots go and which come

mod crowd;
mod week;

pub use week::Slots;

use crate::core::change::{
    Change, Context, Decided, Mistake, Planned, Refused, Stand, TableColumn, judge, plan,
};
use crate::core::columns::{Column, JobRow};
use crate::core::cron::{Cron, Dialect, Fate, Moved, Zone, zone};
use crate::core::definition::{Definition, Flaw, Schedule, fill};
use crate::core::ids::JobId;
use crate::core::shared_text::SharedTexts;
use crate::core::table::Table;
use crate::core::time::rfc3339;
use crowd::{Crowd, Crowded};
use week::Week;

/// Jobs looked at in a slice.
const JOBS_A_SLICE: usize = 500;

/// Instants that are told.
const NEXT: usize = 10;

/// The time in which slots are compared, in milliseconds.
pub const WEEK_MS: i64 = 7 * DAY_MS;

/// So far changes of the clock are looked for, in milliseconds.
const YEAR_MS: i64 = 366 * DAY_MS;

const DAY_MS: i64 = 86_400_000;

/// A preview under way.
#[derive(Debug)]
pub struct Preview {
    planned: Option<Planned>,
    context: Context,
    /// The schedule, and the zone in which it is read; none where it can't be read.
    read: Option<(Cron, Zone)>,
    next: Vec<i64>,
    /// The last other job that was looked at; none once all were.
    scanned: Option<Option<JobId>>,
    crowd: Option<Crowd>,
    week: Week,
    decided: Option<Decided>,
}

/// What a change would come to.
#[derive(Debug)]
pub struct Found {
    /// What would be written, with all warnings.
    pub decided: Decided,
    /// The command with its placeholders filled in; none for a job that goes.
    pub command: String,
    /// The schedule; none where it can't be read.
    pub cron: Option<Cron>,
    /// The zone in which it is read.
    pub zone: Zone,
    /// The next instants at which it would be due, unix ms.
    pub next: Vec<i64>,
    /// Slots of the coming week that go.
    pub gone: Slots,
    /// Slots of the coming week that come.
    pub come: Slots,
    /// Whether runs that are alive end by the definition of before.
    pub drains: bool,
}

impl Preview {
    /// What it would come to if somebody wanted this now (unix ms).
    ///
    /// # Errors
    /// There is no such job, or somebody was first.
    pub fn new(
        table: &Table,
        change: &Change,
        (server_id, dialect): (u32, Dialect),
        now_ms: i64,
    ) -> Result<Preview, Refused> {
        let planned = plan(current(table, change, server_id), change, server_id, &all_columns())?;
        let tags = Some(table.tags.clone());
        let context =
            Context { dialect, now_ms, vars: table.vars.clone(), tags, ..Context::default() };
        let stand = planned.stand();
        let read = stand.and_then(|stand| read(table, &stand.row, dialect));
        let due = read.as_ref().filter(|_| stand.is_some_and(has_slots));
        let after = |at: &i64| due.and_then(|(cron, zone)| cron.next_after(zone, *at));
        let next: Vec<i64> = std::iter::successors(after(&now_ms), after).take(NEXT).collect();
        let crowd = due.zip(next.first());
        let crowd = crowd.map(|((cron, zone), at_ms)| Crowd::new(cron, zone, *at_ms));
        let row = change.id().and_then(|id| table.row(id));
        let old = row.and_then(|(def, enabled)| match &def.schedule {
            Schedule::Due(cron, zone) if enabled && def.max_concurrence > 0 => {
                Some((cron, table.zone(*zone)))
            }
            Schedule::Due(..) | Schedule::Refused(..) => None,
        });
        let new = due.map(|(cron, zone)| (cron, zone));
        // Slots are whole seconds, and what is due this second is decided.
        let from_s = now_ms.div_euclid(1000) + 1;
        let week = Week::new(old, new, (from_s, from_s + WEEK_MS / 1000));
        let (scanned, decided) = (Some(None), None);
        Ok(Preview { planned: Some(planned), context, read, next, scanned, crowd, week, decided })
    }

    /// Does a slice of the work. Returns whether there is more to do.
    ///
    /// # Errors
    /// All that is wrong with the change.
    pub fn work(&mut self, table: &Table) -> Result<bool, Refused> {
        if let Some(after) = self.scanned {
            self.scan(table, after);
            return Ok(true);
        }
        if let Some(planned) = self.planned.take() {
            self.decided = Some(judge(planned, &self.context)?);
            return Ok(true);
        }
        Ok(self.crowd.as_mut().is_some_and(Crowd::work) || self.week.work())
    }

    /// Looks at some of the other jobs.
    fn scan(&mut self, table: &Table, mut last: Option<JobId>) {
        let row = self.planned.as_ref().and_then(Planned::row);
        let (id, command, name) =
            row.map_or((0, "", ""), |row| (row.id, row.command.as_str(), row.name.as_str()));
        let mut count = 0;
        for job in table.iter_after(last).take(JOBS_A_SLICE) {
            (last, count) = (Some(job.def.id), count + 1);
            let Some(def) = job.scheduled().filter(|def| def.id.0 != id) else { continue };
            if let Some(crowd) = &mut self.crowd {
                crowd.add(table, job);
            }
            if *def.name == *name && !name.is_empty() {
                self.context.namesake.get_or_insert(def.id.0);
            }
            if def.raw() == command {
                let (cron, timezone) = (def.cron.to_string(), def.timezone().to_owned());
                self.context.others.push((def.id.0, cron, timezone));
            }
        }
        self.scanned = (count == JOBS_A_SLICE).then_some(last);
    }

    /// What it came to, once there is no more to do.
    pub fn found(self, table: &Table) -> Option<Found> {
        let mut decided = self.decided?;
        let (cron, zone) = match self.read {
            Some((cron, zone)) => (Some(cron), zone),
            None => (None, table.zone(0).clone()),
        };
        let after = decided.after.as_ref();
        let command = after.map(|after| fill(&after.row.command, &self.context.vars));
        let crowded = self.crowd.as_ref().and_then(Crowd::found);
        let mut told: Vec<String> = crowded.map(|it| crowd_told(it, &zone)).into_iter().collect();
        if let Some(cron) = cron.as_ref().filter(|_| after.is_some_and(has_slots)) {
            let from_ms = self.context.now_ms;
            let moved = cron.moved(&zone, from_ms, from_ms + YEAR_MS);
            told.extend(moved.iter().map(|it| moved_told(it, &zone)));
        }
        decided.warnings.extend(told.into_iter().map(|why| Mistake::of(Column::Cron, why)));
        Some(Found {
            drains: drains(table, &decided, &self.context),
            command: command.unwrap_or_default().trim_end_matches(['\r', '\n']).to_owned(),
            decided,
            cron,
            zone,
            next: self.next,
            gone: self.week.gone,
            come: self.week.come,
        })
    }
}

/// The row of a job as the table has it.
fn current(table: &Table, change: &Change, server_id: u32) -> Option<Stand> {
    let (def, enabled) = table.row(change.id()?)?;
    Some(Stand { row: def.row(server_id), enabled })
}

/// All columns, as wide as one likes: what the database has is not known here.
fn all_columns() -> Vec<TableColumn> {
    let column = |it: &Column| TableColumn { name: it.name().into(), ..TableColumn::default() };
    Column::ALL.iter().map(column).collect()
}

/// Whether it is ever due.
fn has_slots(stand: &Stand) -> bool {
    stand.enabled && stand.row.max_concurrence > 0
}

/// The schedule of a row, and its zone.
fn read(table: &Table, row: &JobRow, dialect: Dialect) -> Option<(Cron, Zone)> {
    let cron = Cron::parse(&row.cron, dialect).ok()?;
    let zone =
        if row.timezone.is_empty() { table.zone(0).clone() } else { zone(&row.timezone).ok()? };
    Some((cron, zone))
}

/// Whether the job has runs that are alive and by another definition than the one to come.
fn drains(table: &Table, decided: &Decided, context: &Context) -> bool {
    let id = decided.before.as_ref().map(|before| JobId(before.row.id));
    let Some(job) = id.and_then(|id| table.get(id)).filter(|job| !job.live.is_empty()) else {
        return false;
    };
    let Some(after) = decided.after.as_ref().filter(|after| after.enabled) else { return true };
    // Of the schedule only the text counts for whether it is the same.
    let schedule = Schedule::Refused(Flaw::Schedule, "".into());
    let row = after.row.clone();
    !job.is(&Definition::new(row, &context.vars, schedule, &mut SharedTexts::default()))
}

fn crowd_told(crowded: Crowded, zone: &Zone) -> String {
    let Crowded { at_ms, others, quiet } = crowded;
    let minute = |ms: i64| rfc3339(ms, zone)[11..16].to_owned();
    let day = &rfc3339(at_ms, zone)[..10];
    let told = format!("{others} other jobs start at {} on {day} as well", minute(at_ms));
    match quiet {
        None => told,
        Some((at_ms, 0)) => format!("{told}: the nearest minute without any is {}", minute(at_ms)),
        Some((at_ms, few)) => {
            format!("{told}: the nearest minute with the fewest ({few}) is {}", minute(at_ms))
        }
    }
}

fn moved_told(Moved { wall, fate }: &Moved, zone: &Zone) -> String {
    let place = zone.iana_name().map_or(String::new(), |name| format!(" in {name}"));
    let gone = format!("{wall} does not exist{place}, for the clock is set forward");
    let twice = format!("{wall} comes twice{place}, for the clock is set back");
    match fate {
        Fate::Skipped => format!("{gone}: it is not started for that time"),
        Fate::Later(clock) => format!("{gone}: it is started at {clock}"),
        Fate::First => format!("{twice}: it is started the first time only"),
        Fate::Both => format!("{twice}: it is started both times"),
    }
}
