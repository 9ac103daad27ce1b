//! What is chosen of a text that is shown: it stands in the address of the page, so that a link to
//! it opens just that.

use super::super::parameters::one_of;
use super::links;
use crate::core::http::{Request, Response};

/// Lines that are offered.
const LINES: [&str; 3] = ["100", "500", "2000"];

/// Lines where nothing was chosen.
const DEFAULT_LINES: &str = "500";

/// How much of a text is shown, and whether it is followed.
pub(super) struct Chosen {
    pub lines: Vec<(&'static str, bool)>,
    pub follow: bool,
}

impl Chosen {
    /// From `tail` and `follow` of the query.
    ///
    /// # Errors
    /// One of them means nothing: the answer that says so.
    pub(super) fn of(request: &Request) -> Result<Chosen, Response> {
        one_of(request, "tail", &LINES)?;
        one_of(request, "follow", &["0", "1"])?;
        let asked = request.query("tail").unwrap_or_default();
        let wanted = LINES.into_iter().find(|lines| *lines == asked).unwrap_or(DEFAULT_LINES);
        Ok(Chosen {
            lines: LINES.map(|lines| (lines, lines == wanted)).into(),
            follow: request.query("follow").is_none_or(|follow| follow != "0"),
        })
    }
}

/// The address of a page with what is chosen on it: these parameters and those of [`Chosen`].
pub(super) fn address(path: &str, request: &Request, own: &[&str]) -> String {
    let mut address = path.to_owned();
    for name in own.iter().chain(&["tail", "follow"]) {
        links::add(&mut address, name, &request.query(name).unwrap_or_default());
    }
    address
}
