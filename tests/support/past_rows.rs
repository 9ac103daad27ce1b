//! What a database answers that is asked for runs and acts of the past, by a reading of its own:
//! all rows are looked at, sorted and cut.

use schedule::core::protocol::{
    ActRecord, ActsAsk, ActsEnd, Answer, Place, RunRecord, RunsAsk, RunsEnd,
};
use schedule::core::run_kind::RunKind;

fn place(row: &RunRecord) -> Place {
    Place { at: row.start_time.clone(), run: row.uniq_id.clone() }
}

fn kind(row: &RunRecord) -> RunKind {
    match row.kind {
        RunKind::Unfilled => RunKind::of_row(&row.outcome, !row.end_time.is_empty()),
        kind => kind,
    }
}

fn is_wanted(row: &RunRecord, ask: &RunsAsk) -> bool {
    row.server_id == ask.server_id
        && ask.jobs.as_ref().is_none_or(|jobs| jobs.contains(&row.job_id))
        && (ask.kinds.is_empty() || ask.kinds.contains(&row.kind))
        && (ask.since.is_empty() || row.start_time >= ask.since)
        && (ask.until.is_empty() || row.start_time < ask.until)
        && ask.words.iter().all(|word| row.command.to_lowercase().contains(word))
}

/// The answer of a database with these rows.
pub fn answers(rows: &[RunRecord], ask: &RunsAsk) -> Vec<Answer> {
    let filled = |row: &RunRecord| RunRecord { kind: kind(row), ..row.clone() };
    let rows: Vec<RunRecord> = rows.iter().map(filled).collect();
    if !ask.run.is_empty() {
        let found = rows.iter().filter(|row| row.uniq_id == ask.run);
        let found = found.map(|row| Answer::Run(Box::new(row.clone())));
        let mut all: Vec<Answer> = found.collect();
        let end = RunsEnd { rows: all.len(), ..RunsEnd::default() };
        all.push(Answer::Runs(end));
        return all;
    }
    let before = rows.iter().find(|row| row.uniq_id == ask.before).map(place);
    let below = match ask.before.is_empty() {
        true => None,
        false => ask.below.clone().or(before).or(ask.near.clone()),
    };
    let mut found: Vec<&RunRecord> = rows.iter().filter(|row| is_wanted(row, ask)).collect();
    found.retain(|row| below.as_ref().is_none_or(|below| place(row) < *below));
    found.sort_by_key(|row| std::cmp::Reverse(place(row)));
    if ask.oldest {
        found.reverse();
    }
    let down_to = found.get(ask.limit).map(|_| place(found[ask.limit - 1]));
    found.truncate(ask.limit);
    let rows = found.len();
    let runs = found.into_iter().map(|row| Answer::Run(Box::new(row.clone())));
    runs.chain([Answer::Runs(RunsEnd { below, down_to, rows })]).collect()
}

/// The same of a question about who did what.
pub fn act_answers(rows: &[ActRecord], ask: &ActsAsk) -> Vec<Answer> {
    let at = |row: &ActRecord| schedule::core::time::instant(&row.at).unwrap_or_default();
    let mut found: Vec<&ActRecord> = rows.iter().collect();
    found.retain(|row| {
        row.server_id == ask.server_id
            && ask.job.is_none_or(|job| row.job_id == job)
            && (ask.who.is_empty() || row.who == ask.who)
            && (ask.actions.is_empty() || ask.actions.contains(&row.action))
            && ask.since_ms.is_none_or(|since_ms| at(row) >= since_ms)
            && row.uniq_id >= ask.from
            && (ask.before.is_empty() || row.uniq_id < ask.before)
    });
    found.sort_by_key(|row| std::cmp::Reverse(&row.uniq_id));
    let down_to = found.get(ask.limit).map(|_| found[ask.limit - 1].uniq_id.clone());
    found.truncate(ask.limit);
    let rows = found.len();
    let acts = found.into_iter().map(|row| Answer::Did(Box::new(row.clone())));
    acts.chain([Answer::Acts(ActsEnd { down_to, rows, no_table: false })]).collect()
}
