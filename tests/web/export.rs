//! `GET /api/v1/export`, as a client sees it: one text for one table, written in slices.

use crate::web_common::{Bench, row};
use schedule::core::event::Event;
use schedule::core::protocol::JobRow;
use serde_json::{Value, json};

const PATH: &str = "/api/v1/export";
const NEVER: &str = "0 0 1 1 *";

#[test]
fn all_rows_are_in_it_by_id() {
    let tagged = JobRow { tag_id: 2, owner: "ops".into(), ..row(7, NEVER, "echo {DIR}") };
    let mut bench = Bench::with(&[row(1, NEVER, "a"), tagged]);
    let text = bench.get(PATH).is(200).body.clone();
    let export: Value = serde_json::from_str(&text).unwrap();
    let of_7 = json!({
        "id": 7, "name": "job 7", "command": "echo {DIR}", "cron": NEVER, "tag_id": 2,
        "owner": "ops",
    });
    assert_eq!((&export["format"], &export["jobs"][1]), (&json!(1), &of_7));
    assert_eq!(export["tags"], json!({ "2": "备份" }));
    assert_eq!(bench.get(PATH).is(200).body, text, "the same rows, the same bytes");
    assert_eq!(bench.get(&format!("{PATH}?format=json")).is(200).body, text);
    let crontab = bench.get(&format!("{PATH}?format=crontab")).is(200).body.clone();
    assert!(crontab.contains("\n# job 1\n0 0 1 1 * a\n"), "{crontab}");
    bench.get(&format!("{PATH}?format=yaml")).is(400);
    bench.get(&format!("{PATH}?form=json")).is(400);
}

/// Of many jobs it takes some turns, and a table that changes meanwhile begins it once more.
#[test]
fn a_text_is_about_one_table() {
    let rows = |name: &str| -> Vec<JobRow> { (1..=950).map(|id| row(id, NEVER, name)).collect() };
    let mut bench = Bench::that_asks_seldom(&rows("old"));
    let begin = |bench: &mut Bench| {
        bench.hand_in(&format!("GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    };
    let one_turn = |bench: &mut Bench| {
        assert!(bench.core.busy(), "it is worked on");
        bench.core.handle(bench.now, Event::Tick);
        bench.act();
    };
    let conn = begin(&mut bench);
    let mut turns = 0;
    while bench.clients[&conn].output_bytes() == 0 {
        one_turn(&mut bench);
        turns += 1;
        assert!(turns < 1_000);
    }
    assert!(turns > 8, "{turns} turns");
    let whole = bench.received(conn);
    assert_eq!(whole.matches("\"old\"").count(), 950);
    let conn = begin(&mut bench);
    (0..4).for_each(|_| one_turn(&mut bench));
    bench.set_rows(&rows("new"));
    bench.post("/api/v1/sync").is(200);
    bench.turn();
    let whole = bench.received(conn);
    let count = |word: &str| whole.matches(word).count();
    assert_eq!((count("\"old\""), count("\"new\"")), (0, 950));
}
