//! `/metrics`: figures in the text format of OpenMetrics 1.0.

use super::Web;
use super::api;
use super::call::Call;
use super::states::is_paused;
use super::views;
use crate::core::http::{Body, Response};
use crate::core::list::{Listed, Tally};
use crate::core::scheduler::{DatabaseState, Histogram, Scheduler};
use crate::core::state_label::{StateLabel, States};
use crate::core::time::Now;
use std::fmt::{Display, Write};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is being written. A String takes every write, so that errors are left out.
struct Writer(String);

impl Writer {
    fn family(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
        if !unit.is_empty() {
            let _ = writeln!(self.0, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.0, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            _ => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    fn gauge(&mut self, name: &str, unit: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", unit, help);
        self.sample(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", "", help);
        self.sample(&format!("{name}_total"), "", value);
    }

    fn counters<K: Listed, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &Tally<K, N>,
    ) {
        self.family(name, "counter", "", help);
        self.by(&format!("{name}_total"), label, values);
    }

    /// A sample for each value of a list.
    fn by<K: Listed, const N: usize>(&mut self, name: &str, label: &str, values: &Tally<K, N>) {
        for (of, value) in values.iter() {
            self.sample(name, &format!("{label}=\"{}\"", of.label()), value);
        }
    }

    fn histogram<const N: usize>(&mut self, name: &str, help: &str, histogram: &Histogram<N>) {
        self.family(name, "histogram", "seconds", help);
        let mut sum = 0;
        for (bound, count) in histogram.bounds_us.iter().zip(histogram.counts) {
            sum += count;
            let bound = seconds(*bound);
            self.sample(&format!("{name}_bucket"), &format!("le=\"{bound}\""), sum);
        }
        sum += histogram.beyond;
        self.sample(&format!("{name}_bucket"), "le=\"+Inf\"", sum);
        self.sample(&format!("{name}_count"), "", sum);
        self.sample(&format!("{name}_sum"), "", seconds(histogram.sum_us));
    }
}

/// Microseconds as seconds, always with a point, as OpenMetrics wants the bounds of buckets.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

impl Web {
    /// The answer to `GET /metrics`.
    pub(super) fn metrics(&mut self, scheduler: &Scheduler, call: &Call<'_>) -> Response {
        let mut out = Writer(String::with_capacity(8_192));
        write_jobs(scheduler, &mut out);
        write_runs(scheduler, &mut out);
        write_daemon(scheduler, &mut out, call.now);
        self.write_process(scheduler, &mut out);
        out.0.push_str("# EOF\n");
        Response::new(200, CONTENT_TYPE, Body::Bytes(out.0.into_bytes()))
    }

    fn write_process(&self, scheduler: &Scheduler, out: &mut Writer) {
        let vitals = &self.vitals;
        let help = "Connections of web clients.";
        out.gauge("schedule_http_connections", "", help, vitals.connections);
        let help = "Server-sent event streams among them.";
        out.gauge("schedule_http_streams", "", help, vitals.streams);
        out.counter("schedule_http_accepted", "Web clients accepted.", vitals.accepted);
        out.counter("schedule_http_requests", "Requests.", vitals.requests);
        out.counter("schedule_http_refused", "Web clients without a place.", vitals.refused);
        let help = "Resident memory of the daemon.";
        out.gauge("process_resident_memory_bytes", "bytes", help, vitals.rss_bytes);
        let started = scheduler.started().wall_ms.unsigned_abs().saturating_mul(1000);
        let help = "Start of the daemon since the epoch.";
        out.gauge("process_start_time_seconds", "seconds", help, seconds(started));
        out.family("schedule_build", "info", "", "The program.");
        let version = env!("CARGO_PKG_VERSION");
        let group = scheduler.settings().server_id;
        out.sample(
            "schedule_build_info",
            &format!("version=\"{version}\",server_id=\"{group}\""),
            1,
        );
    }
}

fn write_jobs(scheduler: &Scheduler, out: &mut Writer) {
    let help = "Whether a whole table was read. Before that nobody knows which jobs there are, and \
                none are counted.";
    out.gauge("schedule_table_read", "", help, u8::from(scheduler.knows_table()));
    let help = "Whether a new table is being put in force. Meanwhile jobs are counted of both.";
    out.gauge("schedule_table_changing", "", help, u8::from(scheduler.is_table_changing()));
    if !scheduler.knows_table() {
        return;
    }
    let mut states = States::default();
    for (job, def, state) in scheduler.table().iter().flat_map(|job| views::rows(scheduler, job)) {
        states.add(state, 1);
        states.add(StateLabel::Paused, u64::from(is_paused(scheduler, job, def)));
    }
    // As the status counts them: one that drains is among them.
    states.add(StateLabel::Disabled, scheduler.table().disabled_len() as u64);
    let help = "Jobs by state; those disabled are not in force, and what of them drains is \
                deleting, too; those paused have the state of their last run, too.";
    out.family("schedule_jobs", "gauge", "", help);
    out.by("schedule_jobs", "state", &states);
    let help = "Rows that nothing is started for by mistake.";
    out.gauge("schedule_bad_rows", "", help, api::bad_rows_count(scheduler));
    let help = "Jobs that are never started when they should be, by what of the row does that.";
    out.family("schedule_blocked_jobs", "gauge", "", help);
    for (word, count) in api::blocked_by_word(scheduler) {
        out.sample("schedule_blocked_jobs", &format!("reason=\"{word}\""), count);
    }
}

fn write_runs(scheduler: &Scheduler, out: &mut Writer) {
    let (counters, metrics) = (scheduler.counters(), scheduler.metrics());
    out.gauge("schedule_live_runs", "", "Runs that have not ended.", scheduler.runs().len());
    out.counter("schedule_launches", "Processes started.", counters.launched);
    let help = "Runs that ended, by outcome.";
    out.counters("schedule_runs", help, "outcome", &metrics.outcomes);
    let help = "Due, and not launched.";
    out.counters("schedule_skipped_slots", help, "reason", &metrics.skipped);
    let help = "Launches of due slots: time after the slot.";
    out.histogram("schedule_launch_lateness_seconds", help, &metrics.lateness);
}

fn write_daemon(scheduler: &Scheduler, out: &mut Writer, now: Now) {
    let sync = scheduler.sync_state();
    let up = u8::from(sync.database == DatabaseState::Up);
    let help = "Whether the last exchange succeeded, and none is without an answer for long.";
    out.gauge("schedule_database_up", "", help, up);
    if let Some(at) = sync.synced_mono_ms {
        let age = seconds(now.mono_ms.saturating_sub(at).saturating_mul(1000));
        let help = "Time since the table was known to equal the database.";
        out.gauge("schedule_sync_age_seconds", "seconds", help, age);
    }
    out.family("schedule_exchanges", "counter", "", "Exchanges with the database.");
    for (result, count) in [("success", sync.successes), ("failure", sync.failures)] {
        out.sample("schedule_exchanges_total", &format!("result=\"{result}\""), count);
    }
    let help = "Turns of the loop, sleep left out.";
    out.histogram("schedule_turn_seconds", help, &scheduler.metrics().turns);
    let waiting = scheduler.outbox().waiting_bytes();
    let help = "Journal that the database does not have yet.";
    out.gauge("schedule_journal_waiting_bytes", "bytes", help, waiting);
    let dropped = scheduler.counters().records_dropped;
    let aside = scheduler.set_aside();
    let help = "Records that are set aside, kept and tried again.";
    out.gauge("schedule_records_refused", "", help, aside.tried());
    let help = "Records of another database than the configuration names, kept, not tried.";
    out.gauge("schedule_records_elsewhere", "", help, aside.elsewhere);
    let help = "Records lost to a full disk, a limit or damage, since the journal was begun.";
    out.counter("schedule_records_dropped", help, dropped);
    let help = "Rows of the database that were older than keep_records and are deleted.";
    out.counter("schedule_records_deleted", help, scheduler.counters().records_deleted);
    let help = "Runs whose outputs had to go, or were not kept, on a full disk.";
    out.counter("schedule_outputs_dropped", help, scheduler.counters().outputs_dropped);
    let failing = u8::from(scheduler.disk_error().is_some());
    let help = "Whether the state disk is full or the journal can't be written.";
    out.gauge("schedule_journal_error", "", help, failing);
    let failing = u8::from(scheduler.snapshot_trouble().is_some());
    let help = "Whether a start without the database would have no jobs, or has none.";
    out.gauge("schedule_snapshot_error", "", help, failing);
    let help = "Whether the PHP program runs this group, too, so that its jobs run twice.";
    out.gauge("schedule_php_running", "", help, u8::from(scheduler.twin().is_some()));
}
