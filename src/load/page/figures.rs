//! The plots of the page.

use super::html::{count, paragraph, text};
use super::plot::{self, Axes, Colour, Line};
use crate::load::outcome::{Bin, Outcome, Second, names};

/// Columns that a histogram has at most.
const COLUMNS_MAX: f64 = 120.0;

/// Of the measurements, this share is shown in full; the rest would make the columns too thin to see.
const SHOWN: f64 = 0.999;

const TIME: &str = "seconds since the first call";

/// All plots for which there is something to show; a sentence if there is none.
pub(super) fn figures(outcome: &Outcome) -> String {
    let Outcome { timeline, .. } = outcome;
    let bar = outcome.measures.iter().find(|row| row.name == names::ADDED_DELAY).and_then(|row| row.bar_p99);
    let figures = [delay(timeline, bar), histogram(&outcome.delay_histogram, bar), calls(timeline)];
    let more = [cpu(timeline), memory(timeline), lateness(timeline, outcome.generator.lateness_bar_ms)];
    let all: String = figures.into_iter().chain(more).flatten().collect();
    if all.is_empty() {
        return paragraph("There are no plots: the test ended before anything was measured.");
    }
    all
}

/// A line of the timeline.
fn line(
    name: &'static str,
    colour: Colour,
    timeline: &[Second],
    value: impl Fn(&Second) -> Option<f64>,
) -> Line {
    let points = timeline.iter().map(|second| (second.at_ms as f64 / 1e3, value(second))).collect();
    Line { name, colour, points }
}

fn delay(timeline: &[Second], bar: Option<f64>) -> Option<String> {
    let lines = [
        line("p50", Colour::Blue, timeline, |second| second.delay_p50_ms),
        line("p99", Colour::Orange, timeline, |second| second.delay_p99_ms),
    ];
    let said = "Each second's probes. A second without a probe is a hole in the line.";
    figure("Added delay over time", said, &lines, ("ms", bar))
}

fn calls(timeline: &[Second]) -> Option<String> {
    let lines = [line("calls up", Colour::Blue, timeline, |second| Some(second.calls_up as f64))];
    figure("Calls up", "At the end of each second.", &lines, ("calls", None))
}

fn cpu(timeline: &[Second]) -> Option<String> {
    let lines = [line("server", Colour::Orange, timeline, |second| {
        second.server_cpu_share.map(|share| share * 100.0)
    })];
    figure("Processor time of the server", "100 % is one core that does nothing else.", &lines, ("%", None))
}

fn memory(timeline: &[Second]) -> Option<String> {
    let megabytes = |second: &Second| second.server_rss_bytes.map(|bytes| bytes as f64 / 1e6);
    let lines = [line("server", Colour::Blue, timeline, megabytes)];
    figure("Memory of the server", "Resident memory of its process.", &lines, ("MB", None))
}

fn lateness(timeline: &[Second], bar: f64) -> Option<String> {
    let late = |second: &Second| Some(second.generator_lateness_p99_ms);
    let lines = [line("callers, p99", Colour::Blue, timeline, late)];
    let said = "How late the simulated callers sent their sound. Beyond the bar the delays are theirs.";
    figure("Lateness of the test itself", said, &lines, ("ms", Some(bar)))
}

fn figure(
    title: &str,
    said: &str,
    lines: &[Line],
    (unit, bar): (&'static str, Option<f64>),
) -> Option<String> {
    let svg = plot::lines(Axes { x: TIME, y: unit }, lines, bar)?;
    let mut keys: String = lines.iter().map(|line| key(line.name, line.colour.class())).collect();
    keys += &bar.map_or_else(String::new, |_| key("bar", "red"));
    Some(framed(title, said, &keys, &svg))
}

fn histogram(bins: &[Bin], bar: Option<f64>) -> Option<String> {
    let (columns, hidden) = columns(bins);
    let bar = bar.filter(|bar| is_near(*bar, &columns));
    let svg = plot::histogram(Axes { x: "added delay, ms", y: "probes" }, &columns, bar)?;
    let mut said = "How often which delay was measured.".to_owned();
    if let (1.., Some(last)) = (hidden, bins.last()) {
        said += &format!(" {} longer ones, up to {:.0} ms, are not shown.", count(hidden), last.to_ms);
    }
    let keys = bar.map_or_else(String::new, |_| key("bar of the p99", "red"));
    Some(framed("Added delay", &said, &keys, &svg))
}

/// A bar far to the right would press all columns to the left.
fn is_near(bar: f64, columns: &[(f64, f64, u64)]) -> bool {
    columns.last().is_some_and(|(_, right, _)| bar <= right * 4.0)
}

/// Columns of the same width, and how many measurements lie beyond them.
fn columns(bins: &[Bin]) -> (Vec<(f64, f64, u64)>, u64) {
    let all: u64 = bins.iter().map(|bin| bin.count).sum();
    let shown = (all as f64 * SHOWN).ceil() as u64;
    let mut seen = 0;
    let is_shown = |bin: &&Bin| {
        let is_shown = seen < shown;
        seen += bin.count;
        is_shown
    };
    let bins: Vec<_> = bins.iter().take_while(is_shown).collect();
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else { return (Vec::new(), all) };
    let width = ((last.to_ms - first.from_ms) / COLUMNS_MAX).ceil().max(1.0);
    let mut columns: Vec<(f64, f64, u64)> = Vec::new();
    for bin in &bins {
        let from = ((bin.from_ms - first.from_ms) / width).floor() * width + first.from_ms;
        match columns.last_mut() {
            Some((start, _, count)) if *start >= from => *count += bin.count,
            _ => columns.push((from, from + width, bin.count)),
        }
    }
    let hidden = all - bins.iter().map(|bin| bin.count).sum::<u64>();
    (columns, hidden)
}

/// What a line of a plot means.
fn key(name: &str, class: &str) -> String {
    format!("<span class=\"key\"><i class=\"{class}\"></i>{}</span>", text(name))
}

fn framed(title: &str, said: &str, keys: &str, svg: &str) -> String {
    let (title, said) = (text(title), text(said));
    let svg = svg.replacen("<svg ", &format!("<svg aria-label=\"{title}\" "), 1);
    format!("<figure>\n<figcaption><b>{title}</b> {keys}<br/>{said}</figcaption>\n{svg}</figure>\n")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing(&[], &[], 0)]
    #[case::as_they_are(&[(10, 11, 5), (13, 14, 1)], &[(10.0, 11.0, 5), (13.0, 14.0, 1)], 0)]
    #[case::together(&[(0, 1, 3), (1, 2, 4), (239, 240, 5)], &[(0.0, 2.0, 7), (238.0, 240.0, 5)], 0)]
    #[case::without_the_tail(&[(10, 11, 9_999), (3_000, 3_001, 1)], &[(10.0, 11.0, 9_999)], 1)]
    fn bins_become_columns(
        #[case] bins: &[(u32, u32, u64)],
        #[case] expected: &[(f64, f64, u64)],
        #[case] hidden: u64,
    ) {
        let bin =
            |&(from, to, count): &(u32, u32, u64)| Bin { from_ms: from.into(), to_ms: to.into(), count };
        let bins: Vec<_> = bins.iter().map(bin).collect();
        assert_eq!(columns(&bins), (expected.to_vec(), hidden));
    }
}
