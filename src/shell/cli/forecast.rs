//! `schedule forecast`: what starts between two instants, as the running daemon knows it.

use super::control::api::{self, ApiArgs, Daemon, Failed, parsed};
use super::paint;
use crate::core::http::percent_encode;
use crate::core::plain;
use crate::shell::cli::number::{instant, number};
use serde::Deserialize;
use std::process::ExitCode;

/// Columns of a name, and of anything else that the daemon says.
const NAME_COLUMNS: usize = 60;

/// Lines of hours at the most; beyond, there is one for each day.
const MAX_HOURS: usize = 48;

/// Columns of the longest bar.
const BAR_COLUMNS: u64 = 30;

const EXAMPLES: &str = "\
Examples:
  schedule forecast                             # the next 24 hours
  schedule forecast --from '2026-11-23 00:00' --to 2026-11-23T06:00:00+08:00
  schedule forecast --tag reports -n 1000
  schedule forecast --json | jq .busiest
  schedule forecast --url http://10.0.0.7:3401

Exit status: 0 done, 1 refused, 2 wrong arguments, 3 no daemon answers, 4 not permitted.";

/// Show what the jobs in force start between two instants
///
/// Asks the running daemon. Prints the first slots, how many there are in each hour (or day), and
/// when most runs are alive at once, as far as is known how long each job takes. Slots are those of
/// the schedules: one whose job is at its overlap limit is skipped when its time comes.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ForecastArgs {
    /// Slots from this instant on: RFC 3339, or `2026-11-22 03:00` in the daemon's zone [default:
    /// now]
    #[arg(long, value_name = "T", value_parser = instant)]
    pub from: Option<String>,
    /// Slots before this instant, 31 days later at the most [default: 24 hours later]
    #[arg(long, value_name = "T", value_parser = instant)]
    pub to: Option<String>,
    /// Jobs with this tag only: its id or its name
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// How many slots are shown one by one
    #[arg(short, value_name = "N", default_value_t = 100,
          value_parser = number(1..=10_000))]
    pub n: u32,
    /// Print the daemon's answer as it is: GET /api/v1/forecast
    #[arg(long)]
    pub json: bool,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

/// The daemon's answer.
#[derive(Debug, Deserialize)]
struct Answer {
    from: String,
    to: String,
    total: u64,
    truncated: bool,
    busiest: Option<Busiest>,
    hours: Vec<Hour>,
    slots: Vec<Slot>,
}

#[derive(Debug, Deserialize)]
struct Busiest {
    at: String,
    runs: u64,
}

#[derive(Debug, Deserialize)]
struct Hour {
    at: String,
    slots: u64,
}

#[derive(Debug, Deserialize)]
struct Slot {
    job_id: u32,
    name: String,
    slot: String,
    usual_ms: u64,
}

/// Runs the subcommand.
pub fn run(args: &ForecastArgs) -> ExitCode {
    api::ended("forecast", show(args))
}

fn show(args: &ForecastArgs) -> Result<ExitCode, Failed> {
    let given = [("from", &args.from), ("to", &args.to), ("tag", &args.tag)];
    let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let mut path = format!("/api/v1/forecast?limit={}", args.n);
    given.for_each(|(name, value)| path += &format!("&{name}={}", percent_encode(value)));
    let body = Daemon::find("forecast", &args.daemon)?.get(&path)?;
    if args.json {
        return paint::print(&body);
    }
    paint::print(told(&parsed(&body)?, paint::in_colour()).as_bytes())
}

fn told(answer: &Answer, colour: bool) -> String {
    let mut text = String::new();
    if !answer.slots.is_empty() {
        let slots = answer.slots.iter().map(|slot| {
            let usual = match slot.usual_ms {
                0 => "-".to_owned(),
                ms @ 1..1_000 => format!("{ms}ms"),
                ms => plain::span(ms.cast_signed()),
            };
            vec![clean(&slot.slot), slot.job_id.to_string(), clean(&slot.name), usual]
        });
        text += &paint::table(["SLOT", "JOB", "NAME", "USUALLY"], slots, colour);
        text.push('\n');
        let (head, counts) = counts(&answer.hours);
        let most = counts.iter().map(|(_, slots)| *slots).max().unwrap_or(0).max(1);
        let lines = counts.into_iter().map(|(at, slots)| {
            let bar = (slots * BAR_COLUMNS).div_ceil(most);
            vec![clean(&at), slots.to_string(), "#".repeat(bar as usize)] // 30 at the most
        });
        text += &paint::table([head, "SLOTS", ""], lines, colour);
        text.push('\n');
    }
    text + &summary(answer)
}

