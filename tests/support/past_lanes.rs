//! What a database answers that is asked for a picture of the past, by a reading of its own.

use schedule::core::cron::zone;
use schedule::core::ids::RunId;
use schedule::core::protocol::{Answer, LaneTold, RunRecord, TimelineAsk, TimelineEnd};
use schedule::core::run_kind::RunKind;
use schedule::core::time::instant_of;
use schedule::core::timeline::Cell;
use std::collections::BTreeMap;

/// Each row is looked at.
pub fn timeline(rows: &[RunRecord], ask: &TimelineAsk) -> Vec<Answer> {
    let zone = zone(&ask.timezone).unwrap();
    let mut lanes: BTreeMap<usize, BTreeMap<usize, Cell>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.end_time.is_empty()) {
        let lane = ask.jobs.iter().find(|(job, _)| *job == row.job_id).map(|(_, lane)| *lane);
        let id: Option<RunId> = row.uniq_id.parse().ok();
        let near_s = id.map(|id| i64::try_from(id.unix_seconds()).unwrap());
        let at_ms = instant_of(&row.start_time, &zone, near_s).unwrap();
        if let (Some(lane), Some(bin)) = (lane, ask.bins.of(at_ms))
            && row.server_id == ask.server_id
            && !ask.known.contains(&row.uniq_id)
        {
            let kind = match row.kind {
                RunKind::Unfilled => RunKind::of_row(&row.outcome, true),
                kind => kind,
            };
            let cell = lanes.entry(lane).or_default().entry(bin).or_default();
            match kind {
                RunKind::Success => cell.ok += 1,
                kind if RunKind::FAILED.contains(&kind) => cell.failed += 1,
                _ => cell.other += 1,
            }
            cell.longest_ms = cell.longest_ms.max(row.duration_ms);
        }
    }
    let end = TimelineEnd { lanes: lanes.len(), from_ms: None };
    let told = lanes
        .into_iter()
        .map(|(lane, cells)| LaneTold { lane, cells: cells.into_iter().collect() });
    told.map(Answer::Lane).chain([Answer::Timeline(end)]).collect()
}
