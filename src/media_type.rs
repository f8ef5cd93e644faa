//! Media types of sound (RFC 2045, section 5.1): type and parameters in any case, order and spacing, quoted or not,
//! with comments, and with parameters that are not known.

use std::borrow::Cow;

/// What a media type says of the sound that it labels. What it does not say, or not so that it can be read, is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType {
    pub kind: Kind,
    /// Samples per second.
    pub rate: Option<u32>,
    pub channels: Option<u16>,
    /// Whether samples have their high byte first, if a parameter says so. RFC 2586 says it of every `audio/L16`, and
    /// many services (Gemini among them) send the low byte first under that name.
    pub is_big_endian: Option<bool>,
}

/// The encodings that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bare linear samples of 16 bits.
    Pcm,
    /// The same, by the name of RFC 2586.
    L16,
    Mulaw,
    Alaw,
    /// A RIFF file, which says of itself what it has.
    Wav,
    Other,
}

/// Rates that sound is made at, samples per second; other numbers are mistakes.
const RATES: std::ops::RangeInclusive<f64> = 1_000.0..=384_000.0;

impl MediaType {
    /// Never fails: text that is no media type is of kind [`Kind::Other`]. Allocates only for comments.
    pub fn parse(text: &str) -> Self {
        let text = without_comments(text);
        let mut fields = Fields(&text);
        let mut media = Self {
            kind: kind(fields.next().unwrap_or_default()),
            rate: None,
            channels: None,
            is_big_endian: None,
        };
        for (name, value) in fields.filter_map(|field| field.split_once('=')) {
            let is = |names: &[&str]| names.iter().any(|known| name.trim().eq_ignore_ascii_case(known));
            let value = value.trim().trim_matches('"').trim();
            if is(&["rate", "samplerate", "sample_rate", "sample-rate", "sampling_rate", "sampling-rate"]) {
                media.rate = media.rate.or_else(|| rate(value));
            } else if is(&["channels", "channel"]) {
                media.channels = media.channels.or_else(|| channels(value));
            } else if is(&["endian", "endianness", "byteorder", "byte-order"]) {
                media.is_big_endian = byte_order(value);
            } else if is(&["codec", "codecs", "encoding", "format"]) {
                media.kind = law(value).unwrap_or(media.kind);
            }
        }
        media
    }
}

/// `type/subtype` without its parameters, each as it is spelt: `text/html` of `text/html; charset=utf-8`.
pub fn essence(text: &str) -> &str {
    text.split([';', ',', '(']).next().unwrap_or_default().trim().trim_matches('"')
}

fn kind(essence: &str) -> Kind {
    let essence = essence.trim().trim_matches('"');
    let (class, name) = essence.split_once('/').unwrap_or(("audio", essence));
    if !class.trim().eq_ignore_ascii_case("audio") {
        return Kind::Other;
    }
    let name = name.trim();
    let bare = name.get(..2).filter(|prefix| prefix.eq_ignore_ascii_case("x-")).map_or(name, |_| &name[2..]);
    let is = |names: &[&str]| names.iter().any(|known| bare.eq_ignore_ascii_case(known));
    if is(&["pcm", "raw", "lpcm", "pcm16", "linear16", "s16le", "pcm_s16le", "vnd.raw"]) {
        Kind::Pcm
    } else if is(&["l16"]) {
        Kind::L16
    } else if is(&["wav", "wave", "vnd.wave", "pn-wav"]) {
        Kind::Wav
    } else {
        law(bare).unwrap_or(Kind::Other)
    }
}

/// The encodings of G.711, which some name as the subtype and some as a parameter of bare samples.
fn law(name: &str) -> Option<Kind> {
    let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
    if is(&["mulaw", "mu-law", "ulaw", "pcmu", "basic", "g711-ulaw", "x-mulaw", "x-ulaw"]) {
        Some(Kind::Mulaw)
    } else if is(&["alaw", "a-law", "pcma", "g711-alaw", "alaw-basic", "x-alaw"]) {
        Some(Kind::Alaw)
    } else {
        None
    }
}

/// `24000`, `24000.0`, `24000Hz`, `24 kHz`.
fn rate(value: &str) -> Option<u32> {
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at(end);
    let is_kilo = unit.trim_start().starts_with(['k', 'K']);
    let hertz = number.parse::<f64>().ok()? * if is_kilo { 1000.0 } else { 1.0 };
    RATES.contains(&hertz).then_some(hertz.round() as u32)
}

fn channels(value: &str) -> Option<u16> {
    match value {
        _ if value.eq_ignore_ascii_case("mono") => Some(1),
        _ if value.eq_ignore_ascii_case("stereo") => Some(2),
        _ => value.parse().ok().filter(|channels| *channels > 0),
    }
}

fn byte_order(value: &str) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    let is_big = value.starts_with("big") || value == "be" || value == "network";
    (is_big || value.starts_with("little") || value == "le").then_some(is_big)
}

/// The fields between the separators that stand outside of quotes.
struct Fields<'a>(&'a str);

