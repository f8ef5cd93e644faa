//! Sums up a load test as it goes on: second by second, and all of it. Looks at processes; knows no sockets.

use std::time::Duration;

use super::growth::Growth;
use super::histogram::Delays;
use super::judge::{self, CPU_SHARE_BAR, Evidence, LATENESS_BAR_MS};
use super::meter::{Meter, Reading};
use super::model::Snapshot;
use super::origin;
use super::outcome::{Counts, Ended, Generator, Losses, Outcome, Plan, Second, ServerCost};
use super::run::Watch;
use super::tally::Tally;

/// Calls are up in full after the ramp and this long, when those that came with it have begun to speak.
const SETTLE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Summary {
    total: Tally,
    timeline: Vec<Second>,
    server: Option<Meter>,
    own: Option<Meter>,
    model: Option<ModelWatch>,
    /// From when on all calls are up.
    full_from: Duration,
    full: Full,
    up_max: u64,
}

/// What the server used while all calls were up.
#[derive(Clone, Copy, Debug, Default)]
struct Full {
    cpu: Duration,
    /// Calls up, added up over the seconds.
    call_seconds: f64,
    share_max: f64,
    seconds: u32,
}

#[derive(Debug)]
struct ModelWatch {
    first: Snapshot,
    last: Snapshot,
    meter: Option<Meter>,
    lateness: Delays,
}

impl Summary {
    pub fn start(plan: &Plan, watch: Watch, model: Option<&Snapshot>) -> Self {
        let model = model.map(|first| ModelWatch {
            meter: Meter::start(first.pid).filter(|meter| meter.pid() != std::process::id()),
            first: first.clone(),
            last: first.clone(),
            lateness: Delays::default(),
        });
        Self {
            total: Tally::default(),
            timeline: Vec::new(),
            server: watch.server_pid.and_then(Meter::start),
            own: Meter::start(std::process::id()),
            model,
            full_from: Duration::from_millis(plan.ramp_ms) + SETTLE,
            full: Full::default(),
            up_max: 0,
        }
    }

    /// A second is over, with so many calls up.
    pub fn second(&mut self, at: Duration, tally: Tally, model: Option<&Snapshot>, up: u64) {
        let server = self.server.as_mut().and_then(Meter::read);
        let own = self.own.as_mut().and_then(Meter::read);
        let model_share = self.look_at(model);
        if let Some(reading) = server.filter(|_| at >= self.full_from) {
            self.full.add(reading, up);
        }
        self.up_max = self.up_max.max(up);
        let quantile = |quantile: f64| {
            let delays = &tally.heard.added_delay;
            (!delays.is_empty()).then(|| delays.quantile_ms(quantile))
        };
        self.timeline.push(Second {
            at_ms: crate::time::millis(at),
            calls_up: up,
            answered: tally.ends.answered,
            refused: tally.ends.refused.values().sum(),
            failed: tally.ends.failed.values().sum(),
            delay_p50_ms: quantile(0.5),
            delay_p99_ms: quantile(0.99),
            server_cpu_share: server.map(|reading| reading.share),
            server_rss_bytes: server.map(|reading| reading.rss_bytes),
            generator_lateness_p99_ms: tally.lateness.quantile_ms(0.99),
            generator_cpu_share: own.map(|reading| reading.share),
            model_cpu_share: model_share,
        });
        self.total.add(&tally);
    }

    /// The last that calls measured, when they had hung up.
    pub fn end(&mut self, tally: Tally, model: Option<&Snapshot>) {
        self.total.add(&tally);
        if let (Some(watch), Some(model)) = (&mut self.model, model) {
            watch.take(model);
        }
    }

    fn look_at(&mut self, model: Option<&Snapshot>) -> Option<f64> {
        let watch = self.model.as_mut()?;
        watch.take(model?);
        Some(watch.meter.as_mut()?.read()?.share)
    }

    pub fn last(&self) -> Option<&Second> {
        self.timeline.last()
    }

    /// How long calls are on average, once some have come to their end.
    pub fn call_length(&self) -> Option<Duration> {
        const ENOUGH: u64 = 10;
        let lengths = &self.total.lengths;
        (lengths.len() >= ENOUGH).then(|| Duration::from_secs_f64(lengths.mean_ms() / 1e3))
    }

