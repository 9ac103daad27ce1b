//! What a list can be ordered by.

/// What a list is ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Id,
    State,
    Name,
    Tag,
    Next,
    Last,
    Runs,
    Overtime,
}

impl Sort {
    /// The value of `sort` in a query.
    pub(super) fn name(self) -> &'static str {
        match self {
            Sort::Id => "id",
            Sort::State => "state",
            Sort::Name => "name",
            Sort::Tag => "tag",
            Sort::Next => "next",
            Sort::Last => "last",
            Sort::Runs => "runs",
            Sort::Overtime => "overtime",
        }
    }

    /// Whether what is most, or latest, comes first where nothing turns the order.
    pub(super) fn begins_high(self) -> bool {
        match self {
            Sort::Last | Sort::Runs | Sort::Overtime => true,
            Sort::Id | Sort::State | Sort::Name | Sort::Tag | Sort::Next => false,
        }
    }

    /// From the value of `sort` in a query; by id if there is no such order.
    pub(super) fn of(name: &str) -> Sort {
        Sort::ALL.into_iter().find(|sort| sort.name() == name).unwrap_or(Sort::Id)
    }

    /// All of them.
    pub(super) const ALL: [Sort; 8] = [
        Sort::Id,
        Sort::State,
        Sort::Name,
        Sort::Tag,
        Sort::Next,
        Sort::Last,
        Sort::Runs,
        Sort::Overtime,
    ];
}
