//! The way of one frame, piece by piece and whole: time, and what is allocated. Prints; asserts nothing about speed.
//!
//! `make bench`, or `cargo bench --bench frame -- [FILTER]`. A row is one 20 ms frame unless it says otherwise; the
//! lines below a row are allocations for each.
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

mod talk;

use std::time::{Duration, Instant};

use divan::{AllocProfiler, Bencher, black_box};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const FRAME: Duration = Duration::from_millis(20);

fn main() {
    divan::main();
}

mod audio {
    use patchcord::audio::opus::Writer;
    use patchcord::audio::playout::Playout;
    use patchcord::audio::resample::Resampler;
    use patchcord::audio::{Rate, g711};

    use super::*;

    #[divan::bench]
    fn mu_law_decode(bencher: Bencher<'_, '_>) {
        let mut bytes = Vec::new();
        g711::encode_into(&talk::speech(Rate::LINE)[..160], &mut bytes);
        let mut out = Vec::with_capacity(160);
        bencher.bench_local(|| {
            out.clear();
            g711::decode_into(black_box(&bytes), &mut out);
            black_box(&out);
        });
    }

    #[divan::bench]
    fn mu_law_encode(bencher: Bencher<'_, '_>) {
        let samples = &talk::speech(Rate::LINE)[..160];
        let mut out = Vec::with_capacity(160);
        bencher.bench_local(|| {
            out.clear();
            g711::encode_into(black_box(samples), &mut out);
            black_box(&out);
        });
    }

    #[divan::bench]
    fn resample_8_to_16_khz_fir(bencher: Bencher<'_, '_>) {
        resample(bencher, Resampler::new(Rate::LINE, Rate::MODEL_IN), Rate::LINE);
    }

    #[divan::bench]
    fn resample_8_to_16_khz_fft(bencher: Bencher<'_, '_>) {
        resample(bencher, Resampler::fft(Rate::LINE, Rate::MODEL_IN), Rate::LINE);
    }

    #[divan::bench]
    fn resample_24_to_8_khz_fir(bencher: Bencher<'_, '_>) {
        resample(bencher, Resampler::new(Rate::MODEL_OUT, Rate::LINE), Rate::MODEL_OUT);
    }

    #[divan::bench]
    fn resample_24_to_8_khz_fft(bencher: Bencher<'_, '_>) {
        resample(bencher, Resampler::fft(Rate::MODEL_OUT, Rate::LINE), Rate::MODEL_OUT);
    }

    /// A second of a call in which both sides speak, 100 ms at a time.
    #[divan::bench]
    fn record_a_second(bencher: Bencher<'_, '_>) {
        const BLOCK: usize = 800;
        let mut speech = Vec::new();
        g711::encode_into(&talk::speech(Rate::LINE), &mut speech);
        let mut blocks = speech.chunks_exact(BLOCK).cycle();
        let mut writer = Writer::new(1, &[]).unwrap();
        bencher.bench_local(|| {
            for _ in 0..Rate::LINE.0 as usize / BLOCK {
                let (caller, agent) = (blocks.next().unwrap(), blocks.next().unwrap());
                writer.push(caller, agent).unwrap();
            }
            black_box(writer.take());
        });
    }

    fn resample(bencher: Bencher<'_, '_>, mut resampler: Resampler, from: Rate) {
        let speech = talk::speech(from);
        let mut frames = speech.chunks_exact(from.frame_len()).cycle();
        let mut out = Vec::with_capacity(1000);
        bencher.with_inputs(|| frames.next().unwrap()).bench_local_values(|frame| {
            out.clear();
            resampler.push(frame, &mut out);
            black_box(&out);
        });
    }

    #[divan::bench]
    fn playout(bencher: Bencher<'_, '_>) {
        let samples = &talk::speech(Rate::LINE)[..160];
        let mut playout = Playout::new(Rate::LINE);
        let mut now = Instant::now();
        bencher.bench_local(|| {
            now += FRAME;
            playout.push(samples);
            while let Some(item) = playout.poll(now) {
                black_box(&item);
            }
            black_box(playout.poll_timeout());
        });
    }
}

mod base64 {
    use ::base64::Engine as _;
    use ::base64::engine::{GeneralPurposeConfig, Simd};

    use super::*;

    /// A carrier's frame, a frame for the model, a frame of the model, and what it sends at a time.
    const SIZES: [usize; 4] = [160, 640, 960, 9_600];

    #[divan::bench(args = SIZES)]
    fn encode(bencher: Bencher<'_, '_>, size: usize) {
        let engine = Simd::standard(GeneralPurposeConfig::new());
        let (bytes, mut out) = (vec![0x5A; size], String::with_capacity(size * 2));
        bencher.bench_local(|| {
            out.clear();
            engine.encode_string(black_box(&bytes), &mut out);
            black_box(&out);
        });
    }

    #[divan::bench(args = SIZES)]
    fn decode(bencher: Bencher<'_, '_>, size: usize) {
        let engine = Simd::standard(GeneralPurposeConfig::new());
        let (text, mut out) = (engine.encode(vec![0x5A; size]), Vec::with_capacity(size * 2));
        bencher.bench_local(|| {
            out.clear();
            engine.decode_vec(black_box(&text), &mut out).unwrap();
            black_box(&out);
        });
    }
}

mod carrier {
    use patchcord::audio::{Frame, Rate};
    use patchcord::carrier::Command;
    use patchcord::carrier::signature::{Algorithm, Content, Request, sign, verify};
    use patchcord::carrier::twilio::Codec;
    use patchcord::secret::Secret;

    use super::*;

    fn started() -> Codec {
        let mut codec = Codec::new();
        codec.decode(talk::START).unwrap();
        codec
    }

