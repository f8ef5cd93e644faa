//! One answer as a list of messages with their times, made before the first one is sent.
//!
//! Pure: no clock, no sockets, no wire format.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::behaviour::{Delivery, Split};
use super::personality::{Personality, TranscriptStyle};
use super::scenario::Utterance;

/// A part of an answer, `at` after its first audio.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) at: Duration,
    pub(super) part: Part,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// `{}`.
    Empty,
    /// `{"serverContent": {}}`.
    EmptyContent,
    Thought,
    /// What the model says, apart from the audio.
    Transcript(Transcript),
    /// A piece of the answer of a text model.
    Text(String),
    /// Bytes of an utterance, and the words that travel with them.
    Audio {
        utterance: usize,
        bytes: Range<usize>,
        words: Option<String>,
    },
    GenerationComplete,
    TurnComplete,
    /// The audio from the beginning, for ever.
    Again,
}

impl Part {
    pub(super) const fn is_speech(&self) -> bool {
        matches!(self, Self::Audio { .. } | Self::Text(_))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Transcript {
    Begin,
    Words(String),
    Finished,
}

/// What an answer consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Audio,
    /// Audio, and its words because the client asked for them.
    AudioAndWords,
    Text,
}

/// Bytes of a second of output: 24 kHz, two bytes a sample.
const BYTES_PER_SECOND: usize = 48_000;

/// How much before the end of real-time playback `turnComplete` comes (recorded: 6.0 s where 6.2 s would be
/// the end).
const TURN_COMPLETE_LEAD: Duration = Duration::from_millis(200);

/// The messages of an answer.
pub(super) fn plan(
    lines: &[Utterance],
    form: Form,
    personality: Personality,
    delivery: &Delivery,
) -> VecDeque<Step> {
    let mut planner = Planner { steps: VecDeque::new(), sent: 0, delivery: *delivery };
    planner.open(personality);
    if form == Form::Text {
        planner.texts(lines);
    } else {
        if form == Form::AudioAndWords {
            planner.words_ahead(lines, personality.transcript_style());
        }
        let is_along =
            form == Form::AudioAndWords && personality.transcript_style() == TranscriptStyle::Along;
        for index in 0..lines.len() {
            planner.utterance(lines, index, is_along);
        }
        if personality == Personality::Live38 {
            planner.sprinkle();
        }
    }
    planner.close();
    planner.steps
}

/// How long this many bytes of output sound.
pub(super) fn playing_time(bytes: usize) -> Duration {
    Duration::from_micros((bytes * 1_000_000 / BYTES_PER_SECOND) as u64)
}

struct Planner {
    steps: VecDeque<Step>,
    /// Bytes of audio so far.
    sent: usize,
    delivery: Delivery,
}

impl Planner {
    fn open(&mut self, personality: Personality) {
        match personality {
            Personality::Native25 => {}
            Personality::Flash31 => self.push(Part::EmptyContent),
            Personality::Live38 => {
                self.push(Part::Empty);
                self.push(Part::EmptyContent);
            }
            Personality::VertexHalfCascade => {}
        }
        if personality.thinks_aloud() {
            self.push(Part::Thought);
        }
    }

    fn texts(&mut self, lines: &[Utterance]) {
        for (index, line) in lines.iter().enumerate() {
            for fragment in fragments(&line.text, index > 0) {
                self.push(Part::Text(fragment));
            }
        }
    }

    fn words_ahead(&mut self, lines: &[Utterance], style: TranscriptStyle) {
        let words = |line: (usize, &Utterance)| {
            let space = if line.0 > 0 { " " } else { "" };
            Part::Transcript(Transcript::Words(format!("{space}{}", line.1.text)))
        };
        match style {
            TranscriptStyle::Along => {}
            TranscriptStyle::Ahead => lines.iter().enumerate().map(words).for_each(|part| self.push(part)),
            TranscriptStyle::Bracketed => {
                self.push(Part::Transcript(Transcript::Begin));
                for (index, line) in lines.iter().enumerate() {
                    for fragment in fragments(&line.text, index > 0) {
                        self.push(Part::Transcript(Transcript::Words(fragment)));
                    }
                }
                self.push(Part::Transcript(Transcript::Finished));
            }
        }
    }

