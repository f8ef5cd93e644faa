//! When each byte of mu-law sounded, sample-exact: what a listener at one end of the line heard or said.
//!
//! One byte is 125 µs, so no time here is ever rounded. Pure: instants come from outside.

use std::time::{Duration, Instant};

use crate::audio::g711;

/// One sample at 8 kHz.
pub const SAMPLE: Duration = Duration::from_micros(125);

/// How long this many samples last.
pub fn span(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 125)
}

/// How many whole samples fit into this time.
pub fn samples_in(time: Duration) -> usize {
    usize::try_from(time.as_micros() / 125).unwrap_or(usize::MAX)
}

/// Audio without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub at: Instant,
    /// Where its bytes begin in [`Timeline::bytes`].
    pub start: usize,
    pub len: usize,
}

impl Run {
    pub fn end(&self) -> Instant {
        self.at + span(self.len)
    }
}

/// Bytes in the order they sounded, and the gapless runs they came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    bytes: Vec<u8>,
    runs: Vec<Run>,
}

impl Timeline {
    /// All bytes in order, gaps left out.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub fn bytes_of(&self, run: &Run) -> &[u8] {
        &self.bytes[run.start..run.start + run.len]
    }

    /// When the last byte has sounded.
    pub fn end(&self) -> Option<Instant> {
        self.runs.last().map(Run::end)
    }

    /// Appends bytes that sound from `at` on, or right after the last ones where those take longer.
    pub fn push(&mut self, at: Instant, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        match self.runs.last_mut() {
            Some(last) if last.end() >= at => last.len += bytes.len(),
            _ => self.runs.push(Run { at, start, len: bytes.len() }),
        }
    }

    /// Forgets what would sound after `at`; the number of bytes it was. A byte begun is not a byte heard.
    pub fn cut(&mut self, at: Instant) -> usize {
        let before = self.bytes.len();
        while let Some(last) = self.runs.last_mut() {
            let kept = samples_in(at.saturating_duration_since(last.at)).min(last.len);
            self.bytes.truncate(last.start + kept);
            last.len = kept;
            if kept > 0 {
                break;
            }
            self.runs.pop();
        }
        before - self.bytes.len()
    }

    /// Appends the later time line of another stream of the same call.
    pub fn append(&mut self, later: &Self) {
        for run in &later.runs {
            self.push(run.at, later.bytes_of(run));
        }
    }

    /// Every sample louder than `threshold`, with the instant it sounds.
    pub fn audible(&self, threshold: i16) -> impl Iterator<Item = Instant> + '_ {
        self.runs.iter().flat_map(move |run| {
            let loud = move |byte: &u8| g711::decode(*byte).saturating_abs() > threshold;
            let bytes = self.bytes_of(run).iter().enumerate();
            bytes.filter(move |(_, byte)| loud(byte)).map(|(index, _)| run.at + span(index))
        })
    }

    /// Lays the samples over `channel`, whose first sample is at `origin`; what is before or after it is left out.
    pub fn render(&self, origin: Instant, channel: &mut [i16]) {
        for run in &self.runs {
            let early = samples_in(origin.saturating_duration_since(run.at)).min(run.len);
            let at = samples_in(run.at.saturating_duration_since(origin)).min(channel.len());
            let bytes = &self.bytes_of(run)[early..];
            for (sample, byte) in channel[at..].iter_mut().zip(bytes) {
                *sample = g711::decode(*byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_follow_at_once_join_a_run_and_late_ones_begin_another() {
        let origin = Instant::now();
        let mut line = Timeline::default();
        line.push(origin, &[1; 160]);
        line.push(origin + Duration::from_millis(20), &[2; 160]);
        line.push(origin + Duration::from_millis(50), &[3; 8]);
        let runs: Vec<_> = line.runs().iter().map(|run| (run.at - origin, run.start, run.len)).collect();
        assert_eq!(runs, [(Duration::ZERO, 0, 320), (Duration::from_millis(50), 320, 8)]);
    }

    #[test]
    fn a_cut_leaves_only_whole_samples_that_sounded() {
        let origin = Instant::now();
        let mut line = Timeline::default();
        line.push(origin, &[1; 160]);
        assert_eq!(line.cut(origin + Duration::from_micros(1_124)), 152);
        assert_eq!(line.bytes(), [1; 8]);
        assert_eq!(line.cut(origin), 8);
        assert_eq!(line.end(), None);
    }

    #[test]
    fn rendering_puts_each_sample_at_its_time() {
        let origin = Instant::now();
        let mut line = Timeline::default();
        line.push(origin + span(2), &[g711::encode(1000), g711::encode(8000)]);
        let mut channel = [0; 4];
        line.render(origin + SAMPLE, &mut channel);
        assert_eq!(channel, [0, 988, 7932, 0]);
    }
}
