//! How long a service asked to be left alone. Shared by all calls, so that none asks before.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A longer one is believed for this long: what was out of order is asked about again.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Until when a service is not asked.
#[derive(Debug, Default)]
pub(super) struct Pause(Mutex<Option<Instant>>);

impl Pause {
    /// The service asks to be left alone for `wait`. A shorter wait than one before takes nothing back.
    pub(super) fn begin(&self, wait: Duration, now: Instant) {
        let until = now + wait.min(PAUSE_MAX);
        let mut pause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *pause = Some(pause.map_or(until, |before| before.max(until)));
    }

    /// How long it still lasts.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let mut pause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pause.take_if(|until| *until <= now);
        pause.map(|until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_lasts_as_long_as_asked_for_and_five_minutes_at_most() {
        let (pause, now) = (Pause::default(), Instant::now());
        let at = |ms| now + Duration::from_millis(ms);
        assert_eq!(pause.left(now), None);
        pause.begin(Duration::from_secs(2), now);
        pause.begin(Duration::from_secs(1), now);
        assert_eq!(pause.left(at(500)), Some(Duration::from_millis(1500)));
        assert_eq!(pause.left(at(2000)), None);
        pause.begin(Duration::from_secs(9999), now);
        assert_eq!(pause.left(now), Some(PAUSE_MAX));
    }
}
