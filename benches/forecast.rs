//! What starts in 31 days, of 10,000 mixed jobs: how long the core takes for it, and its longest
//! slice of CPU time; how long a client of the real daemon waits, and how long the daemon's turns
//! are then.
//!
//! `cargo bench --bench forecast [-- core|daemon]`.

#[path = "daemon/bench_daemon.rs"]
#[allow(dead_code)] // Each benchmark uses a part of it.
mod bench_daemon;
#[path = "../tests/support/past.rs"]
mod past;

use bench_daemon::{BenchDaemon, Row};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use past::past;
use schedule::core::cron::{Dialect, zone};
use schedule::core::definition::Vars;
use schedule::core::forecast::{Forecast, Span};
use schedule::core::ids::JobId;
use schedule::core::outcome::{Exit, Outcome};
use schedule::core::protocol::JobRow;
use schedule::core::table::Table;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const JOBS: u32 = 10_000;

/// Seconds that a client may wait, and milliseconds that a turn of the loop may take.
const WANTED_S: f64 = 2.0;
const WANTED_MS: f64 = 5.0;

/// Minute, hour, and so on; `{m}` and `{h}` are another minute and hour for each job.
const MIXED: [&str; 16] = [
    "0 * * * * {d}",
    "0 */5 * * * {d}",
    "0 {m} * * * {d}",
    "0 {m} {h} * * {d}",
    "0 {m} {h} * * MON-FRI",
    "0 {m},30 9-17 * * {d}",
    "0 {m} */2 * * {d}",
    "*/10 * * * * {d}",
    "0 {m} {h} 1 * *",
    "0 {m} {h} L * *",
    "0 {m} {h} * * 0",
    "{m} * * * * {d}",
    "0 */10 8-20 * * 1-5",
    "0 {m}-59/7 * * * {d}",
    "0 {m} {h},{m2} * * {d}",
    "* * {h} * * {d}",
];

const ZONES: [&str; 5] = ["", "UTC", "America/New_York", "Europe/London", "Australia/Lord_Howe"];

/// The expression of a job, due in `months` only.
fn expression(id: u32, months: &str) -> String {
    let number = |of: u32, below: u32| (id.wrapping_mul(of) >> 7) % below;
    let text = MIXED[(id % 16) as usize];
    let text = text.replace("{m}", &number(2_654_435_761, 60).to_string());
    let text = text.replace("{h}", &number(40_503, 24).to_string());
    let text = text.replace("{m2}", &number(97, 24).to_string()).replace("{d}", "*");
    let mut fields: Vec<&str> = text.split(' ').collect();
    fields[4] = months;
    fields.join(" ")
}

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let is_wanted = |name: &str| wanted.as_deref().is_none_or(|only| only == name);
    if is_wanted("core") {
        println!(
            "the core: {JOBS} jobs, 31 days     s  (wanted)  slice ms  slots, and runs at once"
        );
        let alike = |_: u32| "* * * * * *".to_owned();
        let uneven = |id: u32| {
            let hour = id % 24;
            format!("{}-59/2 {}-59 {hour}-23 * * *", id % 7, id % 50)
        };
        core("mixed, no run is known", |id| expression(id, "*"), |_| 0)?;
        core(
            "mixed, each takes its time",
            |id| expression(id, "*"),
            |id| u64::from(id.wrapping_mul(7_919) % 300_000),
        )?;
        core("mixed, each takes long", |id| expression(id, "*"), |id| u64::from(id) * 1_000)?;
        core("each second, all", alike, |_| 0)?;
        core("each minute, each its time", |_| "* * * * *".into(), |id| u64::from(id) * 100)?;
        core("half of all seconds, all", uneven, |id| u64::from(id) * 100)?;
    }
    if is_wanted("daemon") {
        daemon()?;
    }
    Ok(())
}

