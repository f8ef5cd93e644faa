//! Base64 as peers write it: standard or URL-safe alphabet, also mixed, with or without padding, with white space,
//! and in several pieces that were encoded one by one. What this program writes is standard and padded (RFC 4648,
//! section 4).
//!
//! The vectorised engine reads first. Only text that it refuses is read again, symbol by symbol.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig, Simd};

/// Made once: its tables and the look at the processor cost more than a frame.
static ENGINE: LazyLock<Simd> = LazyLock::new(|| {
    Simd::standard(GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent))
});

/// Text that is not base64 in any spelling. Content is never echoed: it may be personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("character {at} belongs to no base64 alphabet")]
    Symbol { at: usize },
    #[error("the base64 ends in the middle of a byte")]
    Cut,
    #[error("the base64 is longer than the room for it")]
    TooLong,
}

pub fn encode(bytes: &[u8]) -> String {
    ENGINE.encode(bytes)
}

/// Appends the text to `out`, which is the only allocation, where it must grow.
pub fn encode_into(bytes: &[u8], out: &mut String) {
    ENGINE.encode_string(bytes, out);
}

pub fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::new();
    decode_into(text, &mut bytes)?;
    Ok(bytes)
}

/// Appends the bytes to `out`; nothing of text that cannot be read.
pub fn decode_into(text: impl AsRef<[u8]>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let (text, start) = (text.as_ref(), out.len());
    if ENGINE.decode_vec(text, out).is_ok() {
        return Ok(());
    }
    out.truncate(start);
    let read = read(text, |byte| {
        out.push(byte);
        Ok(())
    });
    if read.is_err() {
        out.truncate(start);
    }
    read
}

/// Writes the bytes to the front of `out`, which has room for three for every four characters, and returns how many
/// there are. Allocates nothing.
pub fn decode_slice(text: impl AsRef<[u8]>, out: &mut [u8]) -> Result<usize, Malformed> {
    let text = text.as_ref();
    if let Ok(len) = ENGINE.decode_slice(text, out) {
        return Ok(len);
    }
    let mut room = out.iter_mut();
    let mut len = 0;
    read(text, |byte| {
        *room.next().ok_or(Malformed::TooLong)? = byte;
        len += 1;
        Ok(())
    })?;
    Ok(len)
}

/// Reads symbol by symbol. Padding ends a group, wherever it stands; bits that fill no byte are left out.
fn read(text: &[u8], mut put: impl FnMut(u8) -> Result<(), Malformed>) -> Result<(), Malformed> {
    let (mut bits, mut count, mut symbols) = (0_u32, 0_u32, 0_usize);
    for (at, &symbol) in text.iter().enumerate() {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b' ' | b'\t' | b'\r' | b'\n' | b'\x0B' | b'\x0C' => continue,
            b'=' if symbols > 0 && count != 6 => {
                count = 0;
                continue;
            }
            b'=' => return Err(Malformed::Cut),
            _ => return Err(Malformed::Symbol { at }),
        };
        symbols += 1;
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            put((bits >> count & 0xFF) as u8)?;
        }
    }
    if count == 6 { Err(Malformed::Cut) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::standard("++//AQ==", Ok(&[0xFB, 0xEF, 0xFF, 0x01][..]))]
    #[case::without_padding("++//AQ", Ok(&[0xFB, 0xEF, 0xFF, 0x01][..]))]
    #[case::url_safe("--__AQ==", Ok(&[0xFB, 0xEF, 0xFF, 0x01][..]))]
    #[case::url_safe_without_padding("--__AQ", Ok(&[0xFB, 0xEF, 0xFF, 0x01][..]))]
    #[case::both_alphabets("+-/_AQ==", Ok(&[0xFB, 0xEF, 0xFF, 0x01][..]))]
    #[case::too_little_padding("++//AQ=", Ok(&[0xFB, 0xEF, 0xFF, 0x01][..]))]
    #[case::too_much_padding("++//AQ====", Ok(&[0xFB, 0xEF, 0xFF, 0x01][..]))]
    #[case::padding_after_a_whole_group("++//=", Ok(&[0xFB, 0xEF, 0xFF][..]))]
    #[case::lines("++//\r\nAQ==\n", Ok(&[0xFB, 0xEF, 0xFF, 0x01][..]))]
    #[case::vertical_tab_and_form_feed("++/\x0B/AQ\x0C==", Ok(&[0xFB, 0xEF, 0xFF, 0x01][..]))]
    #[case::white_space_within(" +\t+/ /A\nQ = =", Ok(&[0xFB, 0xEF, 0xFF, 0x01][..]))]
    #[case::pieces_encoded_one_by_one("AQ==Ag==AwQ=", Ok(&[1, 2, 3, 4][..]))]
    #[case::bits_that_fill_no_byte("AR==", Ok(&[1][..]))]
    #[case::nothing("", Ok(&[][..]))]
    #[case::only_white_space(" \n", Ok(&[][..]))]
    #[case::one_symbol("A", Err(Malformed::Cut))]
    #[case::one_symbol_and_padding("AAAAA===", Err(Malformed::Cut))]
    #[case::only_padding("====", Err(Malformed::Cut))]
    #[case::no_symbol("AA*A", Err(Malformed::Symbol { at: 2 }))]
    #[case::nul("AAAA\0", Err(Malformed::Symbol { at: 4 }))]
    #[case::not_ascii("AAÄA", Err(Malformed::Symbol { at: 2 }))]
    fn every_spelling_is_read(#[case] text: &str, #[case] expected: Result<&[u8], Malformed>) {
        assert_eq!(decode(text), expected.map(<[u8]>::to_vec));
        let mut out = vec![9];
        let whole = decode_into(text, &mut out);
        assert_eq!((whole, &out[1..]), (expected.map(|_| ()), expected.unwrap_or_default()));
        let mut room = [0; 12];
        let len = decode_slice(text, &mut room);
        assert_eq!(len.map(|len| &room[..len]), expected);
    }

    #[rstest]
    #[case("AAAA")]
    #[case("_AAA")]
    fn a_slice_that_is_too_short_is_not_overrun(#[case] text: &str) {
        assert_eq!(decode_slice(text, &mut [0; 2]), Err(Malformed::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_in_every_spelling(
            bytes: Vec<u8>,
            is_url_safe: bool,
            is_padded: bool,
            line in 1..80_usize,
        ) {
            let mut text = encode(&bytes);
            if is_url_safe {
                text = text.replace('+', "-").replace('/', "_");
            }
            if !is_padded {
                text = text.trim_end_matches('=').to_owned();
            }
            let lines: Vec<_> = text.as_bytes().chunks(line).collect();
            prop_assert_eq!(decode(lines.join(&b"\r\n"[..])), Ok(bytes));
        }

        #[test]
        fn both_ways_of_reading_agree(bytes: Vec<u8>) {
            let (text, mut slowly) = (encode(&bytes), Vec::new());
            read(text.as_bytes(), |byte| { slowly.push(byte); Ok(()) }).unwrap();
            prop_assert_eq!(slowly, bytes);
        }
    }
}
