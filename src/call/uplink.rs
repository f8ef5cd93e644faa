//! The caller's audio on its way to whoever answers: ordered, held while nobody does, resampled for the model.
//!
//! What was sent since the caller began to speak is remembered until it is answered: a session that is lost takes
//! it along, so the next one hears it again.

mod coalesce;
mod sequence;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::coalesce::Coalescer;
use self::sequence::Sequence;
use super::record::AudioTotals;
use crate::audio::queue::Queue;
use crate::audio::resample::Resampler;
use crate::audio::vad::{self, Activity, Energy};
use crate::audio::{Frame, Rate};
use crate::carrier::Media;

/// Caller audio kept while nobody takes it, and of one utterance. Longer gaps are not conversations any more.
const HELD_MAX: Duration = Duration::from_secs(10);

/// Held audio is sent at this multiple of real time once a session is there.
const CATCH_UP: usize = 4;

/// Audio before the detected begin of speech that belongs to it.
const PREROLL: Duration = Duration::from_millis(300);

/// After this much silence the model has detected the end of the turn, so latency no longer matters. Nor does it where
/// nothing that the caller said waits for an answer.
const QUIET_AFTER: Duration = Duration::from_secs(1);

/// The same after a sound that was no speech: a click, or the first syllable of what is to come.
const QUIET_AFTER_SOUND: Duration = Duration::from_millis(60);

/// One call's uplink.
#[derive(Debug)]
pub(super) struct Uplink {
    resampler: Resampler,
    vad: Energy,
    sequence: Sequence,
    held: Held,
    recent: Recent,
    speech: Option<Speech>,
    coalescer: Coalescer,
    totals: Totals,
    /// Resampled audio on its way into frames.
    scratch: Vec<i16>,
}

/// Where audio goes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Nowhere: it is held.
    Hold,
    /// To a live model, resampled; what was held first, at a bounded multiple of real time.
    Model,
    /// To somebody who listens at the line's rate; what was held first, at once.
    Line,
}

/// Audio to be sent.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a frame is owned by value: no allocation per frame")]
pub(super) enum Piece<'a> {
    Model(Frame),
    Line(&'a [i16]),
}

/// A stretch of the caller's speech, by energy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Speech {
    pub(super) started: Instant,
    /// When it was last loud.
    pub(super) ended: Instant,
}

/// Something wrong with a chunk's place in the stream. The audio is carried as well as it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Irregularity {
    /// The chunk had been received before: dropped.
    Duplicate,
    /// This many chunks are missing: filled with silence.
    Missing(u64),
    /// The numbering jumped: taken anew.
    Jump,
    /// The numbering disagreed with the audio too often: not used for the rest of the call.
    Numbering,
    /// The chunk is at a rate that was not announced: dropped.
    Rate,
}

impl Irregularity {
    /// Stable name for the call log.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate_chunk",
            Self::Missing(_) => "missing_chunk",
            Self::Jump => "chunk_jump",
            Self::Numbering => "chunk_numbering",
            Self::Rate => "media_rate",
        }
    }

    pub(super) const fn count(self) -> u64 {
        match self {
            Self::Missing(count) => count,
            Self::Duplicate | Self::Jump | Self::Numbering | Self::Rate => 1,
        }
    }
}

/// Samples at the line's rate. `received` = `sent` + held + `dropped`.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    received: u64,
    sent: u64,
    dropped: u64,
}

impl Uplink {
    pub(super) fn new() -> Self {
        Self {
            resampler: Resampler::new(Rate::LINE, Rate::MODEL_IN),
            vad: Energy::new(Rate::LINE, vad::Config::default()),
            sequence: Sequence::default(),
            held: Held::default(),
            recent: Recent::default(),
            speech: None,
            coalescer: Coalescer::default(),
            totals: Totals::default(),
            scratch: Vec::new(),
        }
    }

