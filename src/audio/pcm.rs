//! Samples as text: base64 of 16-bit little-endian PCM, for serialised forms that hold audio.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};

/// For `#[serde(with = "…")]`.
pub fn serialize<S: Serializer>(samples: impl AsRef<[i16]>, serializer: S) -> Result<S::Ok, S::Error> {
    let bytes: Vec<u8> = samples.as_ref().iter().flat_map(|sample| sample.to_le_bytes()).collect();
    serializer.serialize_str(&STANDARD.encode(bytes))
}

/// For `#[serde(with = "…")]`.
pub fn deserialize<'de, D: Deserializer<'de>, T: From<Vec<i16>>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(D::Error::custom("half a sample"));
    }
    Ok(pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect::<Vec<_>>().into())
}
