//! A small HTTP client: one request a connection, the answer taken apart strictly.

use super::{Daemon, SOON, wait_for};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    /// Takes an answer apart; its body must be as long as it says.
    pub fn parse(bytes: &[u8], method: &str) -> Self {
        let text = std::str::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer with a head");
        let mut lines = head.split("\r\n");
        let first: Vec<_> = lines.next().unwrap().splitn(3, ' ').collect();
        assert_eq!(first[0], "HTTP/1.1");
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        let headers = lines.map(header).collect();
        let reply = Self { status: first[1].parse().unwrap(), headers, body: body.to_owned() };
        if method != "HEAD" && reply.status != 204 {
            let length = reply.header("content-length").expect("an answer with a length");
            assert_eq!(length.parse(), Ok(body.len()), "{text}");
        }
        reply
    }

    /// The value of a header; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, which it must say that it is.
    #[track_caller]
    pub fn json(&self) -> Value {
        let kind = self.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/") && kind.ends_with("json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Daemon {
    /// Sends a request without a body and reads the answer up to the end of the connection.
    pub fn request(&self, method: &str, target: &str) -> Reply {
        self.send(method, target, "", "")
    }

    /// The same with more header lines, each with its line end, and a body.
    pub fn send(&self, method: &str, target: &str, headers: &str, body: &str) -> Reply {
        let (address, length) = (self.address, body.len());
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\
             {headers}Connection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Reply::parse(&bytes, method)
    }

    pub fn get(&self, target: &str) -> Reply {
        self.request("GET", target)
    }

    /// The JSON of a page that must be there.
    #[track_caller]
    pub fn json(&self, target: &str) -> Value {
        let reply = self.get(target);
        assert_eq!(reply.status, 200, "{target}: {reply:?}");
        reply.json()
    }

    /// A figure of `/metrics` that is a whole number. Those of the process are a second old.
    #[track_caller]
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics").body;
        let mut lines = metrics.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
    }

    pub fn status(&self) -> Value {
        self.json("/api/v1/status")
    }

    /// The view of a job; none if it has no row.
    pub fn job(&self, id: u32) -> Option<Value> {
        let reply = self.get(&format!("/api/v1/jobs/{id}"));
        (reply.status == 200).then(|| reply.json())
    }

    /// Waits until the view of a job is as wanted.
    #[track_caller]
    pub fn wait_job(&self, id: u32, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let what = format!("job {id} to be {what}");
        wait_for(&what, SOON, || self.job(id).filter(|job| is(job)))
    }

    /// Waits until a job is not in force any more: its row is gone, or disabled, and it has no run.
    #[track_caller]
    pub fn wait_gone(&self, id: u32) {
        let what = format!("job {id} to be gone");
        wait_for(&what, SOON, || {
            self.job(id).is_none_or(|job| job["state"] == "disabled").then_some(())
        });
    }

    /// Waits until so many jobs are in force.
    #[track_caller]
    pub fn wait_jobs(&self, count: u64) {
        let what = format!("{count} jobs");
        wait_for(&what, SOON, || (self.status()["jobs"] == count).then_some(()));
    }

    /// The runs of a job, newest first.
    pub fn runs(&self, id: u32) -> Vec<Value> {
        let answer = self.json(&format!("/api/v1/jobs/{id}/runs"));
        answer["runs"].as_array().unwrap().clone()
    }
}
