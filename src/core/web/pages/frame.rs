//! What is around every page: header, daemon line, alerts, the message line.

use super::super::Web;
use super::super::call::Call;
use super::super::parameters;
use super::super::root::Root;
use super::super::texts::{Texts, fill, script_texts, texts};
use super::super::views::MAX_BAD_ROWS;
use super::links;
use super::look::{Look, Theme};
use super::pauses::{self, OfMany};
use super::words::{self, Moment};
use crate::core::bad_rows::BadRow;
use crate::core::cron::Lang;
use crate::core::database::ErrorKind;
use crate::core::definition::Block;
use crate::core::http::etag_of;
use crate::core::plain::{self, isolated};
use crate::core::refusal::Refusal;
use crate::core::scheduler::{DatabaseState, Run, Scheduler, SnapshotTrouble};
use crate::core::table::{Job, Phase};
use crate::core::time::{Now, datetime};

/// That records were lost is said for so long, in milliseconds.
const DROPPED_MS: i64 = 24 * 3_600_000;

/// Which part of the console a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Jobs,
    Audit,
    Log,
    None,
}

/// A link that chooses one of several.
pub(super) struct Choice {
    pub name: &'static str,
    pub label: &'static str,
    pub href: String,
    pub chosen: bool,
}

/// What is wrong and must be seen.
pub(super) struct Alert {
    /// `bad` or `warn`.
    pub kind: &'static str,
    pub text: String,
    pub rows: Vec<(String, String)>,
}

/// What a page of any kind needs.
pub(super) struct Frame {
    pub t: &'static Texts,
    pub theme: &'static str,
    pub title: String,
    pub part: Part,
    /// Stands before every address of the page.
    pub root: Root,
    pub css: String,
    pub js: String,
    pub icon: String,
    pub script_texts: String,
    pub events: String,
    pub server: String,
    /// The address of this page on the server, to come back to.
    pub here: String,
    pub langs: Vec<Choice>,
    pub themes: Vec<Choice>,
    pub daemon: Daemon,
    pub pauses: Vec<OfMany>,
    pub alerts: Vec<Alert>,
    /// What events say of the alerts as long as they are these.
    pub alerts_mark: String,
    pub message: String,
}

/// The daemon line.
pub(super) struct Daemon {
    pub database: &'static str,
    pub database_kind: &'static str,
    pub synced: Option<Moment>,
    pub running: usize,
    pub jobs: usize,
    pub late: String,
    pub started: Moment,
    pub memory: Option<String>,
    pub pid: u32,
    pub version: &'static str,
}

impl Web {
    /// The frame of a page. `here` is its address without language and colours.
    pub(super) fn frame(
        &self,
        scheduler: &Scheduler,
        call: &Call<'_>,
        look: Look,
        (part, title): (Part, &str),
        here: String,
    ) -> Frame {
        let now = call.now;
        let root = Root::of(call.request);
        let [css, js, icon] = self.pages.assets.addresses().map(|address| root.to(address));
        let link = root.to(&here);
        let t = look.texts();
        let server = fill(t.server, &[&scheduler.settings().server_id.to_string()]);
        Frame {
            t,
            theme: look.theme.name(),
            title: format!("{} · {server} · Schedule", isolated(title)),
            part,
            css,
            js,
            icon,
            script_texts: script_texts(look.lang),
            events: String::new(),
            server,
            langs: langs(look, &link),
            themes: themes(look, &link),
            root,
            here,
            daemon: self.daemon_line(scheduler, now, t),
            pauses: pauses::of_many(scheduler, t),
            alerts: unknown_parameter(t, call)
                .into_iter()
                .chain(alerts(scheduler, now, t))
                .collect(),
            alerts_mark: alerts_mark(scheduler, now),
            message: self.message.in_words(look.lang).to_owned(),
        }
    }

