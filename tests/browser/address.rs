//! What is chosen of an output and of the log is in the address; what is ordered stays in order.

use crate::browser::site::{self, FAILS, LONG, NEVER};
use crate::browser::{Look, Page};
use crate::daemon::rows::{Due, Row};
use crate::daemon::{Daemon, Site};
use schedule::core::database::Driver;

const LIVE: &str = "document.querySelector('#live').classList.contains('on')";

fn run_of(daemon: &Daemon, id: u32, at: usize) -> String {
    daemon.runs(id)[at]["run_id"].as_str().unwrap().to_owned()
}

fn shows(text: &str) -> String {
    format!("document.querySelector('#out').innerText.includes('{text}')")
}

#[test]
fn a_link_opens_the_run_that_was_chosen() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows = [Row::new(1, NEVER, "echo I am $SCHEDULE_RUN_ID; echo bad $SCHEDULE_RUN_ID >&2")];
    let daemon = site::with(&site, &mut database, &rows);
    for _ in 0..3 {
        daemon.start_job(1);
        daemon.wait_job(1, "ended", |job| job["running"] == 0);
    }
    let page = daemon.open("/jobs/1");
    page.wait("the stream", LIVE);
    let middle = run_of(&daemon, 1, 1);
    page.click(&format!("a[data-run='{middle}'][data-stream=stderr]"));
    page.wait("the errors of that run", &shows(&format!("bad {middle}")));
    page.eval("void (document.querySelector('#lines').value = '2000')");
    let change = "document.querySelector('#lines').dispatchEvent(new Event('change'))";
    page.eval(change);
    page.click("#follow");
    let address = page.eval("location.pathname + location.search");
    let address = address.as_str().unwrap().to_owned();
    assert_eq!(address, format!("/jobs/1?run={middle}&stream=stderr&tail=2000&follow=0"));
    // Somebody else opens the link, with scripts and without.
    for scripts in [true, false] {
        let other = daemon.page(&Look { scripts, ..Look::default() });
        other.go(&address);
        let chosen = "document.querySelector('#which').value";
        let wanted = format!("/api/v1/runs/{middle}/output?stream=stderr");
        assert!(other.eval(chosen).as_str().unwrap().ends_with(&wanted[1..]), "{wanted}");
        assert_eq!(other.eval("document.querySelector('#lines').value"), "2000");
        assert_eq!(other.eval("document.querySelector('#follow').checked"), false);
        if scripts {
            other.wait("the errors of that run", &shows(&format!("bad {middle}")));
        } else {
            other.leads_on(|| other.click("form.tools button.plainly"));
            assert!(other.text("body").contains(&format!("bad {middle}")));
        }
    }
    // Without a stream it is the output; a run that is forgotten is no other one.
    page.go(&format!("/jobs/1?run={middle}"));
    page.wait("the output of that run", &shows(&format!("I am {middle}")));
    let mut page = daemon.page(&Look::default());
    page.expect("404 (Not Found)");
    page.go("/jobs/1?run=1-0s1y6z9c0000000008");
    page.wait("word of it", &shows("there is no run"));
    assert_eq!(page.eval(&shows("I am ")), false);
}

#[test]
fn what_is_chosen_of_the_log_is_in_the_address() {
    let (_site, _database, daemon) = site::sample();
    daemon.start_job(LONG);
    let page = daemon.open("/log");
    page.wait("the start", &shows(&format!("start job={LONG} ")));
    page.click("#grep");
    page.type_text(&format!("job={LONG}"));
    page.wait("the address", "location.search.includes('filter=')");
    let address = page.eval("location.pathname + location.search");
    let other = daemon.open(address.as_str().unwrap());
    other.wait("the start", &shows(&format!("start job={LONG} ")));
    assert_eq!(other.eval(&shows("begin: ")), false);
    other.go("/log?level=error&tail=100");
    assert_eq!(other.eval("document.querySelector('#level').value"), "error");
    assert_eq!(other.eval("document.querySelector('#lines').value"), "100");
}

#[test]
fn so_many_lines_are_followed_and_what_is_before_them_is_said() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let command = "i=0; while [ $i -lt 4000 ]; do i=$((i+1)); \
        echo line $i of a text that is as long as lines of an output often are; done";
    let daemon = site::with(&site, &mut database, &[Row::new(1, NEVER, command)]);
    daemon.start_job(1);
    daemon.wait_end(1);
    for lines in [500, 2000] {
        for follow in ["", "&follow=0"] {
            let page = daemon.open(&format!("/jobs/1?tail={lines}{follow}"));
            page.wait("the end", &shows("line 4000 "));
            let first = format!("line {} of", 4001 - lines);
            page.wait("the first line", &shows(&first));
            let shown = "document.querySelector('#out').innerText.trim().split('\\n')";
            assert_eq!(page.eval(&format!("{shown}.length")), lines + 1);
            let before = page.eval(&format!("{shown}[0]"));
            assert!(before.as_str().unwrap().contains("kB before this"), "{before}");
        }
    }
}

