//! What a session of the live service is allowed.

use std::time::Duration;

/// What a session is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Config {
    /// For the transport to come up; guarded by the dialler too, which says more about it.
    pub connect_timeout: Duration,
    /// From the setup to `setupComplete`. Recorded sessions took 0.8 s; some wrong configurations never answer.
    pub setup_timeout: Duration,
    /// Endpoints of the service, tried in order.
    pub endpoints: usize,
    /// The caller is answered without a live session too. Otherwise an endpoint is tried although it is known to fail,
    /// and once more than otherwise.
    #[serde(skip)]
    pub has_other_tier: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            setup_timeout: Duration::from_millis(2500),
            endpoints: 1,
            has_other_tier: false,
        }
    }
}
