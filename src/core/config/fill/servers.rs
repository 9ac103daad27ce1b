//! The server groups: sections `[server_N]`.

use std::collections::BTreeMap;

use ::core::net::IpAddr;

use super::super::Server;
use super::super::lines::Entry;
use super::super::problem::Problems;
use super::super::sections::{Draft, Drafts};
use super::section::Keys;

const SERVER: [&str; 5] = ["host", "port", "server", "insecure", "names"];

const LOOPBACK: &str = "127.0.0.1";

/// Stands for every address of the machine, as `0.0.0.0` and `::` do.
const EVERYWHERE: &str = "*";

pub(super) fn all(
    drafts: &Drafts,
    local: &[IpAddr],
    problems: &mut Problems,
) -> BTreeMap<u32, Server> {
    if drafts.servers.is_empty() {
        problems.error(
            0,
            "no server: add a section [server_1] (1 = the `server_id` of its jobs) with \
             `port = 3401`",
        );
    }
    let vars_here = vars_here(&drafts.vars, local, problems);
    let mut servers = BTreeMap::new();
    for (id, draft) in &drafts.servers {
        let draft = with_common(draft, &drafts.common);
        let server = server(*id, &draft, vars_here, problems);
        same_port(&server, &servers, drafts, problems);
        servers.insert(*id, server);
    }
    host_left_out(drafts, problems);
    servers
}

/// What was said for all servers comes first, so that what a server says itself counts.
fn with_common(draft: &Draft, common: &[Entry]) -> Draft {
    let own = |entry: &&Entry| draft.entries.iter().all(|e| e.key != entry.key);
    let mut draft_with = draft.clone();
    draft_with.entries.splice(0..0, common.iter().filter(own).cloned());
    draft_with
}

fn server(id: u32, draft: &Draft, vars_here: u32, problems: &mut Problems) -> Server {
    let mut keys = Keys::new(format!("[server_{id}]"), draft, problems);
    keys.known(&SERVER);
    // 3401 for group 1, as the original's sample has it; where that is no port, any free one.
    let default_port = id.checked_add(3400).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    let port = keys.number("port", u32::from(default_port), 0..=65_535, "0 = any free port");
    let insecure = keys.flag("insecure", false);
    let host = host(&mut keys, insecure);
    let vars_server = keys.number("server", vars_here, 1..=i32::MAX as u32, "`server_id` of vars");
    let names = names(&mut keys);
    let port = u16::try_from(port).unwrap_or(default_port);
    Server { id, host, port, vars_server, insecure, names }
}

/// Host names, parted by commas or blanks. They are compared with what a client asks for, without
/// its port.
fn names(keys: &mut Keys) -> Vec<String> {
    let written = keys.text("names", "").to_ascii_lowercase();
    let parted = written.split([',', ' ', '\t']).filter(|name| !name.is_empty());
    let names: Vec<String> = parted.map(str::to_owned).collect();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if let Some(wrong) = names.iter().find(|name| !name.chars().all(fits)) {
        let text = format!(
            "`names` has `{wrong}`: write host names as browsers show them, without `http://` and \
             port, such as `schedule.example.com`"
        );
        keys.error("names", text);
    }
    names
}

