//! What a load test found, for people and programs. [`Outcome`] is the JSON of `patchcord load --json`.
//!
//! Units are in the names: `_ms` are milliseconds, `_bytes` bytes; shares are of one core, so that 1.0 is a core that
//! does nothing else. Absent (`null`) is what could not be measured. Plain data: nothing here measures anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::growth::Growth;

/// The version of the format that this program writes.
pub const VERSION: u32 = 1;

/// A load test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    #[serde(flatten)]
    pub origin: Origin,
    pub plan: Plan,
    pub ended: Ended,
    pub verdict: Verdict,
    pub counts: Counts,
    /// What callers heard, one row for each thing that was measured.
    pub measures: Vec<Measure>,
    /// How often which added delay was measured, in order of the delay; bins without a count are left out.
    pub delay_histogram: Vec<Bin>,
    pub losses: Losses,
    /// One entry for each second from the first call on.
    pub timeline: Vec<Second>,
    /// What the server cost; `null` where its process is not known or not on this machine.
    pub server: Option<ServerCost>,
    pub generator: Generator,
    /// What `--find-capacity` found; the rest of the outcome is that of the step it decided for.
    pub capacity: Option<Capacity>,
}

impl Outcome {
    /// The exit code of the program: that of the verdict, or [`INTERRUPTED`].
    pub fn exit_code(&self) -> u8 {
        let is_cut_off =
            self.capacity.as_ref().is_some_and(|capacity| capacity.stopped_by == StoppedBy::Interrupted);
        if is_cut_off || self.ended == Ended::Interrupted { INTERRUPTED } else { self.verdict.exit_code() }
    }
}

/// The exit code of a program that was interrupted: 128 and the number of SIGINT (POSIX, sh).
pub const INTERRUPTED: u8 = 130;

/// What wrote the outcome, and where: figures of different builds or machines do not compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// [`VERSION`] of the format.
    pub load_test: u32,
    /// Version of the program that tested; of a server that it started, too.
    #[serde(default)]
    pub version: String,
    /// Of its source; `null`: it was built outside a repository, or for debugging.
    #[serde(default)]
    pub commit: Option<String>,
    /// `release` or `debug`.
    #[serde(default)]
    pub build: String,
    /// That of the load test; the server's, too, where `server` is not `null`.
    #[serde(default)]
    pub machine: Machine,
}

impl Origin {
    /// In a few words: `patchcord 0.1.0 (1a2b3c4d5e6f, release)`.
    pub fn program(&self) -> String {
        let Self { version, commit, build, .. } = self;
        let commit = commit.as_deref().map(|commit| format!("{commit}, ")).unwrap_or_default();
        format!("patchcord {version} ({commit}{build})")
    }
}

/// A machine, as far as it tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and architecture.
    pub system: String,
    pub kernel: Option<String>,
    pub cpu: Option<String>,
    /// Processor cores that are online, hyper-threads among them.
    pub cores: Option<u32>,
    pub memory_bytes: Option<u64>,
}

impl Machine {
    /// In a few words: `AMD EPYC 7B13, 8 cores, 32 GB, Linux x86_64 6.1.0`.
    pub fn summary(&self) -> String {
        let Self { system, kernel, cpu, cores, memory_bytes } = self;
        let mut parts = vec![cpu.clone().unwrap_or_else(|| "unknown processor".to_owned())];
        parts.extend(cores.map(|cores| format!("{cores} cores")));
        parts.extend(memory_bytes.map(|bytes| format!("{:.1} GB", bytes as f64 / 1e9)));
        parts.push(kernel.as_ref().map_or_else(|| system.clone(), |kernel| format!("{system} {kernel}")));
        parts.join(", ")
    }
}

/// What was to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The voice webhook that calls were placed at.
    pub target: String,
    /// The command line, without secrets.
    pub command: String,
    /// RFC 3339, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// Calls to be up at the same time.
    pub calls: u32,
    /// From the first call until all are up.
    pub ramp_ms: u64,
    /// From then on to the end.
    pub duration_ms: u64,
    pub arrivals: Arrivals,
    /// Kinds of calls with their weights, without those that have none.
    pub mix: Vec<Share>,
    /// The seed of everything random.
    pub seed: u64,
    pub model: Model,
    /// How many calls the server was told to admit (`--max-calls`); where they are fewer than `calls`, others are
    /// refused, as they should be. `null`: nothing is known of a limit.
    #[serde(default)]
    pub max_calls: Option<u32>,
}

impl Plan {
    /// Callers of some kind send probes, if the load model answers; those of the fallback do not.
    pub fn has_probes(&self) -> bool {
        self.mix.iter().any(|share| share.kind != Kind::Fallback)
    }

