//! What a list of jobs is narrowed to, and which part of it is asked for.

use crate::core::daemon::Core;
use crate::core::definition::Definition;
use crate::core::http::{Request, Response};

/// Jobs on a page of a list where the client does not say.
const DEFAULT_PER_PAGE: usize = 100;

/// Jobs on a page of a list at the most.
const MAX_PER_PAGE: usize = 1_000;

/// What a list is narrowed to.
#[derive(Debug)]
pub(super) struct Filter {
    tag: Option<String>,
    text: Option<String>,
    state: Option<String>,
}

impl Filter {
    pub(super) fn new(request: &Request) -> Filter {
        let given = |name| request.query(name).filter(|text| !text.is_empty());
        Filter {
            tag: given("tag").map(|tag| tag.into_owned()),
            text: given("q").map(|text| text.to_lowercase()),
            state: given("state").map(|state| state.into_owned()),
        }
    }

    /// `tag` is an id or a name; `q` is found in name and command in any case.
    pub(super) fn takes(&self, core: &Core, def: &Definition, state: &str) -> bool {
        let is_tag = |tag: &String| {
            tag.parse() == Ok(def.tag_id) || core.table().tags.get(&def.tag_id) == Some(tag)
        };
        let has = |text: &String| {
            def.name.to_lowercase().contains(text) || def.command.to_lowercase().contains(text)
        };
        self.tag.as_ref().is_none_or(is_tag)
            && self.state.as_ref().is_none_or(|wanted| wanted == state)
            && self.text.as_ref().is_none_or(has)
    }
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Which one, from 1.
    pub number: usize,
    /// Its length.
    pub per_page: usize,
}

impl Page {
    /// From `page` and `per_page` of the query.
    ///
    /// # Errors
    /// One of them is no number from 1 on: the answer that says so.
    pub(super) fn new(request: &Request) -> Result<Page, Response> {
        let number = |name: &str, default: usize| match request.query(name) {
            None => Ok(default),
            Some(text) => match text.parse::<usize>() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(Response::problem(400, &format!("{name}: a whole number from 1 on"))),
            },
        };
        let per_page = number("per_page", DEFAULT_PER_PAGE)?.min(MAX_PER_PAGE);
        Ok(Page { number: number("page", 1)?, per_page })
    }

    /// Whether the entry at this place of the whole list (from 0) is in this part.
    pub(super) fn has(&self, place: usize) -> bool {
        let first = (self.number - 1).saturating_mul(self.per_page);
        (first..first.saturating_add(self.per_page)).contains(&place)
    }
}
