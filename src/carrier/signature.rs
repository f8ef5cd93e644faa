//! Twilio's request signatures: who may post to the webhooks and open the media socket.
//!
//! A signature is `base64(HMAC(key, URL + sorted parameters))` (Twilio, "Webhooks security"). It proves that the
//! request comes from Twilio for the holder of the key; it has no time and no nonce, so that replays are the
//! business of whoever asks. Knows nothing of HTTP: the caller gives the *public* URL, never one built from the
//! `Host` header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::secret::Secret;

/// The header with the signature.
pub const SIGNATURE: &str = "x-twilio-signature";
/// The header that names the algorithm of shared-key signatures.
pub const SETTINGS: &str = "x-twilio-webhooks-signature-settings";

/// What is to be verified.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The public URL, exactly as the carrier was given it: percent-encoding and query untouched.
    pub url: &'a str,
    pub content: Content<'a>,
    /// The header [`SIGNATURE`].
    pub signature: Option<&'a str>,
    /// The header [`SETTINGS`].
    pub settings: Option<&'a str>,
}

/// The part of a request that is signed besides its URL.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Decoded form fields in any order; none for `GET` and for the upgrade of a media stream.
    Form(&'a [(String, String)]),
    /// Any other body: its SHA-256 is in the URL, as `bodySHA256`.
    Body(&'a [u8]),
}

/// How the message is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Keyed with the auth token of the account.
    HmacSha1,
    /// Keyed with the secret of a shared key.
    HmacSha256,
}

/// Why a request is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no signature")]
    Missing,
    #[error("unknown signature algorithm")]
    Algorithm,
    #[error("the body is not the one that was signed")]
    Body,
    #[error("signature mismatch")]
    Mismatch,
}

/// Accepts a request that was signed with one of the keys: several, so that a key can be changed while requests
/// are under way. Empty keys sign nothing. Takes the same time whichever byte is wrong.
pub fn verify(request: &Request<'_>, keys: &[Secret]) -> Result<(), Refusal> {
    let given = request.signature.filter(|signature| !signature.is_empty()).ok_or(Refusal::Missing)?;
    let algorithm = algorithm(request.settings)?;
    let fields = match request.content {
        Content::Form(pairs) => canonical(pairs),
        Content::Body(body) => {
            verify_body(request.url, body)?;
            String::new()
        }
    };
    let mut fits = subtle::Choice::from(0);
    for url in candidates(request.url) {
        let message = url + &fields;
        for key in keys.iter().filter(|key| !key.is_empty()) {
            fits |= authenticate(algorithm, key, &message).as_bytes().ct_eq(given.as_bytes());
        }
    }
    if fits.into() { Ok(()) } else { Err(Refusal::Mismatch) }
}

/// The signature of a form post, or with no pairs of a `GET` or an upgrade, as the carrier makes it.
pub fn sign(algorithm: Algorithm, key: &Secret, url: &str, pairs: &[(String, String)]) -> String {
    authenticate(algorithm, key, &(without_fragment(url).to_owned() + &canonical(pairs)))
}

/// Without the header, or without an algorithm in it, the signature is of the old kind.
fn algorithm(settings: Option<&str>) -> Result<Algorithm, Refusal> {
    let name = settings
        .unwrap_or_default()
        .split(',')
        .find_map(|setting| setting.trim().strip_prefix("algorithm="))
        .map(str::trim);
    match name {
        None | Some("HMAC_SHA1") => Ok(Algorithm::HmacSha1),
        Some("HMAC_SHA256") => Ok(Algorithm::HmacSha256),
        Some(_) => Err(Refusal::Algorithm),
    }
}

/// Distinct pairs, sorted by name and then value in byte order, without separators.
fn canonical(pairs: &[(String, String)]) -> String {
    let mut sorted: Vec<_> = pairs.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect()
}

