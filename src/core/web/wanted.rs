//! Which form of an answer a client wants.

use crate::core::http::Request;

/// Whether a client wants text rather than `otherwise` (`text/html`, `application/json`): it says
/// so, or it takes anything and is known to be a program for terminals.
pub(super) fn wants_text(request: &Request, otherwise: &str) -> bool {
    if request.header_lists("accept", otherwise) {
        return false;
    }
    let agent = request.header("user-agent").unwrap_or("");
    let terminal = ["curl/", "Wget/", "HTTPie/", "xh/"].iter().any(|it| agent.starts_with(it));
    request.header_lists("accept", "text/plain") || (otherwise == "text/html" && terminal)
}
