//! Who may ask, and who may change something: programs, and pages of this daemon. Never a page of
//! another site that a user of the console happens to look at (cross-site request forgery), and
//! never one that made its own name point here (DNS rebinding).

use crate::core::http::{Request, Response};
use ::core::net::IpAddr;

/// The names under which the daemon is asked, besides IP addresses and `localhost`.
#[derive(Debug, Default)]
pub struct Listening {
    names: Vec<String>,
    loopback: bool,
}

impl Listening {
    /// `names` are those of the configuration; `loopback` is whether only this machine can connect.
    pub fn new(mut names: Vec<String>, loopback: bool) -> Listening {
        names.iter_mut().for_each(|name| name.make_ascii_lowercase());
        Listening { names, loopback }
    }

    /// Refuses what was asked of another host. A page that makes its own name point here may read
    /// whatever it can ask for, so this is checked before every route.
    ///
    /// # Errors
    /// The answer to such a request: 403 with what is wrong and what to do.
    pub fn check_host(&self, request: &Request) -> Result<(), Response> {
        if self.is_known(request.host()) {
            return Ok(());
        }
        let why = match self.loopback {
            true => {
                "Host is no name of this machine's loopback address, on which alone the daemon \
                 listens: ask 127.0.0.1, [::1], localhost or a configured name ([server_N] names)"
            }
            false => {
                "Host is no name of this machine: ask an IP address of it, its host name, a name \
                 that its /etc/hosts has for it, or a configured name ([server_N] names)"
            }
        };
        Err(Response::problem(403, why))
    }

    /// Refuses a change that a foreign page may have caused.
    ///
    /// # Errors
    /// The answer to such a request: 403 with what is wrong and what to do.
    pub fn check_change(&self, request: &Request) -> Result<(), Response> {
        let refuse = |why: &str| Err(Response::problem(403, why));
        if let Some(site) = request.header("sec-fetch-site")
            && !matches!(site, "none" | "same-origin")
        {
            return refuse("a page of another site can't change anything here; use the console");
        }
        if request.headers("sec-fetch-site").nth(1).is_some() {
            return refuse("Sec-Fetch-Site is there twice; send it once or not at all");
        }
        let prefetch = |name| request.header(name).is_some_and(|text| text.contains("prefetch"));
        if prefetch("sec-purpose") || prefetch("purpose") {
            return refuse("a link that changes something is not fetched in advance; click it");
        }
        if request.headers("origin").any(|origin| !is_own(origin, request.host())) {
            return refuse(
                "Origin is not the host that is asked: a page of another site can't change \
                 anything here; a program leaves Origin out, a proxy passes Host on as it is",
            );
        }
        Ok(())
    }

    /// Refuses a stream or a file to a page of another site: it could not read it, but it would
    /// take a place, and keep the daemon busy.
    ///
    /// # Errors
    /// The answer to such a request: 403.
    pub fn check_reader(&self, request: &Request) -> Result<(), Response> {
        // Not each browser, and none on a plain connection beyond this machine, sends the former.
        let mut sites = request.headers("sec-fetch-site");
        let foreign = sites.any(|site| !matches!(site, b"none" | b"same-origin"))
            || request.headers("origin").any(|origin| !is_own(origin, request.host()));
        match foreign {
            true => Err(Response::problem(
                403,
                "files and streams are not for pages of other sites: open the console itself",
            )),
            false => Ok(()),
        }
    }

    /// HTTP/1.0 may leave the host out; browsers never do. On an address that others reach, each
    /// IP address will do: no page can make another host's address its own.
    fn is_known(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let v6 = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = match v6 {
            Some(bare) => bare.parse().map(IpAddr::V6),
            None => name.parse().map(IpAddr::V4),
        };
        name.is_empty()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.names.iter().any(|known| known == name)
            || address.is_ok_and(|address| !self.loopback || address.is_loopback())
    }
}

/// Whether a browser asks: then GET changes nothing, whatever it says of where the request comes
/// from. A link in a mail is `Sec-Fetch-Site: none`, and so is what a foreign page made of it by a
/// redirection. Every browser calls itself a Mozilla, and those that know Fetch Metadata send it
/// where the connection is trustworthy (Fetch Metadata §2); programs do neither.
pub fn is_browser(request: &Request) -> bool {
    let names = ["sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "sec-fetch-user"];
    names.into_iter().any(|name| request.headers(name).next().is_some())
        || request.header("user-agent").is_some_and(|agent| agent.contains("Mozilla/"))
}

/// `Origin` is `scheme://host[:port]`, or `null` (RFC 6454 §7).
fn is_own(origin: &[u8], host: &str) -> bool {
    let Ok(origin) = std::str::from_utf8(origin) else { return false };
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(default).unwrap_or(text).to_ascii_lowercase();
    !host.is_empty() && bare(authority) == bare(host)
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    }
}
