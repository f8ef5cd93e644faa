//! The order of the two bytes of a sample, told by the samples. Read in the wrong order, speech is noise: neighbours
//! are far apart.

use crate::audio::wav::Format;

/// In which order the two bytes of a sample come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// Sound after which a decision is tried, a part of a second: 50 ms.
const LOOK: u32 = 20;

/// So many looks are taken: 200 ms are longer than a loud hiss at the beginning, which is noise in both orders.
const LOOKS_MAX: u32 = 4;

/// The right order is smoother by this factor at least. Speech at 8 kHz is by four, at 24 kHz by ten.
const MARGIN: u64 = 2;

/// More bytes without a decision hold hardly any sound, seconds.
const SECONDS_MAX: usize = 4;

/// The order in which these bytes, of 16-bit samples, are the smoother sound; with no clear difference it is the low
/// byte first, as most services send it. `None`: more bytes will tell. Equal neighbours say nothing, so that silence
/// at the beginning does not count.
pub(super) fn of(bytes: &[u8], format: Format, is_over: bool) -> Option<Order> {
    let frame_len = 2 * usize::from(format.channels);
    let look = (format.rate.0 / LOOK).max(1);
    let mut sound = Sound::default();
    let mut steps = 0;
    let mut last = None;
    for frame in bytes.chunks_exact(frame_len) {
        let pair = [frame[0], frame[1]];
        let Some(before) = last.replace(pair).filter(|before| *before != pair) else { continue };
        sound.step(before, pair);
        steps += 1;
        let order = if u32::is_multiple_of(steps, look) { sound.order() } else { None };
        if order.is_some() {
            return order;
        }
        if steps == LOOKS_MAX * look {
            return Some(Order::Little);
        }
    }
    let is_too_quiet = bytes.len() > SECONDS_MAX * format.rate.0 as usize * frame_len;
    (is_over || is_too_quiet).then(|| sound.order().unwrap_or(Order::Little))
}

/// What is known of a stretch of sound.
#[derive(Debug, Default)]
struct Sound {
    /// The distances of neighbours, summed, with the low byte first.
    little: u64,
    /// The same with the high byte first.
    big: u64,
    /// All bits that any sample has in its first byte.
    first_bits: u8,
    /// The same of its second byte.
    second_bits: u8,
}

impl Sound {
    fn step(&mut self, one: [u8; 2], next: [u8; 2]) {
        self.little += u64::from(i16::from_le_bytes(one).abs_diff(i16::from_le_bytes(next)));
        self.big += u64::from(i16::from_be_bytes(one).abs_diff(i16::from_be_bytes(next)));
        self.first_bits |= one[0] | next[0];
        self.second_bits |= one[1] | next[1];
    }

