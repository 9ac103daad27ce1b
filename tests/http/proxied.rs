//! nginx in front of the real daemon, with `conf/nginx.conf`: pages, API, changes, events.

use crate::common::database::TestDatabase;
use crate::daemon::rows::{Due, Row};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use crate::nginx::{NAME, Nginx};
use schedule::core::database::Driver;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// A daemon that knows its public name, behind nginx, with one job that runs until it is stopped.
fn proxied() -> (Site, TestDatabase, Daemon, Nginx) {
    let (mut site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&Row::new(1, Due::Never("0 0 29 2 *"), "sleep 600").insert());
    site.server = format!("names = {NAME}\n");
    let daemon = site.start();
    daemon.wait_jobs(1);
    let nginx = Nginx::before(daemon.address);
    (site, database, daemon, nginx)
}

/// Sends a request as a browser does that shows `http://HOST/`; returns status and body.
fn ask(address: SocketAddr, method: &str, target: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let head = format!("{method} {target} HTTP/1.1\r\n{headers}Content-Length: 0\r\n");
    write!(stream, "{head}Connection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer with a head");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn host() -> String {
    format!("Host: {NAME}\r\n")
}

#[test]
fn pages_and_kept_connections() {
    let (_site, _database, daemon, nginx) = proxied();
    for _ in 0..20 {
        let (status, body) = ask(nginx.address, "GET", "/api/v1/jobs/1", &host());
        assert_eq!(status, 200, "{body}");
        let job: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(job["command"], "sleep 600");
        let page = format!("{}Accept: text/html\r\n", host());
        let (status, body) = ask(nginx.address, "GET", "/", &page);
        assert!(status == 200 && body.contains("sleep 600"), "{status}: {body}");
    }
    assert_eq!(ask(nginx.address, "GET", "/none", &host()).0, 404);
    let direct = daemon.get("/api/v1/jobs/1").body;
    assert_eq!(ask(nginx.address, "GET", "/api/v1/jobs/1", &host()).1, direct);
    // 42 requests of clients that close, but towards the daemon connections are kept.
    let (requests, connections) = wait_for("all lines of nginx's log", SOON, || {
        Some(nginx.passed_on()).filter(|(requests, _)| *requests == 42)
    });
    assert!(connections <= 3, "{requests} requests over {connections} connections");
}

/// nginx without the slash behind `proxy_pass`: its own path stands before what is asked for.
#[test]
fn a_path_that_the_proxy_leaves_is_told() {
    let (_site, _database, daemon, nginx) = proxied();
    let paths = ["/schedule/", "/schedule/jobs/1", "/schedule/api/v1/jobs", "/a/b/assets/x.css"];
    for path in paths {
        for (address, host) in [(nginx.address, host()), (daemon.address, "Host: [::1]\r\n".into())]
        {
            let (status, body) = ask(address, "GET", path, &host);
            assert_eq!(status, 404, "{path}: {body}");
            assert!(body.contains("if a proxy stands before it, it has to take"), "{path}: {body}");
        }
    }
    for path in ["/none", "/jobs/1/log", "/api/v1/jobs/1/metrics", "/a/b"] {
        let (status, body) = ask(nginx.address, "GET", path, &host());
        assert!(status == 404 && !body.contains("proxy"), "{path}: {status}: {body}");
    }
}

/// Tools that were made for the PHP program follow where they are sent.
#[test]
fn old_addresses_stay_below_the_path_of_a_proxy() {
    let (_site, _database, daemon, _) = proxied();
    let nginx = Nginx::below_a_path(daemon.address);
    for (target, to) in [
        ("index.html?action=flush&tagid=2", "index.php?tagid=2"),
        ("index.html?action=start&id=1", "index.php?id=1"),
        ("stderr.html?id=1&type=1&action=clear_1", "stderr.php?id=1&type=1"),
        ("?action=clear", "index.php"),
        ("jobs/1?action=stop&id=1", "index.php?id=1"),
        ("index.html", "index.php"),
    ] {
        let mut curl = std::process::Command::new("curl");
        curl.args([
            "-sSL",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{num_redirects} %{url_effective}",
        ]);
        curl.args(["--connect-to", &format!("{NAME}:80:{}", nginx.address)]);
        let output = curl.arg(format!("http://{NAME}/schedule/{target}")).output();
        let text = String::from_utf8(output.expect("curl: install it").stdout).unwrap();
        assert_eq!(text, format!("200 1 http://{NAME}/schedule/{to}"), "{target}");
    }
}

#[test]
fn changes_are_taken_from_own_pages_only() {
    let (_site, _database, daemon, nginx) = proxied();
    let post = |target: &str, headers: &str| ask(nginx.address, "POST", target, headers);
    let own = format!("{}Origin: http://{NAME}\r\nSec-Fetch-Site: same-origin\r\n", host());
    let (status, body) = post("/api/v1/jobs/1/start", &own);
    assert_eq!(status, 200, "{body}");
    daemon.wait_job(1, "running", |job| job["running"] == 1);
    // TLS ended at the proxy: the browser's origin has another scheme.
    let secure = format!("{}Origin: https://{NAME}\r\n", host());
    let (status, body) = post("/api/v1/jobs/1/stop", &secure);
    assert_eq!(status, 200, "{body}");
    daemon.wait_job(1, "idle", |job| job["running"] == 0);

    let foreign = format!("{}Origin: http://evil.example\r\n", host());
    let cross = format!("{}Sec-Fetch-Site: cross-site\r\n", host());
    let rebound = "Host: evil.example\r\nOrigin: http://evil.example\r\n";
    for headers in [foreign.as_str(), cross.as_str(), rebound] {
        let (status, body) = post("/api/v1/jobs/1/start", headers);
        assert_eq!(status, 403, "{headers}: {body}");
    }
    assert_eq!(daemon.job(1).unwrap()["running"], 0);
}

#[test]
fn events_come_at_once() {
    let (_site, _database, daemon, nginx) = proxied();
    let mut stream = TcpStream::connect(nginx.address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let accept = "Accept: text/event-stream\r\nAccept-Encoding: gzip\r\n";
    write!(stream, "GET /api/v1/events HTTP/1.1\r\n{}{accept}\r\n", host()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    // Heartbeats keep the stream from timing out, so the whole of it has a deadline.
    let deadline = Instant::now() + SOON;
    let mut until = |text: &str| {
        let mut lines = lines.by_ref().take_while(|_| Instant::now() < deadline);
        lines.find(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text} in time"))
    };
    assert!(until("HTTP/1.1").contains("200"));
    until("event: snapshot");
    assert_eq!(daemon.request("POST", "/api/v1/jobs/1/start").status, 200);
    until("event: job");
    // Far too little to fill a buffer of the proxy: it was handed on as it came.
    assert!(until("\"id\":1").contains("\"running\""));
    assert_eq!(daemon.request("POST", "/api/v1/jobs/1/stop").status, 200);
    // By hand, so it is no failure.
    until("\"state\":\"stopped\"");
}

#[test]
fn a_daemon_that_is_away() {
    let (site, _database, daemon, nginx) = proxied();
    assert_eq!(ask(nginx.address, "GET", "/healthz", &host()).0, 200);
    let address = daemon.address;
    daemon.stop();
    assert_eq!(ask(nginx.address, "GET", "/healthz", &host()).0, 502);
    // It is back on the same port, and nobody has to tell the proxy.
    let _daemon = site.start_on(address.port());
    wait_for("the proxy to find the daemon again", SOON, || {
        (ask(nginx.address, "GET", "/healthz", &host()).0 == 200).then_some(())
    });
}
