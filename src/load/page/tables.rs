//! The figures of the page.

use super::html::{count, facts, list, megabytes, paragraph, percent, percent_if, table, tenths};
use crate::load::growth::Growth;
use crate::load::outcome::{Capacity, Counts, Losses, Measure, Outcome, Step, StoppedBy, Verdict};

/// How many decimals a bar needs: none, as a rule.
fn bar(bar: f64) -> String {
    if bar.fract() == 0.0 { format!("{bar:.0}") } else { tenths(bar) }
}

/// A row for each measure, also for those that were not measured.
pub(super) fn measures(outcome: &Outcome) -> String {
    let rows: Vec<_> = outcome.measures.iter().map(measure).collect();
    table(["what", "unit", "count", "p50", "p95", "p99", "max", "bar (p99)", ""], &rows)
}

fn measure(measure: &Measure) -> [String; 9] {
    let Measure { title, unit, p50, p95, p99, max, bar_p99, .. } = measure;
    let kept = match bar_p99 {
        Some(bar) if measure.count > 0 => if p99 <= bar { "kept" } else { "missed" }.to_owned(),
        Some(_) | None => String::new(),
    };
    let value = |value: &f64| if measure.count > 0 { tenths(*value) } else { "–".to_owned() };
    let [p50, p95, p99, max] = [p50, p95, p99, max].map(value);
    let bar = bar_p99.map_or_else(String::new, bar);
    [title.clone(), unit.clone(), count(measure.count), p50, p95, p99, max, bar, kept]
}

/// What became of the calls.
pub(super) fn calls(counts: &Counts) -> String {
    let Counts { offered, answered, completed, cut_short, refused, failed, up_max } = counts;
    let sum = |reasons: &std::collections::BTreeMap<String, u64>| count(reasons.values().sum());
    let numbers = facts(&[
        ("placed", count(*offered)),
        ("answered", count(*answered)),
        ("completed", format!("{}, as they were meant to", count(*completed))),
        ("cut short", format!("{}, still up when the test ended", count(*cut_short))),
        ("refused", sum(refused)),
        ("failed", sum(failed)),
        ("up at the same time", format!("{} at most", count(*up_max))),
    ]);
    let mut reasons = Vec::new();
    for (what, why) in [("refused", refused), ("failed", failed)] {
        reasons.extend(why.iter().map(|(reason, number)| format!("{} {what}: {reason}", count(*number))));
    }
    numbers + &list(&reasons)
}

/// Whether all that was said was heard.
pub(super) fn losses(losses: &Losses) -> String {
    let Losses { uplink_lost_samples, uplink_doubled_samples, uplink_samples, probes, probes_lost, .. } =
        losses;
    let Losses { downlink_lost_samples, downlink_doubled_samples, downlink_samples, replies, .. } = losses;
    let row = |what: &str, number: u64, of: String| [what.to_owned(), count(number), of];
    let samples = |number: u64| format!("{} samples", count(number));
    let rows = [
        row("from callers: samples lost", *uplink_lost_samples, samples(*uplink_samples)),
        row("from callers: samples doubled", *uplink_doubled_samples, samples(*uplink_samples)),
        row("to callers: samples lost", *downlink_lost_samples, samples(*downlink_samples)),
        row("to callers: samples doubled", *downlink_doubled_samples, samples(*downlink_samples)),
        row("underruns within an answer", losses.underruns, format!("{} answers", count(*replies))),
        row("probes without an answer", *probes_lost, format!("{} probes", count(*probes))),
        row("messages that break the protocol", losses.violations, String::new()),
    ];
    let verdict = match (losses.is_none(), probes + replies) {
        (true, 0) => "Nothing was looked at, so nothing can be said of losses.",
        (true, _) => "Everything that was said was heard, to the sample.",
        (false, _) => "Not everything that was said was heard.",
    };
    paragraph(verdict) + &table(["what", "number", "of"], &rows)
}

/// What a call costs.
pub(super) fn server(outcome: &Outcome) -> String {
    let Some(cost) = &outcome.server else {
        return paragraph(
            "What the server cost is not known: its process was not on the machine of the load test, or not named \
             (--server-pid).",
        );
    };
    let per_core = if cost.cpu_ms_per_call_second > 0.0 { 1e3 / cost.cpu_ms_per_call_second } else { 0.0 };
    let said = format!(
        "One second of one call takes {:.2} ms of one processor core, so that a core would be full with {per_core:.0} \
         calls; each call takes {:.0} kB of memory.",
        cost.cpu_ms_per_call_second,
        cost.rss_per_call_bytes as f64 / 1e3
    );
    let numbers = facts(&[
        ("processor, mean", format!("{} of a core, while all calls were up", percent(cost.cpu_share_mean))),
        ("processor, at most", format!("{} of a core", percent(cost.cpu_share_max))),
        ("cores it may use", cost.cores.to_string()),
        ("memory before the calls", megabytes(cost.rss_base_bytes)),
        ("memory at most", megabytes(cost.rss_max_bytes)),
        (
            "memory over time",
            cost.rss_growth.map_or_else(|| "the test was too short to tell".to_owned(), growth),
        ),
    ]);
    paragraph(&said) + &numbers
}

