//! A console that hears nothing says so; what is pressed meanwhile has a result that is said.

use crate::browser;
use crate::browser::site::{self, FAILS, LONG, NEVER, WRITES};
use crate::daemon;
use crate::daemon::rows::Row;
use crate::daemon::{Daemon, Site};
use crate::truth::{self, LIVE};
use rustix::process::Signal;
use schedule::core::database::Driver;
use std::time::Duration;

/// A daemon that stands still, and goes on when the test ends, however it does.
struct Still<'a>(&'a Daemon);

impl Still<'_> {
    fn stand(daemon: &Daemon) -> Still<'_> {
        daemon.signal(Signal::STOP);
        Still(daemon)
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

#[test]
fn a_daemon_that_stands_still_is_not_live() {
    let (_site, _database, daemon) = site::sample();
    let page = daemon.open("/");
    page.wait("the stream", LIVE);
    let press = format!("document.querySelector('#j{LONG} button[value=start]')");
    let still = Still::stand(&daemon);
    // Pressed twice, and once more: one request, which is waited for 10 s and told of.
    for _ in 0..2 {
        page.click(&format!("#j{LONG} button[value=start]"));
    }
    page.wait("the button to wait", &format!("{press}.ariaBusy === 'true'"));
    page.eval(&format!("{press}.click()"));
    let told = "document.querySelector('#message').innerText.includes('No answer within 10 s')";
    page.wait_for("word of the button", Duration::from_secs(60), told);
    page.wait("the button to be free", &format!("{press}.ariaBusy !== 'true'"));
    let sent = page.requests().iter().filter(|url| url.ends_with("/start")).count();
    assert_eq!(sent, 1, "two clicks are one request");
    // Two beats are missed.
    let lost = "/as of \\d\\d:\\d\\d:\\d\\d/.test(document.querySelector('#live').innerText)";
    page.wait_for("word of the silence", Duration::from_secs(90), lost);
    assert_eq!(page.eval("document.querySelector('#live').classList.contains('off')"), true);
    let dim = "Number(getComputedStyle(document.querySelector('.jobs tbody')).opacity) < 0.8";
    assert_eq!(page.eval(dim), true, "old data look like new");
    // What was to come does not come to pass on the page either.
    let times = "[...document.querySelectorAll('#rows time')].map(it => it.innerText).join()";
    let before = page.eval(times);
    page.eval("new Promise(done => setTimeout(done, 2500))");
    assert_eq!(page.eval(times), before, "times go on without the daemon");
    // A search says that nobody answers, and stays on the page.
    page.eval("window.seen = true");
    page.click("#q");
    page.type_text("photos");
    let told = "document.querySelector('#message').innerText.includes('does not answer')";
    page.wait_for("word of the search", Duration::from_secs(60), told);
    assert_eq!(page.eval("window.seen"), true, "the page was left");
    drop(still);
    page.wait_for("the stream again", Duration::from_secs(90), LIVE);
    page.wait("the colours", &format!("!({dim})"));
    assert_eq!(daemon.runs(LONG).len(), 1);
}

/// Who comes back to a tab does not find "Live" where nothing was heard for longer than two beats.
#[test]
fn a_tab_that_is_come_back_to_is_not_live_by_itself() {
    let (_site, _database, daemon) = site::sample();
    let page = daemon.open_with(&browser::Look::window(), "/");
    page.wait("the stream", LIVE);
    // What is said when the page is told that it is seen again.
    page.eval(
        "document.addEventListener('visibilitychange', () => {
            const live = document.querySelector('#live');
            const dim = document.documentElement.classList.contains('stale');
            if (!document.hidden) window.found = `${live.className} ${dim} ${live.innerText}`;
        }); void 0",
    );
    let other = page.beside(&format!("http://{}/log", daemon.address));
    page.wait("the tab to be hidden", "document.hidden");
    // Soon again: nothing is said of it.
    page.to_front();
    assert_eq!(page.wait("the tab", "window.found"), "live on false Live");
    page.wait("the stream again", LIVE);
    // Its clock goes on for so long right before the page is told: what was on its way came before.
    page.eval(
        "window.found = '';
        addEventListener('visibilitychange', () => {
            const now = Date.now;
            if (!document.hidden) Date.now = () => now() + 26000;
        }, true); void 0",
    );
    other.to_front();
    page.wait("the tab to be hidden again", "document.hidden");
    let still = Still::stand(&daemon);
    page.to_front();
    let found = page.wait("the tab once more", "window.found");
    let found = found.as_str().unwrap();
    assert!(found.starts_with("live off true Connecting; as of "), "{found}");
    drop(still);
    page.wait_for("the stream once more", Duration::from_secs(60), LIVE);
    page.wait("the colours", "!document.documentElement.classList.contains('stale')");
}

