//! How much a carrier may send: everything that arrives counts, by number and by bytes.

use std::time::{Duration, Instant};

/// A carrier sends 50 frames a second, and a few marks and keys.
const PER_SECOND: u32 = 100;

/// After a stall of the network everything comes at once: five seconds of it.
const BURST: u32 = 500;

/// A carrier sends some 17 KB a second.
const BYTES_PER_SECOND: u32 = 64 << 10;

/// Thirty seconds of a carrier at once, or eight of the largest messages.
const BYTES_BURST: u32 = 512 << 10;

/// A stream that is over the limit for so long is ended.
const ENDLESS_AFTER: Duration = Duration::from_secs(5);

/// A flood that pauses for so long is over.
const OVER_AFTER: Duration = Duration::from_secs(1);

/// What becomes of an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    /// Over the limit: not to be read.
    Refused,
    /// Over the limit for [`ENDLESS_AFTER`]: the stream is to be ended.
    Endless,
}

/// Two token buckets, and for how long they have been empty.
#[derive(Debug)]
pub(super) struct Flood {
    messages: Bucket,
    bytes: Bucket,
    /// The first and the last refusal of the present flood.
    refused: Option<(Instant, Instant)>,
}

impl Flood {
    pub(super) const fn new(now: Instant) -> Self {
        let messages = Bucket::new(BURST, PER_SECOND, now);
        Self { messages, bytes: Bucket::new(BYTES_BURST, BYTES_PER_SECOND, now), refused: None }
    }

    /// Whether these arrivals, with so many bytes together, may be taken.
    pub(super) fn admit(&mut self, arrivals: u32, bytes: usize, now: Instant) -> Verdict {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if self.messages.has(arrivals, now) && self.bytes.has(bytes, now) {
            self.messages.tokens -= arrivals;
            self.bytes.tokens -= bytes;
            return Verdict::Taken;
        }
        let since = match self.refused {
            Some((first, last)) if now.saturating_duration_since(last) < OVER_AFTER => first,
            Some(_) | None => now,
        };
        self.refused = Some((since, now));
        if now.saturating_duration_since(since) >= ENDLESS_AFTER {
            Verdict::Endless
        } else {
            Verdict::Refused
        }
    }
}

#[derive(Debug)]
struct Bucket {
    tokens: u32,
    burst: u32,
    per_second: u32,
    refilled: Instant,
}

impl Bucket {
    const fn new(burst: u32, per_second: u32, now: Instant) -> Self {
        Self { tokens: burst, burst, per_second, refilled: now }
    }

    /// Whether there are so many tokens at `now`.
    fn has(&mut self, tokens: u32, now: Instant) -> bool {
        let each = Duration::from_nanos(1_000_000_000 / u64::from(self.per_second));
        let earned = now.saturating_duration_since(self.refilled).as_nanos() / each.as_nanos();
        if let Ok(earned) = u32::try_from(earned)
            && earned < self.burst
        {
            self.tokens = (self.tokens + earned).min(self.burst);
            self.refilled += each * earned;
        } else {
            self.tokens = self.burst;
            self.refilled = now;
        }
        self.tokens >= tokens
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// A message of a carrier.
    const MEDIA: usize = 330;

    #[test]
    fn a_call_passes_a_stall_is_caught_up_and_a_flood_is_cut() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut flood = Flood::new(start);
        let is_taken = |flood: &mut Flood, at| flood.admit(1, MEDIA, at) == Verdict::Taken;
        assert!((0..1000).all(|n| is_taken(&mut flood, at(n * 20))), "50 a second");
        assert!((0..250).all(|_| is_taken(&mut flood, at(25_000))), "five seconds at once");
        let passed = (0..4_000).filter(|n| is_taken(&mut flood, at(30_000 + n))).count();
        assert_eq!(passed, 899, "four seconds of 1000 a second: the burst and 100 a second");
    }

    #[rstest]
    #[case::pings(25, 0, 5)]
    #[case::empty_messages(1, 0, 1)]
    #[case::media_at_twenty_times_the_pace(1, MEDIA, 1)]
    #[case::the_largest_messages(1, 64 << 10, 100)]
    #[case::large_messages_at_the_pace_of_a_carrier(1, 4 << 10, 20)]
    fn a_flood_that_lasts_ends_the_stream(
        #[case] arrivals: u32,
        #[case] bytes: usize,
        #[case] every_ms: u64,
    ) {
        let start = Instant::now();
        let mut flood = Flood::new(start);
        let mut verdicts = (0..60_000 / every_ms).map(|n| {
            let ms = n * every_ms;
            (ms, flood.admit(arrivals, bytes, start + Duration::from_millis(ms)))
        });
        let (refused, _) = verdicts.find(|(_, verdict)| *verdict == Verdict::Refused).unwrap();
        let (ended, _) = verdicts.find(|(_, verdict)| *verdict == Verdict::Endless).unwrap();
        assert!((5_000..5_100).contains(&(ended - refused)), "{refused} {ended}");
    }

    #[rstest]
    #[case::one_second_in_each_message(10_900, 1_000, 1)]
    #[case::three_frames_together(900, 60, 1)]
    #[case::a_ping_with_each_frame(MEDIA, 20, 2)]
    #[case::ten_milliseconds(220, 10, 1)]
    fn a_carrier_that_means_well_is_never_refused(
        #[case] bytes: usize,
        #[case] every_ms: u64,
        #[case] arrivals: u32,
    ) {
        let start = Instant::now();
        let mut flood = Flood::new(start);
        assert!((0..10_000).all(|n| {
            flood.admit(arrivals, bytes, start + Duration::from_millis(n * every_ms)) == Verdict::Taken
        }));
    }

    #[test]
    fn a_flood_that_pauses_begins_anew() {
        let start = Instant::now();
        let mut flood = Flood::new(start);
        for second in 0..30 {
            let at = start + Duration::from_secs(second * 3);
            let endless =
                (0..2000).any(|n| flood.admit(1, 0, at + Duration::from_millis(n / 2)) == Verdict::Endless);
            assert!(!endless);
        }
    }
}
