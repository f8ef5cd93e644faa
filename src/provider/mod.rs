//! Services that need the network: where they are and how to authenticate.

pub mod gemini;
pub mod http;
pub mod lines;
pub mod llm;
pub mod pool;
