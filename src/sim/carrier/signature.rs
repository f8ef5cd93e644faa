//! How the carrier signs its requests (Twilio, "Security": HMAC-SHA1 with the auth token). Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use crate::secret::Secret;

pub const HEADER: &str = "X-Twilio-Signature";

/// What to do with the signature of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signing {
    #[default]
    Right,
    /// The header is left out.
    Missing,
    /// Made with another token.
    Wrong,
}

/// The value of the signature header, if there is to be one.
///
/// `url` as it is requested, without fragment; `form` the decoded fields of the body, none for a GET or an upgrade.
pub fn header(signing: Signing, token: &Secret, url: &str, form: &[(String, String)]) -> Option<String> {
    match signing {
        Signing::Right => Some(sign(token.expose(), url, form)),
        Signing::Missing => None,
        Signing::Wrong => Some(sign(&format!("not {}", token.expose()), url, form)),
    }
}

fn sign(token: &str, url: &str, form: &[(String, String)]) -> String {
    let mut sorted: Vec<_> = form.iter().collect();
    sorted.sort();
    sorted.dedup();
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TOKEN: &str = "8f2c1d7e5a9b4c3d6e0f1a2b3c4d5e6f";

    /// The first is the worked example of the provider's own libraries.
    #[rstest]
    #[case(
        "12345",
        "https://mycompany.com/myapp.php?foo=1&bar=2",
        &[("To", "+18005551212"), ("CallSid", "CA1234567890ABCDE"), ("Caller", "+14158675309"), ("Digits", "1234"), ("From", "+14158675309")],
        "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    )]
    #[case(
        "12345",
        "https://mycompany.com/myapp.php?foo=1&bar=2",
        &[("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")],
        "IK+Dwps556ElfBT0I3Rgjkr1wJU="
    )]
    #[case(
        TOKEN,
        "https://voice.example.com/twilio/voice",
        &[("zeta", "1"), ("Alpha", "2"), ("alpha", "3"), ("Zeta", "4"), ("_u", "5"), ("9n", "6")],
        "BzD+CX0knH6guriLBe+UUoSae5w="
    )]
    #[case(TOKEN, "wss://voice.example.com/media/stream", &[], "ZwjJktwk8XuGKMWEzNLPnQq9bwI=")]
    #[case(TOKEN, "wss://voice.example.com:8443/media/stream", &[], "ys2eF8YiLyj9arAV86U2qS6nr34=")]
    fn known_signatures(
        #[case] token: &str,
        #[case] url: &str,
        #[case] form: &[(&str, &str)],
        #[case] signature: &str,
    ) {
        let form: Vec<_> = form.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(header(Signing::Right, &Secret::new(token), url, &form).as_deref(), Some(signature));
    }
}