    pub fn counts(&self, offered: u64) -> Counts {
        let ends = &self.total.ends;
        Counts {
            offered,
            answered: ends.answered,
            completed: ends.completed,
            cut_short: ends.cut_short,
            refused: ends.refused.clone(),
            failed: ends.failed.clone(),
            up_max: self.up_max,
        }
    }

    pub fn outcome(self, plan: Plan, ended: Ended, offered: u64, has_probes: bool) -> Outcome {
        let (counts, losses, generator) = (self.counts(offered), self.losses(), self.generator());
        let measures = self.total.heard.measures();
        let server = self.server_cost();
        let evidence = Evidence {
            plan: &plan,
            counts: &counts,
            measures: &measures,
            losses: &losses,
            generator: &generator,
            growth: server.as_ref().and_then(|cost| cost.rss_growth),
            has_probes,
        };
        Outcome {
            origin: origin::origin(),
            verdict: judge::verdict(evidence),
            ended,
            delay_histogram: self.total.heard.added_delay.bins(),
            server,
            timeline: self.timeline,
            counts,
            measures,
            losses,
            generator,
            capacity: None,
            plan,
        }
    }

    /// What callers heard, and what the load model counted of what they said.
    fn losses(&self) -> Losses {
        let mut losses = self.total.losses;
        if let Some(ModelWatch { first, last, .. }) = &self.model {
            losses.uplink_samples = last.uplink_samples - first.uplink_samples;
            losses.uplink_lost_samples = last.uplink_lost_samples - first.uplink_lost_samples;
            losses.uplink_doubled_samples = last.uplink_doubled_samples - first.uplink_doubled_samples;
        }
        losses
    }

    fn generator(&self) -> Generator {
        let late = &self.total.lateness;
        let meter = self.model.as_ref().and_then(|watch| watch.meter.as_ref());
        let both = self.own.as_ref().zip(meter);
        Generator {
            lateness_p50_ms: late.quantile_ms(0.5),
            lateness_p99_ms: late.quantile_ms(0.99),
            lateness_max_ms: late.max_ms(),
            lateness_bar_ms: LATENESS_BAR_MS,
            frames_sent: self.total.frames,
            cpu_share: self.own.as_ref().map(Meter::busiest),
            cores: self.own.as_ref().map_or(1, Meter::cores),
            model_lateness_p99_ms: self.model.as_ref().map(|watch| watch.lateness.quantile_ms(0.99)),
            model_cpu_share: meter.map(Meter::busiest),
            model_cores: meter.map(Meter::cores),
            shares_cores: both.is_some_and(|(own, model)| own.shares_cores(model)),
            cpu_share_bar: CPU_SHARE_BAR,
        }
    }

    fn server_cost(&self) -> Option<ServerCost> {
        let meter = self.server.as_ref()?;
        let (rss_base_bytes, rss_max_bytes) = meter.rss_bytes();
        let Full { cpu, call_seconds, share_max, seconds } = self.full;
        Some(ServerCost {
            pid: meter.pid(),
            cores: meter.cores(),
            cpu_ms_per_call_second: cpu.as_secs_f64() * 1e3 / call_seconds.max(1.0),
            cpu_share_mean: cpu.as_secs_f64() / f64::from(seconds.max(1)),
            cpu_share_max: share_max,
            rss_base_bytes,
            rss_max_bytes,
            rss_per_call_bytes: rss_max_bytes.saturating_sub(rss_base_bytes) / self.up_max.max(1),
            rss_growth: Growth::of(&self.timeline, self.full_from),
        })
    }
}

impl Full {
    fn add(&mut self, reading: Reading, up: u64) {
        self.cpu += reading.cpu;
        self.call_seconds += up as f64;
        self.share_max = self.share_max.max(reading.share);
        self.seconds += 1;
    }
}

impl ModelWatch {
    fn take(&mut self, snapshot: &Snapshot) {
        self.lateness.add_counts(&snapshot.lateness);
        self.last = snapshot.clone();
    }
}