/// How many slots there are in each hour, or in each day; and what that is called.
fn counts(hours: &[Hour]) -> (&'static str, Vec<(String, u64)>) {
    if hours.len() <= MAX_HOURS {
        return ("HOUR", hours.iter().map(|hour| (hour.at.clone(), hour.slots)).collect());
    }
    let mut days: Vec<(String, u64)> = Vec::new();
    for hour in hours {
        let day = hour.at.split('T').next().unwrap_or_default();
        match days.last_mut().filter(|(last, _)| last == day) {
            Some((_, slots)) => *slots += hour.slots,
            None => days.push((day.to_owned(), hour.slots)),
        }
    }
    ("DAY", days)
}

fn summary(answer: &Answer) -> String {
    let Answer { from, to, total, truncated, busiest, slots, .. } = answer;
    let (from, to) = (clean(from), clean(to));
    if *total == 0 {
        return format!("nothing starts from {from} until {to}\n");
    }
    let mut text = format!("{} from {from} until {to}", plain::counted(*total, "slot"));
    if *truncated {
        let verb = if slots.len() == 1 { "is" } else { "are" };
        text += &format!(", the first {} {verb} shown (-n)", slots.len());
    }
    if let Some(Busiest { at, runs }) = busiest {
        let runs = plain::counted(*runs, "run");
        text += &format!("; most at once: {runs} at {}", clean(at));
    }
    text + "\n"
}

fn clean(text: &str) -> String {
    plain::clean(text, NAME_COLUMNS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(hours: usize, name: &str) -> Answer {
        let at = |hour: usize| format!("2026-11-{:02}T{:02}:00:00+08:00", 1 + hour / 24, hour % 24);
        Answer {
            from: at(0),
            to: at(hours),
            total: 2,
            truncated: true,
            busiest: Some(Busiest { at: at(1), runs: 1 }),
            hours: (0..hours).map(|hour| Hour { at: at(hour), slots: hour as u64 }).collect(),
            slots: vec![
                Slot { job_id: 7, name: name.into(), slot: at(0), usual_ms: 63_000 },
                Slot { job_id: 12, name: "b".into(), slot: at(1), usual_ms: 0 },
            ],
        }
    }

    #[test]
    fn columns_are_as_wide_as_they_look() {
        let text = told(&answer(2, "每日备份"), false);
        assert_eq!(
            text,
            "SLOT                       JOB  NAME      USUALLY\n\
             2026-11-01T00:00:00+08:00  7    每日备份  1m 3s\n\
             2026-11-01T01:00:00+08:00  12   b         -\n\
             \n\
             HOUR                       SLOTS\n\
             2026-11-01T00:00:00+08:00  0\n\
             2026-11-01T01:00:00+08:00  1      ##############################\n\
             \n\
             2 slots from 2026-11-01T00:00:00+08:00 until 2026-11-01T02:00:00+08:00, the first 2 \
             are shown (-n); most at once: 1 run at 2026-11-01T01:00:00+08:00\n"
        );
    }

    #[test]
    fn many_hours_are_days_and_nothing_acts_on_the_terminal() {
        let text = told(&answer(72, "a\u{1b}[2Jb"), false);
        assert!(text.contains("a?[2Jb"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let days = [("2026-11-01", 276), ("2026-11-02", 852), ("2026-11-03", 1_428)];
        for (day, slots) in days {
            assert!(text.contains(&format!("\n{day}  {slots} ")), "{text}");
        }
        assert!(told(&answer(2, "a"), true).starts_with("\u{1b}[1mSLOT"));
    }
}
