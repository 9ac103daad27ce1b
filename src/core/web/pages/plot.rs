//! The past of a job as pictures: how long its runs took, and when they were alive. Drawn here, as
//! SVG without any style of its own: colours are classes, so that light and dark pages have theirs.

use super::super::texts::{Texts, fill};
use super::words;
use crate::core::cron::Zone;
use crate::core::history::{History, PastRun};
use crate::core::table::Job;
use crate::core::time::rfc3339;
use plotters::coord::Shift;
use plotters::prelude::*;

/// Width and height of a picture, in its own units.
const SIZE: (u32, u32) = (480, 190);

/// Colours that stand for classes.
const GOOD: RGBColor = RGBColor(1, 2, 3);
const BAD: RGBColor = RGBColor(1, 2, 4);
const GRID: RGBColor = RGBColor(1, 2, 5);
const TEXT: RGBColor = RGBColor(1, 2, 6);

/// The pictures of a job with their texts for those who don't see them; empty without runs.
#[derive(Default)]
pub(super) struct Plots {
    pub durations: String,
    pub durations_alt: String,
    pub timeline: String,
    pub timeline_alt: String,
}

/// Draws the past of a job.
pub(super) fn plots(t: &Texts, job: &Job, zone: &Zone) -> Plots {
    let Some(history) = job.history.as_deref().filter(|history| !history.runs.is_empty()) else {
        return Plots::default();
    };
    let count = history.runs.len().to_string();
    Plots {
        durations: draw(|area| durations(t, area, history)),
        durations_alt: fill(t.durations_alt, &[&count]),
        timeline: draw(|area| timeline(area, history, zone)),
        timeline_alt: fill(t.timeline_alt, &[&count]),
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A picture; empty if it can't be drawn: the table has the figures.
fn draw(paint: impl Fn(&Area<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        if paint(&area).and_then(|()| Ok(area.present()?)).is_err() {
            return String::new();
        }
    }
    let classes = [("#010203", "p-good"), ("#010204", "p-bad"), ("#010205", "p-grid")];
    for (colour, class) in classes.into_iter().chain([("#010206", "p-text")]) {
        for paint in ["fill", "stroke"] {
            let plain = format!("{paint}=\"{colour}\"");
            svg = svg.replace(&plain, &format!("class=\"{class}\""));
        }
    }
    svg
}

fn colour(run: &PastRun) -> RGBColor {
    if run.is_well() { GOOD } else { BAD }
}

/// A bar for each run, the newest at the right.
fn durations(t: &Texts, area: &Area<'_>, history: &History) -> Drawn {
    let longest = history.runs.iter().map(|run| run.duration_ms).max().unwrap_or(0).max(1);
    let count = history.runs.len().max(10) as f64;
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_right(12)
        .y_label_area_size(68)
        .build_cartesian_2d(0.0..count, 0.0..longest as f64 * 1.08)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_labels(4)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(GRID)
        .label_style(("sans-serif", 13).into_font().color(&TEXT))
        .y_label_formatter(&|ms: &f64| words::duration(t, *ms as u64))
        .draw()?;
    let bars = (history.runs.iter()).enumerate().map(|(at, run)| {
        let (left, high) = (at as f64, (run.duration_ms as f64).max(longest as f64 * 0.01));
        Rectangle::new([(left + 0.15, 0.0), (left + 0.85, high)], colour(run).filled())
    });
    chart.draw_series(bars)?;
    Ok(())
}

/// When each run was alive; those that overlap are in lanes.
fn timeline(area: &Area<'_>, history: &History, zone: &Zone) -> Drawn {
    let mut runs: Vec<&PastRun> = history.runs.iter().collect();
    runs.sort_by_key(|run| run.started_ms);
    let first = runs.first().map_or(0, |run| run.started_ms);
    let last = runs.iter().map(|run| run.ended_ms).max().unwrap_or(first).max(first + 1000);
    let span = (last - first) as f64;
    let mut free_from: Vec<i64> = Vec::new();
    let mut bars = Vec::new();
    for run in runs {
        let free = free_from.iter().position(|from| *from <= run.started_ms);
        let lane = free.unwrap_or(free_from.len());
        free_from.resize(free_from.len().max(lane + 1), 0);
        free_from[lane] = run.ended_ms;
        bars.push((lane as f64, run));
    }
    let lanes = free_from.len().max(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_right(24)
        .margin_left(24)
        .x_label_area_size(24)
        .build_cartesian_2d(0.0..span * 1.01, 0.0..lanes)?;
    let time = |ms: &f64| {
        let iso = rfc3339(first + *ms as i64, zone);
        // Over more than a day the day says more than the second.
        let part = if span < 86_400_000.0 { iso.get(11..19) } else { iso.get(5..16) };
        part.unwrap_or(&iso).replace('T', " ")
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(5)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(GRID)
        .label_style(("sans-serif", 13).into_font().color(&TEXT))
        .x_label_formatter(&time)
        .draw()?;
    let bars = bars.into_iter().map(|(lane, run)| {
        let from = (run.started_ms - first) as f64;
        // A run of a moment is seen too.
        let to = ((run.ended_ms - first) as f64).max(from + span * 0.004);
        Rectangle::new([(from, lane + 0.2), (to, lane + 0.8)], colour(run).filled())
    });
    chart.draw_series(bars)?;
    Ok(())
}
