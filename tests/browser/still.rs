//! Nothing that comes by itself moves what can be pressed.

use crate::browser::site::{self, FAILS, LONG, NEVER, TICKS, WRITES};
use crate::browser::{Look, Page};
use crate::daemon::rows::{Due, Row};
use crate::daemon::{Daemon, Site};
use schedule::core::database::Driver;

const LIVE: &str = "document.querySelector('#live').classList.contains('on')";

/// Notes what lies under the middle of each control that is in sight.
const LOOK_AT: &str = "void (window.under = [...document.querySelectorAll(
        'main a, main button, main select, main input, header a')]
    .filter(it => it.checkVisibility() && it.type !== 'hidden').map(it => {
        const box = it.getBoundingClientRect();
        const x = box.x + Math.min(box.width / 2, 12), y = box.y + box.height / 2;
        const row = it.closest('tr')?.id ?? '', hit = document.elementFromPoint(x, y);
        return { x, y, seen: it.contains(hit), name: [row, it.tagName, it.name, it.value,
            it.tagName === 'A' ? it.className.split(' ')[1] ?? it.rel : ''].join() };
    }).filter(it => it.seen))";

/// What lies there now instead.
const MOVED: &str = "window.under.filter(({ x, y, name }) => {
        const it = document.elementFromPoint(x, y)?.closest('a, button, select, input');
        const row = it?.closest('tr')?.id ?? '';
        return !it || [row, it.tagName, it.name, it.value,
            it.tagName === 'A' ? it.className.split(' ')[1] ?? it.rel : ''].join() !== name;
    }).map(it => it.name)";

#[track_caller]
fn demand_still(page: &Page, what: &str) {
    let settled = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))";
    page.eval(settled);
    assert_eq!(page.eval(MOVED), serde_json::json!([]), "{what}");
}

fn looks() -> [Look; 4] {
    [1280, 1200, 1024, 390].map(|width| Look { width, ..Look::default() })
}

fn open(daemon: &Daemon, target: &str, look: &Look) -> Page {
    let page = daemon.page(look);
    page.go(target);
    page.wait("the stream", LIVE);
    page.eval(LOOK_AT);
    assert!(page.eval("window.under.length").as_u64().unwrap() > 5);
    page
}

#[test]
fn the_list_stays_where_it_is() {
    for look in looks() {
        let (_site, mut database, daemon) = site::sample();
        let page = open(&daemon, "/", &look);
        // Others start jobs; states, last runs and counts change.
        for id in [FAILS, LONG] {
            daemon.start_job(id);
        }
        page.wait("the failure", &format!("!!document.querySelector('#j{FAILS} .st.exited')"));
        let ran = format!("!!document.querySelector('#j{TICKS} .last time')");
        page.wait("the ticks", &ran);
        page.wait("counts", "/1/.test(document.querySelector('[data-d=running]').innerText)");
        demand_still(&page, "after runs");
        // A row that can't be a job: an alert, which waits until somebody asks.
        database.sql(&Row::new(70, Due::Never("nonsense"), "true").insert());
        page.wait("news", "document.querySelector('#hint button')?.innerText.includes('Show it')");
        demand_still(&page, "after an alert");
        // A row goes, and others come before it.
        database.sql(&format!("DELETE FROM scheduler_jobs WHERE id = {WRITES}"));
        let gone = format!("!!document.querySelector('#j{WRITES}.gone button[aria-disabled]')");
        page.wait("the row to be gone", &gone);
        demand_still(&page, "after a row went");
        page.eval("document.querySelector('#hint button').click()");
        page.wait("the new list", &format!("!document.querySelector('#j{WRITES}')"));
        assert!(page.text(".alerts").contains("70"), "{}", page.text(".alerts"));
        // What is wrong is over: the room stays.
        page.eval(LOOK_AT);
        database.sql("DELETE FROM scheduler_jobs WHERE id = 70");
        page.wait("the end of it", "!!document.querySelector('.alert.past')");
        demand_still(&page, "after the alert was over");
    }
}

/// What is wrong with a row takes more lines than its schedule: rows below it would move, and a
/// click start another job.
#[test]
fn rows_that_grow_or_shrink_wait() {
    for look in [1280, 1200, 1024, 820, 600, 390].map(|width| Look { width, ..Look::default() }) {
        let (site, mut database) = Site::on(Driver::Sqlite);
        let rows: Vec<Row> = (1..=6).map(|id| Row::new(id, NEVER, "true")).collect();
        let daemon = site::with(&site, &mut database, &rows);
        let page = open(&daemon, "/", &look);
        let set = |cron: &str, ids: &str| {
            format!("UPDATE scheduler_jobs SET cron = '{cron}' WHERE id IN ({ids})")
        };
        let width = look.width;
        database.sql(&set("61 0 1 1 *", "1,2"));
        let changed = "document.querySelector('#hint button')?.innerText.length > 0";
        page.wait("news", changed);
        demand_still(&page, &format!("after two rows became wrong, {width}"));
        page.click("#hint button");
        page.wait("both", "document.querySelectorAll('tr.invalid').length === 2");
        // And back, with another one.
        page.wait("no news", "document.querySelector('#hint').hidden");
        page.eval(LOOK_AT);
        database.sql(&set("0 0 1 1 *", "1"));
        database.sql(&set("a schedule that is none of any kind that is known here", "3"));
        page.wait("news again", changed);
        demand_still(&page, &format!("after one was mended, {width}"));
    }
}

