//! One session of the load model as a machine: messages and the time in, messages out. Knows no socket.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::GeneralPurposeConfig;
use base64::engine::Simd;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::ear::{Ear, Heard};
use super::lines::{Lines, Step};
use super::stats::Stats;

/// From the end of the caller's turn to the first message of the answer.
const THINK: Duration = Duration::from_millis(300);

/// Sessions of this model are refused after the caller's first turn, so that the fallback answers; once they are set
/// up, because a service that sets nothing up is avoided by every call.
pub const REFUSED_MODEL: &str = "load-fallback";

/// The close frame of such a session (Gemini Live API, close codes and reasons).
pub(super) const REFUSAL: (u16, &str) = (1011, "You exceeded your current quota, please check your plan.");

#[derive(Debug)]
pub(super) enum Output {
    Send(Bytes),
    /// Close with this code and reason.
    Close(u16, &'static str),
}

/// What every session shares.
#[derive(Debug)]
pub(super) struct House {
    pub(super) lines: Lines,
    pub(super) stats: Stats,
    base64: Simd,
}

impl House {
    pub(super) fn new() -> Self {
        let base64 = Simd::standard(GeneralPurposeConfig::new());
        Self { lines: Lines::new(), stats: Stats::default(), base64 }
    }
}

#[derive(Debug)]
pub(super) struct Session {
    house: Arc<House>,
    stage: Stage,
    ear: Ear,
    answer: Option<Answer>,
    outputs: VecDeque<Output>,
    heard: Vec<Heard>,
    bytes: Vec<u8>,
    samples: Vec<i16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    SetUp,
    /// It will be refused.
    Doomed,
}

/// An answer that is given.
#[derive(Clone, Copy, Debug)]
struct Answer {
    kind: Kind,
    begins: Instant,
    next: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Greeting,
    Answer,
}

impl Session {
    pub(super) fn new(house: Arc<House>) -> Self {
        Self {
            house,
            stage: Stage::New,
            ear: Ear::default(),
            answer: None,
            outputs: VecDeque::new(),
            heard: Vec::new(),
            bytes: Vec::new(),
            samples: Vec::new(),
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When the next message of an answer is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let answer = self.answer?;
        Some(answer.begins + self.steps(answer.kind).get(answer.next)?.at)
    }

    /// Says what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(due) = self.poll_timeout().filter(|due| *due <= now) {
            self.house.stats.late(now.saturating_duration_since(due));
            self.step();
        }
    }

    /// A message of the client. One that cannot be understood closes the session, as it does at the real service.
    pub(super) fn handle_message(&mut self, message: &[u8], now: Instant) {
        let Ok(message) = serde_json::from_slice::<Message<'_>>(message) else {
            return self.outputs.push_back(Output::Close(1007, "Invalid JSON payload received."));
        };
        match (self.stage, message) {
            (Stage::New, Message { setup: Some(setup), .. }) => self.set_up(&setup),
            (Stage::SetUp | Stage::Doomed, Message { realtime_input: Some(input), .. }) => {
                self.hear(&input, now);
            }
            (Stage::SetUp | Stage::Doomed, Message { client_content: Some(_), .. }) => {}
            _ => {
                let reason = "setup must be the first message and only the first";
                self.outputs.push_back(Output::Close(1007, reason));
            }
        }
    }

    fn set_up(&mut self, setup: &Setup<'_>) {
        let is_doomed = setup.model.ends_with(REFUSED_MODEL);
        self.stage = if is_doomed { Stage::Doomed } else { Stage::SetUp };
        self.house.stats.sessions.fetch_add(1, Relaxed);
        self.say(|lines| &lines.setup_complete);
        self.say(|lines| &lines.resumption);
    }

    fn hear(&mut self, input: &RealtimeInput<'_>, now: Instant) {
        if input.text.is_some() {
            self.answer = Some(Answer { kind: Kind::Greeting, begins: now + THINK, next: 0 });
        }
        let Some(audio) = &input.audio else { return };
        self.bytes.clear();
        if self.house.base64.decode_vec(audio.data, &mut self.bytes).is_err() {
            return self.outputs.push_back(Output::Close(1007, "Base64 decoding failed"));
        }
        self.samples.clear();
        let pairs = self.bytes.as_chunks::<2>().0;
        self.samples.extend(pairs.iter().map(|&pair| i16::from_le_bytes(pair)));
        self.house.stats.frames.fetch_add(1, Relaxed);
        self.ear.handle(&self.samples, now, &mut self.heard);
        for index in 0..self.heard.len() {
            self.react(self.heard[index], now);
        }
        self.heard.clear();
    }

    fn react(&mut self, heard: Heard, now: Instant) {
        let stats = &self.house.stats;
        match heard {
            Heard::Probe => {
                stats.probes.fetch_add(1, Relaxed);
                self.answer = None;
                let burst = self.house.lines.burst.iter().cloned().map(Output::Send);
                self.outputs.extend(burst);
            }
            Heard::SpeechStart => {
                self.say(|lines| &lines.activity_start);
                self.interrupt(now);
            }
            Heard::SpeechEnd if self.stage == Stage::Doomed => {
                let (code, reason) = REFUSAL;
                self.outputs.push_back(Output::Close(code, reason));
            }
            Heard::SpeechEnd => {
                self.say(|lines| &lines.heard);
                self.say(|lines| &lines.activity_end);
                self.answer = Some(Answer { kind: Kind::Answer, begins: now + THINK, next: 0 });
            }
            Heard::Counted { due, came } => stats.count(due, came),
        }
    }

    /// The caller speaks while an answer is given, or thought of.
    fn interrupt(&mut self, now: Instant) {
        if self.answer.take().is_some_and(|answer| answer.next > 0 || answer.begins <= now) {
            self.house.stats.interrupted.fetch_add(1, Relaxed);
            self.say(|lines| &lines.interrupted);
            self.say(|lines| &lines.turn_complete);
        }
    }

    fn step(&mut self) {
        let Some(Answer { kind, begins, next }) = self.answer else { return };
        let Some(message) = self.steps(kind).get(next).map(|step| step.message.clone()) else { return };
        self.outputs.push_back(Output::Send(message));
        self.answer = Some(Answer { kind, begins, next: next + 1 });
        if next + 1 == self.steps(kind).len() {
            self.answer = None;
            self.house.stats.replies.fetch_add(1, Relaxed);
            self.say(|lines| &lines.resumption);
        }
    }

    fn steps(&self, kind: Kind) -> &[Step] {
        match kind {
            Kind::Greeting => &self.house.lines.greeting,
            Kind::Answer => &self.house.lines.answer,
        }
    }

    fn say(&mut self, line: impl FnOnce(&Lines) -> &Bytes) {
        self.outputs.push_back(Output::Send(line(&self.house.lines).clone()));
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(borrow)]
    setup: Option<Setup<'a>>,
    #[serde(borrow)]
    realtime_input: Option<RealtimeInput<'a>>,
    client_content: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Setup<'a> {
    model: &'a str,
}

#[derive(Deserialize)]
struct RealtimeInput<'a> {
    text: Option<IgnoredAny>,
    #[serde(borrow)]
    audio: Option<Blob<'a>>,
}

#[derive(Deserialize)]
struct Blob<'a> {
    data: &'a str,
}

#[cfg(test)]
mod tests;
