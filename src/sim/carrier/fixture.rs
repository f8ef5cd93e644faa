//! Recorded calls: what a caller says and presses, and when.
//!
//! A recording is a file of JSON lines. The first is a header
//! `{"fixture":1,"description":…,"audio":"NAME.wav","from":"+1…","to":"+1…"}`; each further line is
//! `{"at_ms":N,"message":{…}}` with the carrier's message as it was on the wire. A media payload may be
//! `"@OFFSET+LEN"`: that many mu-law bytes of the audio file (`@` is not base64). Of a message only the event, the
//! audio and the key pressed count: ids, counters and parameters are those of the simulated call.

mod write;

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

pub use self::write::Files;
use super::timeline::span;
use crate::audio::wav;

/// Bytes of one media message: 20 ms.
pub const FRAME_LEN: usize = 160;

/// What the caller does, at a time since the start of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: Duration,
    pub act: Act,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Mu-law that ends at the time of its step: it was said just before it is sent.
    Speak(Vec<u8>),
    /// One key.
    Press(String),
    HangUp,
}

/// A caller: numbers, and steps in order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixture {
    pub description: String,
    pub from: String,
    pub to: String,
    pub steps: Vec<Step>,
    /// When each probe began to sound, on the caller's clock; see [`Fixture::probes`].
    pub probes: Vec<Duration>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("{file}: the audio file {audio}: {source}")]
    Audio { file: String, audio: String, source: wav::Error },
    #[error("{file}:{line}: {fault}")]
    Line { file: String, line: usize, fault: Fault },
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("a header {{\"fixture\":1,…}} is missing")]
    Header,
    #[error("the format is version {0}, this program reads version 1")]
    Version(u32),
    #[error("{0}")]
    Json(serde_json::Error),
    #[error("at_ms is less than in the line before")]
    Order,
    #[error("`{event}` cannot come here; a call is `connected`, `start`, then the rest")]
    Sequence { event: &'static str },
    #[error("the payload is neither base64 nor \"@OFFSET+LEN\"")]
    Payload,
    #[error("the payload is past the end of the audio file")]
    PastTheEnd,
}

/// The numbers of callers that no recording names (reserved for fiction).
const FROM: &str = "+14155550123";
const TO: &str = "+13125550142";

impl Fixture {
    /// Reads a recording and the audio file beside it.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let file = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { file: file.clone(), source })?;
        Self::parse(&file, &text, |audio| {
            let audio = path.with_file_name(audio);
            std::fs::read(&audio).map_err(|source| Error::Read { file: audio.display().to_string(), source })
        })
    }

    /// The recording that comes with the program: a caller buys a Chromecast in four turns.
    pub fn built_in() -> Result<Self, Error> {
        let text = include_str!("../../../fixtures/calls/chromecast.jsonl");
        let audio = include_bytes!("../../../fixtures/calls/chromecast.wav");
        Self::parse("chromecast.jsonl", text, |_| Ok(audio.to_vec()))
    }

    /// The other recording that comes with the program: a caller who interrupts a long answer and presses a key.
    pub fn barge_in() -> Result<Self, Error> {
        let text = include_str!("../../../fixtures/calls/barge-in.jsonl");
        let audio = include_bytes!("../../../fixtures/calls/barge-in.wav");
        Self::parse("barge-in.jsonl", text, |_| Ok(audio.to_vec()))
    }

    /// Reads the text of a recording; `open` gives the audio file of this name. `file` is for messages.
    pub fn parse(
        file: &str,
        text: &str,
        open: impl FnOnce(&str) -> Result<Vec<u8>, Error>,
    ) -> Result<Self, Error> {
        let at_line = |line, fault| Error::Line { file: file.to_owned(), line, fault };
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let (index, first) = lines.next().ok_or_else(|| at_line(1, Fault::Header))?;
        let header = Header::parse(first).map_err(|fault| at_line(index + 1, fault))?;
        let audio = match &header.audio {
            Some(name) => {
                let wav = open(name)?;
                let failed = |source| Error::Audio { file: file.to_owned(), audio: name.clone(), source };
                wav::read_mulaw(&wav).map_err(failed)?.to_vec()
            }
            None => Vec::new(),
        };
        let mut reader = Reader { audio, ..Reader::default() };
        for (index, line) in lines {
            reader.read(line).map_err(|fault| at_line(index + 1, fault))?;
        }
        Ok(Self {
            description: header.description,
            from: header.from,
            to: header.to,
            steps: reader.steps,
            probes: Vec::new(),
        })
    }

    /// A caller who says this, in messages of 20 ms, and hangs up after the last.
    pub fn from_mulaw(audio: &[u8]) -> Self {
        let mut said = 0;
        let mut steps: Vec<_> = audio
            .chunks(FRAME_LEN)
            .map(|frame| {
                said += frame.len();
                Step { at: span(said), act: Act::Speak(frame.to_vec()) }
            })
            .collect();
        steps.push(Step { at: span(said), act: Act::HangUp });
        Self {
            description: "a caller made by a program".into(),
            from: FROM.into(),
            to: TO.into(),
            steps,
            probes: Vec::new(),
        }
    }

    /// The same caller with other numbers.
    #[must_use]
    pub fn numbers(self, from: Option<String>, to: Option<String>) -> Self {
        Self { from: from.unwrap_or(self.from), to: to.unwrap_or(self.to), ..self }
    }

    /// The same caller pressing a key as well.
    #[must_use]
    pub fn pressing(mut self, at: Duration, digit: impl Into<String>) -> Self {
        let index = self.steps.partition_point(|step| step.at < at);
        self.steps.insert(index, Step { at, act: Act::Press(digit.into()) });
        self
    }

    /// How long the call is.
    pub fn duration(&self) -> Duration {
        self.steps.last().map_or(Duration::ZERO, |step| step.at)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    fixture: u32,
    #[serde(default)]
    description: String,
    audio: Option<String>,
    #[serde(default = "default_from")]
    from: String,
    #[serde(default = "default_to")]
    to: String,
}

