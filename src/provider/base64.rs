//! Base64 for the JSON of providers: what is sent has padding, what comes need not.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig, Simd};

use crate::job::Failure;

/// Vectorised; made once, because its tables and the look at the processor cost time.
static BASE64: LazyLock<Simd> = LazyLock::new(|| {
    Simd::standard(GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent))
});

pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

pub(super) fn decode(text: &str) -> Result<Vec<u8>, Failure> {
    BASE64.decode(text).map_err(|error| Failure::Unreadable { message: format!("bad base64: {error}") })
}
