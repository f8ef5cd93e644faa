//! Sequence repair: what the carrier's numbers say about the place of a chunk, and whether they can be believed.
//!
//! A chunk that was really sent twice is dropped and a gap of up to one second is filled; nothing else is ever decided by a
//! number. `chunk` is believed while it agrees with the arrival of the audio, with `timestamp` or with
//! `sequenceNumber`. After [`DOUBTS_MAX`] disagreements it is given up for the call, and audio is taken as it comes.
//! Fill never puts more audio out than time has passed, plus [`FILL_MAX`]. Does not allocate; nothing is proportional
//! to a number from the wire.

use std::time::{Duration, Instant};

use super::Irregularity;
use crate::audio::Rate;
use crate::carrier::Numbers;

/// Gaps in the carrier's numbering up to this long are filled with silence; a longer one restarts the numbering.
pub(super) const FILL_MAX: Duration = Duration::from_secs(1);

/// Disagreements after which the numbering is given up.
const DOUBTS_MAX: u32 = 3;

/// Chunks in order after which earlier disagreements are forgotten: ten seconds of 20 ms.
const REDEEMED_AFTER: u32 = 500;

/// Chunks among which a repetition is recognised.
const RECENT: usize = 8;

/// The arrival clock gives way by this share of a chunk, so that a pause of the carrier or a drifting clock is not
/// taken for missing audio for ever.
const LEAK: i64 = 20;

const SAMPLES_PER_MS: u64 = Rate::LINE.0 as u64 / 1000;

/// One call's numbering.
#[derive(Debug, Default)]
pub(super) struct Sequence(Belief);

#[derive(Debug, Default)]
#[expect(clippy::large_enum_variant, reason = "one for each call, for most of its length the large one")]
enum Belief {
    #[default]
    Unnumbered,
    Numbered(Track),
    GivenUp,
}

/// A numbering that is believed.
#[derive(Debug)]
struct Track {
    last: Seen,
    recent: [Seen; RECENT],
    newest: usize,
    /// First and last of the missing chunks of the newest gap.
    gap: (u64, u64),
    /// Missing chunks to be filled unless they come late.
    owed: u64,
    doubts: u32,
    /// Chunks in order since the last disagreement.
    agreed: u32,
    clock: Clock,
    /// Whether these numbers ever changed: one that does not says nothing.
    moves: Moves,
    /// What `timestamp` advances by with each chunk, in its own unit; `None`: not known yet.
    stride: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Moves {
    timestamp: bool,
    sequence: bool,
}

/// What is remembered of a chunk.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    chunk: u64,
    timestamp: Option<u64>,
    sequence: Option<u64>,
    fingerprint: u64,
}

/// Audio that was taken or filled, against the time that has passed; in samples.
#[derive(Clone, Copy, Debug)]
struct Clock {
    since: Instant,
    out: i64,
    arrived: Instant,
}

/// Where a chunk's number stands to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Next,
    /// So many are missing.
    Gap(u64),
    /// The same or a lower number.
    Back,
    Far,
}

impl Sequence {
    /// Places a chunk; `None`: it is taken as it comes. [`Irregularity::Duplicate`]: it is to be dropped,
    /// [`Irregularity::Missing`]: silence belongs before it.
    pub(super) fn place(&mut self, numbers: Numbers, samples: &[i16], now: Instant) -> Option<Irregularity> {
        if matches!(self.0, Belief::GivenUp) {
            return None;
        }
        let Some(chunk) = numbers.chunk else {
            if let Belief::Numbered(track) = &mut self.0 {
                track.clock.out += samples.len() as i64;
            }
            return None;
        };
        let Numbers { timestamp, sequence, .. } = numbers;
        let seen = Seen { chunk, timestamp, sequence, fingerprint: fingerprint(samples) };
        let Belief::Numbered(track) = &mut self.0 else {
            self.0 = Belief::Numbered(Track::new(seen, samples.len(), now));
            return None;
        };
        let irregularity = track.place(seen, samples.len() as u64, now);
        if irregularity == Some(Irregularity::Numbering) {
            self.0 = Belief::GivenUp;
        }
        irregularity
    }
}

