//! The caller's audio cut into utterances. Knows nothing of words, jobs or replies.
//!
//! Time is counted in samples; the clock is only used to tell when an utterance was spoken, and to end one when
//! the line falls silent without sending silence.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Config;
use super::detector::Detector;
use crate::audio::Rate;
use crate::audio::vad::Activity;

/// How much later than it began the detector may notice speech.
const NOTICE_MAX: Duration = Duration::from_millis(200);

/// Silence kept after the last loud moment: soft last consonants.
const TAIL: Duration = Duration::from_millis(300);

/// Without any audio for this long an open utterance is over: the line sends nothing while it is silent.
const LINE_SILENT: Duration = Duration::from_secs(2);

/// 10 ms: decisions fall at these steps, whatever pieces the audio comes in.
const STEP: usize = Rate::LINE.frame_len() / 2;

/// Listens to one caller.
#[derive(Debug)]
pub(super) struct Ear {
    limits: Limits,
    detector: Detector,
    /// The newest audio: the open utterance, or what may become the beginning of one.
    tape: VecDeque<i16>,
    /// Samples ever pushed.
    position: u64,
    /// When the last audio came.
    heard_at: Option<Instant>,
    /// When the last utterance ended: the next one begins no earlier.
    last_ended: Option<Instant>,
    open: Option<Open>,
}

/// The configuration in samples.
#[derive(Debug)]
struct Limits {
    endpointing: u64,
    utterance_max: u64,
    pre_roll: u64,
    barge_in: u64,
}

/// An utterance that is not over. Positions in samples.
#[derive(Debug)]
struct Open {
    /// Where its audio begins, with the pre-roll.
    from: u64,
    /// Where its speech begins.
    started: u64,
    /// Where the speech after its last pause begins.
    run: u64,
    /// Where its speech ended so far.
    ended: u64,
    voiced: u64,
    weight: Weight,
}

/// How much an utterance counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// May be a click.
    Doubtful,
    /// Long enough to take the floor.
    Speech,
    /// To be transcribed however short it is.
    Kept,
}

/// Something the caller said, whole or a piece of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Utterance {
    /// At [`Rate::LINE`].
    pub(super) samples: Vec<i16>,
    pub(super) started: Instant,
    pub(super) ended: Instant,
    /// Speech in it, without pauses.
    pub(super) voiced: Duration,
    pub(super) is_kept: bool,
}

