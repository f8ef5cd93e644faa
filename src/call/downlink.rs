//! The model's audio on its way to the caller: resampled, paced, thrown away when interrupted.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::record::AudioTotals;
use crate::audio::Rate;
use crate::audio::comfort::Comfort;
use crate::audio::playout::{Cleared, Item, Playout};
use crate::audio::resample::Resampler;
use crate::audio::tape::Heard;
use crate::carrier;
use crate::id::MarkId;

/// Speech that may wait to be played. Beyond it the live socket is not read and TCP pushes back.
const WAITING_MAX: Duration = Duration::from_secs(120);

/// After `interrupted` the old turn's `turnComplete` should come; some sessions never send it
/// (Gemini Live API, order of events: 2–3 s).
const STALE_MAX: Duration = Duration::from_millis(2500);

/// The carrier's frames are the clock of the playout: each is an occasion to send what is due, and a timer of our own
/// would wake the call as often again. It only stands in when none has come for this long; the caller's buffer holds
/// several times as much.
const CARRIER_CLOCK: Duration = Duration::from_millis(40);

/// One call's downlink.
#[derive(Debug)]
pub(super) struct Downlink {
    resampler: Resampler,
    playout: Playout,
    reply: Reply,
    /// Stretches of local audio that may not have been heard yet, by position.
    covers: VecDeque<Range<u64>>,
    tone: Option<Comfort>,
    /// Where recorded words end.
    words_end: u64,
    notice: Option<Notice>,
    /// Up to where the carrier was last told to throw away what it has.
    cleared: Option<u64>,
    totals: Totals,
    scratch: Vec<i16>,
}

/// Recorded words that the caller hears to their end, whatever they say meanwhile.
#[derive(Debug)]
struct Notice {
    /// Position of the first of them that may not have been heard.
    start: u64,
    samples: VecDeque<i16>,
}

/// Where the model's current turn stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    /// No turn is open.
    Idle,
    /// Audio comes.
    Open,
    /// All audio came; the turn is not over yet.
    Complete,
    /// Interrupted: what still comes belongs to the old turn and is never heard.
    Stale { until: Instant },
}

/// `received` and `dropped` in samples of the model, the others in samples of the line. `cleared` counts the
/// agent's speech alone, `cover` all local audio and `cover_cleared` what of it was never heard.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    received: u64,
    dropped: u64,
    cleared: u64,
    overflowed: u64,
    cover: u64,
    cover_cleared: u64,
}

impl Downlink {
    pub(super) fn new() -> Self {
        Self {
            resampler: Resampler::new(Rate::MODEL_OUT, Rate::LINE),
            playout: Playout::new(Rate::LINE),
            reply: Reply::Idle,
            covers: VecDeque::new(),
            tone: None,
            words_end: 0,
            notice: None,
            cleared: None,
            totals: Totals::default(),
            scratch: Vec::new(),
        }
    }

    /// Takes the agent's speech, 24 kHz; `false` if it is stale and was dropped.
    pub(super) fn handle_audio(&mut self, samples: &[i16]) -> bool {
        self.totals.received += samples.len() as u64;
        if self.is_stale() {
            self.totals.dropped += samples.len() as u64;
            return false;
        }
        self.reply = Reply::Open;
        // A message may have a second of speech: what is on its way need not be held at once.
        for samples in samples.chunks(Rate::MODEL_OUT.frame_len()) {
            self.resampler.push(samples, &mut self.scratch);
            self.playout.push(&self.scratch);
            self.scratch.clear();
        }
        true
    }

    /// The model sends silence in the place of speech: the caller hears a cover rather than that.
    pub(super) fn drop_silence(&mut self, samples: &[i16]) {
        self.totals.received += samples.len() as u64;
        self.totals.dropped += samples.len() as u64;
    }

    /// Takes local audio at the line's rate: a cover, a greeting, an apology. It is heard after what is there.
    pub(super) fn push_cover(&mut self, samples: &[i16], now: Instant) {
        let (start, heard) = (self.position(), self.heard(now));
        while self.covers.pop_front_if(|cover| cover.end <= heard).is_some() {}
        let end = start + samples.len() as u64;
        match self.covers.back_mut().filter(|cover| cover.end == start) {
            Some(cover) => cover.end = end,
            None => self.covers.push_back(start..end),
        }
        self.totals.cover += samples.len() as u64;
        self.playout.push(samples);
    }

