//! Who paused a job: of each slot that was skipped for it, and of those to come.

use super::{MINUTE, Month};
use crate::web_common::{Bench, row};
use schedule::core::protocol::JobRow;
use schedule::core::time::{instant, rfc3339};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Since when a pause is like this, and the first instant whose slots are launched again, unix ms;
/// the greatest: somebody has to say so, the smallest: somebody did.
type Life = Vec<(i64, i64)>;

/// By job; none: that of all.
#[derive(Debug, Default)]
pub struct Pauses(BTreeMap<Option<u32>, Life>);

impl Pauses {
    /// The first instant whose slots of a job are launched again.
    pub fn end(&self, id: u32) -> i64 {
        let last = |of: Option<u32>| self.0.get(&of).and_then(|life| life.last());
        let ends = [last(Some(id)), last(None)].into_iter().flatten().map(|(_, end)| *end);
        ends.max().unwrap_or(i64::MIN)
    }

    /// Who has paused a job at an instant: its own pause goes first.
    #[track_caller]
    pub fn check(&self, id: u32, at: i64, told: &Value) -> &'static str {
        let then = |of: Option<u32>| {
            let life = self.0.get(&of)?;
            life.iter().rfind(|(since, _)| *since <= at).filter(|(_, end)| *end > at).copied()
        };
        let (by, (since, end)) = match (then(Some(id)), then(None)) {
            (Some(own), _) => ("paused by its row", own),
            (None, all) => ("paused with all", all.expect("nobody has paused it")),
        };
        let done = &told["changed"];
        let said = (&done["who"], &done["action"]);
        assert_eq!(said, (&"loopback".into(), &"pause".into()), "{told:#}");
        let late = instant(done["at"].as_str().unwrap()).unwrap() - since;
        assert!((0..1_000).contains(&late), "it was paused at {since}: {told:#}");
        let until = match by {
            "paused with all" => done["what"]["until"][1].as_str(),
            _ => done["what"]["paused_until"][1].as_str().filter(|text| !text.starts_with("9999")),
        };
        let until = until.map_or(i64::MAX, |text| instant(text).unwrap());
        assert_eq!(until, end, "{told:#}");
        by
    }
}

impl Month {
    /// Somebody pauses a job, or all, or resumes them.
    pub(super) fn pause(&mut self) {
        let ids = self.ids();
        let any = ids[self.random.below(ids.len() as i64) as usize];
        let of = (self.random.below(3) > 0).then_some(any);
        let now = self.now();
        let known = self.pauses.0.get(&of).and_then(|life| life.last()).map(|(_, end)| *end);
        let is_pause = known.is_none_or(|end| end <= now) || self.random.below(4) == 0;
        let until = match self.random.below(5) {
            0 => None,
            // A slot may be at the very end.
            1 => Some((now.div_euclid(60 * MINUTE) + 2) * 60 * MINUTE),
            _ => Some(now + (1 + self.random.below(600)) * MINUTE),
        };
        let whose = of.map_or(json!({ "all": true }), |id| json!({ "job": id }));
        let mut body = whose.as_object().unwrap().clone();
        if let Some(until) = until.filter(|_| is_pause) {
            let zone = schedule::core::cron::zone("UTC").unwrap();
            body.insert("until".into(), rfc3339(until, &zone).into());
        }
        let verb = if is_pause { "pause" } else { "resume" };
        self.bench.ask("POST", &format!("/api/v1/{verb}"), "", &json!(body).to_string()).is(200);
        // Instants are told in whole seconds.
        let until = until.map_or(i64::MAX, |until| until.div_euclid(1_000) * 1_000);
        let end = if is_pause { until } else { i64::MIN };
        self.pauses.0.entry(of).or_default().push((now, end));
    }
}

/// Whose pause it was stands in the answer, on the page in its language, and where the database is
/// away as well.
#[test]
fn who_paused_it_until_when_and_why_is_told() {
    let tagged = JobRow { tag_id: 2, ..row(1, "*/10 * * * *", "true") };
    let mut bench = Bench::that_asks_seldom(&[tagged, row(2, "*/10 * * * *", "true")]);
    let until = "2026-11-22T15:00:00+08:00";
    let body = json!({ "tag": 2, "until": until, "note": "new disks" }).to_string();
    bench.ask("POST", "/api/v1/pause", "", &body).is(200);
    bench.pass(11 * 60_000);
    bench.database_error = Some("it is away".into());
    let told = bench.get("/api/v1/jobs/1/why").is(200).json();
    let skipped = (&told["verdict"], &told["skip"]["reason"], &told["changed"]["action"]);
    assert_eq!(skipped, (&"skipped".into(), &"paused".into(), &"pause".into()), "{told:#}");
    let answer = told["answer"].as_str().unwrap();
    let said = "The jobs with its tag were paused by loopback at ";
    assert!(answer.contains(said), "{answer}");
    let said = ", until 2026-11-22 15:00:00. The reason: new disks.";
    assert!(answer.ends_with(said), "{answer}");
    let ask = |bench: &mut Bench, id: u32, at: &str| {
        bench.get(&format!("/api/v1/jobs/{id}/why?at=2026-11-22T{at}%2B08:00"))
    };
    let next = ask(&mut bench, 1, "14:50:00").is(200).json();
    assert_eq!((&next["verdict"], &next["was_due"]), (&"paused".into(), &true.into()), "{next:#}");
    assert_eq!(next["changed"]["who"], "loopback");
    // Its end is no part of it, and others are none of its.
    assert_eq!(ask(&mut bench, 1, "15:00:00").is(200).json()["verdict"], "will_run");
    assert_eq!(ask(&mut bench, 2, "14:50:00").is(200).json()["verdict"], "will_run");
    let page = bench.ask("GET", "/jobs/1/why?lang=zh", "Accept: text/html\r\n", "");
    page.is(200);
    assert!(page.body.contains("带有其标签的任务由 loopback 于 "), "{}", page.body);
    // Who resumes it changes nothing of what was.
    bench.ask("POST", "/api/v1/resume", "", r#"{"tag": 2}"#).is(200);
    assert_eq!(bench.get("/api/v1/jobs/1/why").is(200).json()["answer"], told["answer"]);
    assert_eq!(ask(&mut bench, 1, "14:50:00").is(200).json()["verdict"], "will_run");
}
