//! Style, script and icon of the console: part of the program, named by what is in them, so that a
//! browser may keep them for ever. Under another name they are of another program, the one before
//! or the next: then nobody may keep them.

use crate::core::http::{Body, Response, Shared, etag_of};
use std::rc::Rc;

const CSS: &str = include_str!("../assets/console.css");
// One function of four files, so that nothing of it is global in a page.
const JS: &str = concat!(
    "\"use strict\";\n(() => {\n",
    include_str!("../assets/console.js"),
    include_str!("../assets/still.js"),
    include_str!("../assets/find.js"),
    include_str!("../assets/tail.js"),
    "})();\n"
);
const ICON: &str = include_str!("../assets/favicon.svg");

/// The assets with their addresses.
#[derive(Debug)]
pub(super) struct Assets {
    css: Asset,
    js: Asset,
    icon: Asset,
}

#[derive(Debug)]
struct Asset {
    address: String,
    version: String,
    etag: String,
    content_type: &'static str,
    bytes: Rc<Shared>,
}

impl Asset {
    fn new(name: &str, text: &str, content_type: &'static str) -> Asset {
        let etag = etag_of(text.as_bytes());
        let version = etag[..8].to_owned();
        let address = format!("/assets/{name}?v={version}");
        Asset { address, version, etag, content_type, bytes: Shared::new(text.as_bytes()) }
    }

    /// The answer to who asks for this version.
    fn answer(&self, version: Option<&str>) -> Response {
        let body = Body::Shared(Rc::clone(&self.bytes));
        let answer = Response::new(200, self.content_type, body).etag(self.etag.as_str());
        let kept = match version == Some(self.version.as_str()) {
            true => "public, max-age=31536000, immutable",
            false => "no-cache",
        };
        answer.header("Cache-Control", kept)
    }
}

impl Default for Assets {
    fn default() -> Assets {
        Assets {
            css: Asset::new("console.css", CSS, "text/css; charset=utf-8"),
            js: Asset::new("console.js", JS, "text/javascript; charset=utf-8"),
            icon: Asset::new("favicon.svg", ICON, "image/svg+xml"),
        }
    }
}

impl Assets {
    /// Addresses of style, script and icon.
    pub(super) fn addresses(&self) -> [&str; 3] {
        [&self.css.address, &self.js.address, &self.icon.address]
    }

    /// The answer where an asset is asked for in this version; none if there is no such one.
    pub(super) fn answer(&self, name: &str, version: Option<&str>) -> Option<Response> {
        let asset = match name {
            "console.css" => &self.css,
            "console.js" => &self.js,
            "favicon.svg" => &self.icon,
            _ => return None,
        };
        Some(asset.answer(version))
    }

    /// The answer for the icon by the name that browsers ask for unbidden.
    pub(super) fn icon(&self) -> Response {
        self.icon.answer(None)
    }
}