    /// More callers were sent than the server was told to admit.
    pub fn is_beyond_limit(&self) -> bool {
        self.max_calls.is_some_and(|limit| limit < self.calls)
    }
}

/// How calls arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Evenly over the ramp; a call that ends is followed by another at once.
    #[default]
    Steady,
    /// At random times (a Poisson process) at the rate that keeps the number of calls up on average.
    Poisson,
    /// Four steps over the ramp, each with a quarter of the calls at once.
    Step,
}

/// How much of the calls is of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub kind: Kind,
    pub weight: u32,
}

/// What happens in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One recorded question and its answer.
    Short,
    /// A whole recorded conversation.
    Long,
    /// The caller speaks into an answer.
    BargeIn,
    /// The caller's line is gone in the middle of an answer, without a word.
    HangUp,
    /// The caller presses keys.
    Dtmf,
    /// The live service refuses, and the fallback answers.
    Fallback,
}

/// Who answered the callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// The load model: it answers probes at once, so the added delay and losses are measured.
    Simulated,
    /// Any other: no probes are sent, and delay and losses are not measured.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    Completed,
    /// By a signal: everything is what there was until then.
    Interrupted,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Every bar was kept. Exit code 0.
    Passed,
    /// Which were not. Exit code 1.
    Failed { reasons: Vec<String> },
    /// Nothing can be said of the server; each reason ends with what to do. Exit code 2.
    Refused {
        #[serde(default)]
        doubt: Doubt,
        reasons: Vec<String>,
    },
}

/// Why nothing can be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// The load test itself was too slow.
    #[default]
    TooSlow,
    /// It saw too little.
    TooLittle,
}

impl Verdict {
    /// The exit code of the program.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed { .. } => 1,
            Self::Refused { .. } => 2,
        }
    }
}

/// What became of the calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Calls placed.
    pub offered: u64,
    /// Calls whose stream was opened.
    pub answered: u64,
    /// Calls that went to their end as they were meant to.
    pub completed: u64,
    /// Calls still up when the test ended; nothing is wrong with them.
    pub cut_short: u64,
    /// Calls that the server told the carrier to reject, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Calls that broke, by reason.
    pub failed: BTreeMap<String, u64>,
    /// The most calls that were up at the same time.
    pub up_max: u64,
}

impl Counts {
    /// Calls that neither came to an end nor failed, though the test waited for them.
    pub fn unfinished(&self) -> u64 {
        let Self { offered, completed, cut_short, refused, failed, .. } = self;
        let ended = completed + cut_short + refused.values().sum::<u64>() + failed.values().sum::<u64>();
        offered.saturating_sub(ended)
    }
}

/// Something measured many times. All quantiles are 0 if `count` is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Which one it is; the names are [`names`].
    pub name: String,
    /// What it is, in a few words for a table.
    pub title: String,
    /// `ms` everywhere at present.
    pub unit: String,
    pub count: u64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
    /// The p99 that must not be exceeded, if there is such a bar.
    pub bar_p99: Option<f64>,
}

/// Names of measures, and what they are exactly.
pub mod names {
    /// From the instant at which the first sample of a probe sounds at the caller's mouth until the first sample of the
    /// model's answer sounds in the caller's ear, by the carrier's clock and playout buffer. Both ways through the
    /// bridge; the carrier's own framing (0 to 20 ms, until the frame is full) is part of it, as is what the load model
    /// takes to answer.
    pub const ADDED_DELAY: &str = "added_delay";
    /// From the first sample of the caller's interruption to silence in the caller's ear. What the load model
    /// takes to notice, 60 ms of speech, is part of it.
    pub const BARGE_IN: &str = "barge_in";
    /// From the end of the caller's words to the first sound of the answer. What the model waits for the end of
    /// the turn and thinks is part of it.
    pub const ANSWER: &str = "answer";
    /// The longest such silence of each call.
    pub const DEAD_AIR: &str = "dead_air";
    /// How much later than the earliest frame of its reply, by the reply's own clock, each frame came.
    pub const FRAME_LATENESS: &str = "frame_lateness";
    /// From placing the call to its open stream: webhook, its answer, upgrade.
    pub const SETUP: &str = "setup";
    /// From the start of the stream to the first sound.
    pub const FIRST_SOUND: &str = "first_sound";
    /// From posting the webhook until the document that refuses the call was read. Only where calls were refused.
    pub const REFUSAL: &str = "refusal";
}

/// So many measurements from this value to that of the next bin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    pub from_ms: f64,
    pub to_ms: f64,
    pub count: u64,
}

