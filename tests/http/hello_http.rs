//! The HTTP server alone, with a few pages for trying it out: `hello_http [HOST [PORT]]`.
//!
//! `/` small text · `/big` 100 kB that many answers share · `/echo` gives a body back · `/later`
//! answers in a later turn · `/events` a stream with an event a second · `/stats` figures.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::{Events, Poll, Token};
use schedule::core::http::{Body, Limits, Method, Request, Response, Shared};
use schedule::core::ids::ConnId;
use schedule::core::time::Now;
use schedule::shell::server::{BindError, Server};

/// A server with its queue and pages.
pub struct Hello {
    poll: Poll,
    events: Events,
    /// The server under test.
    pub server: Server,
    big: Rc<Shared>,
    streams: Vec<ConnId>,
    later: Vec<ConnId>,
    started: Instant,
    ticked_ms: u64,
}

impl Hello {
    /// Listens; see [`Server::bind`].
    pub fn new(host: &str, port: u16, limits: Limits) -> Result<Hello, BindError> {
        let poll = Poll::new()?;
        let server = Server::bind(host, port, poll.registry(), Token(10), limits)?;
        let line = "<p>A line of a page that is large enough for compression to pay.</p>\n";
        Ok(Hello {
            poll,
            events: Events::with_capacity(1024),
            server,
            big: Shared::new(line.repeat(1_400).into_bytes()),
            streams: Vec::new(),
            later: Vec::new(),
            started: Instant::now(),
            ticked_ms: 0,
        })
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mono = self.started.elapsed();
        Now { wall_ms: wall.as_millis() as i64, mono_ms: mono.as_millis() as u64 }
    }

    /// One turn of the loop; waits for at most `wait`.
    pub fn turn(&mut self, wait: Duration) -> std::io::Result<()> {
        let now = self.now();
        let due = self.server.next_deadline_ms().map(|at| at.saturating_sub(now.mono_ms));
        let wait = due.map_or(wait, |ms| wait.min(Duration::from_millis(ms)));
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let now = self.now();
        for event in &self.events {
            self.server.ready(event, now);
        }
        self.server.expire(now);
        for id in std::mem::take(&mut self.later) {
            self.server.respond(now, id, Response::text(200, "later\n"));
        }
        self.tick(now);
        while let Some((id, request)) = self.server.next_request() {
            match self.page(id, request) {
                Some(response) => self.server.respond(now, id, response),
                None => false,
            };
        }
        self.server.flush(now);
        Ok(())
    }

    fn tick(&mut self, now: Now) {
        if now.mono_ms < self.ticked_ms + 1_000 {
            return;
        }
        self.ticked_ms = now.mono_ms;
        let event = format!("data: {}\n\n", now.wall_ms / 1000);
        let server = &mut self.server;
        self.streams.retain(|&id| server.is_open(id));
        for &id in &self.streams {
            server.push(now, id, event.as_bytes());
        }
    }

    fn page(&mut self, id: ConnId, request: Request) -> Option<Response> {
        let segments = request.segments();
        Some(match (segments.as_slice(), request.method) {
            ([""], method) if method.is_read() => Response::text(200, "hello\n"),
            (["big"], method) if method.is_read() => {
                let body = Body::Shared(Rc::clone(&self.big));
                Response::new(200, "text/html; charset=utf-8", body).etag("v1")
            }
            (["echo"], Method::Post) => {
                Response::new(200, "application/octet-stream", Body::Bytes(request.body))
            }
            (["later"], Method::Get) => {
                self.later.push(id);
                return None;
            }
            (["events"], Method::Get) => {
                self.streams.push(id);
                Response::event_stream()
            }
            (["stats"], Method::Get) => Response::text(200, format!("{:?}\n", self.server.stats())),
            ([""] | ["big"], Method::Options) => Response::options("GET, HEAD, OPTIONS"),
            ([""] | ["big"], _) => Response::method_not_allowed("GET, HEAD, OPTIONS"),
            (["echo"], _) => Response::method_not_allowed("POST"),
            _ => Response::problem(404, "There is no such page; try / or /big."),
        })
    }
}

/// Serves until it is killed.
#[allow(dead_code)]
fn main() {
    env_logger::init();
    let mut args = std::env::args().skip(1);
    let host = args.next().unwrap_or_else(|| "127.0.0.1".into());
    let port = args.next().and_then(|port| port.parse().ok()).unwrap_or(3401);
    let mut hello = match Hello::new(&host, port, Limits::default()) {
        Ok(hello) => hello,
        Err(error) => {
            eprintln!("hello_http: {error}");
            std::process::exit(2);
        }
    };
    if let Ok(address) = hello.server.local_addr() {
        println!("http://{address}/");
    }
    loop {
        if let Err(error) = hello.turn(Duration::from_secs(1)) {
            eprintln!("hello_http: {error}");
            std::process::exit(1);
        }
    }
}