impl Track {
    fn new(first: Seen, len: usize, now: Instant) -> Self {
        let mut recent = [Seen::default(); RECENT];
        recent.fill(first);
        Self {
            last: first,
            recent,
            newest: 0,
            gap: (1, 0),
            owed: 0,
            doubts: 0,
            agreed: 0,
            clock: Clock { since: now, out: len as i64, arrived: now },
            moves: Moves::default(),
            stride: None,
        }
    }

    fn place(&mut self, seen: Seen, len: u64, now: Instant) -> Option<Irregularity> {
        let step = self.step(seen.chunk, len);
        let irregularity = match step {
            Step::Next => self.next(&seen, len, now),
            Step::Gap(missing) => self.jumped(missing, &seen, len, now),
            Step::Back if self.is_repeated(&seen, len, now) => {
                self.clock.arrived = now;
                return Some(Irregularity::Duplicate);
            }
            Step::Back if (self.gap.0..=self.gap.1).contains(&seen.chunk) => {
                self.owed = self.owed.saturating_sub(1);
                self.remember(seen, len, now);
                return self.doubt();
            }
            Step::Back => {
                self.owed = 0;
                self.doubt()
            }
            Step::Far => self.doubt().or(Some(Irregularity::Jump)),
        };
        self.note_moves(&seen);
        self.last = seen;
        self.remember(seen, len, now);
        irregularity
    }

    fn step(&self, chunk: u64, len: u64) -> Step {
        let near = u64::from(Rate::LINE.0) * FILL_MAX.as_secs() / len.max(1);
        let last = self.last.chunk;
        match chunk.checked_sub(last) {
            Some(1) => Step::Next,
            Some(ahead @ 2..) if ahead <= near => Step::Gap(ahead - 1),
            None | Some(0) if last - chunk <= near => Step::Back,
            // Counters of 16, 32 or so many bits begin anew.
            None if chunk <= 1 && last.wrapping_add(1).is_power_of_two() => Step::Next,
            Some(_) | None => Step::Far,
        }
    }

    fn next(&mut self, seen: &Seen, len: u64, now: Instant) -> Option<Irregularity> {
        self.agreed += 1;
        if self.agreed >= REDEEMED_AFTER {
            self.agreed = 0;
            self.doubts = 0;
        }
        if let (Some(before), Some(at)) = (self.last.timestamp, seen.timestamp) {
            self.stride = at.checked_sub(before);
        }
        self.clock.leak(len, now);
        if self.owed == 0 { None } else { self.fill(len, now) }
    }

    /// Numbers are missing: was audio lost?
    fn jumped(&mut self, missing: u64, seen: &Seen, len: u64, now: Instant) -> Option<Irregularity> {
        let is_late = self.clock.lag(now) >= (missing * len) as i64 - (len / 2) as i64;
        self.gap = (self.last.chunk + 1, seen.chunk - 1);
        match self.confirms(missing, seen, len) {
            Some(false) => self.doubt(),
            Some(true) | None if is_late => {
                self.owed += missing;
                self.fill(len, now)
            }
            // Audio that follows a loss may arrive at once; a chunk that was overtaken comes next.
            Some(true) => {
                self.owed += missing;
                self.doubt()
            }
            None => self.doubt(),
        }
    }

    /// Whether the other numbers say that so many chunks are missing; `None` if they say nothing.
    fn confirms(&self, missing: u64, seen: &Seen, len: u64) -> Option<bool> {
        let advance = |before: Option<u64>, at: Option<u64>| at?.checked_sub(before?);
        if self.moves.timestamp
            && let Some(advance) = advance(self.last.timestamp, seen.timestamp)
        {
            let stride = self.stride.unwrap_or(len / SAMPLES_PER_MS);
            let expected = stride.saturating_mul(missing + 1);
            return Some(stride > 0 && advance.abs_diff(expected).saturating_mul(2) <= stride);
        }
        let advance = advance(self.last.sequence, seen.sequence).filter(|_| self.moves.sequence)?;
        Some(advance > missing)
    }

    /// Whether the chunk was really sent before: number, content, and the other numbers that are good for anything.
    fn is_repeated(&mut self, seen: &Seen, len: u64, now: Instant) -> bool {
        let same = self
            .recent
            .iter()
            .copied()
            .find(|other| (other.chunk, other.fingerprint) == (seen.chunk, seen.fingerprint));
        let Some(other) = same else { return false };
        if self.moves.timestamp && other.timestamp.is_some() && seen.timestamp.is_some() {
            return other.timestamp == seen.timestamp;
        }
        if self.moves.sequence && other.sequence.is_some() && seen.sequence.is_some() {
            return other.sequence == seen.sequence;
        }
        // A repetition comes at once, a chunk in its time.
        let half = Duration::from_millis(len / SAMPLES_PER_MS / 2);
        self.doubts += 1;
        self.doubts <= DOUBTS_MAX && now.saturating_duration_since(self.clock.arrived) < half
    }

