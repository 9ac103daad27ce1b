//! The lines of the list of jobs that a query asks for.

use super::filter::{Filter, Page};
use crate::core::daemon::Core;
use crate::core::definition::Definition;
use crate::core::http::{Request, Response};
use crate::core::table::Job;

/// A line: the job, the definition that is shown, its state label.
pub(super) type Line<'a> = (&'a Job, &'a Definition, &'static str);

impl Core {
    /// The lines of the page that is asked for, and how many there are on all pages.
    ///
    /// # Errors
    /// The answer to a query that makes no sense.
    pub(super) fn listed(&self, request: &Request) -> Result<(Vec<Line<'_>>, usize), Response> {
        let page = Page::new(request)?;
        let filter = Filter::new(request);
        let mut total = 0;
        let mut lines = Vec::new();
        for line in self.table().iter().flat_map(|job| self.rows(job)) {
            if !filter.takes(self, line.1, line.2) {
                continue;
            }
            if page.has(total) {
                lines.push(line);
            }
            total += 1;
        }
        Ok((lines, total))
    }
}