fn growth(growth: Growth) -> String {
    let (from, to) = (megabytes(growth.from_bytes), megabytes(growth.to_bytes));
    format!("{from} in the middle third of the test, {to} in the last")
}

/// How many calls the server carries, if that was searched for.
pub(super) fn capacity(capacity: &Capacity) -> String {
    let mut said = match capacity.calls {
        Some(calls) => format!("With {calls} calls at once all was well."),
        None => "With no number of calls that was tried all was well.".to_owned(),
    };
    if let Some(too_many) = capacity.too_many {
        said += &format!(" {too_many} were too many.");
    }
    said += match capacity.stopped_by {
        StoppedBy::Found => "",
        StoppedBy::Generator if capacity.calls.is_none() => {
            " The load test itself was too slow, so nothing can be said of the server; what to do is at the top."
        }
        StoppedBy::TooLittle if capacity.calls.is_none() => {
            " The load test saw too little, so nothing can be said of the server; what to do is at the top."
        }
        StoppedBy::CallsMax => " The limit was not found: more were not tried.",
        StoppedBy::Generator => {
            " The limit was not found: the load test cannot place more from here, the server may carry more."
        }
        StoppedBy::TooLittle => " The limit was not found: the load test saw too little of more.",
        StoppedBy::Interrupted => " The limit was not found: the search was interrupted.",
    };
    if let Some(limit) = capacity.admission_limit {
        said += &format!(
            " The server should admit {limit} at most: a fifth less, for hosts that are not alone and calls that come \
             in flocks."
        );
    }
    let rows: Vec<_> = capacity.steps.iter().map(step).collect();
    let head = ["calls", "verdict", "p50, ms", "p99, ms", "server", "test late, ms"];
    paragraph(&said) + &table(head, &rows)
}

fn step(step: &Step) -> [String; 6] {
    let verdict = match step.verdict {
        Verdict::Passed => "passed",
        Verdict::Failed { .. } => "failed",
        Verdict::Refused { .. } => "none",
    };
    [
        step.calls.to_string(),
        verdict.to_owned(),
        tenths(step.delay_p50_ms),
        tenths(step.delay_p99_ms),
        percent_if(step.server_cpu_share),
        tenths(step.generator_lateness_p99_ms),
    ]
}

/// Whether the figures may be believed.
pub(super) fn generator(outcome: &Outcome) -> String {
    let generator = &outcome.generator;
    let bar = bar(generator.lateness_bar_ms);
    let (late, model) = (generator.lateness_p99_ms, generator.model_lateness_p99_ms);
    let is_late = late.max(model.unwrap_or_default()) > generator.lateness_bar_ms;
    let is_refused = matches!(outcome.verdict, Verdict::Refused { .. });
    let said = match (generator.frames_sent, is_late) {
        (0, _) => "The callers sent nothing, so there is nothing to believe.".to_owned(),
        (_, true) => format!(
            "No: the test itself was later than {bar} ms at the 99th percentile. The delays above are partly its own."
        ),
        (_, false) if is_refused => {
            "Only with care: the reasons why there is no verdict are at the top.".to_owned()
        }
        (_, false) => format!(
            "Yes. The callers sent their sound {late:.1} ms late at the 99th percentile; up to {bar} ms the delays are taken \
             for the server's."
        ),
    };
    let mut numbers = vec![
        (
            "callers' sound left late",
            format!(
                "p50 {:.1} ms, p99 {late:.1} ms, at most {:.1} ms, of {} frames",
                generator.lateness_p50_ms,
                generator.lateness_max_ms,
                count(generator.frames_sent)
            ),
        ),
        ("callers' processor", busy(generator.cpu_share, Some(generator.cores))),
    ];
    if let Some(model) = model {
        numbers.push(("load model late", format!("p99 {model:.1} ms")));
        numbers.push(("load model's processor", busy(generator.model_cpu_share, generator.model_cores)));
    }
    let limit = format!("{} of what each may use", percent(generator.cpu_share_bar));
    numbers.push(("no verdict beyond", format!("{bar} ms at the 99th percentile, or {limit}")));
    if generator.shares_cores {
        numbers.push(("cores", "callers and load model run on the same cores".to_owned()));
    }
    paragraph(&said) + &facts(&numbers)
}

fn busy(share: Option<f64>, cores: Option<u32>) -> String {
    let Some(share) = share else { return "not known".to_owned() };
    let cores = cores.map_or_else(String::new, |cores| format!("; it may use {cores}"));
    format!("{} of a core in the busiest ten seconds{cores}", percent(share))
}
