//! Listening: finds the caller's turns in the audio. Knows nothing of answers.

use std::time::Duration;

use super::refusal::Refusal;
use super::request::{ActivityDetection, Sensitivity};
use crate::audio::Rate;
use crate::audio::vad::{Activity, Config, Energy};

/// Something heard. Offsets count the audio of this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    SpeechStart {
        offset: Duration,
    },
    SpeechEnd {
        offset: Duration,
    },
    /// A loud sample after quiet; only in probe mode.
    Burst,
}

/// The ears of one connection.
#[derive(Debug)]
pub(super) struct Ears {
    mode: Mode,
    /// Audio that has come in, on its own clock.
    position: Duration,
}

#[derive(Debug)]
enum Mode {
    Automatic { config: Config, detector: Option<Detector> },
    Manual { is_open: bool },
    Probe { quiet: Duration },
}

#[derive(Debug)]
struct Detector {
    rate: Rate,
    energy: Energy,
    /// Where the detector's own count began.
    base: Duration,
}

impl Ears {
    /// `is_vertex` decides what unset sensitivities mean: high on dev, low on Vertex.
    pub(super) fn new(detection: &ActivityDetection, is_vertex: bool) -> Self {
        let mode = if detection.disabled {
            Mode::Manual { is_open: false }
        } else {
            Mode::Automatic { config: detector_config(detection, is_vertex), detector: None }
        };
        Self { mode, position: Duration::ZERO }
    }

    pub(super) const fn probe() -> Self {
        Self { mode: Mode::Probe { quiet: QUIET_BEFORE_BURST }, position: Duration::ZERO }
    }

    /// Takes the next audio; appends what was heard in it.
    pub(super) fn handle_audio(&mut self, rate: Rate, samples: &[i16], heard: &mut Vec<Heard>) {
        match &mut self.mode {
            Mode::Automatic { config, detector } => {
                let detector = Detector::at_rate(detector, rate, *config, self.position, heard);
                detector.push(samples, heard);
            }
            Mode::Probe { quiet } => {
                if let Some(burst) = find_burst(rate, samples, quiet) {
                    heard.push(burst);
                }
            }
            // The audio inside the window is the turn, whatever it sounds like; outside nobody listens.
            Mode::Manual { .. } => {}
        }
        self.position += length(rate, samples.len());
    }

    /// The caller's microphone is off: whatever was being said is over.
    pub(super) fn handle_stream_end(&mut self) -> Option<Heard> {
        let Mode::Automatic { detector, .. } = &mut self.mode else { return None };
        let was_speaking = detector.take().is_some_and(|detector| detector.energy.is_speaking());
        was_speaking.then_some(Heard::SpeechEnd { offset: self.position })
    }

    pub(super) fn handle_activity_start(&mut self) -> Result<Option<Heard>, Refusal> {
        let was_open = std::mem::replace(self.window()?, true);
        Ok((!was_open).then_some(Heard::SpeechStart { offset: self.position }))
    }

    pub(super) fn handle_activity_end(&mut self) -> Result<Option<Heard>, Refusal> {
        let was_open = std::mem::replace(self.window()?, false);
        Ok(was_open.then_some(Heard::SpeechEnd { offset: self.position }))
    }

    fn window(&mut self) -> Result<&mut bool, Refusal> {
        match &mut self.mode {
            Mode::Manual { is_open } => Ok(is_open),
            Mode::Automatic { .. } | Mode::Probe { .. } => Err(Refusal::ExplicitActivity),
        }
    }
}

impl Detector {
    /// The detector for this rate. A new one begins afresh, which ends the speech that the old one was in.
    fn at_rate<'a>(
        slot: &'a mut Option<Self>,
        rate: Rate,
        config: Config,
        position: Duration,
        heard: &mut Vec<Heard>,
    ) -> &'a mut Self {
        if let Some(old) = slot.take_if(|detector| detector.rate != rate)
            && old.energy.is_speaking()
        {
            heard.push(Heard::SpeechEnd { offset: position });
        }
        slot.get_or_insert_with(|| Self { rate, energy: Energy::new(rate, config), base: position })
    }

    fn push(&mut self, samples: &[i16], heard: &mut Vec<Heard>) {
        // The detector tells one change at a time and works in steps of 10 ms.
        for step in samples.chunks(self.rate.frame_len() / 2) {
            let offset = |at: u64| self.base + length(self.rate, at as usize);
            match self.energy.push(step) {
                Some(Activity::Start { at }) => heard.push(Heard::SpeechStart { offset: offset(at) }),
                Some(Activity::End { at }) => heard.push(Heard::SpeechEnd { offset: offset(at) }),
                None => {}
            }
        }
    }
}

