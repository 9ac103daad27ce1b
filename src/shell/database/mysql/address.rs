//! Where a server of MySQL or MariaDB is, and how long it is waited for.

use crate::core::database::Mysql;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A single read or write, not the whole exchange.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where servers have their socket: Debian, Red Hat, and what is built by hand.
const USUAL_SOCKETS: [&str; 3] =
    ["/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock"];
/// Where the client library of MySQL has been told to look first.
const SOCKET_VARIABLE: &str = "MYSQL_UNIX_PORT";
/// The port of the server that has one of the usual sockets.
const USUAL_PORT: u16 = 3306;

/// The socket over which the server is reached, if it is one. For PHP, from where configurations
/// come, `localhost` is the socket; a port that is not the usual one means another server.
pub fn socket(database: &Mysql) -> Option<String> {
    if !database.unix_socket.is_empty() {
        return Some(database.unix_socket.clone());
    }
    if !implies_socket(database) {
        return None;
    }
    let told = std::env::var(SOCKET_VARIABLE).ok();
    let usual = USUAL_SOCKETS.map(str::to_owned);
    let is_socket = |path: &String| fs::metadata(path).is_ok_and(|it| it.file_type().is_socket());
    told.into_iter().chain(usual).find(is_socket)
}

/// Whether a socket is taken where there is one.
pub fn implies_socket(database: &Mysql) -> bool {
    database.unix_socket.is_empty()
        && database.host.eq_ignore_ascii_case("localhost")
        && database.port == USUAL_PORT
}

/// The host without the brackets that an IPv6 address has in front of a port.
pub fn bare_host(database: &Mysql) -> &str {
    let inside = database.host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inside.unwrap_or(&database.host)
}
