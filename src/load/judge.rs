//! The verdict: whether the server kept the bars, and whether the test may say so. Pure.

use super::growth::Growth;
use super::outcome::{Counts, Doubt, Generator, Losses, Measure, Plan, Verdict, names};

/// p99 of the lateness of generator and model beyond which delays are theirs and not the server's.
pub const LATENESS_BAR_MS: f64 = 5.0;

/// Share of their cores beyond which they fall behind now and then.
pub const CPU_SHARE_BAR: f64 = 0.85;

/// A 99th percentile of fewer probes is an accident.
const PROBES_MIN: u64 = 20;

/// So many answers must have been heard where no probes are sent, one of each call if there are fewer or more of these.
const ANSWERS: std::ops::RangeInclusive<u64> = 3..=20;

/// What the verdict is made of.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    pub plan: &'a Plan,
    pub counts: &'a Counts,
    pub measures: &'a [Measure],
    pub losses: &'a Losses,
    pub generator: &'a Generator,
    /// Of the server's memory, if the test was long enough to tell.
    pub growth: Option<Growth>,
    pub has_probes: bool,
}

/// Refused where nothing can be said, failed where a bar was missed.
pub fn verdict(evidence: Evidence<'_>) -> Verdict {
    let (slow, blind) = (overload(evidence.generator), blindness(evidence));
    if !slow.is_empty() {
        return Verdict::Refused { doubt: Doubt::TooSlow, reasons: [slow, blind].concat() };
    }
    if !blind.is_empty() {
        return Verdict::Refused { doubt: Doubt::TooLittle, reasons: blind };
    }
    let reasons = faults(evidence);
    if reasons.is_empty() { Verdict::Passed } else { Verdict::Failed { reasons } }
}

/// What the test did not see. A call that failed or was refused was seen.
fn blindness(evidence: Evidence<'_>) -> Vec<String> {
    const REMEDY: &str = "use a longer --duration or more --calls";
    let Evidence { plan, counts, losses, has_probes, .. } = evidence;
    if counts.offered == 0 {
        return vec!["no call was placed: use a longer --duration".to_owned()];
    }
    if !counts.failed.is_empty() || (!counts.refused.is_empty() && counts.answered == 0) {
        return Vec::new();
    }
    if counts.answered == 0 {
        let placed = counts.offered;
        return vec![format!("none of {placed} calls was answered: see whether the server answers webhooks")];
    }
    let mut missing = Vec::new();
    if has_probes && plan.has_probes() {
        if losses.probes < PROBES_MIN {
            missing.push(format!("{} probes measured, {PROBES_MIN} needed: {REMEDY}", losses.probes));
        }
    } else {
        missing.extend(unheard(evidence, REMEDY));
    }
    if counts.refused.is_empty() && counts.up_max * 10 < u64::from(plan.calls) * 9 {
        missing.push(format!("{} of {} calls were up at the same time: {REMEDY}", counts.up_max, plan.calls));
    }
    missing
}

/// Without probes all that shows a working server is that callers hear something, and an answer to what they say.
fn unheard(evidence: Evidence<'_>, remedy: &str) -> Option<String> {
    let Evidence { plan, counts, measures, .. } = evidence;
    let count = |name: &str| measures.iter().find(|it| it.name == name).map_or(0, |it| it.count);
    let (sounds, answers) = (count(names::FIRST_SOUND), count(names::ANSWER));
    let needed = u64::from(plan.calls).clamp(*ANSWERS.start(), *ANSWERS.end());
    let answered = counts.answered;
    if sounds == 0 {
        return Some(format!(
            "no caller of {answered} heard a sound: see whether the server's agent speaks, or {remedy}"
        ));
    }
    if sounds * 10 < answered * 9 {
        return Some(format!(
            "{sounds} of {answered} callers heard a sound, nine of ten are needed: {remedy}"
        ));
    }
    (answers < needed).then(|| format!("{answers} answers heard, {needed} needed: {remedy}"))
}

/// Where the load test was the bottleneck.
fn overload(generator: &Generator) -> Vec<String> {
    const REMEDY: &str = "place fewer calls, or give the load test more of this machine: other cores than the \
                          server's (--pin), or another machine (--url)";
    let mut doubts = Vec::new();
    let late = [
        ("callers' frames left", Some(generator.lateness_p99_ms)),
        ("the load model was", generator.model_lateness_p99_ms),
    ];
    for (who, late) in late.into_iter().filter_map(|(who, late)| Some((who, late?))) {
        if late > generator.lateness_bar_ms {
            let bar = generator.lateness_bar_ms;
            doubts.push(format!("{who} {late:.1} ms late at the 99th percentile (bar: {bar:.0}): {REMEDY}"));
        }
    }
    let bar = generator.cpu_share_bar;
    let (own, model) = (generator.cpu_share.unwrap_or(0.0), generator.model_cpu_share.unwrap_or(0.0));
    // Each has one thread.
    let mut busy = vec![("the generator", own, 1.0), ("the load model", model, 1.0)];
    if generator.shares_cores {
        busy.push(("generator and load model together", own + model, f64::from(generator.cores.min(2))));
    }
    for (who, share, cores) in busy {
        if share > bar * cores {
            let (percent, most) = (share * 100.0, bar * cores * 100.0);
            doubts.push(format!("{who} took {percent:.0} % of a core (bar: {most:.0} %): {REMEDY}"));
        }
    }
    doubts
}