    /// Takes a chunk; `send` gets what is to be sent on this route.
    pub(super) fn handle_media(
        &mut self,
        media: Media<'_>,
        now: Instant,
        route: Route,
        mut send: impl FnMut(Piece<'_>),
    ) -> Option<Irregularity> {
        let len = media.samples.len();
        self.totals.received += len as u64;
        let irregularity = if media.rate == Rate::LINE {
            self.sequence.place(media.numbers, media.samples, now)
        } else {
            Some(Irregularity::Rate)
        };
        match irregularity {
            Some(Irregularity::Duplicate | Irregularity::Rate) => {
                self.totals.dropped += len as u64;
                return irregularity;
            }
            Some(Irregularity::Missing(count)) if route == Route::Model => self.fill(count, len),
            Some(Irregularity::Missing(_) | Irregularity::Jump | Irregularity::Numbering) | None => {}
        }
        self.listen(media.samples, now);
        let budget = match route {
            Route::Hold => 0,
            Route::Model => len * CATCH_UP,
            Route::Line => usize::MAX,
        };
        if budget > 0 && self.held.is_empty() {
            self.totals.sent += len as u64;
            let may_wait = self.is_quiet() && coalesce::is_silence(media.samples);
            self.forward(media.samples, route, may_wait.then_some(now), &mut send);
        } else {
            self.totals.dropped += self.held.push(media.samples, self.vad.is_speaking());
            self.catch_up(budget, route, &mut send);
        }
        irregularity
    }

    /// Whoever listened is lost: what the caller has said since the last answer is to be heard by the next one.
    pub(super) fn rewind(&mut self) {
        self.coalescer.clear();
        while let Some(samples) = self.recent.pop_back() {
            self.held.push_front(samples);
        }
    }

    /// A frame that was sent was dropped on its way: the model does not read fast enough.
    pub(super) fn handle_overflow(&mut self) {
        let frame = Rate::LINE.frame_len() as u64;
        self.totals.sent -= frame.min(self.totals.sent);
        self.totals.dropped += frame;
    }

    /// How much caller audio waits for a session.
    pub(super) fn held(&self) -> Duration {
        Duration::from_millis(Rate::LINE.millis(self.held.samples as u64))
    }

    /// The caller's last speech, if it was not taken yet. It is answered: nobody needs to hear it again.
    pub(super) fn take_speech(&mut self) -> Option<Speech> {
        self.recent.0.clear();
        self.speech.take()
    }

    /// Whether the caller speaks, by energy, with the pauses of speech.
    pub(super) const fn is_speaking(&self) -> bool {
        self.vad.is_speaking()
    }

    /// When frames that wait for others must leave: [`Uplink::flush`] is due.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.coalescer.poll_timeout()
    }

    /// Hands on the frames that wait for others.
    pub(super) fn flush(&mut self, send: impl FnMut(Frame)) {
        self.coalescer.flush(send);
    }

    /// Whether the caller has been silent for a while: a shorter one if nothing they said waits for an answer.
    fn is_quiet(&self) -> bool {
        self.silent() >= if self.speech.is_some() { QUIET_AFTER } else { QUIET_AFTER_SOUND }
    }

    /// For how long nothing has been loud.
    fn silent(&self) -> Duration {
        let samples = self.vad.position().saturating_sub(self.vad.last_loud());
        Duration::from_millis(Rate::LINE.millis(samples))
    }

    pub(super) const fn speech(&self) -> Option<Speech> {
        self.speech
    }

    /// Ends the stream: what is still held was never sent.
    pub(super) fn totals(&self, totals: &mut AudioTotals) {
        totals.uplink_received_ms = Rate::LINE.millis(self.totals.received);
        totals.uplink_sent_ms = Rate::LINE.millis(self.totals.sent);
        totals.uplink_dropped_ms = Rate::LINE.millis(self.totals.dropped + self.held.unsent());
    }

    /// Silence in the place of missing chunks, bounded because [`Sequence`] said so.
    fn fill(&mut self, count: u64, len: usize) {
        if self.held.is_empty() {
            let silence = vec![0; count as usize * len];
            self.resampler.push(&silence, &mut self.scratch);
        }
    }

    fn listen(&mut self, samples: &[i16], now: Instant) {
        let change = self.vad.push(samples);
        let ago = |position: u64| {
            let behind = Rate::LINE.millis(self.vad.position().saturating_sub(position));
            now.checked_sub(Duration::from_millis(behind)).unwrap_or(now)
        };
        if let Some(Activity::Start { at }) = change
            && self.speech.is_none()
        {
            self.speech = Some(Speech { started: ago(at), ended: now });
        }
        let is_loud = self.vad.is_speaking() && self.vad.last_loud() == self.vad.position();
        if is_loud {
            self.speech.get_or_insert(Speech { started: now, ended: now }).ended = now;
        } else if change.is_some()
            && let Some(speech) = &mut self.speech
        {
            speech.ended = ago(self.vad.last_loud());
        }
    }

