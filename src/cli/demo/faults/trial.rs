//! One call with its fault, played and measured.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::case::{Case, Live, Recovery, Seconds, scenario};
use super::row::Row;
use crate::call::agent::{Agent, Greeting};
use crate::call::record::{Entry, Event, Record, Rung};
use crate::cli::demo::caller::Window;
use crate::cli::demo::notes::{Journal, Notes};
use crate::cli::demo::stage::{Cast, Model, Stage};
use crate::cli::demo::{fallback, hearing};
use crate::sim::carrier::Report;
use crate::sim::gemini::{Behaviour, Defect, Observation, Server, Sighting};
use crate::sim::providers;
use crate::store;

/// Plays the call of this case.
pub(super) async fn play(case: &mut Case, store: store::Handle) -> anyhow::Result<Row> {
    let caller = case.caller()?;
    let said = || caller.questions.iter().map(|question| question.clip.said.to_owned()).collect();
    let (first, second) = (fallback::simulate(said()).await?, fallback::simulate(said()).await?);
    first.set_faults(case.providers.clone());
    let live = std::mem::replace(&mut case.live, Live::Absent);
    let (model, inflicted) = match live {
        Live::Absent => (Model::Absent, Vec::new()),
        Live::Simulated { behaviour, inflicted } => (Model::Simulated(behaviour, scenario()?), inflicted),
    };
    let mut cast = Cast::of(model, agent());
    cast.keys = fallback::keys();
    cast.fallback = fallback::simulated_providers(&first);
    if case.seconds == Seconds::Present {
        add(&mut cast, &second);
    }
    let journal = Journal::keep(&store);
    let stage = Stage::build(store, cast).await?;
    let sightings = stage.model().map(|model| Notes::keep(model.observations()));
    let call = stage.call(caller.fixture.clone());
    let (played, ()) = tokio::join!(call, inflict(stage.model(), inflicted));
    let report = played?.report;
    let entries = journal.of(&report.caller.call_sid).await;
    let sightings = sightings.map(|sightings| sightings.all()).unwrap_or_default();
    stage.strike().await;
    let windows = caller.windows(&report)?;
    Ok(Heard { report, windows, entries, sightings, journal }.row(case))
}

fn agent() -> Agent {
    Agent { name: "fault".to_owned(), greeting: Greeting::None, ..Agent::default() }
}

/// A second provider of every kind.
fn add(cast: &mut Cast, server: &providers::Server) {
    let second = fallback::simulated_providers(server);
    cast.fallback.stt.extend(second.stt);
    cast.fallback.llm.extend(second.llm);
    cast.fallback.tts.extend(second.tts);
}

async fn inflict(model: Option<&Server>, defects: Vec<(Duration, Defect)>) {
    let began = tokio::time::Instant::now();
    for (at, defect) in defects {
        tokio::time::sleep_until(began + at).await;
        if let Some(model) = model {
            model.inflict(defect);
        }
    }
}

/// Everything that is known of a call.
struct Heard {
    report: Report,
    windows: Vec<Window>,
    entries: Vec<Arc<Entry>>,
    sightings: Vec<Sighting>,
    journal: Journal,
}

impl Heard {
    fn row(&self, case: &Case) -> Row {
        let dead: Vec<_> = self.windows.iter().map(|window| self.dead_air(*window)).collect();
        let hand_over = match dead[..] {
            [before, after] => Some(after.saturating_sub(before)),
            _ => None,
        };
        let recovery = recovery(&self.entries);
        Row {
            what: case.what,
            dead_air: dead.iter().copied().max().unwrap_or_default(),
            gap: gap(&self.entries),
            hand_over,
            detected: self.detected(),
            recovery,
            faults: self.faults(case, recovery),
        }
    }

    /// After an apology nobody owes anything: the call is over.
    fn dead_air(&self, window: Window) -> Duration {
        let end = self.ended_at().map_or(window.until, |end| end.min(window.until));
        if end <= window.from {
            return Duration::ZERO;
        }
        hearing::dead_air(&self.report.played.timeline, Window { until: end, ..window })
    }

    fn ended_at(&self) -> Option<Instant> {
        let ended = self.entries.iter().find(|entry| matches!(entry.record, Record::Ended(_)));
        ended.map(|entry| self.journal.instant(entry.at))
    }

    /// What must not be, whatever the figures say.
    fn faults(&self, case: &Case, recovery: Recovery) -> Vec<String> {
        let mut faults = Vec::new();
        if !case.expected.contains(&recovery) {
            let expected: Vec<_> = case.expected.iter().map(|recovery| recovery.name()).collect();
            faults.push(format!("expected {}", expected.join(" or ")));
        }
        let ends = self.entries.iter().filter(|entry| matches!(entry.record, Record::Ended(_))).count();
        if ends != 1 {
            faults.push(format!("{ends} terminal records"));
        }
        if self.last_change().is_some_and(|at| !hearing::has_speech_after(&self.report.played.timeline, at)) {
            faults.push("nothing was said after it".to_owned());
        }
        faults
            .extend(self.report.violations.first().map(|violation| format!("violation {}", violation.what)));
        faults
    }

