//! The API of a running daemon, for commands that speak it. The daemon is found as `schedule
//! status` finds it, or is named by its URL.

use super::ask::{self, Begun};
use super::{BAD_CONFIGURATION, FAILED, GroupArgs, Groups, NOT_PERMITTED, Which, no_permission};
use crate::core::plain;
use crate::shell::cli::number::number;
use crate::shell::holder::Found;
use crate::shell::predecessor;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::env;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub use super::ask::{Question, Reply};

/// No daemon answers.
pub const NO_DAEMON: u8 = 3;

/// So long the daemon itself lets somebody wait for an answer, and a little more.
const PATIENCE: Duration = Duration::from_secs(65);

/// What a token stands in, where it is not in the arguments: those all users of the machine see.
const TOKEN: &str = "SCHEDULE_TOKEN";

/// Which daemon.
#[derive(Clone, Debug, clap::Args)]
pub struct ApiArgs {
    /// The group: the number of a [server_N] section [default: the only one]
    #[arg(short = 's', long = "server", value_name = "SERVER_ID", conflicts_with = "url",
          value_parser = number(1..=u32::MAX))]
    pub server: Option<u32>,
    /// The daemon itself, wherever it is: http://HOST:PORT, and the path of a proxy before it
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Configuration file [default: /etc/schedule/schedule.ini, then ./conf/schedule.ini; of a
    /// program that is not installed the reverse]
    #[arg(short = 'c', long = "config", value_name = "FILE", conflicts_with = "url")]
    pub config: Option<PathBuf>,
    /// Who asks, where something before the daemon wants to know: sent as `Authorization: Bearer`.
    /// Other users see arguments: SCHEDULE_TOKEN in the environment is the better place
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
}

/// Why a command is not done.
#[derive(Debug)]
pub struct Failed {
    /// The exit status.
    pub code: u8,
    /// What is to be told; empty if it was.
    pub why: String,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
}

impl Failed {
    /// Something was refused, or is not as it was thought to be.
    pub fn new(why: impl Into<String>) -> Failed {
        Failed::with(FAILED, why)
    }

    /// The same with an exit status of its own.
    pub fn with(code: u8, why: impl Into<String>) -> Failed {
        Failed { code, why: why.into(), status: None }
    }

    /// What a daemon's refusal means.
    fn refused(reply: &Reply) -> Failed {
        let code = match reply.status {
            401 | 403 => NOT_PERMITTED,
            _ => FAILED,
        };
        Failed { code, why: reason(reply), status: Some(reply.status) }
    }
}

/// The end of the command `schedule VERB`.
pub fn ended(verb: &str, done: Result<ExitCode, Failed>) -> ExitCode {
    done.unwrap_or_else(|Failed { code, why, .. }| {
        for line in why.lines() {
            eprintln!("schedule {verb}: {}", plain::line(line));
        }
        code.into()
    })
}

/// A daemon that is asked.
#[derive(Debug)]
pub struct Daemon {
    target: Target,
    token: Option<String>,
}

/// Where a daemon is asked.
#[derive(Debug)]
struct Target {
    addresses: Vec<SocketAddr>,
    /// As it is named in requests.
    host: String,
    /// What stands before each path.
    prefix: String,
}

/// Why a daemon refuses, as it says itself; each mistake of its own on a line of its own.
fn reason(reply: &Reply) -> String {
    let problem: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let list = |name: &str| problem[name].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mistakes = list("errors");
    if !mistakes.is_empty() {
        // Of a file a mistake says which job it is of, and not all are of one, or of a column.
        let line = |it: &Value| {
            let job = it["job"].as_str().filter(|job| !job.is_empty());
            let job = job.map(|job| format!("job {job}: ")).unwrap_or_default();
            match it["column"].as_str() {
                Some("") => format!("{job}{}", text(&it["why"])),
                _ => format!("{job}{}: {}", text(&it["column"]), text(&it["why"])),
            }
        };
        let lines = mistakes.iter().map(line);
        return lines.collect::<Vec<String>>().join("\n");
    }
    let detail = problem["detail"].as_str();
    let mut told =
        detail.map_or_else(|| format!("the daemon answers: {}", reply.line), str::to_owned);
    for it in list("differs") {
        let [column, present, wanted] = ["column", "present", "wanted"].map(|name| text(&it[name]));
        told += &format!("\n{column}: it is now {present}, and not {wanted}");
    }
    told
}

