//! Answers and refusals before they are spoilt or paced.

use bytes::Bytes;
use serde_json::Value;

/// A good answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) content_type: &'static str,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    /// One document, of known length.
    Whole(Bytes),
    Stream(Stream),
}

/// A body that is sent in pieces as they get ready.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) opening: Vec<Bytes>,
    pub(super) tokens: Vec<Bytes>,
    pub(super) closing: Vec<Bytes>,
    /// What may be sent at any time and means nothing.
    pub(super) filler: &'static [u8],
    /// The event that tells an error in the middle; none where there is no such thing.
    pub(super) error: Option<Bytes>,
}

impl Reply {
    pub(super) fn json(value: &Value) -> Self {
        Self::whole("application/json", value.to_string())
    }

    pub(super) fn whole(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { content_type, body: Body::Whole(body.into()) }
    }

    pub(super) const fn stream(content_type: &'static str, stream: Stream) -> Self {
        Self { content_type, body: Body::Stream(stream) }
    }
}

/// A request that is not answered: an HTTP error in the words of the service.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// The shape of an HTTP error of a service, for faults and for what every service refuses alike.
pub(super) type Excuse = fn(status: u16) -> Refusal;
