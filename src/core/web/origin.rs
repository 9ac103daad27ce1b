//! Who may change something: programs, and pages of this daemon. Never a page of another site
//! that a user of the console happens to look at (cross-site request forgery), and never one that
//! made its own name point here (DNS rebinding).

use crate::core::http::{Method, Request, Response};

/// The names under which the daemon is asked.
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

    /// Refuses a change that a foreign page may have caused.
    ///
    /// # Errors
    /// The answer to such a request: 403 with what is wrong and what to do.
    pub fn check(&self, request: &Request) -> Result<(), Response> {
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
        if request.method == Method::Get && is_browser(request) && !is_own_page(request) {
            return refuse(
                "a browser changes something by the console's buttons (POST), not by a link: it \
                 does not always tell which page a link was on. Programs may use GET",
            );
        }
        if self.loopback && !self.is_known(request.host()) {
            return refuse(
                "Host is no name of this machine's loopback address, on which alone the daemon \
                 listens: ask 127.0.0.1, [::1], localhost or a configured name ([server_N] names)",
            );
        }
        Ok(())
    }

    /// HTTP/1.0 may leave the host out; browsers never do.
    fn is_known(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let address: Result<::core::net::IpAddr, _> = bare.parse();
        name.is_empty()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.names.iter().any(|known| known == name)
            || address.is_ok_and(|address| address.is_loopback())
    }
}

/// Every browser calls itself a Mozilla; programs have names of their own.
fn is_browser(request: &Request) -> bool {
    request.header("user-agent").is_some_and(|agent| agent.contains("Mozilla/"))
}

/// Whether a browser says that the request comes from a page of this daemon, or from the address
/// bar. Over plain HTTP, but for loopback, it leaves `Sec-Fetch-Site` out (Fetch Metadata §2).
fn is_own_page(request: &Request) -> bool {
    let own = |page: &[u8]| {
        let page = page.split(|&byte| byte == b'/').take(3).collect::<Vec<_>>().join(&b'/');
        is_own(&page, request.host())
    };
    request.header("sec-fetch-site").is_some() || request.headers("referer").any(own)
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
