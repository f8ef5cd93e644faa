//! What services send in place of what they were asked for.

use rstest::rstest;

use super::*;
use crate::audio::wav::Wav;

fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

fn decode(media_type: &str, bytes: &[u8], piece: usize) -> Result<Vec<i16>, Failure> {
    let mut decoder = Decoder::new(Declared::of(media_type));
    let mut all = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        all.extend(decoder.push(piece)?);
    }
    all.extend(decoder.finish()?);
    Ok(all)
}

/// A tone of 440 Hz, a second.
fn tone(rate: u32) -> Vec<i16> {
    let sample = |n: u32| (f64::from(n) * 440.0 * std::f64::consts::TAU / f64::from(rate)).sin() * 9000.0;
    (0..rate).map(|n| sample(n) as i16).collect()
}

fn wav(rate: u32, channels: u16, samples: Vec<i16>) -> Vec<u8> {
    wav::write(&Wav { rate: Rate(rate), channels, samples })
}

/// Periods of a tone, by its loud samples: what rings at its ends is quiet.
fn periods(samples: &[i16]) -> usize {
    let loud: Vec<_> = samples.iter().filter(|sample| sample.unsigned_abs() > 1000).collect();
    loud.windows(2).filter(|pair| *pair[0] < 0 && *pair[1] > 0).count()
}

#[rstest]
fn a_second_is_a_second_at_its_pitch_whatever_the_rate_and_the_pieces(
    #[values(8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 22_051, 37_800)] rate: u32,
    #[values(7, 333, 100_000)] piece: usize,
) {
    let both = tone(rate).iter().flat_map(|&sample| [sample, sample]).collect();
    for file in [wav(rate, 1, tone(rate)), wav(rate, 2, both)] {
        let samples = decode("audio/pcm", &file, piece).unwrap();
        assert!((23_900..25_300).contains(&samples.len()), "{}", samples.len());
        assert!((437..=442).contains(&periods(&samples)), "{}", periods(&samples));
    }
    let raw = decode(&format!("audio/L16;rate={rate}"), &bytes(&tone(rate)), piece).unwrap();
    assert!((437..=442).contains(&periods(&raw)));
}

#[rstest]
#[case::pcm_said_to_be_wav("audio/wav")]
#[case::nothing_said("")]
#[case::said_to_be_a_page("text/html; charset=utf-8")]
#[case::said_to_be_json("application/json")]
fn raw_samples_are_played_whatever_they_are_called(#[case] media_type: &str) {
    let samples = [100, -200, 300, -400, 500, -600, 700, -800];
    for piece in [1, 3, 100] {
        assert_eq!(decode(media_type, &bytes(&samples), piece).unwrap(), samples);
        let odd = [bytes(&samples), vec![7]].concat();
        assert_eq!(decode(media_type, &odd, piece).unwrap(), samples, "half a sample is nothing");
    }
}

#[rstest]
#[case::json("audio/pcm", b"{\"error\": {\"message\": \"voice not found\"}}", "reported", "voice not found")]
#[case::json_in_a_list(
    "",
    b"[{\"error\": {\"message\": \"voice not found\"}}]",
    "reported",
    "voice not found"
)]
#[case::json_without_an_error(
    "application/json",
    b"{\"audio\": null, \"ok\": true}",
    "unreadable",
    "text in place"
)]
#[case::a_wait("audio/pcm", b"{\"error\": {\"message\": \"busy\", \"retry_after\": 2}}", "limited", "busy")]
#[case::words("text/plain", b"voice not found\n", "unreadable", "voice not found")]
#[case::a_page("text/html", b"<html><title>Sign in</title></html>", "unreadable", "Sign in")]
#[case::events("text/event-stream", b"data: {\"x\": 1}\n\n", "unreadable", "text in place")]
#[case::id3("", b"ID3\x04\0\0\0\0\0\0\xff\xfb\x90\x64\0\0\0\0", "unreadable", "MP3")]
#[case::mp3_said_to_be_pcm("audio/pcm", b"\xff\xfb\x90\x64\0\0\0\0\0\0\0\0\0\0\0\0", "unreadable", "MP3")]
#[case::mp3_that_is_said(
    "audio/mpeg",
    b"\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
    "unreadable",
    "audio/mpeg"
)]
#[case::ogg("audio/pcm", b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0", "unreadable", "Ogg")]
#[case::flac("audio/wav", b"fLaC\0\0\0\x22\x10\0\x10\0\0\0\0\0", "unreadable", "FLAC")]
#[case::adpcm(
    "audio/wav",
    b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x11\0\x01\0\x40\x1f\0\0\0\0\0\0\0\x01\x04\0data\0\0\0\0",
    "unreadable",
    "format 17"
)]
#[case::nothing("audio/pcm", b"", "empty", "empty")]
#[case::half_a_sample("audio/pcm", b"\x01", "empty", "empty")]
#[case::silence("audio/pcm", &[0; 4000], "silent", "silence")]
#[case::nearly_silence("audio/pcm", &[0xFF; 4000], "silent", "silence")]
#[case::a_file_without_samples(
    "",
    b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\0\0\0",
    "empty",
    "empty"
)]
fn what_cannot_be_heard_is_a_failure_with_its_reason(
    #[case] media_type: &str,
    #[case] bytes: &[u8],
    #[case] code: &str,
    #[case] words: &str,
) {
    for piece in [1, 7, 10_000] {
        let failure = decode(media_type, bytes, piece).unwrap_err();
        assert_eq!(failure.code(), code, "{failure}");
        assert!(failure.to_string().contains(words), "{failure}");
    }
}