    /// The missing chunks that are owed, as far as that does not put more audio out than may be.
    fn fill(&mut self, len: u64, now: Instant) -> Option<Irregularity> {
        const FILL_SAMPLES: i64 = (Rate::LINE.0 as u64 * FILL_MAX.as_secs()) as i64;
        let missing = std::mem::take(&mut self.owed);
        let samples = (missing * len) as i64;
        if samples - self.clock.lag(now) > FILL_SAMPLES {
            return Some(Irregularity::Numbering);
        }
        self.clock.out += samples;
        Some(Irregularity::Missing(missing))
    }

    fn doubt(&mut self) -> Option<Irregularity> {
        self.agreed = 0;
        self.doubts += 1;
        (self.doubts >= DOUBTS_MAX).then_some(Irregularity::Numbering)
    }

    fn note_moves(&mut self, seen: &Seen) {
        self.moves.timestamp |= self.last.timestamp != seen.timestamp;
        self.moves.sequence |= self.last.sequence != seen.sequence;
    }

    fn remember(&mut self, seen: Seen, len: u64, now: Instant) {
        self.newest = (self.newest + 1) % RECENT;
        self.recent[self.newest] = seen;
        self.clock.out += len as i64;
        self.clock.arrived = now;
    }
}

impl Clock {
    /// How much audio is behind the time that has passed, before the chunk that arrives now.
    fn lag(&self, now: Instant) -> i64 {
        let passed = now.saturating_duration_since(self.since).as_micros() as i64;
        passed * i64::from(Rate::LINE.0) / 1_000_000 - self.out
    }

    /// The fastest way of a chunk is the measure of the others; a slower one becomes it little by little.
    fn leak(&mut self, len: u64, now: Instant) {
        let lag = self.lag(now);
        self.out += if lag < 0 { lag } else { lag.min(len as i64 / LEAK) };
    }
}

