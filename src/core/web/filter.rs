//! What a list is narrowed to, and which part of it is asked for.

use super::states::{ALL, Line, is_in_force, states_of};
use super::values::number;
use crate::core::definition::Definition;
use crate::core::http::{Request, Response};
use crate::core::limits::SEARCHED_COMMAND_BYTES;
use crate::core::scheduler::Scheduler;
use crate::core::state_label::StateLabel;

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
    id: Option<String>,
}

impl Filter {
    /// From `tag` (or `tagid`, the original's name for it), `q`, `state` and `id` of the query.
    pub(super) fn new(request: &Request) -> Filter {
        let given = |name| request.query(name).filter(|text| !text.is_empty());
        Filter {
            tag: given("tag").or_else(|| given("tagid")).map(|tag| tag.into_owned()),
            text: given("q").map(|text| text.to_lowercase()),
            state: given("state").map(|state| state.into_owned()),
            id: given("id").map(|id| id.into_owned()),
        }
    }

    /// `tag` is an id or a name; `q` is found in name and command in any case.
    pub(super) fn takes(&self, scheduler: &Scheduler, line: Line<'_>) -> bool {
        let takes_state = || states_of(scheduler, line).any(|state| self.takes_state(state));
        self.takes_tag(scheduler, line.1) && takes_state() && self.takes_text(line.1)
    }

    /// Whether rows that are disabled are asked for: they are in a list by this state only.
    pub(super) fn takes_disabled(&self) -> bool {
        self.takes_state(StateLabel::Disabled)
    }

    /// Whether it takes all lines, but for their states.
    pub(super) fn is_by_state_only(&self) -> bool {
        self.tag.is_none() && self.text.is_none() && self.id.is_none()
    }

    /// Whether the job has the tag that is asked for.
    pub(super) fn takes_tag(&self, scheduler: &Scheduler, def: &Definition) -> bool {
        self.tag.as_ref().is_none_or(|tag| {
            tag.parse() == Ok(def.tag_id) || scheduler.table().tags.get(&def.tag_id) == Some(tag)
        })
    }

    /// Whether the state is the one that is asked for.
    pub(super) fn takes_state(&self, state: StateLabel) -> bool {
        match self.state.as_deref() {
            None => is_in_force(state),
            Some(wanted) => wanted == state.label() || wanted == ALL,
        }
    }

    /// Whether the job has the text and the id that are asked for.
    pub(super) fn takes_text(&self, def: &Definition) -> bool {
        let has =
            |text: &String| contains(&def.name, text) || contains(beginning(&def.command), text);
        self.id.as_ref().is_none_or(|id| id.parse() == Ok(def.id.0))
            && self.text.as_ref().is_none_or(has)
    }
}

/// What of a command is searched: a list of many long ones must not take long.
fn beginning(command: &str) -> &str {
    &command[..command.floor_char_boundary(SEARCHED_COMMAND_BYTES)]
}

/// Whether a text holds another, which is in lower case, in any case. Nearly all texts are ASCII,
/// and 10,000 of them are looked through for a page: no copy is made of those.
fn contains(text: &str, lower: &str) -> bool {
    if !text.is_ascii() {
        return text.to_lowercase().contains(lower);
    }
    let (text, lower) = (text.as_bytes(), lower.as_bytes());
    let Some((first, rest)) = lower.split_first() else { return true };
    let starts = |at: &usize| text[*at].to_ascii_lowercase() == *first;
    let last = text.len().saturating_sub(rest.len());
    (0..last).filter(starts).any(|at| text[at + 1..][..rest.len()].eq_ignore_ascii_case(rest))
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paging {
    /// Which one, from 1.
    pub number: usize,
    /// Its length.
    pub per_page: usize,
}

impl Paging {
    /// From `page` and `per_page` of the query.
    ///
    /// # Errors
    /// One of them is no number from 1 on: the answer that says so.
    pub(super) fn new(request: &Request) -> Result<Paging, Response> {
        let per_page = number(request, "per_page", DEFAULT_PER_PAGE, Some(MAX_PER_PAGE))?;
        Ok(Paging { number: number(request, "page", 1, None)?, per_page })
    }
}
