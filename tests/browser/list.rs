//! The list of jobs as a person with a browser has it: live, with buttons that work.

use crate::browser;
use crate::browser::site::{self, CHINESE, FAILS, LONG, NEVER, TICKS, WRITES};
use crate::daemon;
use crate::daemon::rows::Row;
use crate::truth::LOST;
use schedule::core::database::Driver;
use serde_json::json;

/// Notes in the page that this very document was seen, which a reload would forget.
const MARK: &str = "window.seen = true";

#[test]
fn jobs_are_there() {
    let (_site, _database, daemon) = site::sample();
    let page = daemon.open("/");
    assert_eq!(page.count("#rows tr"), 5);
    let row = page.text(&format!("#j{LONG}"));
    for text in ["Backup of the photos", "nightly", "sleep 600", "0/1", "in Feb", "never run"] {
        assert!(row.contains(text), "{text}: {row}");
    }
    let row = page.text(&format!("#j{CHINESE}"));
    assert!(row.contains("中文任务:备份数据") && row.contains("网站"), "{row}");
    let header = page.text("dl.daemon");
    for text in ["Database", "up", env!("CARGO_PKG_VERSION")] {
        assert!(header.contains(text), "{text}: {header}");
    }
    assert!(page.eval("document.title").as_str().unwrap().contains("Schedule"));
}

#[test]
fn start_and_stop_change_the_row_in_place() {
    let (_site, _database, daemon) = site::sample();
    let page = daemon.open("/");
    page.eval(MARK);
    let top = "document.querySelector('#rows').getBoundingClientRect().top + scrollY";
    let before = page.eval(top);
    page.click(&format!("#j{LONG} button[value=start]"));
    let told = "document.querySelector('#message:not(.past)').innerText.includes('Started ')";
    page.wait("word of the start", told);
    assert_eq!(page.eval(top), before, "the list moves under the finger");
    let state = |name: &str| format!("document.querySelector('#j{LONG} .st.{name}')");
    page.wait("the job to run", &format!("!!{}", state("running")));
    assert_eq!(daemon.job(LONG).unwrap()["running"], 1);
    let runs = format!("document.querySelector('#j{LONG} .runs').innerText.includes('1/1')");
    page.wait("the number of runs", &runs);
    // At its limit now: the button says why it can't be pressed.
    let start = format!("document.querySelector('#j{LONG} button[value=start]')");
    page.wait(
        "a start button that says why not",
        &format!("{start}.ariaDisabled && {start}.title"),
    );
    page.click(&format!("#j{LONG} button[value=stop]"));
    page.wait("the job to be stopped", &format!("!!{}", state("stopped")));
    let last = page.text(&format!("#j{LONG} .last"));
    assert!(last.contains("signal"), "{last}");
    page.wait("a start button again", &format!("!{start}.ariaDisabled"));
    assert_eq!(page.eval("window.seen"), true, "the page was loaded anew");
}

#[test]
fn others_start_a_job_and_the_page_shows_it() {
    let (_site, _database, daemon) = site::sample();
    let page = daemon.open("/");
    page.eval(MARK);
    page.wait("the stream", "document.querySelector('#live').classList.contains('on')");
    assert_eq!(daemon.request("POST", &format!("/api/v1/jobs/{FAILS}/start")).status, 200);
    let row = format!("document.querySelector('#j{FAILS}')");
    page.wait("the failure", &format!("{row}.querySelector('.st.exited') && true"));
    page.wait("its outcome", &format!("{row}.innerText.includes('exit 3')"));
    // A job that runs each second: its last run is never long ago, and changes.
    let last = format!("document.querySelector('#j{TICKS} .last time').dateTime");
    let before = page.wait("a first run", &last);
    page.wait("the next run", &format!("{last} !== {before} && {last}"));
    assert_eq!(page.eval("window.seen"), true, "the page was loaded anew");
}

