//! Silence of the caller that leaves several frames at a time, because the model does not wait for it.
//!
//! Most of what a call costs is what the system does for each time something is sent. Speech is never held back: a frame
//! that must leave takes those along that wait, in order.

use std::time::{Duration, Instant};

use crate::audio::Frame;

/// Frames of silence that leave together: the first of them 60 ms after it came. More would take more memory.
const TOGETHER: usize = 4;

/// Frames leave after this time although no others came: the carrier may have stopped sending.
const WAIT_MAX: Duration = Duration::from_millis(80);

/// The greatest amplitude of silence (about −52 dB relative to full scale): the idle noise of a line, of −66 dB, stays
/// below it, and the soft beginning of a word does not.
const SILENCE_PEAK: u16 = 80;

/// Whether samples are silence, by which no word begins.
pub(super) fn is_silence(samples: &[i16]) -> bool {
    samples.iter().all(|sample| sample.unsigned_abs() <= SILENCE_PEAK)
}

/// Frames on their way to the model. Whoever owns it asks [`Coalescer::poll_timeout`] for the time at which it has to
/// call [`Coalescer::flush`], and calls that as well before it tells the model something else.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    waiting: Vec<Frame>,
    until: Option<Instant>,
}

impl Coalescer {
    /// Takes the next frame. `since` is now for one that may wait, and `None` for one that must leave. Hands on what
    /// leaves.
    pub(super) fn push(&mut self, frame: Frame, since: Option<Instant>, mut send: impl FnMut(Frame)) {
        match since {
            Some(now) if self.waiting.len() + 1 < TOGETHER => {
                self.until.get_or_insert(now + WAIT_MAX);
                self.waiting.push(frame);
            }
            Some(_) | None => {
                self.flush(&mut send);
                send(frame);
            }
        }
    }

    /// Hands on everything that waits.
    pub(super) fn flush(&mut self, send: impl FnMut(Frame)) {
        self.until = None;
        self.waiting.drain(..).for_each(send);
    }

    /// Forgets what waits: whoever it was for is gone.
    pub(super) fn clear(&mut self) {
        self.until = None;
        self.waiting.clear();
    }

    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::audio::Rate;

    /// What leaves after each frame, by the number of the frame; a capital letter must leave.
    #[rstest]
    #[case::urgent("ABC", &["A", "B", "C"])]
    #[case::silence("abcdefgh", &["", "", "", "abcd", "", "", "", "efgh"])]
    #[case::speech_takes_silence_along("abC", &["", "", "abC"])]
    #[case::silence_after_speech("Abcde", &["A", "", "", "", "bcde"])]
    fn frames_leave_in_order(#[case] frames: &str, #[case] expected: &[&str]) {
        let mut coalescer = Coalescer::default();
        let now = Instant::now();
        let sent = frames.bytes().map(|byte| {
            let mut sent = String::new();
            let frame = Frame::new(Rate::MODEL_IN, &[i16::from(byte)]);
            let since = byte.is_ascii_lowercase().then_some(now);
            coalescer.push(frame, since, |frame| sent.push(char::from(frame.samples()[0] as u8)));
            sent
        });
        assert_eq!(sent.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_first_frame_sets_the_time_at_which_all_leave() {
        let mut coalescer = Coalescer::default();
        let now = Instant::now();
        let frame = || Frame::new(Rate::MODEL_IN, &[0]);
        assert_eq!(coalescer.poll_timeout(), None);
        coalescer.push(frame(), Some(now), |_| panic!("too early"));
        coalescer.push(frame(), Some(now + Duration::from_millis(20)), |_| panic!("too early"));
        assert_eq!(coalescer.poll_timeout(), Some(now + WAIT_MAX));
        let mut left = 0;
        coalescer.flush(|_| left += 1);
        assert_eq!((left, coalescer.poll_timeout()), (2, None));
    }

    #[rstest]
    #[case::zeros(0, true)]
    #[case::idle_noise(49, true)]
    #[case::loudest_noise(80, true)]
    #[case::a_breath(-200, false)]
    #[case::a_word(i16::MIN, false)]
    fn silence_is_told_by_its_peak(#[case] peak: i16, #[case] expected: bool) {
        let mut samples = [3; 160];
        samples[77] = peak;
        assert_eq!(is_silence(&samples), expected);
    }
}
