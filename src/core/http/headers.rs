//! Headers that keep a browser from doing more than the page means.

use super::response::Response;

/// Scripts and styles only from this server and never inline; no frames, no plug-ins, forms to
/// this server alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; font-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";

/// Adds the headers that every answer of its kind has. All answers pass through here, also those
/// that no page knows of: a request that is refused, one that takes too long.
pub(super) fn secured(response: Response) -> Response {
    let is_page = response.content_type().starts_with("text/html")
        || response.content_type().starts_with("image/svg");
    let mut response = response.header("X-Content-Type-Options", "nosniff");
    // A proxy may keep a 404, of a job that is there soon, unless that is forbidden (RFC 9110
    // §15.1).
    if response.header_value("Cache-Control").is_none() {
        response = response.header("Cache-Control", "no-store");
    }
    if !is_page {
        return response;
    }
    response
        .header("Content-Security-Policy", POLICY)
        .header("Referrer-Policy", "same-origin")
        .header("X-Frame-Options", "DENY")
}
