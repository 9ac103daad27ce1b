//! History over many rows: how long the migration takes and has others wait, and what a page of
//! each kind costs, with the database warm and just started.
//!
//! `SCHEDULE_HISTORY_ROWS` says how many (20,000); `scripts/long history` is the long form, which
//! also holds the times to their bounds.

use crate::common::database::{Kind, TestDatabase, mysql_conn, numbers};
use crate::common::our_program;
use crate::daemon::server::Server;
use crate::daemon::{Daemon, SOON, Site, now_ns, setting, wait_for};
use crate::random::Random;
use mysql::prelude::Queryable;
use schedule::shell::database::migrate;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

const JOBS: u64 = 100;

/// Rows of one statement, and so the least that there are.
const PIECE: u64 = 10_000;

/// Milliseconds in which 99 pages in 100 must be there.
const WARM_MS: f64 = 50.0;
const COLD_MS: f64 = 300.0;

/// A large server's memory, in small; what is warm is said by the pages asked for, not by a dump.
const OPTIONS: [&str; 2] = ["--innodb-buffer-pool-size=3G", "--innodb-flush-log-at-trx-commit=2"];

fn id(n: u64) -> String {
    format!("1-0{n:017}")
}

/// When row `n` began: nine seconds after the one before.
fn at(n: u64) -> String {
    // 2020-01-01 00:00:00, in the zone of the site.
    let ms = (1_577_808_000 + 9 * n.cast_signed()) * 1_000;
    let zone = schedule::core::cron::zone("Asia/Shanghai").unwrap();
    schedule::core::time::datetime(ms, &zone)
}

/// Rows as a daemon before this migration has written them. Every second one is of job 1; job 100
/// has one in 5,000. One in 1,000 has failed, one in 5,000 was ended by a signal.
fn fill(database: &mut TestDatabase, rows: u64) {
    let numbers = numbers(PIECE as u32);
    for base in (0..rows).step_by(PIECE as usize) {
        database.sql(&format!(
            "INSERT INTO scheduler_logs (command_id, server_id, command, create_time,
             running_time, start_time, end_time, uniq_id, pid, concurrent, slot, cause, outcome,
             duration_ms, user_ms, system_ms, max_rss_bytes)
             SELECT CASE WHEN g % 2 = 1 THEN 1 WHEN g % 5000 = 12 THEN {JOBS}
             ELSE 2 + g DIV 2 % ({JOBS} - 2) END, IF(g % 25 = 13, 2, 1),
             CONCAT('/usr/local/bin/job --number=', g % 100, ' >/dev/null'), at, 1, at, at,
             CONCAT('1-0', LPAD(g, 17, '0')), 4711, 1,
             CONCAT(DATE_FORMAT(at, '%Y-%m-%dT%H:%i:%s'), '+08:00'), 'due',
             CASE WHEN g % 5000 IN (9, 12) THEN 'signal 9' WHEN g % 1000 = 8 THEN 'exit 3'
             ELSE 'exit 0' END, 812, 17, 4, 3145728
             FROM (SELECT {base} + n - 1 AS g, DATE_ADD('2020-01-01 00:00:00',
             INTERVAL 9 * ({base} + n - 1) SECOND) AS at FROM {numbers}) AS source"
        ));
    }
}

/// Runs `schedule db migrate` while rows are written. Seconds, and the longest wait of a writer.
fn migrate_beside_writers(database: &mut TestDatabase, site: &Site) -> (f64, f64) {
    let over = AtomicBool::new(false);
    let config = database.config.clone();
    scope(|scope| {
        let writer = scope.spawn(|| {
            let mut conn = mysql_conn(&config);
            let schedule::core::database::Database::Mysql(server) = &config else { panic!() };
            conn.query_drop(format!("USE {}", server.dbname)).unwrap();
            let mut longest = Duration::ZERO;
            for n in 0_u32.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let begin = Instant::now();
                conn.query_drop(format!(
                    "INSERT INTO scheduler_logs (command_id, server_id, uniq_id, outcome,
                     start_time, end_time) VALUES (1, 3, 'w{n}', 'exit 0', NOW(), NOW())"
                ))
                .unwrap();
                longest = longest.max(begin.elapsed());
                sleep(Duration::from_millis(5));
            }
            longest
        });
        let begin = Instant::now();
        let ended = our_program().args(["db", "migrate", "-c", &site.write_config()]).status();
        let took = begin.elapsed();
        over.store(true, Ordering::Relaxed);
        assert!(ended.unwrap().success());
        (took.as_secs_f64(), writer.join().unwrap().as_secs_f64())
    })
}

/// A page of each kind, at a place in the past that chance chooses.
fn pages(random: &mut Random, rows: u64) -> Vec<(&'static str, String)> {
    let mut place = || random.below(rows * 9 / 10) + rows / 10;
    let mut deep = || format!("&before={}", id(place()));
    let all = "/api/v1/runs?limit=100";
    let mut pages = vec![
        ("newest", all.to_owned()),
        ("deep", format!("{all}{}", deep())),
        ("a common job", format!("/api/v1/jobs/1/runs?limit=100{}", deep())),
        ("a rare job", format!("/api/v1/jobs/{JOBS}/runs?limit=100{}", deep())),
        ("failed", format!("{all}&outcome=failed{}", deep())),
        ("ok", format!("{all}&outcome=ok{}", deep())),
        ("signal", format!("{all}&outcome=signal{}", deep())),
        ("a rare end of a job", format!("/api/v1/jobs/7/runs?limit=100&outcome=failed{}", deep())),
        ("a small tag", format!("{all}&tag=1{}", deep())),
        ("failed of a tag", format!("{all}&tag=1&outcome=failed{}", deep())),
        ("a large tag", format!("{all}&tag=2{}", deep())),
        ("a word", format!("{all}&q=job{}", deep())),
        ("1,000", format!("/api/v1/runs?limit=1000{}", deep())),
    ];
    let until = place();
    let zone = |at: String| format!("{}%2B08:00", at.replace(' ', "T"));
    let (since, until) = (zone(at(until - until / 4)), zone(at(until)));
    pages.push(("of a time", format!("{all}&since={since}&until={until}")));
    pages.push(("failed of a time", format!("{all}&since={since}&until={until}&outcome=failed")));
    pages
}