/// Sound that did not come out as it went in. A sample is one of the line, 125 µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Between probes, as the load model counted what came of what callers said.
    pub uplink_lost_samples: u64,
    pub uplink_doubled_samples: u64,
    /// Within replies, as callers heard them; those that were interrupted do not count.
    pub downlink_lost_samples: u64,
    pub downlink_doubled_samples: u64,
    /// Holes within a reply: the caller's buffer ran dry.
    pub underruns: u64,
    /// Probes whose answer was not heard.
    pub probes_lost: u64,
    /// How much was looked at, so that zeros can be believed.
    pub probes: u64,
    pub replies: u64,
    pub uplink_samples: u64,
    pub downlink_samples: u64,
    /// Messages of the server that the carrier would have refused.
    pub violations: u64,
}

impl Losses {
    /// Whether callers and model heard everything.
    pub const fn is_none(&self) -> bool {
        let samples = self.uplink_lost_samples
            + self.uplink_doubled_samples
            + self.downlink_lost_samples
            + self.downlink_doubled_samples;
        samples + self.underruns + self.probes_lost + self.violations == 0
    }
}

/// One second of the test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Its end, from the first call on.
    pub at_ms: u64,
    /// Calls up at its end.
    pub calls_up: u64,
    /// In this second.
    pub answered: u64,
    pub refused: u64,
    pub failed: u64,
    /// Of the probes of this second; `null` without one.
    pub delay_p50_ms: Option<f64>,
    pub delay_p99_ms: Option<f64>,
    /// CPU time of the server by time; 2.0 are two full cores.
    pub server_cpu_share: Option<f64>,
    pub server_rss_bytes: Option<u64>,
    /// How late callers' frames left, p99.
    pub generator_lateness_p99_ms: f64,
    pub generator_cpu_share: Option<f64>,
    pub model_cpu_share: Option<f64>,
}

/// What the server cost, by its process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerCost {
    pub pid: u32,
    /// Cores it may run on.
    pub cores: u32,
    /// CPU time for one second of one call, while all were up.
    pub cpu_ms_per_call_second: f64,
    /// The same by time: 2.0 are two full cores.
    pub cpu_share_mean: f64,
    pub cpu_share_max: f64,
    /// Resident memory before the first call. A server that the test has started has had one call that does not count.
    pub rss_base_bytes: u64,
    pub rss_max_bytes: u64,
    /// What was added, by the most calls that were up.
    pub rss_per_call_bytes: u64,
    /// Whether it went on growing; `null` where the test was too short to tell.
    pub rss_growth: Option<Growth>,
}

/// How well the load test itself kept time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// How late callers' frames left.
    pub lateness_p50_ms: f64,
    pub lateness_p99_ms: f64,
    pub lateness_max_ms: f64,
    /// The p99 beyond which there is no verdict.
    pub lateness_bar_ms: f64,
    pub frames_sent: u64,
    /// CPU time of generator and model by time, in the busiest ten seconds, and the cores each may run on.
    pub cpu_share: Option<f64>,
    pub cores: u32,
    /// How late a clock of the load model's process was, p99; `null` without such a model.
    pub model_lateness_p99_ms: Option<f64>,
    pub model_cpu_share: Option<f64>,
    pub model_cores: Option<u32>,
    /// They run on the same cores, and the bar is for both together.
    pub shares_cores: bool,
    /// The share of their cores beyond which there is no verdict.
    pub cpu_share_bar: f64,
}

/// How many calls the server carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// The most calls with which everything was well; `null`: not even one step was.
    pub calls: Option<u32>,
    /// The least with which it was not; `null`: none was found.
    pub too_many: Option<u32>,
    /// What ended the search.
    pub stopped_by: StoppedBy,
    pub calls_per_core: Option<f64>,
    pub cpu_ms_per_call_second: Option<f64>,
    pub rss_per_call_bytes: Option<u64>,
    /// Calls to admit at most: `calls` less a fifth, for hosts that are not alone and calls that come in flocks;
    /// `null` where no limit was found.
    pub admission_limit: Option<u32>,
    /// In the order in which they were tried.
    pub steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoppedBy {
    /// `calls` and `too_many` are close enough together.
    Found,
    /// Everything was well up to the most calls that were allowed.
    CallsMax,
    /// The generator was the bottleneck: the server may carry more.
    Generator,
    /// The load test saw too little, also of the most calls that were allowed.
    TooLittle,
    Interrupted,
}

/// One number of calls that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub calls: u32,
    #[serde(flatten)]
    pub verdict: Verdict,
    pub delay_p50_ms: f64,
    pub delay_p99_ms: f64,
    pub losses: Losses,
    pub server_cpu_share: Option<f64>,
    pub generator_lateness_p99_ms: f64,
}
