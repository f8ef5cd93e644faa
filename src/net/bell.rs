//! Looks at a source of events only when it has something.
//!
//! A call waits for several sources at once, and each time it wakes it would look at all of them. Most of its wakes are
//! for one: to find nothing in the others, through TLS and WebSocket, costs as much as to find something.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// The bell of one source.
#[derive(Debug)]
pub struct Bell {
    ring: Arc<Ring>,
    /// Rings: with it the source is polled.
    waker: Waker,
    /// Who is woken by it, if it has not rung since.
    owner: Option<Waker>,
    /// The source was looked at and had nothing: it will ring.
    is_armed: bool,
}

#[derive(Debug, Default)]
struct Ring {
    has_rung: AtomicBool,
    owner: AtomicWaker,
}

impl Default for Bell {
    fn default() -> Self {
        let ring = Arc::<Ring>::default();
        let waker = Waker::from(Arc::clone(&ring));
        Self { ring, waker, owner: None, is_armed: false }
    }
}

impl Bell {
    /// Whether the source may have something. If not, who asks is woken when it has.
    pub fn listen(&mut self, cx: &Context<'_>) -> bool {
        let is_silent = self.is_armed && !self.ring.has_rung.load(Ordering::Acquire);
        if is_silent && self.owner.as_ref().is_some_and(|owner| owner.will_wake(cx.waker())) {
            return false;
        }
        // Before the second look at the flag: what rings after it wakes this one.
        self.ring.owner.register(cx.waker());
        self.owner = Some(cx.waker().clone());
        let has_rung = self.ring.has_rung.swap(false, Ordering::AcqRel);
        has_rung || !self.is_armed
    }

    /// Whether the source had nothing when it was last looked at.
    pub const fn is_armed(&self) -> bool {
        self.is_armed
    }

    /// With what to poll the source.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// What became of the poll: if it had nothing, it need not be polled again until it rings.
    pub const fn arm<T>(&mut self, polled: &Poll<T>) {
        self.is_armed = polled.is_pending();
    }
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.owner.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::sync::mpsc;

    use super::*;

    #[derive(Debug, PartialEq)]
    enum Look {
        /// The source was not looked at.
        Spared,
        Nothing,
        Message(char),
    }

    fn look(bell: &mut Bell, cx: &mut Context<'_>, source: &mut mpsc::Receiver<char>) -> Look {
        if !bell.listen(cx) {
            return Look::Spared;
        }
        let polled = source.poll_recv(&mut Context::from_waker(&bell.waker()));
        bell.arm(&polled);
        match polled {
            Poll::Ready(message) => Look::Message(message.unwrap()),
            Poll::Pending => Look::Nothing,
        }
    }

    #[test]
    fn a_source_without_anything_is_looked_at_once() {
        let (sender, mut source) = mpsc::channel(2);
        let mut bell = Bell::default();
        let mut look = |bell: &mut Bell| look(bell, &mut Context::from_waker(Waker::noop()), &mut source);
        assert_eq!(look(&mut bell), Look::Nothing);
        assert_eq!(look(&mut bell), Look::Spared);
        sender.try_send('a').unwrap();
        sender.try_send('b').unwrap();
        assert_eq!(look(&mut bell), Look::Message('a'));
        assert_eq!(look(&mut bell), Look::Message('b'), "it rang once for both");
        assert_eq!(look(&mut bell), Look::Nothing);
        assert_eq!(look(&mut bell), Look::Spared);
    }

    #[tokio::test]
    async fn who_asked_last_is_woken() {
        let (sender, mut source) = mpsc::channel(1);
        let mut bell = Bell::default();
        assert_eq!(look(&mut bell, &mut Context::from_waker(Waker::noop()), &mut source), Look::Nothing);
        let answered = tokio::spawn(async move {
            poll_fn(|cx| match look(&mut bell, cx, &mut source) {
                Look::Message(message) => Poll::Ready(message),
                Look::Spared | Look::Nothing => Poll::Pending,
            })
            .await
        });
        tokio::task::yield_now().await;
        sender.send('a').await.unwrap();
        assert_eq!(answered.await.unwrap(), 'a');
    }
}