impl Ear {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            limits: Limits {
                endpointing: samples(config.endpointing),
                utterance_max: samples(config.utterance_max),
                pre_roll: samples(config.pre_roll),
                barge_in: samples(config.barge_in),
            },
            detector: Detector::new(config.hearing),
            tape: VecDeque::new(),
            position: 0,
            heard_at: None,
            last_ended: None,
            open: None,
        }
    }

    /// How many samples [`Ear::push`] takes next at most.
    pub(super) fn step(&self) -> usize {
        STEP - (self.position % STEP as u64) as usize
    }

    /// Takes at most [`Ear::step`] samples, the last of them spoken at `at`; tells an utterance that is over.
    pub(super) fn push(&mut self, step: &[i16], at: Instant) -> Option<Utterance> {
        self.tape.extend(step);
        self.position += step.len() as u64;
        self.heard_at = Some(at);
        if let Some(Activity::Start { at }) = self.detector.push(step) {
            self.start(at);
        }
        self.follow();
        self.cut(at)
    }

    /// Whether the caller has the floor: an utterance is open and is no click.
    pub(super) fn is_taken(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.weight >= Weight::Speech)
    }

    /// Whether the caller speaks at this moment, and has for as long as it takes to have the floor.
    pub(super) fn is_speaking(&self) -> bool {
        let is_long = |open: &Open| open.ended.saturating_sub(open.run) >= self.limits.barge_in;
        self.detector.is_speaking() && self.open.as_ref().is_some_and(is_long)
    }

    /// The open utterance stopped the agent: it is transcribed however short it is.
    pub(super) fn keep(&mut self) {
        if let Some(open) = &mut self.open {
            open.weight = Weight::Kept;
        }
    }

    /// When an open utterance ends if no more audio comes.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.open.as_ref()?;
        Some(self.heard_at? + LINE_SILENT)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Utterance> {
        let heard_at = self.heard_at?;
        self.poll_timeout().filter(|at| now >= *at)?;
        let open = self.open.take()?;
        Some(self.take(open, self.position, heard_at))
    }

    /// Speech began at position `at`: a new utterance, or the open one goes on after a pause.
    fn start(&mut self, at: u64) {
        let tape_start = self.position - self.tape.len() as u64;
        match &mut self.open {
            Some(open) => (open.run, open.ended) = (at, open.ended.max(at)),
            None => {
                let from = at.saturating_sub(self.limits.pre_roll).max(tape_start);
                let weight = Weight::Doubtful;
                self.open = Some(Open { from, started: at, run: at, ended: at, voiced: 0, weight });
            }
        }
    }

    fn follow(&mut self) {
        let Some(open) = self.open.as_mut().filter(|_| self.detector.is_speaking()) else { return };
        let loud = self.detector.last_loud();
        open.voiced += loud.saturating_sub(open.ended);
        open.ended = open.ended.max(loud);
        if open.ended.saturating_sub(open.run) >= self.limits.barge_in {
            open.weight = open.weight.max(Weight::Speech);
        }
    }

    /// Ends the open utterance if it is over or too long; forgets audio that cannot belong to one.
    fn cut(&mut self, at: Instant) -> Option<Utterance> {
        let Some(open) = self.open.take() else {
            let kept = (self.limits.pre_roll + samples(NOTICE_MAX)) as usize;
            self.tape.drain(..self.tape.len().saturating_sub(kept));
            return None;
        };
        let is_speaking = self.detector.is_speaking();
        let silence = self.detector.position().saturating_sub(open.ended);
        if !is_speaking && silence >= self.limits.endpointing {
            let end = open.ended + samples(TAIL);
            return Some(self.take(open, end, at));
        }
        if self.position - open.from < self.limits.utterance_max {
            self.open = Some(open);
            return None;
        }
        if is_speaking {
            let (here, weight) = (self.position, Weight::Kept);
            self.open = Some(Open { from: here, started: here, run: here, ended: here, voiced: 0, weight });
        }
        Some(self.take(open, self.position, at))
    }

    /// Takes the audio of `open` up to position `end` off the tape; `at` is when the newest sample was spoken.
    fn take(&mut self, open: Open, end: u64, at: Instant) -> Utterance {
        let tape_start = self.position - self.tape.len() as u64;
        let index = |position: u64| position.clamp(tape_start, self.position) - tape_start;
        let (from, to) = (index(open.from) as usize, index(end.max(open.from)) as usize);
        let samples = self.tape.drain(..to).skip(from).collect();
        let ago = |position| at.checked_sub(duration(self.position.saturating_sub(position))).unwrap_or(at);
        let started = ago(open.started);
        let started = self.last_ended.map_or(started, |last| last.max(started));
        let ended = started.max(ago(open.ended));
        self.last_ended = Some(ended);
        let is_kept = open.weight == Weight::Kept;
        Utterance { samples, started, ended, voiced: duration(open.voiced), is_kept }
    }
}

fn samples(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).saturating_mul(u64::from(Rate::LINE.0)) / 1000
}