    /// Sends samples. `since` is now if they may wait for others, see [`Coalescer`].
    fn forward(
        &mut self,
        samples: &[i16],
        route: Route,
        since: Option<Instant>,
        send: &mut impl FnMut(Piece<'_>),
    ) {
        self.recent.push(samples, if self.speech.is_some() { HELD_MAX } else { PREROLL });
        match route {
            Route::Hold => {}
            Route::Line => send(Piece::Line(samples)),
            Route::Model => {
                self.resampler.push(samples, &mut self.scratch);
                for samples in self.scratch.chunks(Rate::MODEL_IN.frame_len()) {
                    let frame = Frame::new(Rate::MODEL_IN, samples);
                    self.coalescer.push(frame, since, |frame| send(Piece::Model(frame)));
                }
                self.scratch.clear();
            }
        }
    }

    fn catch_up(&mut self, samples_max: usize, route: Route, send: &mut impl FnMut(Piece<'_>)) {
        let mut budget = samples_max;
        while let Some(chunk) = self.held.pop_within(budget) {
            budget -= chunk.samples.len();
            if chunk.kind != ChunkKind::Resent {
                self.totals.sent += chunk.samples.len() as u64;
            }
            self.forward(&chunk.samples, route, None, send);
        }
    }
}

/// Chunks that wait for somebody, oldest first.
#[derive(Debug, Default)]
struct Held {
    chunks: VecDeque<Chunk>,
    samples: usize,
}

#[derive(Debug)]
struct Chunk {
    samples: Box<[i16]>,
    kind: ChunkKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkKind {
    Silence,
    Speech,
    /// Was sent before, to somebody who is lost.
    Resent,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Keeps a chunk; tells how many samples had to go for it: silence first, then the oldest.
    fn push(&mut self, samples: &[i16], is_speech: bool) -> u64 {
        const SAMPLES_MAX: usize = Rate::LINE.0 as usize * HELD_MAX.as_secs() as usize;
        let kind = if is_speech { ChunkKind::Speech } else { ChunkKind::Silence };
        self.samples += samples.len();
        self.chunks.push_back(Chunk { samples: samples.into(), kind });
        let mut dropped = 0;
        while self.samples > SAMPLES_MAX {
            let index = self.chunks.iter().position(|chunk| chunk.kind == ChunkKind::Silence).unwrap_or(0);
            let Some(chunk) = self.chunks.remove(index) else { break };
            self.samples -= chunk.samples.len();
            dropped += if chunk.kind == ChunkKind::Resent { 0 } else { chunk.samples.len() as u64 };
        }
        dropped
    }

    fn push_front(&mut self, samples: Box<[i16]>) {
        self.samples += samples.len();
        self.chunks.push_front(Chunk { samples, kind: ChunkKind::Resent });
    }

    /// The oldest chunk, or as much of it as may be sent.
    fn pop_within(&mut self, samples_max: usize) -> Option<Chunk> {
        if samples_max == 0 {
            return None;
        }
        let Chunk { samples, kind } = self.chunks.pop_front()?;
        let (now, later) = samples.split_at(samples.len().min(samples_max));
        if !later.is_empty() {
            self.chunks.push_front(Chunk { samples: later.into(), kind });
        }
        self.samples -= now.len();
        Some(Chunk { samples: now.into(), kind })
    }

    /// Samples that were never sent.
    fn unsent(&self) -> u64 {
        let unsent = self.chunks.iter().filter(|chunk| chunk.kind != ChunkKind::Resent);
        unsent.map(|chunk| chunk.samples.len() as u64).sum()
    }
}

/// What was sent of the caller's utterance.
#[derive(Debug, Default)]
struct Recent(Queue);

impl Recent {
    fn push(&mut self, samples: &[i16], keep: Duration) {
        let samples_max = Rate::LINE.0 as usize * keep.as_millis() as usize / 1000;
        self.0.push(samples);
        self.0.skip(self.0.len().saturating_sub(samples_max));
    }

    /// The newest of it, at most one frame.
    fn pop_back(&mut self) -> Option<Box<[i16]>> {
        let before = self.0.len().checked_sub(1)? / Rate::LINE.frame_len() * Rate::LINE.frame_len();
        Some(self.0.pop_back(self.0.len() - before))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::carrier::Numbers;

    struct Line {
        uplink: Uplink,
        now: Instant,
        sent: Vec<i16>,
    }

    impl Line {
        fn new() -> Self {
            Self { uplink: Uplink::new(), now: Instant::now(), sent: Vec::new() }
        }

        fn chunk(&mut self, chunk: Option<u64>, samples: &[i16], is_ready: bool) -> Option<Irregularity> {
            self.now += Duration::from_millis(20);
            let media = Media { numbers: Numbers::of_chunk(chunk), rate: Rate::LINE, samples };
            let route = if is_ready { Route::Model } else { Route::Hold };
            let sent = &mut self.sent;
            self.uplink.handle_media(media, self.now, route, |piece| match piece {
                Piece::Model(frame) => sent.extend_from_slice(frame.samples()),
                Piece::Line(samples) => panic!("{} samples for nobody", samples.len()),
            })
        }

        fn totals(&self) -> AudioTotals {
            let mut totals = AudioTotals::default();
            self.uplink.totals(&mut totals);
            totals
        }
    }

    fn speech(n: usize) -> Vec<i16> {
        (0..n).map(|i| if i % 8 < 4 { 4000 } else { -4000 }).collect()
    }

    /// How long each frame waited at most, milliseconds; `a` marks an answer of the model before a stretch.
    fn delays(stretches: &[(char, i16, usize)]) -> Vec<Vec<u64>> {
        let mut line = Line::new();
        let mut came = Vec::new();
        let mut left = Vec::new();
        for &(mark, level, frames) in stretches {
            if mark == 'a' {
                line.uplink.take_speech();
            }
            for _ in 0..frames {
                line.chunk(None, &wave(level), true);
                came.push(line.now);
                left.resize(line.sent.len() / 320, line.now);
            }
        }
        line.now += Duration::from_millis(80);
        left.resize(came.len(), line.now);
        let mut delays = came.iter().zip(left).map(|(came, left)| (left - *came).as_millis() as u64);
        stretches.iter().map(|&(_, _, frames)| delays.by_ref().take(frames).collect()).collect()
    }

    fn wave(level: i16) -> Vec<i16> {
        (0..160).map(|i| if i % 8 < 4 { level } else { -level }).collect()
    }

    const SPEECH: i16 = 4000;
    /// −40 dB relative to full scale.
    const SOFT: i16 = 330;
    /// −48 dB: below what counts as speech.
    const NOISE: i16 = 130;

    #[rstest]
    #[case::first_utterance(&[('-', 0, 50), ('-', SPEECH, 50), ('-', 0, 20)])]
    #[case::unanswered_before(&[('-', SPEECH, 30), ('-', 0, 80), ('-', SPEECH, 30), ('-', 0, 80), ('-', SPEECH, 31)])]
    #[case::fluent(&[('-', SPEECH, 200), ('-', 0, 4), ('-', SPEECH, 101), ('-', 0, 9), ('-', SPEECH, 50)])]
    #[case::soft(&[('-', 0, 50), ('-', SOFT, 50), ('-', 0, 70), ('-', SOFT, 3)])]
    #[case::in_noise(&[('-', NOISE, 50), ('-', SOFT, 50), ('-', NOISE, 90), ('-', SPEECH, 7)])]
    #[case::after_an_answer(&[('-', SPEECH, 50), ('-', 0, 20), ('a', 0, 11), ('-', SPEECH, 3), ('a', SPEECH, 30)])]
    #[case::a_word_of_one_frame(&[('-', 0, 51), ('-', SPEECH, 1), ('-', 0, 50), ('-', SPEECH, 1)])]
    fn speech_is_never_held_back(#[case] stretches: &[(char, i16, usize)]) {
        for (stretch, delays) in stretches.iter().zip(delays(stretches)) {
            let greatest = delays.iter().max();
            assert!(stretch.1 == 0 || greatest == Some(&0), "{stretch:?}: {delays:?}");
            assert!(greatest <= Some(&80), "{stretch:?}: {delays:?}");
        }
    }

    #[rstest]
    #[case::nothing_was_said(&[('-', 0, 5)], 3)]
    #[case::a_fourth_takes_the_others_along(&[('-', 0, 6)], 0)]
    #[case::a_moment_after_a_sound(&[('-', SPEECH, 1), ('-', 0, 2)], 0)]
    #[case::a_while_after_a_sound(&[('-', SPEECH, 1), ('-', 0, 3)], 1)]
    #[case::the_model_may_end_the_turn(&[('-', SPEECH, 30), ('-', 0, 49)], 0)]
    #[case::the_model_has_ended_the_turn(&[('-', SPEECH, 30), ('-', 0, 50)], 1)]
    #[case::the_model_has_answered(&[('-', SPEECH, 30), ('a', 0, 4)], 2)]
    #[case::noise(&[('-', NOISE, 90)], 0)]
    fn silence_waits_where_the_model_does_not(
        #[case] stretches: &[(char, i16, usize)],
        #[case] waiting: usize,
    ) {
        let delays = delays(stretches).concat();
        let held = delays.iter().rev().take_while(|delay| **delay >= 80).count();
        assert_eq!(held, waiting, "{delays:?}");
    }

    #[test]
    fn audio_before_the_session_is_held_and_sent_first_at_four_times_real_time() {
        let mut line = Line::new();
        let reference = {
            let mut resampler = Resampler::new(Rate::LINE, Rate::MODEL_IN);
            let mut out = Vec::new();
            resampler.push(&speech(160 * 80), &mut out);
            out
        };
        for chunk in speech(160 * 40).chunks(160) {
            line.chunk(None, chunk, false);
        }
        assert!(line.sent.is_empty());
        assert_eq!(line.uplink.held(), Duration::from_millis(800));
        let mut caught_up_after = None;
        for (n, chunk) in speech(160 * 40).chunks(160).enumerate() {
            line.chunk(None, chunk, true);
            if line.uplink.held().is_zero() && caught_up_after.is_none() {
                caught_up_after = Some(n + 1);
            }
        }
        assert_eq!(caught_up_after, Some(14), "40 held chunks, three more of them at each new one");
        assert_eq!(line.sent, reference, "in order, nothing lost, nothing twice");
    }

    #[test]
    fn a_long_chunk_that_was_held_is_sent_in_parts_however_short_the_chunks_after_it_are() {
        let mut line = Line::new();
        line.chunk(None, &speech(8000), false);
        for _ in 0..20 {
            line.chunk(None, &speech(160), true);
        }
        assert!(line.uplink.held().is_zero());
        assert_eq!(line.sent.len(), (8000 + 20 * 160) * 2);
    }

    #[test]
    fn when_too_much_is_held_silence_goes_first() {
        let mut line = Line::new();
        for _ in 0..250 {
            line.chunk(None, &speech(160), false);
        }
        for _ in 0..400 {
            line.chunk(None, &[0; 160], false);
        }
        let totals = line.totals();
        assert_eq!(line.uplink.held(), HELD_MAX);
        assert_eq!(totals.uplink_received_ms, 13_000);
        assert_eq!(totals.uplink_dropped_ms, 13_000, "held audio counts as dropped if the call ends now");
        let spoken: usize =
            line.uplink.held.chunks.iter().filter(|chunk| chunk.kind == ChunkKind::Speech).count();
        assert!(
            spoken >= 247,
            "{spoken} of 250 spoken chunks kept (the first three are not known to be speech)"
        );
    }

    #[test]
    fn the_callers_speech_is_timed_by_energy() {
        let mut line = Line::new();
        let start = line.now;
        for n in 0..100 {
            let loud = (25..75).contains(&n);
            line.chunk(None, &if loud { speech(160) } else { vec![0; 160] }, true);
        }
        let heard = line.uplink.take_speech().unwrap();
        let ms = |at: Instant| (at - start).as_millis();
        assert_eq!((ms(heard.started), ms(heard.ended)), (500, 1500));
        assert_eq!(line.uplink.take_speech(), None);
    }

    fn on_the_line(line: &mut Line, samples: &[i16]) -> Vec<i16> {
        line.now += Duration::from_millis(20);
        let mut sent = Vec::new();
        let media = Media { numbers: Numbers::default(), rate: Rate::LINE, samples };
        line.uplink.handle_media(media, line.now, Route::Line, |piece| match piece {
            Piece::Line(samples) => sent.extend_from_slice(samples),
            Piece::Model(frame) => panic!("{frame:?} for nobody"),
        });
        sent
    }

    #[test]
    fn somebody_new_hears_the_whole_utterance_that_was_cut_in_two_by_a_loss() {
        let mut line = Line::new();
        for _ in 0..50 {
            line.chunk(None, &[0; 160], true);
        }
        for _ in 0..30 {
            line.chunk(None, &speech(160), true);
        }
        line.uplink.rewind();
        assert_eq!(
            line.uplink.held(),
            PREROLL + Duration::from_millis(560),
            "speech is known by its third chunk"
        );
        for _ in 0..10 {
            line.chunk(None, &speech(160), false);
        }
        let heard = on_the_line(&mut line, &speech(160));
        let loud = heard.iter().filter(|sample| sample.unsigned_abs() > 3000).count();
        assert_eq!(loud, 41 * 160, "all of it, once");
        assert_eq!(line.uplink.held(), Duration::ZERO);
        let totals = line.totals();
        assert_eq!(
            (totals.uplink_sent_ms, totals.uplink_received_ms),
            (1820, 1820),
            "each sample counts once"
        );

        line.uplink.rewind();
        assert!(line.uplink.held() > Duration::from_millis(800), "nobody has answered yet");
        line.uplink.take_speech();
        line.uplink.held = Held::default();
        line.uplink.rewind();
        assert_eq!(line.uplink.held(), Duration::ZERO, "what was answered is not heard again");
    }
}
