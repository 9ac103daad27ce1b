//! Rows that are disabled: known, listed where they are asked for, and never started.

use crate::web_common::{Bench, events, row};
use schedule::core::protocol::{Answer, JobRow};
use serde_json::Value;

const BROWSER: &str = "Accept: text/html\r\n";
const OFTEN: &str = "* * * * * *";
const NEVER: &str = "0 0 1 1 *";

fn table(rows: &[(JobRow, bool)]) -> Vec<Answer> {
    let answer = |(row, enabled): &(JobRow, bool)| match enabled {
        true => Answer::Job(Box::new(row.clone())),
        false => Answer::Disabled(Box::new(row.clone())),
    };
    rows.iter().map(answer).collect()
}

fn set(bench: &mut Bench, rows: &[(JobRow, bool)]) {
    bench.set_answers(table(rows));
    bench.post("/api/v1/sync").is(200);
}

/// Job 2 and 4 are disabled.
fn bench() -> Bench {
    let mut bench = Bench::with(&[]);
    let rows: Vec<_> = (1..=4).map(|id| (row(id, OFTEN, "sleep 9"), id % 2 == 1)).collect();
    set(&mut bench, &rows);
    bench
}

fn ids(bench: &mut Bench, query: &str) -> Vec<u64> {
    let reply = bench.get(&format!("/api/v1/jobs{query}"));
    let list = reply.is(200).json();
    let jobs = list["jobs"].as_array().unwrap();
    assert_eq!(list["total"], jobs.len());
    jobs.iter().map(|job| job["id"].as_u64().unwrap()).collect()
}

fn page(bench: &mut Bench, target: &str, headers: &str) -> String {
    let reply = bench.ask("GET", target, headers, "");
    reply.is(200);
    reply.body
}

#[test]
fn a_list_has_them_where_they_are_asked_for() {
    let mut bench = bench();
    assert_eq!(ids(&mut bench, ""), [1, 3]);
    assert_eq!(ids(&mut bench, "?state=disabled"), [2, 4]);
    assert_eq!(ids(&mut bench, "?state=all"), [1, 2, 3, 4]);
    assert_eq!(ids(&mut bench, "?state=all&sort=id&dir=desc"), [4, 3, 2, 1]);
    assert_eq!(ids(&mut bench, "?q=job%204"), [0; 0]);
    assert_eq!(ids(&mut bench, "?q=job%204&state=disabled"), [4]);
    assert_eq!(ids(&mut bench, "?id=2"), [0; 0]);
    assert_eq!(ids(&mut bench, "?id=2&state=all"), [2]);
    let job = bench.get("/api/v1/jobs/2").is(200).json();
    assert_eq!((&job["state"], &job["enabled"]), (&"disabled".into(), &false.into()));
    assert_eq!((&job["next_due"], &job["blocked"]), (&Value::Null, &Value::Null));
    assert_eq!(bench.get("/api/v1/jobs/1").json()["enabled"], true);
    let status = bench.get("/api/v1/status").json();
    assert_eq!((&status["jobs"], &status["disabled"]), (&2.into(), &2.into()));
    let text = page(&mut bench, "/?state=disabled", "User-Agent: curl/8\r\n");
    assert!(text.contains("\ndisabled  2 ") && text.contains("2 of 2 jobs\n"), "{text}");
    let metrics = bench.get("/metrics").body;
    assert!(metrics.contains("schedule_jobs{state=\"disabled\"} 2\n"), "{metrics}");
}

#[test]
fn pages_count_and_show_them() {
    let mut bench = bench();
    let list = page(&mut bench, "/", BROWSER);
    assert!(list.contains("st disabled\" href=\"./?state=disabled\">disabled<b>2</b>"), "{list}");
    assert!(!list.contains("id=\"j2\""), "{list}");
    // Where something is searched those that fit are counted.
    let list = page(&mut bench, "/?q=job+4", BROWSER);
    assert!(list.contains(">disabled<b>1</b>"), "{list}");
    let list = page(&mut bench, "/?state=disabled", "Accept: text/html\r\nCookie: lang=zh\r\n");
    assert!(list.contains("id=\"j2\"") && list.contains(">已禁用</span>"), "{list}");
    let job = page(&mut bench, "/jobs/2", BROWSER);
    assert!(job.contains("It is disabled: nothing is started"), "{job}");
    assert!(job.contains("events?id=2&#38;state=all"), "{job}");
}

