//! The work of the fallback that is under way for one call. Dropping it cancels all of it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use futures_util::StreamExt as _;

use crate::id::JobId;
use crate::job::Event;
use crate::provider::pool::Job;

/// Pulled one after the other in turn; there is no task behind any of them.
#[derive(Default)]
pub(super) struct Jobs {
    running: Vec<(JobId, Job)>,
}

impl Jobs {
    pub(super) fn start(&mut self, id: JobId, job: Job) {
        self.running.push((id, job));
    }

    /// Stops a job, if it runs: its connection is closed.
    pub(super) fn cancel(&mut self, id: JobId) {
        self.running.retain(|(running, _)| *running != id);
    }

    /// Waits for what a job tells next; for ever if none runs. Cancel-safe.
    pub(super) async fn next(&mut self) -> (JobId, Event) {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(JobId, Event)> {
        let mut index = 0;
        while let Some((id, job)) = self.running.get_mut(index) {
            let id = *id;
            match job.poll_next_unpin(cx) {
                Poll::Ready(Some(event)) => {
                    // The others have their turn first next time.
                    self.running[index..].rotate_left(1);
                    return Poll::Ready((id, event));
                }
                Poll::Ready(None) => drop(self.running.remove(index)),
                Poll::Pending => index += 1,
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn job(words: &'static [&'static str]) -> Job {
        stream::iter(words).map(|word| Event::Text((*word).to_owned())).boxed()
    }

    #[tokio::test]
    async fn jobs_have_their_turns_and_the_ended_and_the_cancelled_are_gone() {
        let mut jobs = Jobs::default();
        jobs.start(JobId(1), job(&["a", "b"]));
        jobs.start(JobId(2), job(&["c", "d"]));
        jobs.start(JobId(3), job(&["x"]));
        jobs.cancel(JobId(3));
        let mut told = Vec::new();
        for _ in 0..4 {
            told.push(jobs.next().await.0.0);
        }
        assert_eq!(told, [1, 2, 1, 2]);
        let nothing = futures_util::FutureExt::now_or_never(jobs.next());
        assert!(nothing.is_none() && jobs.running.is_empty());
    }
}
