//! A call in which both sides speak without end, frame by frame, as the bridge drives it: for benches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::time::OffsetDateTime;
use patchcord::audio::resample::Resampler;
use patchcord::audio::{Frame, Rate, wav};
use patchcord::call::agent::{Agent, Greeting};
use patchcord::call::context::Context;
use patchcord::call::intake::{Input, Intake};
use patchcord::call::record::{Ledger, Record};
use patchcord::call::replay::Message;
use patchcord::call::services::{Endpoint, Services};
use patchcord::call::{Admission, Output};
use patchcord::carrier::Command;
use patchcord::carrier::twilio::Codec;
use patchcord::id::{CallId, LinkId};
use patchcord::live::{self, wire};
use patchcord::time::WallClock;

pub(crate) const START: &[u8] = include_bytes!("../../fixtures/twilio/frames/start-connect.json");
const FRAME: Duration = Duration::from_millis(20);

/// Speech of a person, at any rate.
pub(crate) fn speech(rate: Rate) -> Vec<i16> {
    let file = include_bytes!("../../fixtures/audio/human-jfk-ask-not.wav");
    let file = wav::read(file).unwrap();
    if file.rate == rate {
        return file.samples;
    }
    let mut samples = Vec::new();
    Resampler::new(file.rate, rate).push(&file.samples, &mut samples);
    samples
}

/// What the carrier sends of the caller: media messages without end.
pub(crate) fn carrier_messages() -> impl FnMut() -> String {
    let frames: Vec<_> = speech(Rate::LINE).chunks_exact(160).map(|frame| frame.to_vec()).collect();
    let mut codec = Codec::new();
    codec.decode(START).unwrap();
    let mut count = 0;
    move || {
        let mut text = String::new();
        codec.encode(&Command::Media(Frame::new(Rate::LINE, &frames[count % frames.len()])), &mut text);
        count += 1;
        let head = format!(
            r#""sequenceNumber":"{}","media":{{"track":"inbound","chunk":"{count}","timestamp":"{}","#,
            count + 1,
            count * 20
        );
        text.replace(r#""media":{"#, &head)
    }
}

/// What the model sends: messages of so much speech without end.
pub(crate) fn model_messages(duration: Duration) -> impl FnMut() -> String {
    let samples = Rate::MODEL_OUT.0 as usize * duration.as_millis() as usize / 1000;
    let pieces: Vec<_> = speech(Rate::MODEL_OUT).chunks_exact(samples).map(base64_of).collect();
    let mut count = 0;
    move || {
        count += 1;
        let data = &pieces[count % pieces.len()];
        format!(
            r#"{{"serverContent":{{"modelTurn":{{"parts":[{{"inlineData":{{"mimeType":"audio/pcm;rate=24000","data":"{data}"}}}}]}}}}}}"#
        )
    }
}

fn base64_of(samples: &[i16]) -> String {
    use base64::Engine as _;
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A call that is connected with a model.
pub(crate) struct Talk {
    intake: Intake,
    link: LinkId,
    now: Instant,
    /// Messages for the carrier and for the model since it was connected.
    pub(crate) sent: (usize, usize),
}

impl Talk {
    pub(crate) fn connected() -> Self {
        let (now, wall) = (Instant::now(), OffsetDateTime::UNIX_EPOCH);
        let context =
            Context { call_sid: "CA00112233445566778899aabbccddeeff".to_owned(), ..Context::unknown(wall) };
        let mut ledger = Ledger::new(CallId::new(1), WallClock::new(now, wall));
        ledger.entry(Record::Opened(Box::new(context.clone())), now);
        let agent = Agent { greeting: Greeting::None, ..Agent::default() };
        let services = Services { endpoints: vec![Endpoint::default()], ..Services::default() };
        let admission = Admission { context, agent: Arc::new(agent), ledger };
        let intake = Intake::answer(admission, Arc::new(services), now);
        let mut talk = Self { intake, link: LinkId(0), now, sent: (0, 0) };
        talk.take(Input::Carrier(Message::new(START)));
        let link = talk.link;
        talk.take(Input::LiveOpened { link });
        talk.take(Input::Live { link, message: Message::new(br#"{"setupComplete":{}}"#) });
        assert_eq!(talk.sent, (0, 1), "the setup");
        talk.sent = (0, 0);
        talk
    }

    /// 20 ms later.
    pub(crate) fn tick(&mut self) {
        self.now += FRAME;
    }

    pub(crate) fn caller(&mut self, message: &str) {
        self.take(Input::Carrier(Message::new(message.as_bytes())));
    }

    pub(crate) fn model(&mut self, message: &str) {
        self.take(Input::Live { link: self.link, message: Message::new(message.as_bytes()) });
    }

    /// What the bridge does with an input, up to the sockets.
    fn take(&mut self, input: Input<'_>) {
        self.intake.handle(input, self.now);
        while let Some(output) = self.intake.poll_output() {
            self.execute(&output);
        }
        assert_eq!(self.intake.call().ending(), None);
        if self.intake.call().poll_timeout().is_some_and(|(at, _)| at <= self.now) {
            self.intake.handle(Input::Timeout { timer: None }, self.now);
            while let Some(output) = self.intake.poll_output() {
                self.execute(&output);
            }
        }
    }

    fn execute(&mut self, output: &Output) {
        let mut out = String::new();
        match output {
            Output::Carrier(command) => {
                self.intake.encode(command, &mut out);
                self.sent.0 += 1;
            }
            Output::Live(_, live::Command::Close | live::Command::Abort) => panic!("{output:?}"),
            Output::Live(_, command) => {
                wire::encode(command, &mut out);
                self.sent.1 += 1;
            }
            Output::Dial { link, .. } => self.link = *link,
            Output::Start(..)
            | Output::Cancel(_)
            | Output::FollowUp(_)
            | Output::Tape(_)
            | Output::Record(_) => {}
        }
        std::hint::black_box(&out);
    }
}