#[test]
fn no_hand_and_no_instant_starts_one() {
    let mut bench = bench();
    let key = bench.get("/api/v1/jobs/2").json()["md5"].as_str().unwrap().to_owned();
    let reply = bench.post("/api/v1/jobs/2/start");
    assert!(reply.is(409).body.contains("job 2 is disabled: enable it"), "{reply:?}");
    let reply = bench.ask("GET", &format!("/?action=start&md5={key}"), "", "");
    reply.is(301);
    let told = page(&mut bench, "/", BROWSER);
    assert!(told.contains("job 2 is disabled"), "{told}");
    for _ in 0..50 {
        bench.pass(1_000);
    }
    // So late that slots are missed.
    bench.pass(100_000);
    for id in [2, 4] {
        let job = bench.get(&format!("/api/v1/jobs/{id}")).json();
        assert_eq!((&job["live"], &job["skips"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    }
    assert!(bench.get("/api/v1/jobs/1").json()["skipped"]["misfire"].as_u64().unwrap() > 0);
}

/// Whatever was told of a row that was disabled is told still; and it is there afterwards.
#[test]
fn one_that_is_disabled_drains_and_is_known_with_its_past() {
    let mut bench = Bench::with(&[row(1, OFTEN, "sleep 9")]);
    bench.pass(1_000);
    bench.end_all(3);
    bench.pass(1_000);
    let followed: Vec<_> = ["", "?state=disabled", "?id=1&state=all"]
        .map(|query| bench.stream(&format!("/api/v1/events{query}")))
        .into();
    for stream in &followed {
        bench.received(*stream);
    }
    set(&mut bench, &[(row(1, OFTEN, "sleep 9"), false)]);
    let job = bench.get("/api/v1/jobs/1").json();
    assert_eq!((&job["state"], &job["enabled"]), (&"deleting".into(), &false.into()));
    // It is found by both.
    assert_eq!(ids(&mut bench, "?state=deleting"), [1]);
    assert_eq!(ids(&mut bench, "?state=disabled"), [1]);
    let status = bench.get("/api/v1/status").json();
    assert_eq!((&status["jobs"], &status["disabled"]), (&1.into(), &1.into()));
    let metrics = bench.get("/metrics").body;
    assert!(metrics.contains("schedule_jobs{state=\"disabled\"} 1\n"), "{metrics}");
    let reply = bench.post("/api/v1/jobs/1/start");
    let told = "job 1 is disabled, and its last run ends in peace: enable it";
    assert!(reply.is(409).body.contains(told), "{reply:?}");
    let told = page(&mut bench, "/jobs/1", BROWSER);
    assert!(told.contains("nothing is started before its row has status = 1"), "{told}");
    bench.pass(1_000);
    bench.end_all(0);
    bench.pass(1_000);
    let job = bench.get("/api/v1/jobs/1").json();
    assert_eq!((&job["state"], &job["last_run"]["exit_code"]), (&"disabled".into(), &0.into()));
    assert_eq!(bench.get("/api/v1/jobs/1/runs").json()["runs"].as_array().unwrap().len(), 2);
    assert_eq!(ids(&mut bench, ""), [0; 0]);
    let heard: Vec<Vec<(String, Value)>> =
        followed.iter().map(|stream| events(&bench.received(*stream))).collect();
    let has = |at: usize, name: &str| heard[at].iter().any(|(known, _)| known == name);
    assert!(has(0, "gone") && !has(1, "gone") && !has(2, "gone"), "{heard:?}");
    let last = heard[2].iter().rfind(|(name, _)| name == "job").unwrap();
    assert_eq!(last.1["state"], "disabled", "{heard:?}");
    // Enabled again it goes on, from now on.
    set(&mut bench, &[(row(1, OFTEN, "sleep 9"), true)]);
    bench.pass(1_000);
    let job = bench.get("/api/v1/jobs/1").json();
    assert_eq!((&job["state"], &job["enabled"]), (&"running".into(), &true.into()));
    assert_eq!(job["last_run"]["exit_code"], 0);
    assert_eq!(ids(&mut bench, "?state=disabled"), [0; 0]);
    set(&mut bench, &[]);
    assert_eq!(bench.get("/api/v1/jobs/1").json()["state"], "deleting");
    bench.end_all(0);
    bench.pass(1_000);
    bench.get("/api/v1/jobs/1").is(404);
}

#[test]
fn a_disabled_row_that_is_deleted_is_gone() {
    let mut bench = bench();
    set(&mut bench, &[(row(1, OFTEN, "sleep 9"), true), (row(4, NEVER, "x"), false)]);
    bench.get("/api/v1/jobs/2").is(404);
    assert_eq!(bench.get("/api/v1/jobs/4").json()["cron"], NEVER);
    assert_eq!(bench.get("/api/v1/status").json()["disabled"], 1);
}

/// A view may have rows of the past beside the one that counts.
#[test]
fn one_with_the_id_of_a_job_keeps_it_from_nothing() {
    let [old, new] = ["old", "new"].map(|name| JobRow { name: name.into(), ..row(7, NEVER, "x") });
    let orders = [[(&old, false), (&new, true)], [(&new, true), (&old, false)]];
    for order in orders {
        let mut bench = Bench::with(&[]);
        let rows: Vec<_> = order.iter().map(|(row, it)| ((*row).clone(), *it)).collect();
        for _ in 0..2 {
            // The second time it is in force already.
            set(&mut bench, &[&rows[..], &[(row(8, NEVER, "x"), true)]].concat());
            let job = bench.get("/api/v1/jobs/7").is(200).json();
            assert_eq!((&job["name"], &job["state"]), (&"new".into(), &"".into()), "{order:?}");
            let status = bench.get("/api/v1/status").json();
            assert_eq!((&status["disabled"], &status["bad_rows_total"]), (&0.into(), &0.into()));
        }
        let twice = [rows.clone(), vec![(new.clone(), true)]].concat();
        set(&mut bench, &twice);
        assert_eq!(bench.get("/api/v1/status").json()["bad_rows_total"], 1, "two are in force");
    }
}

/// What is wrong with one keeps nothing from running, and a schedule that is none is no alert.
#[test]
fn nothing_is_said_of_what_is_wrong_with_one() {
    let mut bench = Bench::with(&[]);
    set(&mut bench, &[(row(1, "61 * * * *", ""), false)]);
    let status = bench.get("/api/v1/status").json();
    assert_eq!((&status["bad_rows_total"], &status["disabled"]), (&0.into(), &1.into()));
    assert_eq!(bench.get("/api/v1/jobs/1").json()["state"], "disabled");
}

/// Ten thousand of them cost a page that does not show them nothing to speak of.
#[test]
fn many_of_them_make_no_list_slow() {
    let jobs: Vec<_> = (1..=300).map(|id| (row(id, NEVER, "true"), true)).collect();
    let many: Vec<_> = (301..=10_300).map(|id| (row(id, NEVER, "true"), false)).collect();
    let time = |bench: &mut Bench| {
        let one = |_| {
            // Another page each time, so that none is kept.
            bench.post("/api/v1/sync").is(200);
            let begin = std::time::Instant::now();
            bench.get("/api/v1/jobs?per_page=100").is(200);
            begin.elapsed()
        };
        (0..7).map(one).min().unwrap()
    };
    let mut few = Bench::with(&[]);
    set(&mut few, &jobs);
    let without = time(&mut few);
    set(&mut few, &[jobs, many].concat());
    assert_eq!(few.get("/api/v1/status").json()["disabled"], 10_000);
    let with = time(&mut few);
    assert!(with < without * 3, "{without:?} without them, {with:?} with 10,000");
}

/// What a row says by now is on its job's page while runs of what it said before are alive.
#[test]
fn a_new_definition_that_waits_is_shown() {
    let mut bench = Bench::with(&[row(1, OFTEN, "sleep 9")]);
    bench.post("/api/v1/jobs/1/start").is(200);
    let run = bench.get("/api/v1/jobs/1").json()["live"][0]["run_id"].clone();
    set(&mut bench, &[(row(1, "0 6 * * *", "sleep 8"), true)]);
    let view = bench.get("/api/v1/jobs/1").json();
    assert_eq!((&view["state"], &view["cron"]), (&"deleting".into(), &OFTEN.into()));
    let waiting = ["cron", "raw_command", "description"].map(|name| &view["waiting"][name]);
    assert_eq!(waiting, [&"0 6 * * *".into(), &"sleep 8".into(), &Value::from("")]);
    let job = page(&mut bench, "/jobs/1", BROWSER);
    let alert = job.split("class=\"alert warn\"").nth(1).unwrap();
    let alert = alert.split("</section>").next().unwrap();
    for part in [
        "The new definition waits for these runs of the old one: ",
        run.as_str().unwrap(),
        "<dt>Schedule</dt><dd><bdi>0 6 * * *</bdi></dd>",
        "<dt>Command</dt><dd><bdi>sleep 8</bdi></dd>",
    ] {
        assert!(alert.contains(part), "{part} in {alert}");
    }
    assert!(!alert.contains("<dt>Name</dt>"), "only what differs: {alert}");
    let list = page(&mut bench, "/", "Accept: text/html\r\nCookie: lang=zh\r\n");
    let states: Vec<&str> = list.split("<td class=state>").skip(1).collect();
    let waits = "st deleting\" title=\"该行已修改:新定义等待旧定义的运行结束\">收尾中</span>";
    assert!(states[0].contains(waits) && states[1].contains(">待生效</span>"), "{list}");
}

/// What its row says now is told beside the run of what it said before: who changes the row next
/// would undo that otherwise.
#[test]
fn one_that_drains_tells_what_its_row_says_now() {
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 60")]);
    bench.post("/api/v1/jobs/1/start").is(200);
    bench.pass(1_000);
    set(&mut bench, &[(row(1, NEVER, "sleep 60"), false)]);
    assert_eq!(bench.get("/api/v1/jobs/1").json().get("waiting"), None);
    set(&mut bench, &[(row(1, "7 7 7 7 *", "sleep 61"), false)]);
    let job = bench.get("/api/v1/jobs/1").json();
    let waiting = &job["waiting"];
    let told = (&job["command"], &waiting["command"], &waiting["cron"]);
    assert_eq!(told, (&"sleep 60".into(), &"sleep 61".into(), &"7 7 7 7 *".into()), "{job:#}");
}
