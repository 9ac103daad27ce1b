//! Times, durations, sizes and outcomes as a page writes them.

use super::super::texts::{Texts, fill};
use crate::core::cron::Zone;
use crate::core::definition::{Block, Flaw};
use crate::core::history::PastRun;
use crate::core::journal::{Cause, Loss, SkipReason};
use crate::core::outcome::{Exit, Outcome};
use crate::core::refusal::Refusal;
use crate::core::time::{Now, rfc3339};

/// An instant: exact for programs, short for people.
pub(super) struct Moment {
    /// RFC 3339 with the zone's offset, whole seconds.
    pub iso: String,
    /// `13:42:07` if that is today in the zone, else `2026-11-22 13:42`.
    pub text: String,
}

impl Moment {
    /// An instant in a zone as it is seen now.
    pub(super) fn new(now: Now, wall_ms: i64, zone: &Zone) -> Moment {
        let seconds = |ms: i64| ms.div_euclid(1000) * 1000;
        let iso = rfc3339(seconds(wall_ms), zone);
        let today = rfc3339(seconds(now.wall_ms), zone);
        // Years of four digits: 2026-11-22T13:42:07+08:00.
        let text = match (iso.get(..10), iso.get(11..16), iso.get(11..19)) {
            (Some(day), _, Some(time)) if today.starts_with(day) => time.to_owned(),
            (Some(day), Some(time), _) => format!("{day} {time}"),
            _ => iso.clone(),
        };
        Moment { iso, text }
    }
}

/// `340 ms`, `1.2 s`, `42 s`, `3 min 5 s`, `2 h 5 min`, `3 d 4 h`; `duration` of `console.js` is
/// the same.
pub(super) fn duration(t: &Texts, ms: u64) -> String {
    let s = ms / 1000;
    let one = |unit: &str, value: u64| fill(unit, &[&value.to_string()]);
    let two = |great: &str, a: u64, small: &str, b: u64| one(great, a) + " " + &one(small, b);
    match s {
        _ if ms < 1000 => one(t.ms, ms),
        _ if ms < 10_000 => fill(t.s, &[&format!("{s}.{}", ms / 100 % 10)]),
        0..60 => one(t.s, s),
        60..3600 => two(t.min, s / 60, t.s, s % 60),
        3600..86_400 => two(t.h, s / 3600, t.min, s / 60 % 60),
        _ => two(t.d, s / 86_400, t.h, s / 3600 % 24),
    }
}

/// How a run ended, and whether somebody wanted that.
pub(super) fn past(t: &Texts, run: &PastRun) -> String {
    let how = outcome(t, &run.outcome);
    if run.stopped { fill(t.by_hand, &[&how]) } else { how }
}

/// How a run ended, in words.
fn outcome(t: &Texts, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ended(how) => exit(t, *how),
        Outcome::LeftBehind(how, left) => fill(t.left_behind, &[&exit(t, *how), left]),
        Outcome::SpawnFailed(why) => fill(t.spawn_failed, &[why]),
        Outcome::Lost(why) => fill(t.lost, &[why]),
    }
}

fn exit(t: &Texts, exit: Exit) -> String {
    match exit {
        Exit::Code(code) => fill(t.exit, &[&code.to_string()]),
        Exit::Signal { number, .. } => fill(t.signal, &[&number.to_string()]),
    }
}

/// Why a job is never started when it should be.
pub(super) fn block(t: &Texts, block: Block<'_>) -> &'static str {
    match block {
        Block::Flawed(Flaw::Schedule | Flaw::Gone, _) => t.block_schedule,
        Block::Flawed(Flaw::Over, _) => t.block_over,
        Block::Flawed(Flaw::Timezone, _) => t.block_timezone,
        Block::Flawed(Flaw::Pause, _) => t.block_pause,
        Block::Flawed(Flaw::Command, _) => t.block_command,
        Block::LimitZero => t.block_limit,
    }
}

/// Who did not take the signal of a run that was to end: in English as [`Refusal`] says it itself.
pub(super) fn refusal(t: &Texts, why: &Refusal) -> String {
    let (named, user, of) = (why.named(), why.user.as_str(), why.of.to_string());
    let (count, command) = (why.pids.len(), why.command());
    let whose = match count {
        0 | 1 if why.of <= 1 => fill(t.refused_one, &[&named, user]),
        0 | 1 => fill(t.refused_part, &[&of, &named, user]),
        _ => fill(t.refused_some, &[&count.to_string(), &of, &named, user]),
    };
    let what = match (why.killable, count) {
        (true, _) => t.refused_until.to_owned(),
        (false, 0 | 1) => fill(t.refused_stop_it, &[&command]),
        (false, _) => fill(t.refused_stop_them, &[&command]),
    };
    whose + &what
}

/// Why a run was started.
pub(super) fn cause(t: &Texts, cause: Cause) -> &'static str {
    match cause {
        Cause::Due => t.cause_due,
        Cause::Manual => t.cause_manual,
        Cause::Reboot => t.cause_reboot,
        Cause::Other => t.of_later,
    }
}

/// Why a slot was skipped.
pub(super) fn reason(t: &Texts, reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Overlap => t.skip_overlap,
        SkipReason::Paused => t.skip_paused,
        SkipReason::Draining => t.skip_draining,
        SkipReason::Waiting => t.skip_waiting,
        SkipReason::Misfire => t.skip_misfire,
        SkipReason::Other => t.of_later,
    }
}

/// Why records are missing in the database.
pub(super) fn loss(t: &Texts, why: Loss) -> &'static str {
    match why {
        Loss::Untold => t.loss_untold,
        Loss::Room => t.loss_room,
        Loss::Memory => t.loss_memory,
        Loss::Limit => t.loss_limit,
        Loss::Gone => t.loss_gone,
        Loss::Aside => t.loss_aside,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::texts::texts;
    use super::*;
    use crate::core::cron::Lang;

    #[test]
    fn a_page_says_of_a_refused_signal_what_programs_are_told() {
        for (count, of) in [(1, 1), (1, 3), (2, 3), (3, 3), (9, 9)] {
            for (leader, killable) in [(true, true), (true, false), (false, true), (false, false)] {
                let (pids, user) = ((77..77 + count).collect(), "root".to_owned());
                let why = Refusal { group: 77, pids, user, of, leader, killable };
                assert_eq!(refusal(texts(Lang::En), &why), why.to_string());
                let chinese = refusal(texts(Lang::Zh), &why);
                assert!(chinese.contains("root") && !chinese.contains("{}"), "{chinese}");
            }
        }
    }
}
