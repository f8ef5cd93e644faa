//! Speaking without a voice: every word is a burst of tones, as long as it has letters.

use std::f32::consts::TAU;
use std::time::Duration;

/// What a character takes at the normal speed; spaces and punctuation are silence.
pub const MS_PER_CHARACTER: u64 = 60;

/// From one level to the next, so that words begin and end without clicks.
const FADE_MS: u32 = 10;

/// Of full scale: as loud as a person on the phone.
const LEVEL: f32 = 9000.0;

/// How long a text takes at a speed.
pub fn speaking_time(text: &str, speed: f64) -> Duration {
    let characters = text.trim().chars().count() as u64;
    Duration::from_millis(characters * MS_PER_CHARACTER).div_f64(speed.max(0.1))
}

/// Mono PCM of a text. The voice's name decides its pitch.
pub(super) fn speak(text: &str, voice: &str, rate: u32, speed: f64) -> Vec<i16> {
    let text = text.trim();
    let count = text.chars().count().max(1);
    let total = (speaking_time(text, speed).as_secs_f64() * f64::from(rate)).round() as usize;
    let fade = (rate * FADE_MS / 1000) as f32;
    let pitch = 100.0 + (voice.bytes().map(u32::from).sum::<u32>() % 100) as f32;
    let mut samples = Vec::with_capacity(total);
    let mut level = 0.0_f32;
    for (index, letter) in text.chars().enumerate() {
        let target = if letter.is_alphanumeric() { 1.0 } else { 0.0 };
        let formants = formants(letter);
        let end = total * (index + 1) / count;
        for at in samples.len()..end {
            level =
                if target > level { (level + 1.0 / fade).min(1.0) } else { (level - 1.0 / fade).max(0.0) };
            let seconds = at as f32 / rate as f32;
            samples.push((LEVEL * level * wave(seconds, pitch, formants)) as i16);
        }
    }
    samples
}

/// A pitch and two formants in hertz, by letter: vowels near those of English, the rest spread between them.
fn formants(letter: char) -> [f32; 2] {
    match letter.to_ascii_lowercase() {
        'a' => [750.0, 1200.0],
        'e' => [550.0, 1800.0],
        'i' => [320.0, 2300.0],
        'o' => [500.0, 900.0],
        'u' => [340.0, 800.0],
        other => [300.0 + (other as u32 % 7) as f32 * 60.0, 1400.0 + (other as u32 % 11) as f32 * 120.0],
    }
}

fn wave(seconds: f32, pitch: f32, [first, second]: [f32; 2]) -> f32 {
    let tone = |hertz: f32| (TAU * hertz * seconds).sin();
    0.5 * tone(pitch) + 0.3 * tone(first) + 0.2 * tone(second)
}

/// Little-endian bytes, as in PCM files and replies.
pub(super) fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// What follows a WAV header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Linear16,
    Mulaw,
}

/// The canonical header of a mono WAV file (RIFF; `WAVE_FORMAT_PCM` is 1, `WAVE_FORMAT_MULAW` 7).
pub(super) fn wav_header(encoding: Encoding, rate: u32, data_len: u32) -> [u8; 44] {
    let (format, width): (u16, u16) = match encoding {
        Encoding::Linear16 => (1, 2),
        Encoding::Mulaw => (7, 1),
    };
    let mut header = [0; 44];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RIFF");
    put(4, &(data_len.saturating_add(36)).to_le_bytes());
    put(8, b"WAVEfmt ");
    put(16, &16_u32.to_le_bytes());
    put(20, &format.to_le_bytes());
    put(22, &1_u16.to_le_bytes());
    put(24, &rate.to_le_bytes());
    put(28, &(rate * u32::from(width)).to_le_bytes());
    put(32, &width.to_le_bytes());
    put(34, &(width * 8).to_le_bytes());
    put(36, b"data");
    put(40, &data_len.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", 24_000, 1.0, 0)]
    #[case("Hello", 24_000, 1.0, 7200)]
    #[case("Hello", 8_000, 2.0, 1200)]
    fn the_length_follows_the_text(
        #[case] text: &str,
        #[case] rate: u32,
        #[case] speed: f64,
        #[case] len: usize,
    ) {
        assert_eq!(speak(text, "alloy", rate, speed).len(), len);
    }

    #[test]
    fn words_are_heard_and_the_space_between_them_is_silent() {
        let samples = speak("aaa  bbb", "alloy", 8000, 1.0);
        let loudest =
            |range: std::ops::Range<usize>| samples[range].iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!(loudest(0..1440) > 5000);
        assert_eq!(loudest(1440 + 100..2400), 0);
        assert!(loudest(2400..3840) > 5000);
    }
}
