//! Replies that are JSON objects. Knows no provider.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::job::Failure;

/// Reads an object. What is no object is refused first, because a list reads as a struct of defaults.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Failure::Unreadable { message: "not a JSON object".to_owned() });
    }
    // The position only: the text of an error of serde may repeat what was said on the telephone.
    serde_json::from_slice(body).map_err(|error| Failure::Unreadable {
        message: format!(
            "{:?} error of JSON at line {}, column {}",
            error.classify(),
            error.line(),
            error.column()
        ),
    })
}

/// `{"error": {"message": …}}`, which some services send with the status of a success; the rest is ignored.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorObject {
    #[serde(default)]
    message: String,
}

impl ErrorObject {
    pub(super) fn into_failure(self) -> Failure {
        Failure::Reported { message: self.message }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Map, Value};

    use super::*;

    #[rstest]
    #[case(b"")]
    #[case(b"[]")]
    #[case(b"\"text\"")]
    #[case(b"<html>")]
    #[case(b"{\"text\":")]
    #[case(b"{} {}")]
    #[case(b"{\"\xff\":1}")]
    fn what_is_no_object_is_unreadable(#[case] body: &[u8]) {
        let read = object::<Map<String, Value>>(body);
        assert!(matches!(read, Err(Failure::Unreadable { .. })), "{read:?}");
    }
}
