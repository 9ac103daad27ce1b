//! A job that will never run again is loud wherever jobs are shown, whatever it did before, and
//! each reason has its own word. The core alone, over real connections.

use crate::web_common::{Bench, events, row};
use schedule::core::cron::Dialect;
use schedule::core::protocol::{Answer, JobRow};
use serde_json::{Value, json};

const BROWSER: &str = "Accept: text/html\r\n";
const OFTEN: &str = "* * * * * *";

fn zoned(id: u32, zone: &str) -> JobRow {
    JobRow { timezone: zone.into(), ..row(id, OFTEN, "true") }
}

fn limited(id: u32, max_concurrence: u32) -> JobRow {
    JobRow { max_concurrence, ..row(id, OFTEN, "true") }
}

/// Five jobs that ran well; then the rows of four were changed for the worse.
fn spoilt() -> Bench {
    let good: Vec<JobRow> = (1..=5).map(|id| row(id, OFTEN, "true")).collect();
    let mut bench = Bench::with(&good);
    bench.pass(600);
    bench.end_all(0);
    let bad = [
        row(1, "61 * * * *", "true"),
        zoned(2, "Asia/Beijing"),
        row(3, OFTEN, "  "),
        limited(4, 0),
        row(5, OFTEN, "true"),
    ];
    bench.set_rows(&bad);
    bench.post("/api/v1/sync").is(200);
    bench
}

fn job(bench: &mut Bench, id: u32) -> Value {
    bench.get(&format!("/api/v1/jobs/{id}")).is(200).json()
}

