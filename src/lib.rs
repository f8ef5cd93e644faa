//! Patchcord bridges telephone calls to live speech models.
//!
//! A carrier streams a call over a WebSocket (mu-law, 8 kHz); Patchcord streams it to the Gemini Live API
//! over another (PCM, 16 kHz up and 24 kHz down) and keeps a log of every call.
//!
//! # The idea
//!
//! A call is a deterministic machine, [`call::Call`]: it takes what the carrier says, what the model says and
//! the time, and gives an ordered queue of commands and records. It never waits, reads no clock and opens no
//! socket. Around it [`bridge`] is one task per call that owns both sockets and only carries events in and
//! outputs out. A 20 ms frame crosses one task, no channel and no lock.
//!
//! # The layers
//!
//! A module imports only from rows above its own; `tests/architecture.rs` enforces it.
//!
//! | row | modules |
//! |---|---|
//! | 0 | [`id`] [`time`] [`secret`] [`breaker`] [`dialogue`] [`base64`] [`json`] [`media_type`] |
//! | 1 | [`audio`] |
//! | 2 | [`carrier`] [`live`] [`job`], three vocabularies that do not know each other |
//! | 3 | [`fallback`], the agent without a live model |
//! | 4 | [`call`], the only place where carrier and model meet |
//! | – | the pure line: above it no tokio, no clock, no environment, no randomness |
//! | 5 | [`net`] [`diagnostics`] [`machine`] |
//! | 6 | [`store`] [`provider`] |
//! | 7 | [`bridge`] [`sim`] |
//! | 8 | [`server`] [`load`] |
//! | 9 | [`config`] |
//! | 10 | [`cli`] |
//!
//! # The way of one frame
//!
//! ```text
//! caller → model   kernel → Link::next → twilio (borrowed JSON, base64, mu-law) → Call::handle_carrier
//!                  → Uplink: resample 8→16 kHz → Output::Live → wire::encode → Link → kernel
//!                  (silence that the model does not wait for leaves four frames at a time, see uplink::coalesce)
//! model → caller   kernel → Link::next → wire::Decoder → Call::handle_live → Downlink: resample 24→8 kHz
//!                  ⋯ waits in Playout until about 200 ms before its time, then leaves four frames at a time ⋯
//!                  → Output::Carrier → twilio → Link → kernel
//! both, recorded   Call → Tape (one time line) → Output::Tape → store::recordings (a thread of its own) → Ogg Opus
//! ```

pub mod audio;
pub mod base64;
pub mod breaker;
pub mod bridge;
pub mod call;
pub mod carrier;
pub mod cli;
pub mod config;
pub mod diagnostics;
pub mod dialogue;
pub mod fallback;
pub mod id;
pub mod job;
pub mod json;
pub mod live;
pub mod load;
pub mod machine;
pub mod media_type;
pub mod net;
pub mod provider;
pub mod secret;
pub mod server;
pub mod sim;
pub mod store;
pub mod time;