fn default_from() -> String {
    FROM.to_owned()
}

fn default_to() -> String {
    TO.to_owned()
}

impl Header {
    fn parse(line: &str) -> Result<Self, Fault> {
        let value: serde_json::Value = serde_json::from_str(line).map_err(Fault::Json)?;
        if value.get("fixture").is_none() {
            return Err(Fault::Header);
        }
        let header: Self = serde_json::from_value(value).map_err(Fault::Json)?;
        if header.fixture == 1 { Ok(header) } else { Err(Fault::Version(header.fixture)) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at_ms: u64,
    message: Message,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Message {
    Connected {},
    Start {},
    Media { media: Media },
    Dtmf { dtmf: Dtmf },
    Mark {},
    Stop {},
}

impl Message {
    const fn event(&self) -> &'static str {
        match self {
            Self::Connected {} => "connected",
            Self::Start {} => "start",
            Self::Media { .. } => "media",
            Self::Dtmf { .. } => "dtmf",
            Self::Mark {} => "mark",
            Self::Stop {} => "stop",
        }
    }
}

#[derive(Deserialize)]
struct Media {
    payload: String,
}

#[derive(Deserialize)]
struct Dtmf {
    digit: String,
}

#[derive(Default)]
struct Reader {
    audio: Vec<u8>,
    at: Duration,
    stage: Stage,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    New,
    Connected,
    Started,
    Stopped,
}

impl Reader {
    fn read(&mut self, line: &str) -> Result<(), Fault> {
        let Line { at_ms, message } = serde_json::from_str(line).map_err(Fault::Json)?;
        let at = Duration::from_millis(at_ms);
        if at < self.at {
            return Err(Fault::Order);
        }
        self.at = at;
        let event = message.event();
        let act = match (self.stage, message) {
            (Stage::New, Message::Connected {}) => {
                self.stage = Stage::Connected;
                return Ok(());
            }
            (Stage::Connected, Message::Start {}) => {
                self.stage = Stage::Started;
                return Ok(());
            }
            (Stage::Started, Message::Mark {}) => return Ok(()),
            (Stage::Started, Message::Media { media }) => Act::Speak(self.payload(&media.payload)?),
            (Stage::Started, Message::Dtmf { dtmf }) => Act::Press(dtmf.digit),
            (Stage::Started, Message::Stop {}) => {
                self.stage = Stage::Stopped;
                Act::HangUp
            }
            _ => return Err(Fault::Sequence { event }),
        };
        self.steps.push(Step { at, act });
        Ok(())
    }

    fn payload(&self, text: &str) -> Result<Vec<u8>, Fault> {
        let Some(reference) = text.strip_prefix('@') else {
            return STANDARD.decode(text).map_err(|_| Fault::Payload);
        };
        let (offset, len) = reference.split_once('+').ok_or(Fault::Payload)?;
        let number = |text: &str| text.parse::<usize>().map_err(|_| Fault::Payload);
        let (offset, len) = (number(offset)?, number(len)?);
        let end = offset.checked_add(len).ok_or(Fault::PastTheEnd)?;
        self.audio.get(offset..end).map(<[u8]>::to_vec).ok_or(Fault::PastTheEnd)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const HEAD: &str = r#"{"fixture":1,"description":"d","from":"+1","to":"+2"}
{"at_ms":0,"message":{"event":"connected","protocol":"Call","version":"1.0.0"}}
{"at_ms":0,"message":{"event":"start","sequenceNumber":"1","start":{},"streamSid":"MZ0"}}
"#;

    fn parse(text: &str) -> Result<Fixture, Error> {
        Fixture::parse("call.jsonl", text, |_| {
            Err(Error::Read { file: "x.wav".into(), source: std::io::ErrorKind::NotFound.into() })
        })
    }

    #[test]
    fn a_recording_is_read_in_order() {
        let text = format!(
            "{HEAD}{}\n{}\n{}\n",
            r#"{"at_ms":20,"message":{"event":"media","media":{"track":"inbound","payload":"/38="}}}"#,
            r#"{"at_ms":20,"message":{"event":"dtmf","dtmf":{"track":"inbound_track","digit":"5"}}}"#,
            r#"{"at_ms":40,"message":{"event":"stop"}}"#
        );
        let step = |ms, act| Step { at: Duration::from_millis(ms), act };
        assert_eq!(
            parse(&text).unwrap().steps,
            [step(20, Act::Speak(vec![0xFF, 0x7F])), step(20, Act::Press("5".into())), step(40, Act::HangUp)]
        );
    }

    #[rstest]
    #[case("", "call.jsonl:1: a header {\"fixture\":1,…} is missing")]
    #[case("{}", "call.jsonl:1: a header {\"fixture\":1,…} is missing")]
    #[case("{\"fixture\":2}", "call.jsonl:1: the format is version 2, this program reads version 1")]
    #[case("{\"fixture\":1,\"audio\":\"x.wav\"}", "cannot read x.wav: entity not found")]
    #[case(
        "{\"fixture\":1}\n\n{\"at_ms\":0,\"message\":{\"event\":\"stop\"}}",
        "call.jsonl:3: `stop` cannot come here; a call is `connected`, `start`, then the rest"
    )]
    fn a_bad_file_is_refused_with_file_and_line(#[case] text: &str, #[case] reason: &str) {
        assert_eq!(parse(text).unwrap_err().to_string(), reason);
    }

    #[rstest]
    #[case(
        r#"{"at_ms":20,"message":{"event":"media","media":{"payload":"@0+1"}}}"#,
        "call.jsonl:4: the payload is past the end of the audio file"
    )]
    #[case(
        r#"{"at_ms":20,"message":{"event":"media","media":{"payload":"@1"}}}"#,
        "call.jsonl:4: the payload is neither base64 nor \"@OFFSET+LEN\""
    )]
    #[case(
        r#"{"at_ms":20,"message":{"event":"media","media":{"payload":"*"}}}"#,
        "call.jsonl:4: the payload is neither base64 nor \"@OFFSET+LEN\""
    )]
    fn a_bad_line_is_refused_with_file_and_line(#[case] line: &str, #[case] reason: &str) {
        assert_eq!(parse(&format!("{HEAD}{line}\n")).unwrap_err().to_string(), reason);
    }

    #[test]
    fn the_built_in_call_says_every_byte_of_its_file() {
        let fixture = Fixture::built_in().unwrap();
        let wav = include_bytes!("../../../fixtures/calls/chromecast.wav");
        let mut said = Vec::new();
        for step in &fixture.steps {
            if let Act::Speak(bytes) = &step.act {
                said.extend_from_slice(bytes);
            }
        }
        assert_eq!(said, wav::read_mulaw(wav).unwrap());
        assert_eq!(fixture.duration(), span(said.len()));
        assert!(fixture.duration() < Duration::from_secs(28));
    }

    #[test]
    fn the_barge_in_call_presses_a_key_and_hangs_up() {
        let fixture = Fixture::load(Path::new("fixtures/calls/barge-in.jsonl")).unwrap();
        let keys = fixture.steps.iter().filter(|step| matches!(step.act, Act::Press(_)));
        assert_eq!(keys.map(|step| step.at.as_millis()).collect::<Vec<_>>(), [12_200]);
        assert_eq!(fixture.steps.last().map(|step| &step.act), Some(&Act::HangUp));
        assert!(fixture.duration() < Duration::from_secs(14));
    }

    #[test]
    fn a_caller_made_of_audio_ends_each_frame_at_its_time() {
        let fixture = Fixture::from_mulaw(&[1; 200]).pressing(Duration::from_millis(10), "5");
        let times: Vec<_> = fixture.steps.iter().map(|step| step.at.as_millis()).collect();
        assert_eq!(times, [10, 20, 25, 25]);
    }
}
