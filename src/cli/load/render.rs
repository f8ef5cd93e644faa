//! A load test in words: its progress, and its outcome as a table.

use std::fmt::Write as _;

use super::super::text;
use crate::load::growth::Growth;
use crate::load::outcome::{
    Capacity, Counts, Ended, Generator, Losses, Measure, Origin, Outcome, Second, ServerCost, Step,
    StoppedBy, Verdict,
};

/// A line for each second, on standard error.
pub(super) fn progress(second: &Second, counts: &Counts) {
    let Second { at_ms, calls_up, answered, delay_p99_ms, server_cpu_share, .. } = second;
    let errors = counts.refused.values().sum::<u64>() + counts.failed.values().sum::<u64>();
    let delay = delay_p99_ms.map_or_else(|| "–".to_owned(), |delay| format!("{delay:.1} ms"));
    let share = server_cpu_share.map_or_else(|| "–".to_owned(), percent);
    let late = second.generator_lateness_p99_ms;
    errln!(
        "{:>5.0} s  {calls_up:>5} up  {answered:>4} new  {errors:>4} errors  added delay p99 {delay:>9}  \
         server {share:>6}  own lateness p99 {late:.1} ms",
        *at_ms as f64 / 1e3
    );
}

pub(super) fn print(outcome: &Outcome) -> anyhow::Result<()> {
    text::print(&table(outcome))?;
    Ok(())
}

fn table(outcome: &Outcome) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = origin(&mut out, &outcome.origin);
    let _ = counts(&mut out, outcome);
    let _ = measures(&mut out, &outcome.measures);
    let _ = losses(&mut out, &outcome.losses);
    let _ = costs(&mut out, outcome.server.as_ref(), &outcome.generator);
    if let Some(found) = &outcome.capacity {
        let _ = capacity(&mut out, found);
    }
    let _ = verdict(&mut out, &outcome.verdict);
    out
}

/// What tested, where: without it figures cannot be compared.
fn origin(out: &mut String, origin: &Origin) -> std::fmt::Result {
    writeln!(out, "{}; {}", origin.program(), origin.machine.summary())?;
    if origin.build == "debug" {
        writeln!(out, "  A debug build is several times slower than a release build.")?;
    }
    Ok(())
}

fn counts(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let Counts { offered, answered, completed, cut_short, refused, failed, up_max } = &outcome.counts;
    let how = if outcome.ended == Ended::Interrupted { ", interrupted" } else { "" };
    writeln!(out, "{} calls at once at {}{how}", outcome.plan.calls, outcome.plan.target)?;
    writeln!(
        out,
        "  {offered} placed, {answered} answered, {completed} completed, {cut_short} ended with the test, \
         {up_max} up at most"
    )?;
    for (what, reasons) in [("refused", refused), ("failed", failed)] {
        for (reason, count) in reasons {
            writeln!(out, "  {count} {what}: {reason}")?;
        }
    }
    Ok(())
}

fn measures(out: &mut String, measures: &[Measure]) -> std::fmt::Result {
    let head = ["ms", "count", "p50", "p95", "p99", "max", "bar p99"];
    let [title, count, p50, p95, p99, max, bar] = head;
    writeln!(out, "\n  {title:<28}{count:>9}{p50:>9}{p95:>9}{p99:>9}{max:>10}{bar:>9}")?;
    for Measure { title, count, p50, p95, p99, max, bar_p99, .. } in measures.iter().filter(|m| m.count > 0) {
        let bar = bar_p99.map_or(String::new(), |bar| format!("{bar:.0}"));
        writeln!(out, "  {title:<28}{count:>9}{p50:>9.1}{p95:>9.1}{p99:>9.1}{max:>10.1}{bar:>9}")?;
    }
    Ok(())
}

fn losses(out: &mut String, losses: &Losses) -> std::fmt::Result {
    let Losses { uplink_lost_samples, uplink_doubled_samples, uplink_samples, probes, probes_lost, .. } =
        losses;
    let Losses { downlink_lost_samples, downlink_doubled_samples, downlink_samples, replies, .. } = losses;
    writeln!(
        out,
        "\n  from callers  {uplink_lost_samples} samples lost, {uplink_doubled_samples} doubled of \
         {uplink_samples}; {probes_lost} of {probes} probes lost"
    )?;
    writeln!(
        out,
        "  to callers    {downlink_lost_samples} samples lost, {downlink_doubled_samples} doubled of \
         {downlink_samples} in {replies} replies; {} underruns; {} messages that break the protocol",
        losses.underruns, losses.violations
    )
}

/// Of a test that was long enough to tell.
fn growth(out: &mut String, growth: Option<Growth>) -> std::fmt::Result {
    growth.map_or(Ok(()), |Growth { from_bytes, to_bytes }| {
        let (from, to) = (from_bytes as f64 / 1e6, to_bytes as f64 / 1e6);
        writeln!(out, "  its memory    {from:.1} MB in the middle third of the test, {to:.1} MB in the last")
    })
}

fn costs(out: &mut String, server: Option<&ServerCost>, generator: &Generator) -> std::fmt::Result {
    match server {
        Some(cost) => writeln!(
            out,
            "\n  server        {:.2} ms CPU for a second of a call; {} of a core, {} at most; {:.1} MB before the \
             first call, {:.0} kB more for each",
            cost.cpu_ms_per_call_second,
            percent(cost.cpu_share_mean),
            percent(cost.cpu_share_max),
            cost.rss_base_bytes as f64 / 1e6,
            cost.rss_per_call_bytes as f64 / 1e3
        )
        .and_then(|()| growth(out, cost.rss_growth))?,
        None => writeln!(out, "\n  server        its cost is not known: no --server-pid of this machine")?,
    }
    let share = |share: Option<f64>| share.map_or_else(|| "an unknown part".to_owned(), percent);
    let late = |late: f64| format!("{late:.1} ms late at p99");
    writeln!(
        out,
        "  this test     {} of a core, {}",
        share(generator.cpu_share),
        late(generator.lateness_p99_ms)
    )?;
    if let Some(lateness) = generator.model_lateness_p99_ms {
        writeln!(out, "  load model    {} of a core, {}", share(generator.model_cpu_share), late(lateness))?;
    }
    Ok(())
}

