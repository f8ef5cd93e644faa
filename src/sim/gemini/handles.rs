//! Resumption handles: what each one stands for, how long it is good, and who may use it.
//!
//! One registry for all connections of a server. It reads no clock, and what it keeps it does not understand.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::conversation::Memory;
use super::observation::HandleFault;

/// How the service deals with handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handles {
    pub issue: Issue,
    /// How long a handle is good after its connection has ended: 2 h on the Developer API.
    pub life: Duration,
    /// What an unknown or expired handle meets.
    pub unknown: UnknownHandle,
    pub while_open: WhileOpen,
    /// The number of `setup` in `lastConsumedClientMessageIndex`: 0 or 1, the documentation does not say.
    pub first_index: u64,
}

impl Default for Handles {
    fn default() -> Self {
        Self {
            issue: Issue::AsFamily,
            life: Duration::from_secs(2 * 60 * 60),
            unknown: UnknownHandle::Invalid,
            while_open: WhileOpen::Refused,
            first_index: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issue {
    AsFamily,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownHandle {
    /// 1007 `Invalid session handle`.
    Invalid,
    /// 1008 `BidiGenerateContent session not found`.
    NotFound,
}

/// What a handle meets whose connection is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhileOpen {
    /// 1011 instead of `setupComplete`.
    Refused,
    Taken,
}

/// The handles of all connections of a server.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<Ledger>>);

#[derive(Debug, Default)]
struct Ledger {
    entries: HashMap<String, Entry>,
    /// Handles in the order in which they were issued.
    order: VecDeque<String>,
}

#[derive(Debug)]
struct Entry {
    connection: u32,
    /// When the connection ended.
    ended: Option<Instant>,
    model: String,
    memory: Memory,
}

/// Handles kept: a day of calls. The oldest are forgotten.
const HANDLES_MAX: usize = 16_384;

impl Registry {
    /// A connection has ended, as far as anybody can tell; its handles begin to age.
    pub(super) fn end(&self, connection: u32, now: Instant) {
        let mut ledger = self.ledger();
        for entry in ledger.entries.values_mut().filter(|entry| entry.connection == connection) {
            entry.ended.get_or_insert(now);
        }
    }

    /// A new handle stands for this memory.
    pub(super) fn issue(&self, handle: String, connection: u32, model: &str, memory: Memory) {
        let mut ledger = self.ledger();
        ledger.order.push_back(handle.clone());
        ledger.entries.insert(handle, Entry { connection, ended: None, model: model.to_owned(), memory });
        if ledger.order.len() > HANDLES_MAX
            && let Some(oldest) = ledger.order.pop_front()
        {
            ledger.entries.remove(&oldest);
        }
    }

    /// What this handle stands for.
    pub(super) fn redeem(
        &self,
        handle: &str,
        model: &str,
        handles: &Handles,
        now: Instant,
    ) -> Result<Memory, HandleFault> {
        let ledger = self.ledger();
        let entry = ledger.entries.get(handle).ok_or(HandleFault::Unknown)?;
        if entry.model != model {
            return Err(HandleFault::ForeignModel);
        }
        match entry.ended {
            None if handles.while_open == WhileOpen::Refused => return Err(HandleFault::StillOpen),
            Some(ended) if now.saturating_duration_since(ended) >= handles.life => {
                return Err(HandleFault::Expired);
            }
            None | Some(_) => {}
        }
        Ok(entry.memory.clone())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
