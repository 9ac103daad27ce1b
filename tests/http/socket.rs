//! The server on real sockets, with clients of all manners.

use crate::serving;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::serving::{PATIENCE, everything, serve, until};
use mio::{Events, Poll, Token};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use schedule::core::http::{Limits, Response};
use schedule::core::time::Now;
use schedule::shell::server::Server;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const BIG: &[u8] = b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_connection_is_kept_and_closed_as_asked() {
    let server = serve(Limits::default());
    let mut client = server.client(GET);
    assert!(until(&mut client, "hello\n").starts_with("HTTP/1.1 200 OK\r\n"));
    client.write_all(&[GET, GET, GET].concat()).expect("to send");
    let answers = until(&mut client, "hello\n");
    assert!(!answers.contains("close"));
    until(&mut client, "hello\n");
    until(&mut client, "hello\n");
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("to send");
    assert!(everything(&mut client).ends_with("\r\nContent-Length: 6\r\n\r\nhello\n"));
}

#[test]
fn answers_of_a_later_turn_keep_their_order() {
    let server = serve(Limits::default());
    let later = b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = server.client(&[GET, later, GET, later].concat());
    for expected in ["hello\n", "later\n", "hello\n", "later\n"] {
        let answer = until(&mut client, expected);
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
}

#[test]
fn a_pipeline_longer_than_any_buffer_is_answered_in_full() {
    let server = serve(Limits::default());
    let client = server.client(b"");
    let mut writer = client.try_clone().expect("a second handle");
    let count = 5_000;
    let sender = std::thread::spawn(move || {
        for _ in 0..count / 100 {
            writer.write_all(&GET.repeat(100)).expect("to send");
        }
        writer.shutdown(Shutdown::Write).expect("to half-close");
    });
    let mut client = client;
    assert_eq!(everything(&mut client).matches("hello\n").count(), count);
    sender.join().expect("the sender");
}

#[test]
fn a_half_closed_client_gets_its_answer() {
    let server = serve(Limits::default());
    let mut client = server.client(&[GET, BIG].concat());
    client.shutdown(Shutdown::Write).expect("to half-close");
    let all = everything(&mut client);
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 2);
    assert!(all.len() > 96_600);
    let mut cut = server.client(b"GET / HT");
    cut.shutdown(Shutdown::Write).expect("to half-close");
    let answer = everything(&mut cut);
    assert!(answer.starts_with("HTTP/1.1 400 "));
    // What no page has made has it, too.
    assert!(answer.contains("\r\nCross-Origin-Resource-Policy: same-origin\r\n"), "{answer}");
}

#[test]
fn other_protocols_are_told_and_closed() {
    let server = serve(Limits::default());
    let tls = everything(&mut server.client(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03random"));
    assert!(tls.starts_with("HTTP/1.1 400 ") && tls.contains("http://"), "{tls}");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0d";
    assert!(everything(&mut server.client(preface)).starts_with("HTTP/1.1 505 "));
    server.wait_for_stats("connections: 1,");
}

#[test]
fn a_refused_upload_gets_its_answer_not_a_reset() {
    let server = serve(Limits::default());
    let mut client =
        server.client(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n");
    for _ in 0..80 {
        client.write_all(&[b'x'; 100_000]).expect("the server reads on");
    }
    client.shutdown(Shutdown::Write).expect("to half-close");
    assert!(everything(&mut client).starts_with("HTTP/1.1 413 "));
}

#[test]
fn a_client_that_never_reads_harms_nobody() {
    let server = serve(Limits::default());
    let mut greedy = server.client(b"");
    greedy.set_write_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    // Until the server stops reading: its queue, and both sockets' buffers, are full.
    while greedy.write_all(&BIG.repeat(1_000)).is_ok() {}
    for _ in 0..100 {
        assert!(server.get("/").ends_with("hello\n"));
    }
    // It reads after all, and what it sent whole is answered.
    let mut chunk = vec![0; 1 << 20];
    let mut read = 0;
    while read < 50 << 20 {
        let count = greedy.read(&mut chunk).expect("answers");
        assert!(count > 0, "closed after {read}");
        read += count;
    }
    drop(greedy);
    server.wait_for_stats("connections: 1,");
}

#[test]
fn resets_are_forgotten() {
    let server = serve(Limits::default());
    for bytes in [GET, BIG, b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / H", b""] {
        for _ in 0..20 {
            let client = server.client(bytes);
            // Closing with no linger time and unread data sends a reset.
            rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).expect("linger");
        }
    }
    server.wait_for_stats("connections: 1, streams: 0,");
}

#[test]
fn ten_thousand_short_connections_leave_nothing() {
    let server = serve(Limits::default());
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("/proc").count();
    server.wait_for_stats("connections: 1,");
    for round in 0..10_000 {
        let mut client = server.client(GET);
        match round % 4 {
            0 => drop(until(&mut client, "hello\n")),
            1 => {
                client.shutdown(Shutdown::Write).expect("to half-close");
                assert!(everything(&mut client).ends_with("hello\n"));
            }
            2 => drop(client),
            _ => {
                client.write_all(b"\0").expect("to send");
                assert!(everything(&mut client).contains("HTTP/1.1 400 "));
            }
        }
    }
    server.wait_for_stats("connections: 1,");
    // Other tests of this program have a few open as well.
    assert!(descriptors() < 1_000, "{} descriptors", descriptors());
}

#[test]
fn the_oldest_idle_connection_gives_way() {
    let server = serve(Limits { connections: 4, ..Limits::default() });
    let idle: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut client = server.client(GET);
            until(&mut client, "hello\n");
            client
        })
        .collect();
    let mut idle = idle.into_iter();
    let (mut first, mut second) = (idle.next().expect("one"), idle.next().expect("two"));
    // The first is used again, so the second waits longest.
    first.write_all(GET).expect("to send");
    until(&mut first, "hello\n");
    let mut fresh = server.client(GET);
    until(&mut fresh, "hello\n");
    assert_eq!(everything(&mut second), "", "the second is closed");
    first.write_all(GET).expect("to send");
    until(&mut first, "hello\n");
    // Clients that only pretend to send a request give way too.
    let _slow: Vec<TcpStream> = (0..20).map(|_| server.client(b"GET / HTTP/1.1\r\nX: ")).collect();
    assert!(server.get("/").ends_with("hello\n"));
}

