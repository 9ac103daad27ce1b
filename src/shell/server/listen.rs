//! The listening socket, and accepting when descriptors are short.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use mio::net::{TcpListener, TcpStream};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::core::http::{Connection, Limits};
use crate::core::places::Peer;
use crate::core::time::Now;
use crate::shell::sys;

/// Clients that may wait in the kernel to be accepted; the kernel caps it (`net.core.somaxconn`).
const BACKLOG: i32 = 4_096;

/// Why there is no listening socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The host name has no address.
    #[error(
        "host = {host}: it has no address here ({source}); use an address such as 127.0.0.1, \
         or `*`: all addresses of this machine"
    )]
    Resolve {
        /// The name as configured.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address of the host could be listened on.
    #[error("cannot listen on {address}: {source}; {hint}")]
    Listen {
        /// The address tried last.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The event queue refused the socket.
    #[error("cannot watch the listening socket: {0}")]
    Watch(#[from] io::Error),
}

/// Listens on the first address of `host` that can be had, IPv4 before IPv6; `*` or nothing means
/// every address of the machine. Resolving a name may block: start-up only.
pub(super) fn bind(host: &str, port: u16) -> Result<TcpListener, BindError> {
    let mut last = None;
    for address in addresses(host, port)? {
        match listen(address) {
            Ok(socket) => return Ok(TcpListener::from(socket)),
            Err(source) => last = Some((address, source)),
        }
    }
    let (address, source) = last.ok_or_else(|| no_address(host))?;
    Err(BindError::Listen { address, hint: hint(&source), source })
}

/// What came of listening somewhere else.
pub(super) struct Moved {
    /// The new socket, or one at the old address.
    pub listener: TcpListener,
    /// Clients that the old one had not accepted yet.
    pub waiting: Vec<OwnedFd>,
    /// Why it is the old address that is listened on.
    pub trouble: Option<BindError>,
}

/// Listens on `host` and `port` instead of on `old`. The kernel lets nobody listen on one address
/// and on all of them with the same port; then the old socket is closed first, and made again where
/// the new one can't be had all the same.
pub(super) fn instead_of(old: OwnedFd, host: &str, port: u16) -> Result<Moved, BindError> {
    let excluded = match bind(host, port) {
        Ok(listener) => return Ok(Moved { listener, waiting: waiting(&old), trouble: None }),
        Err(why) => why,
    };
    let at = net::getsockname(&old).ok().and_then(|at| SocketAddr::try_from(at).ok());
    let in_use = matches!(&excluded, BindError::Listen { source, .. }
        if source.kind() == io::ErrorKind::AddrInUse);
    let Some(at) = at.filter(|at| in_use && at.port() == port) else {
        return Ok(Moved { listener: adopt(old)?, waiting: Vec::new(), trouble: Some(excluded) });
    };
    let waiting = waiting(&old);
    drop(old);
    let (listener, trouble) = match bind(host, port) {
        Ok(listener) => (listener, None),
        Err(why) => (TcpListener::from(listen(at)?), Some(why)),
    };
    Ok(Moved { listener, waiting, trouble })
}

/// The clients that wait to be accepted: the end of the socket would be theirs.
fn waiting(socket: &OwnedFd) -> Vec<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    if rustix::io::ioctl_fionbio(socket, true).is_err() {
        return Vec::new();
    }
    std::iter::from_fn(|| net::accept_with(socket, flags).ok()).collect()
}

fn no_address(host: &str) -> BindError {
    BindError::Resolve { host: host.to_owned(), source: io::ErrorKind::NotFound.into() }
}

/// The addresses that `host` stands for. Resolving a name may block.
///
/// # Errors
/// The name has none.
pub fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, BindError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if matches!(bare, "" | "*") {
        return Ok(vec![([0_u16; 8], port).into(), ([0_u8; 4], port).into()]);
    }
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let found = (bare, port).to_socket_addrs();
    let found = found.map_err(|source| BindError::Resolve { host: host.to_owned(), source })?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

fn listen(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // [::] serves IPv4 too, whatever the system's default.
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    set_options(&socket)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Options that accepted sockets inherit on Linux, so that they cost no system call each.
fn set_options(socket: &OwnedFd) -> io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    Ok(sockopt::set_socket_keepalive(socket, true)?)
}

/// Takes over a socket that another process image listened on.
pub(super) fn adopt(socket: OwnedFd) -> io::Result<TcpListener> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    set_options(&socket)?;
    Ok(TcpListener::from(socket))
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program has this port (ss -ltnp shows which): end it, or take another port"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need root or CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address (ip addr)",
        _ => "see host and port of the server's section",
    }
}

