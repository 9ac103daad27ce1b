//! A TCP proxy in front of a database that can lie, hang up, cut answers off and take its time.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// What it does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Carries everything to the server at this port.
    Pass(u16),
    /// The same, but hangs up after so many bytes of the server's.
    Cut(u16, usize),
    /// The same as `Pass`, but all takes so long on its way there, and on its way back.
    Slow(u16, Duration),
    /// Hangs up at once.
    HangUp,
    /// Says something that no database says.
    Garbage,
    /// Says nothing and keeps the connection.
    Silence,
}

/// The proxy. It ends with the process of the test.
pub struct Proxy {
    pub port: u16,
    mode: Arc<Mutex<Mode>>,
    /// What is carried now.
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub fn start(mode: Mode) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(Mutex::new(mode));
        let told = Arc::clone(&mode);
        let open = Arc::new(Mutex::new(Vec::new()));
        let carried = Arc::clone(&open);
        spawn(move || {
            let mut kept = Vec::new();
            for client in listener.incoming().flatten() {
                carried.lock().unwrap().push(client.try_clone().unwrap());
                let mode = *told.lock().unwrap();
                match mode {
                    Mode::Pass(server) => carry(client, server, usize::MAX, Duration::ZERO),
                    Mode::Cut(server, bytes) => carry(client, server, bytes, Duration::ZERO),
                    Mode::Slow(server, delay) => carry(client, server, usize::MAX, delay),
                    Mode::HangUp => drop(client),
                    Mode::Garbage => babble(client),
                    Mode::Silence => kept.push(client),
                }
            }
        });
        Self { port, mode, open }
    }

    /// From now on it does this, with each that comes: those that are there are hung up.
    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        for client in self.open.lock().unwrap().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

fn babble(mut client: TcpStream) {
    let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n\xff\x00\x17 no database here\n");
}

/// Both directions, each on a thread of its own.
fn carry(client: TcpStream, server: u16, limit: usize, delay: Duration) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else { return };
    let (client_in, server_out) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    // A delay is to be that, and not one of small packets as well.
    let quick = |stream: &TcpStream| stream.set_nodelay(true).unwrap();
    [&client, &server].into_iter().for_each(quick);
    spawn(move || pump(client_in, server_out, usize::MAX, delay));
    spawn(move || pump(server, client, limit, delay));
}

fn pump(mut from: TcpStream, mut to: TcpStream, limit: usize, delay: Duration) {
    let mut left = limit;
    let mut buffer = [0; 16 << 10];
    while left > 0 {
        let most = left.min(buffer.len());
        let Ok(bytes) = from.read(&mut buffer[..most]) else { break };
        sleep(delay);
        if bytes == 0 || to.write_all(&buffer[..bytes]).is_err() {
            break;
        }
        left -= bytes;
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