fn ids(list: &Value) -> Vec<u64> {
    list["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_u64().unwrap()).collect()
}

#[test]
fn each_reason_has_its_word_in_the_api() {
    let mut bench = spoilt();
    let found: Vec<Value> = (1..=5).map(|id| job(&mut bench, id)).collect();
    let words: Vec<_> = found.iter().map(|job| (&job["state"], &job["blocked"])).collect();
    let text = |word: &str| Value::from(word);
    assert_eq!(
        words,
        [
            (&text("invalid"), &text("schedule")),
            (&text("invalid"), &text("timezone")),
            (&text("invalid"), &text("command")),
            (&text("off"), &text("limit")),
            (&text("stopped"), &Value::Null),
        ]
    );
    for (job, part) in found.iter().zip(["61", "Asia/Beijing", "empty"]) {
        assert!(job["error"].as_str().unwrap().contains(part), "{job}");
        assert_eq!(job["last_run"]["outcome"], "exit 0", "how it ended is still there: {job}");
    }
    assert_eq!((&found[3]["error"], &found[4]["error"]), (&Value::Null, &Value::Null));
    let list = bench.get("/api/v1/jobs").json();
    assert_eq!(
        (&list["jobs"][0]["blocked"], &list["jobs"][3]["blocked"]),
        (&text("schedule"), &text("limit"))
    );
}

#[test]
fn status_and_metrics_count_them_by_reason() {
    let mut bench = spoilt();
    let status = bench.get("/api/v1/status").json();
    let counts = json!({"schedule": 1, "timezone": 1, "pause": 0, "command": 1, "limit": 1});
    assert_eq!(status["blocked"], counts);
    let bad = status["bad_rows"].as_array().unwrap();
    let told: Vec<_> = bad.iter().map(|row| (row["id"].as_u64(), row["what"].as_str())).collect();
    let expected = [(1, "schedule"), (2, "timezone"), (3, "command")];
    assert_eq!(told, expected.map(|(id, what)| (Some(id), Some(what))), "no limit of 0: {bad:?}");
    let metrics = bench.get("/metrics").body;
    for line in [
        "schedule_bad_rows 3",
        "schedule_blocked_jobs{reason=\"schedule\"} 1",
        "schedule_blocked_jobs{reason=\"timezone\"} 1",
        "schedule_blocked_jobs{reason=\"command\"} 1",
        "schedule_blocked_jobs{reason=\"limit\"} 1",
        "schedule_jobs{state=\"invalid\"} 3",
        "schedule_jobs{state=\"off\"} 1",
    ] {
        assert!(metrics.contains(&format!("{line}\n")), "{line} in {metrics}");
    }
}

#[test]
fn lists_find_them_and_have_them_first() {
    let mut bench = spoilt();
    let list =
        |bench: &mut Bench, query: &str| ids(&bench.get(&format!("/api/v1/jobs?{query}")).json());
    assert_eq!(list(&mut bench, "state=invalid"), [1, 2, 3]);
    assert_eq!(list(&mut bench, "state=off"), [4]);
    assert_eq!(list(&mut bench, "sort=state"), [1, 2, 3, 4, 5]);
    assert_eq!(list(&mut bench, "state=stopped"), [5]);
    let text = bench.ask("GET", "/", "User-Agent: curl/8\r\n", "").body;
    for (id, said) in [
        (1, "never: bad schedule"),
        (2, "never: unknown time zone"),
        (3, "never: no command"),
        (4, "never: limit 0"),
    ] {
        let line = text.lines().find(|line| line.contains(&format!(" job {id} "))).unwrap();
        assert!(line.contains(said), "{line}");
    }
    let feed = bench.stream("/api/v1/events?state=invalid");
    bench.received(feed);
    let rows = [row(1, OFTEN, "true"), row(2, "61 * * * *", "true")];
    bench.set_rows(&rows);
    bench.post("/api/v1/sync").is(200);
    bench.pass(600);
    let told = events(&bench.received(feed));
    let total = told.iter().any(|(name, data)| name == "snapshot" && data["total"] == 1);
    assert!(total, "{told:?}");
    let daemon = told.iter().find(|(name, _)| name == "daemon").unwrap();
    assert_eq!(daemon.1["bad_rows"][0]["id"], 2, "{daemon:?}");
    let all = bench.stream("/api/v1/events");
    bench.received(all);
    bench.post("/api/v1/jobs/2/start").is(200);
    bench.pass(300);
    let told = events(&bench.received(all));
    let line = told.iter().find(|(name, _)| name == "job").unwrap();
    assert_eq!((&line.1["state"], &line.1["blocked"]), (&"running".into(), &"schedule".into()));
}

#[test]
fn the_page_says_it_first_and_in_both_languages() {
    let mut bench = spoilt();
    for (lang, parts) in [
        (
            "en",
            [
                "Jobs that are not started until their rows are corrected: 3",
                "never due: its schedule is wrong",
                "never due: its time zone is unknown",
                "never started: its command can&#39;t be run",
                "never started: limit 0",
            ],
        ),
        (
            "zh",
            [
                "更正相应的行之前不会启动的任务:3",
                "永不到期:计划有误",
                "永不到期:时区未知",
                "永不启动:命令无法运行",
                "永不启动:上限为 0",
            ],
        ),
    ] {
        let page = bench.ask("GET", &format!("/?lang={lang}"), BROWSER, "").is(200).clone();
        let alert = page.body.split("class=\"alert bad\"").nth(1).unwrap();
        let alert = alert.split("</section>").next().unwrap();
        assert!(parts[..4].iter().all(|part| alert.contains(part)), "{parts:?} in {alert}");
        assert!(!alert.contains(parts[4]), "somebody wanted that: {alert}");
        let rows = page.body.split("<tr class=").skip(1).collect::<Vec<_>>();
        let found = parts[1..].iter().zip(&rows);
        found.for_each(|(part, row)| assert!(row.contains(part), "{part} in {row}"));
        assert!(rows[0].contains("class=\"st invalid\"") && rows[3].contains("class=\"st off\""));
        let first = page.body.split("<nav class=\"states ").nth(1).unwrap();
        let first = first.split("</a>").next().unwrap();
        assert!(first.contains("st invalid") && first.contains("<b>3</b>"), "{first}");
    }
    let page = bench.ask("GET", "/jobs/2", BROWSER, "").body;
    assert!(page.contains("Asia/Beijing") && page.contains("Correct its row"), "{page}");
    let page = bench.ask("GET", "/jobs/4", BROWSER, "").body;
    assert!(page.contains("never started: limit 0") && !page.contains("Correct its row"));
}

/// The row was spoilt while a run of the good one is alive.
#[test]
fn what_still_runs_does_not_hide_it() {
    let mut bench = Bench::with(&[row(1, OFTEN, "sleep 9"), row(2, OFTEN, "true")]);
    bench.pass(600);
    bench.set_rows(&[row(1, "61 * * * *", "sleep 9"), row(2, OFTEN, "true")]);
    bench.post("/api/v1/sync").is(200);
    let found = job(&mut bench, 1);
    assert_eq!((&found["state"], &found["blocked"]), (&"deleting".into(), &Value::Null));
    let waiting = &found["waiting"];
    assert_eq!((&waiting["state"], &waiting["blocked"]), (&"waiting".into(), &"schedule".into()));
    assert_eq!(bench.get("/api/v1/status").json()["blocked"]["schedule"], 1);
    let list = bench.get("/api/v1/jobs?state=invalid").json();
    assert_eq!((ids(&list), &list["jobs"][0]["state"]), (vec![1], &"waiting".into()));
    let page = bench.ask("GET", "/", BROWSER, "").body;
    assert!(
        page.contains("<span class=\"st waiting\" title=")
            && page.contains("<span class=\"st invalid\">")
    );
    bench.end_all(0);
    let found = job(&mut bench, 1);
    assert_eq!(
        (&found["state"], &found["last_run"]["outcome"]),
        (&"invalid".into(), &"exit 0".into())
    );
    // Taken back, it is as good as ever.
    bench.set_rows(&[row(1, OFTEN, "sleep 9"), row(2, OFTEN, "true")]);
    bench.post("/api/v1/sync").is(200);
    assert_eq!(bench.get("/api/v1/status").json()["blocked"]["schedule"], 0);
    assert_eq!(job(&mut bench, 1)["blocked"], Value::Null);
    // A run started by hand doesn't hide it, either.
    bench.set_rows(&[row(2, "61 * * * *", "true")]);
    bench.end_all(0);
    bench.post("/api/v1/sync").is(200);
    bench.post("/api/v1/jobs/2/start").is(200);
    let found = job(&mut bench, 2);
    assert_eq!((&found["state"], &found["blocked"]), (&"running".into(), &"schedule".into()));
    assert_eq!(ids(&bench.get("/api/v1/jobs?state=invalid").json()), [2]);
    assert_eq!(ids(&bench.get("/api/v1/jobs?state=running").json()), [2]);
}

/// What placeholders make of a command counts, and every row that is no good is counted.
#[test]
fn a_command_is_judged_as_it_would_be_run() {
    let rows = [row(1, OFTEN, "{V}"), row(2, OFTEN, " {V} "), row(3, OFTEN, "echo {N}")];
    let mut bench = Bench::with(&[]);
    let var =
        |name: &str, value: &str| Answer::Var { id: 1, name: name.into(), value: value.into() };
    let jobs = rows.into_iter().map(|row| Answer::Job(Box::new(row)));
    bench.set_answers([var("V", ""), var("N", "a\0b")].into_iter().chain(jobs).collect());
    bench.post("/api/v1/sync").is(200);
    for (id, why) in [(1, "is empty with its placeholders"), (2, "is empty"), (3, "a NUL byte")] {
        let job = job(&mut bench, id);
        assert_eq!((&job["state"], &job["blocked"]), (&"invalid".into(), &"command".into()));
        assert!(job["error"].as_str().unwrap().contains(why), "{job}");
    }
}

#[test]
fn rows_beyond_those_that_are_told_are_counted() {
    let mut bench = Bench::with(&[]);
    bench.set_answers(
        (1..=300).map(|id| Answer::BadRow { id, why: "text".into(), word: None }).collect(),
    );
    bench.post("/api/v1/sync").is(200);
    let status = bench.get("/api/v1/status").json();
    assert_eq!(status["bad_rows"].as_array().unwrap().len(), 100);
    assert_eq!(status["bad_rows_total"], 300);
    assert!(bench.get("/metrics").body.contains("\nschedule_bad_rows 300\n"));
    let page = bench.ask("GET", "/", BROWSER, "").body;
    assert!(page.contains("Rows that can&#39;t be jobs: 300") && !page.contains("no jobs yet"));
}

/// A view may have an id twice; of the second row nothing is done in silence.
#[test]
fn an_id_that_is_there_twice_is_a_bad_row() {
    let rows = [row(1, OFTEN, "true"), row(1, OFTEN, "false"), row(2, OFTEN, "true")];
    let mut bench = Bench::with(&[]);
    bench.set_answers(rows.into_iter().map(|row| Answer::Job(Box::new(row))).collect());
    bench.post("/api/v1/sync").is(200);
    assert_eq!(job(&mut bench, 1)["command"], "true");
    let status = bench.get("/api/v1/status").json();
    assert_eq!(status["bad_rows"].as_array().unwrap().len(), 1);
    assert!(status["bad_rows"][0]["reason"].as_str().unwrap().contains("id 1 is there twice"));
}

/// Rows that the original's dialect takes and that are never due: nonsense, a year that is past.
const NEVER_DUE: [&str; 2] = ["60 * * * *", "0 0 1 1 * 2019"];

fn of_the_original(rows: &[JobRow]) -> Bench {
    let mut bench = Bench::of_dialect(Dialect::Original);
    bench.set_rows(rows);
    bench.post("/api/v1/sync").is(200);
    bench
}

/// One mechanism for both dialects: the one refuses what can't be due, the other takes it.
#[test]
fn a_job_that_is_never_due_is_told_in_both_dialects() {
    let rows = [row(1, NEVER_DUE[0], "true"), row(2, NEVER_DUE[1], "true")];
    let impossible = [row(1, NEVER_DUE[0], "true"), row(2, "0 0 30 2 *", "true")];
    let mut crontab = Bench::with(&impossible);
    for bench in [&mut of_the_original(&rows), &mut crontab] {
        for id in [1, 2] {
            let job = job(bench, id);
            assert_eq!((&job["state"], &job["blocked"]), (&"invalid".into(), &"schedule".into()));
            assert!(job["error"].is_string() && job["next_due"].is_null(), "{job}");
            let page = bench.ask("GET", &format!("/jobs/{id}?lang=en"), BROWSER, "").body;
            assert!(page.contains("class=\"alert bad\"") && page.contains("Correct its row"));
        }
        let status = bench.get("/api/v1/status").json();
        assert_eq!(
            (&status["blocked"]["schedule"], &status["bad_rows_total"]),
            (&2.into(), &2.into())
        );
        assert_eq!(status["bad_rows"][1]["id"], 2);
        let text = bench.ask("GET", "/", "User-Agent: curl/8\r\n", "").body;
        assert_eq!(text.matches("never: ").count(), 2, "{text}");
        let metrics = bench.get("/metrics").body;
        assert!(metrics.contains("schedule_blocked_jobs{reason=\"schedule\"} 2\n"), "{metrics}");
        let page = bench.ask("GET", "/?lang=en", BROWSER, "").body;
        assert!(page.contains("until their rows are corrected: 2"), "{page}");
        assert_eq!(ids(&bench.get("/api/v1/jobs?state=invalid").json()), [1, 2]);
    }
    let mut bench = of_the_original(&rows);
    let why = job(&mut bench, 2)["error"].as_str().unwrap().to_owned();
    assert!(why.contains("never due again") && why.contains("status = 0"), "{why}");
    for (lang, said) in
        [("en", "never due: its schedule has no slot left"), ("zh", "永不到期:计划已无后续时刻")]
    {
        let page = bench.ask("GET", &format!("/?lang={lang}"), BROWSER, "").body;
        let alert = page.split("class=\"alert bad\"").nth(1).unwrap();
        assert!(alert.contains(said), "{alert}");
        assert!(page.split("<tr class=").nth(1).unwrap().contains(said), "{page}");
    }
}

/// The last slot comes while the daemon runs; a job that is due at a boot is none of them.
#[test]
fn a_schedule_that_ends_is_told_from_its_last_slot_on() {
    // The bench begins at 13:42:07 that day.
    let last = row(1, "43 13 22 11 * 2026", "true");
    let mut bench = of_the_original(&[last]);
    assert_eq!(job(&mut bench, 1)["blocked"], Value::Null);
    let feed = bench.stream("/api/v1/events");
    bench.received(feed);
    bench.pass(60_000);
    bench.end_all(0);
    let found = job(&mut bench, 1);
    assert_eq!((&found["state"], &found["blocked"]), (&"invalid".into(), &"schedule".into()));
    assert_eq!(found["last_run"]["outcome"], "exit 0", "{found}");
    bench.pass(1_000);
    let told = events(&bench.received(feed));
    let daemon = told.iter().rev().find(|(name, _)| name == "daemon").unwrap();
    assert_eq!(daemon.1["bad_rows"][0]["id"], 1, "{daemon:?}");
    // Corrected, it is as good as any.
    bench.set_rows(&[row(1, "0 0 1 1 *", "true")]);
    bench.post("/api/v1/sync").is(200);
    assert_eq!(job(&mut bench, 1)["blocked"], Value::Null);
    assert_eq!(bench.get("/api/v1/status").json()["blocked"]["schedule"], 0);
    let mut bench = Bench::with(&[row(1, "@reboot", "true")]);
    assert_eq!(job(&mut bench, 1)["blocked"], Value::Null);
}

/// A limit of 0 is no overlap: nothing is skipped, nothing counted, and the status names the jobs.
#[test]
fn a_limit_of_zero_skips_nothing_and_is_named() {
    let mut bench = Bench::with(&[limited(3, 0), row(4, OFTEN, "true"), limited(7, 0)]);
    bench.pass(5_000);
    let found = job(&mut bench, 3);
    assert_eq!((&found["overtime"], &found["skips"]), (&0.into(), &json!([])), "{found}");
    assert_eq!((&found["next_due"], &found["next_dues"]), (&Value::Null, &json!([])));
    let skipped = found["skipped"].as_object().unwrap();
    assert!(skipped.values().all(|count| *count == 0), "{found}");
    assert_eq!(bench.get("/api/v1/status").json()["jobs_off"], json!([3, 7]));
    bench.end_all(0);
    // Raised, it starts with the slots from then on.
    bench.set_rows(&[limited(3, 1), row(4, OFTEN, "true"), limited(7, 0)]);
    bench.post("/api/v1/sync").is(200);
    bench.pass(2_000);
    let found = job(&mut bench, 3);
    assert_eq!((&found["state"], &found["live"][0]["cause"]), (&"running".into(), &"due".into()));
    assert_eq!(bench.get("/api/v1/status").json()["jobs_off"], json!([7]));
}

/// What can't be run can't be started by hand, either, and the schedule hides nothing of that. A
/// job whose schedule is no good may well be tried by hand.
#[test]
fn a_start_by_hand_is_refused_where_there_is_nothing_to_run() {
    let rows = [
        row(1, OFTEN, "  "),
        row(2, "every day", "\n"),
        row(3, OFTEN, "echo a\0b"),
        row(4, "every day", "true"),
        zoned(5, "Asia/Beijing"),
        limited(6, 0),
    ];
    let mut bench = Bench::with(&rows);
    for (id, why) in [(1, "command is empty"), (2, "command is empty"), (3, "NUL"), (6, "raise it")]
    {
        let answer = bench.post(&format!("/api/v1/jobs/{id}/start")).is(409).json();
        let detail = answer["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("job {id}")) && detail.contains(why), "{detail}");
        assert_eq!(job(&mut bench, id)["live"], json!([]));
    }
    let page = bench.ask("GET", "/jobs/1?lang=en", BROWSER, "").body;
    assert!(
        page.contains("value=\"start\" title=\"never started: its command can&#39;t be run\""),
        "{page}"
    );
    for id in [4, 5] {
        let answer = bench.post(&format!("/api/v1/jobs/{id}/start")).is(200).json();
        assert_eq!(answer["state"], "running");
    }
}
