//! What is written down of a change, in its transaction: so the table of acts says of each change
//! what became of it, whatever is killed when.

use super::super::Failure;
use super::super::records::{ACT_COLUMNS, Field, act_fields, fitting_act};
use super::super::schema::AUDIT;
use super::Work;
use crate::core::cells::Cell;
use crate::core::change::{Of, Refused, What};
use crate::core::ids::JobId;
use crate::core::journal::{ActEntry, DONE};
use crate::core::protocol::{Changed, Find, Mark};
use crate::core::records::act_record;
use jiff::Timestamp;
use serde_json::Value;

/// So long a key of a request is known, in milliseconds.
const KEY_MS: i64 = 24 * 3_600_000;

impl Work<'_> {
    /// Whether there is the table of acts.
    pub(super) fn has_audit(&mut self) -> Result<bool, Failure> {
        self.desk.has_table(AUDIT)
    }

    /// Writes the row of this change, with this result.
    pub(super) fn write_act(
        &mut self,
        (mark, what): (Option<Mark>, &What),
        result: &str,
    ) -> Result<(), Failure> {
        let act = ActEntry {
            job: mark.and_then(|mark| mark.job()).or(self.ask.act.job),
            version: mark.and_then(|mark| mark.version),
            what: what.clone(),
            result: result.to_owned(),
            ..(*self.ask.act).clone()
        };
        self.write_acts_rows(&[act])
    }

    /// Writes what somebody did.
    pub(super) fn write_acts_rows(&mut self, acts: &[ActEntry]) -> Result<(), Failure> {
        let record = |act| fitting_act(act_record(act, self.ask.server_id, &self.zone));
        let records: Vec<_> = acts.iter().map(record).collect();
        let rows: Vec<_> = records.iter().map(act_fields).collect();
        let row = |fields: &[Field]| {
            let marks: Vec<&str> = fields.iter().map(|it| self.mark_of(it)).collect();
            format!("({})", marks.join(", "))
        };
        let marks: Vec<String> = rows.iter().map(|fields| row(fields)).collect();
        let (columns, marks) = (ACT_COLUMNS.join(", "), marks.join(", "));
        let sql = format!("INSERT INTO {AUDIT} ({columns}) VALUES {marks}");
        let fields: Vec<Field> = rows.into_iter().flatten().collect();
        self.desk.run(&sql, &fields).map(drop)
    }

    /// What became of a change whose answer was lost. Who still has it to write is waited for; and
    /// where nothing was written the row says so, so that nobody can write it afterwards.
    pub(super) fn find(&mut self, find: Find) -> Result<Result<Changed, Refused>, Failure> {
        if self.has_audit()? {
            let found = self.row_of_act()?;
            if found.is_none() {
                self.write_act((None, &What::new()), NOT_DONE)?;
            }
            return Ok(found.ok_or(Refused::NotDone));
        }
        let Some(mark) = find.mark else { return Ok(Err(Refused::NobodyKnows)) };
        self.table = self.desk.table(mark.of.table())?;
        let found = match (mark.of, mark.id) {
            (Of::Job, JobId(0)) => Some(self.group()?.version()),
            (Of::Job, id) => self.row(id)?.map(|stand| stand.version()),
            (of, id) => self.word(of, id.0)?.map(|word| word.version(of)),
        };
        Ok(match found {
            found if found == mark.version => Ok(Changed::to(mark)),
            found if found == mark.before => Err(Refused::NotDone),
            // Somebody has changed the row since, after this or in place of it.
            Some(_) | None => Err(Refused::NobodyKnows),
        })
    }

    /// What the row of this act says, if it was done.
    fn row_of_act(&mut self) -> Result<Option<Changed>, Failure> {
        let lock = self.desk.lock();
        let sql =
            format!("SELECT job_id, version, what, result FROM {AUDIT} WHERE uniq_id = ?{lock}");
        let id = self.ask.act.id.to_string();
        let found = self.desk.query(&sql, &[Field::Text(&id)])?.into_iter().next();
        let Some([job, version, what, result]) = found.and_then(texts) else { return Ok(None) };
        let what: What = serde_json::from_str(&what).unwrap_or_default();
        let changed =
            self.mark(&job, &version, &what).map(|mark| Changed { what, ..Changed::to(mark) });
        Ok(changed.filter(|_| result == DONE))
    }

    /// What a request with the same key has made, if there was one within a day.
    pub(super) fn made_before(&mut self) -> Result<Option<Result<Changed, Refused>>, Failure> {
        let act = &self.ask.act;
        if act.request_key.is_empty() {
            return Ok(None);
        }
        let sql = format!(
            "SELECT job_id, version, what, at, request_body FROM {AUDIT} \
             WHERE server_id = ? AND request_key = ? AND result = '{DONE}' ORDER BY id DESC"
        );
        let values = [Field::Number(self.ask.server_id.into()), Field::Text(&act.request_key)];
        let found = self.desk.query(&sql, &values)?.into_iter().next();
        let Some([job, version, what, at, body]) = found.and_then(texts) else { return Ok(None) };
        let at_ms = at.parse::<Timestamp>().map_or(0, Timestamp::as_millisecond);
        if act.at_ms - at_ms > KEY_MS {
            return Ok(None);
        }
        if body != act.request_body {
            return Ok(Some(Err(Refused::OtherBody)));
        }
        let what = serde_json::from_str(&what).unwrap_or_default();
        let made = self.mark(&job, &version, &what);
        Ok(made.map(|mark| Ok(Changed { was_before: true, ..Changed::to(mark) })))
    }

    /// The mark that a row of this table tells of. The key of a variable or a tag is in what was
    /// changed.
    fn mark(&self, job: &str, version: &str, what: &What) -> Option<Mark> {
        let version = if version.is_empty() { None } else { Some(version.parse().ok()?) };
        let of = self.ask.change.of();
        let keys = || what.get("id").and_then(Value::as_array).into_iter().flatten();
        let id = match of {
            Of::Job => job.parse().ok()?,
            Of::Var | Of::Tag => keys().find_map(Value::as_u64)?.try_into().ok()?,
        };
        Some(Mark { id: JobId(id), version, before: None, of })
    }
}

/// The result of what was found not to be done.
const NOT_DONE: &str = "not done: the answer was lost";

fn texts<const N: usize>(cells: Vec<Cell>) -> Option<[String; N]> {
    <[Cell; N]>::try_from(cells).ok().map(|cells| cells.map(super::text_of))
}