#[test]
fn what_has_no_value_is_last_both_ways() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows = [
        Row::new(1, Due::Never("no schedule"), "true"),
        Row::new(2, NEVER, "true"),
        Row::new(3, Due::Minute, "true").limit(0),
        Row::new(4, NEVER, "sleep 600"),
        Row::new(5, Due::Never("0 0 1 1 *"), "true"),
    ];
    let daemon = site::with(&site, &mut database, &rows);
    // One after the other: what counts is when they ended.
    for id in [2, 5] {
        daemon.start_job(id);
        daemon.wait_end(id);
    }
    daemon.start_job(4);
    daemon.wait_job(4, "started", |job| job["running"] == 1);
    let ids = |page: &Page| {
        page.eval("[...document.querySelectorAll('#rows tr')].map(it => it.id[1]).join('')")
    };
    let page = daemon.open("/");
    for (sort, first, turned) in
        [("last", "52134", "25134"), ("next", "52413", "24513"), ("runs", "41235", "41235")]
    {
        page.go(&format!("/?sort={sort}"));
        let order = ids(&page);
        let same = sort == "next" || order == first;
        assert!(same, "{sort}: {order}");
        if sort == "next" {
            assert_eq!(order.as_str().unwrap()[3..], first[3..], "{sort}");
        }
        page.go(&format!("/?sort={sort}&dir=desc"));
        let order = ids(&page);
        assert_eq!(order.as_str().unwrap()[3..], turned[3..], "{sort}, turned: {order}");
    }
    page.go("/?sort=last");
    assert_eq!(page.count("th.last[aria-sort=descending]"), 1, "the newest is first");
}

#[test]
fn a_run_that_was_stopped_by_hand_is_not_red() {
    let (_site, _database, daemon) = site::sample();
    daemon.start_job(LONG);
    let page = daemon.open("/");
    page.wait("the stream", LIVE);
    page.click(&format!("#j{LONG} button[value=stop]"));
    let row = format!("document.querySelector('#j{LONG}')");
    page.wait("its end", &format!("{row}.innerText.includes('stopped by hand, signal 15')"));
    assert_eq!(page.count(&format!("#j{LONG} .bad, #j{LONG} .exited")), 0);
    assert_eq!(page.text(&format!("#j{LONG} .st")), "stopped");
    page.go(&format!("/jobs/{LONG}"));
    assert!(page.text("#past").contains("stopped by hand, signal 15"), "{}", page.text("#past"));
    assert_eq!(page.count("#past .exited, #past .p-bad"), 0);
    assert_eq!(daemon.runs(LONG)[0]["stopped"], true);
    // One that ends itself is another matter.
    daemon.start_job(FAILS);
    assert_eq!(daemon.wait_end(FAILS)["stopped"], false);
}

#[test]
fn long_names_without_blanks_fit_at_every_width_and_in_print() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let long = "a_name_without_any_blank_".repeat(9);
    database.sql(&format!("INSERT INTO scheduler_tags (id, name) VALUES (9, '{}')", &long[..60]));
    let row = Row::new(1, NEVER, &"x".repeat(900)).named(&long[..200]).tag(9);
    let daemon = site::with(&site, &mut database, &[row]);
    daemon.start_job(1);
    daemon.wait_job(1, "ended", |job| job["running"] == 0);
    for width in [320, 390, 700, 861, 1024, 1280] {
        let page = daemon.page(&Look { width, ..Look::default() });
        for target in ["/", "/jobs/1", "/jobs/1/edit", "/jobs/new"] {
            page.go(target);
            // Paper is never as narrow as a phone.
            let media = ["screen", "print"].into_iter().take(if width < 640 { 1 } else { 2 });
            for media in media {
                page.call("Emulation.setEmulatedMedia", serde_json::json!({ "media": media }));
                let wide = page.eval("document.documentElement.scrollWidth").as_u64().unwrap();
                assert!(wide <= u64::from(width), "{target}, {media}: {wide} of {width}");
                // What people write in has room, and all that they press can be seen.
                let fields = "'.field input, .field textarea, .field .save *'";
                let hidden = format!(
                    "[...document.querySelectorAll({fields})].filter(it => it.checkVisibility())
                    .filter(it => {{
                        const {{ right, width }} = it.getBoundingClientRect();
                        return right > innerWidth || it.matches('[type=text]') && width < 180;
                    }}).map(it => it.name + it.textContent)"
                );
                assert_eq!(page.eval(&hidden), serde_json::json!([]), "{target}, {media}, {width}");
                // No text runs into what is beside it.
                let over = "[...document.querySelectorAll('.name a, .name em, h1, h1 em, .def dd')]
                    .filter(it => it.checkVisibility() && !it.matches('.away')).filter(it => {
                        const room = it.closest('th, .head, .def').getBoundingClientRect();
                        return [...it.getClientRects()].some(box => box.right > room.right + 1);
                    }).map(it => it.className + it.tagName)";
                assert_eq!(page.eval(over), serde_json::json!([]), "{target}, {media}, {width}");
            }
        }
    }
}
