//! What a server takes at a time (`max_allowed_packet`) may be less than we would send: statements
//! get shorter, and a record that is too long by itself is no reason to keep the others.

use crate::common::TempDir;
use crate::common::database::{Kind, Parts, TestDatabase, mysql_conn};
use crate::common::helper::sync;
use crate::common::refusing::{Journal, runs};
use crate::daemon::server::Server;
use mysql::prelude::Queryable;
use schedule::core::database::ErrorKind;
use schedule::core::ids::{JobId, RunId};
use schedule::core::journal::{Cause, End, Entry, RunEntry, encode};
use schedule::core::outcome::{Outcome, Usage};
use schedule::shell::database::migrate;
use std::fs;
use std::io::{Read, Result, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::spawn;

/// On servers of its own, for the limit holds for all who use one.
#[test]
fn a_low_limit_costs_no_record() {
    for kind in Kind::servers() {
        let server = Server::start(kind);
        for test in [statements_get_shorter, one_too_long_is_set_aside, none_is_where_none_fits] {
            let database = TestDatabase::empty_on(kind, &server.config(), "CHARACTER SET utf8mb4");
            migrate::init(&database.config).unwrap();
            test(database, &|bytes| limit(&server, bytes));
            limit(&server, 1 << 24);
        }
    }
}

fn limit(server: &Server, bytes: u32) {
    // What fits in its buffer a server takes in any case.
    let buffer = bytes.min(16_384);
    let set = format!("max_allowed_packet = {bytes}, GLOBAL net_buffer_length = {buffer}");
    mysql_conn(&server.config()).query_drop(format!("SET GLOBAL {set}")).unwrap();
}

/// A run whose row is as long as one can be; longer than its INSERT is the UPDATE of its end.
fn longest(journal: &mut Journal, number: u64, ended: bool) {
    let text = "😀".repeat(300);
    let outcome = Outcome::SpawnFailed(text.as_str().into());
    let (at_ms, usage) = (1_795_326_125_000, Usage::default());
    let entry = Entry::Run(RunEntry {
        run: RunId { server_id: 1, sequence: number, instance: number },
        job: JobId(1),
        slot_ms: Some(at_ms),
        cause: Cause::Due,
        attempt: 1,
        at_ms,
        name: "n".into(),
        command: text.as_str().into(),
        md5: "".into(),
        concurrent: 1,
        pid: 9,
        kernel_start: 5,
        deadline_ms: None,
        kill_ms: None,
        end: ended.then_some(End { at_ms, outcome, usage, duration_ms: 0, stopped: false }),
        home: 0,
        remarks: None,
    });
    encode(&mut journal.bytes, &entry);
}

fn statements_get_shorter(mut database: TestDatabase, limit: &dyn Fn(u32)) {
    let mut expected = 0;
    for bytes in [65_536, 16_384, 4_096] {
        limit(bytes);
        let mut journal = Journal::new();
        let (first, last) = (expected + 1, expected + 500);
        let command = "数".repeat(250);
        (first..=last).for_each(|it| journal.named(it, it as u32, false, &command));
        assert_eq!(journal.carry(&database, false).1.count, 0, "{:?} {bytes}", database.kind);
        (first..=last).for_each(|it| journal.named(it, it as u32, true, &command));
        (1..=300).for_each(|job| journal.skip(job));
        longest(&mut journal, last + 1, true);
        assert_eq!(journal.carry(&database, false).1.count, 0, "{:?} {bytes}", database.kind);
        expected = last + 1;
    }
    assert_eq!(runs(&mut database), expected.to_string());
    let ended = "SELECT COUNT(*) FROM scheduler_logs WHERE outcome = 'exit 0'";
    assert_eq!(database.value(ended), "1500");
    assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_skips"), "300");
}

fn one_too_long_is_set_aside(mut database: TestDatabase, limit: &dyn Fn(u32)) {
    let mut journal = Journal::new();
    longest(&mut journal, 21, false);
    journal.carry(&database, false);
    (1..=20).for_each(|number| journal.run(number, 1, true));
    longest(&mut journal, 21, true);
    (22..=30).for_each(|number| journal.run(number, 1, true));
    limit(2_048);
    let (told, aside) = journal.carry(&database, false);
    assert_eq!((aside.count, told.len()), (1, 1), "{told:?}");
    let why = "max_allowed_packet at MySQL at socket ";
    assert!(told[0].contains(why) && told[0].contains(" is 2048: raise "), "{told:?}");
    let ended = "SELECT COUNT(*) FROM scheduler_logs WHERE outcome <> 'running'";
    assert_eq!(database.value(ended), "29");
    // What can't be done at all says what to do. No record is to blame: none was written.
    let reply = sync(&database.config, "");
    let (kind, why) = reply.error();
    assert!(kind == ErrorKind::Other && why.contains("raise max_allowed_packet"), "{why}");
    limit(1 << 24);
    assert_eq!(journal.carry(&database, true).1.count, 0);
    assert_eq!(database.value(ended), "30");
}

/// Where nothing fits, the limit is to blame.
fn none_is_where_none_fits(mut database: TestDatabase, limit: &dyn Fn(u32)) {
    let mut journal = Journal::new();
    (1..=5).for_each(|number| longest(&mut journal, number, false));
    journal.carry(&database, false);
    (1..=5).for_each(|number| longest(&mut journal, number, true));
    limit(2_048);
    let (kind, why) = journal.fails(&database);
    assert!(kind == ErrorKind::Unsure && why.contains(" is 2048: raise "), "{why}");
    assert!(!journal.set_aside());
    limit(1 << 24);
    assert_eq!(journal.carry(&database, false).1.count, 0);
    assert_eq!(runs(&mut database), "5");
}

/// Passes on what a client sends until a packet is longer than that: then it does as a server does.
fn gateway(server: String, limit: usize) -> (String, TempDir) {
    let dir = TempDir::new();
    let socket = dir.file("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    spawn(move || {
        for client in listener.incoming().map(Result::unwrap) {
            let server = UnixStream::connect(&server).unwrap();
            let mut back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            spawn(move || std::io::copy(&mut back.0, &mut back.1));
            spawn(move || pass(client, server, limit));
        }
    });
    (socket, dir)
}