/// What the server did wrong.
fn faults(evidence: Evidence<'_>) -> Vec<String> {
    let Evidence { plan, counts, measures, losses, growth, .. } = evidence;
    let mut faults = Vec::new();
    for measure in measures.iter().filter(|measure| measure.count > 0) {
        if let Some(bar) = measure.bar_p99.filter(|bar| measure.p99 > *bar) {
            let Measure { title, p99, unit, .. } = measure;
            faults.push(format!("{title}: p99 {p99:.1} {unit}, the bar is {bar:.0}"));
        }
    }
    for (reason, count) in &counts.failed {
        faults.push(format!("{count} calls failed: {reason}"));
    }
    if counts.unfinished() > 0 {
        faults.push(format!("{} calls had no answer when the test ended", counts.unfinished()));
    }
    for (reason, count) in counts.refused.iter().filter(|_| !plan.is_beyond_limit()) {
        faults.push(format!("{count} calls were refused: {reason}"));
    }
    let lost = [
        ("samples from callers were lost", losses.uplink_lost_samples),
        ("samples from callers came twice", losses.uplink_doubled_samples),
        ("samples to callers were lost", losses.downlink_lost_samples),
        ("samples to callers came twice", losses.downlink_doubled_samples),
        ("times a caller's buffer ran dry within a reply", losses.underruns),
        ("probes were not answered", losses.probes_lost),
        ("messages were none that the carrier takes", losses.violations),
    ];
    if let Some(Growth { from_bytes, to_bytes }) = growth.filter(|growth| growth.is_lasting()) {
        let (from, to) = (from_bytes as f64 / 1e6, to_bytes as f64 / 1e6);
        faults.push(format!(
            "the server's memory grew from {from:.1} to {to:.1} MB, by means of the middle and the last third"
        ));
    }
    faults.extend(lost.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")));
    faults
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use time::OffsetDateTime;

    use super::*;
    use crate::load::histogram::Delays;
    use crate::load::outcome::{Arrivals, Kind, Model, Share};

    /// Everything that is judged, all of it well.
    struct Case {
        counts: Counts,
        delay_ms: u64,
        /// Callers that heard something, and answers that were heard.
        sounds: u64,
        answers: u64,
        losses: Losses,
        generator: Generator,
        max_calls: Option<u32>,
        refusal_ms: u64,
        growth: Option<Growth>,
        kind: Kind,
        has_probes: bool,
    }

    impl Case {
        fn well() -> Self {
            Self {
                counts: Counts {
                    offered: 120,
                    answered: 120,
                    completed: 20,
                    cut_short: 100,
                    up_max: 100,
                    ..Counts::default()
                },
                sounds: 118,
                answers: 60,
                delay_ms: 30,
                losses: Losses { probes: 500, replies: 100, ..Losses::default() },
                generator: Generator {
                    lateness_p99_ms: 1.5,
                    lateness_bar_ms: LATENESS_BAR_MS,
                    model_lateness_p99_ms: Some(1.5),
                    cpu_share: Some(0.4),
                    model_cpu_share: Some(0.3),
                    cores: 1,
                    shares_cores: true,
                    cpu_share_bar: CPU_SHARE_BAR,
                    ..Generator::default()
                },
                max_calls: None,
                refusal_ms: 3,
                growth: Some(Growth { from_bytes: 50_000_000, to_bytes: 51_000_000 }),
                kind: Kind::Short,
                has_probes: true,
            }
        }

        /// Seven calls, by a server that was told to admit so many.
        fn refuse(&mut self, max_calls: Option<u32>) {
            self.max_calls = max_calls;
            self.counts.refused = [("busy".to_owned(), 7)].into();
        }

        fn late_and_blind(&mut self) {
            self.generator.lateness_p99_ms = 9.0;
            self.losses.probes = 0;
        }

        fn unanswered(&mut self) {
            self.counts = Counts { offered: 120, ..Counts::default() };
        }

        fn all_refused(&mut self) {
            self.unanswered();
            self.counts.refused = [("busy".to_owned(), 120)].into();
            self.losses.probes = 0;
        }

        fn fail_early(&mut self) {
            self.counts.failed = [("x".to_owned(), 2)].into();
            self.losses.probes = 3;
        }

        /// Answered by another model than the load test's.
        fn elsewhere(&mut self) -> &mut Self {
            self.losses = Losses::default();
            self.has_probes = false;
            self
        }

        fn judge(&self) -> Verdict {
            let plan = Plan {
                target: String::new(),
                command: String::new(),
                started_at: OffsetDateTime::UNIX_EPOCH,
                calls: 100,
                ramp_ms: 0,
                duration_ms: 0,
                arrivals: Arrivals::Steady,
                mix: vec![Share { kind: self.kind, weight: 1 }],
                seed: 1,
                model: Model::Simulated,
                max_calls: self.max_calls,
            };
            let measure = |name, count, ms, bar| {
                let mut delays = Delays::default();
                (0..count).for_each(|_| delays.record(std::time::Duration::from_millis(ms)));
                delays.measure(name, name, bar)
            };
            let measures = [
                measure("added delay", 1, self.delay_ms, Some(60.0)),
                measure("refusal", 1, self.refusal_ms, Some(50.0)),
                measure(names::FIRST_SOUND, self.sounds, 900, None),
                measure(names::ANSWER, self.answers, 900, None),
            ];
            verdict(Evidence {
                plan: &plan,
                counts: &self.counts,
                measures: &measures,
                losses: &self.losses,
                generator: &self.generator,
                growth: self.growth,
                has_probes: self.has_probes,
            })
        }
    }

    #[rstest]
    #[case::well(|_: &mut Case| (), 0, "")]
    #[case::slow(|case: &mut Case| case.delay_ms = 61, 1, "the bar is 60")]
    #[case::a_lost_sample(|case: &mut Case| case.losses.uplink_lost_samples = 1, 1, "from callers were lost")]
    #[case::an_underrun(|case: &mut Case| case.losses.underruns = 1, 1, "ran dry")]
    #[case::a_failed_call(|case: &mut Case| case.counts.failed = [("x".into(), 2)].into(), 1, "2 calls failed: x")]
    #[case::a_refused_call(|case: &mut Case| case.counts.refused = [("busy".into(), 1)].into(), 1, "refused: busy")]
    #[case::refused_as_it_should(|case: &mut Case| case.refuse(Some(99)), 0, "")]
    #[case::refused_below_the_limit(|case: &mut Case| case.refuse(Some(100)), 1, "7 calls were refused: busy")]
    #[case::a_slow_refusal(|case: &mut Case| case.refusal_ms = 51, 1, "refusal: p99 51.0 ms, the bar is 50")]
    #[case::a_leak(|case: &mut Case| case.growth.as_mut().unwrap().to_bytes = 60_000_000, 1, "from 50.0 to 60.0 MB")]
    #[case::memory_unknown(|case: &mut Case| case.growth = None, 0, "")]
    #[case::a_late_generator(|case: &mut Case| case.generator.lateness_p99_ms = 5.1, 2, "callers' frames left")]
    #[case::late_and_blind(|case: &mut Case| case.late_and_blind(), 2, "TooSlow")]
    #[case::a_late_model(|case: &mut Case| case.generator.model_lateness_p99_ms = Some(6.0), 2, "load model was")]
    #[case::a_busy_core(|case: &mut Case| case.generator.cpu_share = Some(0.6), 2, "together took 90 %")]
    #[case::too_short(|case: &mut Case| case.losses.probes = 19, 2, "19 probes measured, 20 needed: use a longer")]
    #[case::without_probes(|case: &mut Case| (case.losses.probes, case.kind) = (0, Kind::Fallback), 0, "")]
    #[case::too_few_calls(|case: &mut Case| case.counts.up_max = 89, 2, "89 of 100 calls were up")]
    #[case::elsewhere(|case: &mut Case| _ = case.elsewhere(), 0, "")]
    #[case::elsewhere_mute(|case: &mut Case| (case.elsewhere().sounds, case.answers) = (0, 0), 2, "no caller of 120 heard")]
    #[case::elsewhere_half_mute(|case: &mut Case| case.elsewhere().sounds = 60, 2, "60 of 120 callers heard a sound")]
    #[case::elsewhere_no_answer(|case: &mut Case| case.elsewhere().answers = 0, 2, "0 answers heard, 20 needed")]
    #[case::elsewhere_too_few(|case: &mut Case| case.elsewhere().answers = 19, 2, "19 answers heard, 20 needed: use")]
    #[case::fallback_mute(|case: &mut Case| (case.sounds, case.kind) = (0, Kind::Fallback), 2, "heard a sound")]
    #[case::unanswered(|case: &mut Case| case.unanswered(), 2, "none of 120 calls was answered")]
    #[case::some_unanswered(|case: &mut Case| case.counts.offered = 127, 1, "7 calls had no answer when the test")]
    #[case::all_refused(|case: &mut Case| case.all_refused(), 1, "120 calls were refused: busy")]
    #[case::few_probes_and_failures(|case: &mut Case| case.fail_early(), 1, "2 calls failed: x")]
    #[case::no_call(|case: &mut Case| case.counts.offered = 0, 2, "no call was placed")]
    fn a_test_passes_fails_or_says_nothing(
        #[case] change: fn(&mut Case),
        #[case] exit_code: u8,
        #[case] expected: &str,
    ) {
        let mut case = Case::well();
        change(&mut case);
        let verdict = case.judge();
        assert_eq!(verdict.exit_code(), exit_code, "{verdict:?}");
        assert!(format!("{verdict:?}").contains(expected), "{verdict:?}");
    }

    #[test]
    fn a_server_is_not_blamed_where_the_test_was_late() {
        let mut case = Case::well();
        case.delay_ms = 500;
        case.generator.lateness_p99_ms = 400.0;
        assert!(matches!(case.judge(), Verdict::Refused { .. }));
    }
}
