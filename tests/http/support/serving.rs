//! The example's server in a thread, and clients for it.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::{self, AddressFamily, SocketType};
use schedule::core::http::Limits;

#[path = "../hello_http.rs"]
mod hello_http;
pub use hello_http::Hello;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server that ends with the test.
pub struct Serving {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Serves the example's pages on a free port of the loopback.
pub fn serve(limits: Limits) -> Serving {
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = std::sync::mpsc::channel();
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        let mut hello = Hello::new("127.0.0.1", 0, limits).expect("a server");
        sender.send(hello.server.local_addr().expect("an address")).expect("a test");
        while !stopped.load(Ordering::SeqCst) {
            hello.turn(Duration::from_millis(10)).expect("a turn");
        }
    });
    let address = receiver.recv_timeout(PATIENCE).expect("a server that starts");
    Serving { address, stop, thread: Some(thread) }
}

impl Serving {
    /// A client that has sent these bytes.
    pub fn client(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("to connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(bytes).expect("to send");
        stream
    }

    /// The same from another address of the loopback network.
    pub fn client_from(&self, from: [u8; 4], bytes: &[u8]) -> TcpStream {
        let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        net::bind(&socket, &SocketAddr::from((from, 0))).expect("an address of the loopback");
        net::connect(&socket, &self.address).expect("to connect");
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(bytes).expect("to send");
        stream
    }

    /// The answer to one request, and nothing else.
    pub fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        everything(&mut self.client(request.as_bytes()))
    }

    /// Waits until the server's figures contain this text.
    pub fn wait_for_stats(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stats = self.get("/stats");
            if stats.contains(text) {
                return;
            }
            assert!(Instant::now() < deadline, "no {text:?} in {stats}");
        }
    }
}

/// Reads until the server closes.
pub fn everything(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer and the end");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until the text ends so.
pub fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        let mut byte = [0];
        let count = stream.read(&mut byte).expect("more to read");
        assert!(count > 0, "it ended: {}", String::from_utf8_lossy(&bytes));
        bytes.push(byte[0]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