fn verify_body(url: &str, body: &[u8]) -> Result<(), Refusal> {
    let query = without_fragment(url).split_once('?').map_or("", |(_, query)| query);
    let signed = query.split('&').find_map(|pair| pair.strip_prefix("bodySHA256=")).ok_or(Refusal::Body)?;
    let actual: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    if actual.as_bytes().ct_eq(signed.as_bytes()).into() { Ok(()) } else { Err(Refusal::Body) }
}

/// Twilio is not consistent about ports, and its libraries accept the URL as it is, without its port, and with
/// the default port if it has none. (For `wss` they add `:80`; here it is `:443` as well.)
fn candidates(url: &str) -> Vec<String> {
    let url = without_fragment(url);
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, host_port)| host_port);
    let given = format!("{scheme}://{host_port}{path}");
    match split_port(host_port) {
        Some(host) => vec![format!("{scheme}://{host}{path}"), given],
        None => {
            let with = |port| format!("{scheme}://{host_port}:{port}{path}");
            let ports: &[u16] = match scheme {
                "https" => &[443],
                "wss" => &[443, 80],
                _ => &[80],
            };
            ports.iter().map(with).chain([given]).collect()
        }
    }
}

/// The host before a port, if there is a port. The colons of an IPv6 address are inside brackets.
fn split_port(host_port: &str) -> Option<&str> {
    let (host, port) = host_port.rsplit_once(':')?;
    (!port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)
}

fn without_fragment(url: &str) -> &str {
    url.split_once('#').map_or(url, |(url, _)| url)
}

