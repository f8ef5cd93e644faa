//! How many connections there are, and which one ends when there are too many.
//!
//! A connection is *incomplete* until a whole request has come: a client that sends slowly, or nothing, is one. It is
//! *answering* while a request is answered, and *idle* between two. Few may be incomplete at once. When one more comes,
//! the oldest of the address with the most of them ends: an address that floods ends its own. Behind one proxy all have
//! one address, and a request that comes whole is incomplete for milliseconds, so that it is seldom the oldest. When the
//! slots are all taken, the one that has been idle for the longest ends, else the oldest incomplete one.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::task::AtomicWaker;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections that speak HTTP at once. Media streams leave the count when they are upgraded: the number of calls
/// is limited by [`super::super::limits`].
const SLOTS: usize = 1024;

/// Connections on which a request has not come whole. One takes milliseconds from a proxy.
const INCOMPLETE_MAX: usize = 256;

/// The connections of a listener.
#[derive(Debug)]
pub(in crate::server) struct Slots {
    free: Arc<Semaphore>,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    /// The oldest first.
    incomplete: BTreeMap<u64, Arc<Slot>>,
    /// Of incomplete connections, by address.
    addresses: HashMap<IpAddr, usize>,
    /// The longest idle first.
    idle: BTreeMap<u64, Arc<Slot>>,
    /// A connection waits for a slot and none could be had: the next that is not answering ends.
    is_wanted: bool,
}

/// One connection's.
#[derive(Debug)]
pub(in crate::server) struct Slot {
    pub(in crate::server) peer: SocketAddr,
    slots: Arc<Slots>,
    phase: Mutex<Phase>,
    /// Requests that are being answered.
    answering: AtomicU64,
    /// What the body that comes takes of the budget for bodies, in KiB.
    held_kib: AtomicU32,
    is_upgraded: AtomicBool,
    is_evicted: AtomicBool,
    waker: AtomicWaker,
    /// Until the connection is over or upgraded.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

/// Where a connection stands, with its place in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Incomplete(u64),
    Answering,
    Idle(u64),
}

/// The connection was ended so that others have room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests are under way that have not come whole")]
pub(in crate::server) struct Evicted;

impl Default for Slots {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(SLOTS)), book: Mutex::default() }
    }
}

