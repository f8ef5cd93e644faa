//! A simulated carrier: signs, follows the TwiML, plays a recorded caller, keeps the playout buffer.

pub mod fixture;
pub mod latency;
pub mod playout;
pub mod probe;
pub mod script;
pub mod signature;
pub mod stream;
pub mod timeline;
pub mod twiml;
pub mod wire;