impl<'a> Iterator for Fields<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let mut is_quoted = false;
        let end = self.0.bytes().position(|byte| {
            is_quoted ^= byte == b'"';
            !is_quoted && matches!(byte, b';' | b',')
        });
        let (field, rest) = match end {
            Some(end) => (&self.0[..end], &self.0[end + 1..]),
            None => (self.0, ""),
        };
        self.0 = rest;
        Some(field)
    }
}

/// Comments stand in parentheses, which nest (RFC 822, section 3.4.3).
fn without_comments(text: &str) -> Cow<'_, str> {
    if !text.contains('(') {
        return text.into();
    }
    let (mut depth, mut is_quoted) = (0_usize, false);
    let is_outside = |c: &char| {
        is_quoted ^= *c == '"' && depth == 0;
        match c {
            '(' if !is_quoted => depth += 1,
            ')' if depth > 0 => {
                depth -= 1;
                return false;
            }
            _ => {}
        }
        depth == 0
    };
    text.chars().filter(is_outside).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("audio/pcm;rate=24000", Kind::Pcm, Some(24_000), None)]
    #[case("audio/pcm", Kind::Pcm, None, None)]
    #[case("audio/pcm; rate=24000", Kind::Pcm, Some(24_000), None)]
    #[case("AUDIO/PCM;RATE=24000", Kind::Pcm, Some(24_000), None)]
    #[case(" audio/pcm ; rate = \"24000\" ", Kind::Pcm, Some(24_000), None)]
    #[case("audio/pcm;channels=1;rate=16000", Kind::Pcm, Some(16_000), Some(1))]
    #[case("audio/pcm;note=\"a;rate=8000\";rate=16000", Kind::Pcm, Some(16_000), None)]
    #[case("audio/pcm (raw; rate=8000 (sic)); rate=24000", Kind::Pcm, Some(24_000), None)]
    #[case("audio/pcm,rate=24000", Kind::Pcm, Some(24_000), None)]
    #[case("audio/pcm;rate=24000.0;", Kind::Pcm, Some(24_000), None)]
    #[case("audio/pcm;;rate=24kHz", Kind::Pcm, Some(24_000), None)]
    #[case("audio/pcm;rate=fast", Kind::Pcm, None, None)]
    #[case("audio/pcm;rate=-1", Kind::Pcm, None, None)]
    #[case("audio/pcm;rate=99999999999999999999", Kind::Pcm, None, None)]
    #[case("audio/pcm;rate", Kind::Pcm, None, None)]
    #[case("audio/x-raw;sample-rate=44100;channels=stereo", Kind::Pcm, Some(44_100), Some(2))]
    #[case("audio/L16;codec=pcm;rate=24000", Kind::L16, Some(24_000), None)]
    #[case("audio/l16; rate=16000; channels=0", Kind::L16, Some(16_000), None)]
    #[case("audio/x-mulaw;rate=8000", Kind::Mulaw, Some(8_000), None)]
    #[case("audio/basic", Kind::Mulaw, None, None)]
    #[case("audio/PCMA", Kind::Alaw, None, None)]
    #[case("audio/x-alaw-basic;rate=16000", Kind::Alaw, Some(16_000), None)]
    #[case("audio/pcm;encoding=mulaw;rate=8000", Kind::Mulaw, Some(8_000), None)]
    #[case("audio/raw; codec=\"PCMA\"", Kind::Alaw, None, None)]
    #[case("audio/pcm;sampling_rate=22050Hz;; x", Kind::Pcm, Some(22_050), None)]
    #[case("audio/x-wav;codecs=1", Kind::Wav, None, None)]
    #[case("pcm", Kind::Pcm, None, None)]
    #[case("audio/mpeg", Kind::Other, None, None)]
    #[case("text/pcm", Kind::Other, None, None)]
    #[case("", Kind::Other, None, None)]
    #[case("audio/é", Kind::Other, None, None)]
    fn a_media_type_is_read_as_it_is_written(
        #[case] text: &str,
        #[case] kind: Kind,
        #[case] rate: Option<u32>,
        #[case] channels: Option<u16>,
    ) {
        let media = MediaType::parse(text);
        assert_eq!((media.kind, media.rate, media.channels), (kind, rate, channels));
    }

    #[rstest]
    #[case("audio/l16;endianness=big-endian", Some(true))]
    #[case("audio/l16;endianness=\"Little-Endian\"", Some(false))]
    #[case("audio/pcm;endian=BE", Some(true))]
    #[case("audio/l16", None)]
    fn a_byte_order_is_read(#[case] text: &str, #[case] expected: Option<bool>) {
        assert_eq!(MediaType::parse(text).is_big_endian, expected);
    }

    #[rstest]
    #[case("text/html; charset=utf-8", "text/html")]
    #[case(" application/json", "application/json")]
    #[case("", "")]
    fn the_essence_is_the_type_alone(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(essence(text), expected);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text: String) {
            MediaType::parse(&text);
        }
    }
}