    /// These samples of local audio, which come next, are heard to their end: an interruption makes
    /// them go on where they were.
    pub(super) fn insist(&mut self, samples: &[i16]) {
        self.notice = Some(Notice { start: self.position(), samples: samples.iter().copied().collect() });
    }

    /// Ends local audio here: its last, partial frame will not wait for more.
    pub(super) fn finish_cover(&mut self) {
        self.playout.finish();
        self.words_end = self.position();
    }

    /// Whether recorded words are being heard.
    pub(super) fn is_saying(&self, now: Instant) -> bool {
        self.heard(now) < self.words_end
    }

    /// Plays a comfort tone from here on, whenever there is nothing else to play.
    pub(super) fn start_tone(&mut self) {
        self.tone.get_or_insert_with(Comfort::new);
    }

    pub(super) fn stop_tone(&mut self) {
        self.tone = None;
    }

    /// Whether all that the caller is about to hear is the tone.
    pub(super) fn is_toning(&self) -> bool {
        self.tone.is_some()
    }

    /// Throws away everything that was not heard.
    pub(super) fn clear(&mut self, now: Instant) -> Cleared {
        let cover = self.unheard_cover(now);
        let cleared = self.playout.clear(now);
        self.covers.clear();
        self.totals.cover_cleared += cover;
        self.totals.cleared += cleared.samples.saturating_sub(cover);
        self.go_on_with_notice(cleared.heard, now);
        cleared
    }

    /// The carrier is to throw away what it has; `false` if it was told so and was given nothing since.
    pub(super) fn note_clear(&mut self) -> bool {
        let position = self.position();
        self.cleared.replace(position) != Some(position)
    }

    fn go_on_with_notice(&mut self, heard: u64, now: Instant) {
        let Some(Notice { start, mut samples }) = self.notice.take() else { return };
        let heard = usize::try_from(heard.saturating_sub(start)).unwrap_or(usize::MAX);
        samples.drain(..heard.min(samples.len()));
        if !samples.is_empty() {
            let start = self.position();
            self.push_cover(samples.make_contiguous(), now);
            self.finish_cover();
            self.notice = Some(Notice { start, samples });
        }
    }

    /// Whether the caller hears the agent at `now`, or is about to; local audio is not meant.
    pub(super) fn is_speech_audible(&self, now: Instant) -> bool {
        self.position() - self.heard(now) > self.unheard_cover(now)
    }

    /// Whether the turn that is open has had audio.
    pub(super) const fn has_spoken(&self) -> bool {
        matches!(self.reply, Reply::Open | Reply::Complete)
    }

    /// Whether the caller hears something at `now`, or is about to.
    pub(super) fn is_audible(&self, now: Instant) -> bool {
        self.heard(now) < self.playout.sendable_position()
    }

    /// When the caller will have heard everything of a turn whose audio is still coming.
    pub(super) fn dry_at(&self) -> Option<Instant> {
        if self.is_open() { self.heard_at(self.playout.sendable_position()) } else { None }
    }

    /// How much there is to be heard yet.
    pub(super) fn unheard(&self, now: Instant) -> Duration {
        Duration::from_millis(Rate::LINE.millis(self.position() - self.heard(now)))
    }

    /// Whether there is not a whole frame left to send.
    fn is_starved(&self) -> bool {
        self.playout.waiting() < Duration::from_millis(20)
    }

    /// The session is lost in the middle of things: what is here is heard out, and nothing stale will follow.
    pub(super) fn handle_loss(&mut self) {
        self.handle_generation_complete();
        self.reply = Reply::Idle;
    }

    /// The model has produced everything: the rest of the utterance may go out.
    pub(super) fn handle_generation_complete(&mut self) {
        if self.reply == Reply::Open {
            self.finish();
            self.reply = Reply::Complete;
        }
    }

    /// The turn is over.
    pub(super) fn handle_turn_complete(&mut self) {
        self.handle_generation_complete();
        self.reply = Reply::Idle;
    }

    /// The caller interrupted: throws away what was not heard, and what still comes of an open turn. `None` if
    /// this turn was interrupted before.
    pub(super) fn handle_interrupted(&mut self, now: Instant) -> Option<Cleared> {
        if self.is_stale() {
            return None;
        }
        self.reply = match self.reply {
            // A late or spurious `interrupted`: no old turn will be completed, the next audio is a new answer.
            Reply::Idle => Reply::Idle,
            Reply::Open | Reply::Complete | Reply::Stale { .. } => Reply::Stale { until: now + STALE_MAX },
        };
        self.resampler.reset();
        Some(self.clear(now))
    }