    /// When it was last decided who answers.
    fn last_change(&self) -> Option<Instant> {
        let is_change = |entry: &&Arc<Entry>| {
            matches!(&entry.record, Record::Event(Event::Rung { .. } | Event::LiveReady { .. }))
        };
        self.entries.iter().rfind(is_change).map(|entry| self.journal.instant(entry.at))
    }

    /// From the fault of the live service to the log's line about it.
    fn detected(&self) -> Option<Duration> {
        let first = |is: fn(&Event) -> bool| {
            let entry =
                self.entries.iter().find(|entry| matches!(&entry.record, Record::Event(event) if is(event)));
            entry.map(|entry| self.journal.instant(entry.at))
        };
        let lost = first(|event| matches!(event, Event::LiveLost { .. } | Event::LiveMoved { .. }))?;
        let is_fault = |sighting: &&Sighting| {
            matches!(sighting.observation, Observation::FaultFired(_) | Observation::GoAwaySent { .. })
        };
        let fault = self.sightings.iter().find(is_fault).map(|sighting| sighting.at);
        let fault = fault.or_else(|| first(|event| matches!(event, Event::LiveDialled { .. })));
        Some(lost.saturating_duration_since(fault?))
    }
}

/// How the call went on, in the end. A session that moved is not resumed unless it was lost as well.
fn recovery(entries: &[Arc<Entry>]) -> Recovery {
    let mut recovery = Recovery::Unharmed;
    let mut is_lost = false;
    for entry in entries {
        let Record::Event(event) = &entry.record else { continue };
        if let Event::Rung { rung: Rung::LastResort, .. } = event {
            return Recovery::Apology;
        } else if let Event::Rung { rung: Rung::Fallback, .. } = event {
            recovery = Recovery::Fallback;
        } else if let Event::LiveMoved { .. } = event {
            recovery = Recovery::Moved;
        } else if let Event::LiveLost { .. } = event {
            is_lost = true;
        } else if let Event::LiveReady { plan, .. } = event
            && is_lost
        {
            recovery = if *plan == "resume" { Recovery::Resumed } else { Recovery::Fresh };
        }
    }
    recovery
}

/// The longest time without a session.
fn gap(entries: &[Arc<Entry>]) -> Option<Duration> {
    let gap = |entry: &Arc<Entry>| {
        let Record::Event(Event::LiveReady { gap_ms, .. }) = &entry.record else { return None };
        *gap_ms
    };
    entries.iter().filter_map(gap).max().map(Duration::from_millis)
}

/// A service that refuses with this status, for ever.
pub(super) fn refusing(status: u16) -> Behaviour {
    use crate::sim::gemini::{Fault, Moment};
    let fault = Fault::always(Moment::Upgrade, Defect::Status(status));
    Behaviour { faults: vec![fault], ..Behaviour::default() }
}

#[cfg(test)]
mod tests {
    use ::time::OffsetDateTime;
    use rstest::rstest;

    use super::*;
    use crate::id::{CallId, LinkId};
    use crate::live::failure::{Failure, Verdict};

    const LINK: LinkId = LinkId(1);

    fn ready(plan: &'static str, gap_ms: Option<u64>) -> Event {
        Event::LiveReady { link: LINK, plan, setup_ms: 800, gap_ms, session_id: None }
    }

    fn lost() -> Event {
        let (endpoint, cause) = (String::new(), Failure::Stalled);
        Event::LiveLost { link: LINK, endpoint, cause, verdict: Verdict::Resume, next: None }
    }

    fn rung(rung: Rung) -> Event {
        Event::Rung { rung, cause: None }
    }

    #[rstest]
    #[case::nothing_happened(vec![ready("fresh", None)], Recovery::Unharmed)]
    #[case::lost(vec![lost(), ready("resume", Some(805))], Recovery::Resumed)]
    #[case::lost_with_its_handle(vec![lost(), lost(), ready("fresh", Some(900))], Recovery::Fresh)]
    #[case::moved(vec![Event::LiveMoved { link: LINK, plan: "resume" }, ready("resume", Some(805))], Recovery::Moved)]
    #[case::refused(vec![lost(), rung(Rung::Fallback)], Recovery::Fallback)]
    #[case::given_up(vec![lost(), rung(Rung::Fallback), rung(Rung::LastResort)], Recovery::Apology)]
    fn the_log_says_how_a_call_went_on(#[case] events: Vec<Event>, #[case] expected: Recovery) {
        let call = CallId::new(1);
        let entry = |event| {
            let (sequence, at) = (0, OffsetDateTime::UNIX_EPOCH);
            Arc::new(Entry { call, sequence, at, record: Record::Event(event) })
        };
        assert_eq!(recovery(&events.into_iter().map(entry).collect::<Vec<_>>()), expected);
    }
}