    fn utterance(&mut self, lines: &[Utterance], index: usize, is_along: bool) {
        let line = &lines[index];
        let pieces = self.pieces(line.samples.len() * 2, index == 0);
        let mut text = line.text.clone();
        if index + 1 < lines.len() {
            text.push(' ');
        }
        let words: Vec<&str> = text.split_inclusive(' ').collect();
        let share = |piece: usize| piece * words.len() / pieces.len();
        for (piece, bytes) in pieces.iter().enumerate() {
            let spoken = words[share(piece)..share(piece + 1)].concat();
            let words = (is_along && !spoken.is_empty()).then_some(spoken);
            self.push(Part::Audio { utterance: index, bytes: bytes.clone(), words });
            self.sent += bytes.len();
        }
    }

    /// Cuts an utterance into messages.
    fn pieces(&self, len: usize, is_first: bool) -> Vec<Range<usize>> {
        let even = (self.delivery.message.as_micros() as usize * BYTES_PER_SECOND / 2_000_000 * 2).max(2);
        let (mut at, size) = match self.delivery.split {
            Split::Odd => (0, even + 1),
            Split::SampleFirst if is_first => (len.min(2), even),
            Split::SampleFirst | Split::Even => (0, even),
        };
        let mut pieces = Vec::with_capacity(len / size + 2);
        if at > 0 {
            pieces.push(0..at);
        }
        while at < len {
            let end = len.min(at + size);
            pieces.push(at..end);
            at = end;
        }
        pieces
    }

    /// Puts `{}` between the audio messages, as 3.8 does.
    fn sprinkle(&mut self) {
        let is_audio = |step: &Step| matches!(step.part, Part::Audio { .. });
        let steps = std::mem::take(&mut self.steps);
        for step in steps {
            if let Some(before) = self.steps.back().filter(|before| is_audio(before) && is_audio(&step)) {
                let at = before.at + step.at.saturating_sub(before.at) / 2;
                self.steps.push_back(Step { at, part: Part::Empty });
            }
            self.steps.push_back(step);
        }
    }

    fn close(&mut self) {
        let generated = self.steps.back().map_or(Duration::ZERO, |step| step.at);
        let played = playing_time(self.sent).saturating_sub(TURN_COMPLETE_LEAD);
        self.steps.push_back(Step { at: generated, part: Part::GenerationComplete });
        self.steps.push_back(Step { at: generated.max(played), part: Part::TurnComplete });
    }