#[test]
fn a_row_that_changes_in_the_database_shows_by_itself() {
    let (_site, mut database, daemon) = site::sample();
    let page = daemon.open("/");
    page.eval(MARK);
    page.wait("the stream", "document.querySelector('#live').classList.contains('on')");
    database.sql(&format!(
        "UPDATE scheduler_jobs SET name = 'Photos, twice', command = 'sleep 700', \
         max_concurrence = 4 WHERE id = {LONG}"
    ));
    let row = format!("document.querySelector('#j{LONG}').innerText");
    page.wait("the new name", &format!("{row}.includes('Photos, twice')"));
    page.wait("the new command", &format!("{row}.includes('sleep 700')"));
    page.wait("the new limit", &format!("{row}.includes('0/4')"));
    database.sql(&format!("DELETE FROM scheduler_jobs WHERE id = {FAILS}"));
    // It stays where it is, grey, until somebody wants to see the list as it is now.
    let gone = format!("!!document.querySelector('#j{FAILS}.gone button[aria-disabled]')");
    page.wait("the row to be gone", &gone);
    page.wait("word of it", "!document.querySelector('#hint').hidden");
    page.click("#hint button");
    page.wait("the row to go", &format!("!document.querySelector('#j{FAILS}')"));
    database.sql(&Row::new(77, NEVER, "true").named("A new one").insert());
    // A new row changes the order: the page says so, or shows it.
    let told = "document.querySelector('#j77') || !document.querySelector('#hint').hidden";
    page.wait("news of the new row", &format!("!!({told})"));
    assert_eq!(page.eval("window.seen"), true, "the page was loaded anew");
    if page.count("#j77") == 0 {
        page.click("#hint button");
        page.wait("the new row", "!!document.querySelector('#j77')");
    }
}

#[test]
fn a_selection_starts_and_stops_together() {
    let (_site, _database, daemon) = site::sample();
    let page = daemon.open("/");
    for id in [LONG, WRITES] {
        page.click(&format!("#j{id} input[type=checkbox]"));
    }
    page.click("#sel button[value=start]");
    for id in [LONG, WRITES] {
        let running = format!("!!document.querySelector('#j{id} .st.running')");
        page.wait("the selected job to run", &running);
    }
    assert_eq!(daemon.job(FAILS).unwrap()["last_run"], json!(null));
    // The selection outlives the change of its rows.
    let chosen = page.count("#rows :checked");
    for id in if chosen == 0 { vec![LONG, WRITES] } else { vec![] } {
        page.click(&format!("#j{id} input[type=checkbox]"));
    }
    page.click("#sel button[value=stop]");
    for id in [LONG, WRITES] {
        let stopped = format!("!!document.querySelector('#j{id} .st.stopped')");
        page.wait("the selected job to stop", &stopped);
    }
}

/// Nothing is chosen of what is gone.
#[test]
fn a_row_that_is_gone_is_not_selected() {
    let (_site, mut database, daemon) = site::sample();
    let page = daemon.open("/");
    page.wait("the stream", "document.querySelector('#live').classList.contains('on')");
    database.sql(&format!("DELETE FROM scheduler_jobs WHERE id = {FAILS}"));
    page.wait("the row to be gone", &format!("!!document.querySelector('#j{FAILS}.gone')"));
    page.click("#every");
    assert_eq!(page.count(&format!("#j{FAILS} :checked")), 0);
    assert_eq!(page.text("#count"), "4 selected");
    assert_eq!(page.eval("[every.checked, every.indeterminate].join()"), "true,false");
    page.click("#every");
    assert_eq!(page.text("#count"), "0 selected");
    // Nothing is done, and nothing is said.
    page.eval("document.querySelector('#message').textContent = 'before'");
    let start = "document.querySelector('#sel button[value=start]')";
    page.eval(&format!("{start}.disabled = false, {start}.click()"));
    page.eval("new Promise(done => setTimeout(done))");
    assert_eq!(page.text("#message"), "before");
}

#[test]
fn a_press_counts_though_the_list_is_read_anew_meanwhile() {
    let (_site, _database, daemon) = site::sample();
    let page = daemon.open("/");
    page.wait("the stream", "document.querySelector('#live').classList.contains('on')");
    let asked = || page.requests().iter().filter(|url| url.ends_with('/')).count();
    let before = asked();
    page.click_slowly(&format!("#j{LONG} button[value=start]"), || {
        // A state that changes lets the page read the list anew.
        assert_eq!(daemon.request("POST", &format!("/api/v1/jobs/{FAILS}/start")).status, 200);
        daemon::wait_for("the list to be asked for", daemon::SOON, || {
            (asked() > before).then_some(())
        });
        page.eval("new Promise(done => setTimeout(done, 300))");
    });
    page.wait("the job to run", &format!("!!document.querySelector('#j{LONG} .st.running')"));
}