/// Nobody loses an idle connection to an address that has more.
#[test]
fn idle_connections_of_others_stay() {
    let server = serve(Limits { connections: 8, ..Limits::default() });
    let mut kept: Vec<TcpStream> = (0..2).map(|_| idle(&server, 2)).collect();
    // Idle ones, and those that only begin.
    let _many: Vec<TcpStream> = (0..30).map(|_| idle(&server, 1)).collect();
    let _slow: Vec<TcpStream> = (0..30).map(|_| server.client(b"GET / HTTP/1.1\r\n")).collect();
    let _third = idle(&server, 3);
    kept.iter_mut().for_each(is_there);
    // Those that ask and read nothing: more than half of all.
    let mut busy: Vec<TcpStream> = Vec::new();
    for _ in 0..20 {
        busy.push(server.client(&BIG.repeat(200)));
        until(busy.last_mut().expect("one"), "\r\n\r\n");
    }
    kept.iter_mut().for_each(is_there);
    let mut other = idle(&server, 4);
    is_there(&mut other);
    kept.iter_mut().for_each(is_there);
}

/// Those who were told that there is no place are not in the way of who gets one.
#[test]
fn who_was_refused_keeps_no_other_address_out() {
    let limits = Limits { connections: 4, linger_ms: 60_000, ..Limits::default() };
    let server = serve(limits);
    let mut unread: Vec<TcpStream> = (0..4).map(|_| server.client(&BIG.repeat(200))).collect();
    unread.extend((0..8).map(|_| server.client(GET)));
    for client in &mut unread {
        until(client, "\r\n\r\n");
    }
    // A client is known to read nothing once all there is room for was sent to it.
    let has_place = (0..40).any(|_| {
        let mut other = server.client_from([127, 0, 0, 2], GET);
        unread.push(server.client(GET));
        until(&mut other, "\r\n\r\n").starts_with("HTTP/1.1 200 ")
    });
    assert!(has_place);
}

/// A connection of this address of the loopback network that was answered.
fn idle(server: &serving::Serving, last: u8) -> TcpStream {
    let mut client = server.client_from([127, 0, 0, last], GET);
    until(&mut client, "hello\n");
    client
}

#[track_caller]
fn is_there(client: &mut TcpStream) {
    client.write_all(GET).expect("to send");
    until(client, "hello\n");
}

#[test]
fn when_all_are_busy_a_new_client_is_told() {
    let server = serve(Limits { connections: 4, ..Limits::default() });
    let mut busy: Vec<TcpStream> = (0..4).map(|_| server.client(&BIG.repeat(200))).collect();
    for client in &mut busy {
        until(client, "\r\n\r\n");
    }
    for _ in 0..100 {
        let answer = server.get("/");
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After"), "{answer}");
    }
    drop(busy);
    server.wait_for_stats("HTTP/1.1 200 OK");
}

