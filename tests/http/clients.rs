//! The server with clients that others wrote, and with too few descriptors.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::serving::{Hello, PATIENCE, everything, serve, until};
use schedule::core::http::Limits;

/// Runs a program and returns what it printed.
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("install {program} for this test: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn curl() {
    let server = serve(Limits::default());
    let url = |path: &str| format!("http://{}{path}", server.address);
    let curl = |args: &[&str]| run("curl", &[&["-sS", "--max-time", "20"], args].concat());
    // Two requests on one connection: curl counts what it had to open.
    let opened = "%{num_connects} ";
    let root = url("/");
    assert_eq!(curl(&["-w", opened, "-o", "/dev/null", &root, "-o", "/dev/null", &root]), "1 0 ");
    assert!(curl(&["-0", "-i", &root]).contains("Connection: close"));
    assert_eq!(curl(&["--compressed", &url("/big")]), curl(&[&url("/big")]));
    assert!(curl(&["-I", &root]).contains("Content-Length: 6\r\n"));
    let body = "x".repeat(50_000);
    assert_eq!(curl(&["-d", &body, &url("/echo")]), body);
    assert_eq!(curl(&["-H", "Transfer-Encoding: chunked", "-d", &body, &url("/echo")]), body);
    assert_eq!(curl(&["-H", "Expect: 100-continue", "-d", &body, &url("/echo")]), body);
    let status = |args: &[&str]| curl(&[&["-o", "/dev/null", "-w", "%{http_code}"], args].concat());
    assert_eq!(status(&["-H", "If-None-Match: W/\"v1\"", &url("/big")]), "304");
    assert_eq!(status(&["-X", "DELETE", &root]), "405");
    assert_eq!(status(&["-X", "OPTIONS", &root]), "204");
    assert_eq!(status(&["--request-target", "*", "-X", "OPTIONS", &root]), "204");
    assert_eq!(status(&["--path-as-is", &url("/../etc/passwd")]), "400");
    assert_eq!(status(&[&url("/none")]), "404");
    assert_eq!(status(&["-d", &"x".repeat(70_000), &url("/echo")]), "413");
    assert_eq!(curl(&["-x", &root, "http://elsewhere.invalid/"]), "hello\n", "as to a proxy");
}

#[test]
fn python() {
    let server = serve(Limits::default());
    let script = r#"
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
sock = None
for path, body in [("/", b"hello\n"), ("/later", b"later\n"), ("/", b"hello\n")] * 50:
    c.request("GET", path)
    r = c.getresponse()
    assert (r.status, r.read()) == (200, body), (path, r.status)
    assert sock in (None, c.sock), "the connection was not kept"
    sock = c.sock
c.request("POST", "/echo", body=iter([b"ab", b"cd"]), encode_chunked=True,
          headers={"Transfer-Encoding": "chunked"})
assert c.getresponse().read() == b"abcd"
c.request("HEAD", "/big")
r = c.getresponse()
assert r.getheader("Content-Length") == "96600" and r.read() == b""
c.request("BREW", "/")
r = c.getresponse()
assert r.status == 501 and r.getheader("Connection") == "close" and r.read()
print("ok")
"#;
    let port = server.address.port().to_string();
    assert_eq!(run("python3", &["-c", script, &port]), "ok\n");
}

/// Set in the process that serves with few descriptors.
const CHILD: &str = "SCHEDULE_TEST_FEW_DESCRIPTORS";

#[test]
fn out_of_descriptors_it_neither_hangs_nor_spins() {
    if std::env::var_os(CHILD).is_some() {
        return serve_until_stdin_ends();
    }
    let this = std::env::current_exe().expect("this program");
    let name = "clients::out_of_descriptors_it_neither_hangs_nor_spins";
    let mut child = Command::new("sh")
        .args(["-c", r#"ulimit -n 64; exec "$@""#, "sh"])
        .arg(this)
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let address = loop {
        let line = lines.next().expect("an address").expect("text");
        if let Some((_, address)) = line.split_once("listening ") {
            break address.to_owned();
        }
    };
    let client = |bytes: &[u8]| {
        let mut client = TcpStream::connect(&address).expect("to connect");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        client.write_all(bytes).expect("to send");
        client
    };
    let get = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    // Idle ones: each new client takes the place of the oldest.
    let idle: Vec<TcpStream> = (0..200).map(|_| client(b"")).collect();
    for _ in 0..100 {
        assert!(everything(&mut client(get)).ends_with("hello\n"));
    }
    drop(idle);
    // Busy ones, more than there are descriptors, which nobody gives way to: all are answered.
    let big = b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200);
    let mut busy: Vec<TcpStream> = (0..100).map(|_| client(&big)).collect();
    let heads: Vec<String> = busy.iter_mut().map(|client| until(client, "\r\n\r\n")).collect();
    let served = heads.iter().filter(|head| head.starts_with("HTTP/1.1 200")).count();
    let refused = heads.iter().filter(|head| head.starts_with("HTTP/1.1 503")).count();
    assert_eq!(served + refused, 100);
    assert!(served > 20 && refused > 20, "{served} {refused}");
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(500) {
        let mut byte = [0];
        let mut waiting = client(get);
        waiting.read_exact(&mut byte).expect("an answer");
    }
    drop(busy);
    let deadline = Instant::now() + PATIENCE;
    while !everything(&mut client(get)).ends_with("hello\n") {
        assert!(Instant::now() < deadline, "it does not recover");
    }
    let idle_from = cpu_ticks(child.id());
    std::thread::sleep(Duration::from_millis(300));
    let idle_ticks = cpu_ticks(child.id()) - idle_from;
    assert!(idle_ticks <= 5, "it spins: {idle_ticks} ticks of CPU in 0.3 s of nothing");
    drop(child.stdin.take());
    assert!(child.wait().expect("the child").success());
}

/// User and system time of a process in ticks of 10 ms.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("/proc");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime")
}

fn serve_until_stdin_ends() {
    let mut hello = Hello::new("127.0.0.1", 0, Limits::default()).expect("a server");
    println!("listening {}", hello.server.local_addr().expect("an address"));
    // Fewer descriptors than the server counts on, as when jobs hold many.
    let held: Vec<std::fs::File> =
        (0..25).map(|_| std::fs::File::open("/dev/null").expect("a descriptor")).collect();
    let ended = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    while !ended.is_finished() {
        hello.turn(Duration::from_millis(20)).expect("a turn");
    }
    drop(held);
}
