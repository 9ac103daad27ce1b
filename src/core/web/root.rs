//! Where the top of the console is, seen from the page that was asked for.
//!
//! A proxy may show the console below a path of its own (`https://host/schedule/`), which the
//! daemon is not told: what a header says of it, any client may have said. So no address that is
//! sent out begins with a slash. Within the program addresses do (`/jobs/7`); on the way out all
//! pass through here.

use crate::core::http::Request;
use std::fmt;

/// `./` on `/` and `/log`, `../` on `/jobs/7`. Never empty, so that no path behind it can be taken
/// for a host or a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Root(String);

impl Root {
    /// The way up from the page of this request.
    pub(super) fn of(request: &Request) -> Root {
        match request.segments().len() - 1 {
            0 => Root("./".to_owned()),
            depth => Root("../".repeat(depth)),
        }
    }

    /// An address of this server (`/jobs/7`), as the page has it in links.
    pub(super) fn to(&self, address: &str) -> String {
        format!("{self}{}", address.strip_prefix('/').unwrap_or(address))
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
