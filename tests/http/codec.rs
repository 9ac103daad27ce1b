//! The codec: each case of the corpus whole, cut everywhere, and trickling in.

use crate::http_common;
use crate::http_common::{Outcome, answers, corpus, feed, whole};
use schedule::core::http::Limits;

#[test]
fn every_case_gets_what_is_due_to_it() {
    for (name, bytes, statuses, closed) in corpus::all() {
        let outcome = whole(bytes);
        assert_eq!(outcome.statuses(), *statuses, "{name}: {outcome:?}");
        assert_eq!(outcome.closed, *closed, "{name}: {outcome:?}");
    }
}

#[test]
fn every_cut_gives_the_same() {
    for (name, bytes, ..) in corpus::all() {
        let expected = whole(bytes);
        for at in 0..=bytes.len() {
            let (left, right) = bytes.split_at(at);
            let outcome = feed([left, right], false, Limits::default());
            assert_eq!(outcome, expected, "{name} cut at {at}");
        }
        let trickled = feed(bytes.chunks(1), false, Limits::default());
        assert_eq!(trickled, expected, "{name} byte by byte");
    }
}

#[test]
fn every_prefix_is_quiet_or_decided() {
    for (name, bytes, ..) in corpus::all() {
        let full = whole(bytes).output;
        for at in 0..bytes.len() {
            let part = whole(&bytes[..at]).output;
            assert!(full.starts_with(&part), "{name}: the first {at} bytes are answered otherwise");
        }
    }
}

#[test]
fn an_end_in_the_middle_is_told_and_ends_the_connection() {
    for (name, bytes, statuses, _) in corpus::GOOD {
        for at in 0..=bytes.len() {
            let outcome = feed([&bytes[..at]], true, Limits::default());
            assert!(outcome.closed, "{name}: open after the end at {at}");
            let found = outcome.statuses();
            let complete = found.iter().take_while(|status| **status != 400).count();
            assert!(found.len() - complete <= 1, "{name}: {found:?}");
            assert_eq!(found[..complete], statuses[..complete], "{name} at {at}");
            assert!(at < bytes.len() || found == *statuses, "{name}: {found:?}");
        }
    }
}

#[test]
fn requests_are_understood() {
    let requests = |name: &str| {
        let case = corpus::all().find(|case| case.0 == name).expect("a case of this name");
        whole(case.1).requests.join("\n")
    };
    assert_eq!(
        requests("absolute"),
        r#"Get /x ?y 1.1 @b:80 ["Host=a"] """#,
        "the target names the host, not Host (RFC 9112 §3.2.2)"
    );
    assert_eq!(requests("absolute bare"), r#"Get / ? 1.1 @b ["Host=a"] """#);
    assert_eq!(requests("spaces around value"), r#"Get / ? 1.1 @a ["Host=a"] """#);
    assert_eq!(
        requests("chunked"),
        r#"Post / ? 1.1 @a ["Host=a", "Transfer-Encoding=Chunked"] "hello, the world""#
    );
    assert_eq!(
        requests("pipeline"),
        "Get /1 ? 1.1 @a [\"Host=a\"] \"\"\n\
         Post /2 ? 1.1 @a [\"Host=a\", \"Content-Length=3\"] \"abc\"\n\
         Get /3 ? 1.1 @a [\"Host=a\"] \"\""
    );
}

#[test]
fn paths_and_queries_are_decoded() {
    let take = |target: &str| {
        let limits = std::rc::Rc::new(Limits::default());
        let mut connection = schedule::core::http::Connection::new(&limits, http_common::NOW);
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        connection.receive(http_common::NOW, bytes.as_bytes());
        connection.next_request().expect("a request")
    };
    let request = take("/a%20b/%E5%A4%87+/?id=1&id=2&a[]=x&=y&n&p=%zz%2&s=a+b%2B&u=%ff");
    assert_eq!(request.path(), "/a b/备+/");
    assert_eq!(request.segments(), ["a b", "备+", ""]);
    assert_eq!(request.query("id").as_deref(), Some("2"), "the last one, as PHP has it");
    assert_eq!(request.query("a"), None, "a[] is another name than a");
    assert_eq!(request.query("a[]").as_deref(), Some("x"));
    assert_eq!(request.query("n").as_deref(), Some(""));
    assert_eq!(request.query("p").as_deref(), Some("%zz%2"));
    assert_eq!(request.query("s").as_deref(), Some("a b+"));
    assert_eq!(request.query("u").as_deref(), Some("\u{fffd}"));
    assert_eq!(request.query_pairs().count(), 8);
    assert_eq!(take("//x/").segments(), ["", "x", ""]);
    assert_eq!(take("/x??a=1").query("?a").as_deref(), Some("1"));
}

#[test]
fn keep_alive_can_be_switched_off() {
    let limits = Limits { keep_alive: false, ..Limits::default() };
    let two = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let outcome = feed([two.as_slice()], false, limits);
    assert_eq!(outcome.statuses(), [200]);
    assert!(outcome.closed);
    let answer = &answers(&outcome.output, &outcome.requests)[0];
    assert_eq!(answer.header("connection"), Some("close"));
}

#[test]
fn connection_says_what_will_happen() {
    let said = |name: &str| {
        let case = corpus::all().find(|case| case.0 == name).expect("a case of this name");
        let Outcome { output, requests, .. } = whole(case.1);
        answers(&output, &requests)[0].header("connection").map(str::to_owned)
    };
    assert_eq!(said("get"), None);
    assert_eq!(said("1.0").as_deref(), Some("close"));
    assert_eq!(said("1.0 keep-alive").as_deref(), Some("keep-alive"));
    assert_eq!(said("close").as_deref(), Some("close"));
    assert_eq!(said("no host").as_deref(), Some("close"));
}

#[test]
fn a_bad_head_request_gets_no_body() {
    let case = corpus::BAD.iter().find(|case| case.0 == "bad head request").expect("the case");
    let output = whole(case.1).output;
    assert!(output.ends_with(b"\r\n\r\n"), "{}", String::from_utf8_lossy(&output));
}
