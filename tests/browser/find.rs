//! Finding jobs among many: search, filters, order, pages; with scripts and without.

use crate::browser::site::{self, NEVER};
use crate::browser::{Look, Page};
use crate::common::database::TestDatabase;
use crate::daemon::rows::Row;
use crate::daemon::{Daemon, Site};
use crate::truth;
use schedule::core::database::Driver;

/// 250 jobs, of which 10 fail when they are started, with two tags.
fn many() -> (Site, TestDatabase, Daemon) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql("INSERT INTO scheduler_tags (id, name) VALUES (1, 'even'), (2, 'odd')");
    let row = |id: u32| {
        let command = if id.is_multiple_of(25) { "exit 1" } else { "sleep 600" };
        // Names in another order than the ids.
        Row::new(id, NEVER, command).named(&format!("Job {:03}", 999 - id)).tag(1 + id % 2)
    };
    let rows: Vec<Row> = (1..=250).map(row).collect();
    let daemon = site::with(&site, &mut database, &rows);
    (site, database, daemon)
}

fn both() -> [Look; 2] {
    [Look::default(), Look { scripts: false, ..Look::default() }]
}

/// The ids of the rows, in their order.
fn ids(page: &Page) -> Vec<u32> {
    let script = "[...document.querySelectorAll('#rows tr')].map(row => row.id.slice(1))";
    let ids = page.eval(script);
    ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap().parse().unwrap()).collect()
}

#[track_caller]
fn wait_ids(page: &Page, what: &str, wanted: &[u32]) {
    let wanted: Vec<String> = wanted.iter().map(|id| format!("j{id}")).collect();
    let rows = "[...document.querySelectorAll('#rows tr')].map(row => row.id).join()";
    page.wait(what, &format!("{rows} === '{}'", wanted.join(",")));
}

#[test]
fn search_and_filters() {
    let (_site, _database, daemon) = many();
    for id in (25..=250).step_by(25) {
        assert_eq!(daemon.request("POST", &format!("/api/v1/jobs/{id}/start")).status, 200);
        daemon.wait_job(id, "failed", |job| job["state"] == "exited");
    }
    for look in both() {
        let page = daemon.page(&look);
        page.go("/");
        assert_eq!(ids(&page), (1..=100).collect::<Vec<_>>());
        page.click("#q");
        page.type_text("job 95");
        page.press("Enter");
        wait_ids(&page, "what was searched", &(40..=49).collect::<Vec<_>>());
        assert_eq!(page.eval("document.querySelector('#q').value"), "job 95");
        // A tag on top of it, by its first letter; without a script the form has a button.
        page.eval("document.querySelector('select[name=tag]').focus()");
        page.press("e");
        if !look.scripts {
            page.click("#find button");
        }
        wait_ids(&page, "what was searched, with a tag", &[40, 42, 44, 46, 48]);
        // The addresses can be given to somebody else.
        let address = page.eval("location.search").as_str().unwrap().to_owned();
        assert!(address.contains("tag=1") && address.contains("q=job"), "{address}");
        // The tags count what was found, and the states tell which of them was asked for.
        let tag = "document.querySelector('select[name=tag]').selectedOptions[0].text";
        assert_eq!(page.eval(tag), "even (5)");
        page.go("/");
        page.click(".states .st.exited");
        let failed: Vec<u32> = (25..=250).step_by(25).collect();
        wait_ids(&page, "those that failed", &failed);
        assert_eq!(page.count(".states .st.exited[aria-current]"), 1);
        assert!(page.text("caption").contains("of 10"), "{}", page.text("caption"));
        assert!(page.text(".states .st.exited").contains("10"));
        page.go("/?q=nothing-has-this-name");
        assert_eq!(page.count("#rows tr"), 0);
        assert!(page.text("main").contains("No job matches"), "{}", page.text("main"));
    }
}

#[test]
fn order_and_pages() {
    let (_site, _database, daemon) = many();
    for look in both() {
        let page = daemon.page(&look);
        page.go("/");
        page.click("thead .name a");
        // Names run against the ids.
        wait_ids(&page, "the order of names", &(151..=250).rev().collect::<Vec<_>>());
        assert_eq!(page.count("th[aria-sort=ascending]"), 1);
        page.click("thead .name a");
        wait_ids(&page, "the order turned", &(1..=100).collect::<Vec<_>>());
        assert_eq!(page.count("th[aria-sort=descending]"), 1);
        page.click(".pager [rel=next]");
        wait_ids(&page, "the second page", &(101..=200).collect::<Vec<_>>());
        page.click(".pager [rel=next]");
        wait_ids(&page, "the last page", &(201..=250).collect::<Vec<_>>());
        assert_eq!(page.count(".pager [rel=next]"), 0);
        page.click(".pager [rel=prev]");
        wait_ids(&page, "the second page again", &(101..=200).collect::<Vec<_>>());
    }
}