    /// No more audio will come: lets everything out that is there.
    pub(super) fn finish(&mut self) {
        self.resampler.flush(&mut self.scratch);
        self.playout.push(&self.scratch);
        self.scratch.clear();
        self.playout.finish();
    }

    /// A frame that was sent was dropped on its way: the carrier does not read fast enough.
    pub(super) fn handle_overflow(&mut self) {
        self.totals.overflowed += Rate::LINE.frame_len() as u64;
    }

    pub(super) fn handle_mark(&mut self, mark: MarkId, now: Instant) {
        self.playout.handle_mark(mark, now);
    }

    /// When old audio may no longer be expected.
    pub(super) const fn stale_until(&self) -> Option<Instant> {
        match self.reply {
            Reply::Stale { until } => Some(until),
            Reply::Idle | Reply::Open | Reply::Complete => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.stale_until().is_some_and(|until| now >= until) {
            self.reply = Reply::Idle;
        }
    }

    /// What the carrier is to be told at `now`.
    pub(super) fn poll(&mut self, now: Instant) -> Option<carrier::Command> {
        if self.is_starved()
            && let Some(tone) = &mut self.tone
        {
            let mut block = [0; Rate::LINE.frame_len()];
            tone.fill(&mut block);
            self.push_cover(&block, now);
        }
        self.playout.poll(now).map(|item| match item {
            Item::Audio(frame) => carrier::Command::Media(frame),
            Item::Mark(mark) => carrier::Command::Mark(mark),
        })
    }

    /// When [`Downlink::poll`] is to be called if nothing comes from the carrier until then.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.playout.poll_timeout().map(|due| due + CARRIER_CLOCK)
    }

    /// Where and when the caller hears `samples`, the last ones that were given out.
    pub(super) fn placed<'a>(&self, samples: &'a [i16]) -> Option<Heard<'a>> {
        let len = Duration::from_nanos(samples.len() as u64 * 1_000_000_000 / u64::from(Rate::LINE.0));
        let at = self.playout.plays_until()?.checked_sub(len)?;
        let position = self.playout.sent() - samples.len() as u64;
        Some(Heard { position, at, echo: self.playout.echo_delay(), samples })
    }

    /// Position in the agent's speech, line samples, of what comes next.
    pub(super) fn position(&self) -> u64 {
        self.playout.position()
    }

    /// Position up to which the caller has heard.
    pub(super) fn heard(&self, now: Instant) -> u64 {
        self.playout.heard(now)
    }

    /// When everything up to `position` will have been heard, if it was all sent.
    pub(super) fn heard_at(&self, position: u64) -> Option<Instant> {
        self.playout.heard_at(position)
    }

    pub(super) const fn is_stale(&self) -> bool {
        matches!(self.reply, Reply::Stale { .. })
    }

    /// Whether a model turn is open, with more audio to come.
    pub(super) fn is_open(&self) -> bool {
        self.reply == Reply::Open
    }

    /// Whether no more speech can be taken for now.
    pub(super) fn is_full(&self) -> bool {
        self.playout.waiting() >= WAITING_MAX
    }

    /// The account at the end of the call: what was not heard by now never will be.
    pub(super) fn totals(&self, totals: &mut AudioTotals, now: Instant) {
        let cover_unheard = self.unheard_cover(now);
        let unheard = (self.position() - self.heard(now)).saturating_sub(cover_unheard);
        let cleared = self.totals.cleared + unheard;
        let speech = self.position() - self.totals.cover;
        totals.downlink_received_ms = Rate::MODEL_OUT.millis(self.totals.received);
        totals.downlink_dropped_ms =
            Rate::MODEL_OUT.millis(self.totals.dropped) + Rate::LINE.millis(self.totals.overflowed);
        totals.downlink_cleared_ms = Rate::LINE.millis(cleared);
        totals.downlink_played_ms =
            Rate::LINE.millis((speech - cleared).saturating_sub(self.totals.overflowed));
        let cover_heard = self.totals.cover - self.totals.cover_cleared - cover_unheard;
        totals.cover_ms = Rate::LINE.millis(cover_heard);
    }

    /// Samples of local audio that were not heard at `now`.
    fn unheard_cover(&self, now: Instant) -> u64 {
        let heard = self.heard(now);
        self.covers.iter().map(|cover| cover.end.saturating_sub(cover.start.max(heard))).sum()
    }
}
