//! Simulated HTTP providers of a non-realtime call on real sockets: speech to text, language models, text to speech.
//!
//! One port serves the OpenAI-compatible routes, Gemini, Google's Speech and Text-to-Speech, Anthropic and Ollama,
//! each with its own spelling, validation and errors. Behind them is one brain: a [`Script`] answers the caller's
//! last line, recordings are transcribed by a list or by their length, and speech is tones as long as the text.
//!
//! ```text
//! request → route (checked as the service does) → turn (observed; its fault chosen) → reply → plan → body
//! ```
//!
//! A [`Fault`] befalls requests that are right: wrong ones are refused as by the service. It must not see the code
//! it tests.

mod anthropic;
mod call;
mod ears;
mod fault;
mod google;
mod observation;
mod ollama;
mod openai;
mod plan;
mod reply;
mod route;
mod script;
mod server;
mod turn;
mod voice;

pub use fault::{Fault, Filler, ParseError, Schedule, Selector};
pub use observation::{Asked, Delivery, Dialogue, Observation, Recording, Sighting, Subject};
pub use plan::Pace;
pub use route::{Kind, Route, Service};
pub use script::{Rule, Script};
pub use server::{Config, Server};
pub use voice::{MS_PER_CHARACTER, speaking_time};