#[test]
fn silence_before_a_sound_is_kept_and_without_end_is_given_up() {
    let mut decoder = Decoder::new(Declared::of("audio/pcm"));
    assert!(decoder.push(&[0; 4800]).unwrap().is_empty());
    let samples = decoder.push(&bytes(&[1000])).unwrap();
    assert_eq!((samples.len(), samples[2400]), (2401, 1000));
    assert_eq!(decoder.push(&[0; 4800]).unwrap().len(), 2400, "a pause");
    assert!(decoder.finish().unwrap().is_empty());
    let mut decoder = Decoder::new(Declared::of("audio/pcm"));
    assert_eq!((0..8).map(|_| decoder.push(&[0; 24_000])).find(Result::is_err), Some(Err(Failure::Silent)));
}

fn swapped(bytes: &[u8]) -> Vec<u8> {
    bytes.as_chunks::<2>().0.iter().flat_map(|&[one, other]| [other, one]).collect()
}

#[rstest]
#[case::l16("audio/L16;rate=24000")]
#[case::as_gemini_says("audio/L16;codec=pcm;rate=24000")]
#[case::in_capitals("AUDIO/L16; RATE=24000; CHANNELS=1")]
fn l16_without_an_order_is_played_in_the_order_that_is_smooth(#[case] media_type: &str) {
    let silence = [0; 4000];
    let samples = [&silence[..], &tone(24_000)].concat();
    for piece in [1, 333, 100_000] {
        assert_eq!(decode(media_type, &bytes(&samples), piece).unwrap(), samples);
        assert_eq!(decode(media_type, &swapped(&bytes(&samples)), piece).unwrap(), samples);
    }
    let short = &tone(24_000)[..600];
    assert_eq!(decode(media_type, &swapped(&bytes(short)), 100).unwrap(), short, "less than a look");
    assert_eq!(decode(media_type, &[0; 600_000], 4000), Err(Failure::Silent));
    assert_eq!(decode(media_type, &[0; 4000], 4000), Err(Failure::Silent));
}

#[test]
fn an_order_that_is_said_is_believed() {
    let samples = tone(24_000);
    let big = swapped(&bytes(&samples));
    assert_eq!(decode("audio/L16;rate=24000;endianness=big-endian", &big, 333).unwrap(), samples);
    assert_eq!(decode("audio/pcm;rate=24000;endian=big", &big, 333).unwrap(), samples);
    assert_ne!(decode("audio/L16;rate=24000;endian=little", &big, 333).unwrap(), samples);
    assert_ne!(
        decode("audio/pcm;rate=24000", &big, 333).unwrap(),
        samples,
        "servers mean the low byte first"
    );
    let law: Vec<u8> = (0..400).map(|n| (n % 251) as u8).collect();
    let played = decode("audio/basic;endian=big", &law, 33).unwrap();
    assert_eq!(played, decode("audio/basic", &law, 33).unwrap(), "of bytes there is no order");
}

#[test]
fn mu_law_without_a_head_is_played() {
    assert!((1200..1500).contains(&decode("audio/basic", &[0; 400], 33).unwrap().len()));
}

/// The longest sentence at the slowest speed and the largest format is carried: two minutes of float at 48 kHz.
#[test]
fn the_longest_answer_is_carried_whole() {
    let mut decoder = Decoder::new(Declared::of("audio/pcm;rate=48000"));
    let second = bytes(&tone(48_000));
    let mut len = 0;
    for _ in 0..120 {
        len += decoder.push(&second).unwrap().len();
    }
    len += decoder.finish().unwrap().len();
    assert!((120 * 24_000..120 * 24_000 + 500).contains(&len), "{len}");
}