/// The address to listen on. Beyond loopback anyone who reaches the port could start and stop
/// jobs, so without a login that has to be asked for in so many words.
fn host(keys: &mut Keys, insecure: bool) -> String {
    let written = keys.text("host", LOOPBACK);
    let bare = written.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(&written);
    let address = bare.parse::<IpAddr>();
    let name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    if address.is_err() && bare != EVERYWHERE && !bare.chars().all(name) {
        let hint = match written.contains(':') {
            true => "; the port has a key of its own, `port`",
            false => "",
        };
        let text = format!(
            "`host` is `{written}`: write an address such as {LOOPBACK}, or `{EVERYWHERE}`: all \
             addresses of this machine{hint}"
        );
        keys.error("host", text);
    } else if !insecure && !is_loopback(bare) {
        let text = format!(
            "`host` is `{written}`, which others can reach, and no login is configured: everybody \
             who reaches the port could start and stop jobs. Write {LOOPBACK}, or `insecure = 1` \
             if something else protects the port"
        );
        keys.error("host", text);
    }
    bare.to_string()
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Two groups with one port can't both listen, unless on different addresses.
fn same_port(
    server: &Server,
    others: &BTreeMap<u32, Server>,
    drafts: &Drafts,
    problems: &mut Problems,
) {
    let clash = |o: &&Server| o.port == server.port && overlap(&o.host, &server.host);
    if let Some(other) = others.values().filter(|o| o.port != 0).find(clash) {
        let entries = &drafts.servers[&server.id].entries;
        let line = entries.iter().rev().find(|e| e.key == "port").map(|e| e.line);
        let text = format!(
            "server {} has port {} like server {}: every server needs a port of its own",
            server.id, server.port, other.id
        );
        problems.error(line.unwrap_or(drafts.servers[&server.id].line), text);
    }
}

fn overlap(a: &str, b: &str) -> bool {
    let unspecified = |h: &str| h.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
    let everywhere = |h: &str| h == EVERYWHERE || unspecified(h);
    a == b || everywhere(a) || everywhere(b) || (is_loopback(a) && is_loopback(b))
}

/// Which `server_vars[ADDRESS]` counts on this machine. Addresses that others can see go before
/// loopback, which every machine has.
fn vars_here(vars: &[Entry], local: &[IpAddr], problems: &mut Problems) -> u32 {
    const DEFAULT: u32 = 1;
    let mut here: Vec<(IpAddr, u32, &Entry)> = Vec::new();
    let mut elsewhere: Vec<&Entry> = Vec::new();
    for entry in vars {
        let address = entry.key.parse::<IpAddr>();
        let number = entry.value.parse::<u32>().ok().filter(|n| *n >= 1 && *n <= i32::MAX as u32);
        match (address, number) {
            (Ok(address), Some(number)) if local.contains(&address) => {
                here.push((address, number, entry));
            }
            (Ok(_), Some(_)) => elsewhere.push(entry),
            _ => {
                let text = format!(
                    "`{} = {}`: write `server_vars[ADDRESS] = N`: the address of a machine, and \
                     the `server_id` of its rows in scheduler_vars",
                    entry.written, entry.value
                );
                problems.error(entry.line, text);
            }
        }
    }
    here.sort_by_key(|(address, ..)| address.is_loopback());
    if let [(_, first, entry), .., (other, last, _)] = here[..]
        && first != last
        && !other.is_loopback()
    {
        let text = format!("`{}` counts, though this machine has {other} too", entry.written);
        problems.warning(entry.line, text);
    }
    match (here.first(), elsewhere.first()) {
        (Some((_, number, _)), _) => *number,
        (None, None) => DEFAULT,
        (None, Some(first)) => {
            problems.error(first.line, nobody_here(&elsewhere, local));
            DEFAULT
        }
    }
}

fn nobody_here(vars: &[&Entry], local: &[IpAddr]) -> String {
    let asked: Vec<&str> = vars.iter().map(|entry| entry.key.as_str()).collect();
    let mut own: Vec<String> = local.iter().map(IpAddr::to_string).collect();
    own.sort_unstable();
    own.dedup();
    let own = if own.is_empty() { "none".to_string() } else { own.join(", ") };
    format!(
        "none of the addresses of server_vars ({}) belongs to this machine (it has {own}): add \
         `server_vars[ADDRESS] = N` with one of them",
        asked.join(", ")
    )
}

/// The flat form has no `host`: the original listened on the address of `server_vars`. Ours stays
/// on loopback, and somebody whose page is suddenly out of reach must be able to find out why.
fn host_left_out(drafts: &Drafts, problems: &mut Problems) {
    let said = |entries: &[Entry]| entries.iter().any(|entry| entry.key == "host");
    let left_out = drafts.servers.values().find(|draft| draft.flat && !said(&draft.entries));
    if let Some(draft) = left_out.filter(|_| !said(&drafts.common)) {
        let text = format!(
            "no `host`: the page is served on {LOOPBACK} only. Put a line `host = {LOOPBACK}` at \
             the top if that is meant, else the address and `insecure = 1`"
        );
        problems.warning(draft.line, text);
    }
}