    #[divan::bench]
    fn media_decode(bencher: Bencher<'_, '_>) {
        let (mut codec, mut messages) = (started(), talk::carrier_messages());
        bencher.with_inputs(&mut messages).bench_local_refs(|text| {
            black_box(codec.decode(text.as_bytes()).unwrap());
        });
    }

    #[divan::bench]
    fn media_encode(bencher: Bencher<'_, '_>) {
        let codec = started();
        let command = Command::Media(Frame::new(Rate::LINE, &talk::speech(Rate::LINE)[..160]));
        bencher.bench_local(|| {
            let mut out = String::new();
            codec.encode(black_box(&command), &mut out);
            out
        });
    }

    /// One webhook.
    #[divan::bench]
    fn signature_check(bencher: Bencher<'_, '_>) {
        let url = "https://voice.example.com/twilio/voice";
        let pairs: Vec<_> = (0..20).map(|n| (format!("Parameter{n}"), format!("value {n}"))).collect();
        let keys = [Secret::new("12345678901234567890123456789012")];
        let signature = sign(Algorithm::HmacSha1, &keys[0], url, &pairs);
        let request =
            Request { url, content: Content::Form(&pairs), signature: Some(&signature), settings: None };
        bencher.bench_local(|| verify(black_box(&request), &keys).unwrap());
    }
}

mod model {
    use patchcord::audio::{Frame, Rate};
    use patchcord::live::{Command, wire};

    use super::*;

    /// Milliseconds of speech in a message.
    #[divan::bench(args = [20, 200])]
    fn audio_decode(bencher: Bencher<'_, '_>, ms: u64) {
        let (mut decoder, mut messages) =
            (wire::Decoder::default(), talk::model_messages(Duration::from_millis(ms)));
        bencher.with_inputs(&mut messages).bench_local_refs(|text| {
            decoder.decode(text.as_bytes(), |event| {
                black_box(&event);
            });
        });
    }

    #[divan::bench]
    fn audio_encode(bencher: Bencher<'_, '_>) {
        let command = Command::Audio(Frame::new(Rate::MODEL_IN, &talk::speech(Rate::MODEL_IN)[..320]));
        bencher.bench_local(|| {
            let mut out = String::new();
            wire::encode(black_box(&command), &mut out);
            out
        });
    }
}

/// From the message of one socket to the message of the other. A message that is sent is a new string, as sockets take
/// it: one allocation of its length belongs to each.
mod whole {
    use std::cell::RefCell;

    use super::*;
    use crate::talk::Talk;

    /// A minute: then another call begins, so that no limit of a call is met.
    const FRAMES: usize = 3_000;

    struct Endless {
        talk: Talk,
        frames: usize,
    }

    impl Endless {
        fn new() -> RefCell<Self> {
            RefCell::new(Self { talk: Talk::connected(), frames: 0 })
        }

        fn tick(&mut self) {
            self.frames += 1;
            if self.frames.is_multiple_of(FRAMES) {
                assert!(self.talk.sent.0 + self.talk.sent.1 >= FRAMES * 9 / 10, "{:?}", self.talk.sent);
                self.talk = Talk::connected();
            }
            self.talk.tick();
        }
    }

    #[divan::bench]
    fn caller_to_model(bencher: Bencher<'_, '_>) {
        let (call, mut messages) = (Endless::new(), talk::carrier_messages());
        let input = || {
            call.borrow_mut().tick();
            messages()
        };
        bencher.with_inputs(input).bench_local_refs(|text| call.borrow_mut().talk.caller(text));
    }

    #[divan::bench]
    fn model_to_caller(bencher: Bencher<'_, '_>) {
        let (call, mut messages) = (Endless::new(), talk::model_messages(FRAME));
        let input = || {
            call.borrow_mut().tick();
            messages()
        };
        bencher.with_inputs(input).bench_local_refs(|text| call.borrow_mut().talk.model(text));
    }

    #[divan::bench]
    fn both_ways(bencher: Bencher<'_, '_>) {
        let call = Endless::new();
        let (mut caller, mut model) = (talk::carrier_messages(), talk::model_messages(FRAME));
        let input = || {
            call.borrow_mut().tick();
            (caller(), model())
        };
        bencher.with_inputs(input).bench_local_refs(|(from_caller, from_model)| {
            let mut call = call.borrow_mut();
            call.talk.caller(from_caller);
            call.talk.model(from_model);
        });
    }
}

/// One record of the call log.
mod log {
    use patchcord::call::record::{Entry, Event, Ledger, Record, Turn};
    use patchcord::dialogue::Speaker;
    use patchcord::id::CallId;
    use patchcord::live::Usage;
    use patchcord::store;
    use patchcord::time::WallClock;

    use super::*;

    fn entry(record: Record) -> Entry {
        let now = Instant::now();
        Ledger::new(CallId::new(1), WallClock::new(now, ::time::OffsetDateTime::UNIX_EPOCH))
            .entry(record, now)
    }

    #[divan::bench]
    fn turn_encode(bencher: Bencher<'_, '_>) {
        let at = ::time::OffsetDateTime::UNIX_EPOCH;
        let entry = entry(Record::Turn(Turn {
            speaker: Speaker::Caller,
            text: "Good day. Have you got a room with a view for the first week of May?".to_owned(),
            started_at: at,
            ended_at: at + Duration::from_secs(4),
            interrupted: false,
            latency_ms: None,
        }));
        bencher.bench_local(|| store::encode(black_box(&entry)).unwrap());
    }

    #[divan::bench]
    fn event_encode(bencher: Bencher<'_, '_>) {
        let entry = entry(Record::Event(Event::Usage(Usage::default())));
        bencher.bench_local(|| store::encode(black_box(&entry)).unwrap());
    }
}
