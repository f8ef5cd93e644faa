//! HTTP/1.1 connections, from the socket to the requests that hyper reads from them.
//!
//! [`Guard`] stands between a socket and hyper. It hands over whole header sections that [`head`] found in order, follows
//! bodies to their end, and ends connections that make no progress. [`Slots`] bounds how many connections there are and
//! chooses which one ends when there are too many. Knows no route.

mod chunked;
mod guard;
mod head;
mod slots;

pub(super) use self::guard::Guard;
pub(super) use self::slots::{Evicted, Slot, Slots};

use std::time::Duration;

/// What `Keep-Alive: timeout=…` promises: a client that goes by it never meets a connection that is being closed.
pub(super) const KEEP_ALIVE_TOLD: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests;