fn core(
    name: &str,
    cron: impl Fn(u32) -> String,
    took_ms: impl Fn(u32) -> u64,
) -> Result<(), Box<dyn Error>> {
    let mut table = Table::new(Dialect::Crontab, zone("Asia/Shanghai")?);
    for id in 1..=JOBS {
        let row = JobRow {
            id,
            name: format!("job {id}"),
            command: "true".into(),
            cron: cron(id),
            timezone: ZONES[(id / 7 % 5) as usize].into(),
            max_concurrence: 1 + id % 3,
            ..JobRow::default()
        };
        let def = table.define(row, &Vars::new());
        table.put(def, 1, 0);
        let (duration_ms, outcome) = (took_ms(id), Outcome::Ended(Exit::Code(0)));
        let past = past(1, outcome, duration_ms);
        if let Some(job) = table.get_mut(JobId(id)).filter(|_| duration_ms > 0) {
            job.history_mut().ended(past);
        }
    }
    // With a change of the offset in London and New York.
    let from: Timestamp = "2026-10-15T00:00:00Z".parse()?;
    let from_ms = from.as_millisecond();
    let span = Span { from_ms, to_ms: from_ms + 31 * 86_400_000 };
    let began = Instant::now();
    let mut forecast = Forecast::new(span, 10_000, &zone("Asia/Shanghai")?);
    let mut longest_ms = 0.0_f64;
    let jobs: Vec<_> = table.iter().collect();
    for some in jobs.chunks(500) {
        let slice_ms = cpu_ms();
        some.iter().for_each(|job| forecast.add(&table, job));
        longest_ms = longest_ms.max(cpu_ms() - slice_ms);
    }
    loop {
        let slice_ms = cpu_ms();
        let more = forecast.work();
        longest_ms = longest_ms.max(cpu_ms() - slice_ms);
        if !more {
            break;
        }
    }
    let found = forecast.found();
    let took = began.elapsed().as_secs_f64();
    let (total, most) = (found.total, found.busiest.map_or(0, |it| it.runs));
    println!("{name:<30} {took:>7.2}  ({WANTED_S:>6}) {longest_ms:>9.2}  {total}, {most} at once");
    Ok(())
}

/// CPU time of this thread so far: what others take of the machine is no part of a slice.
fn cpu_ms() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// The first month that is not near, so that nothing is started meanwhile: its number and its
/// beginning.
fn far_month() -> Result<(String, Timestamp), Box<dyn Error>> {
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let first = today.first_of_month().checked_add(5.months())?;
    Ok((first.month().to_string(), TimeZone::UTC.to_timestamp(first.at(0, 0, 0, 0))?))
}

fn daemon() -> Result<(), Box<dyn Error>> {
    let (month, from) = far_month()?;
    let mut daemon = BenchDaemon::new("forecast")?;
    daemon.fill((1..=JOBS).map(|id| Row {
        id,
        command: "true".into(),
        cron: expression(id, &month),
        output: "/dev/null".into(),
    }))?;
    for (at, zone) in ZONES.iter().enumerate() {
        daemon
            .sql(&format!("UPDATE scheduler_jobs SET timezone='{zone}' WHERE id / 7 % 5 = {at}"))?;
    }
    daemon.start()?;
    println!(
        "the daemon: {JOBS} mixed jobs         s  (wanted)  longest turn ms (wanted)  others ms"
    );
    let address = daemon.address().to_owned();
    let before_ms = daemon.worst_turn_ms()?;
    for (days, limit) in [(1, 1_000), (31, 1_000), (31, 10_000)] {
        let to = from + (days * 24).hours();
        let path = format!("/api/v1/forecast?from={from}&to={to}&limit={limit}");
        let asked = {
            let address = address.clone();
            thread::spawn(move || -> io::Result<(f64, usize)> {
                let began = Instant::now();
                let answer = get(&address, &path)?;
                Ok((began.elapsed().as_secs_f64(), answer.len()))
            })
        };
        let mut others = Duration::ZERO;
        while !asked.is_finished() {
            let began = Instant::now();
            get(&address, "/healthz")?;
            others = others.max(began.elapsed());
            thread::sleep(Duration::from_millis(1));
        }
        let (took, bytes) = asked.join().map_err(|_| "it panicked")??;
        let (worst_ms, others_ms) = (daemon.worst_turn_ms()?, others.as_secs_f64() * 1000.0);
        println!(
            "{days:>2} days, {limit:>6} slots, {bytes:>8} B {took:>7.2}  ({WANTED_S:>6}) \
             {worst_ms:>17.2} ({WANTED_MS:>6})  {others_ms:>9.2}"
        );
    }
    println!("longest turn before: {before_ms:.2} ms; memory after: {:.1} MB", daemon.own_mb()?);
    Ok(daemon.stop()?)
}

/// The whole answer to a request on a connection of its own.
fn get(address: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    match answer.starts_with(b"HTTP/1.1 200 ") {
        true => Ok(answer),
        false => Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned())),
    }
}
