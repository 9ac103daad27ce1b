//! `schedule status`: whether daemons run, and how they are. Exit statuses are those of LSB 3.1
//! §22.2 for the action `status`.

use super::{Groups, no_permission};
use crate::core::plain;
use crate::shell::holder::{Found, Holder};
use crate::shell::owner;
use crate::shell::predecessor;
use crate::shell::start::needs;
use serde_json::Value;

const RUNNING: u8 = 0;
/// It is dead: its pid file is not empty.
const DEAD: u8 = 1;
const NOT_RUNNING: u8 = 3;
/// How it is can't be told.
pub(super) const UNKNOWN: u8 = 4;

/// Columns of a value. A program that listens in the daemon's place may say anything.
const MAX_COLUMNS: usize = 40;

/// Columns of a reason.
const MAX_REASON_COLUMNS: usize = 800;

/// Rows that are told of one by one.
const MAX_TOLD: usize = 5;

const HEADINGS: [&str; 8] =
    ["SERVER", "STATE", "PID", "SINCE", "ADDRESS", "RUNS", "DATABASE", "SYNCED"];

/// One group, on a line; the exit status.
pub(super) fn line(groups: &Groups, id: u32) -> u8 {
    let path = groups.config.base.pidfile.path(id);
    match groups.find(id) {
        Found::Nobody | Found::Stale if groups.flawed => {
            println!(
                "server {id}: unknown: pid file {path} tells of no daemon, but the configuration \
                 has errors"
            );
            UNKNOWN
        }
        Found::Nobody => {
            println!("server {id}: not running{}", groups.without_daemon(id).1);
            beside(id).iter().for_each(|line| println!("{line}"));
            NOT_RUNNING
        }
        Found::Stale => {
            println!(
                "server {id}: dead, but its pid file {path} is not empty: it was killed{}",
                groups.without_daemon(id).1
            );
            beside(id).iter().for_each(|line| println!("{line}"));
            DEAD
        }
        Found::Predecessor(pid) => {
            println!("server {id}: not running: {}", predecessor::in_the_way(pid));
            UNKNOWN
        }
        Found::Unclear(why) => {
            println!("server {id}: unknown: {why}");
            UNKNOWN
        }
        Found::NotPermitted(what) => {
            println!("server {id}: unknown: {}", no_permission(&what));
            UNKNOWN
        }
        Found::Running(holder) => {
            let pid = holder.pid.as_raw_nonzero();
            match groups.ask(id, &holder) {
                Ok(view) => {
                    let [since, runs, database, synced] = told(&view);
                    let address =
                        groups.address(id, &holder).map(|it| it.to_string()).unwrap_or_default();
                    let journal = journal(&view).map(|it| format!("; {it}")).unwrap_or_default();
                    let ends =
                        if view["draining"] == true { "; it ends with the last one" } else { "" };
                    let file = groups.file_of(id, &holder);
                    let file = file.map(|it| format!(", configuration {it}")).unwrap_or_default();
                    println!(
                        "server {id}: running, pid {pid}, since {since}, http://{address}/, \
                         {runs}{ends}, database {database}, synced {synced}{file}{journal}"
                    );
                    let lines = other_group(id, &view).into_iter().chain(never_started(id, &view));
                    lines.for_each(|line| println!("{}", plain::line(&line)));
                    others(&view).for_each(|text| println!("server {id}: {}", plain::line(&text)));
                }
                Err(why) => {
                    let why = plain::line(&why);
                    println!("server {id}: running, pid {pid}, but silent: {why}");
                }
            }
            unrenewable(groups, id, &holder).iter().for_each(|line| println!("{line}"));
            strangers(groups, id, &holder).iter().for_each(|line| println!("{line}"));
            groups.other_file(id, &holder).iter().for_each(|line| println!("{line}"));
            twice(id, &holder).iter().for_each(|line| println!("{line}"));
            groups.told_as_forgotten(id).iter().for_each(|line| println!("{line}"));
            RUNNING
        }
    }
}

/// All groups, one a line, below headings; the highest exit status.
pub(super) fn table(groups: &Groups) -> u8 {
    let mut rows = vec![HEADINGS.map(str::to_owned).to_vec()];
    let mut notes = Vec::new();
    let mut worst = if groups.incomplete { UNKNOWN } else { RUNNING };
    for &id in &groups.ids {
        let (code, row) = row(groups, id, &mut notes);
        worst = worst.max(code);
        rows.push(row);
    }
    print!("{}", plain::table(&rows));
    notes.extend(groups.all_forgotten());
    notes.iter().for_each(|note| eprintln!("{}", plain::line(note)));
    worst
}

