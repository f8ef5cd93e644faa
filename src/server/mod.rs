//! The HTTP side: webhooks, the media upgrade, health.
