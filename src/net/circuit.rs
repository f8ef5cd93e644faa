//! The circuit breaker of one endpoint, shared by every call of the process. Knows nothing of what is dialled.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::breaker::{Admission, Breaker};

/// Between two asks while enough attempts are under way: short beside a connection that takes half a second,
/// and different for each waiter, so that they do not come back together.
const ASK_AGAIN_MS: std::ops::RangeInclusive<u64> = 50..=150;

/// The breaker of one endpoint. Its lock is held for an instant, never across a wait.
#[derive(Debug, Default)]
pub struct Circuit {
    breaker: Mutex<Breaker>,
}

/// The endpoint is known to fail, or is under suspicion for longer than the caller can wait: go elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not asked: it failed too often of late")]
pub struct Open;

impl Circuit {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Asks for leave to try the endpoint; waits while enough others try it, up to `give_up`.
    pub async fn admit(self: &Arc<Self>, give_up: Duration) -> Result<Attempt, Open> {
        let deadline = tokio::time::Instant::now() + give_up;
        loop {
            let admission = self.breaker().admit(now());
            match admission {
                Admission::Granted => return Ok(Attempt { circuit: Some(Arc::clone(self)) }),
                Admission::Open => return Err(Open),
                Admission::Busy => {}
            }
            let ask_again = tokio::time::Instant::now() + jitter();
            if ask_again > deadline {
                return Err(Open);
            }
            tokio::time::sleep_until(ask_again).await;
        }
    }

    /// Leave to try the endpoint for a caller who has nowhere else to go: sooner or later within `spread` it is given
    /// whatever is known of the endpoint, so that an outage of many calls sees no burst.
    pub async fn admit_anyway(self: &Arc<Self>, spread: Duration) -> Attempt {
        let latest = tokio::time::Instant::now() + spread.mul_f64(rand::random());
        loop {
            match self.breaker().admit(now()) {
                Admission::Granted => return Attempt { circuit: Some(Arc::clone(self)) },
                Admission::Open | Admission::Busy => {}
            }
            if tokio::time::Instant::now() >= latest {
                self.breaker().insist();
                return Attempt { circuit: Some(Arc::clone(self)) };
            }
            tokio::time::sleep_until(latest.min(tokio::time::Instant::now() + jitter())).await;
        }
    }

    /// An established connection broke: a reason to be careful with the next ones.
    pub fn suspect(&self) {
        self.breaker().suspect();
    }

