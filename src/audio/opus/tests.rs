//! What is written is read again: each channel by itself, sample for sample in time, also from a piece of a file.

use rstest::rstest;

use super::*;

const SPEECH: &[u8] = include_bytes!("../../../fixtures/audio/human-whats-the-weather-like.wav");

/// Speech, and silence as long as it.
fn voice() -> (Vec<u8>, Vec<u8>) {
    let voice = crate::audio::wav::read_mulaw(SPEECH).unwrap().to_vec();
    let silence = vec![g711::MULAW_SILENCE; voice.len()];
    (voice, silence)
}

fn record(caller: &[u8], agent: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(7, &["EXPIRES=2026-12-21".to_owned()]).unwrap();
    let mut file = Vec::new();
    for (caller, agent) in caller.chunks(800).zip(agent.chunks(800)) {
        writer.push(caller, agent).unwrap();
        file.extend(writer.take());
    }
    file.extend(writer.finish().unwrap());
    file
}

fn channel(wav: &Wav, index: usize) -> Vec<i16> {
    wav.samples.iter().skip(index).step_by(2).copied().collect()
}

fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>()
}

/// How alike two sounds are, from -1 to 1, the second one `shift` samples later.
fn alike(first: &[i16], second: &[i16], shift: usize) -> f64 {
    let pairs = || first.iter().zip(&second[shift..]).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let product: f64 = pairs().map(|(a, b)| a * b).sum();
    let (first, second): (f64, f64) = (pairs().map(|(a, _)| a * a).sum(), pairs().map(|(_, b)| b * b).sum());
    product / (first * second).sqrt()
}

#[rstest]
#[case::the_caller(false)]
#[case::the_agent(true)]
fn a_channel_is_read_as_it_was_and_the_other_one_is_silent(#[case] is_agent: bool) {
    let (voice, silence) = voice();
    let file = if is_agent { record(&silence, &voice) } else { record(&voice, &silence) };
    let wav = read(&file).unwrap();
    assert_eq!((wav.rate, wav.channels, wav.samples.len()), (Rate::LINE, 2, voice.len() * 2));
    let mut sound = Vec::new();
    g711::decode_into(&voice, &mut sound);
    let (heard, other) = (channel(&wav, usize::from(is_agent)), channel(&wav, usize::from(!is_agent)));
    let best = (0..160).max_by(|a, b| {
        let pad = |shift: &usize| alike(&sound[80..], &heard, *shift);
        pad(a).total_cmp(&pad(b))
    });
    assert!(best.unwrap().abs_diff(80) <= 8, "within a millisecond of its place: {best:?}");
    assert!(alike(&sound[80..], &heard, 80) > 0.7, "{}", alike(&sound[80..], &heard, 80));
    assert!(energy(&other) < energy(&heard) / 1e6, "{} of {}", energy(&other), energy(&heard));
}

/// Silence is not encoded again and again: speech after it is as good as before it.
#[test]
fn speech_after_a_long_silence_is_whole() {
    let (voice, silence) = voice();
    let wait: Vec<u8> = silence.iter().copied().cycle().take(80_000).collect();
    let caller = [wait.clone(), voice.clone()].concat();
    let wav = read(&record(&caller, &vec![g711::MULAW_SILENCE; caller.len()])).unwrap();
    let (mut sound, heard) = (Vec::new(), channel(&wav, 0));
    g711::decode_into(&voice, &mut sound);
    assert!(alike(&sound, &heard, wait.len()) > 0.7, "{}", alike(&sound, &heard, wait.len()));
    assert!(heard[..wait.len() - 200].iter().all(|sample| sample.abs() < 8));
}

#[rstest]
#[case::nothing(0)]
#[case::a_sample(1)]
#[case::less_than_a_frame(100)]
#[case::frames(1600)]
#[case::not_quite_frames(16_001)]
fn the_length_is_exact(#[case] len: usize) {
    let silence = vec![g711::MULAW_SILENCE; len];
    assert_eq!(read(&record(&silence, &silence)).unwrap().samples.len(), len * 2);
}

#[test]
fn a_file_that_was_cut_off_is_whole_up_to_its_last_page() {
    let (voice, silence) = voice();
    let caller: Vec<u8> = voice.iter().copied().cycle().take(8000 * 5).collect();
    let agent: Vec<u8> = silence.iter().copied().cycle().take(8000 * 5).collect();
    let file = record(&caller, &agent);
    let whole = read(&file).unwrap().samples;
    let mut lengths = Vec::new();
    for len in (0..file.len()).step_by(97) {
        match read(&file[..len]) {
            Ok(wav) => {
                // At most the samples in the encoder's look-ahead come later than in the whole.
                assert_eq!(wav.samples, whole[..wav.samples.len()], "{len} of {} bytes", file.len());
                lengths.push(wav.samples.len());
            }
            Err(error) => assert!(matches!(error, Error::Foreign(_)) && len < 200, "{len}: {error}"),
        }
    }
    lengths.dedup();
    assert_eq!(lengths, [0, 15_896, 31_896, 47_896, 63_896], "a page a second");
}

#[test]
fn comments_are_read_from_the_begin_of_a_file() {
    let file = record(&[], &[]);
    assert_eq!(comments(&file[..200.min(file.len())]).unwrap(), ["EXPIRES=2026-12-21"]);
    assert!(comments(b"OggS").is_err() && read(b"").is_err());
}

#[rstest]
#[case(0)]
#[case(1)]
#[case(251)]
#[case(252)]
#[case(255)]
#[case(256)]
#[case(1275)]
fn a_packet_with_its_length_in_it_is_the_packet_again(#[case] len: usize) {
    let mut packet = vec![0b0000_1000];
    packet.extend((0..len).map(|n| n as u8));
    let mut both = self_delimited(&packet).unwrap();
    both.extend([8, 1, 2]);
    assert_eq!(split(&both).unwrap(), (packet, &[8, 1, 2][..]));
}
