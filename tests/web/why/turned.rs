//! Since when a run fails, and what was changed before that; and what is told without an instant.

use super::MINUTE;
use crate::web_common::{Bench, row};
use schedule::core::protocol::JobRow;
use serde_json::Value;

/// Of a run that failed it is told since when, and what was changed.
#[test]
fn what_turned_good_runs_into_bad_ones_is_told() {
    let mut bench = Bench::that_asks_seldom(&[row(1, "*/10 * * * *", "echo {DIR}")]);
    let slot = |nth: i64| 1_795_326_600_000 + nth * 10 * MINUTE;
    for nth in 0..4 {
        bench.pass(u64::try_from(slot(nth) + 100 - bench.now.wall_ms).unwrap());
        bench.pass(1_000);
        bench.end_all(u8::from(nth >= 2));
        if nth == 1 {
            bench.ask("PATCH", "/api/v1/jobs/1", "", r#"{"owner": "ann"}"#).is(200);
            bench.pass(1_000);
            let var = r#"{"name": "DIR", "value": "/x"}"#;
            bench.ask("POST", "/api/v1/vars", "", var).is(201);
            let other = r#"{"name": "OTHER", "value": "/y"}"#;
            bench.ask("POST", "/api/v1/vars", "", other).is(201);
        }
    }
    bench.carry_all();
    let told = bench.get("/api/v1/jobs/1/why").is(200).json();
    assert_eq!((&told["verdict"], &told["was_due"]), (&"ran".into(), &true.into()), "{told:#}");
    let since = &told["since_good"];
    let started =
        |run: &str| schedule::core::time::instant(since[run]["started_at"].as_str().unwrap());
    assert_eq!(started("good").unwrap() / MINUTE, slot(1) / MINUTE, "{told:#}");
    assert_eq!(started("bad").unwrap() / MINUTE, slot(2) / MINUTE, "{told:#}");
    let changes = since["changes"].as_array().unwrap();
    let actions: Vec<&str> = changes.iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["create_variable", "edit"], "{told:#}");
    assert_eq!(since["restarted"], false);
    let good = bench.get("/api/v1/jobs/1/why?at=2026-11-22%2014:00").is(200).json();
    assert_eq!((&good["verdict"], &good["since_good"]), (&"ran".into(), &Value::Null), "{good:#}");
    let page =
        bench.ask("GET", "/jobs/1/why?at=2026-11-22+14:20&lang=zh", "Accept: text/html\r\n", "");
    assert!(page.is(200).body.contains("最近一次成功的运行"), "{}", page.body);
    assert!(bench.get("/jobs/1").body.contains("action=\"../jobs/1/why\""));
    for bad in ["at=x", "at=1900-01-01", "lang=de", "when=now"] {
        bench.get(&format!("/api/v1/jobs/1/why?{bad}")).is(400);
    }
    bench.database_error = Some("it is away".into());
    bench.get("/api/v1/jobs/1/why?at=2026-11-22%2014:20").is(503);
    bench.get("/api/v1/jobs/1/why?at=2026-11-22%2014:00").is(200);
    let next = bench.get("/api/v1/jobs/1/why?at=2099-11-22%2014:00").is(200).json();
    assert_eq!(next["verdict"], "will_run");
}

/// Without an instant the last start is told where it was later than the last slot.
#[test]
fn a_run_by_hand_is_told_if_it_was_last() {
    let mut bench = Bench::that_asks_seldom(&[
        row(1, "0 0 1 1 *", "true"),
        JobRow { max_concurrence: 0, ..row(2, "*/10 * * * *", "true") },
    ]);
    let never = bench.get("/api/v1/jobs/1/why").is(200).json();
    assert_eq!(never["verdict"], "no_record", "{never:#}");
    let answer = never["answer"].as_str().unwrap();
    assert!(answer.contains("perhaps no daemon had it yet"), "{answer}");
    bench.post("/api/v1/jobs/1/start").is(200);
    bench.pass(1_000);
    bench.end_all(4);
    bench.carry_all();
    let told = bench.get("/api/v1/jobs/1/why").is(200).json();
    assert_eq!((&told["verdict"], &told["was_due"]), (&"ran".into(), &false.into()), "{told:#}");
    let answer = told["answer"].as_str().unwrap();
    assert!(answer.starts_with("It ran, outside its schedule: run "), "{answer}");
    assert!(answer.contains("exit 4"), "{answer}");
    let zero = bench.get("/api/v1/jobs/2/why?lang=zh").is(200).json();
    assert_eq!((&zero["verdict"], &zero["answer"]), (&"never_due".into(), &NO_PLACE.into()));
}

/// That a limit of 0 is no schedule is told without slots, in the language of who asks.
const NO_PLACE: &str = "没有到期时刻:并发上限为 0。";