impl Daemon {
    /// The daemon that is meant by a command `schedule VERB`.
    pub fn find(verb: &str, args: &ApiArgs) -> Result<Daemon, Failed> {
        let token = args.token.clone().or_else(|| env::var(TOKEN).ok());
        let token = token.filter(|token| !token.is_empty());
        // RFC 6750 §2.1: what a token is made of.
        let is_odd = |c: char| !c.is_ascii_graphic();
        if token.as_ref().is_some_and(|token| token.contains(is_odd)) {
            let why = "the token has a character in it that no token has";
            return Err(Failed::with(BAD_CONFIGURATION, why));
        }
        let target = match &args.url {
            Some(url) => by_url(url),
            None => by_configuration(verb, args),
        };
        let target = target.map_err(|(code, why)| Failed::with(code, why))?;
        Ok(Daemon { target, token })
    }

    /// The body of what there is at a path.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, Failed> {
        self.ok(Question::get(path)).map(|reply| reply.body)
    }

    /// That as JSON.
    pub fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        parsed(&self.get(path)?)
    }

    /// The answer to a question that is done.
    pub fn ok(&self, question: Question) -> Result<Reply, Failed> {
        let reply = self.ask(question)?;
        match reply.status {
            200 | 201 | 204 => Ok(reply),
            _ => Err(Failed::refused(&reply)),
        }
    }

    /// The answer to a question, whatever it is. A question is sent once: what was sent may be done
    /// though no answer comes.
    fn ask(&self, question: Question) -> Result<Reply, Failed> {
        let (stream, address) = self.target.connect()?;
        let hint = match question.acts() {
            true => "; what was asked for may be done all the same: look before you ask again",
            false => "",
        };
        let sent = self.signed(question).send(stream, &self.target.host);
        let reply = sent.and_then(|sent| sent.whole(Instant::now() + PATIENCE));
        reply.map_err(|why| failed(&why, &format!("{address}: {why}{hint}")))
    }

    /// What comes of a path without an end.
    pub fn stream(&self, path: &str) -> Result<(TcpStream, Vec<u8>), Failed> {
        let (stream, address) = self.target.connect()?;
        let question = self.signed(Question::get(path));
        let sent = question.send(stream, &self.target.host);
        let begun = sent.and_then(|sent| sent.begun(Instant::now() + PATIENCE));
        let Begun { stream, reply } =
            begun.map_err(|why| failed(&why, &format!("{address}: {why}")))?;
        match reply.status {
            200 => Ok((stream, reply.body)),
            _ => Err(Failed::refused(&reply)),
        }
    }

    fn signed(&self, question: Question) -> Question {
        let question = question.below(&self.target.prefix);
        match &self.token {
            Some(token) => question.header("Authorization", &format!("Bearer {token}")),
            None => question,
        }
    }
}

/// There is no whole answer.
fn failed(why: &io::Error, told: &str) -> Failed {
    match why.kind() {
        io::ErrorKind::FileTooLarge => Failed::new(told),
        _ => no_answer(told),
    }
}

fn no_answer(why: &str) -> Failed {
    Failed::with(NO_DAEMON, format!("no daemon answers: {why}"))
}

/// A daemon's answer as it is meant.
pub fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failed> {
    let none = |why| Failed::new(format!("the answer is none of a daemon: {why}"));
    serde_json::from_slice(body).map_err(none)
}

impl Target {
    /// Connects to the first address where somebody listens.
    fn connect(&self) -> Result<(TcpStream, SocketAddr), Failed> {
        let mut failed = format!("{}: it has no address", self.host);
        for address in &self.addresses {
            match ask::connect(*address) {
                Ok(stream) => return Ok((stream, *address)),
                Err(why) => failed = format!("{address}: {why}"),
            }
        }
        Err(no_answer(&failed))
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
            let of = args.config.as_ref().map(|file| format!(" -c {}", file.display()));
            let start = format!("schedule start {id}{}", of.unwrap_or_default());
            let why = format!("server {id}: not running: `{start}` starts it");
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
