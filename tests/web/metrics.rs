//! `/metrics`, read by a strict parser of OpenMetrics 1.0 that knows nothing of the writer.

use crate::web_common::{Bench, row};
use schedule::core::scheduler::Carried;
use std::collections::{BTreeMap, BTreeSet};

/// What a family says of itself, and its samples by name and labels.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    samples: BTreeMap<String, f64>,
}

/// The suffixes of the samples of a kind ("MetricPoint" sections of the specification).
fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "gauge" => &[""],
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_count", "_sum"],
        "info" => &["_info"],
        _ => panic!("kind {kind}"),
    }
}

fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(good) && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty()
}

#[track_caller]
fn parse(text: &str) -> BTreeMap<String, Family> {
    let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
    assert!(!body.contains("# EOF") && !body.contains("\n\n") && body.ends_with('\n'));
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let mut described = BTreeSet::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (what, name, text) =
                (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            assert!(is_name(name), "{line}");
            if what == "TYPE" {
                assert!(!families.contains_key(name), "{name} comes twice");
                suffixes(text);
                let family = Family { kind: text.to_owned(), ..Family::default() };
                families.insert(name.to_owned(), family);
                name.clone_into(&mut current);
            }
            assert_eq!(name, current, "metadata of another family: {line}");
            assert!(families[name].samples.is_empty(), "metadata after samples: {line}");
            assert!(described.insert(format!("{what} {name}")), "twice: {line}");
            match what {
                "TYPE" => {}
                "UNIT" => assert!(name.ends_with(&format!("_{text}")), "{line}"),
                "HELP" => assert!(text.ends_with('.'), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let family = families.get_mut(&current).expect("a family");
        add_sample(&current, family, line);
    }
    families
}

#[track_caller]
fn add_sample(name: &str, family: &mut Family, line: &str) {
    let (sample, value) = line.rsplit_once(' ').unwrap();
    let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
    let (metric, labels) = match sample.split_once('{') {
        Some((metric, labels)) => (metric, labels.strip_suffix('}').expect("a closing brace")),
        None => (sample, ""),
    };
    let suffix = metric.strip_prefix(name).unwrap_or_else(|| panic!("{line} is not of {name}"));
    assert!(suffixes(&family.kind).contains(&suffix), "{line}");
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (label, value) = label.split_once('=').unwrap();
        assert!(is_name(label) && value.len() >= 2, "{line}");
        assert!(value.starts_with('"') && value.ends_with('"'), "{line}");
    }
    if suffix == "_bucket" {
        let bound = labels.strip_prefix("le=\"").unwrap().trim_end_matches('"');
        assert!(bound == "+Inf" || (bound.contains('.') && bound.parse::<f64>().is_ok()));
    }
    assert!(value >= 0.0, "{line}");
    assert!(family.samples.insert(sample.to_owned(), value).is_none(), "twice: {line}");
}

/// Buckets grow with their bounds, and the last one is the count.
fn check_histogram(text: &str, name: &str) -> f64 {
    let buckets: Vec<(f64, f64)> = text
        .lines()
        .filter_map(|line| line.strip_prefix(&format!("{name}_bucket{{le=\"")))
        .map(|line| line.split_once("\"} ").unwrap())
        .map(|(bound, count)| {
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            (bound, count.parse().unwrap())
        })
        .collect();
    assert!(buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
    buckets.last().unwrap().1
}

#[test]
fn figures_are_well_formed_and_right() {
    let mut never = row(3, "* * * * * *", "true");
    never.max_concurrence = 0;
    let mut bench =
        Bench::with(&[row(1, "* * * * * *", "sleep 9"), row(2, "0 0 1 1 *", "true"), never]);
    bench.pass(510);
    bench.end_all(0);
    bench.pass(1_000);
    bench.pass(1_000);
    bench.end_all(3);
    bench.post("/api/v1/jobs/2/start");
    let answer = bench.get("/metrics").is(200).clone();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(kind));
    let families = parse(&answer.body);
    let value = |family: &str, sample: &str| families[family].samples[sample];
    assert_eq!(value("schedule_launches", "schedule_launches_total"), 3.0);
    let runs = |outcome: &str| format!("schedule_runs_total{{outcome=\"{outcome}\"}}");
    assert_eq!(value("schedule_runs", &runs("success")), 1.0);
    assert_eq!(value("schedule_runs", &runs("failure")), 1.0);
    assert_eq!(value("schedule_runs", &runs("lost")), 0.0);
    let skips = "schedule_skipped_slots_total{reason=\"overlap\"}";
    assert_eq!(value("schedule_skipped_slots", skips), 1.0, "of job 1; job 3 is never started");
    let state =
        |state: &str| value("schedule_jobs", &format!("schedule_jobs{{state=\"{state}\"}}"));
    assert_eq!((state("running"), state("exited"), state("off")), (1.0, 1.0, 1.0));
    assert_eq!(value("schedule_live_runs", "schedule_live_runs"), 1.0);
    // Started by hand is not late: there was no slot.
    assert_eq!(check_histogram(&answer.body, "schedule_launch_lateness_seconds"), 2.0);
    let late = "schedule_launch_lateness_seconds_bucket{le=\"0.01\"}";
    assert_eq!(value("schedule_launch_lateness_seconds", late), 2.0, "10 ms each");
    let sum = value("schedule_launch_lateness_seconds", "schedule_launch_lateness_seconds_sum");
    assert!((sum - 0.02).abs() < 1e-9, "{sum}");
    check_histogram(&answer.body, "schedule_turn_seconds");
    assert_eq!(value("schedule_database_up", "schedule_database_up"), 1.0);
    for family in [
        "schedule_sync_age_seconds",
        "schedule_exchanges",
        "schedule_http_connections",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "schedule_build",
    ] {
        assert!(!families[family].samples.is_empty(), "{family}");
    }
}

/// Somebody wanted that end: nobody is to be woken for it.
#[test]
fn a_stop_by_hand_is_no_failure() {
    let mut bench = Bench::with(&[row(1, "0 0 1 1 *", "true")]);
    for (stop, code) in [(true, 143), (true, 0), (false, 1)] {
        bench.post("/api/v1/jobs/1/start");
        if stop {
            bench.post("/api/v1/jobs/1/stop").is(200);
        }
        bench.end_all(code);
    }
    let status = bench.get("/api/v1/status").json();
    let counts = ["succeeded", "stopped", "failed"].map(|name| status[name].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1], "{status}");
    let families = parse(&bench.get("/metrics").is(200).body);
    for outcome in ["success", "stopped", "failure"] {
        let name = format!("schedule_runs_total{{outcome=\"{outcome}\"}}");
        assert_eq!(families["schedule_runs"].samples[&name], 1.0, "{outcome}");
    }
    // How it ended is still said.
    let job = bench.get("/api/v1/jobs/1/runs").json();
    assert_eq!(job["runs"][2]["outcome"], "exit 143", "{job}");
}

