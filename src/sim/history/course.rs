//! One call from its beginning to its end.

use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::dice::Dice;
use super::fate::{Ending, Fate};
use super::vocabulary::Vocabulary;
use super::{Entry, Turn, What};
use crate::dialogue::Speaker;

/// How long a spoken word takes.
const WORD_MS: f64 = 330.0;

pub(super) struct Course<'a> {
    dice: Dice,
    vocabulary: &'a Vocabulary,
    entries: Vec<Entry>,
    now: OffsetDateTime,
    link: u32,
    /// Since when the fallback answers.
    lost_at: Option<OffsetDateTime>,
    totals: Totals,
}

/// Milliseconds.
#[derive(Default)]
struct Totals {
    played: u64,
    cleared: u64,
    cover: u64,
    dead_air_max: u64,
    context_tokens: u64,
}

impl<'a> Course<'a> {
    pub(super) fn new(start: OffsetDateTime, vocabulary: &'a Vocabulary, dice: Dice) -> Self {
        Self {
            dice,
            vocabulary,
            entries: Vec::new(),
            now: start,
            link: 0,
            lost_at: None,
            totals: Totals { context_tokens: 600, ..Totals::default() },
        }
    }

    pub(super) fn run(mut self) -> Vec<Entry> {
        let fate = Fate::draw(&mut self.dice);
        self.put(What::Opened);
        if let Some(patience_ms) = fate.unanswered_after_ms() {
            self.pass(patience_ms);
        } else {
            self.answer();
            self.converse(fate);
            self.total();
        }
        self.put(What::Ended(Ending::of(fate)));
        self.entries
    }

    fn answer(&mut self) {
        self.pass_about(250.0);
        self.dial();
        self.pass_about(500.0);
        let stream_sid = format!("MZ{}", self.dice.hex(32));
        self.put(What::Answered { stream_sid });
    }

    fn converse(&mut self, fate: Fate) {
        let turns = (self.dice.log_normal(8.5, 0.6) as usize).clamp(1, 80);
        let is_to_fall = fate == Fate::AllFailed || self.dice.chance(0.026);
        let falls_at = if is_to_fall { self.dice.below(turns) } else { turns };
        if falls_at > 0 {
            self.ready(None);
        }
        for turn in 0..turns {
            if turn == falls_at {
                self.fall_back();
            } else if self.lost_at.is_some() && fate != Fate::AllFailed && self.dice.chance(0.05) {
                self.rise();
            }
            if turn % 2 == 1 { self.caller() } else { self.agent(turn > 0) }
        }
        if fate == Fate::AllFailed {
            let cause = json!({"of": "fallback", "job": "think", "cause": {"failure": "first_byte_timeout"}});
            self.event("rung", json!({"rung": "last_resort", "cause": cause}));
        }
        self.pass_about(fate.wait_ms());
    }

    fn dial(&mut self) {
        self.link += 1;
        let detail = json!({"link": self.link, "endpoint": "developer", "plan": "fresh", "attempt": 1});
        self.event("live_dialled", detail);
    }

    fn ready(&mut self, gap_ms: Option<u64>) {
        let setup_ms = self.pass_about(220.0);
        let session_id = self.dice.hex(24);
        let detail = json!({
            "link": self.link, "plan": "fresh", "setup_ms": setup_ms, "gap_ms": gap_ms, "session_id": session_id,
        });
        self.event("live_ready", detail);
    }

    fn fall_back(&mut self) {
        let cause = match self.dice.below(3) {
            0 => json!({"failure": "closed", "code": 1011, "reason": "Internal error encountered."}),
            1 => json!({"failure": "refused", "status": 503}),
            _ => json!({"failure": "setup_timeout"}),
        };
        self.lost_at = Some(self.now);
        let lost = json!({
            "link": self.link, "endpoint": "developer", "cause": cause, "verdict": "wait", "next": null,
        });
        self.event("live_lost", lost);
        self.event("rung", json!({"rung": "fallback", "cause": {"of": "live", "cause": cause}}));
    }

    fn rise(&mut self) {
        self.dial();
        let gap = self.lost_at.take().map(|lost_at| self.now - lost_at);
        self.ready(gap.and_then(|gap| u64::try_from(gap.whole_milliseconds()).ok()));
        self.event("rung", json!({"rung": "live", "cause": null}));
    }

    fn caller(&mut self) {
        self.pass_about(600.0);
        let words = self.dice.log_normal(8.0, 0.6) as usize;
        let (text, started_at, _) = self.speak(words);
        self.turn(Turn {
            speaker: Speaker::Caller,
            text,
            started_at,
            ended_at: self.now,
            interrupted: false,
            latency_ms: None,
        });
        if self.dice.chance(0.02) {
            for _ in 0..=self.dice.below(6) {
                self.pass_about(400.0);
                let digit = b"0123456789*#"[self.dice.below(12)];
                self.event("dtmf", json!({"digit": char::from(digit)}));
            }
        }
    }