#[test]
fn what_is_refused_is_told() {
    let (_site, _database, daemon) = site::sample();
    let mut page = daemon.open("/");
    page.expect("409 (Conflict)");
    // The page still shows a button that has become wrong: the answer has to tell.
    let enabled = format!("document.querySelector('#j{LONG} button[value=start]')");
    page.wait("the stream", "document.querySelector('#live').classList.contains('on')");
    assert_eq!(daemon.request("POST", &format!("/api/v1/jobs/{LONG}/start")).status, 200);
    page.wait("the row to know", &format!("{enabled}.ariaDisabled"));
    // A finger finds no title: pressing the button tells why it does nothing.
    page.click(&format!("#j{LONG} button[value=start]"));
    let told = "document.querySelector('#message').innerText.includes('At its limit of 1')";
    page.wait("the reason of the button", told);
    // It stays though the daemon goes on telling how it is.
    let last = format!("document.querySelector('#j{TICKS} .last time').dateTime");
    let before = page.wait("a first run", &last);
    let later = format!("Date.parse({last}) - Date.parse({before}) > 5500");
    page.wait("some seconds", &later);
    assert!(page.text("#message").contains("At its limit of 1"), "{}", page.text("#message"));
    page.eval(&format!("void ({enabled}.ariaDisabled = null)"));
    page.click(&format!("#j{LONG} button[value=start]"));
    let told = "document.querySelector('#message').innerText.startsWith('Refused, ')";
    page.wait("the reason of the daemon", told);
    assert!(page.text("#message").contains("limit"), "{}", page.text("#message"));
    assert_eq!(daemon.job(LONG).unwrap()["running"], 1);
}

#[test]
fn a_daemon_that_comes_back_is_found_again() {
    let (site, _database, daemon) = site::sample();
    let mut page = daemon.open("/");
    for text in ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY"] {
        page.expect(text);
    }
    page.wait("the stream", "document.querySelector('#live').classList.contains('on')");
    let port = daemon.address.port();
    daemon.stop();
    page.wait("word of the loss", LOST);
    let _daemon = site.start_on(port);
    page.wait("the stream again", "document.querySelector('#live').classList.contains('on')");
    let last = format!("document.querySelector('#j{TICKS} .last time').dateTime");
    let before = page.eval(&last);
    page.wait("news from the new daemon", &format!("{last} !== {before}"));
}

#[test]
fn hostile_rows_are_nothing_but_text() {
    let (site, mut database) = daemon::Site::on(Driver::Sqlite);
    let hostile = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='alert(1)",
        "</title></textarea></style></template><svg onload=alert(1)>",
        "{{7*7}} ${alert(1)} &lt;b&gt;",
        "\u{202e}txt.exe \u{2028}\u{2029} \u{feff}x",
    ];
    let row = |(id, text): (u32, &&str)| Row::new(id, NEVER, text).named(text).tag(9);
    let rows: Vec<Row> = (1..).zip(&hostile).map(row).collect();
    database
        .sql("INSERT INTO scheduler_tags (id, name) VALUES (9, '<i class=\"evil\">\"tag\"</i>')");
    let daemon = site::with(&site, &mut database, &rows);
    let page = daemon.open("/?q=%22%3E%3Cimg%20class%3Devil%20src%3Dx%3E");
    assert_eq!(page.count(".evil"), 0);
    page.go("/");
    page.wait("the stream", "document.querySelector('#live').classList.contains('on')");
    let check = |page: &browser::Page| {
        for bad in ["#rows script", "#rows img", "#rows svg", ".evil", "[onerror]", "[onload]"] {
            assert_eq!(page.count(bad), 0, "{bad}");
        }
        for (id, text) in (1..).zip(&hostile) {
            let name = format!("document.querySelector('#j{id} .name a').textContent");
            assert_eq!(page.eval(&name), json!(text));
            let command = format!("document.querySelector('#j{id} .name code').textContent");
            assert_eq!(page.eval(&command), json!(text));
        }
    };
    check(&page);
    // The same when the script writes the rows: each is changed by an event.
    for id in 1..=hostile.len() as u32 {
        page.click(&format!("#j{id} button[value=start]"));
        let ran = format!("document.querySelector('#j{id} .last time')?.dateTime");
        page.wait("the row to have run", &ran);
    }
    check(&page);
    for id in 1..=hostile.len() {
        page.go(&format!("/jobs/{id}"));
        assert_eq!(page.count("main script, main img, .evil, [onerror], [onload]"), 0);
        assert!(page.text("h1").contains("evil") || page.count("h1") == 1);
    }
    page.go("/log");
    let logged = "document.querySelector('#out').innerText.includes('job=')";
    page.wait("the log", logged);
    assert_eq!(page.count("main script, main img, .evil, [onerror], [onload]"), 0);
}
