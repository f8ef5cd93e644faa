//! Voice activity by a small neural network, Silero VAD v6 at 8 kHz: speech is told from music, tones and noise.
//!
//! For endpointing and barge-in where no model listens. It costs dozens of times what [`vad::Energy`](super::vad)
//! does, so it runs only while it is asked for. Knows nothing of calls.

use std::sync::{Arc, LazyLock};

use rten::{Model, NodeId, RunOptions, ThreadPool, Value};
use rten_tensor::{AsView, NdTensorView};

use super::Rate;
use super::vad::{Activity, Debounce};

/// New samples that the network judges at a time, 32 ms, and those before them that it sees again (silero-vad 6.2.3,
/// `utils_vad.py`, `OnnxWrapper.__call__`).
const WINDOW: usize = 256;
const CONTEXT: usize = 32;

/// What the network remembers: two vectors of its LSTM (same source, `reset_states`).
const MEMORY: [usize; 3] = [2, 1, 128];
const MEMORY_LEN: usize = MEMORY[0] * MEMORY[1] * MEMORY[2];

const WINDOW_MS: u32 = Rate::LINE.millis(WINDOW as u64) as u32;

/// When a probability of speech becomes activity. The defaults are tuned for telephone lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// A window at least this probable is speech.
    pub threshold: f32,
    /// Once somebody speaks, a window at least this probable still is.
    pub threshold_speaking: f32,
    /// Speech needed before it counts as begun, milliseconds: a cough or a click is not a barge-in.
    pub prefix_ms: u32,
    /// Silence needed before speech counts as ended, milliseconds: a pause for thought is not the end of a turn.
    pub silence_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { threshold: 0.5, threshold_speaking: 0.35, prefix_ms: 128, silence_ms: 800 }
    }
}

/// Detects speech in one stream at [`Rate::LINE`], in steps of 32 ms.
#[derive(Clone, Debug)]
pub struct Silero {
    config: Config,
    /// The context, then the new samples so far.
    window: [f32; CONTEXT + WINDOW],
    filled: usize,
    memory: [f32; MEMORY_LEN],
    probability: f32,
    debounce: Debounce,
}

impl Silero {
    /// The first one of a process loads the network, which takes some milliseconds.
    pub fn new(config: Config) -> Self {
        LazyLock::force(&NETWORK);
        Self {
            config,
            window: [0.0; CONTEXT + WINDOW],
            filled: CONTEXT,
            memory: [0.0; MEMORY_LEN],
            probability: 0.0,
            debounce: Debounce::new(
                WINDOW,
                config.prefix_ms.div_ceil(WINDOW_MS),
                config.silence_ms.div_ceil(WINDOW_MS),
            ),
        }
    }

    /// Forgets everything it heard.
    pub fn reset(&mut self) {
        *self = Self::new(self.config);
    }

    pub const fn is_speaking(&self) -> bool {
        self.debounce.is_speaking()
    }

    /// Position after the last step of speech: where speech ended, if it has. 0 before any.
    pub const fn last_loud(&self) -> u64 {
        self.debounce.last_loud
    }

    /// Samples judged so far, in whole steps.
    pub const fn position(&self) -> u64 {
        self.debounce.position
    }

    /// How probable speech was in the last step; 0 before any.
    pub const fn probability(&self) -> f32 {
        self.probability
    }

    /// Takes the next samples, any number; tells the last change of activity within them.
    pub fn push(&mut self, samples: &[i16]) -> Option<Activity> {
        let mut change = None;
        for &sample in samples {
            self.window[self.filled] = f32::from(sample) / 32768.0;
            self.filled += 1;
            if self.filled == self.window.len() {
                change = self.step_done().or(change);
            }
        }
        change
    }

    fn step_done(&mut self) -> Option<Activity> {
        self.probability = NETWORK.judge(&self.window, &mut self.memory);
        self.window.copy_within(WINDOW.., 0);
        self.filled = CONTEXT;
        let Config { threshold, threshold_speaking, .. } = self.config;
        let needed = if self.is_speaking() { threshold_speaking } else { threshold };
        self.debounce.push(self.probability >= needed)
    }
}

static NETWORK: LazyLock<Network> = LazyLock::new(Network::load);

/// The network and the one thread it runs on: a window is too little work to share.
struct Network {
    model: Model,
    inputs: [NodeId; 2],
    outputs: [NodeId; 2],
    options: RunOptions,
}

impl Network {
    fn load() -> Self {
        const FILE: &[u8] = include_bytes!("../../fixtures/vad/silero-8k.onnx");
        const READABLE: &str = "the embedded network is one that this runtime reads";
        let model = Model::load_static_slice(FILE).expect(READABLE);
        let node = |name| model.node_id(name).expect(READABLE);
        let (inputs, outputs) = ([node("input"), node("state")], [node("output"), node("stateN")]);
        let pool = Some(Arc::new(ThreadPool::with_num_threads(1)));
        Self { inputs, outputs, options: RunOptions::default().with_thread_pool(pool), model }
    }

