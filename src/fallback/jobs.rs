//! The jobs under way: at most one of each kind, each with its deadlines. Knows nothing of what they are for.

use std::time::{Duration, Instant};

use crate::id::JobId;
use crate::job::{Failure, Kind};

/// The jobs of one session.
#[derive(Debug)]
pub(super) struct Jobs {
    next: JobId,
    /// A job that tells nothing for this long is given up.
    silence_max: Duration,
    /// A job that takes this long is given up.
    total_max: Duration,
    transcribe: Option<Running>,
    think: Option<Running>,
    speak: Option<Running>,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    id: JobId,
    since: Instant,
    /// When it told something last.
    told: Option<Instant>,
}

pub(super) const KINDS: [Kind; 3] = [Kind::Transcribe, Kind::Think, Kind::Speak];

impl Jobs {
    pub(super) const fn new(next: JobId, silence_max: Duration, total_max: Duration) -> Self {
        Self { next, silence_max, total_max, transcribe: None, think: None, speak: None }
    }

    /// The id that the next job will have.
    pub(super) const fn next(&self) -> JobId {
        self.next
    }

    pub(super) const fn is_running(&self, kind: Kind) -> bool {
        self.running(kind).is_some()
    }

    /// Begins a job of a kind of which none is running.
    pub(super) fn start(&mut self, kind: Kind, now: Instant) -> JobId {
        let id = self.next;
        self.next = id.next();
        *self.slot(kind) = Some(Running { id, since: now, told: None });
        id
    }

    /// A job told something: its kind, or `None` if it is not under way any more.
    pub(super) fn told(&mut self, id: JobId, now: Instant) -> Option<Kind> {
        let kind = KINDS.into_iter().find(|kind| self.running(*kind).is_some_and(|job| job.id == id))?;
        if let Some(job) = self.slot(kind) {
            job.told = Some(now);
        }
        Some(kind)
    }

    /// Forgets the job of this kind.
    pub(super) fn end(&mut self, kind: Kind) -> Option<JobId> {
        self.slot(kind).take().map(|job| job.id)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        KINDS.into_iter().filter_map(|kind| self.deadline(kind)).min()
    }

    /// A job that is to be given up, and why.
    pub(super) fn expired(&self, now: Instant) -> Option<(Kind, Failure)> {
        let kind = KINDS.into_iter().find(|kind| self.deadline(*kind).is_some_and(|at| now >= at))?;
        let job = self.running(kind)?;
        let failure = match job.told {
            _ if now >= job.since + self.total_max => Failure::TooLong,
            Some(_) => Failure::Stalled,
            None => Failure::FirstByteTimeout,
        };
        Some((kind, failure))
    }

    fn deadline(&self, kind: Kind) -> Option<Instant> {
        let job = self.running(kind)?;
        let silent_at = job.told.unwrap_or(job.since) + self.silence_max;
        Some(silent_at.min(job.since + self.total_max))
    }

    const fn running(&self, kind: Kind) -> Option<&Running> {
        match kind {
            Kind::Transcribe => self.transcribe.as_ref(),
            Kind::Think => self.think.as_ref(),
            Kind::Speak => self.speak.as_ref(),
        }
    }

    const fn slot(&mut self, kind: Kind) -> &mut Option<Running> {
        match kind {
            Kind::Transcribe => &mut self.transcribe,
            Kind::Think => &mut self.think,
            Kind::Speak => &mut self.speak,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::never_told(&[], 20, Failure::FirstByteTimeout)]
    #[case::fell_silent(&[5, 12], 32, Failure::Stalled)]
    #[case::never_ends(&[15, 30, 45, 59], 60, Failure::TooLong)]
    fn a_job_has_deadlines(#[case] told: &[u64], #[case] expired: u64, #[case] failure: Failure) {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut jobs = Jobs::new(JobId(1), Duration::from_secs(20), Duration::from_secs(60));
        let id = jobs.start(Kind::Think, start);
        for &seconds in told {
            assert_eq!(jobs.told(id, at(seconds)), Some(Kind::Think));
        }
        assert_eq!(jobs.poll_timeout(), Some(at(expired)));
        assert_eq!(jobs.expired(at(expired) - Duration::from_millis(1)), None);
        assert_eq!(jobs.expired(at(expired)), Some((Kind::Think, failure)));
        assert_eq!(jobs.end(Kind::Think), Some(id));
        assert_eq!((jobs.told(id, at(expired)), jobs.poll_timeout()), (None, None));
    }
}
