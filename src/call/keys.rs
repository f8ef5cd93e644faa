//! Key presses: gathered until the caller pauses, so that the model is told a number and not ten digits.

use std::time::{Duration, Instant};

/// A pause this long ends an entry. People pause less between the digits of a number.
const PAUSE: Duration = Duration::from_millis(1500);

/// Digits of one entry; more is not a number any more and begins the next entry.
const DIGITS_MAX: usize = 32;

/// Key presses taken per second; a telephone sends at most ten.
const RATE_MAX: u32 = 20;

/// One call's key presses.
#[derive(Debug, Default)]
pub(super) struct Keys {
    digits: String,
    last: Option<Instant>,
    /// Begin of the current second and the presses in it.
    window: Option<(Instant, u32)>,
}

impl Keys {
    /// Takes a key press; `false` if there are too many.
    pub(super) fn press(&mut self, digit: char, now: Instant) -> bool {
        let (since, count) = self
            .window
            .filter(|(since, _)| now.saturating_duration_since(*since) < Duration::from_secs(1))
            .unwrap_or((now, 0));
        self.window = Some((since, count + 1));
        if count >= RATE_MAX {
            return false;
        }
        self.digits.push(digit);
        self.last = Some(now);
        true
    }

    /// When the entry is complete.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let last = self.last.filter(|_| !self.digits.is_empty())?;
        let is_complete = self.digits.ends_with('#') || self.digits.len() >= DIGITS_MAX;
        Some(if is_complete { last } else { last + PAUSE })
    }

    /// The entry that is complete at `now`.
    pub(super) fn poll(&mut self, now: Instant) -> Option<String> {
        self.poll_timeout().filter(|due| *due <= now)?;
        Some(std::mem::take(&mut self.digits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_gathered_until_a_pause_or_a_hash() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut keys = Keys::default();
        for (n, digit) in "415".chars().enumerate() {
            assert!(keys.press(digit, at(n as u64 * 300)));
        }
        assert_eq!(keys.poll(at(2000)), None);
        assert_eq!(keys.poll(at(2100)).as_deref(), Some("415"));
        assert_eq!(keys.poll_timeout(), None);
        keys.press('7', at(3000));
        keys.press('#', at(3100));
        assert_eq!(keys.poll(at(3100)).as_deref(), Some("7#"));
    }

    #[test]
    fn a_flood_of_keys_is_cut_to_twenty_a_second() {
        let start = Instant::now();
        let mut keys = Keys::default();
        let taken = (0..1000).filter(|ms| keys.press('1', start + Duration::from_millis(*ms))).count();
        assert_eq!(taken, 20);
        assert!(keys.press('1', start + Duration::from_secs(2)));
    }
}
