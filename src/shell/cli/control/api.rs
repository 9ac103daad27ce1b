//! The API of a running daemon, for commands that speak it. The daemon is found as `schedule
//! status` finds it, or is named by its URL.

use super::ask::{self, Reply};
use super::{BAD_CONFIGURATION, FAILED, GroupArgs, Groups, NOT_PERMITTED, Which, no_permission};
use crate::core::plain;
use crate::shell::holder::Found;
use crate::shell::predecessor;
use serde_json::Value;
use std::fmt::Display;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// No daemon answers.
const NO_DAEMON: u8 = 3;

/// So long the daemon itself lets somebody wait for an answer, and a little more.
const PATIENCE: Duration = Duration::from_secs(65);

/// Which daemon.
#[derive(Clone, Debug, clap::Args)]
pub struct ApiArgs {
    /// The group: the number of a [server_N] section [default: the only one]
    #[arg(short = 's', long = "server", value_name = "SERVER_ID", conflicts_with = "url",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub server: Option<u32>,
    /// The daemon itself, wherever it is: http://HOST:PORT, and the path of a proxy before it
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Configuration file [default: /etc/schedule/schedule.ini, then ./conf/schedule.ini]
    #[arg(short = 'c', long = "config", value_name = "FILE", conflicts_with = "url")]
    pub config: Option<PathBuf>,
}

/// Where a daemon is asked.
struct Target {
    addresses: Vec<SocketAddr>,
    /// As it is named in requests.
    host: String,
    /// What stands before each path.
    prefix: String,
}

/// The body of what the daemon has at a path. `Err`: the exit status of the command, which is
/// `schedule VERB`; why is told.
pub fn get(verb: &str, args: &ApiArgs, path: &str) -> Result<Vec<u8>, u8> {
    let target = match &args.url {
        Some(url) => by_url(url),
        None => by_configuration(verb, args),
    };
    let tell = |why: &dyn Display| eprintln!("schedule {verb}: {}", plain::line(&why.to_string()));
    let told = |(code, why): (u8, String)| {
        // Empty: it was told already.
        if !why.is_empty() {
            tell(&why);
        }
        code
    };
    let reply = target.and_then(|target| target.get(path)).map_err(told)?;
    if reply.status == 200 {
        return Ok(reply.body);
    }
    tell(&reason(&reply));
    Err(match reply.status {
        401 | 403 => NOT_PERMITTED,
        _ => FAILED,
    })
}

/// Why a daemon refuses, as it says itself.
fn reason(reply: &Reply) -> String {
    let problem: Option<Value> = serde_json::from_slice(&reply.body).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    detail.map_or_else(|| format!("the daemon answers: {}", reply.line), str::to_owned)
}

impl Target {
    fn get(&self, path: &str) -> Result<Reply, (u8, String)> {
        let path = format!("{}{path}", self.prefix);
        let mut failed = format!("{}: it has no address", self.host);
        for address in &self.addresses {
            match ask::fetch(*address, &self.host, &path, PATIENCE) {
                Ok(reply) => return Ok(reply),
                Err(why) => failed = format!("{address}: {why}"),
            }
        }
        Err((NO_DAEMON, format!("no daemon answers: {failed}")))
    }
}

fn by_url(url: &str) -> Result<Target, (u8, String)> {
    let refuse =
        |why: &str| Err((BAD_CONFIGURATION, format!("--url {}: {why}", plain::shown(url))));
    let rest = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return refuse("only http is spoken: name the daemon's own address"),
        None => return refuse("write it as http://HOST:PORT"),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@');
    if host.is_empty() || rest.contains(is_odd) {
        return refuse("write it as http://HOST:PORT, or http://HOST:PORT/PATH");
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let named = if has_port { host.to_owned() } else { format!("{host}:80") };
    let addresses = match named.to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(why) => return Err((NO_DAEMON, format!("no daemon answers: {host}: {why}"))),
    };
    let path = path.trim_matches('/');
    let prefix = if path.is_empty() { String::new() } else { format!("/{path}") };
    Ok(Target { addresses, host: host.to_owned(), prefix })
}

fn by_configuration(verb: &str, args: &ApiArgs) -> Result<Target, (u8, String)> {
    let which = args.server.map_or(Which::All, Which::One);
    let group = GroupArgs { which, config: args.config.clone() };
    let groups =
        Groups::read_most(verb, &group).map_err(|()| (BAD_CONFIGURATION, String::new()))?;
    let [id] = groups.ids[..] else {
        let ids: Vec<String> = groups.ids.iter().map(u32::to_string).collect();
        let why = match ids.len() {
            0 => "the configuration has no [server_N]".to_owned(),
            _ => format!("there are several groups: say which by -s, one of {}", ids.join(", ")),
        };
        return Err((BAD_CONFIGURATION, why));
    };
    let holder = match groups.find(id) {
        Found::Running(holder) => holder,
        Found::Nobody | Found::Stale => {
            let why = format!("server {id}: not running: `schedule start {id}` starts it");
            return Err((NO_DAEMON, why));
        }
        Found::Predecessor(pid) => {
            let why = format!("server {id}: {}", predecessor::in_the_way(pid));
            return Err((NO_DAEMON, why));
        }
        Found::Unclear(why) => return Err((NO_DAEMON, format!("server {id}: {why}"))),
        Found::NotPermitted(what) => {
            return Err((NOT_PERMITTED, format!("server {id}: {}", no_permission(&what))));
        }
    };
    let address = groups.address(id, &holder);
    let unknown = || (NO_DAEMON, format!("server {id}: where it listens is not known"));
    let address = address.ok_or_else(unknown)?;
    Ok(Target { addresses: vec![address], host: address.to_string(), prefix: String::new() })
}
