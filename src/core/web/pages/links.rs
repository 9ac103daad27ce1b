//! Addresses within the console.

use super::super::root::Root;
use crate::core::http::Request;
use std::fmt::Write;

/// The query of the list of jobs, in the order in which links have it.
const NAMES: [&str; 7] = ["q", "tag", "state", "id", "sort", "dir", "per_page"];

/// The parameters of the list of jobs that are worth keeping from page to page.
#[derive(Clone, Debug)]
pub(super) struct Query {
    root: Root,
    pairs: Vec<(&'static str, String)>,
}

impl Query {
    /// From a request; `tagid` is the original's name for `tag`.
    pub(super) fn new(request: &Request) -> Query {
        let value = |name: &str| request.query(name).filter(|text| !text.is_empty());
        let pair = |name| {
            let found = value(name);
            let found = if name == "tag" { found.or_else(|| value("tagid")) } else { found };
            found.map(|text| (name, text.into_owned()))
        };
        Query { root: Root::of(request), pairs: NAMES.into_iter().filter_map(pair).collect() }
    }

    /// The value of a parameter; empty if it is not set.
    pub(super) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// Whether the list is narrowed.
    pub(super) fn narrows(&self) -> bool {
        ["q", "tag", "state", "id"].iter().any(|name| !self.get(name).is_empty())
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
