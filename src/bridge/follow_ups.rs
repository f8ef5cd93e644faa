//! What becomes of callers whose stream was closed: kept until the carrier asks.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::carrier::FollowUp;

/// The carrier asks a second after the end of the stream; its webhook may be repeated for 15 s.
const KEPT: Duration = Duration::from_secs(60);

/// Callers that may be on their way at once; more are hung up on.
const MAX: usize = 10_000;

/// By the carrier's id of the call.
#[derive(Debug, Default)]
pub(super) struct FollowUps {
    pending: Mutex<HashMap<String, (FollowUp, Instant)>>,
}

impl FollowUps {
    pub(super) fn put(&self, call_sid: &str, follow_up: FollowUp, now: Instant) {
        let mut pending = self.lock();
        pending.retain(|_, (_, at)| now.saturating_duration_since(*at) < KEPT);
        if pending.len() < MAX {
            pending.insert(call_sid.to_owned(), (follow_up, now));
        }
    }

    /// What the carrier is to do; asked again, the answer is the same.
    pub(super) fn of(&self, call_sid: &str) -> FollowUp {
        self.lock().get(call_sid).map(|(follow_up, _)| follow_up.clone()).unwrap_or_default()
    }

    pub(super) fn forget(&self, call_sid: &str) {
        self.lock().remove(call_sid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (FollowUp, Instant)>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_handed_on_as_the_agent_says_for_a_minute() {
        let (follow_ups, start) = (FollowUps::default(), Instant::now());
        follow_ups.put("CA1", FollowUp::Voicemail, start);
        assert_eq!([follow_ups.of("CA1"), follow_ups.of("CA1")], [FollowUp::Voicemail, FollowUp::Voicemail]);
        assert_eq!(follow_ups.of("CA2"), FollowUp::HangUp);
        follow_ups.put("CA3", FollowUp::Voicemail, start + KEPT);
        assert_eq!(follow_ups.of("CA1"), FollowUp::HangUp);
        follow_ups.forget("CA3");
        assert_eq!(follow_ups.of("CA3"), FollowUp::HangUp, "the caller was connected again");
    }
}
