//! Places are few and shared: nobody is locked out, whoever came first, and who has left has none.

use crate::web_common::{Bench, events, row};
use schedule::core::ids::ConnId;
use schedule::core::places::{Peer, Places};

const NEVER: &str = "0 0 1 1 *";

fn peer(address: &str) -> Peer {
    Peer::at(address.parse().unwrap())
}

#[track_caller]
fn is_displaced(bench: &mut Bench, conn: ConnId) {
    let text = bench.received(conn);
    assert!(text.contains("retry: 60000\nevent: displaced\ndata: {}\n\n"), "{text}");
    assert!(text.ends_with("0\r\n\r\n") && !bench.clients[&conn].is_streaming(), "{text}");
}

#[test]
fn who_has_most_gives_up_what_it_has_had_longest() {
    let (a, b, c) = (peer("10.0.0.1"), peer("10.0.0.2"), peer("10.0.0.3"));
    let mut places = Places::default();
    for (holder, peer) in [(1, b), (2, a), (3, a), (4, a), (5, b)] {
        places.take(holder, peer);
    }
    places.take(2, a);
    assert_eq!((places.len(), places.gives_way_to(c)), (5, Some(2)));
    assert!(places.leave(2) && !places.leave(2));
    // A newcomer counts with what it would have.
    assert_eq!(places.gives_way_to(b), Some(1));
    assert_eq!(places.gives_way_to(a), Some(3));
    // Where all have as much, the oldest place of all.
    assert_eq!(places.gives_way_to(c), Some(1));
    assert_eq!(Places::<u8>::default().gives_way_to(a), None);
}

#[test]
fn an_address_is_one_client_and_so_is_a_network_of_version_6() {
    assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
    assert_eq!(peer("10.0.0.1"), peer("::ffff:10.0.0.1"));
    assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
    assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
}

#[test]
fn followers_of_one_address_lock_nobody_out() {
    let mut bench = Bench::with(&[row(1, NEVER, "true")]);
    let target = "/api/v1/log?follow=1";
    bench.files.insert("log".into(), b"a line\n".to_vec());
    bench.peer = peer("10.0.0.9");
    let other = bench.stream(target);
    bench.peer = peer("10.0.0.1");
    let many: Vec<_> = (0..199).map(|_| bench.stream(target)).collect();
    bench.peer = peer("10.0.0.2");
    let late = bench.stream(target);
    is_displaced(&mut bench, many[0]);
    // Who has most displaces itself.
    bench.peer = peer("10.0.0.1");
    let more = bench.stream(target);
    is_displaced(&mut bench, many[1]);
    for conn in [other, late, more, many[2]] {
        assert!(bench.received(conn).contains("event: append"));
        assert!(bench.clients[&conn].is_streaming());
    }
    // Places of those that left are free at once.
    many[2..].iter().for_each(|conn| bench.leave(*conn));
    let again: Vec<_> = (0..197).map(|_| bench.stream(target)).collect();
    for conn in [other, late, more, again[0]] {
        assert!(bench.clients[&conn].is_streaming());
    }
    // A file that can't be shown takes no place.
    for _ in 0..300 {
        bench.get("/api/v1/jobs/1/output?follow=1").is(404);
    }
    assert!(bench.clients[&other].is_streaming());
}

#[test]
fn queries_of_one_address_lock_nobody_out() {
    let mut bench = Bench::with(&[row(1, NEVER, "true")]);
    bench.peer = peer("10.0.0.1");
    // The console's own, which others read too, and many that nobody else reads.
    let shared = bench.stream("/api/v1/events");
    let many: Vec<_> =
        (1..64).map(|n| bench.stream(&format!("/api/v1/events?per_page={n}"))).collect();
    bench.peer = peer("10.0.0.2");
    let console = bench.stream("/api/v1/events");
    let own = bench.stream("/api/v1/events?state=running");
    is_displaced(&mut bench, many[0]);
    for conn in [shared, console, own, many[1]] {
        assert!(bench.clients[&conn].is_streaming());
        bench.received(conn);
    }
    bench.post("/api/v1/jobs/1/start").is(200);
    bench.pass(250);
    for conn in [shared, console, own] {
        let heard = events(&bench.received(conn));
        assert!(heard.iter().any(|(event, _)| event == "job"), "{heard:?}");
    }
    // Who has left hears nothing, and nothing is made for it.
    let all = many[1..].iter().chain([&shared, &console, &own]);
    all.for_each(|conn| bench.leave(*conn));
    let before = bench.pushes;
    bench.post("/api/v1/jobs/1/stop").is(200);
    bench.pass(20_000);
    assert_eq!(bench.pushes, before);
}

