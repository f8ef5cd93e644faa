//! The call machine: the only place where carrier and model meet.

pub mod agent;
pub mod context;
pub mod record;
