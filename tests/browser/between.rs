//! Something between (a proxy, a login, a cache) answers in the place of the daemon: none of what
//! it writes is shown, and nothing counts as done that the daemon did not say.

use crate::browser::Page;
use crate::truth::{LIVE, LOST, open, quiet};
use serde_json::json;

const BETWEEN: &str = "No answer of the daemon: something between answered, with status";
const UNKNOWN: &str = "Whether it was done is not known: look before you try again";
const MESSAGE: &str = "document.querySelector('#message').textContent";

/// From now on what the page asks for, as far as this is true of it, is answered so.
fn answer(page: &Page, which: &str, (status, kind, body): (u16, &str, &str)) {
    let (kind, body) = (json!(kind), json!(body));
    page.eval(&format!(
        "window.asked ??= fetch;
        window.fetch = async (url, how) => {which} ? new Response({body},
            {{ status: {status}, headers: {{ 'Content-Type': {kind} }} }}) : asked(url, how), 0"
    ));
}

fn answer_all(page: &Page, with: (u16, &str, &str)) {
    answer(page, "true", with);
}

/// Answers, and what is told of them.
fn answers() -> [((u16, &'static str, &'static str), String); 10] {
    let problem = "application/problem+json";
    let own = r#"{"type":"about:blank","title":"Conflict","status":409,"detail":"at its limit"}"#;
    let away = r#"{"type":"about:blank","title":"x","status":503,"detail":"database: away"}"#;
    let unsure = |status: u16| format!("{BETWEEN} {status}. {UNKNOWN}");
    [
        ((200, "application/json", r#"{"ok":true,"detail":"Log in"}"#), unsure(200)),
        ((200, "application/json", "[]"), unsure(200)),
        ((200, "application/json", "null"), unsure(200)),
        ((200, "text/html", "<h1>Log in</h1>"), unsure(200)),
        ((502, "text/html", "<h1>Log in</h1>"), unsure(502)),
        ((504, problem, r#"{"title":"Log in","detail":"Log in"}"#), unsure(504)),
        ((403, "text/html", "<h1>Log in</h1>"), format!("{BETWEEN} 403")),
        ((409, problem, own), "at its limit".to_owned()),
        ((503, problem, away), "database: away".to_owned()),
        ((202, "application/json", r#"{"detail":"it is done, but"}"#), "it is done, but".into()),
    ]
}

#[test]
fn a_button_tells_no_more_than_the_daemon_said() {
    let (_site, _database, daemon) = quiet();
    daemon.start_job(1);
    let places = [
        ("/", "#j1 button[value=start]"),
        ("/", "#j1 button[value=stop]"),
        ("/", "#sel button[value=sync]"),
        ("/jobs/1", "#past button[value=stop]"),
        ("/log?follow=0", "button[data-sure]"),
    ];
    for (target, button) in places {
        let page = open(&daemon, target);
        page.eval("window.confirm = () => true, 0");
        let press = |wanted: &str| {
            page.eval(&format!("{MESSAGE} = ''"));
            page.eval(&format!("document.querySelector('{button}').click()"));
            page.wait("word of it", &format!("{MESSAGE} !== ''"));
            let told = page.eval(MESSAGE);
            let told = told.as_str().unwrap();
            assert!(told.ends_with(wanted), "{target} {button}: {told}, not {wanted}");
            assert!(!told.contains("Log in"), "{told}");
            let busy = format!("document.querySelector('{button}').ariaBusy");
            page.wait("the button to be free", &format!("{busy} !== 'true'"));
        };
        for (with, told) in answers() {
            answer(&page, "how.method === 'POST'", with);
            press(&told);
        }
        page.eval("window.fetch = async () => { throw new TypeError('broken'); }, 0");
        press(&format!("No answer. {UNKNOWN}"));
    }
    assert_eq!(daemon.runs(1).len(), 1);
}

/// A signal reaches some runs of a job, and others not.
#[test]
fn what_was_not_done_is_not_told_as_done() {
    let (_site, _database, daemon) = quiet();
    daemon.start_job(1);
    let page = open(&daemon, "/");
    page.wait("the run", "!document.querySelector('#j1 button[value=stop]').ariaDisabled");
    let told = |text: &str| {
        page.wait("word of it", &format!("{MESSAGE} === '{text}'"));
        assert_eq!(page.count("#message.bad"), 1);
    };
    let runs = r#"{"job_id":1,"runs":[{"run_id":"a","did":"terminated"},
        {"run_id":"b","did":"refused","reason":"of another user"},{"run_id":"c","did":"gone"}]}"#;
    answer(&page, "how.method === 'POST'", (200, "application/json", runs));
    page.click("#j1 button[value=stop]");
    told("Stopping job 1, runs: 1 · Refused, job 1: of another user");
    // Of several jobs: which one had no answer, and how many were not tried then.
    answer(&page, "/\\/jobs\\/3\\/start/.test(url)", (502, "text/html", "<h1>Log in</h1>"));
    for id in [2, 3, 4, 5] {
        page.click(&format!("#j{id} .c input"));
    }
    page.click("#sel button[value=start]");
    let text = format!("job 3: {BETWEEN} 502. {UNKNOWN}. Others that were not tried: 2");
    page.wait("word of it", &format!("{MESSAGE}.startsWith('{text}')"));
    assert_eq!(page.count("#message.bad"), 1);
}

/// Whatever becomes of what was pressed.
#[test]
fn no_button_waits_for_ever() {
    let (_site, _database, daemon) = quiet();
    let mut page = open(&daemon, "/");
    page.expect("what is wrong with a script");
    let wrong = "get headers() { throw new Error('what is wrong with a script'); }";
    page.eval(&format!("window.fetch = async () => ({{ text: async () => '', {wrong} }}), 0"));
    page.eval("document.querySelector('#j1 button[value=start]').click()");
    let busy = "document.querySelector('#j1 button[value=start]').ariaBusy";
    page.wait("the button to be free", &format!("{busy} !== 'true'"));
}

#[test]
fn what_somebody_else_answers_is_no_answer() {
    let (_site, _database, daemon) = quiet();
    let login = |status: u16| (status, "text/html", "<h1>Log in</h1>");
    for (target, status) in [("/", 200), ("/jobs/1", 200), ("/jobs/1", 404)] {
        let page = open(&daemon, target);
        answer_all(&page, login(status));
        page.eval("tell('total', {}), tell('job', { id: 1 })");
        page.wait(&format!("word of {target} {status}"), LOST);
        assert_eq!(page.eval(LIVE), false);
    }
    for status in [200, 403, 502] {
        let told = format!("{BETWEEN} {status}");
        let page = open(&daemon, "/");
        answer_all(&page, login(status));
        page.click("#q");
        page.type_text("job");
        page.wait("word of the search", &format!("{MESSAGE} === '{told}'"));
        let page = open(&daemon, "/log?follow=0");
        page.wait("the log", "document.querySelector('#out').innerText.length > 0");
        answer_all(&page, login(status));
        page.eval("document.querySelector('#lines').dispatchEvent(new Event('change')), 0");
        let says =
            |text: &str| format!("document.querySelector('#out').innerText.includes('{text}')");
        page.wait("word of the log", &format!("{} || {}", says(&told), says("Log in")));
        assert!(!page.text("#out").contains("Log in"));
    }
}

/// A browser does not tell what was answered in place of events: the page asks once more.
#[test]
fn what_is_answered_in_place_of_events_is_told() {
    let (_site, _database, daemon) = quiet();
    let html = |status: u16| (status, "text/html", "<h1>Log in</h1>");
    for (with, told) in [
        (None, "Refused: there is no such page".to_owned()),
        (Some(html(200)), format!("{BETWEEN} 200")),
        (Some(html(502)), format!("{BETWEEN} 502")),
    ] {
        let mut page = open(&daemon, "/");
        page.expect("404 (Not Found)");
        if let Some(with) = with {
            answer_all(&page, with);
        }
        page.eval("document.body.dataset.events = '/nowhere', feeds[0].onerror(), 0");
        page.wait("why", &format!("{MESSAGE}.startsWith('{told}')"));
    }
}