/// Milliseconds until a page is there, which must be whole.
fn time(daemon: &Daemon, path: &str) -> f64 {
    let begin = Instant::now();
    let page = daemon.json(path);
    let ms = begin.elapsed().as_secs_f64() * 1_000.0;
    assert_eq!(page["complete"], true, "{path}: {page}");
    // What is rare there may not be at all.
    if !path.contains("outcome=") {
        assert!(!page["runs"].as_array().unwrap().is_empty(), "{path}");
    }
    ms
}

/// Of 100 times, sorted, the one that is not exceeded by so many.
fn quantile(times: &[f64], part: f64) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[((times.len() as f64 * part).ceil() as usize).clamp(1, times.len()) - 1]
}

fn told(what: &str, times: &[f64]) -> f64 {
    let [half, most, max] = [0.5, 0.99, 1.0].map(|part| quantile(times, part));
    println!(
        "{what:22} {:5} pages: p50 {half:7.1} ms, p99 {most:7.1} ms, max {max:7.1} ms",
        times.len()
    );
    most
}

/// The database is started again with nothing in its memory; for root also nothing in the system's.
fn restart(server: &mut Server, daemon: &Daemon) {
    server.kill();
    let dropped = Command::new("sh")
        .args(["-c", "sync; echo 3 >/proc/sys/vm/drop_caches"])
        .stderr(Stdio::null())
        .status();
    if !dropped.unwrap().success() {
        println!("the page cache of the system stays: only root can drop it");
    }
    server.start_again(&OPTIONS);
    wait_for("the daemon to have the database again", SOON, || {
        (daemon.json("/api/v1/status")["database"] == "up").then_some(())
    });
}

#[test]
fn pages_of_history_over_many_rows() {
    let rows = setting("SCHEDULE_HISTORY_ROWS", 20_000).next_multiple_of(PIECE);
    let is_long = setting("SCHEDULE_HISTORY_LONG", 0) == 1;
    let mut server = Server::start(Kind::Mariadb);
    server.kill();
    server.start_again(&OPTIONS);
    let mut database =
        TestDatabase::empty_on(Kind::Mariadb, &server.config(), "CHARACTER SET utf8mb4");
    migrate::init(&database.config).unwrap();
    database.sql(
        "ALTER TABLE scheduler_logs DROP INDEX history_job, DROP INDEX history_group,
         DROP COLUMN kind; DELETE FROM scheduler_schema WHERE version = 5",
    );
    for id in 1..=JOBS {
        let tag = match id {
            2..=9 => 1,
            10..=60 => 2,
            _ => 0,
        };
        database.sql(&format!(
            "INSERT INTO scheduler_jobs (id, name, command, cron, server_id, status, tag_id)
             VALUES ({id}, 'job {id}', 'true', '0 0 1 1 *', 1, 1, {tag})"
        ));
    }
    let begin = Instant::now();
    fill(&mut database, rows);
    println!("{rows} rows filled in {:.1} s", begin.elapsed().as_secs_f64());
    let site = Site::new(&database.config);
    let (took, longest) = migrate_beside_writers(&mut database, &site);
    println!("migration: {took:.1} s; the longest INSERT beside it: {:.0} ms", longest * 1_000.0);
    let open = "SELECT COUNT(*) FROM scheduler_logs WHERE server_id = 1 AND kind = 0";
    assert_eq!(database.value(open), "0");

    let daemon = site.start();
    daemon.wait_jobs(JOBS);
    let mut random = Random::new(now_ns().unsigned_abs());
    let rounds = if is_long { 100 } else { 3 };
    let kinds = pages(&mut random, rows).len();
    let mut warm = vec![Vec::new(); kinds];
    // The first is what warms it.
    for round in 0..=rounds {
        for (kind, (_, path)) in pages(&mut random, rows).iter().enumerate() {
            let ms = time(&daemon, path);
            if round > 0 {
                warm[kind].push(ms);
            }
        }
    }
    let names: Vec<&str> = pages(&mut random, rows).iter().map(|(name, _)| *name).collect();
    for (name, times) in names.iter().zip(&warm) {
        told(name, times);
    }
    let warm = told("warm, of all kinds", &warm.concat());
    let mut cold = Vec::new();
    for _ in 0..if is_long { 7 } else { 1 } {
        restart(&mut server, &daemon);
        for (name, path) in pages(&mut random, rows) {
            let ms = time(&daemon, &path);
            if is_long && ms > COLD_MS / 3.0 {
                println!("cold: {name}: {ms:.1} ms");
            }
            cold.push(ms);
        }
    }
    let cold = told("cold, of all kinds", &cold);
    if setting("SCHEDULE_HISTORY_BOUNDS", 0) == 1 {
        assert!(warm < WARM_MS && cold < COLD_MS, "too slow: {warm:.1} and {cold:.1} ms");
    }
    assert!(daemon.stop().success());
}