/// Descriptors that are not for clients at the least: for the files of the daemon, its journal, the
/// keeper, runs without one, and the helpers, without which no job comes from the database.
const OWN: u64 = 96;

/// Places beyond the limit at the most, for clients that are told there is none.
const MAX_REFUSALS: u64 = 64;

/// How many connections there may be, and how many more while they are told that there is no place
/// for them. What is not for clients comes first: a quarter of the process's limit (1,024 at most),
/// or [`OWN`], but of a very small limit no more than half.
pub(super) fn affordable(connections: usize) -> (usize, usize) {
    let limit = sys::descriptor_limit();
    let (affordable, refusals) = shared_out(limit);
    if affordable < connections {
        let level = if limit / 4 < OWN { log::Level::Warn } else { log::Level::Info };
        log::log!(
            level,
            "at most {affordable} connections instead of {connections}: the limit of open files \
             is {limit} (ulimit -n)"
        );
    }
    (connections.min(affordable), refusals)
}

fn shared_out(limit: u64) -> (usize, usize) {
    let places = limit - (limit / 4).min(1_024).max(OWN.min(limit / 2));
    let refusals = (places / 8).min(MAX_REFUSALS);
    let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
    (count(places - refusals), count(refusals))
}

/// What one attempt to accept gave.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A client.
    Client(TcpStream, Peer),
    /// Nobody waits.
    Nobody,
    /// Out of descriptors; somebody waits.
    NoDescriptor,
    /// Out of memory or the like; try later.
    Trouble(io::Error),
}

/// Accepts one client. One that has gone already is passed over.
pub(super) fn accept(listener: &TcpListener) -> Accepted {
    loop {
        let error = match listener.accept() {
            Ok((stream, from)) => return Accepted::Client(stream, Peer::at(from.ip())),
            Err(error) => error,
        };
        match error.raw_os_error() {
            _ if error.kind() == io::ErrorKind::WouldBlock => return Accepted::Nobody,
            Some(libc::EMFILE) => return Accepted::NoDescriptor,
            Some(libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => return Accepted::Trouble(error),
            // accept(2): errors of the network on the new socket are to be treated like EAGAIN
            // by retrying; what the listener itself can have is fatal there and pauses here.
            Some(
                libc::EINTR
                | libc::ECONNABORTED
                | libc::ENETDOWN
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::EPERM,
            ) => {}
            _ => return Accepted::Trouble(error),
        }
    }
}

/// Tells a client that there is no place, without giving it one; best effort.
pub(super) fn dismiss(mut stream: TcpStream, limits: &Rc<Limits>, now: Now) {
    let _ = stream.write(Connection::refused(limits, now).output());
    let _ = stream.shutdown(Shutdown::Write);
    // Unread input would turn the close into a reset that overtakes the answer.
    let _ = stream.read(&mut [0; 1_024]);
}

/// A descriptor kept in reserve: given up for a moment, it lets the last client in, to be told
/// that there is no place. Without it that client would hang in the kernel's queue.
#[derive(Debug)]
pub(super) struct Reserve(Option<File>);

impl Reserve {
    pub(super) fn new() -> Reserve {
        Reserve(File::open("/dev/null").ok())
    }

    /// Lets one client in at the expense of the reserve; drop the client, then [`Reserve::refill`].
    pub(super) fn accept(&mut self, listener: &TcpListener) -> Accepted {
        match self.0.take() {
            Some(file) => {
                drop(file);
                accept(listener)
            }
            None => Accepted::NoDescriptor,
        }
    }

    pub(super) fn refill(&mut self) {
        if self.0.is_none() {
            *self = Reserve::new();
        }
    }
}
