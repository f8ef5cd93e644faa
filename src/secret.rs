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

/// A URL without the user name and password that it may hold.
#[derive(Clone, Copy)]
pub struct MaskedUrl<'a>(pub &'a str);

impl fmt::Display for MaskedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").map_or(("", self.0), |(scheme, rest)| (scheme, rest));
        let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        // A password may hold the characters that end an authority, if it was not escaped.
        let end = rest[..authority].rfind('@').or_else(|| rest.rfind('@'));
        let separator = if scheme.is_empty() { "" } else { "://" };
        match end {
            Some(end) => write!(f, "{scheme}{separator}***{}", &rest[end..]),
            None => f.write_str(self.0),
        }
    }
}

impl fmt::Debug for MaskedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of an environment variable, unless it looks like the key that should be in it.
#[derive(Clone, Copy)]
pub struct VariableName<'a>(pub &'a str);

impl VariableName<'_> {
    /// Names are short, of one case, and of letters, digits and underscores.
    pub fn is_plausible(&self) -> bool {
        let has = |is: fn(&u8) -> bool| self.0.bytes().any(|byte| is(&byte));
        let is_word = self.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let has_cases = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
        let has_digits = has(u8::is_ascii_digit);
        let is_random = has_digits && !self.0.contains('_') && self.0.len() >= 20;
        is_word && self.0.len() <= 64 && !(has_cases && has_digits) && !is_random
    }
}

impl fmt::Display for VariableName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_plausible() {
            self.0
        } else {
            "what `key_env` holds (a key, not the name of a variable?)"
        })
    }
}

impl fmt::Debug for VariableName<'_> {
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

    #[rstest]
    #[case("wss://a.example.com", "wss://a.example.com")]
    #[case("wss://ann:secret@a.example.com/x", "wss://***@a.example.com/x")]
    #[case("wss://secret@a.example.com", "wss://***@a.example.com")]
    #[case("https://ann:se/cret@a.example.com", "https://***@a.example.com")]
    #[case("ann:secret@a.example.com:8080", "***@a.example.com:8080")]
    #[case("https://a.example.com/path", "https://a.example.com/path")]
    fn a_masked_url_shows_no_credentials(#[case] url: &str, #[case] shown: &str) {
        assert_eq!(MaskedUrl(url).to_string(), shown);
    }

    #[rstest]
    #[case("OPENAI_API_KEY", true)]
    #[case("MINE", true)]
    #[case("my_key_2", true)]
    #[case("K8S_SECRET_1", true)]
    #[case("sk-proj-abcdefgh", false)]
    #[case("AIzaSyD4x7_9kQwErTyUiOpAsDfGhJkLzXcVb", false)]
    #[case("0123456789abcdef0123456789abcdef", false)]
    #[case("gsk_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7", false)]
    fn a_key_in_the_place_of_a_name_is_not_shown(#[case] text: &str, #[case] is_shown: bool) {
        assert_eq!(VariableName(text).to_string() == text, is_shown);
    }

    #[test]
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }
}