fn row(groups: &Groups, id: u32, notes: &mut Vec<String>) -> (u8, Vec<String>) {
    let plain = |state: &str| vec![id.to_string(), state.to_owned()];
    match groups.find(id) {
        Found::Nobody | Found::Stale if groups.flawed => (UNKNOWN, plain("unknown")),
        Found::Nobody => {
            notes.extend(stopped(groups, id));
            (NOT_RUNNING, plain("stopped"))
        }
        Found::Stale => {
            notes.extend(stopped(groups, id));
            (DEAD, plain("dead"))
        }
        Found::Predecessor(pid) => {
            notes.push(format!("server {id}: {}", predecessor::in_the_way(pid)));
            let pid = pid.as_raw_nonzero().to_string();
            (UNKNOWN, vec![id.to_string(), "php".to_owned(), pid])
        }
        Found::Unclear(why) => {
            notes.push(format!("server {id}: {why}"));
            (UNKNOWN, plain("unknown"))
        }
        Found::NotPermitted(what) => {
            notes.push(format!("server {id}: {}", no_permission(&what)));
            (UNKNOWN, plain("unknown"))
        }
        Found::Running(holder) => {
            let mut row = plain("running");
            row.push(holder.pid.as_raw_nonzero().to_string());
            match groups.ask(id, &holder) {
                Ok(view) => {
                    let [since, runs, database, synced] = told(&view);
                    let address =
                        groups.address(id, &holder).map(|it| it.to_string()).unwrap_or_default();
                    if view["draining"] == true {
                        row[1] = "ending".to_owned();
                    }
                    notes.extend(journal(&view).map(|it| format!("server {id}: {it}")));
                    row.extend([since, address, runs, database, synced]);
                    notes.extend(other_group(id, &view));
                    notes.extend(never_started(id, &view));
                    notes.extend(others(&view).map(|text| format!("server {id}: {text}")));
                }
                Err(why) => notes.push(format!("server {id}: silent: {why}")),
            }
            notes.extend(unrenewable(groups, id, &holder));
            notes.extend(strangers(groups, id, &holder));
            notes.extend(groups.other_file(id, &holder));
            notes.extend(twice(id, &holder));
            (RUNNING, row)
        }
    }
}

/// The daemon that was found runs another group: its number was changed in the configuration, or
/// two groups have one pid file or state directory.
fn other_group(id: u32, view: &Value) -> Option<String> {
    let runs = view["server_id"].as_u64().filter(|runs| *runs != u64::from(id))?;
    Some(format!(
        "server {id}: that daemon runs server {runs}: end it (`schedule stop {id}`) before server \
         {id} is started, or give each a `pidfile` and a `statedir` of its own"
    ))
}

/// What the daemon has open, and could not open again: it would be missed at the next restart, or
/// when the segment of the journal is full. Who is neither root nor its user can't look there.
fn unrenewable(groups: &Groups, id: u32, holder: &Holder) -> Option<String> {
    let (me, user) = (rustix::process::geteuid().as_raw(), holder.user()?);
    let is_seen = me == 0 || me == user;
    let dir = groups.state_dir(id, holder);
    let wrong = is_seen.then(|| needs::whole_state_dir(&dir, user).err()).flatten()?;
    Some(format!("server {id}: {}", plain::line(&wrong.to_string())))
}

/// Who else can take its files from the daemon.
fn strangers(groups: &Groups, id: u32, holder: &Holder) -> Vec<String> {
    let Some(user) = holder.user() else { return Vec::new() };
    let told = owner::strangers_above(&groups.config, id, user);
    told.iter().map(|why| format!("server {id}: {}", plain::line(why))).collect()
}

/// Who else runs a group of this number.
fn beside(id: u32) -> Option<String> {
    let pid = predecessor::beside(id)?;
    Some(format!("server {id}: {}", predecessor::found_beside(pid)))
}

/// Who runs it beside the daemon.
fn twice(id: u32, holder: &Holder) -> Option<String> {
    let pid = predecessor::beside_daemon(id, holder.pid)?;
    Some(format!("server {id}: {}", predecessor::twice(pid)))
}

/// What goes on though the daemon does not run.
fn stopped(groups: &Groups, id: u32) -> Vec<String> {
    let runs = groups.without_daemon(id).1;
    let runs = (!runs.is_empty()).then(|| format!("server {id}: not running{runs}"));
    runs.into_iter().chain(beside(id)).collect()
}

/// What is wrong with the state directory: a full disk, what it has cost, and the snapshot.
fn journal(view: &Value) -> Option<String> {
    let error = view["journal_error"].as_str().map(|why| format!("journal: {why}"));
    let snapshot = view["snapshot_error"].as_str().map(|why| format!("snapshot: {why}"));
    let dropped = lost(view["records_dropped"].as_u64().unwrap_or(0));
    let records = unwritten(view).into_iter().chain(dropped);
    let said: Vec<String> = error.into_iter().chain(records).chain(snapshot).collect();
    (!said.is_empty()).then(|| plain::line(&said.join("; ")))
}