/// The address that has most gives way, by who has been reading nothing for longest.
#[test]
fn who_reads_nothing_gives_way_to_other_addresses() {
    let server = serve(Limits { connections: 8, ..Limits::default() });
    let mut unread: Vec<TcpStream> = (0..8).map(|_| server.client(&BIG.repeat(200))).collect();
    for client in &mut unread {
        until(client, "\r\n\r\n");
    }
    // Behind a proxy all have one address: there nobody takes another one's place.
    assert!(server.get("/").starts_with("HTTP/1.1 503 "));
    // Each keeps its place, so another one has to give up its own. Three have the first address in
    // the end, and one each of the others.
    for last in 2..8 {
        let deadline = Instant::now() + PATIENCE;
        // A client is known to read nothing once all there is room for was sent to it.
        let taken = std::iter::repeat_with(|| {
            let mut other = server.client_from([127, 0, 0, last], &BIG.repeat(200));
            until(&mut other, "\r\n\r\n").starts_with("HTTP/1.1 200 ").then_some(other)
        });
        let mut tries = taken.take_while(|_| Instant::now() < deadline);
        unread.push(tries.find_map(|taken| taken).expect("a place"));
    }
}

#[test]
fn streams_are_limited_and_live() {
    let server = serve(Limits { connections: 8, streams: 2, ..Limits::default() });
    let events = b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut streams: Vec<TcpStream> = (0..2).map(|_| server.client(events)).collect();
    for stream in &mut streams {
        assert!(until(stream, "\r\n\r\n").contains("text/event-stream"));
    }
    // The one that has its place longest gives it up, and is told.
    let mut third = server.client(events);
    until(&mut streams.remove(0), "event: displaced\ndata: {}\n\n\r\n0\r\n\r\n");
    until(&mut streams[0], "data: ");
    until(&mut third, "data: ");
    streams.push(third);
    drop(streams);
    server.wait_for_stats("streams: 0");
}

#[test]
fn time_runs_out() {
    let quick = Limits { idle_ms: 100, header_ms: 150, body_ms: 150, ..Limits::default() };
    let server = serve(quick);
    assert_eq!(everything(&mut server.client(b"")), "");
    let slow = everything(&mut server.client(b"GET / HTTP/1.1\r\n"));
    assert!(slow.starts_with("HTTP/1.1 408 "), "{slow}");
    let body = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel";
    assert!(everything(&mut server.client(body)).starts_with("HTTP/1.1 408 "));
}

const ZERO: Now = Now { wall_ms: 0, mono_ms: 0 };

/// The first half of a turn, with a clock that stands still.
fn poll_once(poll: &mut Poll, server: &mut Server) {
    let mut events = Events::with_capacity(16);
    let wait = server.next_deadline_ms().map(Duration::from_millis);
    poll.poll(&mut events, wait.or(Some(PATIENCE))).expect("events");
    events.iter().for_each(|event| server.ready(event, ZERO));
    server.expire(ZERO);
}

#[test]
fn an_answer_does_not_wait_for_the_next_one() {
    let mut poll = Poll::new().expect("a queue");
    let mut server =
        Server::bind("127.0.0.1", 0, poll.registry(), Token(5), Limits::default()).expect("bind");
    let mut client = TcpStream::connect(server.local_addr().expect("one")).expect("to connect");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.write_all(&[GET, GET].concat()).expect("to send");
    let first = loop {
        poll_once(&mut poll, &mut server);
        if let Some((id, _)) = server.next_request() {
            break id;
        }
    };
    server.respond(ZERO, first, Response::text(200, "first\n"));
    // The second is taken, and answered in a later turn: the first must be out by then.
    let (second, _) = server.next_request().expect("the second");
    server.flush(ZERO);
    until(&mut client, "first\n");
    assert!(server.respond(ZERO, second, Response::text(200, "second\n")));
    until(&mut client, "second\n");
}

/// The core hears at once of a client that waits no more for what it asked.
#[test]
fn who_has_gone_is_told_once() {
    let mut poll = Poll::new().expect("a queue");
    let mut server =
        Server::bind("127.0.0.1", 0, poll.registry(), Token(5), Limits::default()).expect("bind");
    let address = server.local_addr().expect("an address");
    let ask = |poll: &mut Poll, server: &mut Server| {
        let mut client = TcpStream::connect(address).expect("to connect");
        client.write_all(GET).expect("to send");
        loop {
            poll_once(poll, server);
            assert_eq!(server.next_gone(), None);
            if let Some((id, _)) = server.next_request() {
                break (client, id);
            }
        }
    };
    let (reader, streamed) = ask(&mut poll, &mut server);
    server.respond(ZERO, streamed, Response::event_stream());
    let (answered, plain) = ask(&mut poll, &mut server);
    server.respond(ZERO, plain, Response::text(200, "x"));
    let (waits, late) = ask(&mut poll, &mut server);
    drop(answered);
    drop(reader);
    let (mut gone, began) = (Vec::new(), Instant::now());
    while gone.is_empty() && began.elapsed() < PATIENCE {
        poll_once(&mut poll, &mut server);
        gone.extend(std::iter::from_fn(|| server.next_gone()));
    }
    assert_eq!(gone, [streamed], "an answered request is nobody's");
    // One that is told that there was no time for an answer.
    let minute = Now { wall_ms: 0, mono_ms: 60_000 };
    server.expire(minute);
    assert_eq!([server.next_gone(), server.next_gone()], [Some(late), None]);
    drop(waits);
}

