//! What the function of a route is given: a request, and what its path says.

use crate::core::change::By;
use crate::core::http::{Method, Request};
use crate::core::ids::ConnId;
use crate::core::places::Peer;
use crate::core::time::Now;

/// A request: when and from whom it came, and what there is at its path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub now: Now,
    /// When it came, monotonic ms: it may have waited for the first table.
    pub since_ms: u64,
    pub conn: ConnId,
    pub request: &'a Request,
    /// What the path has in place of the segment in braces of its route; empty if there is none.
    pub argument: &'a str,
    /// Which parameters there are, in lists; none if the path is nobody's, or takes what it likes.
    pub parameters: Option<&'static [&'static [&'static str]]>,
}

impl Call<'_> {
    /// Whether a program asks for something, and not a browser for a page.
    pub(super) fn is_of_api(&self) -> bool {
        is_api(self.request.path())
    }

    /// When it came, and from whom.
    pub(super) fn asker(&self) -> (Now, ConnId, Peer) {
        (self.now, self.conn, self.request.peer)
    }

    /// Who it is, and by which way: over the API, by a form of a page, or by a URL of the original.
    pub(super) fn by(&self) -> By {
        let peer = self.request.peer;
        let way = match self.request.path() {
            path if is_api(path) => "api",
            "/actions" => "page",
            path if path.starts_with("/jobs/") && self.request.method == Method::Post => "page",
            _ => "url",
        };
        By {
            who: if peer.is_loopback() { "loopback".into() } else { String::new() },
            origin: format!("{way} {}", peer.address()),
            request: None,
        }
    }
}

/// Whether a path is one for programs.
pub(super) fn is_api(path: &str) -> bool {
    path.starts_with("/api/")
}

/// What must be known of the database for an answer. Who asks for more than is known is answered
/// after the first table, if that comes soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaits {
    /// Nothing.
    Nothing,
    /// Which tags there are, if one is named.
    Tags,
    /// Which jobs there are.
    Jobs,
}
