//! nginx in front of a daemon, with the configuration that the project recommends.
#![allow(dead_code)]

use crate::common::TempDir;
use crate::daemon::{SOON, wait_for};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// The server name in the recommended configuration.
pub const NAME: &str = "schedule.example.com";

/// A running nginx; killed when it is dropped.
pub struct Nginx {
    child: Child,
    pub address: SocketAddr,
    dir: TempDir,
}

impl Nginx {
    /// Starts it in front of a daemon.
    pub fn before(daemon: SocketAddr) -> Self {
        Self::with(daemon, &fs::read_to_string("conf/nginx.conf").unwrap())
    }

    /// The same below `/schedule/`, as docs/http.md says.
    pub fn below_a_path(daemon: SocketAddr) -> Self {
        let docs = fs::read_to_string("docs/http.md").unwrap();
        let lines = docs.split("```nginx\n").nth(1).unwrap().split("```").next().unwrap();
        let at_root = "    location / {\n        proxy_pass http://schedule;\n";
        let whole = fs::read_to_string("conf/nginx.conf").unwrap();
        assert!(whole.contains(at_root) && lines.contains("location /schedule/ {"));
        Self::with(daemon, &whole.replace(at_root, lines))
    }

    /// The same that passes on another `Host`, as nginx does by default, of a browser whose
    /// connection is not trustworthy: so it sends no Fetch Metadata.
    pub fn of_another_host(daemon: SocketAddr) -> Self {
        let whole = fs::read_to_string("conf/nginx.conf").unwrap();
        let (good, bad) = ("proxy_set_header Host $http_host;", "proxy_set_header Host localhost;");
        assert_eq!(whole.matches(good).count(), 1);
        let bad = format!("{bad} proxy_set_header Sec-Fetch-Site \"\";");
        Self::with(daemon, &whole.replace(good, &bad))
    }

    fn with(daemon: SocketAddr, recommended: &str) -> Self {
        let dir = TempDir::new();
        // The port is free now, and the system gives it to nobody else for a while; if somebody
        // takes it all the same, the next one is tried.
        let mut attempts = (0..5).filter_map(|_| Self::start(daemon, recommended, &dir));
        let (child, address) = attempts.next().expect("an nginx that starts");
        Self { child, address, dir }
    }

    /// None if it ends before it listens.
    fn start(daemon: SocketAddr, recommended: &str, dir: &TempDir) -> Option<(Child, SocketAddr)> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let config = dir.file("nginx.conf");
        fs::write(&config, configuration(recommended, daemon, free, dir)).unwrap();
        let stderr = File::options().create(true).append(true).open(dir.file("stderr")).unwrap();
        let mut command = Command::new("nginx");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin")).args(["-p", &dir.file("")]);
        command.args(["-e", &dir.file("error.log"), "-c", &config, "-g", "daemon off;"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let mut child = command.spawn().expect("nginx: install Debian's nginx-light");
        let ended = wait_for("nginx to listen or to end", SOON, || {
            if child.try_wait().unwrap().is_some() {
                return Some(true);
            }
            TcpStream::connect(free).is_ok().then_some(false)
        });
        if ended {
            eprintln!("{}", fs::read_to_string(dir.file("stderr")).unwrap_or_default());
        }
        (!ended).then_some((child, free))
    }

    /// How many requests it passed on, and over how many connections.
    pub fn passed_on(&self) -> (usize, usize) {
        let log = fs::read_to_string(self.dir.file("access.log")).unwrap_or_default();
        let connect_times: Vec<&str> = log.lines().collect();
        // A connection that was kept took no time to open.
        let kept = connect_times.iter().filter(|time| **time == "0.000").count();
        (connect_times.len(), connect_times.len() - kept)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A configuration with the addresses of this test, in one process.
fn configuration(
    recommended: &str,
    daemon: SocketAddr,
    listen: SocketAddr,
    dir: &TempDir,
) -> String {
    let ours = recommended
        .replace("127.0.0.1:3401", &daemon.to_string())
        .replace("listen 80", &format!("listen {listen}"));
    assert!(ours.contains(&daemon.to_string()) && ours.contains(&listen.to_string()));
    let dir = dir.0.display();
    let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};\n"))
        .concat();
    format!(
        "master_process off;\nworker_processes 1;\npid {dir}/nginx.pid;\n\
         events {{ worker_connections 256; }}\nhttp {{\n{temp}\
         log_format passed '$upstream_connect_time';\naccess_log {dir}/access.log passed;\n\
         {ours}}}\n"
    )
}