fn authenticate(algorithm: Algorithm, key: &Secret, message: &str) -> String {
    let key = key.expose().as_bytes();
    match algorithm {
        Algorithm::HmacSha1 => {
            let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes keys of any length");
            mac.update(message.as_bytes());
            STANDARD.encode(mac.finalize().into_bytes())
        }
        Algorithm::HmacSha256 => {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
            mac.update(message.as_bytes());
            STANDARD.encode(mac.finalize().into_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use rstest::rstest;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        url: String,
        auth_token: String,
        params: Option<Params>,
        body: Option<String>,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        signature: Option<String>,
        valid: bool,
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Params {
        Map(BTreeMap<String, String>),
        Pairs(Vec<(String, String)>),
    }

    fn vectors() -> Vec<Vector> {
        let text = include_str!("../../fixtures/twilio/signature-vectors.json");
        serde_json::from_str::<Vectors>(text).unwrap().vectors
    }

    fn verdict(vector: &Vector, keys: &[Secret]) -> Result<(), Refusal> {
        let header = |wanted: &str| {
            vector.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, v)| v.as_str())
        };
        let pairs = match &vector.params {
            Some(Params::Map(map)) => map.clone().into_iter().collect(),
            Some(Params::Pairs(pairs)) => pairs.clone(),
            None => Vec::new(),
        };
        let content = match &vector.body {
            Some(body) => Content::Body(body.as_bytes()),
            None => Content::Form(&pairs),
        };
        let signature = header(SIGNATURE).or(vector.signature.as_deref());
        verify(&Request { url: &vector.url, content, signature, settings: header(SETTINGS) }, keys)
    }

    #[test]
    fn the_verdict_is_that_of_the_vendors_library() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 37);
        for vector in &vectors {
            let verdict = verdict(vector, &[Secret::new(&vector.auth_token)]);
            assert_eq!(verdict.is_ok(), vector.valid, "{}: {verdict:?}", vector.name);
        }
    }

    #[test]
    fn either_key_is_good_while_a_key_is_changed() {
        for vector in vectors() {
            let keys = [Secret::new("another"), Secret::new(&vector.auth_token)];
            assert_eq!(verdict(&vector, &keys).is_ok(), vector.valid, "{}", vector.name);
        }
    }

    #[rstest]
    #[case::no_key(&[])]
    #[case::an_empty_key(&[""])]
    #[case::another_key(&["another"])]
    fn without_the_right_key_nothing_is_believed(#[case] keys: &[&str]) {
        let keys: Vec<_> = keys.iter().copied().map(Secret::new).collect();
        for vector in vectors() {
            assert!(verdict(&vector, &keys).is_err(), "{}", vector.name);
        }
        let signature = sign(Algorithm::HmacSha1, &Secret::new(""), "https://a.example/", &[]);
        let request = Request {
            url: "https://a.example/",
            content: Content::Form(&[]),
            signature: Some(&signature),
            settings: None,
        };
        assert!(verify(&request, &keys).is_err());
    }

    #[rstest]
    #[case(None, Ok(Algorithm::HmacSha1))]
    #[case(Some(""), Ok(Algorithm::HmacSha1))]
    #[case(Some("key=webhooks_sharedkey_0"), Ok(Algorithm::HmacSha1))]
    #[case(Some("key=webhooks_sharedkey_0, algorithm=HMAC_SHA256"), Ok(Algorithm::HmacSha256))]
    #[case(Some("algorithm=NONE"), Err(Refusal::Algorithm))]
    #[case(Some("algorithm="), Err(Refusal::Algorithm))]
    fn the_algorithm_is_named_by_the_settings(
        #[case] settings: Option<&str>,
        #[case] expected: Result<Algorithm, Refusal>,
    ) {
        assert_eq!(algorithm(settings), expected);
    }

    #[rstest]
    #[case("https://a.example/x?y=1", &["https://a.example:443/x?y=1", "https://a.example/x?y=1"])]
    #[case("https://a.example:8443/x", &["https://a.example/x", "https://a.example:8443/x"])]
    #[case("wss://a.example", &["wss://a.example:443", "wss://a.example:80", "wss://a.example"])]
    #[case("http://u:p@a.example:81/x#ct=1", &["http://a.example/x", "http://a.example:81/x"])]
    #[case("http://[::1]:81/x", &["http://[::1]/x", "http://[::1]:81/x"])]
    #[case("http://[::1]/x", &["http://[::1]:80/x", "http://[::1]/x"])]
    #[case("nonsense", &["nonsense"])]
    fn a_url_is_tried_with_and_without_its_port(#[case] url: &str, #[case] expected: &[&str]) {
        assert_eq!(candidates(url), expected);
    }

    proptest! {
        #[test]
        fn what_is_signed_is_believed_in_any_order_and_repetition(
            pairs in prop::collection::vec((".{0,8}", ".{0,8}"), 0..6),
            path in "[a-z/]{0,12}",
        ) {
            let (key, url) = (Secret::new("key"), format!("https://voice.example.com/{path}"));
            let signature = sign(Algorithm::HmacSha256, &key, &url, &pairs);
            let mut doubled: Vec<_> = pairs.iter().rev().cloned().collect();
            doubled.extend(pairs);
            let request = Request {
                url: &url,
                content: Content::Form(&doubled),
                signature: Some(&signature),
                settings: Some("algorithm=HMAC_SHA256"),
            };
            prop_assert_eq!(verify(&request, &[key]), Ok(()));
        }

        #[test]
        fn one_changed_byte_is_refused(value in "[ -~]{1,40}", at in any::<prop::sample::Index>(), place in 0..3) {
            let change = |text: &str| {
                let at = at.index(text.len());
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
                String::from_utf8(bytes).unwrap()
            };
            let (key, path) = (Secret::new("key"), "twilio/voice");
            let url = format!("https://voice.example.com/{path}");
            let signature = sign(Algorithm::HmacSha1, &key, &url, &[("From".to_owned(), value.clone())]);
            let (path, value, signature) = match place {
                0 => (change(path), value, signature),
                1 => (path.to_owned(), change(&value), signature),
                _ => (path.to_owned(), value, change(&signature)),
            };
            let request = Request {
                url: &format!("https://voice.example.com/{path}"),
                content: Content::Form(&[("From".to_owned(), value)]),
                signature: Some(&signature),
                settings: None,
            };
            prop_assert_eq!(verify(&request, &[key]), Err(Refusal::Mismatch));
        }
    }
}