/// Records that the database never gets.
pub(super) fn lost(dropped: u64) -> Option<String> {
    (dropped > 0).then(|| format!("{} dropped for good", plain::counted(dropped, "record")))
}

/// Records that it never gets if the daemon ends now.
fn unwritten(view: &Value) -> Option<String> {
    let count = view["records_unwritten"].as_u64().filter(|count| *count > 0)?;
    Some(format!("{} in memory alone, lost if the daemon ends", plain::counted(count, "record")))
}

/// Since when it runs, its live runs, its database, and how old its table is.
fn told(view: &Value) -> [String; 4] {
    let text = |name: &str| match &view[name] {
        Value::String(text) => plain::clean(text, MAX_COLUMNS),
        Value::Null => "-".to_owned(),
        other => plain::clean(&other.to_string(), MAX_COLUMNS),
    };
    let synced = match view["sync_age_ms"].as_u64() {
        Some(ms) => format!("{} s ago", ms / 1000),
        None => "never".to_owned(),
    };
    let runs = view["running"].as_u64();
    let runs = runs.map_or("- runs".to_owned(), |runs| plain::counted(runs, "run"));
    [text("started_at"), runs, text("database"), synced]
}

/// Rows that nothing is started for, a line each kind: those that are mistakes, each with its
/// reason, and those whose limit is 0.
fn never_started(id: u32, view: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let bad = view["bad_rows"].as_array().map_or(&[][..], Vec::as_slice);
    for row in bad.iter().take(MAX_TOLD) {
        let (job, why) = (&row["id"], row["reason"].as_str().unwrap_or_default());
        lines.push(format!("server {id}: job {job} never starts by itself: {why}"));
    }
    let total = view["bad_rows_total"].as_u64().unwrap_or(bad.len() as u64);
    if total > MAX_TOLD as u64 {
        let more = total - MAX_TOLD as u64;
        lines.push(format!(
            "server {id}: {more} more never start by themselves: `schedule check {id}`"
        ));
    }
    lines.extend(switched_off(view).map(|text| format!("server {id}: {text}")));
    lines
}

/// The jobs whose limit is 0: how many, and the first of them.
fn switched_off(view: &Value) -> Option<String> {
    let count = view["blocked"]["limit"].as_u64().filter(|count| *count > 0)?;
    let ids = view["jobs_off"].as_array().map_or(&[][..], Vec::as_slice);
    let mut named: Vec<String> =
        ids.iter().filter_map(Value::as_u64).take(MAX_TOLD).map(|id| id.to_string()).collect();
    if count > named.len() as u64 {
        named.push("…".to_owned());
    }
    let named = named.join(", ");
    Some(match count {
        1 => format!("job {named} is never started: its limit is 0"),
        _ => format!("{count} jobs are never started: their limit is 0: {named}"),
    })
}

/// What else is wrong.
fn others(view: &Value) -> impl Iterator<Item = String> {
    let records = elsewhere(view).into_iter().chain(refused(view));
    unanswered(view).into_iter().chain(records).chain(stops_refused(view))
}

/// Runs that were told to end and go on: whose they are, and what ends them.
pub(super) fn stops_refused(view: &Value) -> Vec<String> {
    let refused = view["stops_refused"].as_array().map_or(&[][..], Vec::as_slice);
    let told = |it: &Value| {
        let (run, job) = (it["run_id"].as_str().unwrap_or_default(), &it["job_id"]);
        let why = it["reason"].as_str().unwrap_or_default();
        format!("run {run} of job {job} can't be stopped: {why}")
    };
    refused.iter().take(MAX_TOLD).map(told).collect()
}

/// Why the database does not answer as it should.
fn unanswered(view: &Value) -> Option<String> {
    let why = view["database_error"].as_str()?;
    Some(format!("database: {}", plain::clean(why, MAX_REASON_COLUMNS)))
}

/// What the database refuses to record.
fn refused(view: &Value) -> Option<String> {
    let count = view["records_refused"].as_u64().filter(|count| *count > 0)?;
    let last = view["records_refused_last"].as_str().unwrap_or_default();
    let records = plain::counted(count, "record");
    Some(format!("{records} set aside, kept and tried again; last: {last}"))
}

/// What waits for another database.
fn elsewhere(view: &Value) -> Option<String> {
    let count = view["records_elsewhere"].as_u64().filter(|count| *count > 0)?;
    let last = view["records_elsewhere_last"].as_str().unwrap_or_default();
    let records = plain::counted(count, "record");
    Some(format!("{records} of another database kept and not tried; last: {last}"))
}
