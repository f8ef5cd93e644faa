//! The largest of what is let in is carried: no stage drops what an earlier one accepted.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use patchcord::audio::{Rate, g711};
use patchcord::base64;
use patchcord::bridge::Bridge;
use patchcord::call::agent::{Agent, Greeting};
use patchcord::call::context::Context;
use patchcord::call::intake::{Input, Intake};
use patchcord::call::record::{Ledger, Record};
use patchcord::call::replay::Message;
use patchcord::call::services::{Endpoint, Services};
use patchcord::call::{Admission, Output};
use patchcord::carrier::Command;
use patchcord::id::{CallId, LinkId};
use patchcord::net::Limits;
use patchcord::provider::Providers;
use patchcord::sim::gemini::{Behaviour, Hearing, Observation, Scenario};
use patchcord::store::Store;
use patchcord::time::WallClock;
use time::OffsetDateTime;

use world::phone::Phone;
use world::{Front, agent, endpoint, model, offer, quick};

/// A payload may last a second. Two that a network held back and delivers together are more than any queue of a stage
/// for frames of 20 ms, and the model hears every sample of them.
#[tokio::test(flavor = "multi_thread")]
async fn every_sample_of_the_longest_payloads_reaches_the_model() {
    const PAYLOAD: usize = 8_000;
    let behaviour = Behaviour { hearing: Hearing::Chunks, ..quick() };
    let model = model(behaviour, Scenario::default()).await;
    let mut seen = model.observations();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("calls.db")).await.unwrap();
    let offer = offer(&[endpoint(&model)], Providers::default());
    let front = Front::serve(agent(), Bridge::new(store.handle(), offer)).await;
    let mut phone = Phone::call(&front, "largest").await;
    while seen.recv().await.unwrap().observation != Observation::SetupComplete {}

    let loud: Vec<u8> = (0..PAYLOAD).map(|n| g711::encode(if n % 16 < 8 { 6000 } else { -6000 })).collect();
    phone.send_media(&loud).await;
    phone.send_media(&loud).await;
    // A carrier sends silence too; what came before the bridge knew of the session leaves with it.
    for _ in 0..100 {
        phone.send_media(&[g711::MULAW_SILENCE; 160]).await;
    }
    let mut heard = 0;
    loop {
        let Observation::AudioChunk { samples, .. } = seen.recv().await.unwrap().observation else {
            continue;
        };
        let is_loud =
            samples.iter().filter(|sample| sample.unsigned_abs() > 3000).count() * 2 > samples.len();
        if is_loud {
            heard += samples.len();
        } else if heard > 0 {
            break;
        }
    }
    // The model hears 16 kHz, in frames of 320 samples.
    assert!(heard.abs_diff(2 * PAYLOAD * 2) <= 320, "{heard} of {} samples were heard", 2 * PAYLOAD * 2);
    phone.hang_up().await;
    front.stop().await;
    store.close().await.unwrap();
    model.shutdown().await;
}

/// A message of the model may have 4 MiB: more than a minute of sound. The caller hears all of it.
#[test]
fn every_sample_of_the_models_longest_message_reaches_the_caller() {
    let room = Limits::LIVE.message_max - 200;
    let samples = room / 4 * 3 / 2;
    let sound: Vec<u8> = (0..samples).flat_map(|_| 6_000_i16.to_le_bytes()).collect();
    let data = base64::encode(&sound);
    let message = format!(
        r#"{{"serverContent":{{"modelTurn":{{"parts":[{{"inlineData":{{"mimeType":"audio/pcm;rate=24000","data":"{data}"}}}}]}}}}}}"#
    );
    assert!(message.len() <= Limits::LIVE.message_max && message.len() + 400 > Limits::LIVE.message_max);

    let mut caller = Caller::set_up();
    caller.take(Input::Live { link: LinkId(1), message: Message::new(message.as_bytes()) });
    let seconds = samples as u64 / u64::from(Rate::MODEL_OUT.0);
    caller.listen(Duration::from_secs(seconds + 5));
    let expected = samples / 3;
    assert!(caller.heard.abs_diff(expected) < 200, "{} of {expected} samples were heard", caller.heard);
}

/// A call on a virtual clock whose caller only listens.
struct Caller {
    call: Intake,
    now: Instant,
    heard: usize,
}

impl Caller {
    fn set_up() -> Self {
        let now = Instant::now();
        let context = Context::unknown(OffsetDateTime::UNIX_EPOCH);
        let mut ledger = Ledger::new(CallId::new(1), WallClock::new(now, OffsetDateTime::UNIX_EPOCH));
        ledger.entry(Record::Opened(Box::new(context.clone())), now);
        let agent = Arc::new(Agent { greeting: Greeting::None, ..Agent::default() });
        let services = Services { endpoints: vec![Endpoint::default()], ..Services::default() };
        let call = Intake::answer(Admission { context, agent, ledger }, Arc::new(services), now);
        let mut caller = Self { call, now, heard: 0 };
        caller.take(Input::Carrier(Message::new(br#"{"event":"start","start":{"streamSid":"MZ1"}}"#)));
        caller.take(Input::LiveOpened { link: LinkId(1) });
        caller.take(Input::Live { link: LinkId(1), message: Message::new(br#"{"setupComplete":{}}"#) });
        caller
    }

    fn take(&mut self, input: Input<'_>) {
        self.call.handle(input, self.now);
        while let Some(output) = self.call.poll_output() {
            if let Output::Carrier(Command::Media(frame)) = output {
                self.heard += frame.samples().iter().filter(|sample| **sample > 5000).count();
            }
        }
    }

    /// The carrier sends silence, as it does all the time, and plays what it is sent.
    fn listen(&mut self, time: Duration) {
        let until = self.now + time;
        let silence = base64::encode(&[g711::MULAW_SILENCE; 160]);
        let media = format!(r#"{{"event":"media","media":{{"payload":"{silence}"}}}}"#);
        while self.now < until {
            let next = self.now + Duration::from_millis(20);
            while let Some((at, timer)) = self.call.call().poll_timeout().filter(|(at, _)| *at <= next) {
                self.now = self.now.max(at);
                self.take(Input::Timeout { timer: Some(timer) });
            }
            self.now = next;
            self.take(Input::Carrier(Message::new(media.as_bytes())));
        }
    }
}