fn pass(mut client: UnixStream, mut server: UnixStream, limit: usize) -> Result<()> {
    let mut head = [0; 4];
    while client.read_exact(&mut head).is_ok() {
        let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        let mut body = vec![0; length];
        client.read_exact(&mut body)?;
        if length > limit {
            let said = b"\xff\x81\x04#08S01Got a packet bigger than 'max_allowed_packet' bytes";
            client.write_all(&[said.len() as u8, 0, 0, head[3] + 1])?;
            client.write_all(said)?;
            break;
        }
        server.write_all(&[&head[..], &body].concat())?;
    }
    client.shutdown(Shutdown::Both)?;
    server.shutdown(Shutdown::Both)
}

/// The server does not tell of the limit then.
#[test]
fn what_something_on_the_way_refuses_is_tried_in_smaller_pieces() {
    for mut database in TestDatabase::each_server() {
        let (socket, dir) = gateway(database.config.server().unix_socket.clone(), 32 << 10);
        let direct = std::mem::replace(&mut database.config.server_mut().unix_socket, socket);
        let mut journal = Journal::new();
        (1..=400).for_each(|number| journal.run(number, 1, false));
        (1..=400).for_each(|number| journal.run(number, 1, true));
        assert_eq!(journal.carry(&database, false).1.count, 0);
        database.config.server_mut().unix_socket = direct;
        assert_eq!(runs(&mut database), "400");
        fs::remove_file(dir.file("socket")).unwrap();
    }
}
