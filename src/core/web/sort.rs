//! What a list can be ordered by.

use crate::core::list::{Listed, list};

list! {
    /// What a list is ordered by.
    pub(super) enum Sort {
        Id = "id",
        State = "state",
        Name = "name",
        Tag = "tag",
        Next = "next",
        Last = "last",
        Runs = "runs",
        Overtime = "overtime",
    }
}

impl Sort {
    /// Whether what is most, or latest, comes first where nothing turns the order.
    pub(super) fn begins_high(self) -> bool {
        match self {
            Sort::Last | Sort::Runs | Sort::Overtime => true,
            Sort::Id | Sort::State | Sort::Name | Sort::Tag | Sort::Next => false,
        }
    }

    /// From the value of `sort` in a query; by id if there is no such order.
    pub(super) fn of(name: &str) -> Sort {
        Sort::named(name).unwrap_or(Sort::Id)
    }
}