    fn daemon_line(&self, scheduler: &Scheduler, now: Now, t: &Texts) -> Daemon {
        let sync = scheduler.sync_state();
        let zone = &scheduler.settings().zone;
        let vitals = self.vitals();
        let (database, database_kind) = match sync.database {
            DatabaseState::Unknown => (t.db_unknown, "unknown"),
            DatabaseState::Up => (t.db_up, "up"),
            DatabaseState::Down { .. } => (t.db_down, "down"),
        };
        let synced = sync.synced_mono_ms.map(|at| {
            let age_ms = i64::try_from(now.mono_ms.saturating_sub(at)).unwrap_or(0);
            Moment::new(now, now.wall_ms - age_ms, zone)
        });
        Daemon {
            database,
            database_kind,
            synced,
            running: scheduler.runs().len(),
            jobs: scheduler.table().len(),
            late: words::duration(t, scheduler.counters().worst_lateness_ms),
            started: Moment::new(now, scheduler.started().wall_ms, zone),
            memory: (vitals.rss_bytes > 0).then(|| plain::size(vitals.rss_bytes)),
            pid: vitals.pid,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// The same alerts for a terminal, whose table is in English, too.
pub(in super::super) fn alert_lines(scheduler: &Scheduler, now: Now) -> Vec<String> {
    let line = |text: String| plain::clean(&text, usize::MAX);
    let lines = |alert: Alert| {
        let rows = alert.rows.into_iter().map(move |(id, why)| line(format!("{id}: {why}")));
        let rows = rows.map(|row| format!("  {row}"));
        std::iter::once(format!("! {}", line(alert.text))).chain(rows)
    };
    let t = texts(Lang::En);
    let paused = pauses::of_many(scheduler, t).into_iter();
    let paused = paused.map(|it| pause_alert((it.text, vec![(it.end, it.said)])));
    paused.chain(alerts(scheduler, now, t)).flat_map(lines).collect()
}

/// Names all that is wrong: another mark, other alerts. In whatever language a page is.
pub(in super::super) fn alerts_mark(scheduler: &Scheduler, now: Now) -> String {
    etag_of(alert_lines(scheduler, now).join("\n").as_bytes())
}

fn alerts(scheduler: &Scheduler, now: Now, t: &Texts) -> Vec<Alert> {
    let sync = scheduler.sync_state();
    let mut alerts = Vec::new();
    if let DatabaseState::Down { kind, message, .. } = &sync.database {
        let text = if scheduler.knows_table() { t.db_alert } else { t.db_alert_unread };
        let text = fill(text, &[database_trouble(t, *kind), message]);
        alerts.push(Alert { kind: "bad", text, rows: Vec::new() });
    } else if !scheduler.knows_table() {
        alerts.push(Alert { kind: "warn", text: t.unread.to_owned(), rows: Vec::new() });
    }
    if let Some(why) = scheduler.disk_error() {
        let text = fill(t.disk_alert, &[why]);
        alerts.push(Alert { kind: "bad", text, rows: Vec::new() });
    }
    if let Some(trouble) = scheduler.snapshot_trouble() {
        let dir = &scheduler.settings().state_dir;
        let text = match trouble {
            SnapshotTrouble::Stale => fill(t.stale_alert, &[dir]),
            SnapshotTrouble::Foreign(theirs) => {
                fill(t.foreign_alert, &[dir, theirs, &scheduler.settings().source()])
            }
            SnapshotTrouble::Missing => fill(t.missing_alert, &[dir]),
            SnapshotTrouble::NotWhole => fill(t.not_whole_alert, &[dir]),
            SnapshotTrouble::Unreadable(why) => fill(t.unreadable_alert, &[why]),
            SnapshotTrouble::NotKept(why) => fill(t.unkept_alert, &[dir, why]),
        };
        alerts.push(Alert { kind: "bad", text, rows: Vec::new() });
    }
    if let Some(pid) = scheduler.twin().map(|pid| pid.to_string()) {
        let text = fill(t.twin_alert, &[&pid, &pid]);
        alerts.push(Alert { kind: "bad", text, rows: Vec::new() });
    }
    let counters = scheduler.counters();
    let dropped_ms = counters.records_dropped_ms;
    if counters.records_dropped > 0 && now.wall_ms - dropped_ms < DROPPED_MS {
        let (count, zone) = (counters.records_dropped.to_string(), &scheduler.settings().zone);
        let why = words::loss(t, counters.records_dropped_why);
        let text = fill(t.dropped_alert, &[&count, &datetime(dropped_ms, zone), why]);
        alerts.push(Alert { kind: "bad", text, rows: Vec::new() });
    }
    if scheduler.draining() {
        alerts.push(Alert { kind: "warn", text: t.draining.to_owned(), rows: Vec::new() });
    }
    alerts.extend(refused_stops(scheduler, t));
    alerts.extend(blocked_jobs(scheduler, t));
    let aside = scheduler.set_aside();
    let tried = (t.set_aside, aside.tried(), &aside.last);
    let elsewhere = (t.set_elsewhere, aside.elsewhere, &aside.last_elsewhere);
    for (words, count, last) in [elsewhere, tried] {
        if count > 0 {
            let text = fill(words, &[&count.to_string(), last]);
            alerts.push(Alert { kind: "bad", text, rows: Vec::new() });
        }
    }
    if sync.bad_rows.count() > 0 {
        let row = |it: &BadRow| (fill(t.row_id, &[&it.job().to_string()]), it.why.clone());
        let rows: Vec<_> = sync.bad_rows.told().iter().map(row).collect();
        let text = fill(t.bad_rows, &[&sync.bad_rows.count().to_string()]);
        alerts.push(Alert { kind: "bad", text, rows });
    }
    alerts
}

/// Runs that go on though they were told to end.
fn refused_stops(scheduler: &Scheduler, t: &Texts) -> Option<Alert> {
    let row = |(run, why): (&Run, &Refusal)| {
        let name = scheduler.table().get(run.job).map_or("", |job| &job.def.name);
        let job = fill(t.blocked_job, &[&run.job.to_string(), name]);
        (job, words::refusal(t, why))
    };
    let rows: Vec<_> = scheduler.stops_refused().take(MAX_BAD_ROWS).map(row).collect();
    let text = fill(t.refused_alert, &[&scheduler.stops_refused().count().to_string()]);
    (!rows.is_empty()).then_some(Alert { kind: "bad", text, rows })
}

/// The jobs that nothing is started of by mistake; where somebody wanted that it is no alert.
fn blocked_jobs(scheduler: &Scheduler, t: &Texts) -> Option<Alert> {
    let mistakes = scheduler
        .table()
        .blocked()
        .filter_map(|(job, block)| block.mistake().map(|why| (job, block, why)));
    let mistakes: Vec<_> = mistakes.collect();
    let row = |(job, block, why): &(&Job, Block<'_>, &str)| {
        let def = job.scheduled().unwrap_or(&job.def);
        let job = fill(t.blocked_job, &[&def.id.to_string(), &def.name]);
        (job, format!("{} ({})", words::block(t, *block), isolated(why)))
    };
    let rows: Vec<_> = mistakes.iter().take(MAX_BAD_ROWS).map(row).collect();
    let text = fill(t.blocked_jobs, &[&mistakes.len().to_string()]);
    (!rows.is_empty()).then_some(Alert { kind: "bad", text, rows })
}

/// What is said of a pause.
pub(super) fn pause_alert((text, rows): pauses::Told) -> Alert {
    Alert { kind: "warn", text, rows }
}

/// What a job's own page says of why it is never started.
pub(super) fn blocked_alert(t: &Texts, block: Option<Block<'_>>) -> Option<Alert> {
    let block = block?;
    let word = words::block(t, block);
    let (kind, text) = match block.mistake() {
        Some(why) => ("bad", fill(t.correct_row, &[word, why])),
        None => ("warn", word.to_owned()),
    };
    Some(Alert { kind, text, rows: Vec::new() })
}

/// The same of a job whose row is disabled.
pub(super) fn disabled_alert(t: &Texts, job: &Job) -> Option<Alert> {
    let is = matches!(job.phase(), Phase::Disabled);
    is.then(|| Alert { kind: "warn", text: t.is_disabled.to_owned(), rows: Vec::new() })
}

/// A page for people is shown all the same; that something of its address means nothing is said.
fn unknown_parameter(t: &Texts, call: &Call<'_>) -> Option<Alert> {
    let (name, known) = parameters::unknown(call)?;
    let text = fill(t.unknown_parameter, &[&name, &known.join(", ")]);
    Some(Alert { kind: "warn", text, rows: Vec::new() })
}

fn with(here: &str, name: &str, value: &str) -> String {
    let mut href = here.to_owned();
    links::add(&mut href, name, value);
    href
}

/// A language is named in itself: who looks for it can't read the other.
fn langs(look: Look, here: &str) -> Vec<Choice> {
    let choice = |(name, label)| {
        let chosen = look.lang_name() == name;
        Choice { name, label, href: with(here, "lang", name), chosen }
    };
    [("en", "EN"), ("zh", "中文")].map(choice).into()
}

fn themes(look: Look, here: &str) -> Vec<Choice> {
    let t = look.texts();
    let choice = |(theme, label): (Theme, _)| {
        let name = theme.name();
        Choice { name, label, href: with(here, "theme", name), chosen: look.theme == theme }
    };
    [(Theme::Auto, t.theme_auto), (Theme::Light, t.theme_light), (Theme::Dark, t.theme_dark)]
        .map(choice)
        .into()
}

/// What the trouble is with a database that is not well.
fn database_trouble(t: &Texts, kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Connect => t.db_silent,
        ErrorKind::Auth
        | ErrorKind::Rights
        | ErrorKind::Full
        | ErrorKind::Refused
        | ErrorKind::Unsure
        | ErrorKind::NoDatabase
        | ErrorKind::NoTable
        | ErrorKind::NoColumn => t.db_refuses,
        ErrorKind::Other => t.db_fails,
    }
}
