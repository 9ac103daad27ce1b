//! Addresses within the console.

use super::super::root::Root;
use crate::core::http::Request;
use std::fmt::Write;

/// The query of the list of jobs, in the order in which links have it.
const NAMES: [&str; 8] = ["q", "tag", "tagid", "state", "id", "sort", "dir", "per_page"];

/// The parameters of the list of jobs that are worth keeping from page to page.
#[derive(Clone, Debug)]
pub(super) struct Query {
    root: Root,
    pairs: Vec<(&'static str, String)>,
}

impl Query {
    /// From a request; `tagid`, the original's name for `tag`, counts where that is not given.
    pub(super) fn new(request: &Request) -> Query {
        let value = |name: &str| request.query(name).filter(|text| !text.is_empty());
        let counts = |name: &&str| *name != "tagid" || value("tag").is_none();
        let names = NAMES.into_iter().filter(counts);
        let pairs = names.filter_map(|name| Some((name, value(name)?.into_owned()))).collect();
        Query { root: Root::of(request), pairs }
    }

    /// The tag that is asked for; empty if none is.
    pub(super) fn tag(&self) -> &str {
        let tag = self.get("tag");
        if tag.is_empty() { self.get("tagid") } else { tag }
    }

    /// The value of a parameter; empty if it is not set.
    pub(super) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// Whether the list is narrowed.
    pub(super) fn narrows(&self) -> bool {
        ["q", "tag", "tagid", "state", "id"].iter().any(|name| !self.get(name).is_empty())
    }

    /// The parameters that a form for some of them has to carry along.
    pub(super) fn others(&self, own: &[&str]) -> Vec<(&'static str, String)> {
        self.pairs.iter().filter(|(name, _)| !own.contains(name)).cloned().collect()
    }

    /// A link to the list with these parameters set otherwise (empty: not at all), and to its first
    /// page.
    pub(super) fn with(&self, changes: &[(&'static str, &str)]) -> String {
        self.root.to(&self.address(changes, 1))
    }

    /// A link to a page of the list.
    pub(super) fn page(&self, number: usize) -> String {
        self.root.to(&self.here(number))
    }

    /// The address of a page of the list.
    pub(super) fn here(&self, number: usize) -> String {
        self.address(&[], number)
    }

    /// `?…` of a page, or nothing.
    pub(super) fn text(&self, number: usize) -> String {
        self.address(&[], number).split_off(1)
    }

    fn address(&self, changes: &[(&'static str, &str)], page: usize) -> String {
        let mut out = String::from("/");
        let changed = |name: &str| changes.iter().find(|(known, _)| *known == name);
        for name in NAMES {
            add(&mut out, name, changed(name).map_or(self.get(name), |(_, value)| value));
        }
        if page > 1 {
            add(&mut out, "page", &page.to_string());
        }
        out
    }
}

/// Adds a parameter that has a value to an address.
pub(super) fn add(address: &mut String, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    address.push(if address.contains('?') { '&' } else { '?' });
    address.push_str(name);
    address.push('=');
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                address.push(char::from(byte));
            }
            b' ' => address.push('+'),
            // A String takes every write.
            _ => _ = write!(address, "%{byte:02X}"),
        }
    }
}