    /// `None`: there is no clear difference.
    fn order(&self) -> Option<Order> {
        match (self.first_bits, self.second_bits) {
            (0, 0) => None,
            // A byte that is always zero is the low one of samples that had 8 bits. As the high one it would make a
            // sound without a negative sample.
            (0, _) => Some(Order::Little),
            (_, 0) => Some(Order::Big),
            (_, _) if self.big.saturating_mul(MARGIN) < self.little => Some(Order::Big),
            (_, _) if self.little.saturating_mul(MARGIN) < self.big => Some(Order::Little),
            (_, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::audio::Rate;
    use crate::audio::resample::Resampler;
    use crate::audio::wav::{self, Encoding};

    fn format(rate: Rate, channels: u16) -> Format {
        Format { encoding: Encoding::Signed16, channels, rate, bits: 16 }
    }

    fn bytes(samples: &[i16], order: Order) -> Vec<u8> {
        let pair = |sample: &i16| match order {
            Order::Little => sample.to_le_bytes(),
            Order::Big => sample.to_be_bytes(),
        };
        samples.iter().flat_map(pair).collect()
    }

    /// A recording of the fixtures, at this rate.
    fn recording(name: &str, rate: Rate) -> Vec<i16> {
        let path = format!("{}/fixtures/{name}.wav", env!("CARGO_MANIFEST_DIR"));
        let samples = wav::read(&std::fs::read(path).unwrap()).unwrap().mono();
        if rate == Rate::LINE {
            return samples;
        }
        let mut out = Vec::new();
        Resampler::any(Rate::LINE, rate).push(&samples, &mut out);
        out
    }

    #[rstest]
    fn speech_tells_its_order_wherever_it_begins(
        #[values(
            "audio/human-jfk-ask-not",
            "audio/human-whats-the-weather-like",
            "audio/human-two-party-katie-and-steve",
            "cover/sorry-repeat",
            "audio/noise-hold-music"
        )]
        name: &str,
        #[values(8_000, 24_000)] rate: u32,
        #[values(Order::Little, Order::Big)] order: Order,
        #[values(1, 8)] divisor: i16,
    ) {
        let rate = Rate(rate);
        let samples: Vec<_> = recording(name, rate).iter().map(|sample| sample / divisor).collect();
        for second in samples.chunks_exact(rate.0 as usize / 2) {
            assert_eq!(of(&bytes(second, order), format(rate, 1), false), Some(order));
        }
    }

    #[rstest]
    #[case::silence(&[0; 1000])]
    #[case::one_value(&[77; 1000])]
    #[case::nothing(&[])]
    fn what_says_nothing_is_waited_for_and_then_little(#[case] samples: &[i16]) {
        for order in [Order::Little, Order::Big] {
            let bytes = bytes(samples, order);
            assert_eq!(of(&bytes, format(Rate::MODEL_OUT, 1), false), None);
            assert_eq!(of(&bytes, format(Rate::MODEL_OUT, 1), true), Some(Order::Little));
        }
        let long = bytes(&[0; 5 * 24_000], Order::Big);
        assert_eq!(of(&long, format(Rate::MODEL_OUT, 1), false), Some(Order::Little));
    }

    #[test]
    fn silence_before_speech_does_not_count() {
        let speech = recording("audio/human-jfk-ask-not", Rate::MODEL_OUT);
        let samples = [vec![0; 24_000], speech[..12_000].to_vec()].concat();
        assert_eq!(of(&bytes(&samples, Order::Big), format(Rate::MODEL_OUT, 1), false), Some(Order::Big));
    }

    #[test]
    fn the_noise_of_a_quiet_room_tells_it_too() {
        let samples: Vec<i16> = (0..3000).map(|n| ((n * 7919 % 7) - 3) as i16).collect();
        for order in [Order::Little, Order::Big] {
            assert_eq!(of(&bytes(&samples, order), format(Rate::MODEL_OUT, 1), false), Some(order));
        }
    }

    #[test]
    fn samples_that_had_eight_bits_keep_their_order() {
        let speech = recording("audio/human-jfk-ask-not", Rate::MODEL_OUT);
        let coarse: Vec<_> = speech.iter().map(|sample| sample & !0xFF).collect();
        for order in [Order::Little, Order::Big] {
            assert_eq!(of(&bytes(&coarse, order), format(Rate::MODEL_OUT, 1), true), Some(order));
        }
    }

    #[test]
    fn the_first_of_two_channels_tells_it() {
        let speech = recording("audio/human-jfk-ask-not", Rate::MODEL_OUT);
        let both: Vec<_> = speech.iter().flat_map(|&sample| [sample, 0]).collect();
        assert_eq!(of(&bytes(&both, Order::Big), format(Rate::MODEL_OUT, 2), true), Some(Order::Big));
    }

    /// A hiss at full volume is as rough in both orders.
    #[test]
    fn noise_is_little() {
        let mut seed = 7_u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as u16 as i16
        };
        let samples: Vec<i16> = (0..24_000).map(|_| noise()).collect();
        assert_eq!(of(&bytes(&samples, Order::Big), format(Rate::MODEL_OUT, 1), false), Some(Order::Little));
    }
}
