//! G.711 mu-law (ITU-T G.711): by table from the line, by arithmetic to it.
//!
//! The law is defined on 14-bit samples: the two low bits of a 16-bit sample do not matter.

/// The byte of silence. Zero is full-scale negative: a zero-filled buffer is a loud buzz.
pub const MULAW_SILENCE: u8 = 0xFF;

const BIAS: i32 = 33;
const CLIP: i32 = 8158;

static DECODE: [i16; 256] = decode_table();

/// One mu-law byte as 16-bit PCM.
pub fn decode(byte: u8) -> i16 {
    DECODE[usize::from(byte)]
}

/// One A-law byte as 16-bit PCM.
pub const fn decode_alaw(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let (exponent, mantissa) = ((code >> 4) & 7, ((code & 0x0F) as i16) << 4);
    let magnitude = if exponent == 0 { mantissa + 8 } else { (mantissa + 0x108) << (exponent - 1) };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

/// One 16-bit PCM sample as mu-law. The code is the top of a float of the biased magnitude: three bits of exponent and
/// four of mantissa. Without a table or a branch it is vectorised.
pub fn encode(sample: i16) -> u8 {
    const MANTISSA_BITS: u32 = f32::MANTISSA_DIGITS - 1 - 4;
    /// The exponent of the smallest biased magnitudes, 32 to 63, which is 0 in the code.
    const LOWEST: u32 = 32_f32.to_bits() >> MANTISSA_BITS;
    let value = i32::from(sample) >> 2;
    let magnitude = (if value < 0 { -value } else { value }).min(CLIP) + BIAS;
    let code = ((magnitude as f32).to_bits() >> MANTISSA_BITS) - LOWEST;
    let sign = (value >> 31) as u8 & 0x80;
    !(sign | code as u8)
}

/// Appends the decoded samples to `out`. Allocates only where `out` must grow.
pub fn decode_into(bytes: &[u8], out: &mut Vec<i16>) {
    out.extend(bytes.iter().map(|&byte| decode(byte)));
}

/// Appends the encoded bytes to `out`. Allocates only where `out` must grow.
pub fn encode_into(samples: &[i16], out: &mut Vec<u8>) {
    out.extend(samples.iter().map(|&sample| encode(sample)));
}

const fn decode_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let inverted = !(byte as u8);
        let exponent = (inverted >> 4) & 7;
        let mantissa = (inverted & 0x0F) as i32;
        let magnitude = ((((mantissa << 1) + BIAS) << exponent) - BIAS) << 2;
        table[byte] = if inverted & 0x80 == 0 { magnitude as i16 } else { -magnitude as i16 };
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Check values computed with the reference tables of ITU-T G.711.
    #[rstest]
    #[case(0, 0xFF, 0)]
    #[case(100, 0xF2, 104)]
    #[case(-100, 0x72, -104)]
    #[case(1000, 0xCE, 988)]
    #[case(-1000, 0x4E, -988)]
    #[case(8000, 0xA0, 7932)]
    #[case(32767, 0x80, 32124)]
    #[case(-32768, 0x00, -32124)]
    fn known_values(#[case] sample: i16, #[case] byte: u8, #[case] decoded: i16) {
        assert_eq!(encode(sample), byte);
        assert_eq!(decode(byte), decoded);
    }

    #[test]
    fn every_byte_survives_decoding_and_encoding() {
        for byte in 0..=u8::MAX {
            let again = encode(decode(byte));
            // 0x7F is negative zero: it decodes to 0, whose code is 0xFF.
            assert_eq!(again, if byte == 0x7F { 0xFF } else { byte });
        }
    }

    #[test]
    fn encoding_never_errs_by_more_than_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            let decoded = i32::from(decode(encode(sample)));
            let step = (i32::from(sample).abs().min(32635) + 132) / 16;
            assert!((decoded - i32::from(sample).clamp(-32635, 32635)).abs() <= step.max(8), "{sample}");
        }
    }
}
