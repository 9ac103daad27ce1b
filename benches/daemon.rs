//! The real daemon under load: many jobs due at once, as a ratio against `benches/bare_loop.c` in
//! the same run; many jobs that are not due; large tables that change.
//!
//! `cargo bench --bench daemon [-- due|idle|lanes|large]`. The database is SQLite; with
//! SCHEDULE_TEST_MARIADB_SOCKET and the others of `scripts/test` set, `idle` and `lanes` run on
//! MariaDB as well.

#[path = "daemon/bench_daemon.rs"]
#[allow(dead_code)] // Each benchmark uses a part of it.
mod bench_daemon;
#[path = "daemon/lanes.rs"]
mod lanes;

use bench_daemon::{BenchDaemon, Row, bare_loop};
use std::io;
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let is_wanted = |name: &str| wanted.as_deref().is_none_or(|only| only == name);
    if is_wanted("due") {
        due()?;
    }
    if is_wanted("idle") {
        idle()?;
    }
    if is_wanted("lanes") {
        lanes::lanes()?;
    }
    if is_wanted("large") {
        large()?;
    }
    Ok(())
}

/// Rounds of [`due`]; the first is told apart, because it makes the directories for the output.
const ROUNDS: usize = 3;

fn due() -> io::Result<()> {
    println!("1,000 jobs due at once: until the last start / a bare loop that starts and reaps");
    println!("command      output       bare ms  ours ms   ratio (each round; bound)");
    let direct = &["/bin/true"][..];
    let shell = &["/bin/sh", "-c", "/bin/true;"][..];
    for (command, argv, bound) in [("/bin/true", direct, 1.25), ("/bin/true;", shell, 1.15)] {
        for (name, output) in [("/dev/null", "/dev/null"), ("file per run", "")] {
            let mut daemon = BenchDaemon::new("due")?;
            let rows = (1..=1000).map(|id| Row {
                id,
                command: command.to_owned(),
                cron: "*/15 * * * * *".to_owned(),
                output: output.to_owned(),
            });
            daemon.fill(rows)?;
            daemon.start()?;
            for round in 0..ROUNDS {
                // In the quiet half of the quarter minute.
                wait_for_second_of(15, 6);
                let bare_ms = bare_loop("serial", 1000, argv)?;
                let ours_ms = daemon.last_start_after_slot()?;
                let ratio = ours_ms / bare_ms;
                let note = if round == 0 && output.is_empty() { " makes directories" } else { "" };
                println!(
                    "{command:<12} {name:<12} {bare_ms:>7.0}  {ours_ms:>7.0}  {ratio:>6.2} \
                     ({bound}){note}"
                );
            }
            daemon.stop()?;
        }
    }
    five_thousand()
}

fn five_thousand() -> io::Result<()> {
    let mut daemon = BenchDaemon::new("five-thousand")?;
    let stamps = daemon.dir().join("stamps");
    let rows = (1..=5000).map(|id| Row {
        id,
        command: format!("echo $SCHEDULE_JOB_ID $SCHEDULE_SLOT >> {}", stamps.display()),
        cron: "0 * * * * *".to_owned(),
        output: String::new(),
    });
    daemon.fill(rows)?;
    daemon.start()?;
    daemon.wait_for("5,000 runs", Duration::from_secs(120), |status| {
        status["launched"].as_u64() >= Some(5000) && status["running"] == 0
    })?;
    daemon.stop()?;
    let text = std::fs::read_to_string(&stamps)?;
    let mut lines: Vec<&str> = text.lines().collect();
    let slot = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or("").to_owned();
    lines.retain(|line| line.ends_with(&slot));
    lines.sort_unstable();
    let all = lines.len();
    lines.dedup();
    println!(
        "5,000 due at once: {} of 5000 ran in slot {slot}, {} twice",
        lines.len(),
        all - lines.len()
    );
    Ok(())
}

fn idle() -> io::Result<()> {
    println!("10,000 jobs not due, a sync every 10 s, helpers included");
    for mut daemon in BenchDaemon::each_database("idle")? {
        daemon.fill((1..=10_000).map(not_due))?;
        daemon.start()?;
        // The first sync, and the memory it needed, is not the daily business.
        std::thread::sleep(Duration::from_secs(15));
        let (before, connections) = (daemon.cpu_ms()?, daemon.connections()?);
        let began = Instant::now();
        std::thread::sleep(Duration::from_secs(120));
        let minutes = began.elapsed().as_secs_f64() / 60.0;
        let spent = (daemon.cpu_ms()? - before) / minutes;
        // The second look is one itself.
        let connections = daemon.connections()?.saturating_sub(connections + 1) as f64 / minutes;
        println!(
            "{:<8} {:.1} MB resident (12), {:.1} MB of them its own, {spent:.1} ms CPU a \
             minute (20), {connections:.1} connections a minute (1), Threads: {}; \
             keeper {:.1} MB, both together {:.1} MB of their own and their share",
            daemon.database_name(),
            daemon.resident_mb()?,
            daemon.own_mb()?,
            daemon.proc_status("Threads")?,
            daemon.keeper_mb()?,
            daemon.together_mb()?
        );
        daemon.stop()?;
    }
    Ok(())
}

fn large() -> io::Result<()> {
    println!("100,000 jobs: the longest turn of the loop, so far");
    let mut daemon = BenchDaemon::new("large")?;
    daemon.fill((1..=100_000).map(not_due))?;
    daemon.start()?;
    let jobs = |n: u64| move |status: &serde_json::Value| status["jobs"] == n;
    daemon.wait_for("the first sync", Duration::from_secs(60), jobs(100_000))?;
    println!("loaded           {:>6.1} ms (20)", daemon.worst_turn_ms()?);
    let slow_before = daemon.status()?["slow_turns"].as_u64();
    std::thread::sleep(Duration::from_secs(31));
    let slow = daemon.status()?["slow_turns"].as_u64();
    println!("3 syncs, same    turns over 2 ms: {:?} before, {slow:?} after (equal)", slow_before);
    daemon.sql("UPDATE scheduler_jobs SET command = command || ' --again'")?;
    std::thread::sleep(Duration::from_secs(15));
    println!("all changed      {:>6.1} ms (20)", daemon.worst_turn_ms()?);
    daemon.sql("DELETE FROM scheduler_jobs")?;
    daemon.wait_for("the last sync", Duration::from_secs(60), jobs(0))?;
    println!("all gone         {:>6.1} ms (20)", daemon.worst_turn_ms()?);
    daemon.stop()
}

fn not_due(id: u32) -> Row {
    Row {
        id,
        command: format!("/usr/bin/php /data/app/run.php --task={id} --environment=production"),
        cron: format!("{} {} 1 1 *", id % 60, id % 24),
        output: "/var/log/app/task.log".to_owned(),
    }
}

/// Sleeps until the wall clock's second modulo `of` is `second`.
fn wait_for_second_of(of: u64, second: u64) {
    let now = schedule::shell::clock::now().wall_ms.unsigned_abs();
    let into = now % (of * 1000);
    let wait = (second * 1000 + of * 1000 - into) % (of * 1000);
    std::thread::sleep(Duration::from_millis(wait));
}
