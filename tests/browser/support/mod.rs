//! Help for tests of the pages in a real browser.
//!
//! Each test file is a crate of its own and uses a part of this only. What fails here fails a test.
#![allow(dead_code, clippy::unwrap_used)]

pub mod chromium;
pub mod page;
pub mod proxy;
pub mod site;

pub use page::{Look, Page};

use crate::daemon::Daemon;

impl Daemon {
    /// A page of this daemon, empty yet.
    pub fn page(&self, look: &Look) -> Page {
        Page::new(&format!("http://{}", self.address), look)
    }

    /// This address of it, as most people have it before them.
    #[track_caller]
    pub fn open(&self, target: &str) -> Page {
        self.open_with(&Look::default(), target)
    }

    /// This address of it, looked at so.
    #[track_caller]
    pub fn open_with(&self, look: &Look, target: &str) -> Page {
        let page = self.page(look);
        page.go(target);
        page
    }
}
