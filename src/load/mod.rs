//! The load test: how many calls a server carries, and what callers hear at that load.

pub mod outcome;