/// The defaults of the real service are unpublished; these make it neither deaf nor nervous on a telephone.
fn detector_config(detection: &ActivityDetection, is_vertex: bool) -> Config {
    let is_low = |sensitivity| match sensitivity {
        Sensitivity::Unspecified => is_vertex,
        Sensitivity::High => false,
        Sensitivity::Low => true,
    };
    let (threshold_db, prefix_ms) =
        if is_low(detection.start_of_speech_sensitivity) { (-38.0, 120) } else { (-46.0, 60) };
    let silence_ms = if is_low(detection.end_of_speech_sensitivity) { 800 } else { 500 };
    let given = |value: Option<i32>, default| value.map_or(default, |ms| u32::try_from(ms).unwrap_or(0));
    Config {
        threshold_db,
        prefix_ms: given(detection.prefix_padding_ms, prefix_ms),
        silence_ms: given(detection.silence_duration_ms, silence_ms),
    }
}

const QUIET_BEFORE_BURST: Duration = Duration::from_millis(60);

/// Looks for the first sample of a burst. `quiet` is how long it has been quiet.
fn find_burst(rate: Rate, samples: &[i16], quiet: &mut Duration) -> Option<Heard> {
    const LOUD: u16 = 2_000;
    let mut burst = None;
    let mut rest = samples;
    while let Some(at) = rest.iter().position(|sample| sample.unsigned_abs() > LOUD) {
        *quiet += length(rate, at);
        if *quiet >= QUIET_BEFORE_BURST {
            burst = Some(Heard::Burst);
        }
        *quiet = Duration::ZERO;
        rest = &rest[at + 1..];
    }
    *quiet += length(rate, rest.len());
    burst
}

