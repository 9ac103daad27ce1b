//! A TCP proxy in front of a server of MySQL's protocol that stops at one of a client's statements.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

/// Where it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The server has not heard of it.
    Before,
    /// The server has answered it, and the client has not heard that.
    Behind,
}

/// Statements that no server answers: one is closed.
const CLOSE: u8 = 0x19;

/// The proxy, for one connection. When it is dropped that is cut, on both sides.
pub struct Steps {
    pub port: u16,
    arrived: Receiver<()>,
    go_on: Sender<()>,
    sides: Arc<Mutex<Vec<TcpStream>>>,
}

impl Steps {
    /// Carries everything up to the first statement of which this is true: its bytes begin with the
    /// number of its command.
    pub fn start(
        server: u16,
        cut: Cut,
        is_it: impl FnMut(&[u8]) -> bool + Send + 'static,
    ) -> Steps {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (arrives, arrived) = channel();
        let (go_on, goes_on) = channel();
        let sides = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&sides);
        spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).unwrap();
            let both = [&client, &server];
            both.iter().for_each(|side| side.set_nodelay(true).unwrap());
            shown.lock().unwrap().extend(both.map(|side| side.try_clone().unwrap()));
            let holds = Arc::new(AtomicBool::new(false));
            let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let (answers, held) = (arrives.clone(), Arc::clone(&holds));
            spawn(move || answer(from, to, &held, &answers));
            Statements { cut, is_it, holds, arrives, goes_on }.carry(client, server);
        });
        Steps { port, arrived, go_on, sides }
    }

    /// Whether the statement has come as far as it is let.
    pub fn has_arrived(&self) -> bool {
        self.arrived.try_recv().is_ok()
    }

    /// Lets the server have it, whatever became of the client.
    pub fn go_on(&self) {
        self.go_on.send(()).unwrap();
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        for side in self.sides.lock().unwrap().iter() {
            let _ = side.shutdown(Shutdown::Both);
        }
    }
}

/// What a client says.
struct Statements<F> {
    cut: Cut,
    is_it: F,
    holds: Arc<AtomicBool>,
    arrives: Sender<()>,
    goes_on: Receiver<()>,
}

impl<F: FnMut(&[u8]) -> bool> Statements<F> {
    fn carry(mut self, mut client: TcpStream, mut server: TcpStream) {
        while let Some(packet) = packet(&mut client) {
            // The first of each conversation has number 0: those of the handshake are answers.
            let is_it = packet[3] == 0 && (self.is_it)(&packet[4..]);
            if is_it {
                self.holds.store(true, Ordering::SeqCst);
                if self.cut == Cut::Before {
                    let _ = self.arrives.send(());
                    if self.goes_on.recv().is_err() {
                        return;
                    }
                }
            }
            if server.write_all(&packet).is_err() {
                return;
            }
            if is_it && packet[4] == CLOSE {
                let _ = self.arrives.send(());
            }
        }
        let _ = server.shutdown(Shutdown::Write);
    }
}

/// What the server says, until the client is to hear no more.
fn answer(mut server: TcpStream, mut client: TcpStream, holds: &AtomicBool, says: &Sender<()>) {
    let mut buffer = [0; 16 << 10];
    loop {
        let bytes = server.read(&mut buffer).unwrap_or(0);
        if holds.load(Ordering::SeqCst) {
            let _ = says.send(());
        } else if client.write_all(&buffer[..bytes]).is_err() {
            return;
        }
        if bytes == 0 {
            let _ = client.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// A packet with its head: three bytes of length, and a number.
fn packet(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut packet = vec![0; 4];
    client.read_exact(&mut packet).ok()?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]);
    packet.resize(4 + length as usize, 0);
    client.read_exact(&mut packet[4..]).ok()?;
    Some(packet)
}
