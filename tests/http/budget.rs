//! What clients hold together: counted, bounded, and given back by who keeps the daemon waiting.

use crate::http_common::{NOW, after, answers};
use mio::{Events, Poll, Token};
use schedule::core::http::{Body, Connection, Ledger, Limits, Response, Shared};
use schedule::core::time::Now;
use schedule::shell::server::Server;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(10);

fn asked(limits: &Rc<Limits>, ledger: &Rc<Ledger>) -> Connection {
    let mut connection = Connection::counted(limits, ledger, NOW);
    connection.receive(NOW, GET);
    connection.next_request().unwrap();
    connection
}

#[test]
fn what_is_shared_counts_once() {
    let (limits, ledger) = (Rc::default(), Rc::default());
    let page = Shared::new(vec![b'x'; 50_000]);
    let mut readers: Vec<_> = (0..3).map(|_| asked(&limits, &ledger)).collect();
    for reader in &mut readers {
        reader.respond(NOW, Response::new(200, "image/png", Body::Shared(Rc::clone(&page))));
        assert_eq!(ledger.held(), 50_000);
        assert!(reader.held_bytes() < 1_000);
        assert_eq!(reader.kept_waiting_since_ms(), Some(NOW.mono_ms));
    }
    while readers[0].output_bytes() > 0 {
        let count = readers[0].output().len();
        readers[0].sent(NOW, count);
    }
    assert_eq!((ledger.held(), readers[0].kept_waiting_since_ms()), (50_000, None));
    drop(readers);
    assert_eq!(ledger.held(), 0);
}

#[test]
fn bodies_wait_until_there_is_room() {
    let ledger = Rc::new(Ledger::new(1_000));
    let answer = |ledger| {
        let mut connection = Connection::counted(&Rc::default(), ledger, NOW);
        connection.receive(NOW, POST);
        connection.receive(NOW, b"hello");
        let has = connection.has_request();
        (has, answers(connection.output(), &[]).first().map(|answer| answer.status))
    };
    assert_eq!(answer(&ledger), (true, None));
    ledger.change(0, 1_001);
    assert_eq!(answer(&ledger), (false, Some(503)));
    // What has no body is served.
    assert!(asked(&Rc::default(), &ledger).respond(NOW, Response::text(200, "x")));
}

#[test]
fn a_body_in_pieces_is_whole_or_broken_off() {
    let (limits, ledger) = (Rc::default(), Rc::default());
    let begun = || Response::new(200, "text/plain", Body::Begun(vec![b'a'; 5], 12));
    let mut reader = asked(&limits, &ledger);
    reader.receive(NOW, GET);
    reader.respond(NOW, begun());
    assert!(!reader.push(NOW, b"early"), "what was begun is still to be taken");
    let mut all = Vec::new();
    let mut take = |reader: &mut Connection| {
        all.extend_from_slice(reader.output());
        let count = reader.output().len();
        reader.sent(NOW, count);
    };
    take(&mut reader);
    assert!(reader.wants_piece() && !reader.has_request() && !reader.is_settled());
    assert!(reader.push(NOW, b"bbbb"));
    take(&mut reader);
    assert!(reader.push(NOW, b"cccc"), "more than was said is cut");
    take(&mut reader);
    assert!(reader.has_request(), "the next one");
    let text = String::from_utf8(all).unwrap();
    assert!(text.contains("Content-Length: 12\r\n") && text.ends_with("\r\n\r\naaaaabbbbccc"));
    // Not whole: the connection ends, so that nobody takes it for whole.
    let mut reader = asked(&limits, &ledger);
    reader.respond(NOW, begun());
    reader.finish(NOW);
    assert!(reader.should_close());
    // A piece that never comes is not waited for.
    let mut reader = asked(&limits, &ledger);
    reader.respond(NOW, begun());
    reader.sent(NOW, reader.output().len());
    reader.timed_out(after(60_000));
    assert!(reader.should_close());
}