/// The samples of a family by the value of their only label.
fn by_label(families: &BTreeMap<String, Family>, family: &str) -> BTreeMap<String, u64> {
    let value = |name: &str| name.split('"').nth(1).unwrap().to_owned();
    let samples = families[family].samples.iter().filter(|(_, count)| **count > 0.0);
    samples.map(|(name, count)| (value(name), *count as u64)).collect()
}

/// What an earlier program has handed over to one in its place: all figures in a row.
const IN_A_ROW: &str = r#"{"started":{"wall_ms":1795613400000,"mono_ms":50000},
    "counters":{"launched":211,"succeeded":101,"failed":406,"stopped":66,"skipped":10},
    "figures":[1,2,3,4,5,6,7,8,9,10,11,120000, 21,22,23,24,25,26,27,28,29,30,31,3200000,
        101,102,103,104,97, 1,2,3,4, 66],
    "draining":false,"stopping":[],"unwritten":[],"held":[],"message":""}"#;

/// Whatever the order in which this program has them.
#[test]
fn figures_of_an_earlier_program_go_on() {
    let mut bench = Bench::with(&[row(1, "* * * * * *", "sleep 9")]);
    let carried: Carried = serde_json::from_str(IN_A_ROW).unwrap();
    bench.core.go_on(bench.now, &carried);
    bench.pass(510);
    bench.end_all(0);
    // This program hands them on, and its next one has the same.
    for n in 1..3 {
        let given = serde_json::to_string(&bench.core.carry()).unwrap();
        let mut carried = serde_json::from_str::<Carried>(&given).unwrap();
        assert_eq!(carried.metrics(), *bench.core.scheduler.metrics());
        carried.exchanges += 1;
        carried.exchanges_failed += 2;
        bench.core.go_on(bench.now, &carried);
        let text = bench.get("/metrics").is(200).body.clone();
        let families = parse(&text);
        let runs = [("success", 102), ("failure", 102), ("signal", 103), ("spawn_failed", 104)];
        let runs = runs.into_iter().chain([("lost", 97), ("stopped", 66)]);
        let expected: BTreeMap<_, _> = runs.map(|(name, n)| (name.to_owned(), n)).collect();
        assert_eq!(by_label(&families, "schedule_runs"), expected);
        let skips = [("overlap", 1), ("draining", 2), ("waiting", 3), ("misfire", 4)];
        let expected: BTreeMap<_, _> = skips.map(|(name, n)| (name.to_owned(), n)).into();
        assert_eq!(by_label(&families, "schedule_skipped_slots"), expected);
        let exchanges = by_label(&families, "schedule_exchanges");
        assert_eq!((exchanges["success"], exchanges["failure"]), (n, 2 * n));
        let late = "schedule_launch_lateness_seconds";
        assert_eq!(check_histogram(&text, late), 67.0, "66, and one of this program");
        let within = format!("{late}_bucket{{le=\"0.001\"}}");
        assert_eq!(families[late].samples[&within], 1.0);
        assert_eq!(families[late].samples[&format!("{late}_sum")], 0.13);
        assert!(check_histogram(&text, "schedule_turn_seconds") >= 286.0);
    }
}
