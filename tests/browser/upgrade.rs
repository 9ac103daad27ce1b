//! Pages whose place another took, and pages that are older than their daemon: both say so, and go
//! on when somebody wants that.

use crate::browser::site::{self, WRITES};
use crate::browser::{Look, Page};
use crate::daemon::Daemon;
use std::io::{Read, Write};
use std::net::TcpStream;

const LIVE: &str = "document.querySelector('#live').classList.contains('on')";
const LAST_LINE: &str = "document.querySelector('#out').lastChild?.textContent ?? ''";

/// So many streams, each of them answered by now.
fn streams(daemon: &Daemon, count: usize, target: impl Fn(usize) -> String) -> Vec<TcpStream> {
    let stream = |n| {
        let mut stream = TcpStream::connect(daemon.address).unwrap();
        let target = target(n);
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address).unwrap();
        let mut head = [0; 15];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        stream
    };
    (0..count).map(stream).collect()
}

fn button_of(page: &Page, place: &str, said: &str) {
    let button = format!("document.querySelector('{place} button')?.innerText === 'Go on now'");
    page.wait("a button", &button);
    assert!(page.text(place).contains(said), "{}", page.text(place));
}

#[test]
fn a_console_without_its_place_says_so_and_takes_it_up_again() {
    for width in [1280, 390] {
        let (_site, _database, daemon) = site::sample();
        let page = daemon.page(&Look { width, ..Look::default() });
        page.go("/");
        page.wait("the stream", LIVE);
        let below = "document.querySelector('#bar').getBoundingClientRect().bottom";
        let before = page.eval(below);
        let others = streams(&daemon, 64, |n| format!("/api/v1/events?per_page={}", n + 1));
        button_of(&page, "#live", "Others need this place");
        assert_eq!(page.eval(below), before, "what is below has moved");
        assert_eq!(page.eval(LIVE), false);
        page.click("#live button");
        page.wait("the stream again", LIVE);
        assert_eq!(page.count("#live button"), 0);
        drop(others);
    }
}

#[test]
fn a_follower_without_its_place_says_so_and_takes_it_up_again() {
    let (_site, _database, daemon) = site::sample();
    daemon.request("POST", &format!("/api/v1/jobs/{WRITES}/start"));
    let page = daemon.open(&format!("/jobs/{WRITES}"));
    page.wait("lines", "document.querySelector('#out').innerText.includes('line 3')");
    let target = format!("/api/v1/jobs/{WRITES}/output?follow=1");
    let others = streams(&daemon, 200, |_| target.clone());
    button_of(&page, "#out", "others need this place");
    // What was there stays.
    assert!(page.text("#out").contains("line 3"), "{}", page.text("#out"));
    page.click("#out button");
    page.wait("the notice to go", "!document.querySelector('#out button')");
    let before = page.eval(LAST_LINE);
    page.wait("further lines", &format!("({LAST_LINE}) !== {before}"));
    drop(others);
}

#[test]
fn a_page_that_is_older_than_the_daemon_offers_to_be_loaded_anew() {
    let (_site, mut database, daemon) = site::sample();
    for target in ["/", "/jobs/3"] {
        let page = daemon.open(target);
        page.wait("the stream", LIVE);
        assert_eq!(page.count("#hint button"), 0);
        // Pages have another script from now on, as after an upgrade.
        page.eval(
            "const real = window.fetch;
            window.fetch = async (...asked) => {
                const answer = await real(...asked);
                const text = (await answer.text()).replaceAll('console.js', 'another.js');
                const { status, headers } = answer;
                const made = new Response(text, { status, headers });
                Object.defineProperty(made, 'url', { value: answer.url });
                return made;
            }; void 0",
        );
        database.sql(&format!("UPDATE scheduler_jobs SET name = 'from {target}' WHERE id = 3"));
        let offered = "document.querySelector('#hint button')?.innerText
            === 'The daemon was upgraded. Reload this page'";
        page.wait("the offer", offered);
        page.leads_on(|| page.click("#hint button"));
        page.wait("the stream", LIVE);
        assert_eq!(page.count("#hint button"), 0);
    }
}
