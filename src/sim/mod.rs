//! Simulated peers on real sockets: a live model, a carrier, and the providers of the fallback. They must not see
//! the bridge. And, without a socket, what is left of many calls: a [`history`].

pub mod carrier;
pub mod gemini;
pub mod history;
pub mod providers;