/// One job turns wrong and right again, is disabled and enabled, while nobody does anything here.
#[test]
fn one_row_that_changes_moves_no_other() {
    for width in [1920, 1200, 1024, 390] {
        let (site, mut database) = Site::on(Driver::Sqlite);
        let rows: Vec<Row> = (1..=4).map(|id| Row::new(id, NEVER, "true")).collect();
        let daemon = site::with(&site, &mut database, &rows);
        let page = open(&daemon, "/", &Look { width, ..Look::default() });
        let told =
            "(document.querySelector('#j2.invalid') || !document.querySelector('#hint').hidden)";
        let over = format!("!{told} && !document.querySelector('#j2.gone')");
        let steps = [
            ("cron = '61 0 1 1 *'", told),
            ("cron = '0 0 29 2 *'", &over),
            ("cron = 'a schedule that is none of any kind that is known here'", told),
            ("cron = '0 0 29 2 *'", &over),
            ("status = 0", "!!document.querySelector('#j2.gone')"),
            ("status = 1", &over),
            (
                "max_concurrence = 10000",
                "document.querySelector('#j2 .runs').innerText.includes('/10000')",
            ),
        ];
        for (set, shown) in steps {
            database.sql(&format!("UPDATE scheduler_jobs SET {set} WHERE id = 2"));
            page.wait(set, shown);
            demand_still(&page, &format!("after {set}, {width}"));
        }
    }
}

/// A row that has to wait keeps no other one from changing.
#[test]
fn rows_below_one_that_waits_go_on() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows: Vec<Row> = (1..=4).map(|id| Row::new(id, NEVER, "true")).collect();
    let daemon = site::with(&site, &mut database, &rows);
    let page = open(&daemon, "/", &Look::default());
    database.sql("UPDATE scheduler_jobs SET cron = '61 0 1 1 *' WHERE id = 1");
    page.wait("news", "document.querySelector('#hint button')?.innerText.length > 0");
    database.sql("UPDATE scheduler_jobs SET name = 'renamed' WHERE id = 3");
    page.wait("the name", "document.querySelector('#j3').innerText.includes('renamed')");
    demand_still(&page, "after another row changed");
    assert_eq!(page.count("#j1.invalid"), 0);
}

/// A row that comes at the end has nothing below that can be pressed, or waits.
#[test]
fn a_further_row_moves_no_link_below() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows: Vec<Row> = (1..=3).map(|id| Row::new(id, NEVER, "true")).collect();
    let daemon = site::with(&site, &mut database, &rows);
    let page = open(&daemon, "/?per_page=2&page=2", &Look::default());
    database.sql(&Row::new(4, NEVER, "true").insert());
    let changed = "document.querySelector('#hint button')?.innerText.length > 0";
    page.wait("the row, or news", &format!("!!document.querySelector('#j4') || {changed}"));
    demand_still(&page, "after a row came");
    page.click("#hint button");
    page.wait("the row", "!!document.querySelector('#j4')");
}

#[test]
fn the_page_of_a_job_stays_where_it_is() {
    for look in looks() {
        let (site, mut database) = Site::on(Driver::Sqlite);
        let writes = "n=0; while [ $n -lt 300 ]; do n=$((n+1)); echo line $n; done; sleep 600";
        let rows = [Row::new(1, NEVER, writes).limit(9)];
        let daemon = site::with(&site, &mut database, &rows);
        daemon.start_job(1);
        let page = daemon.page(&look);
        page.go("/jobs/1");
        page.wait("the stream", LIVE);
        page.wait("its output", "document.querySelector('#out').innerText.includes('line 300')");
        // Where its run can be stopped is in sight.
        page.eval("document.querySelector('#past tbody button').scrollIntoView({block:'center'})");
        page.eval(LOOK_AT);
        let names = page.eval("window.under.map(it => it.name).join(' ')");
        assert!(names.as_str().unwrap().contains(",BUTTON,action,stop,"), "{names}");
        daemon.start_job(1);
        page.wait("news", "!!document.querySelector('#hint button')");
        demand_still(&page, "after a further run");
        page.click("#hint button");
        page.wait("both", "document.querySelectorAll('#past tbody .st.running').length === 2");
    }
}
