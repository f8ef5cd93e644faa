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
//! The connections of a server share one [`Registry`] of resumption handles. A connection may be told to go
//! ([`GoAway`]) and may go wrong on purpose ([`Fault`]), in every way that was seen of the real service.
//!
//! It must not see the code it tests.

mod admission;
mod behaviour;
mod calls;
mod closes;
mod conversation;
mod ears;
mod farewell;
mod fault;
mod handles;
mod observation;
mod outputs;
mod personality;
mod plan;
mod policy;
mod refusal;
mod request;
mod resumption;
mod scenario;
pub(in crate::sim) mod schema;
mod script;
mod server;
mod session;
mod speech;
mod spoil;

pub use admission::{Admission, Credential, Service};
pub use behaviour::{Behaviour, Delivery, Hearing, SetupReply, SilentStart, Split, Stall};
pub use closes::{CLOSES, Close, STATUSES};
pub use farewell::{GoAway, Leave, Term, TimeLeft};
pub use fault::{Defect, Fault, Garbage, Moment, Spoil};
pub use handles::{Handles, Issue, Registry, UnknownHandle, WhileOpen};
pub use observation::{Closing, ContentUse, HandleFault, Observation, SeedTurn};
pub use outputs::{Break, Output};
pub use personality::Personality;
pub use refusal::Refusal;
pub use scenario::{Call, Ending, Error as ScenarioError, Scenario, Turn, Utterance, tone};
pub(crate) use server::Identity;
pub use server::{Config, Error as ServerError, Frames, Server, Sighting, Tls};
pub use session::{Arrival, Session};
