//! What became of a simulated call: counted for people and programs, and the sound itself.

use std::time::{Duration, Instant};

use super::latency::{self, Quantiles};
use super::line::End;
use super::playout::{Cause, Played};
use super::timeline::{Timeline, samples_in, span};
use super::wire::Violation;
use crate::audio::{Rate, wav};

#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    pub caller: Caller,
    /// The TwiML verbs that were run, in order.
    pub verbs: Vec<String>,
    pub requests: Vec<Request>,
    pub streams: Vec<StreamReport>,
    pub audio: Audio,
    pub violations: Vec<Violation>,
    /// How much later than planned the simulator itself sent the caller's speech.
    pub lateness: Quantiles,
    pub probes: Probes,
    pub ending: Ending,
    /// Every byte the server sent: when it was heard, or that it was dropped.
    #[serde(skip)]
    pub played: Played,
    /// Every byte the caller said, on the caller's own clock.
    #[serde(skip)]
    pub spoken: Timeline,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct Caller {
    pub description: String,
    pub from: String,
    pub to: String,
    pub account_sid: String,
    pub call_sid: String,
}

/// One HTTP request: `status` is what the server answered, `error` why there is no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Request {
    pub what: String,
    pub url: String,
    pub status: Option<u16>,
    pub error: Option<String>,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct StreamReport {
    pub stream_sid: String,
    pub url: String,
    pub end: End,
    /// From the start of the stream to the first sample the caller heard, played from an empty buffer.
    pub first_audio_ms: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Audio {
    pub sent_s: f64,
    pub heard_s: f64,
    /// Dropped by `clear`.
    pub cleared_bytes: usize,
    /// Still waiting when a stream ended.
    pub lost_bytes: usize,
    /// Dropped because ten minutes were waiting.
    pub discarded_bytes: usize,
    pub underruns: u64,
    pub marks_played: u64,
    pub marks_cleared: u64,
}

/// From the onset of each probe to the first sound in the caller's ear. Instants of a probe not heard are missing.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Probes {
    pub sent: usize,
    pub delay: Quantiles,
    #[serde(skip)]
    pub delays: Vec<Option<Duration>>,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    CallerHungUp,
    /// `<Hangup>`.
    ServerHungUp,
    /// No verb was left.
    DocumentDone,
    /// `<Reject>`: never answered.
    Rejected {
        busy: bool,
    },
    /// No usable TwiML (Twilio error code).
    NoDocument {
        code: u16,
        what: String,
    },
}

impl Audio {
    pub(super) fn of(spoken: &Timeline, played: &Played, marks: (u64, u64)) -> Self {
        let seconds = |timeline: &Timeline| span(timeline.bytes().len()).as_secs_f64();
        Self {
            sent_s: seconds(spoken),
            heard_s: seconds(&played.timeline),
            cleared_bytes: played.dropped(Cause::Cleared),
            lost_bytes: played.dropped(Cause::Lost),
            discarded_bytes: played.dropped(Cause::Overflow),
            underruns: played.underruns,
            marks_played: marks.0,
            marks_cleared: marks.1,
        }
    }
}

impl Probes {
    pub(super) fn of(sent: &[Instant], heard: &Timeline) -> Self {
        let delays = latency::delays(sent, heard);
        let known: Vec<_> = delays.iter().copied().flatten().collect();
        Self { sent: sent.len(), delay: Quantiles::of(&known), delays }
    }
}

/// An answer pauses no longer than this between words.
const PAUSE: Duration = Duration::from_millis(200);

impl Report {
    /// The mu-law the caller heard, in order, gaps left out.
    pub fn heard(&self) -> &[u8] {
        self.played.timeline.bytes()
    }

    /// How long after `at` the caller still heard the answer of that moment.
    pub fn silence_after(&self, at: Instant) -> Duration {
        latency::silence_after(&self.played.timeline, at, PAUSE)
    }

    /// The call as a two-channel file: left the caller, right what the caller heard, on one time line.
    pub fn wav(&self) -> Vec<u8> {
        let (spoken, heard) = (&self.spoken, &self.played.timeline);
        let first = |timeline: &Timeline| timeline.runs().first().map(|run| run.at);
        let origin = [first(spoken), first(heard)].into_iter().flatten().min();
        let end = [spoken.end(), heard.end()].into_iter().flatten().max();
        let (Some(origin), Some(end)) = (origin, end) else { return stereo(&[], &[]) };
        let len = samples_in(end.duration_since(origin));
        let (mut left, mut right) = (vec![0; len], vec![0; len]);
        spoken.render(origin, &mut left);
        heard.render(origin, &mut right);
        stereo(&left, &right)
    }
}

fn stereo(left: &[i16], right: &[i16]) -> Vec<u8> {
    let samples = left.iter().zip(right).flat_map(|(&left, &right)| [left, right]).collect();
    wav::write(&wav::Wav { rate: Rate::LINE, channels: 2, samples })
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "call {} ({} -> {})", self.caller.call_sid, self.caller.from, self.caller.to)?;
        writeln!(f, "  ending      {:?}", self.ending)?;
        writeln!(f, "  verbs       {}", self.verbs.join(" "))?;
        for request in &self.requests {
            let outcome = request.status.map(|status| status.to_string());
            let outcome = outcome.or_else(|| request.error.clone()).unwrap_or_default();
            writeln!(f, "  request     {} {}: {outcome}", request.what, request.url)?;
        }
        for stream in &self.streams {
            writeln!(f, "  stream      {} {}: {:?}", stream.stream_sid, stream.url, stream.end)?;
        }
        let audio = &self.audio;
        writeln!(f, "  audio       {:.2} s said, {:.2} s heard", audio.sent_s, audio.heard_s)?;
        let dropped = (audio.cleared_bytes, audio.lost_bytes, audio.discarded_bytes);
        writeln!(
            f,
            "  dropped     {} bytes cleared, {} lost, {} discarded",
            dropped.0, dropped.1, dropped.2
        )?;
        writeln!(f, "  underruns   {}", audio.underruns)?;
        writeln!(f, "  marks       {} played, {} cleared", audio.marks_played, audio.marks_cleared)?;
        let late = &self.lateness;
        writeln!(f, "  own delay   p99 {:.2} ms, max {:.2} ms", late.p99_ms, late.max_ms)?;
        if self.probes.sent > 0 {
            let (sent, delay) = (self.probes.sent, &self.probes.delay);
            let (median, p99, max) = (delay.median_ms, delay.p99_ms, delay.max_ms);
            writeln!(
                f,
                "  probes      {} of {sent} heard, median {median:.2} ms, p99 {p99:.2}, max {max:.2}",
                delay.count
            )?;
        }
        for violation in &self.violations {
            writeln!(f, "  violation   {} {}", violation.code, violation.what)?;
        }
        Ok(())
    }
}
