//! Simulated peers on real sockets: a live model and a carrier. They must not see the bridge.

pub mod carrier;
pub mod gemini;
