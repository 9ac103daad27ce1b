//! Clients that ask without a pause and look at every answer, and `wrk` where more is wanted.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that is kept from request to request.
pub struct Kept(TcpStream);

impl Kept {
    pub fn connect(address: SocketAddr) -> io::Result<Kept> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Kept(stream))
    }

    /// Sends a request without a body; status and body of the answer.
    pub fn ask(&mut self, method: &str, path: &str) -> io::Result<(u16, Vec<u8>)> {
        let length = if method == "GET" { "" } else { "Content-Length: 0\r\n" };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n");
        self.0.write_all(request.as_bytes())?;
        answer(&mut self.0)
    }

    /// Sends a request whose body comes after a pause.
    pub fn post_slowly(&mut self, path: &str, pause: Duration) -> io::Result<(u16, Vec<u8>)> {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n");
        self.0.write_all(head.as_bytes())?;
        sleep(pause);
        self.0.write_all(b" ")?;
        answer(&mut self.0)
    }

    pub fn get(&mut self, path: &str) -> io::Result<(u16, Vec<u8>)> {
        self.ask("GET", path)
    }

    /// Asks the n-th of the ordinary questions; the first fifty jobs must be called `job ID`.
    pub fn ordinary(&mut self, n: u64) -> Result<(), String> {
        let id = 1 + n % 50;
        let (path, holds): (String, String) = match n % 5 {
            0 => ("/healthz".into(), "ok".into()),
            1 => (format!("/api/v1/jobs/{id}"), format!("\"id\":{id},")),
            2 => ("/?per_page=20".into(), "</html>".into()),
            3 => (format!("/jobs/{id}"), "</html>".into()),
            _ => (format!("/api/v1/jobs?q=job%20{id}"), "\"total\":".into()),
        };
        let (status, body) = self.get(&path).map_err(|why| format!("{path}: {why}"))?;
        let text = String::from_utf8_lossy(&body);
        if status == 200 && text.contains(&holds) {
            return Ok(());
        }
        Err(format!("{path}: {status} {}", &text[..text.len().min(300)]))
    }
}

/// Reads one answer with a length: status and body.
pub fn answer(stream: &mut TcpStream) -> io::Result<(u16, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 65_536];
    loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= at + 4 + length {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return Ok((status, bytes[at + 4..at + 4 + length].to_vec()));
            }
        }
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

/// Ordinary clients at work, each on a thread of its own.
pub struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

impl Clients {
    /// Starts `kept` clients that keep their connection, and `fresh` ones with one a request.
    pub fn start(address: SocketAddr, kept: u64, fresh: u64) -> Clients {
        let mut clients =
            Clients { stop: Arc::default(), answered: Arc::default(), threads: Vec::new() };
        for who in 0..kept + fresh {
            clients.add(move |mut connection, n| {
                let asked = n + who;
                if who >= kept || connection.is_none() {
                    let anew = Kept::connect(address);
                    connection = Some(anew.map_err(|why| format!("connecting: {why}"))?);
                }
                connection.iter_mut().try_for_each(|it| it.ordinary(asked))?;
                Ok(connection)
            });
        }
        clients
    }

    /// One more, which asks in its own way: it is given the connection that it had, and which
    /// request of its own this is.
    pub fn add<F>(&mut self, ask: F)
    where
        F: Fn(Option<Kept>, u64) -> Result<Option<Kept>, String> + Send + 'static,
    {
        let (stop, answered) = (Arc::clone(&self.stop), Arc::clone(&self.answered));
        self.threads.push(spawn(move || {
            let mut connection = None;
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                connection = ask(connection, n).inspect_err(|_| {
                    // The others need not go on, and the test sees it at once.
                    stop.store(true, Ordering::Relaxed);
                })?;
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }));
    }

    /// One more, which starts runs of a job by hand, some ten a second, and takes these answers
    /// for right; how many it was given.
    pub fn start_by_hand(
        &mut self,
        address: SocketAddr,
        job: u32,
        right: &'static [u16],
    ) -> Arc<AtomicU64> {
        let told = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&told);
        self.add(move |connection, _| {
            let mut connection = match connection {
                Some(connection) => connection,
                None => Kept::connect(address).map_err(|why| format!("connecting: {why}"))?,
            };
            // Each is under way for most of that time.
            let pause = Duration::from_millis(100);
            match connection.post_slowly(&format!("/api/v1/jobs/{job}/start"), pause) {
                Ok((status, _)) if right.contains(&status) => count.fetch_add(1, Ordering::Relaxed),
                other => return Err(format!("a start by hand: {other:?}")),
            };
            Ok(Some(connection))
        });
        told
    }

    /// Answers so far, all of them right.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether one of them got a wrong answer, or none: [`Clients::end`] tells.
    pub fn have_failed(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Ends them; how many answers they got. Panics unless all were right.
    #[track_caller]
    pub fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.threads.into_iter().map(|thread| thread.join().unwrap());
        let wrong: Vec<String> = ended.filter_map(Result::err).collect();
        assert!(wrong.is_empty(), "clients were not served: {wrong:?}");
        self.answered.load(Ordering::Relaxed)
    }
}

/// A `wrk` at work; ended when it is dropped.
pub struct Wrk(Child);

impl Wrk {
    /// Loads this page over so many connections for so long.
    pub fn start(address: SocketAddr, path: &str, connections: u32, length: Duration) -> Wrk {
        let (connections, seconds) = (format!("-c{connections}"), length.as_secs());
        let mut command = Command::new("wrk");
        command.args(["-t1", &connections, "--timeout", "10s", "-d", &format!("{seconds}s")]);
        command.arg(format!("http://{address}{path}")).stdin(Stdio::null());
        Wrk(command.stdout(Stdio::piped()).spawn().expect("wrk: apt-get install wrk"))
    }

    /// Ends it before its time.
    pub fn cut_short(&self) {
        // One that has ended is a zombie until it is waited for: the pid is still its own.
        let _ = kill_process(Pid::from_child(&self.0), Signal::INT);
    }

    /// Waits for its end; how many answers it got. Panics unless all were right.
    #[track_caller]
    pub fn end(mut self) -> u64 {
        let mut text = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let status = self.0.wait().unwrap();
        let good = status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors");
        assert!(good, "{status}: {text}");
        let requests = text.lines().find_map(|line| line.trim().split_once(" requests in "));
        requests.unwrap_or_else(|| panic!("{text}")).0.parse().unwrap()
    }
}

impl Drop for Wrk {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
