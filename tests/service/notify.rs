//! The service manager is told how the daemon is: sd_notify(3), spoken to a real socket.

use crate::common;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{SOON, Site};
use schedule::core::database::Driver;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// The manager's side of the socket.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<(Instant, String)>,
}

impl Manager {
    fn at(name: &str) -> Manager {
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).unwrap(),
            None => SocketAddr::from_pathname(name).unwrap(),
        };
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Manager { socket, heard: Vec::new() }
    }

    /// The next message that comes within `patience`.
    fn hear(&mut self, patience: Duration) -> Option<String> {
        let mut bytes = [0; 4096];
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let size = self.socket.recv(&mut bytes).ok()?;
        let text = String::from_utf8(bytes[..size].to_vec()).unwrap();
        self.heard.push((Instant::now(), text.clone()));
        Some(text)
    }

    /// Hears messages until one has this line.
    #[track_caller]
    fn wait(&mut self, line: &str) -> String {
        let deadline = Instant::now() + SOON;
        while Instant::now() < deadline {
            let text = self.hear(Duration::from_millis(100)).unwrap_or_default();
            if text.lines().any(|it| it.starts_with(line)) {
                return text;
            }
        }
        panic!("no {line:?} in {:#?}", self.heard);
    }
}

#[test]
fn ready_status_and_stopping() {
    for path in [true, false] {
        let (site, mut database) = Site::on(Driver::Sqlite);
        database.sql(&insert(&[Row::new(1, Due::Never("0 0 1 1 *"), "exec sleep 600")]));
        let abstract_name = format!("@schedule-test-{}", common::unique());
        let name = if path { site.file("notify") } else { abstract_name };
        let mut manager = Manager::at(&name);
        let mut command = site.command();
        command.env("NOTIFY_SOCKET", &name);
        let daemon = site.start_by(command);
        let text = manager.wait("READY=1");
        let pid = daemon.pid().as_raw_nonzero();
        assert!(text.contains(&format!("\nMAINPID={pid}\n")), "{text}");
        // Its first sync was over: the job is known.
        assert!(text.contains("\nSTATUS=1 job, 0 runs, database up"), "{text}");
        assert_eq!(manager.heard.len(), 1, "{:?}", manager.heard);
        daemon.request("POST", "/api/v1/jobs/1/start");
        manager.wait("STATUS=1 job, 1 run, database up");
        assert_eq!(daemon.stop().code(), Some(0));
        manager.wait("STOPPING=1");
        assert!(manager.hear(Duration::from_millis(50)).is_none());
    }
}

#[test]
fn an_idle_daemon_shows_that_it_is_alive() {
    let (mut site, _database) = Site::on(Driver::Sqlite);
    site.base = "sync_interval = 3600\n".into();
    let name = site.file("notify");
    let mut manager = Manager::at(&name);
    let mut command = site.command();
    // For this process, whichever it is: without WATCHDOG_PID it is for whoever sees it.
    command.env("NOTIFY_SOCKET", &name).env("WATCHDOG_USEC", "600000");
    let _daemon = site.start_by(command);
    manager.wait("READY=1");
    let (begun, from) = (Instant::now(), manager.heard.len());
    while begun.elapsed() < Duration::from_secs(3) {
        manager.hear(Duration::from_millis(100));
    }
    let signs: Vec<&(Instant, String)> =
        manager.heard[from..].iter().filter(|(_, text)| text == "WATCHDOG=1").collect();
    assert!((8..=11).contains(&signs.len()), "each 300 ms of 3 s: {signs:?}");
    let gaps = signs.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(gaps.max().unwrap() < Duration::from_millis(600), "{signs:?}");
}

/// A daemon that waits after a panic is alive, says why it does nothing, and ends when it is told.
#[test]
fn a_daemon_that_has_panicked_shows_why_it_stands_still() {
    let (mut site, _database) = Site::on(Driver::Sqlite);
    let name = site.file("notify");
    let mut manager = Manager::at(&name);
    let mut command = site.command();
    command.env("NOTIFY_SOCKET", &name).env("WATCHDOG_USEC", "600000");
    let daemon = site.start_by(command);
    manager.wait("READY=1");
    site.base = "stop_grace = soon\n".into();
    site.write_config();
    std::fs::write(site.file("state.1/panic"), "").unwrap();
    let text = manager.wait("STATUS=it has panicked, and launches nothing until it can start");
    assert!(text.contains("stop_grace"), "{text}");
    let from = manager.heard.len();
    for _ in 0..8 {
        manager.wait("WATCHDOG=1");
    }
    let gaps = manager.heard[from..].windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(gaps.max().unwrap() < Duration::from_millis(600), "{:?}", &manager.heard[from..]);
    assert_eq!(daemon.stop().code(), Some(0));
    manager.wait("STOPPING=1");
}

#[test]
fn the_watchdog_of_another_process_is_not_fed() {
    let (site, _database) = Site::on(Driver::Sqlite);
    let name = site.file("notify");
    let mut manager = Manager::at(&name);
    let mut command = site.command();
    command.env("NOTIFY_SOCKET", &name).env("WATCHDOG_USEC", "100000").env("WATCHDOG_PID", "1");
    let daemon = site.start_by(command);
    manager.wait("READY=1");
    daemon.stop();
    manager.wait("STOPPING=1");
    assert!(manager.heard.iter().all(|(_, text)| text != "WATCHDOG=1"), "{:?}", manager.heard);
}

#[test]
fn a_manager_that_is_gone_is_not_missed() {
    let (site, _database) = Site::on(Driver::Sqlite);
    let mut command = site.command();
    command.env("NOTIFY_SOCKET", site.file("nobody")).env("WATCHDOG_USEC", "20000");
    let daemon = site.start_by(command);
    daemon.wait_jobs(0);
    assert_eq!(daemon.get("/healthz").status, 200);
    assert_eq!(daemon.stop().code(), Some(0));
}