/// Tells a chunk's content from others: some samples of it, because each chunk has one made.
fn fingerprint(samples: &[i16]) -> u64 {
    const SAMPLES: usize = 16;
    const PRIME: u64 = 0x0000_0100_0000_01B3;
    let every = (samples.len() / SAMPLES).max(1);
    let add =
        |sum: u64, sample: &i16| (sum.rotate_left(5) ^ u64::from(sample.cast_unsigned())).wrapping_mul(PRIME);
    samples.iter().step_by(every).fold(samples.len() as u64, add)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const FRAME: usize = 160;

    /// A chunk of noise that no other number has.
    fn noise(n: u64) -> Vec<i16> {
        let mut state = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 52) as i16
        };
        (0..FRAME).map(|_| next()).collect()
    }

    /// Two periods of 500 Hz to a chunk: every chunk has the same content.
    fn tone(_: u64) -> Vec<i16> {
        (0..FRAME).map(|n| if n % 16 < 8 { 9000 } else { -9000 }).collect()
    }

    /// What comes of chunks, as milliseconds.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Heard {
        taken_ms: u64,
        filled_ms: u64,
        dropped_ms: u64,
        given_up: u64,
    }

    fn place(chunks: impl IntoIterator<Item = (Numbers, u64)>, content: fn(u64) -> Vec<i16>) -> Heard {
        let (mut sequence, start, mut heard) = (Sequence::default(), Instant::now(), Heard::default());
        for (n, (numbers, at_ms)) in chunks.into_iter().enumerate() {
            let now = start + Duration::from_millis(at_ms);
            match sequence.place(numbers, &content(n as u64), now) {
                Some(Irregularity::Duplicate) => {
                    heard.dropped_ms += 20;
                    continue;
                }
                Some(Irregularity::Missing(count)) => heard.filled_ms += 20 * count,
                Some(Irregularity::Numbering) => heard.given_up += 1,
                Some(Irregularity::Jump | Irregularity::Rate) | None => {}
            }
            heard.taken_ms += 20;
            let passed = at_ms + 20 + FILL_MAX.as_millis() as u64;
            assert!(heard.taken_ms + heard.filled_ms <= passed, "{heard:?} after {at_ms} ms");
        }
        heard
    }

    fn all(chunk: u64, timestamp: u64, sequence: u64) -> Numbers {
        Numbers { chunk: Some(chunk), timestamp: Some(timestamp), sequence: Some(sequence) }
    }

    type Numbering = fn(u64) -> Numbers;

    /// Twelve seconds in real time: the caller is heard whole, whatever the numbers are.
    #[rstest]
    #[case::counting(|n: u64| all(n + 1, n * 20, n + 2), 0)]
    #[case::constant(|n: u64| all(1, n * 20, n + 2), 1)]
    #[case::constant_and_nothing_else(|_: u64| Numbers::of_chunk(Some(1)), 1)]
    #[case::all_constant(|_: u64| all(0, 0, 0), 1)]
    #[case::missing(|n: u64| Numbers { chunk: None, ..all(0, n * 20, n) }, 0)]
    #[case::every_fourth_missing(|n: u64| Numbers { chunk: Some(n).filter(|n| n & 3 > 0), ..all(0, n * 20, n) }, 1)]
    #[case::steps_of_two(|n: u64| all(2 * n + 1, n * 20, n + 2), 1)]
    #[case::steps_of_two_and_nothing_else(|n: u64| Numbers::of_chunk(Some(2 * n + 1)), 1)]
    #[case::milliseconds(|n: u64| all(20 * n, n * 20, n + 2), 1)]
    #[case::samples(|n: u64| all(160 * n, n * 20, n + 2), 1)]
    #[case::samples_everywhere(|n: u64| all(160 * n, n * 160, n + 2), 1)]
    #[case::microseconds(|n: u64| all(20_000 * n, n * 20, n + 2), 1)]
    #[case::restarting(|n: u64| all(n % 40 + 1, n * 20, n + 2), 1)]
    #[case::restarting_all(|n: u64| all(n % 40 + 1, n % 40 * 20, n % 40 + 2), 1)]
    #[case::restarting_after_seven(|n: u64| Numbers::of_chunk(Some(n % 7)), 1)]
    #[case::one_restart(|n: u64| all(n % 300, n * 20, n), 0)]
    #[case::down(|n: u64| all(10_000 - n, n * 20, n + 2), 1)]
    #[case::down_with_its_timestamp(|n: u64| all(10_000 - n, (10_000 - n) * 20, n + 2), 1)]
    #[case::huge(|n: u64| all(u64::MAX - n % 2, n * 20, n + 2), 1)]
    #[case::random(|n: u64| all(n.wrapping_mul(0x9E37_79B9_7F4A_7C15), n * 20, n + 2), 1)]
    #[case::pairs_swapped(|n: u64| all(n ^ 1, n * 20, n + 2), 1)]
    #[case::pairs_swapped_with_their_timestamps(|n: u64| all(n ^ 1, (n ^ 1) * 20, n + 2), 1)]
    #[case::each_number_twice(|n: u64| all(n / 2, n * 20, n + 2), 1)]
    #[case::two_tracks(|n: u64| all(2 * n, n * 20, 2 * n), 1)]
    #[case::timestamps_in_samples(|n: u64| all(n, n * 160, n + 2), 0)]
    #[case::timestamps_of_the_day(|n: u64| all(n, 1_795_226_400_123 + n * 20, n + 2), 0)]
    #[case::sixteen_bits(|n: u64| all((65_500 + n) % 65_536, n * 20, n + 2), 0)]
    #[case::thirty_two_bits_from_one(|n: u64| all(if n < 9 { u64::from(u32::MAX) - 8 + n } else { n - 8 }, n * 20, n), 0)]
    fn no_numbering_decides_what_is_heard(
        #[case] numbering: Numbering,
        #[case] given_up: u64,
        #[values(noise, tone)] content: fn(u64) -> Vec<i16>,
        #[values(0, 9, 45)] jitter_ms: u64,
    ) {
        let heard = place((0..600).map(|n| (numbering(n), n * 20 + n * 7 % 5 * jitter_ms / 4)), content);
        assert_eq!((heard.taken_ms, heard.dropped_ms), (12_000, 0), "{heard:?}");
        assert_eq!(heard.given_up, given_up);
        assert!(heard.filled_ms <= 100, "{heard:?}");
    }

    /// Chunks as they are sent: number, and when in milliseconds. `timestamp` and `sequenceNumber` agree with the number.
    #[rstest]
    #[case::in_order(&[(1, 0), (2, 20), (3, 40)], 60, 0, 0)]
    #[case::twice(&[(1, 0), (2, 20), (2, 21), (3, 40)], 60, 0, 20)]
    #[case::the_first_twice(&[(1, 0), (1, 0), (2, 20)], 40, 0, 20)]
    #[case::three_times_each(&[(1, 0), (1, 0), (1, 0), (2, 20), (2, 20), (2, 20)], 40, 0, 80)]
    #[case::again_later(&[(1, 0), (2, 20), (3, 40), (4, 60), (2, 61), (3, 61), (5, 80)], 100, 0, 40)]
    #[case::a_gap_in_time(&[(1, 0), (2, 20), (6, 100), (7, 120)], 80, 60, 0)]
    #[case::a_gap_at_once(&[(1, 0), (2, 20), (6, 40), (7, 60)], 80, 60, 0)]
    #[case::a_gap_in_a_burst(&[(1, 0), (2, 200), (6, 200), (7, 200), (8, 200)], 100, 60, 0)]
    #[case::the_longest_gap(&[(1, 0), (2, 20), (52, 1020), (53, 1040)], 80, 980, 0)]
    #[case::a_longer_one(&[(1, 0), (2, 20), (53, 1060), (54, 1080)], 80, 0, 0)]
    #[case::overtaken(&[(1, 0), (2, 20), (4, 40), (3, 60), (5, 80)], 100, 0, 0)]
    #[case::one_of_two_missing_is_late(&[(1, 0), (2, 20), (5, 40), (3, 60), (6, 80)], 100, 20, 0)]
    #[case::two_gaps(&[(1, 0), (2, 20), (4, 60), (5, 80), (7, 120)], 100, 40, 0)]
    #[case::a_restart_after_a_pause(&[(1, 0), (2, 20), (1, 5000), (2, 5020), (3, 5040)], 100, 0, 0)]
    fn true_repairs_work(
        #[case] chunks: &[(u64, u64)],
        #[case] taken_ms: u64,
        #[case] filled_ms: u64,
        #[case] dropped_ms: u64,
    ) {
        let expected = Heard { taken_ms, filled_ms, dropped_ms, given_up: 0 };
        let (mut sequence, start, mut heard) = (Sequence::default(), Instant::now(), Heard::default());
        for &(n, at_ms) in chunks {
            let content = noise(n + if at_ms >= 5000 { 1000 } else { 0 });
            let numbers = all(n, n * 20 + if at_ms >= 5000 { 5000 } else { 0 }, n + 1);
            match sequence.place(numbers, &content, start + Duration::from_millis(at_ms)) {
                Some(Irregularity::Duplicate) => {
                    heard.dropped_ms += 20;
                    continue;
                }
                Some(Irregularity::Missing(count)) => heard.filled_ms += 20 * count,
                Some(Irregularity::Numbering) => heard.given_up += 1,
                Some(Irregularity::Jump | Irregularity::Rate) | None => {}
            }
            heard.taken_ms += 20;
        }
        assert_eq!(heard, expected);
    }

    #[test]
    fn numbers_that_all_lie_alike_fill_no_more_than_a_second_beyond_the_time() {
        let heard = place((0..400).map(|n| (all(n * 30, n * 600, n * 30), n * 20)), noise);
        assert_eq!((heard.taken_ms, heard.given_up), (8000, 1));
        assert!(heard.filled_ms <= 1000);
    }

    #[test]
    fn disagreements_that_are_far_apart_are_forgotten() {
        let restart = |n: u64| all(n % 700, n * 20, n);
        let chunks = (0..7000).map(|n| (restart(n), n * 20));
        assert_eq!(place(chunks, noise), Heard { taken_ms: 140_000, ..Heard::default() });
    }

    #[test]
    fn a_clock_that_drifts_takes_nothing_from_a_true_gap() {
        let at = |n: u64| n * 20 - n / 100;
        let chunks = (0..20_000).chain(20_010..20_020).map(|n| (Numbers::of_chunk(Some(n)), at(n)));
        assert_eq!(place(chunks, noise).filled_ms, 200);
    }
}
