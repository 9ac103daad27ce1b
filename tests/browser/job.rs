//! The page of a job and the log: output that is followed, runs that are stopped, what was done.

use crate::browser::Look;
use crate::browser::site::{self, FAILS, LONG, NEVER, WRITES};
use crate::daemon;
use crate::daemon::Site;
use crate::daemon::rows::Row;
use schedule::core::database::Driver;

/// The number of the last line `line N` that is shown.
const LAST_LINE: &str = "Number((document.querySelector('#out').innerText.trim()
    .match(/line (\\d+)$/) ?? [0, 0])[1])";

#[test]
fn output_is_followed() {
    let (_site, _database, daemon) = site::sample();
    let page = daemon.open(&format!("/jobs/{WRITES}"));
    page.eval("window.seen = true");
    page.click("form.act button[value=start]");
    let first = page.wait("the first lines", LAST_LINE).as_u64().unwrap();
    page.wait("further lines", &format!("{LAST_LINE} > {}", first + 5));
    // All lines are there, each once, and the last one is in sight.
    let whole = "(() => {
        const lines = document.querySelector('#out').innerText.trim().split('\\n');
        return lines.every((line, at) => line === `line ${at + 1}`);
    })()";
    assert_eq!(page.eval(whole), true, "{}", page.text("#out"));
    page.wait("more than fits", &format!("{LAST_LINE} > 40"));
    let low = "(() => { const it = document.querySelector('#out');
        return it.scrollHeight - it.scrollTop - it.clientHeight < 60; })()";
    page.wait("the end in sight", low);
    // Whoever reads further up is left in peace.
    page.eval("document.querySelector('#out').scrollTop = 0");
    let at = page.eval(LAST_LINE).as_u64().unwrap();
    page.wait("further lines", &format!("{LAST_LINE} > {}", at + 5));
    assert_eq!(page.eval("document.querySelector('#out').scrollTop"), 0);
    // Not followed any more: what comes does not show.
    page.click("#follow");
    page.wait("the lines so far", LAST_LINE);
    let at = page.eval(LAST_LINE).as_u64().unwrap();
    let written = || daemon.runs(WRITES)[0]["duration_ms"].as_u64().unwrap();
    let before = written();
    daemon::wait_for("another second of output", daemon::SOON, || {
        (written() > before + 1_000).then_some(())
    });
    assert!(page.eval(LAST_LINE).as_u64().unwrap() <= at + 3, "{at}: it goes on");
    page.click("form.act button[value=stop]");
    page.wait("the job to stop", "!!document.querySelector('#job .st.stopped')");
    assert_eq!(page.eval("window.seen"), true, "the page was loaded anew");
}

#[test]
fn runs_are_told_and_stopped_one_by_one() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows = [Row::new(1, NEVER, "echo I am $SCHEDULE_RUN_ID; sleep 600").limit(3)];
    let daemon = site::with(&site, &mut database, &rows);
    let page = daemon.open("/jobs/1");
    for count in 1..=3 {
        page.click("form.act button[value=start]");
        let live = "document.querySelectorAll('#past tbody .st.running').length";
        page.wait("a further run", &format!("{live} === {count}"));
        // Who has started it sees what it writes.
        let run = daemon.runs(1)[0]["run_id"].as_str().unwrap().to_owned();
        let own = format!("document.querySelector('#out').innerText.trim() === 'I am {run}'");
        page.wait("the output of the new run", &own);
    }
    page.wait("no fourth one", "document.querySelector('form.act button').ariaDisabled === 'true'");
    // The keyboard stays where it was, though the button does nothing now.
    assert_eq!(page.eval("document.activeElement.value"), "start");
    let took = "document.querySelector('#past tbody time.for').textContent";
    let before = page.eval(took);
    page.wait("the duration to go on", &format!("{took} !== {before}"));
    let runs = daemon.runs(1);
    let middle = runs[1]["run_id"].as_str().unwrap();
    // The output of each is its own.
    page.click(&format!("a[data-run='{middle}'][data-stream=stdout]"));
    let own = format!("document.querySelector('#out').innerText.trim() === 'I am {middle}'");
    page.wait("the output of that run", &own);
    page.click(&format!("#past tr:has([data-run='{middle}']) button[value=stop]"));
    page.wait("two runs", "document.querySelectorAll('#past tbody .st.running').length === 2");
    let ended = format!("#past tr:has([data-run='{middle}']) .st.stopped");
    page.wait("that run to have ended", &format!("!!document.querySelector(\"{ended}\")"));
    assert_eq!(daemon.job(1).unwrap()["running"], 2);
}

