//! The call machine: the only place where carrier and model meet.

pub mod agent;
pub mod context;
pub mod record;

use std::sync::Arc;

use self::agent::Agent;
use self::context::Context;
use self::record::Ledger;

/// A call that the webhook let in: everything the machine needs to answer it.
#[derive(Debug)]
pub struct Admission {
    pub context: Context,
    pub agent: Arc<Agent>,
    /// Has given out the entry [`record::Record::Opened`].
    pub ledger: Ledger,
}