/// What was heard before a tab was left counts for as long as if somebody had looked at it.
#[test]
fn a_tab_that_is_come_back_to_is_live_no_longer_than_its_last_event_allows() {
    let (_site, _database, daemon) = truth::quiet();
    let page = truth::open_with(&daemon, "/", "", &browser::Look::window());
    page.eval(
        "new MutationObserver(() => {
            const live = document.querySelector('#live');
            if (live.classList.contains('off')) window.found ??= live.innerText;
        }).observe(document.querySelector('#live'), { attributes: true, childList: true });
        addEventListener('visibilitychange', () => { ahead = document.hidden ? 0 : 19000; }, true);
        tell('beat', {})",
    );
    let other = page.beside(&format!("http://{}/log", daemon.address));
    page.wait("the tab to be hidden", "document.hidden");
    let _still = Still::stand(&daemon);
    page.to_front();
    // It connects for 10 s, but two beats are missed long before.
    let found = page.wait("word of it", "window.found");
    let found = found.as_str().unwrap();
    assert!(found.starts_with("Connecting; as of "), "{found}");
    drop(other);
}

/// Pages that are answered say nothing of events: who hears none does not know what comes next.
#[test]
fn a_page_is_not_live_before_there_are_events_again() {
    let (_site, _database, daemon) = truth::quiet();
    let page = truth::open(&daemon, "/jobs/1");
    page.eval(
        "window.Real = EventSource;
        window.EventSource = class { readyState = 1; addEventListener() {} close() {} };
        feeds[0].close(), ahead = 30000",
    );
    page.wait("word of it", &format!("!({LIVE})"));
    page.eval("window.was = shown");
    page.click("#job button[value=start]");
    page.wait("the page", "shown > was + 1");
    page.wait("the run", "!!document.querySelector('#past .st.running')");
    assert_eq!(page.eval(LIVE), false, "{}", page.text("#live"));
    page.eval("window.EventSource = Real, 0");
    page.wait_for("the stream", Duration::from_secs(60), LIVE);
}

/// Marks of direction in a name turn none of the words that the script says after it.
#[test]
fn a_name_turns_no_message_around_it() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let named = |id, name: &str| Row::new(id, NEVER, "sleep 600").named(name);
    let rows = [named(1, "x\u{202e}"), named(2, "x\u{2069}\u{202e}{}"), named(3, "שלום")];
    let daemon = site::with(&site, &mut database, &rows);
    let page = daemon.open("/");
    page.wait("the stream", LIVE);
    for (id, name) in [(1, "x?"), (2, "x??{}"), (3, "שלום")] {
        page.click(&format!("#j{id} button[value=start]"));
        let told = format!("Started \u{2068}{name}\u{2069}: run ");
        let message = "document.querySelector('#message').textContent";
        page.wait("word of the start", &format!("{message}.startsWith('{told}')"));
        // `r` of `run` is drawn before its `n`.
        let drawn = "(() => {
            const text = document.querySelector('#message').firstChild;
            const from = text.data.indexOf('run ');
            const left = (at) => {
                const range = document.createRange();
                range.setStart(text, at);
                range.setEnd(text, at + 1);
                return range.getBoundingClientRect().left;
            };
            return left(from) < left(from + 2);
        })()";
        assert_eq!(page.eval(drawn), true, "{name}");
        page.go(&format!("/jobs/{id}"));
        let pill = "(() => {
            const [name, pill] = document.querySelector('#job h1').children;
            return name.getBoundingClientRect().left < pill.getBoundingClientRect().left;
        })()";
        assert_eq!(page.eval(pill), true, "{name}");
        page.go("/");
        page.wait("the stream", LIVE);
    }
}