fn length(rate: Rate, samples: usize) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(rate.0))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn sound(rate: Rate, parts: &[(i16, usize)]) -> Vec<i16> {
        let per_ms = rate.0 as usize / 1000;
        parts.iter().flat_map(|&(level, ms)| (0..ms * per_ms).map(move |n| level * [1, -1][n % 2])).collect()
    }

    fn listen(detection: ActivityDetection, rate: Rate, parts: &[(i16, usize)], chunk: usize) -> Vec<Heard> {
        let mut ears = Ears::new(&detection, false);
        let mut heard = Vec::new();
        for chunk in sound(rate, parts).chunks(chunk) {
            ears.handle_audio(rate, chunk, &mut heard);
        }
        heard
    }

    const TURN: [(i16, usize); 3] = [(0, 300), (3000, 1000), (0, 1000)];

    #[rstest]
    #[case(Rate::MODEL_IN, 320)]
    #[case(Rate::MODEL_IN, 100_000)]
    #[case(Rate::LINE, 160)]
    #[case(Rate(48_000), 7)]
    fn a_turn_is_found_at_any_rate_and_chunk_length(#[case] rate: Rate, #[case] chunk: usize) {
        let heard = listen(ActivityDetection::default(), rate, &TURN, chunk);
        let expected = [Heard::SpeechStart { offset: MS(300) }, Heard::SpeechEnd { offset: MS(1300) }];
        assert_eq!(heard, expected);
    }

    #[test]
    fn the_four_turns_of_a_recorded_caller_are_found() {
        let file = include_bytes!("../../../fixtures/audio/human-caller-side-buys-a-chromecast.wav");
        let samples = crate::audio::wav::read(file).unwrap().samples;
        let mut ears = Ears::new(&ActivityDetection::default(), false);
        let mut heard = Vec::new();
        for chunk in samples.chunks(160) {
            ears.handle_audio(Rate::LINE, chunk, &mut heard);
        }
        let starts = heard.iter().filter_map(|heard| match heard {
            Heard::SpeechStart { offset } => Some(offset.as_millis()),
            Heard::SpeechEnd { .. } | Heard::Burst => None,
        });
        let starts: Vec<_> = starts.collect();
        assert_eq!((starts.len(), heard.len()), (4, 8), "{heard:?}");
        // The marks of the recording lie up to a quarter of a second before the sound.
        for (start, spoken) in starts.iter().zip([1000, 8800, 14_250, 20_300]) {
            assert!(start.abs_diff(spoken) < 250, "{heard:?}");
        }
    }

    #[rstest]
    #[case::short_word_passes(None, None, &[(0, 100), (3000, 80), (0, 900)], 2)]
    #[case::short_word_is_below_the_padding(Some(200), None, &[(0, 100), (3000, 80), (0, 900)], 0)]
    #[case::pause_splits(None, Some(200), &[(3000, 300), (0, 300), (3000, 300), (0, 900)], 4)]
    #[case::pause_is_bridged(None, Some(400), &[(3000, 300), (0, 300), (3000, 300), (0, 900)], 2)]
    #[case::negative_is_zero(Some(-5), Some(-5), &[(0, 10), (3000, 10), (0, 10)], 2)]
    fn padding_and_silence_are_honoured(
        #[case] prefix: Option<i32>,
        #[case] silence: Option<i32>,
        #[case] parts: &[(i16, usize)],
        #[case] changes: usize,
    ) {
        let detection = ActivityDetection {
            prefix_padding_ms: prefix,
            silence_duration_ms: silence,
            ..ActivityDetection::default()
        };
        assert_eq!(listen(detection, Rate::MODEL_IN, parts, 320).len(), changes);
    }

    #[rstest]
    #[case(Sensitivity::High, 2)]
    #[case(Sensitivity::Low, 0)]
    fn quiet_speech_needs_high_sensitivity(#[case] start: Sensitivity, #[case] changes: usize) {
        let detection = ActivityDetection { start_of_speech_sensitivity: start, ..Default::default() };
        let quiet = [(0, 300), (250, 1000), (0, 1000)];
        assert_eq!(listen(detection, Rate::MODEL_IN, &quiet, 320).len(), changes);
    }

    #[test]
    fn the_end_of_the_stream_ends_the_turn() {
        let mut ears = Ears::new(&ActivityDetection::default(), false);
        let mut heard = Vec::new();
        ears.handle_audio(Rate::MODEL_IN, &sound(Rate::MODEL_IN, &[(3000, 400)]), &mut heard);
        assert_eq!(ears.handle_stream_end(), Some(Heard::SpeechEnd { offset: MS(400) }));
        assert_eq!(ears.handle_stream_end(), None);
        ears.handle_audio(Rate::MODEL_IN, &sound(Rate::MODEL_IN, &[(3000, 400)]), &mut heard);
        assert_eq!(heard[1..], [Heard::SpeechStart { offset: MS(400) }], "audio reopens the stream");
    }

    #[test]
    fn explicit_activity_needs_detection_to_be_off() {
        let mut ears = Ears::new(&ActivityDetection::default(), false);
        assert_eq!(ears.handle_activity_start(), Err(Refusal::ExplicitActivity));
        let off = ActivityDetection { disabled: true, ..ActivityDetection::default() };
        let mut ears = Ears::new(&off, false);
        let mut heard = Vec::new();
        ears.handle_audio(Rate::MODEL_IN, &sound(Rate::MODEL_IN, &TURN), &mut heard);
        assert_eq!(heard, [], "audio outside the window is discarded");
        assert_eq!(ears.handle_activity_end(), Ok(None));
        assert_eq!(ears.handle_activity_start(), Ok(Some(Heard::SpeechStart { offset: MS(2300) })));
        assert_eq!(ears.handle_activity_start(), Ok(None));
        assert_eq!(ears.handle_activity_end(), Ok(Some(Heard::SpeechEnd { offset: MS(2300) })));
    }

    #[rstest]
    #[case::at_once(&[(9000, 5)], 1)]
    #[case::below(&[(1900, 500)], 0)]
    #[case::too_soon(&[(9000, 5), (0, 50), (9000, 5)], 1)]
    #[case::again(&[(9000, 5), (0, 65), (9000, 5)], 2)]
    fn the_probe_hears_bursts_after_quiet(#[case] parts: &[(i16, usize)], #[case] bursts: usize) {
        let mut ears = Ears::probe();
        let mut heard = Vec::new();
        for chunk in sound(Rate::MODEL_IN, parts).chunks(320) {
            ears.handle_audio(Rate::MODEL_IN, chunk, &mut heard);
        }
        assert_eq!(heard, vec![Heard::Burst; bursts]);
    }
}