    fn agent(&mut self, is_answer: bool) {
        let latency_ms = if self.lost_at.is_none() { self.live_latency() } else { self.fallback_latency() };
        self.totals.dead_air_max = self.totals.dead_air_max.max(latency_ms);
        let words = self.dice.log_normal(16.0, 0.5) as usize;
        let (text, started_at, heard_ms) = self.speak(words);
        let interrupted = self.dice.chance(0.08);
        self.totals.played += heard_ms;
        if interrupted {
            let cleared_ms = self.dice.log_normal(2_500.0, 0.7) as u64;
            self.totals.cleared += cleared_ms;
            self.event("interrupted", json!({"heard_ms": heard_ms, "cleared_ms": cleared_ms}));
        }
        let latency_ms = is_answer.then_some(latency_ms);
        self.turn(Turn {
            speaker: Speaker::Agent,
            text,
            started_at,
            ended_at: self.now,
            interrupted,
            latency_ms,
        });
        self.usage(heard_ms);
        if self.lost_at.is_none() {
            let handle = self.dice.hex(48);
            self.event("session_handle", json!({"handle": handle}));
        }
    }

    fn live_latency(&mut self) -> u64 {
        let latency_ms = self.dice.log_normal(750.0, 0.45).min(8_000.0);
        self.pass(latency_ms)
    }

    fn fallback_latency(&mut self) -> u64 {
        let mut latency_ms = 0;
        for (job, provider, median_ms) in
            [("transcribe", "local", 450.0), ("think", "openai", 650.0), ("speak", "local", 200.0)]
        {
            let first_ms = self.pass_about(median_ms);
            self.event("provider_used", json!({"job": job, "provider": provider, "first_ms": first_ms}));
            latency_ms += first_ms;
        }
        if latency_ms > 1_200 {
            self.totals.cover += latency_ms - 1_200;
            self.event("cover", json!({"waited_ms": 1_200, "words": null}));
        }
        latency_ms
    }

    /// What is said from now on, since when, and for how long.
    fn speak(&mut self, words: usize) -> (String, OffsetDateTime, u64) {
        let text = self.vocabulary.speech(words, &mut self.dice);
        let started_at = self.now;
        let ms = self.pass_about(WORD_MS * words.max(1) as f64);
        (text, started_at, ms)
    }

    /// Audio in either direction is counted by the second: <https://ai.google.dev/gemini-api/docs/tokens>.
    fn usage(&mut self, heard_ms: u64) {
        let response_tokens = heard_ms / 40;
        let thoughts_tokens = if self.dice.chance(0.2) { self.dice.below(80) as u64 } else { 0 };
        let prompt_tokens = self.totals.context_tokens;
        let total_tokens = prompt_tokens + response_tokens + thoughts_tokens;
        self.totals.context_tokens += 2 * response_tokens;
        self.event(
            "usage",
            json!({
                "prompt_tokens": prompt_tokens, "response_tokens": response_tokens,
                "thoughts_tokens": thoughts_tokens, "total_tokens": total_tokens,
            }),
        );
    }

    fn total(&mut self) {
        let Totals { played, cleared, cover, dead_air_max, .. } = self.totals;
        let since = self.entries.iter().find(|entry| matches!(entry.what, What::Answered { .. }));
        let call_ms = since.map_or(0, |entry| (self.now - entry.at).whole_milliseconds());
        self.event("audio_totals", json!({
            "uplink_received_ms": call_ms as u64, "uplink_sent_ms": call_ms as u64, "uplink_dropped_ms": 0,
            "downlink_received_ms": played + cleared, "downlink_played_ms": played,
            "downlink_cleared_ms": cleared, "downlink_dropped_ms": 0,
            "cover_ms": cover, "dead_air_max_ms": dead_air_max,
        }));
    }

    fn turn(&mut self, turn: Turn) {
        self.put(What::Turn(turn));
    }

    fn event(&mut self, kind: &'static str, detail: serde_json::Value) {
        self.put(What::Event { kind, detail });
    }

    fn put(&mut self, what: What) {
        self.entries.push(Entry { at: self.now, what });
    }

    /// Lets about so much time pass, and says how much.
    fn pass_about(&mut self, median_ms: f64) -> u64 {
        let ms = self.dice.log_normal(median_ms, 0.35);
        self.pass(ms)
    }

    fn pass(&mut self, ms: f64) -> u64 {
        self.now += Duration::milliseconds(ms as i64);
        ms as u64
    }
}
