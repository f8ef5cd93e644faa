//! The HTTP side: webhooks, the media upgrade, health.

pub mod config;

pub use self::config::Config;