fn turn(poll: &mut Poll, server: &mut Server, now: Now) {
    let mut events = Events::with_capacity(256);
    poll.poll(&mut events, Some(Duration::from_millis(1))).unwrap();
    events.iter().for_each(|event| server.ready(event, now));
    server.expire(now);
}

/// Clients that ask and never read, and heads and bodies that never end.
#[test]
fn who_keeps_the_daemon_waiting_longest_gives_way() {
    const HELD: usize = 16 << 20;
    // More than the kernel takes for a client that does not read.
    const BODY: usize = 8 << 20;
    let limits = Limits { held_bytes: HELD, ..Limits::default() };
    let mut poll = Poll::new().unwrap();
    let mut server = Server::bind("127.0.0.1", 0, poll.registry(), Token(5), limits).unwrap();
    let address = server.local_addr().unwrap();
    let mut silent = Vec::new();
    let began = Instant::now();
    let mut most = 0;
    for n in 0..120_u64 {
        let now = after(n * 10);
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(60_000));
        let asks = if n % 3 == 0 { head.as_bytes() } else { GET };
        client.write_all(asks).unwrap();
        let before = server.stats().requests;
        let mut turns = 0;
        while turns < 5 || (n % 3 != 0 && server.stats().requests == before) {
            turn(&mut poll, &mut server, now);
            turns += 1;
            while let Some((id, _)) = server.next_request() {
                let body = Body::Bytes(vec![b'x'; BODY]);
                server.respond(now, id, Response::new(200, "image/png", body));
            }
            server.flush(now);
            most = most.max(server.held_bytes());
            assert!(began.elapsed() < PATIENCE);
        }
        silent.push(client);
    }
    assert!(most <= HELD + BODY, "{most} bytes were held");
    assert!(server.stats().gave_way > 20, "{:?}", server.stats());
    // The newest are served; the oldest were closed.
    silent[1].read_to_end(&mut Vec::new()).unwrap_or_default();
    let now = after(1_300);
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(GET).unwrap();
    let id = loop {
        turn(&mut poll, &mut server, now);
        if let Some((id, _)) = server.next_request() {
            break id;
        }
        assert!(began.elapsed() < PATIENCE);
    };
    assert!(server.respond(now, id, Response::text(200, "served")));
    server.flush(now);
    let mut text = [0; 15];
    client.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"HTTP/1.1 200 OK");
    // When all have gone, nothing is held.
    drop((client, silent));
    while server.stats().connections > 0 && began.elapsed() < PATIENCE {
        turn(&mut poll, &mut server, now);
        server.flush(now);
    }
    assert_eq!((server.stats().connections, server.held_bytes()), (0, 0));
}

/// The socket takes each piece at once: the next is asked for all the same.
#[test]
fn a_reader_that_keeps_up_gets_all_of_a_body() {
    const PIECE: usize = 100_000;
    const PIECES: usize = 30;
    let mut poll = Poll::new().unwrap();
    let limits = Limits::default();
    let mut server = Server::bind("127.0.0.1", 0, poll.registry(), Token(5), limits).unwrap();
    let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    client.write_all(GET).unwrap();
    client.set_nonblocking(true).unwrap();
    let (began, mut got, mut asked) = (Instant::now(), 0, 0);
    let mut room = vec![0; 1 << 20];
    while got <= PIECES * PIECE {
        assert!(began.elapsed() < PATIENCE, "{got} bytes came, {asked} pieces were asked for");
        turn(&mut poll, &mut server, NOW);
        while let Some(id) = server.next_hungry() {
            asked += 1;
            assert!(server.push(NOW, id, &[b'x'; PIECE]));
        }
        while let Some((id, _)) = server.next_request() {
            let body = Body::Begun(vec![b'x'; PIECE], (PIECES * PIECE) as u64);
            server.respond(NOW, id, Response::new(200, "image/png", body));
        }
        server.flush(NOW);
        got += client.read(&mut room).unwrap_or(0);
    }
    assert_eq!(asked, PIECES - 1);
}
