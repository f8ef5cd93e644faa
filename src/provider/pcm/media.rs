//! What the media type of a reply says about raw samples.

use super::order::Order;
use crate::audio::Rate;
use crate::audio::wav::{Encoding, Format};
use crate::media_type::{self, Kind, MediaType};

/// Other rates are a slip of the server.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=192_000;

/// More channels are a slip of the server.
const CHANNELS_MAX: u16 = 8;

/// Codes that cannot be played, whatever the bytes look like.
const OTHERS: [&str; 13] =
    ["mpeg", "mp3", "mpa", "mp4", "aac", "aacp", "x-m4a", "ogg", "opus", "webm", "flac", "x-flac", "amr"];

/// A media type, read leniently: a part that cannot be read is a default. Servers that answer with samples often say
/// nothing, or that it is text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::provider) struct Declared {
    pub(super) format: Format,
    pub(super) order: Declaration,
    /// It is said to be something that is not played.
    pub(super) other: Option<String>,
}

/// What is said of the order of the two bytes of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declaration {
    /// Said, or what servers mean by this name.
    Known(Order),
    /// `audio/L16` and no order: RFC 2586 has the high byte first, and many services send the low one first.
    Ambiguous,
}

impl Declared {
    pub(in crate::provider) const fn rate(&self) -> Rate {
        self.format.rate
    }

    pub(in crate::provider) fn of(text: &str) -> Self {
        let media = MediaType::parse(text);
        let encoding = match media.kind {
            Kind::Mulaw => Encoding::MuLaw,
            Kind::Alaw => Encoding::ALaw,
            Kind::Pcm | Kind::L16 | Kind::Wav | Kind::Other => Encoding::Signed16,
        };
        let usual = if encoding == Encoding::Signed16 { Rate::MODEL_OUT } else { Rate::LINE };
        let format = Format {
            encoding,
            channels: media.channels.filter(|channels| *channels <= CHANNELS_MAX).unwrap_or(1),
            rate: media.rate.filter(|rate| RATES.contains(rate)).map_or(usual, Rate),
            bits: 8 * encoding.len() as u16,
        };
        let order = match (media.is_big_endian, media.kind) {
            (Some(true), _) => Declaration::Known(Order::Big),
            (None, Kind::L16) => Declaration::Ambiguous,
            (Some(false) | None, _) => Declaration::Known(Order::Little),
        };
        Self { format, order, other: foreign(text) }
    }
}

/// The name of a code that is not played.
fn foreign(text: &str) -> Option<String> {
    let essence = media_type::essence(text).to_ascii_lowercase();
    let is_foreign = essence.strip_prefix("audio/").is_some_and(|subtype| OTHERS.contains(&subtype.trim()));
    is_foreign.then_some(essence)
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
        let Declared { format, other, .. } = Declared::of(media_type);
        assert_eq!((format.rate, format.channels, other), (Rate(hertz), channels, None));
    }

    #[rstest]
    #[case("audio/mpeg")]
    #[case("AUDIO/OGG; codecs=opus")]
    #[case("audio/aac")]
    fn what_is_not_played_is_told(#[case] media_type: &str) {
        assert!(Declared::of(media_type).other.is_some());
    }

    #[rstest]
    #[case::l16("audio/L16;codec=pcm;rate=24000", Declaration::Ambiguous)]
    #[case::l16_alone("audio/l16", Declaration::Ambiguous)]
    #[case::l16_and_its_order("audio/L16;rate=24000;endianness=big-endian", Declaration::Known(Order::Big))]
    #[case::l16_and_the_other("audio/L16; endian=little", Declaration::Known(Order::Little))]
    #[case::pcm("audio/pcm;rate=24000", Declaration::Known(Order::Little))]
    #[case::pcm_and_its_order("audio/pcm; byte-order=network", Declaration::Known(Order::Big))]
    #[case::nothing("", Declaration::Known(Order::Little))]
    #[case::bytes("application/octet-stream", Declaration::Known(Order::Little))]
    fn the_order_of_bytes_is_known_but_for_l16(#[case] media_type: &str, #[case] order: Declaration) {
        assert_eq!(Declared::of(media_type).order, order);
    }
}