#[test]
fn what_was_is_shown() {
    let (_site, _database, daemon) = site::sample();
    for _ in 0..3 {
        assert_eq!(daemon.request("POST", &format!("/api/v1/jobs/{FAILS}/start")).status, 200);
        daemon.wait_job(FAILS, "ended", |job| job["running"] == 0);
    }
    let page = daemon.open(&format!("/jobs/{FAILS}"));
    assert_eq!(page.count("#past .runs:not(.acts) tbody tr"), 3);
    assert!(page.text("#past .runs").contains("exit 3"), "{}", page.text("#past .runs"));
    assert_eq!(page.count(".plots svg"), 2);
    let run = daemon.runs(FAILS)[0]["run_id"].as_str().unwrap().to_owned();
    page.click(&format!("a[data-run='{run}'][data-stream=stderr]"));
    let told = "document.querySelector('#out').innerText.includes('broken pipes')";
    page.wait("the errors", told);
    // A tail that is only looked at costs no other page: the way back and forth stays quick.
    for target in ["/", "/log", &format!("/jobs/{LONG}"), "/"] {
        page.go(target);
    }
}

#[test]
fn a_walk_through_many_jobs() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let row = |id| Row::new(id, NEVER, "echo hello; sleep 600");
    let daemon = site::with(&site, &mut database, &(1..=12).map(row).collect::<Vec<_>>());
    let page = daemon.open("/");
    for id in 1..=12 {
        assert_eq!(daemon.request("POST", &format!("/api/v1/jobs/{id}/start")).status, 200);
    }
    // A browser has six connections for one server: pages that are left have to give theirs back,
    // or from the third one on everything waits for minutes.
    for id in 1..=12 {
        page.go(&format!("/jobs/{id}"));
        page.wait("its output", "document.querySelector('#out').innerText.includes('hello')");
    }
    page.call("Page.navigate", serde_json::json!({ "url": "about:blank" }));
    daemon::wait_for("all streams to end", daemon::SOON, || {
        let metrics = daemon.get("/metrics").body;
        let streams = metrics.lines().find(|line| line.starts_with("schedule_http_streams "))?;
        streams.ends_with(" 0").then_some(())
    });
}

#[test]
fn several_tabs_at_a_time() {
    let (_site, _database, daemon) = site::sample();
    assert_eq!(daemon.request("POST", &format!("/api/v1/jobs/{WRITES}/start")).status, 200);
    let first = daemon.open_with(&Look::window(), &format!("/jobs/{WRITES}"));
    first.wait("its output", LAST_LINE);
    let address = format!("http://{}/jobs/{WRITES}", daemon.address);
    let tabs: Vec<_> = (0..5).map(|_| first.beside(&address)).collect();
    // Only the one that is looked at follows; the others let go of their connections.
    let last = tabs.last().unwrap();
    last.wait("its output", LAST_LINE);
    first.to_front();
    first.wait("its output again", LAST_LINE);
}

#[test]
fn the_log_is_followed() {
    let (_site, _database, daemon) = site::sample();
    let page = daemon.open("/log");
    let shows = |text: &str| format!("document.querySelector('#out').innerText.includes('{text}')");
    page.wait("the begin", &shows("begin: "));
    assert_eq!(daemon.request("POST", &format!("/api/v1/jobs/{LONG}/start")).status, 200);
    page.wait("the start", &shows(&format!("start job={LONG} ")));
    // Narrowed to what has a word in it.
    page.click("#grep");
    page.type_text(&format!("JOB={LONG}"));
    page.wait("the other lines to go", &format!("!{}", shows("begin: ")));
    assert_eq!(page.eval(&shows(&format!("start job={LONG} "))), true);
    page.eval("document.querySelector('#grep').value = ''");
    // A level.
    page.eval("void (document.querySelector('#level').value = 'error')");
    page.eval(
        "document.querySelector('#level').dispatchEvent(new Event('change', {bubbles: true}))",
    );
    page.wait("nothing of less weight", &format!("!{}", shows("start job=")));
}

#[test]
fn a_log_that_cannot_be_shown_says_why() {
    let (mut site, _database) = Site::on(Driver::Sqlite);
    site.base.push_str("logfile = -\n");
    std::os::unix::fs::symlink("stderr", site.file("1.log")).unwrap();
    let daemon = site.start();
    let mut page = daemon.page(&Look::default());
    page.expect("409 (Conflict)");
    page.go("/log");
    page.wait("the reason", "/standard error/.test(document.querySelector('#out').innerText)");
}
