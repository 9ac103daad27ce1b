//! How a server of MySQL or MariaDB is reached: over its socket or over TCP, and past what the
//! driver does not survive.

use super::super::Failure;
use super::address::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, bare_host, socket};
use super::explain::{explain, gave_up};
use crate::core::database::Mysql;
use crate::shell::panics::caught;
use mysql::{Conn, DriverError, Error, LocalInfileHandler, OptsBuilder};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// A connection that was silent for so long is asked whether it is still there.
const KEEPALIVE_MS: u32 = 30_000;
/// The longest row that is understood. Fixed, because the driver else asks the server for it.
const MAX_PACKET_BYTES: usize = 64 * 1024 * 1024;

/// Connects, with this limit for each answer. Nothing but the handshake is said: see [`options`].
pub fn connect(database: &Mysql, limit: Duration) -> Result<Conn, Failure> {
    // Of some answers in a handshake the driver makes a panic.
    match caught(|| reach(database, limit)) {
        Ok(done) => done.map_err(|err| explain(database, &err, "connect to")),
        Err(panic) => Err(gave_up(database, &panic)),
    }
}

fn reach(database: &Mysql, limit: Duration) -> mysql::Result<Conn> {
    if let Some(socket) = socket(database) {
        return Conn::new(options(database, limit).socket(Some(socket)));
    }
    let mut failed = Error::DriverError(DriverError::CouldNotConnect(None));
    // The driver tries the first address of a name only; `localhost` often is `::1` first.
    for address in (bare_host(database), database.port).to_socket_addrs()? {
        match Conn::new(at(options(database, limit), address)) {
            Err(err @ Error::DriverError(_)) => failed = err,
            answer => return answer,
        }
    }
    Err(failed)
}

fn at(options: OptsBuilder, address: SocketAddr) -> OptsBuilder {
    options.ip_or_hostname(Some(address.ip().to_string())).tcp_port(address.port())
}

/// Nothing is switched on that costs a round trip: no question for the socket or the packet size,
/// no attributes. A server may not ask for a local file.
fn options(database: &Mysql, limit: Duration) -> OptsBuilder {
    let refuse = |_: &[u8], _: &mut mysql::LocalInfile<'_>| {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "no local files for the server"))
    };
    OptsBuilder::new()
        .user(Some(&database.user))
        .pass(Some(&database.password))
        .db_name(Some(&database.dbname))
        .prefer_socket(false)
        .max_allowed_packet(Some(MAX_PACKET_BYTES))
        .connect_attrs(None::<HashMap<String, String>>)
        .local_infile_handler(Some(LocalInfileHandler::new(refuse)))
        .tcp_connect_timeout(Some(CONNECT_TIMEOUT))
        // A server that is gone for good ends a long wait.
        .tcp_keepalive_time_ms(Some(KEEPALIVE_MS))
        .read_timeout(Some(limit))
        .write_timeout(Some(ANSWER_TIMEOUT))
}