#[test]
fn without_scripts_everything_works() {
    let (_site, _database, daemon) = many();
    let mut page = daemon.page(&Look { scripts: false, ..Look::default() });
    page.expect("404 (Not Found)");
    page.go("/?tag=2&sort=name&dir=desc");
    let before = ids(&page);
    page.leads_on(|| page.click("#j3 button[value=start]"));
    daemon.wait_job(3, "running", |job| job["running"] == 1);
    // Back where it was, with word of what was done.
    assert_eq!(ids(&page), before);
    assert!(page.text("#message").contains("Job 3 was started at "), "{}", page.text("#message"));
    assert_eq!(page.count("#j3 .st.running"), 1);
    // Loading it again does not start it again.
    page.call("Page.reload", serde_json::json!({}));
    page.wait("the page", "document.readyState === 'complete'");
    assert_eq!(daemon.runs(3).len(), 1);
    page.leads_on(|| page.click("#j3 button[value=stop]"));
    daemon.wait_job(3, "stopped", |job| job["running"] == 0);
    for id in [5, 7] {
        page.click(&format!("#j{id} input[type=checkbox]"));
    }
    page.leads_on(|| page.click("#sel button[value=start]"));
    for id in [5, 7] {
        daemon.wait_job(id, "running", |job| job["running"] == 1);
    }
    assert_eq!(ids(&page), before);
    // The other pages.
    page.leads_on(|| page.click("#j5 .name a"));
    assert_eq!(page.eval("location.pathname"), "/jobs/5");
    assert_eq!(page.count("#past .st.running"), 1);
    page.leads_on(|| page.click("form.act button[value=stop]"));
    daemon.wait_job(5, "stopped", |job| job["running"] == 0);
    assert_eq!(page.eval("location.pathname"), "/jobs/5");
    page.go("/log");
    page.leads_on(|| page.click("form.tools button:not([form], [hidden])"));
    assert!(page.text("body").contains("start job=5"), "{}", page.text("body"));
    page.go("/none");
    assert!(page.text("main").contains("404"), "{}", page.text("main"));
}

const ROWS: &str = "[...document.querySelectorAll('#rows tr')].map(row => row.id).join()";

/// A browser empties such a field by itself, and what is shown would be what was searched before.
#[test]
fn escape_leaves_a_search_as_it_is() {
    let (_site, _database, daemon) = truth::quiet();
    let page = truth::open(&daemon, "/");
    page.click("#q");
    page.type_text("job 1");
    page.wait("what was searched", &format!("{ROWS} === 'j1'"));
    // One that ends the writing of Chinese is no wish to leave the field.
    let composing = "new KeyboardEvent('keydown',
        { key: 'Escape', isComposing: true, bubbles: true, cancelable: true })";
    page.eval(&format!("document.activeElement.dispatchEvent({composing})"));
    assert_eq!(page.eval("document.activeElement.id"), "q");
    page.press("Escape");
    assert_eq!(page.eval("[document.activeElement.id, q.value].join()"), ",job 1");
    let page = truth::open(&daemon, "/log?follow=0");
    page.wait("the log", "document.querySelector('#out').innerText.length > 0");
    page.click("#grep");
    page.type_text("no line has this");
    page.press("Escape");
    assert_eq!(page.eval("[document.activeElement.id, grep.value].join()"), ",no line has this");
}

/// Links only know the list that is shown.
#[test]
fn what_is_not_shown_yet_counts_for_the_next_click() {
    let (_site, _database, daemon) = truth::quiet();
    let steps: [&[&str]; 3] = [
        &["type", ".states a.never"],
        &["type", "asked", "thead .name a"],
        &[".states a.never", "asked", "type"],
    ];
    for steps in steps {
        let page = truth::open(&daemon, "/");
        page.wait("the first page", "shown > 0");
        page.eval("hold = true");
        for step in steps {
            match *step {
                "type" => {
                    page.eval("document.querySelector('#q').focus()");
                    page.type_text("job 1");
                }
                "asked" => {
                    page.wait("the question", "held.length > 0");
                }
                link => {
                    page.eval(&format!("document.querySelector('{link}').click()"));
                }
            }
        }
        page.wait("the last question", &format!("held.length > {}", usize::from(steps.len() > 2)));
        page.eval("hold = false, held.splice(0).forEach(done => done()), 0");
        page.wait("the search", &format!("{ROWS} === 'j1'"));
        let address = page.eval("location.search").as_str().unwrap().to_owned();
        let wanted =
            if steps[steps.len() - 1].contains("name") { "sort=name" } else { "state=never" };
        assert!(address.contains("q=job+1") && address.contains(wanted), "{steps:?}: {address}");
        assert_eq!(page.eval("document.querySelector('#q').value"), "job 1", "{steps:?}");
        // The same list in another language.
        let links = "[...document.querySelectorAll('.look a[lang]')].every(it =>
            it.search.includes('q=job') && it.search.includes('lang='))";
        assert_eq!(page.eval(links), true, "{steps:?}");
    }
}

#[test]
fn a_jump_within_the_page_does_not_load_it_anew() {
    let (_site, _database, daemon) = truth::quiet();
    let page = truth::open(&daemon, "/");
    page.eval(
        "window.seen = true;
        addEventListener('popstate', () => setTimeout(() => { window.jumped = true; })), 0",
    );
    page.eval("document.querySelector('.skip').focus()");
    page.press("Enter");
    page.wait("the jump", "window.jumped || !window.seen");
    page.eval("new Promise(done => setTimeout(done, 300))");
    assert_eq!(page.eval("[window.seen, location.hash].join()"), "true,#main");
    page.eval("document.querySelector('.states a.never').click()");
    page.wait("the state", "location.search.includes('state=never')");
    page.back();
    assert_eq!(page.eval("location.search"), "");
}
