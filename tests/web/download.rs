//! Files of any size, read as their readers take them.

use crate::web_common::{Bench, row};

const NEVER: &str = "0 0 1 1 *";
const TARGET: &str = "/api/v1/jobs/1/output";

fn bench(file: Vec<u8>) -> Bench {
    let mut job = row(1, NEVER, "true");
    job.output = "/o".into();
    let mut bench = Bench::with(&[job]);
    bench.files.insert("/o".into(), file);
    bench
}

fn lines(count: usize) -> String {
    (0..count).map(|n| format!("line {n:>20}\n")).collect()
}

fn request(method: &str, query: &str) -> String {
    format!("{method} {TARGET}{query} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

#[test]
fn a_download_is_all_of_the_file_in_pieces() {
    let text = lines(200_000);
    let mut bench = bench(text.clone().into());
    let reply = bench.get(&format!("{TARGET}?download=1")).is(200).clone();
    assert_eq!(reply.header("content-length").unwrap(), text.len().to_string());
    assert!(reply.body == text, "{} of {} bytes", reply.body.len(), text.len());
    assert!(bench.most_held < 300_000, "{} bytes were held", bench.most_held);
    assert!(bench.reads >= 40, "{} pieces", bench.reads);
    // Nothing is left of it: a follower on the same connection gets what is its own.
    let reads = bench.reads;
    bench.pass(5_000);
    assert_eq!(bench.reads, reads);
}

#[test]
fn many_lines_are_sent_in_pieces_too() {
    let text = lines(200_000);
    let mut bench = bench(text.clone().into());
    let reply = bench.get(&format!("{TARGET}?tail=30000")).is(200).clone();
    assert!(text.ends_with(&reply.body) && reply.body.lines().count() == 30_000);
    assert!(bench.most_held < 300_000, "{} bytes were held", bench.most_held);
    let few = bench.get(&format!("{TARGET}?tail=3")).is(200).clone();
    assert_eq!(few.body.lines().count(), 3);
}

#[test]
fn what_is_written_meanwhile_is_left_out() {
    let text = lines(20_000);
    let mut bench = bench(text.clone().into());
    let conn = bench.send(&request("GET", "?download=1"));
    bench.files.get_mut("/o").unwrap().extend_from_slice(b"more\n");
    assert!(bench.received(conn).ends_with(&format!("\r\n\r\n{text}")));
    assert!(bench.clients[&conn].is_idle(), "it is whole, and the connection goes on");
}

#[test]
fn a_file_that_is_cleared_meanwhile_is_broken_off() {
    let mut bench = bench(lines(20_000).into());
    let conn = bench.send(&request("GET", "?download=1"));
    bench.files.insert("/o".into(), b"short\n".to_vec());
    let text = bench.received(conn);
    assert!(!text.contains("short"), "nothing of another file");
    assert!(bench.clients[&conn].should_close());
}

#[test]
fn a_head_of_a_download_has_its_length_and_no_pieces() {
    let text = lines(20_000);
    let mut bench = bench(text.clone().into());
    let conn = bench.send(&request("HEAD", "?download=1"));
    let head = bench.received(conn);
    assert!(head.contains(&format!("Content-Length: {}\r\n", text.len())), "{head}");
    assert!(head.ends_with("\r\n\r\n") && bench.clients[&conn].is_idle());
}

#[test]
fn a_reader_that_leaves_has_nothing_read() {
    let mut bench = bench(lines(20_000).into());
    let conn = bench.send(&request("GET", "?download=1"));
    let reads = bench.reads;
    bench.pass(60_000);
    assert_eq!(bench.reads, reads, "who takes nothing gets nothing more");
    bench.leave(conn);
    bench.core.handle(bench.now, schedule::core::event::Event::PieceWanted(conn));
    bench.turn();
    assert_eq!(bench.reads, reads);
}