#[test]
fn places_to_listen() {
    let poll = Poll::new().expect("a queue");
    let bind =
        |host: &str, port| Server::bind(host, port, poll.registry(), Token(1), Limits::default());
    for host in ["127.0.0.1", "localhost", "::1", "[::1]", "*", ""] {
        let server = bind(host, 0).unwrap_or_else(|error| panic!("{host}: {error}"));
        let port = server.local_addr().expect("an address").port();
        let target = if host.contains("::1") { "::1" } else { "127.0.0.1" };
        TcpStream::connect((target, port)).unwrap_or_else(|error| panic!("{host}: {error}"));
    }
    let first = bind("127.0.0.1", 0).expect("a server");
    let port = first.local_addr().expect("an address").port();
    let error = bind("127.0.0.1", port).expect_err("the port is taken").to_string();
    assert!(error.contains(&format!("127.0.0.1:{port}")) && error.contains("ss -ltnp"), "{error}");
    let error = bind("no-such-host.invalid", 0).expect_err("no such host").to_string();
    assert!(error.contains("no-such-host.invalid"), "{error}");
    let error = bind("192.0.2.1", 0).expect_err("not ours").to_string();
    assert!(error.contains("192.0.2.1") && error.contains("ip addr"), "{error}");
}

#[test]
fn a_listening_socket_changes_hands_without_losing_a_client() {
    let (mut poll, old_poll) = (Poll::new().expect("a queue"), Poll::new().expect("a queue"));
    let old = Server::bind("127.0.0.1", 0, old_poll.registry(), Token(5), Limits::default());
    let mut old = old.expect("a server");
    let address = old.local_addr().expect("an address");
    // Connects before and between: nobody accepts, nobody is refused.
    let mut before = TcpStream::connect(address).expect("to connect");
    let (socket, _) = old.hand_over(ZERO).expect("a descriptor");
    drop((old, old_poll));
    let mut between = TcpStream::connect(address).expect("to connect");
    let mut server =
        Server::adopt(socket, poll.registry(), Token(5), Limits::default()).expect("a server");
    for client in [&mut before, &mut between] {
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        client.write_all(GET).expect("to send");
    }
    let mut answered = 0;
    while answered < 2 {
        poll_once(&mut poll, &mut server);
        while let Some((id, _)) = server.next_request() {
            assert!(server.peer(id).is_some_and(|peer| peer.ip().is_loopback()));
            assert!(server.respond(ZERO, id, Response::text(200, "new\n")));
            answered += 1;
        }
        server.flush(ZERO);
    }
    server.close_idle(ZERO);
    for client in [&mut before, &mut between] {
        assert!(everything(client).ends_with("new\n"), "answered, then closed");
    }
}

/// A copy of the server's end of a connection: what a helper has that was just forked.
fn other_end(client: &TcpStream) -> TcpStream {
    let this = pidfd_open(getpid(), PidfdFlags::empty()).expect("this process");
    let ends = |stream: &TcpStream| Some((stream.local_addr().ok()?, stream.peer_addr().ok()?));
    let (ours, theirs) = ends(client).expect("a connection");
    let numbers = fs::read_dir("/proc/self/fd").expect("descriptors").flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let copies = numbers.filter_map(|n| pidfd_getfd(&this, n, PidfdGetfdFlags::empty()).ok());
    let mut streams = copies.map(TcpStream::from);
    streams.find(|stream| ends(stream) == Some((theirs, ours))).expect("the other end")
}

#[test]
fn news_of_a_closed_connection_does_not_reach_the_next_client() {
    let server = serve(Limits { linger_ms: 1, ..Limits::default() });
    let mut old = server.client(GET);
    until(&mut old, "hello\n");
    let copy = other_end(&old);
    old.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("to send");
    everything(&mut old);
    // Closed by the server, and alive by the copy.
    server.wait_for_stats("connections: 1,");
    let mut next: Vec<TcpStream> = (0..3).map(|_| server.client(GET)).collect();
    next.iter_mut().for_each(|client| drop(until(client, "hello\n")));
    drop(old);
    server.wait_for_stats("connections: 4,");
    for client in &mut next {
        client.write_all(GET).expect("to send");
        until(client, "hello\n");
    }
    drop(copy);
}
