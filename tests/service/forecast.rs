//! `schedule forecast`: asks the daemon that runs, wherever it is.

use crate::daemon::rows::{Due, Row};
use crate::service::{Groups, Said, answers_once};
use serde_json::Value;
use std::net::TcpListener;

const HOUR: [&str; 4] = ["--from", "2030-01-01T00:00:00Z", "--to", "2030-01-01T01:00:00Z"];

fn rows() -> [Row; 3] {
    let mut named = Row::new(7, Due::Never("30 * * * *"), "true");
    named.name = "每日备份".into();
    named.tag = 5;
    [
        Row::new(1, Due::Never("0,15 * * * *"), "true"),
        named,
        Row::new(9, Due::Never("@reboot"), "true"),
    ]
}

/// `schedule forecast WORDS`, without a configuration.
fn by_url(groups: &Groups, url: &str, more: &[&str]) -> Said {
    let mut command = groups.command(env!("CARGO_BIN_EXE_schedule"));
    let words = ["forecast", "--url", url];
    Said::of(&command.args(words).args(more).output().unwrap())
}

fn address(groups: &Groups) -> String {
    let said = groups.run(&["status", "1"]).out;
    said.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned()
}

#[test]
fn a_table_of_what_starts_and_what_is_counted() {
    let groups = Groups::with(&rows());
    groups.run(&["start", "1"]).expect(0, "started");
    let said = groups.run(&[&["forecast", "-s", "1"][..], &HOUR].concat());
    assert_eq!((said.code, &*said.err), (0, ""));
    assert_eq!(
        said.out,
        "SLOT                       JOB  NAME      USUALLY\n\
         2030-01-01T08:00:00+08:00  1    job 1     -\n\
         2030-01-01T08:15:00+08:00  1    job 1     -\n\
         2030-01-01T08:30:00+08:00  7    每日备份  -\n\
         \n\
         HOUR                       SLOTS\n\
         2030-01-01T08:00:00+08:00  3      ##############################\n\
         \n\
         3 slots from 2030-01-01T08:00:00+08:00 until 2030-01-01T09:00:00+08:00; most at once: 1 \
         run at 2030-01-01T08:00:00+08:00\n"
    );
    let said = groups.run(&[&["forecast", "-s1", "-n1"][..], &HOUR].concat());
    said.expect(0, ", the first 1 is shown (-n); most").expect(0, "  3  ");
    let said = groups.run(&[&["forecast", "-s1", "--tag=5"][..], &HOUR].concat());
    said.expect(0, "1 slot from").expect(0, "每日备份");
    let said = groups.run(&[&["forecast", "-s1", "--json"][..], &HOUR].concat());
    let told: Value = serde_json::from_str(&said.expect(0, "").out).unwrap();
    assert_eq!((&told["total"], &told["slots"][2]["job_id"]), (&3.into(), &7.into()));
    // Of itself a day from now.
    groups.run(&["forecast", "-s1"]).expect(0, "72 slots from ");
    let minute = ["--from=2030-01-01T00:01:00Z", "--to", "2030-01-01T00:02:00Z"];
    let said = groups.run(&[&["forecast", "-s1"][..], &minute].concat());
    assert_eq!(
        said.expect(0, "").out,
        "nothing starts from 2030-01-01T08:01:00+08:00 until 2030-01-01T08:02:00+08:00\n"
    );
    let url = format!("http://{}", address(&groups));
    for url in [url.clone(), format!("{url}/"), url.replace("127.0.0.1", "localhost")] {
        by_url(&groups, &url, &HOUR).expect(0, "3 slots from");
    }
    // Not a daemon's path.
    by_url(&groups, &format!("{url}/schedule"), &[]).expect(1, "there is no such page");
}

#[test]
fn each_way_to_fail_has_its_status() {
    let groups = Groups::with(&rows());
    groups.run(&["forecast", "-s1"]).expect(3, "server 1: not running: `schedule start 1 -c ");
    groups.run(&["forecast"]).expect(2, "several groups: say which by -s, one of 1, 2");
    groups.run(&["forecast", "-s9"]).expect(2, "no [server_9]");
    groups.run(&["forecast", "-s0"]).expect(2, "it must be a whole number, 1 or more");
    groups.run(&["forecast", "-s1", "--from=soon"]).expect(2, "\"soon\" is not an instant; write");
    groups.run(&["forecast", "-s1", "-n0"]).expect(2, "it must be a whole number, 1 to 10000");
    groups.run(&["forecast", "-s1", "--url=http://a"]).expect(2, "cannot be used with");
    for url in ["127.0.0.1:3401", "https://127.0.0.1:1", "http://", "http://a b", "http://a?b"] {
        by_url(&groups, url, &[]).expect(2, "http");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    by_url(&groups, &format!("http://{nobody}"), &[]).expect(3, "no daemon answers: 127.0.0.1:");
    by_url(&groups, "http://no-such-host.invalid:1", &[]).expect(3, "no-such-host.invalid");
    groups.edit("[server_2]\nport = 0\n", "");
    groups.run(&["forecast"]).expect(3, "server 1: not running");
    groups.run(&["start", "1"]).expect(0, "started");
    // The only group need not be named.
    groups.run(&["forecast"]).expect(0, "slots from");
    groups.run(&["forecast", "--tag=x"]).expect(1, "tag: `x` is no tag");
    groups.run(&["forecast", "--to=2026-01-01T00:00:00Z"]).expect(1, "later than `from`");
}

/// A server that is none of ours, and one that answers half.
#[test]
fn what_is_no_answer_of_a_daemon_is_told() {
    let groups = Groups::new();
    let answers = [
        ("HTTP/1.1 200 OK\r\n\r\n<html>", 1, "the answer is none of a daemon"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", 3, "it hung up before it had answered"),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", 4, "the daemon answers: HTTP/1.1 403 Forbidden"),
        ("HTTP/1.1 500 \u{1b}[2J\r\n\r\n", 1, "HTTP/1.1 500 ?[2J"),
        ("SSH-2.0\r\n\r\n", 3, "SSH-2.0"),
        ("", 3, "it hung up before it had answered"),
    ];
    for (answer, code, why) in answers {
        let (url, asked) = answers_once(answer);
        by_url(&groups, &format!("{url}/below/"), &["--tag", "a b"]).expect(code, why);
        let asked = asked.join().unwrap();
        assert!(
            asked.starts_with("GET /below/api/v1/forecast?limit=100&tag=a%20b HTTP/1."),
            "{asked}"
        );
    }
}