    /// Whether the endpoint is known to fail.
    pub fn is_open(&self) -> bool {
        self.breaker().is_open()
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to try the endpoint once. Dropped without an outcome, it never was.
#[derive(Debug)]
#[must_use = "dropping it withdraws the attempt"]
pub struct Attempt {
    /// `None`: the outcome is reported.
    circuit: Option<Arc<Circuit>>,
}

impl Attempt {
    /// The endpoint is healthy.
    pub fn succeed(mut self) {
        if let Some(circuit) = self.circuit.take() {
            circuit.breaker().succeed(now());
        }
    }

    /// The endpoint failed, and perhaps said how long it is not to be tried.
    pub fn fail(mut self, hold: Option<Duration>) {
        if let Some(circuit) = self.circuit.take() {
            let mut breaker = circuit.breaker();
            breaker.fail(now());
            if let Some(wait) = hold {
                breaker.hold(wait, now());
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(circuit) = self.circuit.take() {
            circuit.breaker().withdraw();
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn jitter() -> Duration {
    Duration::from_millis(rand::random_range(ASK_AGAIN_MS))
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::breaker::{FAILURES_MAX, PROBE_INTERVAL, PROBES_MAX};

    /// Longer than anything here.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A circuit under suspicion with as many attempts under way as it allows.
    async fn busy() -> (Arc<Circuit>, Vec<Attempt>) {
        let circuit = Circuit::new();
        circuit.suspect();
        let mut attempts = Vec::new();
        for _ in 0..FAILURES_MAX {
            attempts.push(circuit.admit(Duration::ZERO).await.unwrap());
        }
        (circuit, attempts)
    }

    /// In steps, so that everybody who waits asks several times.
    async fn pass_a_second() {
        for _ in 0..20 {
            tokio::time::advance(Duration::from_millis(50)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_hundred_calls_in_an_outage_make_ten_attempts_and_three_probes_every_five_seconds() {
        let circuit = Circuit::new();
        circuit.suspect();
        let (tried, mut attempts) = mpsc::channel(200);
        for _ in 0..200 {
            let (circuit, tried) = (Arc::clone(&circuit), tried.clone());
            tokio::spawn(async move {
                let mut again = tokio::time::interval(jitter());
                while !tried.is_closed() {
                    again.tick().await;
                    if let Ok(attempt) = circuit.admit(PATIENCE).await {
                        drop(tried.send(attempt).await);
                    }
                }
            });
        }
        // All of the first ones fail at the same moment, a second later.
        pass_a_second().await;
        let first: Vec<_> = std::iter::from_fn(|| attempts.try_recv().ok()).collect();
        assert_eq!(first.len(), FAILURES_MAX, "nobody else was admitted");
        first.into_iter().for_each(|attempt| attempt.fail(None));
        assert!(circuit.is_open());

        let start = tokio::time::Instant::now();
        for round in 1..=3 {
            for probe in 0..PROBES_MAX {
                attempts.recv().await.unwrap().fail(None);
                let late = start.elapsed() - PROBE_INTERVAL * round;
                assert!(late < PROBE_INTERVAL / 2, "probe {probe} of round {round}, {late:?} late");
            }
        }
        assert!(attempts.try_recv().is_err(), "a few probes at a time");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_when_an_attempt_succeeds() {
        let (circuit, mut attempts) = busy().await;
        let waiter = tokio::spawn({
            let circuit = Arc::clone(&circuit);
            async move { circuit.admit(PATIENCE).await.map(Attempt::succeed) }
        });
        pass_a_second().await;
        assert!(!waiter.is_finished());
        attempts.pop().unwrap().succeed();
        assert_eq!(waiter.await.unwrap(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_wait_longer_goes_elsewhere_in_time() {
        let (circuit, _attempts) = busy().await;
        let start = tokio::time::Instant::now();
        let give_up = Duration::from_millis(400);
        assert_eq!(circuit.admit(give_up).await.map(drop), Err(Open));
        assert!(start.elapsed() <= give_up);
        assert!(!circuit.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_without_an_outcome_makes_room() {
        let (circuit, mut attempts) = busy().await;
        assert_eq!(circuit.admit(Duration::ZERO).await.map(drop), Err(Open));
        drop(attempts.pop());
        assert!(circuit.admit(Duration::ZERO).await.is_ok());
    }
    #[tokio::test(start_paused = true)]
    async fn calls_with_nowhere_else_to_go_are_all_let_through_and_spread_over_the_time() {
        let (circuit, attempts) = busy().await;
        attempts.into_iter().for_each(|attempt| attempt.fail(None));
        assert!(circuit.is_open());
        let start = tokio::time::Instant::now();
        let calls: Vec<_> = (0..200)
            .map(|_| {
                let circuit = Arc::clone(&circuit);
                tokio::spawn(async move {
                    circuit.admit_anyway(Duration::from_secs(1)).await.fail(None);
                    tokio::time::Instant::now()
                })
            })
            .collect();
        let mut tenths = [0; 11];
        for call in calls {
            tenths[((call.await.unwrap() - start).as_millis() / 100) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| *count < 60), "{tenths:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_nowhere_else_to_go_waits_for_a_slot_a_moment_only() {
        let (circuit, _attempts) = busy().await;
        let start = tokio::time::Instant::now();
        circuit.admit_anyway(Duration::from_millis(400)).await.succeed();
        assert!(start.elapsed() <= Duration::from_millis(400));
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_names_a_time_is_left_alone_until_then() {
        let circuit = Circuit::new();
        circuit.admit(Duration::ZERO).await.unwrap().fail(Some(Duration::from_secs(20)));
        assert_eq!(circuit.admit(PATIENCE).await.map(drop), Err(Open));
        tokio::time::advance(Duration::from_secs(20)).await;
        assert!(circuit.admit(PATIENCE).await.is_ok());
    }
}
