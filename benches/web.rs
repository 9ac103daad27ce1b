//! The web of the real daemon under load: pages and answers a second, beside nginx in the same run;
//! jobs on time while clients load it, and clients answered while jobs are started; many idle
//! connections.
//!
//! `cargo bench --bench web [-- pages|nginx|launching|idle]`. Needs `wrk`, and `nginx` for `nginx`.

#[path = "daemon/bench_daemon.rs"]
#[allow(dead_code)] // Each benchmark uses a part of it.
mod bench_daemon;

use bench_daemon::{BenchDaemon, Row, bare_loop};
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let is_wanted = |name: &str| wanted.as_deref().is_none_or(|only| only == name);
    // Enough for both ends of all connections; the daemon inherits it.
    let limit = rustix::process::Rlimit { current: Some(16_384), maximum: Some(16_384) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?;
    for (name, bench) in [
        ("pages", pages as fn() -> io::Result<()>),
        ("nginx", nginx),
        ("launching", launching),
        ("idle", idle),
    ] {
        if is_wanted(name) {
            bench()?;
        }
    }
    Ok(())
}

fn row(id: u32, command: &str, cron: &str) -> Row {
    let output = "/dev/null".to_owned();
    Row { id, command: command.to_owned(), cron: cron.to_owned(), output }
}

fn not_due(id: u32) -> Row {
    row(id, &format!("/usr/bin/php /data/app/run.php --task={id}"), "0 3 1 1 *")
}

/// Answers a second on `connections` kept ones.
fn wrk(url: &str, connections: u32, seconds: u32) -> io::Result<f64> {
    let (connections, seconds) = (format!("-c{connections}"), format!("-d{seconds}s"));
    let output = Command::new("wrk").args(["-t1", &connections, &seconds, url]).output();
    let output = output.map_err(|_| io::Error::other("wrk is missing: apt-get install wrk"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(io::Error::other(format!("{url}: {text}")));
    }
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok()).ok_or_else(|| io::Error::other(text))
}

/// The whole answer to a request on a connection of its own.
fn get(address: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn pages() -> io::Result<()> {
    println!("wrk, 50 kept connections, one thread       a second   (wanted)     kB");
    for (jobs, wanted) in [(10, 40_000), (100, 20_000), (1_000, 10_000)] {
        let mut daemon = BenchDaemon::new("pages")?;
        daemon.fill((1..=jobs).map(not_due))?;
        daemon.start()?;
        let kb = get(daemon.address(), "/")?.len() as f64 / 1000.0;
        let rate = wrk(&format!("http://{}/", daemon.address()), 50, 6)?;
        println!(
            "page of {jobs:>5} jobs                      {rate:>10.0}   ({wanted:>6})  {kb:>6.1}"
        );
        if jobs == 1_000 {
            let path = "/api/v1/jobs/7";
            let kb = get(daemon.address(), path)?.len() as f64 / 1000.0;
            let rate = wrk(&format!("http://{}{path}", daemon.address()), 50, 6)?;
            println!("{path:<38} {rate:>10.0}   ( 60000)  {kb:>6.1}");
        }
        daemon.stop()?;
    }
    let mut daemon = BenchDaemon::new("search")?;
    daemon.fill((1..=10_000).map(not_due))?;
    daemon.start()?;
    let before = long_turns(&daemon)?;
    let mut times: Vec<f64> = (0..50)
        .map(|n| {
            let began = Instant::now();
            let page = get(daemon.address(), &format!("/?q=task%3D1{n}&per_page=100"));
            page.map(|_| began.elapsed().as_secs_f64() * 1000.0)
        })
        .collect::<io::Result<_>>()?;
    times.sort_by(f64::total_cmp);
    println!(
        "page of 100 of 10,000 jobs, each another search: median {:.2} ms, longest {:.2} ms; \
         turns of the loop over 5 ms: {} (0)",
        times[25],
        times[49],
        long_turns(&daemon)? - before
    );
    daemon.stop()
}

/// Turns of the loop so far that took more than 5 ms.
fn long_turns(daemon: &BenchDaemon) -> io::Result<u64> {
    let metrics = String::from_utf8_lossy(&get(daemon.address(), "/metrics")?).into_owned();
    let value = |name: &str| {
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.ok_or_else(|| io::Error::other(format!("no {name} in /metrics")))
    };
    let all: u64 = value("schedule_turn_seconds_count")?;
    Ok(all - value("schedule_turn_seconds_bucket{le=\"0.005\"}")?)
}

/// The same bytes from nginx and from the daemon.
fn nginx() -> io::Result<()> {
    let mut daemon = BenchDaemon::new("nginx")?;
    daemon.fill((1..=10).map(not_due))?;
    daemon.start()?;
    let path = "/api/v1/jobs?per_page=10";
    let answer = get(daemon.address(), path)?;
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let dir = daemon.dir().join("nginx");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("page"), &answer[body..])?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let at = dir.display();
    let conf = format!(
        "daemon off; worker_processes 1; pid {at}/pid; error_log {at}/error;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; keepalive_requests 100000000; root {at};\n\
         server {{ listen 127.0.0.1:{port}; }} }}\n"
    );
    fs::write(dir.join("conf"), conf)?;
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(dir.join("conf")).arg("-e").arg(dir.join("error"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    thread::sleep(Duration::from_millis(300));
    println!(
        "{} bytes, 50 kept connections      ours a second   nginx's   ratio",
        answer.len() - body
    );
    for _ in 0..3 {
        let ours = wrk(&format!("http://{}{path}", daemon.address()), 50, 4)?;
        let theirs = wrk(&format!("http://127.0.0.1:{port}/page"), 50, 4)?;
        println!("{path:<38} {ours:>10.0} {theirs:>9.0} {:>7.2}", ours / theirs);
    }
    // A master that is killed leaves its worker behind.
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::QUIT)?;
    child.wait()?;
    daemon.stop()
}

/// The value below which `part` of all are.
fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * part) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

