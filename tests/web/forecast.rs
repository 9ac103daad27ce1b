//! `GET /api/v1/forecast`, as a client sees it: worked out in slices, while others are answered.
//! What it finds is compared with a brute force in `tests/cron/forecast.rs`.

use crate::web_common::{Bench, START, row};
use schedule::core::event::Event;
use schedule::core::ids::ConnId;
use schedule::core::places::Peer;
use schedule::core::protocol::JobRow;
use serde_json::{Value, json};

const NEVER: &str = "0 0 1 1 *";
const PATH: &str = "/api/v1/forecast";

/// An hour from 13:00 on, in the zone of the daemon.
const HOUR: &str = "from=2026-11-22T13:00:00%2B08:00&to=2026-11-22T14:00:00%2B08:00";

fn hour(bench: &mut Bench, more: &str) -> Value {
    bench.get(&format!("{PATH}?{HOUR}{more}")).is(200).json()
}

/// Sends a request and lets the loop turn once.
fn begin(bench: &mut Bench, query: &str) -> ConnId {
    let busy = bench.core.busy();
    let conn = bench.hand_in(&format!("GET {PATH}{query} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert!(busy || bench.core.busy(), "it is worked on at once");
    conn
}

fn one_turn(bench: &mut Bench) {
    bench.core.handle(bench.now, Event::Tick);
    bench.act();
}

#[test]
fn what_starts_is_told_in_order_with_all_that_is_counted() {
    let rows = [
        row(1, "*/20 * * * *", "a"),
        JobRow { tag_id: 2, timezone: "Asia/Kathmandu".into(), ..row(2, "15 * * * *", "b") },
        row(3, NEVER, "c"),
        row(4, "@reboot", "d"),
        row(5, "99 * * * *", "e"),
        JobRow { max_concurrence: 0, ..row(6, "* * * * *", "f") },
        JobRow { name: "\"每日\"\n".into(), ..row(7, "40 13 * * *", "g") },
    ];
    let mut bench = Bench::with(&rows);
    let slot = |job: u32, name: &str, minute: &str| {
        json!({
            "job_id": job, "name": name, "slot": format!("2026-11-22T13:{minute}:00+08:00"),
            "usual_ms": 0,
        })
    };
    assert_eq!(
        hour(&mut bench, ""),
        json!({
            "from": "2026-11-22T13:00:00+08:00",
            "to": "2026-11-22T14:00:00+08:00",
            "total": 5,
            "truncated": false,
            "busiest": { "at": "2026-11-22T13:40:00+08:00", "runs": 2 },
            "hours": [{ "at": "2026-11-22T13:00:00+08:00", "slots": 5 }],
            "slots": [
                slot(1, "job 1", "00"), slot(1, "job 1", "20"), slot(2, "job 2", "30"),
                slot(1, "job 1", "40"), slot(7, "\"每日\"\n", "40"),
            ],
        })
    );
    // A quarter to six there is 13:00+1:15 here: its zone counts, not the daemon's.
    let few = hour(&mut bench, "&limit=2");
    assert_eq!((&few["total"], &few["truncated"]), (&json!(5), &json!(true)));
    assert_eq!(few["slots"].as_array().unwrap().len(), 2);
    assert_eq!(hour(&mut bench, "&limit=5")["truncated"], false);
    for tag in ["2", "%E5%A4%87%E4%BB%BD"] {
        let tagged = hour(&mut bench, &format!("&tag={tag}"));
        assert_eq!(tagged["slots"], json!([slot(2, "job 2", "30")]), "{tag}");
    }
    let none = bench.get(&format!("{PATH}?to=2026-11-22T13:45:00%2B08:00")).is(200).json();
    assert_eq!(
        (&none["total"], &none["busiest"], &none["slots"]),
        (&json!(0), &json!(null), &json!([]))
    );
    assert_eq!(none["from"], "2026-11-22T13:42:07.500+08:00", "it begins now");
    // A day of itself.
    let day = bench.get(PATH).is(200).json();
    assert_eq!(day["to"], "2026-11-23T13:42:07.500+08:00");
    assert_eq!((&day["total"], day["hours"].as_array().unwrap().len()), (&json!(72 + 24 + 1), 25));
    assert_eq!(day["hours"][0], json!({ "at": "2026-11-22T13:00:00+08:00", "slots": 0 }));
}

#[test]
fn how_long_jobs_take_is_what_their_good_runs_took() {
    let mut bench = Bench::with(&[row(1, "*/20 * * * *", "a"), row(2, "21 * * * *", "b")]);
    bench.post("/api/v1/jobs/1/start").is(200);
    bench.pass(90_000);
    bench.end_all(0);
    let told = hour(&mut bench, "");
    assert_eq!(told["slots"][0]["usual_ms"], 90_000);
    assert_eq!(told["busiest"], json!({ "at": "2026-11-22T13:21:00+08:00", "runs": 2 }));
    bench.post("/api/v1/jobs/2/start").is(200);
    bench.pass(90_000);
    bench.end_all(1);
    assert_eq!(hour(&mut bench, "")["slots"][2]["usual_ms"], 0, "a bad run tells nothing");
}

#[test]
fn a_job_that_is_gone_has_no_slots_and_one_that_is_replaced_has_the_new_ones() {
    let mut bench = Bench::with(&[row(1, "0 * * * *", "a"), row(2, "0 * * * *", "b")]);
    ["1", "2"].iter().for_each(|id| _ = bench.post(&format!("/api/v1/jobs/{id}/start")).is(200));
    bench.set_rows(&[row(1, "30,40 * * * *", "a")]);
    bench.post("/api/v1/sync").is(200);
    let told = hour(&mut bench, "");
    assert_eq!((&told["total"], &told["slots"][0]["job_id"]), (&json!(2), &json!(1)));
    bench.end_all(0);
    assert_eq!(hour(&mut bench, "")["total"], 2);
}

#[test]
fn what_makes_no_sense_is_refused_with_what_does() {
    let mut bench = Bench::with(&[row(1, NEVER, "a")]);
    let said = [
        ("from=yesterday", "from: \"yesterday\" is not an instant; write it as 2026-11-22T13"),
        ("to=2026-11-22", "to: \"2026-11-22\" is not an instant"),
        ("from=1969-12-31T23:59:59Z", "from: an instant of the years 1970 to 9998"),
        ("to=9999-01-01T00:00:00Z", "to: an instant of the years 1970 to 9998"),
        ("from=2026-11-22T13:42:07Z&to=2026-11-22T13:42:07Z", "to: an instant later than `from`"),
        ("to=2026-11-22T00:00:00Z", "to: an instant later than `from`"),
        ("from=2026-11-01T00:00:00Z&to=2026-12-02T00:00:00.001Z", "to: at most 31 days later"),
        ("limit=0", "limit: a whole number from 1 to 10000"),
        ("limit=10001", "limit: a whole number from 1 to 10000"),
        ("limit=x", "limit: a whole number from 1 to 10000"),
        ("tag=x", "tag: `x` is no tag: write one of 2 (备份)"),
        ("form=1", "there is no parameter `form`: did you mean `from`?"),
        ("q=1", "there is no parameter `q`: there are from, to, tag, limit"),
    ];
    for (query, why) in said {
        let reply = bench.get(&format!("{PATH}?{query}"));
        let detail = reply.is(400).json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(why), "{query}: {detail}");
    }
    let good =
        ["from=&to=&tag=", "from=2026-11-01T00:00:00Z&to=2026-12-02T00:00:00Z", "limit=10000"];
    for query in good {
        bench.get(&format!("{PATH}?{query}")).is(200);
    }
    // Who does not encode a plus means it all the same.
    let told = bench.get(&format!("{PATH}?from=2026-11-22T13:42:07+08:00")).is(200).json();
    assert_eq!(told["from"], "2026-11-22T13:42:07+08:00");
    for site in ["cross-site", "same-site"] {
        bench.ask("GET", PATH, &format!("Sec-Fetch-Site: {site}\r\n"), "").is(403);
    }
    assert_eq!(bench.ask("HEAD", PATH, "", "").is(200).body, "");
}

/// Days by the wall clock: those of a month in which the clock goes back have an hour more.
#[test]
fn a_month_in_which_the_clock_goes_back_is_a_month() {
    let mut bench = Bench::in_zone("Europe/Berlin", &[row(1, "30 2 * * *", "a")]);
    let month = "from=2026-10-01T00:00:00%2B02:00&to=2026-11-01T00:00:00%2B01:00";
    let told = bench.get(&format!("{PATH}?{month}")).is(200).json();
    assert_eq!((&told["total"], told["hours"].as_array().unwrap().len()), (&json!(31), 745));
    let back = |hour: &Value| hour["at"].as_str().unwrap().starts_with("2026-10-25T02:00:00");
    let twice: Vec<&Value> =
        told["hours"].as_array().unwrap().iter().filter(|it| back(it)).collect();
    assert_eq!(twice.len(), 2);
    assert_eq!((&twice[0]["slots"], &twice[1]["slots"]), (&json!(1), &json!(0)), "{twice:?}");
    bench.get(&format!("{PATH}?{month}").replace("T00:00:00%2B01:00", "T00:00:01%2B01:00")).is(400);
}

#[test]
fn before_the_first_table_nobody_knows_what_starts() {
    let mut bench = Bench::asleep(START, 0, None);
    bench.silent = true;
    let conn = bench.send(&format!("GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_eq!(bench.clients[&conn].output_bytes(), 0, "the answer may come any moment");
    bench.pass(2_000);
    let told = bench.received(conn);
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("Retry-After: "), "{told}");
}

/// 3,000 jobs, each minute another one.
fn many() -> Bench {
    let rows: Vec<JobRow> =
        (0..3_000).map(|id| row(id + 1, &format!("{} * * * * *", id % 60), "a")).collect();
    Bench::that_asks_seldom(&rows)
}

#[test]
fn others_are_answered_while_it_is_worked_on() {
    let mut bench = many();
    let slow = begin(&mut bench, "?limit=10000&to=2026-12-20T00:00:00Z");
    let mut turns = 0;
    while bench.clients[&slow].output_bytes() == 0 {
        one_turn(&mut bench);
        assert!(bench.glance("/healthz").contains("ok"));
        turns += 1;
        assert!(turns < 100_000);
    }
    // 3,000 jobs 500 at a time, 120 million slots, 10,000 of them told 250 at a time.
    assert!(turns > 60, "{turns}");
    assert!(!bench.core.busy(), "nothing is left to do");
    let text = bench.received(slow);
    let told: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(told["slots"].as_array().unwrap().len(), 10_000);
    // From 13:42:07.5+08:00, each minute 3,000.
    let minutes = (1_797_724_800_000 - START.wall_ms) / 60_000;
    let total = told["total"].as_i64().unwrap();
    assert!((0..3_000).contains(&(total - minutes * 3_000)), "{total} in {minutes} minutes");
}

#[test]
fn a_client_that_goes_away_costs_nothing_more() {
    let mut bench = many();
    let first = begin(&mut bench, "?to=2026-12-20T00:00:00Z");
    let second = begin(&mut bench, "?to=2026-12-20T00:00:00Z");
    let third = begin(&mut bench, "");
    (0..5).for_each(|_| one_turn(&mut bench));
    bench.core.handle(bench.now, Event::Gone(first));
    bench.core.handle(bench.now, Event::Gone(second));
    bench.clients.remove(&first);
    bench.clients.remove(&second);
    bench.turn();
    let told = bench.received(third);
    // What was begun for others is not told to this one.
    let whole = "\"from\":\"2026-11-22T13:42:07.500+08:00\"";
    assert!(told.starts_with("HTTP/1.1 200 ") && told.contains(whole), "{told:.2000}");
    assert!(told.contains("\"total\":4320000,"), "3,000 jobs, 1,440 minutes: {told:.2000}");
    let last = begin(&mut bench, "?to=2026-12-20T00:00:00Z");
    one_turn(&mut bench);
    bench.core.handle(bench.now, Event::Gone(last));
    assert!(!bench.core.busy());
}

#[test]
fn forecasts_that_wait_lock_nobody_out() {
    let peer = |last: u8| Peer::at([10, 0, 0, last].into());
    let mut bench = many();
    bench.peer = peer(1);
    let many: Vec<ConnId> = (0..16).map(|_| begin(&mut bench, "")).collect();
    bench.peer = peer(2);
    let other = begin(&mut bench, "");
    bench.act();
    let told = bench.received(many[0]);
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("ask again"), "{told}");
    bench.turn();
    for conn in many[1..].iter().chain([&other]) {
        assert!(bench.received(*conn).starts_with("HTTP/1.1 200 "));
    }
}

/// What takes less than a forecast does not wait for the end of one.
#[test]
fn others_that_take_long_take_turns_with_it() {
    let mut bench = many();
    let forecast = begin(&mut bench, "?limit=10000&to=2026-12-20T00:00:00Z");
    let paths = ["/api/v1/vars", "/api/v1/export"];
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let others = paths.map(|path| bench.hand_in(&get(path)));
    while others.iter().any(|conn| bench.clients[conn].output_bytes() == 0) {
        assert_eq!(bench.clients[&forecast].output_bytes(), 0, "they have waited for it");
        one_turn(&mut bench);
    }
    assert_eq!(bench.clients[&forecast].output_bytes(), 0, "it takes longer");
    bench.turn();
    assert!(bench.received(forecast).starts_with("HTTP/1.1 200 "));
}