/// How long this many samples of the line last.
pub(super) fn duration(samples: u64) -> Duration {
    Duration::from_micros(samples.saturating_mul(1_000_000) / u64::from(Rate::LINE.0))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn ms(duration: Duration) -> u64 {
        duration.as_millis() as u64
    }

    /// Alternating stretches of silence and speech, each sample telling its position.
    fn line(parts_ms: &[u64]) -> Vec<i16> {
        let mut line = Vec::new();
        for (n, &part) in parts_ms.iter().enumerate() {
            let level = if n % 2 == 0 { 0 } else { 4000 };
            line.extend((0..part * 8).map(|i| if i % 2 == 0 { level } else { -level }));
        }
        line
    }

    /// (start, end, length of audio, voiced) of each utterance, in milliseconds.
    fn utterances(config: &Config, samples: &[i16], chunk: usize) -> Vec<(u64, u64, u64, u64)> {
        let mut ear = Ear::new(config);
        let start = Instant::now();
        let mut found = Vec::new();
        let mut heard = 0;
        for mut rest in samples.chunks(chunk) {
            while !rest.is_empty() {
                let (step, later) = rest.split_at(ear.step().min(rest.len()));
                rest = later;
                heard += step.len() as u64;
                found.extend(ear.push(step, start + duration(heard)));
            }
        }
        let row = |u: Utterance| {
            (ms(u.started - start), ms(u.ended - start), u.samples.len() as u64 / 8, ms(u.voiced))
        };
        found.into_iter().map(row).collect()
    }

    #[rstest]
    #[case::one_with_pre_roll_and_tail(&[1000, 500, 900], &[(1000, 1500, 1100, 500)])]
    #[case::a_pause_does_not_end_it(&[1000, 500, 700, 500, 900], &[(1000, 2700, 2300, 1000)])]
    #[case::two(&[1000, 500, 900, 300, 900], &[(1000, 1500, 1100, 500), (2400, 2700, 900, 300)])]
    #[case::at_once(&[0, 500, 900], &[(0, 500, 800, 500)])]
    #[case::a_click(&[1000, 40, 900], &[])]
    #[case::a_click_does_not_prolong_it(&[1000, 500, 500, 40, 300], &[(1000, 1500, 1100, 500)])]
    #[case::not_over(&[1000, 500, 790], &[])]
    fn utterances_are_cut_at_silence(
        #[case] parts: &[u64],
        #[case] expected: &[(u64, u64, u64, u64)],
        #[values(160, 37, 8000)] chunk: usize,
    ) {
        assert_eq!(utterances(&Config::default(), &line(parts), chunk), expected);
    }

    #[test]
    fn what_is_too_long_is_cut_and_nothing_is_lost_between_the_pieces() {
        let config = Config { utterance_max: Duration::from_secs(2), ..Config::default() };
        let found = utterances(&config, &line(&[1000, 4500, 900]), 160);
        let lengths: Vec<u64> = found.iter().map(|utterance| utterance.2).collect();
        assert_eq!(lengths, [2000, 2000, 1100], "300 ms pre-roll, 4.5 s of speech, 300 ms tail");
        assert_eq!(found.iter().map(|utterance| utterance.3).sum::<u64>(), 4500);
    }

    #[test]
    fn the_floor_is_taken_after_the_debounce_and_held_until_the_end() {
        let mut ear = Ear::new(&Config::default());
        let now = Instant::now();
        let (mut taken, mut speaking) = (Vec::new(), Vec::new());
        for (n, step) in line(&[500, 300, 900]).chunks(STEP).enumerate() {
            ear.push(step, now);
            taken.extend(ear.is_taken().then_some((n + 1) * 10));
            speaking.extend(ear.is_speaking().then_some((n + 1) * 10));
        }
        assert_eq!((taken.first(), taken.last()), (Some(&620), Some(&1590)));
        assert_eq!((speaking.first(), speaking.last()), (Some(&620), Some(&990)));
    }

    #[test]
    fn a_line_that_sends_nothing_ends_the_utterance() {
        let mut ear = Ear::new(&Config::default());
        let now = Instant::now();
        for step in line(&[500, 300]).chunks(STEP) {
            assert_eq!(ear.push(step, now), None);
        }
        let at = ear.poll_timeout().unwrap();
        assert_eq!(ear.handle_timeout(at - Duration::from_millis(1)), None);
        assert_eq!(ear.handle_timeout(at).unwrap().samples.len(), 600 * 8);
        assert_eq!(ear.poll_timeout(), None);
    }

    #[test]
    fn hours_of_silence_and_of_noise_are_kept_in_bounds() {
        let mut ear = Ear::new(&Config::default());
        let now = Instant::now();
        for level in [0, 4000] {
            for _ in 0..20_000 {
                ear.push(&[level; STEP], now);
                assert!(ear.tape.len() <= 31 * 8000);
            }
        }
    }
}
