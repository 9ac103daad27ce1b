//! Who may ask, and who may change something: programs, and pages of this daemon. Never a page of
//! another site that a user of the console happens to look at (cross-site request forgery), and
//! never one that made its own name point here (DNS rebinding).

use crate::core::http::{Request, Response};
use ::core::net::IpAddr;
use std::borrow::Cow;

/// What to do about the commonest cause of pages that seem to be another site's.
const PROXY: &str = "a proxy passes Host on as it is (nginx: proxy_set_header Host $http_host)";

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
                "Host is no name of the loopback address, and the daemon listens on no other: ask \
                 127.0.0.1, [::1], localhost or a configured name ([server_N] names)"
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
        if is_of_other_site(request) {
            return refuse("a page of another site can't change anything here; use the console");
        }
        if request.headers("sec-fetch-site").nth(1).is_some() {
            return refuse("Sec-Fetch-Site is there twice; send it once or not at all");
        }
        if is_in_advance(request) {
            return refuse("a link that changes something is not fetched in advance; click it");
        }
        match Asker::of(request) {
            Asker::Foreign => refuse(&format!(
                "Origin (or Referer) is not the host that is asked ({}): a page of another site \
                 can't change anything here; a program leaves both out, {PROXY}",
                request.host()
            )),
            Asker::Untold if looks_like_form(request) => refuse(&format!(
                "this looks like a browser (by two of: Mozilla in User-Agent, text/html in Accept, \
                 Accept-Language), and one that says neither by Origin nor by Referer which page \
                 asks changes nothing here: let it send one, a program `Origin: http://{}`",
                request.host()
            )),
            Asker::Own | Asker::Untold => Ok(()),
        }
    }

    /// Refuses a stream or a file to a page of another site: it could not read it, but it would
    /// take a place, and keep the daemon busy.
    ///
    /// # Errors
    /// The answer to such a request: 403.
    pub fn check_reader(&self, request: &Request) -> Result<(), Response> {
        if is_of_other_site(request) {
            let why = "files, streams, forecasts and exports are not for pages of other sites: \
                       open the console itself";
            return Err(Response::problem(403, why));
        }
        // Not each browser, and none on a plain connection beyond this machine, sends the former.
        match Asker::of(request) {
            Asker::Foreign => {
                let why = format!(
                    "files, streams, forecasts and exports are not for pages of other sites, and \
                     Origin (or Referer) is not the host that is asked ({}): open the console \
                     itself; {PROXY}",
                    request.host()
                );
                Err(Response::problem(403, &why))
            }
            Asker::Own | Asker::Untold => Ok(()),
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

/// Whose page has made the client ask, as far as it says.
enum Asker {
    /// One of this daemon's.
    Own,
    /// One of another site.
    Foreign,
    /// It does not say, as programs do.
    Untold,
}

impl Asker {
    /// `Referer` counts where there is nothing better. Old browsers send no `Origin` with a form,
    /// and none is sent for the picture of a page; a page that means harm can leave the `Referer`
    /// of others out, too.
    fn of(request: &Request) -> Asker {
        let says = |name| request.headers(name).next().is_some();
        let own = |it: &[u8]| is_own(it, request.host());
        let all_own = match (says("origin"), says("sec-fetch-site")) {
            (true, _) => request.headers("origin").all(own),
            (false, true) => true,
            (false, false) if says("referer") => request.headers("referer").all(|it| own(site(it))),
            (false, false) => return Asker::Untold,
        };
        if all_own { Asker::Own } else { Asker::Foreign }
    }
}

/// Whether a browser asks: then GET changes nothing, whatever it says of where the request comes
/// from. A link in a mail is `Sec-Fetch-Site: none`, and so is what a foreign page made of it by a
/// redirection. Every browser with windows calls itself a Mozilla, and those that know Fetch
/// Metadata send it where the connection is trustworthy (Fetch Metadata §2). Those of a terminal
/// say which language their user reads, or which page has the link; of programs only those that are
/// known by their name do.
///
/// Node's `fetch` says how it asks (`Sec-Fetch-Mode`), but not where and what for.
pub fn is_browser(request: &Request) -> bool {
    let names = ["sec-fetch-site", "sec-fetch-dest", "sec-fetch-user", "referer"];
    names.into_iter().any(|name| request.headers(name).next().is_some())
        || (!is_program(request) && (has_language(request) || is_mozilla(request)))
}

/// Whether a browser sends a form, as far as that is to be seen where it does not say from where.
/// Of these signs each has at least two (Opera is no Mozilla, old Internet Explorers ask for no
/// page in particular), and programs have one at most: Java would like to get a page, some call
/// themselves a Mozilla, and there may be some that say a language.
///
/// There is no help against Dillo and ELinks: they send as `Referer` an address of the host that
/// they ask, whose page ever it was; nor against Links, which has but one of the signs.
fn looks_like_form(request: &Request) -> bool {
    let wants_page = request
        .headers("accept")
        .any(|kinds| String::from_utf8_lossy(kinds).to_ascii_lowercase().contains("text/html"));
    let signs = [is_mozilla(request), wants_page, has_language(request)];
    !is_program(request) && signs.into_iter().filter(|sign| *sign).count() >= 2
}

/// Whether a user's language is said. Node's `fetch` says that it takes any.
fn has_language(request: &Request) -> bool {
    request.headers("accept-language").any(|languages| languages.trim_ascii() != b"*")
}

/// Whether a link leads here that somebody has followed: what a page shows of its own accord, in a
/// frame or as a picture, is none.
pub fn is_link(request: &Request) -> bool {
    let within = ["iframe", "frame", "fencedframe", "embed", "object"];
    match request.header("sec-fetch-mode") {
        Some(mode) => {
            let shown_in = request.header("sec-fetch-dest").unwrap_or_default();
            mode == "navigate" && !within.contains(&shown_in)
        }
        // On a plain connection beyond this machine there is only what it would like to get.
        None => request.header("accept").is_some_and(|kinds| kinds.contains("text/html")),
    }
}

/// Whether the browser itself says that a page of another site asks.
fn is_of_other_site(request: &Request) -> bool {
    request.headers("sec-fetch-site").any(|site| !matches!(site, b"none" | b"same-origin"))
}

/// Every browser with windows calls itself so.
fn is_mozilla(request: &Request) -> bool {
    agents(request).any(|agent| agent.contains("Mozilla/"))
}

/// Whether it is a program by its name, whatever else it sends. PowerShell and WinHTTP call
/// themselves a Mozilla, too; WinHTTP as the XMLHTTP object of scripts (`ServerXMLHTTP`) and the
/// programs of Apple's systems say the language of their user. No page can give its browser another
/// name without asking first (the Fetch standard, CORS-safelisted headers).
fn is_program(request: &Request) -> bool {
    agents(request).any(|agent| {
        let is_windows = ["PowerShell/", "WinHttp."].iter().any(|name| agent.contains(name));
        is_windows || (agent.contains("CFNetwork/") && !agent.contains("Mozilla/"))
    })
}

fn agents(request: &Request) -> impl Iterator<Item = Cow<'_, str>> {
    request.headers("user-agent").map(String::from_utf8_lossy)
}

/// Whether a page is fetched before somebody has asked for it, in the words of each browser.
fn is_in_advance(request: &Request) -> bool {
    let names = ["sec-purpose", "purpose", "x-purpose", "x-moz"];
    let words = ["prefetch", "prerender", "preview"];
    names.into_iter().flat_map(|name| request.headers(name)).any(|text| {
        let text = String::from_utf8_lossy(text).to_ascii_lowercase();
        words.iter().any(|word| text.contains(word))
    })
}

/// Of the address of a page, what `Origin` would have.
fn site(address: &[u8]) -> &[u8] {
    let begins = address.windows(3).position(|part| part == b"://").map_or(0, |at| at + 3);
    let ends = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
    let length = address[begins..].iter().position(ends).unwrap_or(address.len() - begins);
    &address[..begins + length]
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