    /// The probability of speech in a window; `memory` goes from the one before to the one after.
    fn judge(&self, window: &[f32; CONTEXT + WINDOW], memory: &mut [f32; MEMORY_LEN]) -> f32 {
        const SHAPES: &str = "the shapes are those of the embedded network, whatever the sound";
        let [input, state] = self.inputs;
        let inputs = vec![
            (input, NdTensorView::from_data([1, window.len()], &window[..]).into()),
            (state, NdTensorView::from_data(MEMORY, &memory[..]).into()),
        ];
        let [output, state] =
            self.model.run_n(inputs, self.outputs, Some(self.options.clone())).expect(SHAPES);
        let (Value::FloatTensor(output), Value::FloatTensor(state)) = (output, state) else {
            unreachable!("{SHAPES}");
        };
        memory.copy_from_slice(state.data().expect(SHAPES));
        output.data().expect(SHAPES)[0]
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::audio::wav;

    /// Soft first sounds are missed, and nobody can say to a tenth of a second where a word ends.
    const SLACK_MS: u64 = 450;

    const WEATHER: &str = "human-whats-the-weather-like.wav";

    fn clip(name: &str) -> Vec<i16> {
        let path = format!("{}/fixtures/audio/{name}", env!("CARGO_MANIFEST_DIR"));
        wav::read(&std::fs::read(path).unwrap()).unwrap().samples
    }

    fn probabilities(samples: &[i16], chunk: usize) -> Vec<f32> {
        let mut vad = Silero::new(Config::default());
        let mut found = Vec::new();
        for chunk in samples.chunks(chunk) {
            let before = vad.position();
            vad.push(chunk);
            found.extend((vad.position() > before).then(|| vad.probability()));
        }
        found
    }

    #[test]
    fn it_says_what_the_original_says() {
        let expected: Vec<f32> = include_str!("../../fixtures/vad/human-whats-the-weather-like.txt")
            .lines()
            .map(|line| line.parse().unwrap())
            .collect();
        let found = probabilities(&clip(WEATHER), WINDOW);
        assert_eq!(found.len(), expected.len());
        for (n, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!((found - expected).abs() < 1e-3, "window {n}: {found} instead of {expected}");
        }
    }

    /// Where speech was found, in milliseconds.
    fn stretches(samples: &[i16]) -> Vec<(u64, u64)> {
        let mut vad = Silero::new(Config::default());
        let mut found: Vec<(u64, u64)> = Vec::new();
        for chunk in samples.chunks(160) {
            match vad.push(chunk) {
                Some(Activity::Start { at }) => found.push((at / 8, u64::MAX)),
                Some(Activity::End { at }) => found.last_mut().unwrap().1 = at / 8,
                None => {}
            }
        }
        if vad.is_speaking() {
            found.last_mut().unwrap().1 = vad.last_loud() / 8;
        }
        found
    }

    /// The turns are those of the recordings, in milliseconds; pauses shorter than the hangover join them. The third
    /// turn of the first caller has a soft "um" before it that is not counted.
    #[rstest]
    #[case("human-whats-the-weather-like.wav", &[(400, 1700)])]
    #[case("human-how-old-is-the-brooklyn-bridge.wav", &[(300, 2000)])]
    #[case("human-caller-side-buys-a-chromecast.wav", &[(1000, 5300), (8800, 10250), (15250, 16800), (20300, 21350)])]
    #[case("human-shop-side-sells-a-chromecast.wav", &[(1000, 4550), (7050, 12050), (14550, 18100)])]
    #[case("human-two-party-katie-and-steve.wav", &[(980, 17800)])]
    #[case("human-jfk-ask-not.wav", &[(550, 2600), (3550, 4700), (5650, 11300)])]
    fn every_turn_of_a_person_is_found_where_it_is(#[case] name: &str, #[case] turns: &[(u64, u64)]) {
        let found = stretches(&clip(name));
        assert_eq!(found.len(), turns.len(), "{found:?}");
        for (&(start, end), &(found_start, found_end)) in turns.iter().zip(&found) {
            assert!(start.abs_diff(found_start) <= SLACK_MS, "{found:?}");
            assert!(end.abs_diff(found_end) <= SLACK_MS, "{found:?}");
        }
    }

    #[rstest]
    #[case("noise-hold-music.wav")]
    #[case("noise-keyboard-typing.wav")]
    #[case("noise-line-hiss-and-hum.wav")]
    #[case("signal-busy-us.wav")]
    #[case("signal-ringback-us.wav")]
    #[case("signal-silence-3s.wav")]
    fn music_tones_and_noise_are_not_speech(#[case] name: &str) {
        assert_eq!(stretches(&clip(name)), []);
    }

    #[test]
    fn chunks_of_any_length_give_the_same() {
        let samples = clip(WEATHER);
        let whole = probabilities(&samples, 160);
        assert_eq!(probabilities(&samples, 1), whole);
        assert_eq!(probabilities(&samples, 37), whole);
    }

    #[test]
    fn after_a_reset_it_is_as_new() {
        let samples = clip(WEATHER);
        let mut vad = Silero::new(Config::default());
        vad.push(&samples[..8_000]);
        assert!(vad.is_speaking());
        vad.reset();
        assert!(!vad.is_speaking());
        assert_eq!((vad.position(), vad.last_loud(), vad.probability()), (0, 0, 0.0));
        vad.push(&samples[..WINDOW]);
        assert_eq!(vad.probability(), probabilities(&samples[..WINDOW], 160)[0]);
    }
}
