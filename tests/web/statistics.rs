//! `GET /api/v1/jobs/ID/statistics` and its page, as a client sees them. What is counted is
//! compared with a look at all rows in `tests/database/statistics.rs`.

use crate::web_common::{Bench, Reply, row};
use schedule::core::protocol::{DayTold, Statistics, Uncounted};
use schedule::core::statistics::{Summary, Told};
use serde_json::json;

const PATH: &str = "/api/v1/jobs/1/statistics";

fn told(runs: u64) -> Told {
    let summary = |p50: u64| Some(Summary { runs, mean: p50, p50, p95: 2 * p50, max: 3 * p50 });
    Told {
        runs,
        ok: runs - 3,
        failed: 2,
        stopped: 1,
        skipped: 5,
        duration_ms: summary(1_200),
        cpu_ms: summary(40),
        max_rss_bytes: None,
    }
}

fn bench() -> Bench {
    let mut bench = Bench::with(&[row(1, "0 0 1 1 *", "true")]);
    bench.counted.found = Statistics {
        windows: vec![told(7), told(70), told(700)],
        days: vec![DayTold { day: "2026-11-20".into(), told: told(9) }],
        ..Statistics::default()
    };
    bench
}

fn ask(bench: &mut Bench, target: &str, headers: &str) -> Reply {
    bench.ask("GET", target, headers, "")
}

/// Days are those of the daemon's zone: 2026-11-22 13:42:00 in Shanghai.
#[test]
fn a_program_is_told_of_each_stretch_of_time() {
    let mut bench = bench();
    let reply = bench.get(PATH).is(200).json();
    let asked = bench.counted.asked.clone().unwrap();
    assert_eq!((asked.job, asked.server_id), (1, 1));
    let (today, since) = (asked.today.as_str(), asked.since.as_str());
    assert_eq!(reply["at"].as_str().unwrap()[..10], *today);
    let begins: Vec<_> =
        reply["windows"].as_array().unwrap().iter().map(|it| it["since"].clone()).collect();
    let at = since.replace(' ', "T") + "+08:00";
    let day = |days| schedule::core::statistics::days_before(today, days) + "T00:00:00+08:00";
    assert_eq!(begins, [json!(at), json!(day(7)), json!(day(30))]);
    let third = &reply["windows"][2];
    assert_eq!(
        (&third["window"], &third["runs"], &third["ok"]),
        (&json!("30d"), &json!(700), &json!(697))
    );
    assert_eq!(third["duration_ms"]["p95"], 2_400);
    assert_eq!(third["max_rss_bytes"], json!(null));
    assert_eq!(reply["days"][0]["day"], "2026-11-20");
    assert_eq!((&reply["complete"], &reply["why"]), (&json!(true), &json!(null)));
    assert_eq!((&reply["name"], &reply["error_percent"]), (&json!("job 1"), &json!(5)));
}

#[test]
fn what_is_not_counted_is_said() {
    let mut bench = bench();
    for (uncounted, what) in
        [(Uncounted::NoTable, "`schedule db migrate` makes it"), (Uncounted::NotYet, "in a while")]
    {
        bench.counted.found.uncounted = Some(uncounted);
        bench.counted.found.from = "2026-11-09".into();
        let reply = bench.get(PATH).is(200).json();
        assert_eq!(reply["complete"], false);
        let why = reply["why"].as_str().unwrap();
        assert!(why.starts_with("runs from before 2026-11-09") && why.ends_with(what), "{why}");
        let text = ask(&mut bench, PATH, "Accept: text/plain\r\n").body;
        assert!(text.contains(why), "{text}");
        let page = bench.get("/jobs/1/statistics").is(200).body.clone();
        assert!(page.contains("before") && page.contains("2026-11-09"), "{page}");
    }
}

#[test]
fn a_terminal_has_a_table() {
    let reply = ask(&mut bench(), PATH, "Accept: text/plain\r\n");
    assert!(reply.header("content-type").unwrap().starts_with("text/plain"));
    let text = &reply.body;
    let line = text.lines().find(|line| line.starts_with("7d")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        words,
        ["7d", "70", "67", "2", "1", "5", "1s", "2s", "3s", "40ms", "80ms", "120ms", "-", "-", "-"]
    );
}

#[test]
fn the_page_tells_it_in_both_languages() {
    let mut bench = bench();
    bench.counted.found.days[0].told.duration_ms = None;
    for (lang, word, took) in [("en", "Good", "1.2 s"), ("zh", "成功", "1.2")] {
        let page = bench.get(&format!("/jobs/1/statistics?lang={lang}")).is(200).body.clone();
        for part in [word, took, "<td>697</td>", "2026-11-20", "–"] {
            assert!(page.contains(part), "{lang} {part}: {page}");
        }
    }
    let page = bench.get("/jobs/1").is(200).body.clone();
    assert!(page.contains("jobs/1/statistics\""), "{page}");
}

#[test]
fn without_a_job_or_a_database_that_is_said() {
    let mut bench = bench();
    for path in ["/api/v1/jobs/9/statistics", "/jobs/9/statistics"] {
        bench.get(path).is(404);
    }
    bench.database_error = Some("gone".into());
    for path in [PATH, "/jobs/1/statistics"] {
        let reply = ask(&mut bench, path, "Accept: text/html\r\n");
        assert_eq!(reply.status, 503, "{path}");
        assert!(reply.header("retry-after").is_some() && reply.body.contains("gone"), "{path}");
    }
}
