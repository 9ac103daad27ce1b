//! Clients that are connected while another program takes over.

use super::{Counters, always_handed_over, counters, fallen};
use crate::daemon::clients::{Clients, Kept};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

/// A client that reads the metrics, which must never fall.
pub fn reads_metrics(clients: &mut Clients, address: SocketAddr) {
    let last: Mutex<Counters> = Mutex::default();
    clients.add(move |connection, _| {
        let mut connection = match connection {
            Some(connection) => connection,
            None => Kept::connect(address).map_err(|why| format!("connecting: {why}"))?,
        };
        let (status, body) = connection.get("/metrics").map_err(|why| format!("metrics: {why}"))?;
        let now = always_handed_over(counters(&String::from_utf8_lossy(&body)));
        let mut last = last.lock().unwrap();
        let fallen = fallen(&last, &now);
        if status != 200 || !fallen.is_empty() {
            return Err(format!("metrics: {status}, and what has fallen: {fallen:?}"));
        }
        *last = now;
        sleep(Duration::from_millis(20));
        Ok(Some(connection))
    });
}

/// A reader of events, who comes back when they end as a browser does.
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Heard>,
}

/// What it has heard.
#[derive(Debug, Default)]
pub struct Heard {
    pub streams: u64,
    pub jobs: u64,
    /// Of the last stream.
    pub last_jobs: u64,
}

impl Reader {
    pub fn start(address: SocketAddr) -> Reader {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = spawn(move || {
            let mut heard = Heard::default();
            while !told.load(Ordering::Relaxed) {
                let text = read_events(address, &told);
                assert!(text.starts_with("HTTP/1.1 200 "), "{text:.300}");
                assert!(text.contains("event: snapshot\n"), "{text:.300}");
                heard.streams += 1;
                heard.last_jobs = text.matches("event: job\n").count() as u64;
                heard.jobs += heard.last_jobs;
            }
            heard
        });
        Reader { stop, thread }
    }

    pub fn end(self) -> Heard {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// All of a stream, until it ends or nobody wants more.
fn read_events(address: SocketAddr, stop: &AtomicBool) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let (mut bytes, mut piece) = (Vec::new(), [0; 65_536]);
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut piece) {
            Ok(0) => {
                assert!(bytes.ends_with(b"0\r\n\r\n"), "a stream that is not whole");
                break;
            }
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(why) => panic!("events: {why}"),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
