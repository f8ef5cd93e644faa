//! The calls of this process: who runs, how to reach them, and how to wait until they are gone.
//!
//! The server's graceful shutdown does not wait for upgraded sockets, so calls are counted here.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::call::Control;
use crate::id::CallId;
use crate::net::bell::Bell;

/// Controls that may wait for one call: it is told to drain once and superseded once; people do the rest.
const CONTROLS_MAX: usize = 8;

/// Time for the sockets and the records of a call after its deadline.
const GRACE: Duration = Duration::from_secs(3);

/// The running calls, by the carrier's id of the call.
#[derive(Debug)]
pub(super) struct Registry {
    calls: Mutex<HashMap<String, (CallId, mpsc::Sender<Control>)>>,
    /// Streams that run, superseded ones that are still closing included.
    active: watch::Sender<usize>,
    /// When the last call must have ended, once the process is told to stop.
    drain_at: OnceLock<Instant>,
}

/// A call's place in the registry; dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Arc<Registry>,
    call_sid: String,
    call: CallId,
    controls: mpsc::Receiver<Control>,
    bell: Bell,
}

impl Registry {
    pub(super) fn new() -> Arc<Self> {
        let (active, _) = watch::channel(0);
        Arc::new(Self { calls: Mutex::default(), active, drain_at: OnceLock::new() })
    }

    /// Enters a call. Of two streams of one call the newer wins: the older is told so. A call that was admitted
    /// just before the process was told to stop is told to end.
    pub(super) fn enter(self: &Arc<Self>, call_sid: String, call: CallId) -> Registration {
        let (sender, controls) = mpsc::channel(CONTROLS_MAX);
        if let Some(&deadline) = self.drain_at.get() {
            let _ = sender.try_send(Control::Drain { deadline });
        }
        if let Some((_, older)) = self.lock().insert(call_sid.clone(), (call, sender)) {
            // A full queue means that the older one is ending already.
            let _ = older.try_send(Control::Supersede);
        }
        self.active.send_modify(|active| *active += 1);
        Registration { registry: Arc::clone(self), call_sid, call, controls, bell: Bell::default() }
    }

    /// Tells something to the call with this SID of the carrier or this call id; `false` if it does not run.
    pub(super) fn tell(&self, id: &str, control: Control) -> bool {
        let calls = self.lock();
        let by_id = || calls.values().find(|(call, _)| call.to_string().eq_ignore_ascii_case(id));
        calls.get(id).or_else(by_id).is_some_and(|(_, call)| call.try_send(control).is_ok())
    }

    pub(super) fn active(&self) -> usize {
        *self.active.borrow()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain_at.get().is_some()
    }

    /// Ends all calls by `deadline` and waits until they are gone, or a little longer. `false` if some are not.
    pub(super) async fn drain(&self, deadline: Instant) -> bool {
        let deadline = *self.drain_at.get_or_init(|| deadline);
        for (_, call) in self.lock().values() {
            let _ = call.try_send(Control::Drain { deadline });
        }
        let mut active = self.active.subscribe();
        let left = deadline.saturating_duration_since(tokio::time::Instant::now().into_std()) + GRACE;
        timeout(left, active.wait_for(|active| *active == 0)).await.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (CallId, mpsc::Sender<Control>)>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    pub(super) fn call_sid(&self) -> &str {
        &self.call_sid
    }

    /// Waits for what the call is told from outside. Cancel-safe.
    pub(super) async fn control(&mut self) -> Option<Control> {
        poll_fn(|cx| {
            if !self.bell.listen(cx) {
                return Poll::Pending;
            }
            let polled = self.controls.poll_recv(&mut Context::from_waker(&self.bell.waker()));
            self.bell.arm(&polled);
            polled
        })
        .await
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut calls = self.registry.lock();
        if calls.get(&self.call_sid).is_some_and(|(call, _)| *call == self.call) {
            calls.remove(&self.call_sid);
        }
        drop(calls);
        self.registry.active.send_modify(|active| *active -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newer_stream_of_a_call_supersedes_the_older() {
        let registry = Registry::new();
        let mut older = registry.enter("CA1".into(), CallId::new(1));
        let newer = registry.enter("CA1".into(), CallId::new(2));
        assert_eq!(older.control().await, Some(Control::Supersede));
        drop(older);
        assert_eq!(registry.active(), 1);
        assert!(registry.lock().contains_key("CA1"), "the older one leaves the newer one's place alone");
        drop(newer);
        assert_eq!((registry.active(), registry.lock().len()), (0, 0));
    }

    #[tokio::test]
    async fn a_call_is_told_by_either_of_its_ids() {
        let registry = Registry::new();
        let mut call = registry.enter("CA1".into(), CallId::new(1));
        let id = CallId::new(1).to_string();
        assert!(
            registry.tell("CA1", Control::PauseRecording) && registry.tell(&id, Control::ResumeRecording)
        );
        assert!(!registry.tell("CA2", Control::PauseRecording));
        assert_eq!(call.control().await, Some(Control::PauseRecording));
        assert_eq!(call.control().await, Some(Control::ResumeRecording));
        drop(call);
        assert!(!registry.tell("CA1", Control::PauseRecording));
    }

    #[tokio::test(start_paused = true)]
    async fn draining_tells_every_call_and_waits_for_the_last_one() {
        let registry = Registry::new();
        let mut call = registry.enter("CA1".into(), CallId::new(1));
        let deadline = tokio::time::Instant::now().into_std() + Duration::from_secs(10);
        let ends = async {
            assert_eq!(call.control().await, Some(Control::Drain { deadline }));
            drop(call);
        };
        let (is_empty, ()) = tokio::join!(registry.drain(deadline), ends);
        assert!(is_empty && registry.is_draining());
        let mut stuck = registry.enter("CA2".into(), CallId::new(2));
        assert_eq!(stuck.control().await, Some(Control::Drain { deadline }), "it came too late");
        assert!(!registry.drain(deadline).await, "a call that does not end does not hold the process");
    }
}
