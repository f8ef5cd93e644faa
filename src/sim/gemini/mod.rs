//! A simulated Gemini Live service: an honest peer on real sockets, with wire code of its own.
//!
//! Inside is a deterministic machine, [`Session`], one for each connection; around it [`Server`] is a thin
//! shell of tasks and sockets. It answers with recorded speech ([`Scenario`]) in the manner of a model family
//! ([`Personality`]) and understands nothing of what it hears: it only finds out when somebody speaks.
//!
//! ```text
//! message → request (checked against schema) → Session → Conversation → ears → script → plan → speech → message
//! ```
//!
//! It must not see the code it tests. Not built yet: parallel and non-blocking calls, resumption of state by
//! handle, GoAway, faults on demand.

mod admission;
mod behaviour;
mod conversation;
mod ears;
mod observation;
mod outputs;
mod personality;
mod plan;
mod policy;
mod refusal;
mod request;
mod scenario;
pub(in crate::sim) mod schema;
mod script;
mod server;
mod session;
mod speech;

pub use admission::{Admission, Credential, Service};
pub use behaviour::{Behaviour, Delivery, SetupReply, SilentStart, Split, Stall};
pub use observation::Observation;
pub use outputs::Output;
pub use personality::Personality;
pub use refusal::Refusal;
pub use scenario::{Call, Ending, Error as ScenarioError, Scenario, Turn, Utterance, tone};
pub use server::{Config, Error as ServerError, Frames, Server, Sighting, Tls};
pub use session::Session;
