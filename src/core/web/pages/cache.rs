//! Rendered pages. A page is rendered once per change of what it could show and once a second at
//! the most otherwise (its daemon line has clock times), however many clients ask for it.

use super::assets::Assets;
use crate::core::http::{Shared, etag_of};
use std::rc::Rc;

/// Pages that are kept at the most.
const MAX_PAGES: usize = 32;

/// Bytes that the kept pages may have together, not compressed.
const MAX_BYTES: usize = 4 << 20;

/// What a rendered page depends on besides the daemon's state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key<'a> {
    /// The path that was asked for.
    pub path: &'a str,
    /// The query as it was sent.
    pub query: &'a str,
    /// Language and colours as they were chosen.
    pub look: super::Look,
}

/// The daemon's state a page was rendered from: its revision and the second.
pub(super) type PageStamp = (u64, i64);

/// A rendered page.
#[derive(Clone, Debug)]
pub(super) struct RenderedPage {
    pub status: u16,
    pub body: Rc<Shared>,
    pub etag: String,
}

impl RenderedPage {
    /// A page of this status from its text.
    pub(super) fn new(status: u16, html: String) -> RenderedPage {
        let etag = etag_of(html.as_bytes());
        RenderedPage { status, body: Shared::new(html.into_bytes()), etag }
    }
}

#[derive(Debug)]
struct Entry {
    path: Box<str>,
    query: Box<str>,
    look: super::Look,
    stamp: PageStamp,
    used: u64,
    page: RenderedPage,
}

/// The pages that are kept, and the assets they name.
#[derive(Debug, Default)]
pub struct PageCache {
    pub(super) assets: Assets,
    entries: Vec<Entry>,
    uses: u64,
    rendered: u64,
}

impl PageCache {
    /// How many pages were rendered so far.
    pub(super) fn rendered(&self) -> u64 {
        self.rendered
    }

    /// The page as it was rendered from just this state, if it is kept.
    pub(super) fn find(&mut self, key: Key<'_>, stamp: PageStamp) -> Option<RenderedPage> {
        self.uses += 1;
        let entry = self.entries.iter_mut().find(|entry| entry.is(key))?;
        entry.used = self.uses;
        (entry.stamp == stamp).then(|| entry.page.clone())
    }

    /// Keeps a page, in place of an older one and of those that were not asked for the longest.
    pub(super) fn keep(
        &mut self,
        key: Key<'_>,
        stamp: PageStamp,
        page: RenderedPage,
    ) -> RenderedPage {
        self.rendered += 1;
        // What is in it did not change: the compressed form is kept too.
        let old = self.entries.iter().position(|entry| entry.is(key));
        let old = old.map(|at| self.entries.swap_remove(at).page);
        let page = old.filter(|old| old.etag == page.etag).unwrap_or(page);
        let bytes = |entries: &[Entry]| -> usize {
            entries.iter().map(|entry| entry.page.body.plain().len()).sum()
        };
        let room = MAX_BYTES.saturating_sub(page.body.plain().len());
        while self.entries.len() >= MAX_PAGES || bytes(&self.entries) > room {
            let oldest = (0..self.entries.len()).min_by_key(|at| self.entries[*at].used);
            let Some(oldest) = oldest else { break };
            self.entries.swap_remove(oldest);
        }
        let (path, query) = (key.path.into(), key.query.into());
        let (look, used, kept) = (key.look, self.uses, page.clone());
        self.entries.push(Entry { path, query, look, stamp, used, page: kept });
        page
    }
}

impl Entry {
    fn is(&self, key: Key<'_>) -> bool {
        *self.path == *key.path && *self.query == *key.query && self.look == key.look
    }
}