    fn push(&mut self, part: Part) {
        let ahead = playing_time(self.sent);
        let delivered = ahead.as_secs_f64() / self.delivery.speed;
        let mut at = Duration::try_from_secs_f64(delivered).unwrap_or(Duration::ZERO);
        if let Some(stall) = self.delivery.stall.filter(|stall| ahead >= stall.after) {
            at += stall.length;
        }
        self.steps.push_back(Step { at, part });
    }
}

/// Words with their leading spaces: `Hello`, ` my`, ` name`. With `is_continued` the first has one too.
pub(super) fn fragments(text: &str, is_continued: bool) -> impl Iterator<Item = String> {
    text.split_whitespace().enumerate().map(move |(index, word)| {
        let space = if index > 0 || is_continued { " " } else { "" };
        format!("{space}{word}")
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::behaviour::Stall;
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn line(text: &str, ms: usize) -> Utterance {
        Utterance { text: text.to_owned(), samples: vec![1; ms * 24].into() }
    }

    fn audio(steps: &VecDeque<Step>) -> Vec<(u64, usize)> {
        let mut audio = Vec::new();
        for step in steps {
            if let Part::Audio { bytes, .. } = &step.part {
                audio.push((step.at.as_millis() as u64, bytes.len()));
            }
        }
        audio
    }

    fn at(steps: &VecDeque<Step>, part: &Part) -> Duration {
        steps.iter().find(|step| step.part == *part).unwrap().at
    }

    #[test]
    fn two_and_a_half_seconds_are_fourteen_messages_in_six_tenths_of_a_second() {
        let steps = plan(&[line("a", 2500)], Form::Audio, Personality::Native25, &Delivery::default());
        let messages = audio(&steps);
        assert_eq!(messages.len(), 14);
        assert_eq!(messages[..2], [(0, 9120), (47, 9120)]);
        assert_eq!(at(&steps, &Part::GenerationComplete).as_millis(), 617);
        assert_eq!(at(&steps, &Part::TurnComplete), MS(2300));
    }

    #[rstest]
    #[case::sample_first(Split::SampleFirst, &[2, 9120, 478])]
    #[case::odd(Split::Odd, &[9121, 479])]
    #[case::even(Split::Even, &[9120, 480])]
    fn messages_are_cut_as_asked(#[case] split: Split, #[case] lens: &[usize]) {
        let delivery = Delivery { split, ..Delivery::default() };
        let steps = plan(&[line("a", 200)], Form::Audio, Personality::Flash31, &delivery);
        assert_eq!(audio(&steps).iter().map(|&(_, len)| len).collect::<Vec<_>>(), lens);
    }

    #[test]
    fn slower_than_real_time_and_with_a_stall_the_turn_ends_with_the_generation() {
        let delivery = Delivery {
            speed: 0.5,
            message: MS(100),
            stall: Some(Stall { after: MS(200), length: MS(1000) }),
            ..Delivery::default()
        };
        let steps = plan(&[line("a", 400)], Form::Audio, Personality::Native25, &delivery);
        assert_eq!(audio(&steps).iter().map(|&(at, _)| at).collect::<Vec<_>>(), [0, 200, 1400, 1600]);
        assert_eq!(at(&steps, &Part::TurnComplete), MS(1600));
    }

    fn words(steps: &VecDeque<Step>) -> String {
        let words = steps.iter().map(|step| match &step.part {
            Part::Audio { words: Some(words), .. } => format!("[{words}]"),
            Part::Audio { words: None, .. } => "A".to_owned(),
            Part::Transcript(Transcript::Begin) => "(begin)".to_owned(),
            Part::Transcript(Transcript::Words(words)) => format!("({words})"),
            Part::Transcript(Transcript::Finished) => "(finished)".to_owned(),
            Part::Text(text) => format!("<{text}>"),
            Part::Thought => "thought ".to_owned(),
            Part::Empty => "{}".to_owned(),
            Part::EmptyContent => "content{} ".to_owned(),
            Part::GenerationComplete => " generated".to_owned(),
            Part::TurnComplete => " complete".to_owned(),
            Part::Again => " again".to_owned(),
        });
        words.collect()
    }

    #[rstest]
    #[case::native25(
        Personality::Native25,
        Form::AudioAndWords,
        "thought (One two.)( Three.)AAA generated complete"
    )]
    #[case::flash31(
        Personality::Flash31,
        Form::AudioAndWords,
        "content{} [One ][two. ][Three.] generated complete"
    )]
    #[case::live38(
        Personality::Live38,
        Form::AudioAndWords,
        "{}content{} [One ]{}[two. ]{}[Three.] generated complete"
    )]
    #[case::vertex(
        Personality::VertexHalfCascade,
        Form::AudioAndWords,
        "(begin)(One)( two.)( Three.)(finished)AAA generated complete"
    )]
    #[case::vertex_text(
        Personality::VertexHalfCascade,
        Form::Text,
        "<One>< two.>< Three.> generated complete"
    )]
    #[case::nobody_asked(Personality::Native25, Form::Audio, "thought AAA generated complete")]
    fn each_family_has_its_own_order(
        #[case] personality: Personality,
        #[case] form: Form,
        #[case] expected: &str,
    ) {
        let lines = [line("One two.", 300), line("Three.", 150)];
        assert_eq!(words(&plan(&lines, form, personality, &Delivery::default())), expected);
    }
}
