//! A proxy that writes the time of its own clock into what it passes on.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// A proxy in front of a daemon, with this in the place of each `Date`. It ends with the tests.
pub fn dating(daemon: SocketAddr, date: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(daemon) else { return };
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || pass(client, server, |_| ()));
            thread::spawn(move || pass(back.0, back.1, |bytes| write_date(bytes, date)));
        }
    });
    address
}

fn pass(mut from: TcpStream, mut to: TcpStream, change: impl Fn(&mut [u8])) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        change(&mut bytes[..count]);
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// All dates have as many characters.
fn write_date(bytes: &mut [u8], date: &str) {
    let name = b"\r\nDate: ";
    let places: Vec<usize> =
        (0..bytes.len()).filter(|at| bytes[*at..].starts_with(name)).map(|at| at + 8).collect();
    for at in places {
        if let Some(place) = bytes.get_mut(at..at + date.len()) {
            place.copy_from_slice(date.as_bytes());
        }
    }
}
