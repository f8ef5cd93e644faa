//! Services that need the network: where they are and how to authenticate.

pub mod gemini;
