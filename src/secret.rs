//! What must not be printed cannot be: wrappers whose `Debug` and `Display` hide the value.

use std::fmt;

use serde::Deserialize;

/// A key, token or password. Prints as `***`; the value comes out only by [`Secret::expose`].
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Personal data (a telephone number, a name) for a log line: all but the last two characters are hidden.
#[derive(Clone, Copy)]
pub struct Masked<'a>(pub &'a str);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.0.char_indices().rev().nth(1).map_or(self.0.len(), |(index, _)| index);
        if start == 0 {
            return f.write_str("…");
        }
        write!(f, "…{}", &self.0[start..])
    }
}

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("+14155550123", "…23")]
    #[case("ab", "…")]
    #[case("", "…")]
    #[case("日本語", "…本語")]
    fn a_masked_value_shows_its_last_two_characters_at_most(#[case] value: &str, #[case] shown: &str) {
        assert_eq!(Masked(value).to_string(), shown);
    }

    #[test]
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }
}
