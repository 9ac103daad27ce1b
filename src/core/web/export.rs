//! `GET /api/v1/export`: all that the group says, as a text for version control.

use super::call::Call;
use super::missing;
use super::parameters::one_of;
use crate::core::export::{Export, Format};
use crate::core::http::Response;
use crate::core::ids::JobId;
use crate::core::list::Listed;
use crate::core::scheduler::Scheduler;

/// Jobs written in one turn of the loop.
const JOBS_A_TURN: usize = 100;

/// What is asked for, and how far its answer has got.
#[derive(Debug)]
pub(super) struct Question {
    format: Format,
    /// The text so far, the last job in it, and which table it tells of.
    begun: Option<(Export, Option<JobId>, u64)>,
}

/// What a request asks for.
pub(super) fn question(scheduler: &Scheduler, call: &Call<'_>) -> Result<Question, Response> {
    one_of(call.request, "format", &Format::ALL.map(Format::label))?;
    missing::table_unread(scheduler).map_or(Ok(()), |why| Err(missing::answer(why)))?;
    let given = call.request.query("format");
    let format = given.and_then(|name| Format::named(&name)).unwrap_or(Format::Json);
    Ok(Question { format, begun: None })
}

impl Question {
    /// Does the next slice. The answer, if it was the last one.
    pub fn go_on(&mut self, scheduler: &Scheduler) -> Option<Response> {
        let table = scheduler.table();
        let settings = scheduler.settings();
        // A text about two tables would be about none.
        let begun = self.begun.take().filter(|(_, _, of)| *of == table.generation());
        let (mut export, mut last, generation) = begun.unwrap_or_else(|| {
            let zone = settings.zone.iana_name().unwrap_or_default();
            let export = Export::new(self.format, settings.dialect, zone);
            (export, None, table.generation())
        });
        let mut count = 0;
        for (def, enabled) in table.rows_after(last).take(JOBS_A_TURN) {
            export.add(def, enabled);
            (last, count) = (Some(def.id), count + 1);
        }
        if count == JOBS_A_TURN {
            self.begun = Some((export, last, generation));
            return None;
        }
        let text = export.finish(&table.tags, &table.vars, &scheduler.sync_state().bad_rows);
        Some(match self.format {
            Format::Json => Response::json(200, text),
            Format::Crontab => Response::text(200, text),
        })
    }
}