impl Slots {
    /// Room for one more connection; ends another one if there is none.
    pub(in crate::server) async fn room(&self) -> OwnedSemaphorePermit {
        let free = Arc::clone(&self.free);
        match Arc::clone(&free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.book().make_room();
                let permit = free.acquire_owned().await.expect("the semaphore is never closed");
                self.book().is_wanted = false;
                permit
            }
        }
    }

    /// A connection was accepted.
    pub(in crate::server) fn take(
        self: &Arc<Self>,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) -> Arc<Slot> {
        let slot = Arc::new(Slot {
            peer,
            slots: Arc::clone(self),
            phase: Mutex::new(Phase::Answering),
            answering: AtomicU64::new(0),
            held_kib: AtomicU32::new(0),
            is_upgraded: AtomicBool::new(false),
            is_evicted: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            permit: Mutex::new(Some(permit)),
        });
        slot.set_incomplete();
        slot
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn make_room(&mut self) {
        let oldest = self.idle.values().next().or_else(|| self.incomplete.values().next());
        match oldest.cloned() {
            Some(slot) => self.evict(&slot),
            None => self.is_wanted = true,
        }
    }

    /// Ends the oldest incomplete connection of the address that has the most.
    fn shed(&mut self) {
        let count = |slot: &Slot| self.addresses.get(&slot.address()).copied().unwrap_or_default();
        // The first of the largest: the map is in the order of age.
        let worst = self.incomplete.values().rev().max_by_key(|slot| count(slot)).cloned();
        if let Some(slot) = worst {
            self.evict(&slot);
        }
    }

    /// Ends the oldest incomplete connections whose bodies take so much together.
    fn release(&mut self, kib: u32, except: &Slot) {
        let mut missing = kib;
        let holders: Vec<_> = self
            .incomplete
            .values()
            .filter(|slot| slot.held_kib() > 0 && !std::ptr::eq(&raw const ***slot, except))
            .take_while(|slot| {
                let is_needed = missing > 0;
                missing = missing.saturating_sub(slot.held_kib());
                is_needed
            })
            .cloned()
            .collect();
        holders.iter().for_each(|slot| self.evict(slot));
    }

    fn evict(&mut self, slot: &Arc<Slot>) {
        self.leave(slot, Phase::Answering);
        slot.is_evicted.store(true, Ordering::Release);
        slot.waker.wake();
    }

    /// Takes a connection from where it stands to `phase`.
    fn leave(&mut self, slot: &Slot, phase: Phase) {
        let before = std::mem::replace(&mut *slot.phase(), phase);
        match before {
            Phase::Incomplete(place) => {
                self.incomplete.remove(&place);
                let address = slot.address();
                if let Some(count) = self.addresses.get_mut(&address) {
                    *count -= 1;
                    if *count == 0 {
                        self.addresses.remove(&address);
                    }
                }
            }
            Phase::Idle(place) => {
                self.idle.remove(&place);
            }
            Phase::Answering => {}
        }
    }

    fn place(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Slot {
    /// A request is beginning to come.
    pub(super) fn set_incomplete(self: &Arc<Self>) {
        if matches!(*self.phase(), Phase::Incomplete(_)) || self.is_evicted() {
            return;
        }
        let mut book = self.slots.book();
        let place = book.place();
        book.leave(self, Phase::Incomplete(place));
        book.incomplete.insert(place, Arc::clone(self));
        *book.addresses.entry(self.address()).or_default() += 1;
        if std::mem::take(&mut book.is_wanted) || book.incomplete.len() > INCOMPLETE_MAX {
            book.shed();
        }
    }

    /// The request has come whole.
    pub(super) fn set_answering(&self) {
        if *self.phase() != Phase::Answering {
            self.slots.book().leave(self, Phase::Answering);
        }
    }

    /// All requests are answered.
    pub(super) fn set_idle(self: &Arc<Self>) {
        if matches!(*self.phase(), Phase::Idle(_)) || self.is_evicted() {
            return;
        }
        let mut book = self.slots.book();
        let place = book.place();
        book.leave(self, Phase::Idle(place));
        book.idle.insert(place, Arc::clone(self));
        if std::mem::take(&mut book.is_wanted) {
            book.evict(self);
        }
    }

    /// A request goes to its handler.
    pub(in crate::server) fn begin_answer(&self) {
        self.answering.fetch_add(1, Ordering::Relaxed);
    }

    /// The handler has answered.
    pub(in crate::server) fn end_answer(&self, is_upgraded: bool) {
        self.answering.fetch_sub(1, Ordering::Relaxed);
        self.hold(0);
        if is_upgraded {
            self.is_upgraded.store(true, Ordering::Release);
        }
    }

    /// The body that comes takes so much of the budget.
    pub(in crate::server) fn hold(&self, kib: u32) {
        self.held_kib.store(kib, Ordering::Relaxed);
    }

    fn held_kib(&self) -> u32 {
        self.held_kib.load(Ordering::Relaxed)
    }

    /// Ends the oldest other connections whose bodies take so much of the budget.
    pub(in crate::server) fn make_others_release(&self, kib: u32) {
        self.slots.book().release(kib, self);
    }

    pub(super) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed) > 0
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.is_upgraded.load(Ordering::Acquire)
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.is_evicted.load(Ordering::Acquire)
    }

    /// Whom to wake when the connection has to end.
    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> Arc<Slots> {
        Arc::clone(&self.slots)
    }

    /// The connection is over, or no longer one of HTTP.
    pub(in crate::server) fn close(&self) {
        self.set_answering();
        self.permit.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whose connection it is: a network of IPv6 is one client's.
    fn address(&self) -> IpAddr {
        match self.peer.ip().to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from(network))
            }
            address => address,
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn connect(slots: &Arc<Slots>, address: &str) -> Arc<Slot> {
        let permit = slots.room().await;
        slots.take(format!("{address}:9").parse().unwrap(), permit)
    }

    async fn many(slots: &Arc<Slots>, address: &str, count: usize) -> Vec<Arc<Slot>> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(connect(slots, address).await);
        }
        all
    }

    fn evicted(slots: &[Arc<Slot>]) -> Vec<usize> {
        (0..slots.len()).filter(|index| slots[*index].is_evicted()).collect()
    }

    #[tokio::test]
    async fn an_address_that_floods_ends_its_own() {
        let slots = Arc::new(Slots::default());
        let quiet = many(&slots, "10.0.0.1", 2).await;
        let flood = many(&slots, "10.0.0.2", INCOMPLETE_MAX).await;
        assert!(evicted(&quiet).is_empty());
        assert_eq!(evicted(&flood), [0, 1], "the oldest");
        assert_eq!(slots.book().incomplete.len(), INCOMPLETE_MAX);
    }

    #[tokio::test]
    async fn behind_one_proxy_the_oldest_ends() {
        let slots = Arc::new(Slots::default());
        let all = many(&slots, "127.0.0.1", INCOMPLETE_MAX + 3).await;
        assert_eq!(evicted(&all), [0, 1, 2]);
    }

    #[tokio::test]
    async fn a_network_of_ipv6_is_one_client() {
        let slots = Arc::new(Slots::default());
        let quiet = many(&slots, "10.0.0.1", INCOMPLETE_MAX / 2).await;
        for number in 0..INCOMPLETE_MAX {
            connect(&slots, &format!("[2001:db8::{number:x}]")).await;
        }
        assert!(evicted(&quiet).is_empty());
    }

    #[tokio::test]
    async fn what_answers_and_what_is_idle_is_not_in_the_way_of_slow_requests() {
        let slots = Arc::new(Slots::default());
        let all = many(&slots, "127.0.0.1", INCOMPLETE_MAX).await;
        all.iter().for_each(|slot| slot.set_answering());
        all[..100].iter().for_each(|slot| slot.set_idle());
        let more = many(&slots, "127.0.0.1", INCOMPLETE_MAX).await;
        assert_eq!((evicted(&all), evicted(&more)), (vec![], vec![]));
    }

    #[tokio::test]
    async fn when_all_slots_are_taken_the_longest_idle_ends() {
        let slots = Arc::new(Slots::default());
        let mut all = Vec::new();
        for _ in 0..SLOTS {
            let slot = connect(&slots, "127.0.0.1").await;
            slot.set_answering();
            all.push(slot);
        }
        all[7].set_idle();
        all[3].set_idle();
        let mut room = tokio_test_poll(slots.room());
        assert!(room.is_none());
        assert_eq!(evicted(&all), [7]);
        all.remove(7).close();
        room = tokio_test_poll(slots.room());
        assert!(room.is_some(), "its slot is free");
    }

    #[tokio::test]
    async fn a_connection_that_waits_for_a_slot_gets_that_of_the_next_that_is_idle() {
        let slots = Arc::new(Slots::default());
        let all = many(&slots, "127.0.0.1", 1).await;
        all[0].set_answering();
        slots.book().make_room();
        assert!(evicted(&all).is_empty());
        all[0].set_idle();
        assert_eq!(evicted(&all), [0]);
    }

    /// The result, if it is there at once.
    fn tokio_test_poll<T>(future: impl Future<Output = T>) -> Option<T> {
        futures_util::FutureExt::now_or_never(future)
    }
}
