//! Simulated peers on real sockets: a live model, a carrier, and the providers of the fallback. They must not see
//! the bridge.

pub mod carrier;
pub mod gemini;
pub mod providers;