fn capacity(out: &mut String, capacity: &Capacity) -> std::fmt::Result {
    writeln!(out, "\n  {:>6}{:>10}{:>10}{:>12}  verdict", "calls", "p50 ms", "p99 ms", "server")?;
    for step in &capacity.steps {
        let word = match step.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed { .. } => "failed",
            Verdict::Refused { .. } => "no verdict",
        };
        let share = step.server_cpu_share.map_or_else(|| "–".to_owned(), percent);
        let Step { calls, delay_p50_ms, delay_p99_ms, .. } = step;
        writeln!(out, "  {calls:>6}{delay_p50_ms:>10.1}{delay_p99_ms:>10.1}{share:>12}  {word}")?;
    }
    let Some(calls) = capacity.calls else { return writeln!(out, "  {}", why_nothing(capacity.stopped_by)) };
    write!(out, "  {calls} calls")?;
    if let Some(per_core) = capacity.calls_per_core {
        write!(out, ", {per_core:.0} per core of the server")?;
    }
    if let Some(limit) = capacity.admission_limit {
        write!(out, "; admit {limit} at most")?;
    }
    writeln!(out, ". {}", why_it_stopped(capacity.stopped_by))
}

/// Why no number of calls was found.
const fn why_nothing(by: StoppedBy) -> &'static str {
    match by {
        StoppedBy::Found => "Not even one call was well; the reasons are below.",
        StoppedBy::CallsMax => "No number of calls that was tried was well; the reasons are below.",
        StoppedBy::Generator => {
            "No result: with every number of calls the load test itself was too slow; what to do is below."
        }
        StoppedBy::TooLittle => {
            "No result: with every number of calls the load test saw too little; what to do is below."
        }
        StoppedBy::Interrupted => "No result: the search was interrupted before a number of calls was well.",
    }
}

const fn why_it_stopped(by: StoppedBy) -> &'static str {
    match by {
        StoppedBy::Found => "More were too many.",
        StoppedBy::CallsMax => "The limit was not found: more were not tried (--calls-max).",
        StoppedBy::Generator => {
            "The limit was not found: the load test cannot place more from here, the server may carry more."
        }
        StoppedBy::TooLittle => "The limit was not found: the load test saw too little of more.",
        StoppedBy::Interrupted => "The limit was not found: the search was interrupted.",
    }
}

fn verdict(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    let (word, reasons): (_, &[String]) = match verdict {
        Verdict::Passed => ("PASSED", &[]),
        Verdict::Failed { reasons } => ("FAILED", reasons),
        Verdict::Refused { reasons, .. } => ("NO VERDICT", reasons),
    };
    writeln!(out, "\n{word}")?;
    reasons.iter().try_for_each(|reason| writeln!(out, "  {reason}"))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::load::outcome::Doubt;

    #[rstest]
    #[case::found(Some(200), StoppedBy::Found, &["200 calls, 200 per core of the server; admit 160 at most. More were"])]
    #[case::more(Some(200), StoppedBy::Generator, &["The limit was not found", "the server may carry more"])]
    #[case::allowed(Some(200), StoppedBy::CallsMax, &["The limit was not found", "--calls-max"])]
    #[case::interrupted(Some(200), StoppedBy::Interrupted, &["The limit was not found: the search was interrupted."])]
    #[case::unseen(Some(200), StoppedBy::TooLittle, &["The limit was not found", "saw too little of more"])]
    #[case::none(None, StoppedBy::Found, &["Not even one call was well"])]
    #[case::only_doubts(None, StoppedBy::Generator, &["No result", "too slow; what to do is below"])]
    #[case::only_unseen(None, StoppedBy::TooLittle, &["No result", "saw too little; what to do is below"])]
    #[case::at_once(None, StoppedBy::Interrupted, &["No result", "interrupted"])]
    fn a_search_says_what_it_found(
        #[case] calls: Option<u32>,
        #[case] stopped_by: StoppedBy,
        #[case] expected: &[&str],
    ) {
        let step = Step {
            calls: 250,
            verdict: Verdict::Refused { doubt: Doubt::TooSlow, reasons: Vec::new() },
            delay_p50_ms: 15.0,
            delay_p99_ms: 30.0,
            losses: Losses::default(),
            server_cpu_share: None,
            generator_lateness_p99_ms: 9.0,
        };
        let found = Capacity {
            calls,
            too_many: None,
            stopped_by,
            calls_per_core: calls.map(f64::from),
            cpu_ms_per_call_second: None,
            rss_per_call_bytes: None,
            admission_limit: calls.filter(|_| stopped_by == StoppedBy::Found).map(|calls| calls / 5 * 4),
            steps: vec![step],
        };
        let mut out = String::new();
        capacity(&mut out, &found).unwrap();
        for expected in expected {
            assert!(out.contains(expected), "{out}");
        }
        let is_limit = calls.is_some() && stopped_by == StoppedBy::Found;
        assert_eq!(out.contains("admit"), is_limit, "{out}");
        assert!(out.contains("no verdict"), "{out}");
    }
}
