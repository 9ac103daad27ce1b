//! Nanoseconds per next and microseconds per parse over a corpus, with plain `std` timing.
//! `cargo bench --bench cron_next`; the ratio against a bare zone lookup, measured in the same run,
//! tells a slow machine from slow code.

use std::hint::black_box;
use std::time::Instant;

use schedule::core::cron::{Cron, CronCache, Dialect, Zone, zone};

const TYPICAL: &[&str] = &[
    "* * * * *",
    "*/5 * * * *",
    "0 * * * *",
    "30 3 * * *",
    "0 9-17 * * 1-5",
    "15,45 */2 * * *",
    "0 0 1 * *",
    "0 4 * * 0",
    "*/10 * * * * *",
    "0 0 0 1,15 * *",
    "@hourly",
    "@every 90s",
];
const HARD: &[&str] = &[
    "0 0 29 2 *",
    "0 0 29 2 */7",
    "0 0 L * *",
    "0 0 LW * *",
    "0 0 15W * *",
    "0 0 31W * *",
    "0 0 * * 5#5",
    "0 0 * * 5L",
    "0 0 13 * 5",
    "0 0 L,15W,1W * 5#5,1L",
    "0 0 * 2 5#5",
    "59 59 23 31 12 *",
    "30 2 * * *",
    "*/7 1-3 * * *",
];
const ZONES: &[&str] = &[
    "UTC",
    "Asia/Shanghai",
    "America/New_York",
    "Europe/London",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
];
const FROM_MS: i64 = 1_795_000_000_000; // November 2026
const ROUNDS: usize = 2000;

/// Resident memory of this process in bytes; grows by pages, so hold many to measure one.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096
}

/// Mean nanoseconds of a next, walking on from due to due.
fn next_ns(cron: &Cron, zone: &Zone) -> f64 {
    let mut at = FROM_MS;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        at = cron.next_after(zone, black_box(at)).unwrap_or(FROM_MS);
        if at > FROM_MS + 60 * 365 * 86_400_000 {
            at = FROM_MS;
        }
    }
    start.elapsed().as_nanos() as f64 / ROUNDS as f64
}

fn table(title: &str, corpus: &[&str], zones: &[(&str, Zone)]) {
    println!("\n{title}: ns per next{:>20}", "worst in");
    let mut all = Vec::new();
    for text in corpus {
        let cron = Cron::parse(text, Dialect::Crontab).expect("the corpus is valid");
        let mut times: Vec<_> = zones.iter().map(|(n, z)| (next_ns(&cron, z), *n)).collect();
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (worst, name) = times[times.len() - 1];
        println!("{text:>26} {:>8.0} {worst:>8.0} {name}", times[times.len() / 2].0);
        all.extend(times.iter().map(|time| time.0));
    }
    all.sort_by(f64::total_cmp);
    println!("median {:.0} ns, worst {:.0} ns", all[all.len() / 2], all[all.len() - 1]);
}

/// The worst single next found from many places of the calendar, in nanoseconds: the least of a
/// few repetitions each, so that an interruption does not count.
fn worst_single(zones: &[(&str, Zone)]) {
    let mut worst = (0, "", "", 0);
    for text in HARD.iter().chain(TYPICAL) {
        let cron = Cron::parse(text, Dialect::Crontab).expect("the corpus is valid");
        for (name, zone) in zones {
            for step in 0..400 {
                let from = 1_640_000_000_000 + step * 1_234_567_890;
                let one = |_| {
                    let start = Instant::now();
                    black_box(cron.next_after(zone, black_box(from)));
                    start.elapsed().as_nanos()
                };
                let least = (0..5).map(one).min().unwrap_or(0);
                worst = worst.max((least, *text, *name, from));
            }
        }
    }
    println!("\nworst single next: {} ns, {} in {} from {}", worst.0, worst.1, worst.2, worst.3);
}

fn parse_times() {
    println!("\nus per parse: alone, through a cache");
    for text in TYPICAL.iter().chain(HARD) {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            black_box(Cron::parse(black_box(text), Dialect::Crontab)).ok();
        }
        let alone = start.elapsed().as_secs_f64() * 1e6 / ROUNDS as f64;
        let mut cache = CronCache::default();
        let start = Instant::now();
        for _ in 0..ROUNDS {
            black_box(cache.parse(black_box(text), Dialect::Crontab)).ok();
        }
        let cached = start.elapsed().as_secs_f64() * 1e6 / ROUNDS as f64;
        println!("{text:>26} {alone:>8.2} {cached:>8.2}");
    }
}

fn memory() {
    println!("\nbytes: Cron {}, compiled days of", size_of::<Cron>());
    let mut kept = Vec::new();
    for text in ["* * * * *", "0 0 * * 1-5", "0 0 1,15 * *", "0 0 */2 1-6 1,3,5", "0 0 1-30 * 1-5"]
    {
        let before = resident_bytes();
        let held: Vec<_> = (0..5000).map(|_| Cron::parse(text, Dialect::Crontab)).collect();
        let used = (resident_bytes() - before) / held.len();
        println!("{text:>26} {used:>8}");
        kept.push(held); // given back, it would be used again unseen
    }
    let before = resident_bytes();
    let mut cache = CronCache::default();
    let start = Instant::now();
    let crons: Vec<_> = (0..10_000)
        .map(|n| format!("{} {} {} * {}", n % 60, n / 60 % 24, days(n), weekdays(n)))
        .map(|text| cache.parse(&text, Dialect::Crontab))
        .collect();
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let used = resident_bytes() - before;
    println!("10,000 expressions read in {ms:.1} ms, {} bytes each", used / crons.len());
}

fn days(n: usize) -> String {
    if n.is_multiple_of(10) { (n % 28 + 1).to_string() } else { "*".to_owned() }
}

fn weekdays(n: usize) -> &'static str {
    ["*", "*", "1-5", "0", "*", "6", "*"][n % 7]
}

fn main() {
    let zones: Vec<(&str, Zone)> =
        ZONES.iter().map(|name| (*name, zone(name).expect("a bundled zone"))).collect();
    let lookup = Instant::now();
    for n in 0..100_000_i64 {
        let at = jiff::Timestamp::from_second(FROM_MS / 1000 + n * 997).expect("in range");
        black_box(zones[2].1.to_offset(at));
    }
    println!("a bare zone lookup: {:.0} ns", lookup.elapsed().as_nanos() as f64 / 1e5);
    table("typical", TYPICAL, &zones);
    table("hard", HARD, &zones);
    worst_single(&zones);
    parse_times();
    memory();
}