#[test]
fn a_quiet_daemon_is_live() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let daemon = site::with(&site, &mut database, &[Row::new(1, NEVER, "sleep 600")]);
    let beat = |url: &str| {
        let page = daemon.page(&browser::Look::default());
        page.go("/");
        page.eval(&format!(
            "new Promise((done, fail) => {{
                const feed = new EventSource('{url}');
                feed.addEventListener('beat', () => {{ feed.close(); done(true); }});
                setTimeout(() => fail('no beat'), 40000);
            }})"
        ))
    };
    assert_eq!(beat("/api/v1/events?id=1"), true);
    assert_eq!(beat("/api/v1/log?follow=1&level=error"), true);
}

#[test]
fn the_page_of_a_job_that_is_gone_says_so() {
    let (_site, mut database, daemon) = site::sample();
    let mut page = daemon.open(&format!("/jobs/{FAILS}"));
    page.expect("404 (Not Found)");
    page.wait("the stream", LIVE);
    let set =
        |group: u32| format!("UPDATE scheduler_jobs SET server_id = {group} WHERE id = {FAILS}");
    database.sql(&set(99));
    let banner = "document.querySelector('#hint.bad:not([hidden])')
        ?.innerText.includes('its row was deleted')";
    page.wait("the banner", banner);
    assert_eq!(page.eval(LIVE), false, "{}", page.text("#live"));
    let grey = "[...document.querySelectorAll('#job button')].every(it => it.ariaDisabled)";
    assert_eq!(page.eval(grey), true);
    assert!(!page.text("#job .st").contains("never"), "{}", page.text("#job"));
    // It is back, and so is the page.
    database.sql(&set(1));
    page.wait("the job again", LIVE);
    let start = "!document.querySelector('#job button[value=start]').ariaDisabled";
    page.wait("its button", start);
    // That somebody changed its row may be told as news.
    assert_eq!(page.count("#hint.bad:not([hidden])"), 0);
}

#[test]
fn an_older_answer_never_takes_the_place_of_a_newer_one() {
    let (_site, _database, daemon) = site::sample();
    let page = daemon.open("/");
    page.wait("the stream", LIVE);
    // The first search is answered only after the second one.
    page.eval(
        "const real = window.fetch;
        window.fetch = async (url, how) => {
            const answer = await real(url, how);
            if (String(url).includes('q=photos')) {
                await new Promise(done => { window.letGo = done; });
                window.let = true;
            }
            return answer;
        }; void 0",
    );
    page.click("#q");
    page.type_text("photos");
    page.wait("the first search", "!!window.letGo");
    page.eval("document.querySelector('#q').value = ''");
    page.type_text("writes");
    let shown = "[...document.querySelectorAll('#rows tr')].map(it => it.id).join()";
    page.wait("the second search", &format!("{shown} === 'j{WRITES}'"));
    page.eval("window.letGo()");
    page.wait("the first answer", "window.let");
    page.eval("new Promise(done => setTimeout(done, 300))");
    assert_eq!(page.eval(shown), format!("j{WRITES}"));
    assert_eq!(page.eval("document.querySelector('#q').value"), "writes");
}

#[test]
fn another_daemon_shows_its_own_pid() {
    let (site, _database, daemon) = site::sample();
    let mut page = daemon.open("/");
    for text in ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY"] {
        page.expect(text);
    }
    page.wait("the stream", LIVE);
    page.eval("window.seen = true");
    let port = daemon.address.port();
    daemon.stop();
    page.wait("word of the loss", &format!("!({LIVE})"));
    let daemon = site.start_on(port);
    page.wait("the stream again", LIVE);
    let pid = "document.querySelector('[data-d=pid]').innerText";
    assert_eq!(page.eval(pid), daemon.pid().as_raw_nonzero().to_string());
    let started = "Date.parse(document.querySelector('[data-d=started]').dateTime)";
    let really = daemon::keeper::millis(&daemon.status()["started_at"]) / 1000 * 1000;
    assert_eq!(page.eval(started), really);
    assert_eq!(page.eval("window.seen"), true, "the page was loaded anew");
}
