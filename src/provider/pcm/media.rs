//! What the media type of a reply says about raw samples.

use crate::audio::Rate;
use crate::audio::wav::{Encoding, Format};

/// Other rates are a slip of the server.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=192_000;

/// Codes that cannot be played, whatever the bytes look like.
const OTHERS: [&str; 13] =
    ["mpeg", "mp3", "mpa", "mp4", "aac", "aacp", "x-m4a", "ogg", "opus", "webm", "flac", "x-flac", "amr"];

/// A media type, read leniently: a part that cannot be read is a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::provider) struct Declared {
    pub(super) format: Format,
    /// It is said to be something that is not played.
    pub(super) other: Option<String>,
}

impl Declared {
    pub(in crate::provider) const fn rate(&self) -> Rate {
        self.format.rate
    }

    /// Gemini says `audio/L16;codec=pcm;rate=24000` and means little-endian; other spellings of the same are taken
    /// too. Servers that answer with samples often say nothing, or that it is text.
    pub(in crate::provider) fn of(media_type: &str) -> Self {
        let lower = media_type.to_ascii_lowercase();
        let mut fields = lower.split(';').map(str::trim);
        let essence = fields.next().unwrap_or_default();
        let subtype = essence.split_once('/').map_or(essence, |(_, subtype)| subtype).trim();
        let mut encoding = law(subtype).unwrap_or(Encoding::Signed16);
        let (mut rate, mut channels) = (None, 1);
        for (name, value) in fields.filter_map(|field| field.split_once('=')) {
            let value = value.trim().trim_matches(['"', '\'']);
            match name.trim() {
                "rate" | "sample_rate" | "samplerate" | "sample-rate" | "sampling_rate" => {
                    rate = number(value)
                }
                "channels" | "channel" => channels = number(value).unwrap_or(1),
                "codec" | "codecs" | "encoding" | "format" => encoding = law(value).unwrap_or(encoding),
                _ => {}
            }
        }
        let usual = if encoding == Encoding::Signed16 { Rate::MODEL_OUT } else { Rate::LINE };
        let format = Format {
            encoding,
            channels: u16::try_from(channels).ok().filter(|channels| (1..=8).contains(channels)).unwrap_or(1),
            rate: rate.filter(|rate| RATES.contains(rate)).map_or(usual, Rate),
            bits: 8 * encoding.len() as u16,
        };
        let is_other = essence.starts_with("audio/") && OTHERS.contains(&subtype);
        Self { format, other: is_other.then(|| essence.to_owned()) }
    }
}

fn law(name: &str) -> Option<Encoding> {
    match name {
        "basic" | "mulaw" | "x-mulaw" | "mu-law" | "ulaw" | "x-ulaw" | "pcmu" => Some(Encoding::MuLaw),
        "alaw" | "x-alaw" | "a-law" | "x-alaw-basic" | "pcma" => Some(Encoding::ALaw),
        _ => None,
    }
}

/// The digits at the beginning: `22050`, `22050Hz`, `22050.0`.
fn number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("audio/L16;codec=pcm;rate=24000", 24_000, 1)]
    #[case("audio/pcm", 24_000, 1)]
    #[case("Audio/PCM; Rate=\"16000\"; channels=1", 16_000, 1)]
    #[case("application/octet-stream", 24_000, 1)]
    #[case("", 24_000, 1)]
    #[case("text/html; charset=utf-8", 24_000, 1)]
    #[case("audio/pcm;rate=fast", 24_000, 1)]
    #[case("audio/pcm;rate=", 24_000, 1)]
    #[case("audio/pcm;rate=99999999", 24_000, 1)]
    #[case("audio/pcm; sample_rate=22050Hz;; x", 22_050, 1)]
    #[case("audio/L16 ; rate = 44100 ; channels = 2", 44_100, 2)]
    #[case("audio/basic", 8_000, 1)]
    #[case("audio/pcm;encoding=mulaw;rate=8000", 8_000, 1)]
    #[case("audio/x-alaw-basic;rate=16000", 16_000, 1)]
    fn the_format_is_what_is_said_or_usual(
        #[case] media_type: &str,
        #[case] hertz: u32,
        #[case] channels: u16,
    ) {
        let Declared { format, other } = Declared::of(media_type);
        assert_eq!((format.rate, format.channels, other), (Rate(hertz), channels, None));
    }

    #[rstest]
    #[case("audio/mpeg")]
    #[case("AUDIO/OGG; codecs=opus")]
    #[case("audio/aac")]
    fn what_is_not_played_is_told(#[case] media_type: &str) {
        assert!(Declared::of(media_type).other.is_some());
    }
}
