//! What bytes are, told by the first of them.

/// So many tell all but the sounds that have no name of their own.
const ENOUGH: usize = 16;

/// A text is read so far for what it says.
const TEXT_MAX: usize = 4096;

/// Two frames of MPEG audio are in this.
const FRAMES_MAX: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Wav,
    /// Anything without a name: samples.
    Raw,
    /// A container or a code that is not played.
    Foreign(&'static str),
    /// JSON, a page, words.
    Text,
}

/// `None`: more bytes will tell.
pub(super) fn of(begin: &[u8], is_over: bool) -> Option<Kind> {
    if begin.len() < ENOUGH && !is_over {
        return None;
    }
    if is_text(begin) {
        return (is_over || begin.len() >= TEXT_MAX).then_some(Kind::Text);
    }
    let names: [(&[u8], &str); 10] = [
        (b"RIFX", "big-endian WAV"),
        (b"ID3", "MP3"),
        (b"OggS", "Ogg"),
        (b"fLaC", "FLAC"),
        (b"\x1A\x45\xDF\xA3", "WebM"),
        (b"FORM", "AIFF"),
        (b".snd", "AU"),
        (b"#!AMR", "AMR"),
        (b"caff", "CAF"),
        (b"\x1F\x8B", "gzip"),
    ];
    if crate::audio::wav::Head::is_begun_by(begin) && !begin.starts_with(b"RIFX") {
        return Some(Kind::Wav);
    }
    if let Some((_, name)) = names.iter().find(|(magic, _)| begin.starts_with(magic)) {
        return Some(Kind::Foreign(name));
    }
    if begin.get(4..8) == Some(b"ftyp") {
        return Some(Kind::Foreign("MP4"));
    }
    match frame(begin) {
        None => Some(Kind::Raw),
        Some(frame) => match begin.get(frame.len..frame.len + 2) {
            Some(next) if next[0] == 0xFF && next[1] & 0xF6 == begin[1] & 0xF6 => {
                Some(Kind::Foreign(frame.name))
            }
            // Samples that happen to look like a frame do not jump as its bytes do.
            _ if jumps(begin) => Some(Kind::Foreign(frame.name)),
            Some(_) => Some(Kind::Raw),
            None if is_over || begin.len() >= FRAMES_MAX => Some(Kind::Raw),
            None => None,
        },
    }
}

/// Whether these are words: UTF-8 without control characters. A sample of silence is one.
fn is_text(begin: &[u8]) -> bool {
    let begin = &begin[..begin.len().min(TEXT_MAX)];
    let text = match std::str::from_utf8(begin) {
        Ok(text) => text,
        // Cut in the middle of a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&begin[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
}

struct Frame {
    name: &'static str,
    len: usize,
}

/// The frame of MPEG audio (ISO 11172-3, 2.4.1.3) or AAC (ISO 14496-3, ADTS) at the beginning.
fn frame(begin: &[u8]) -> Option<Frame> {
    const BITRATES: [[usize; 15]; 2] = [
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let &[0xFF, second, third, fourth, fifth, sixth, ..] = begin else { return None };
    if second & 0xF6 == 0xF0 {
        let len = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth) >> 5;
        return (third >> 2 & 15 < 13 && len > 7).then_some(Frame { name: "AAC", len });
    }
    // Layer III of version 1, 2 or 2.5.
    let version = second >> 3 & 3;
    if second & 0xE6 != 0xE2 || version == 1 {
        return None;
    }
    let is_first = version == 3;
    let bitrate = *BITRATES[usize::from(!is_first)].get(usize::from(third >> 4))?;
    let rate = [44_100, 48_000, 32_000].get(usize::from(third >> 2 & 3)).map(|rate| match version {
        3 => *rate,
        2 => rate / 2,
        _ => rate / 4,
    })?;
    let padding = usize::from(third >> 1 & 1);
    let len = if is_first { 144 } else { 72 } * bitrate * 1000 / rate + padding;
    (bitrate > 0).then_some(Frame { name: "MP3", len })
}

/// Whether the first two samples, if they were any, are far apart.
fn jumps(begin: &[u8]) -> bool {
    const FAR: i32 = 8000;
    let sample =
        |at: usize| begin.get(at..at + 2).map_or(0, |pair| i32::from(i16::from_le_bytes([pair[0], pair[1]])));
    (sample(0) - sample(2)).abs() > FAR
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn mp3(second: u8, third: u8) -> Vec<u8> {
        let mut bytes = vec![0xFF, second, third, 0];
        bytes.resize(frame(&[&bytes[..], &[0; 8]].concat()).unwrap().len, 0x55);
        [bytes, vec![0xFF, second, third, 0]].concat()
    }

    #[rstest]
    #[case::wav(b"RIFF\0\0\0\0WAVEfmt ".to_vec(), Kind::Wav)]
    #[case::long_wav(b"RF64\xff\xff\xff\xffWAVEds64".to_vec(), Kind::Wav)]
    #[case::id3(b"ID3\x04\0\0\0\0\0\0\xff\xfb\x90\x64\0\0".to_vec(), Kind::Foreign("MP3"))]
    #[case::mp3(mp3(0xFB, 0x90), Kind::Foreign("MP3"))]
    #[case::mp3_at_half_the_rate(mp3(0xF3, 0x80), Kind::Foreign("MP3"))]
    #[case::mp3_one_frame([b"\xff\xfb\x90\x64".as_slice(), &[0; 16]].concat(), Kind::Foreign("MP3"))]
    #[case::aac([b"\xff\xf1\x50\x80\x02\x1f\xfc\0".as_slice(), &[0; 8], b"\xff\xf1\x50\x80"].concat(), Kind::Foreign("AAC"))]
    #[case::ogg(b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0".to_vec(), Kind::Foreign("Ogg"))]
    #[case::flac(b"fLaC\0\0\0\x22\0\0\0\0\0\0\0\0".to_vec(), Kind::Foreign("FLAC"))]
    #[case::webm(b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\0\0\0\0\0\0\0".to_vec(), Kind::Foreign("WebM"))]
    #[case::mp4(b"\0\0\0\x20ftypM4A \0\0\0\0".to_vec(), Kind::Foreign("MP4"))]
    #[case::aiff(b"FORM\0\0\0\x20AIFF\0\0\0\0".to_vec(), Kind::Foreign("AIFF"))]
    #[case::json(b"{\"error\": {\"message\": \"no\"}}".to_vec(), Kind::Text)]
    #[case::a_page("<html><body>Grüße".as_bytes().to_vec(), Kind::Text)]
    #[case::a_cut_page("<html><body>Gr\u{fc}".as_bytes()[..15].to_vec(), Kind::Text)]
    #[case::silence(vec![0; 64], Kind::Raw)]
    #[case::low_noise(vec![0xFF; 64], Kind::Raw)]
    #[case::low_noise_like_a_frame([0xFF, 0xFB, 0x90, 0xFC].repeat(800), Kind::Raw)]
    #[case::a_sound((0_u8..64).map(|n| n.wrapping_mul(37)).collect(), Kind::Raw)]
    fn bytes_say_what_they_are(#[case] bytes: Vec<u8>, #[case] kind: Kind) {
        assert_eq!(of(&bytes, true), Some(kind));
        for end in 0..bytes.len() {
            let early = of(&bytes[..end], false);
            assert!(early.is_none() || early == Some(kind), "{early:?} after {end} bytes");
        }
    }
}
