//! Sound in whichever form it comes.

use rstest::rstest;

use super::*;
use crate::audio::{g711, wav};

/// The samples that a model's turn has, in messages of these bytes.
fn heard(mime_type: &str, messages: &[Vec<u8>]) -> Vec<i16> {
    let mut decoder = Decoder::default();
    let mut samples = Vec::new();
    let mut take = |event: Event<'_>| match event {
        Event::Audio(audio) => samples.extend_from_slice(audio),
        Event::TurnComplete => {}
        other => panic!("{other:?}"),
    };
    for bytes in messages {
        let part = serde_json::json!({"inlineData": {"mimeType": mime_type, "data": base64::encode(bytes)}});
        let message = serde_json::json!({"serverContent": {"modelTurn": {"parts": [part]}}}).to_string();
        decoder.decode(message.as_bytes(), &mut take);
    }
    decoder.decode(br#"{"serverContent":{"turnComplete":true}}"#, &mut take);
    samples
}

fn tone(len: usize, rate: u32) -> Vec<i16> {
    (0..len)
        .map(|n| (8000.0 * (n as f64 * 600.0 * std::f64::consts::TAU / f64::from(rate)).sin()) as i16)
        .collect()
}

fn le(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Crossings of zero in 23,000 samples without the ends: 1,150 are a tone of 600 Hz.
fn crossings(samples: &[i16]) -> usize {
    samples[500..23_500].windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count()
}

#[rstest]
#[case("audio/pcm; rate=24000", 24_000)]
#[case("audio/PCM;RATE=\"24000\";channels=1", 24_000)]
#[case("audio/L16;codec=pcm;rate=24000", 24_000)]
#[case("audio/l16", 24_000)]
#[case("", 24_000)]
#[case("audio/pcm;rate=8000", 8_000)]
#[case("audio/pcm;rate=16000", 16_000)]
#[case("audio/x-pcm;x=y;rate=32000", 32_000)]
#[case("audio/pcm;rate=48000", 48_000)]
#[case("audio/pcm;rate=22050", 22_050)]
#[case("audio/pcm;rate=44100", 44_100)]
fn a_second_of_any_rate_is_a_second_of_the_same_tone(#[case] mime_type: &str, #[case] rate: u32) {
    let bytes = le(&tone(rate as usize, rate));
    let messages: Vec<_> = bytes.chunks(4801).map(<[u8]>::to_vec).collect();
    let samples = heard(mime_type, &messages);
    assert!((23_800..=24_500).contains(&samples.len()), "{}", samples.len());
    assert!((1145..=1155).contains(&crossings(&samples)), "{}", crossings(&samples));
}

#[test]
fn the_channels_of_stereo_are_mixed_also_across_messages() {
    let mono = tone(2400, 24_000);
    let stereo: Vec<_> = mono.iter().flat_map(|&sample| [sample, sample]).collect();
    let messages: Vec<_> = le(&stereo).chunks(1001).map(<[u8]>::to_vec).collect();
    assert_eq!(heard("audio/pcm;rate=24000;channels=2", &messages), mono);
}

#[test]
fn what_is_called_big_endian_is() {
    let samples = tone(240, 24_000);
    let bytes: Vec<_> = samples.iter().flat_map(|sample| sample.to_be_bytes()).collect();
    assert_eq!(heard("audio/L16;rate=24000;endianness=big-endian", &[bytes]), samples);
}

#[test]
fn a_wav_file_is_read_whatever_it_is_called() {
    let samples = tone(2400, 24_000);
    let file = wav::write(&wav::Wav { rate: Rate::MODEL_OUT, channels: 1, samples: samples.clone() });
    assert_eq!(heard("audio/wav", std::slice::from_ref(&file)), samples);
    assert_eq!(heard("audio/pcm;rate=24000", &[file]), samples);
}

#[test]
fn mu_law_is_of_the_line() {
    let mut bytes = Vec::new();
    g711::encode_into(&tone(8000, 8000), &mut bytes);
    let samples = heard("audio/x-mulaw", &[bytes]);
    assert!((24_000..=24_240).contains(&samples.len()), "{}", samples.len());
    assert!((1145..=1155).contains(&crossings(&samples)));
}

#[rstest]
#[case("audio/mpeg")]
#[case("image/jpeg")]
#[case("audio/pcm;rate=4000")]
#[case("audio/pcm;channels=99")]
#[case("audio/PCMA")]
fn what_cannot_be_converted_says_so(#[case] mime_type: &str) {
    let part = serde_json::json!({"inlineData": {"mimeType": mime_type, "data": "AAABAAIA"}});
    let message = serde_json::json!({"serverContent": {"modelTurn": {"parts": [part]}}}).to_string();
    assert_eq!(events(&message), ["Malformed(MimeType)"]);
}

#[test]
fn half_a_sample_at_the_end_of_a_turn_does_not_shift_the_next_one() {
    let mut decoder = Decoder::default();
    let mut samples = Vec::new();
    for message in [
        r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"data":"AQAC"}}]},"turnComplete":true}}"#,
        r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"data":"AwAE"}}]}}}"#,
        r#"{"serverContent":{"interrupted":true,"modelTurn":{"parts":[{"inlineData":{"data":"BQA="}}]}}}"#,
    ] {
        decoder.decode(message.as_bytes(), |event| {
            if let Event::Audio(audio) = event {
                samples.extend_from_slice(audio);
            }
        });
    }
    assert_eq!(samples, [1, 3, 5]);
}

/// The longest message that a connection takes.
#[test]
fn a_message_of_four_mebibytes_is_heard_whole() {
    let samples = tone(1_500_000, 24_000);
    assert_eq!(heard("audio/pcm;rate=24000", &[le(&samples)]), samples);
}