fn launching() -> io::Result<()> {
    let mut daemon = BenchDaemon::new("loaded")?;
    daemon.fill((1..=100).map(|id| row(id, "/bin/true", "* * * * * *")))?;
    daemon.start()?;
    thread::sleep(Duration::from_secs(2));
    let before = fs::read_to_string(daemon.dir().join("log"))?.len();
    let rate = wrk(&format!("http://{}/", daemon.address()), 200, 30)?;
    let log = fs::read_to_string(daemon.dir().join("log"))?;
    let late = |line: &str| line.split(" late=").nth(1)?.split(' ').next()?.parse::<f64>().ok();
    let mut late: Vec<f64> = log[before..].lines().filter_map(late).collect();
    println!(
        "100 due a second while 200 connections get {rate:.0} pages/s: {} starts, \
         late p50 {:.0} ms, p99 {:.0} ms (20)",
        late.len(),
        percentile(&mut late, 0.5),
        percentile(&mut late, 0.99)
    );
    daemon.stop()?;
    bare_under_load()?;

    let mut daemon = BenchDaemon::new("starting")?;
    daemon.fill((1..=1_000).map(|id| row(id, "/bin/true", "*/10 * * * * *")))?;
    daemon.start()?;
    let mut stream = TcpStream::connect(daemon.address())?;
    stream.set_nodelay(true)?;
    let mut times = Vec::new();
    let began = Instant::now();
    let mut buffer = vec![0; 65_536];
    while began.elapsed() < Duration::from_secs(31) {
        let asked = Instant::now();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let read = stream.read(&mut buffer)?;
        assert!(read > 0, "the daemon has closed the connection");
        let second = schedule::shell::clock::now().wall_ms.rem_euclid(10_000);
        // The first second after the slot is when they are started.
        if second < 1_000 {
            times.push(asked.elapsed().as_secs_f64() * 1000.0);
        }
        thread::sleep(Duration::from_millis(1));
    }
    println!(
        "while 1,000 due jobs are started: {} requests, p50 {:.2} ms, p99 {:.2} ms (10)",
        times.len(),
        percentile(&mut times, 0.5),
        percentile(&mut times, 0.99)
    );
    daemon.stop()
}

/// What a loop that does nothing else comes to beside the same clients of a daemon without jobs.
fn bare_under_load() -> io::Result<()> {
    let mut daemon = BenchDaemon::new("bare")?;
    daemon.fill((1..=100).map(not_due))?;
    daemon.start()?;
    let url = format!("http://{}/", daemon.address());
    let clients = thread::spawn(move || wrk(&url, 200, 15));
    let mut until_last = Vec::new();
    while !clients.is_finished() {
        let into_second = schedule::shell::clock::now().wall_ms.rem_euclid(1_000);
        thread::sleep(Duration::from_millis(1_000 - into_second.unsigned_abs()));
        until_last.push(bare_loop("burst", 100, &["/bin/true"])?);
    }
    let rate = clients.join().map_err(|_| io::Error::other("wrk panicked"))??;
    println!(
        "a bare loop beside them ({rate:.0} pages/s): {} bursts of 100, the last start after \
         p50 {:.0} ms, at least {:.0} ms",
        until_last.len(),
        percentile(&mut until_last, 0.5),
        percentile(&mut until_last, 0.0)
    );
    daemon.stop()
}

fn idle() -> io::Result<()> {
    for (name, path) in [("kept, idle", "/healthz"), ("event streams", "/api/v1/events")] {
        let mut daemon = BenchDaemon::new("idle-web")?;
        daemon.fill((1..=10).map(|id| row(id, "/bin/true", "*/2 * * * * *")))?;
        daemon.start()?;
        let before = daemon.resident_mb()?;
        let mut clients = Vec::new();
        for _ in 0..5_000 {
            let mut stream = TcpStream::connect(daemon.address())?;
            stream
                .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
            let mut first = [0; 512];
            assert!(stream.read(&mut first)? > 0);
            stream.set_nonblocking(true)?;
            clients.push(stream);
        }
        let after = daemon.resident_mb()?;
        let mut times = Vec::new();
        let began = Instant::now();
        let mut sink = vec![0; 65_536];
        while began.elapsed() < Duration::from_secs(10) {
            let asked = Instant::now();
            get(daemon.address(), "/api/v1/jobs/1")?;
            times.push(asked.elapsed().as_secs_f64() * 1000.0);
            // The readers read, a part of them at a time.
            for client in clients.iter_mut().take(500) {
                let _ = client.read(&mut sink);
            }
            clients.rotate_left(500);
            thread::sleep(Duration::from_millis(5));
        }
        let metrics = String::from_utf8_lossy(&get(daemon.address(), "/metrics")?).into_owned();
        let open = metrics.lines().find_map(|line| line.strip_prefix("schedule_http_connections "));
        let open = open.unwrap_or("?").to_owned();
        println!(
            "5,000 {name}: {:.2} kB each (10), a new request p50 {:.1} ms, p99 {:.1} ms (10), \
             at most {:.1} ms; connections {open}",
            (after - before) * 1024.0 / 5_000.0,
            percentile(&mut times, 0.5),
            percentile(&mut times, 0.99),
            percentile(&mut times, 1.0)
        );
        drop(clients);
        daemon.stop()?;
    }
    Ok(())
}