#[test]
fn commands_that_wait_lock_nobody_out() {
    let mut bench = Bench::with(&[row(1, NEVER, "true")]);
    bench.silent = true;
    let sync = "POST /api/v1/sync HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    bench.peer = peer("10.0.0.1");
    let many: Vec<_> = (0..1_000).map(|_| bench.send(sync)).collect();
    bench.peer = peer("10.0.0.2");
    bench.post("/api/v1/jobs/1/start").is(200);
    let told = bench.received(many[0]);
    assert!(told.starts_with("HTTP/1.1 202 ") && told.contains("too many wait"), "{told}");
    assert!(!told.contains("it is done"), "nobody knows: {told}");
    // One has ended meanwhile; then who has gone makes room, and nobody is displaced.
    bench.leave(many[1]);
    let form = "POST /actions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\naction=sync";
    let waits = [bench.send(form), bench.send(form)];
    assert!(many[2..].iter().all(|conn| bench.clients[conn].output_bytes() == 0));
    // What is displaced next is of who has most.
    let last = bench.send(form);
    assert!(bench.received(many[2]).starts_with("HTTP/1.1 202 "));
    assert!(waits.iter().chain([&last]).all(|conn| bench.clients[conn].output_bytes() == 0));
}

#[test]
fn pages_of_other_sites_get_no_stream_and_no_file() {
    let mut bench = Bench::with(&[row(1, NEVER, "true")]);
    bench.files.insert("log".into(), b"a line\n".to_vec());
    let from =
        |site: &str, mode: &str| format!("Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: {mode}\r\n");
    let files = ["/api/v1/log", "/api/v1/log?follow=1", "/api/v1/log?download=1", "/api/v1/events"];
    for target in files {
        for site in ["cross-site", "same-site"] {
            bench.ask("GET", target, &from(site, "no-cors"), "").is(403);
        }
        for site in ["same-origin", "none"] {
            bench.ask("GET", target, &from(site, "cors"), "").is(200);
        }
        bench.get(target).is(200);
        // No browser says where it comes from on a plain connection beyond this machine.
        for origin in ["http://evil.example", "http://127.0.0.1:3402", "null"] {
            let headers = format!("Host: 127.0.0.1:3401\r\nOrigin: {origin}\r\n");
            bench.ask("GET", target, &headers, "").is(403);
        }
        let own = "Host: 127.0.0.1:3401\r\nOrigin: http://127.0.0.1:3401\r\n";
        bench.ask("GET", target, own, "").is(200);
        // For a picture there is not even that.
        bench.ask("GET", target, "Referer: http://evil.example/\r\n", "").is(403);
        bench.ask("GET", target, "Referer: http://127.0.0.1:3401/log\r\n", "").is(200);
    }
    // The original's page of the log: a link may lead to it, a script may not fetch it.
    bench.ask("GET", "/tail.php", &from("cross-site", "no-cors"), "").is(403);
    bench.ask("GET", "/tail.php", &from("cross-site", "navigate"), "").is(200);
    for frame in ["iframe", "frame", "embed", "object"] {
        let headers = format!("{}Sec-Fetch-Dest: {frame}\r\n", from("cross-site", "navigate"));
        bench.ask("GET", "/tail.php", &headers, "").is(403);
    }
    for (wanted, status) in [("image/avif,*/*", 403), ("text/html,*/*;q=0.8", 200)] {
        let headers = format!("Referer: http://wiki.example/\r\nAccept: {wanted}\r\n");
        bench.ask("GET", "/tail.php", &headers, "").is(status);
    }
}
