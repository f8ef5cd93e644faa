//! What a configuration of services is worth.

use rstest::rstest;

use super::*;
use crate::net::dial;

fn providers(toml: &str, key: Option<&str>) -> Result<Providers, Error> {
    let transport = Transport { config: http::Config::default(), tls: dial::tls([]) };
    Providers::new(&toml::from_str(toml).unwrap(), |_| key.map(Secret::new), &transport)
}

#[rstest]
#[case("[[stt]]\nkind = 'google'\n[[stt]]\nkind = 'gemini'\n[[stt]]\nkind = 'openai'", Kind::Transcribe)]
#[case("[[tts]]\nkind = 'google'\n[[tts]]\nkind = 'gemini'\n[[tts]]\nkind = 'openai'", Kind::Speak)]
fn a_kind_and_a_key_are_enough(#[case] toml: &str, #[case] kind: Kind) {
    let providers = providers(toml, Some("key")).unwrap();
    for other in [Kind::Transcribe, Kind::Think, Kind::Speak] {
        assert_eq!(providers.is_available(other), other == kind);
    }
}

#[rstest]
#[case("[[tts]]\nkind = 'gemini'", None, "fallback.tts[0]: GEMINI_API_KEY is not set")]
#[case("[[stt]]\nkind = 'google'\nkey_env = 'K'", Some(""), "fallback.stt[0]: K is not set")]
#[case(
    "[[stt]]\nkind = 'openai'\nendpoint = 'http://10.0.0.1/v1'",
    Some("key"),
    "http://10.0.0.1 is http://"
)]
#[case("[[stt]]\nkind = 'openai'\nendpoint = 'ftp://10.0.0.1'", Some("key"), "not an http or https URL")]
#[case("[[stt]]\nkind = 'google'\n[[stt]]\nkind = 'google'", Some("a\nb"), "fallback.stt[0]: the key holds")]
fn an_entry_that_cannot_work_says_why(#[case] toml: &str, #[case] key: Option<&str>, #[case] reason: &str) {
    let error = providers(toml, key).unwrap_err().to_string();
    assert!(error.replace("the endpoint `", "").replace('`', "").contains(reason), "{error}");
}

#[rstest]
#[case("[[tts]]\nkind = 'openai'\nendpoint = 'http://127.0.0.1:8000/v1'")]
#[case("[[tts]]\nkind = 'openai'\nendpoint = 'http://[::1]:8000/v1'")]
#[case("[[tts]]\nkind = 'openai'\nendpoint = 'http://speech:8000/v1'\nkey_env = ''")]
fn a_service_of_our_own_needs_no_key(#[case] toml: &str) {
    assert!(providers(toml, None).unwrap().is_available(Kind::Speak));
}

#[rstest]
#[case("[[stt]]\nkind = 'whisper'")]
#[case("[[stt]]\nkind = 'google'\nvoice = 'x'")]
#[case("[[tts]]\nkind = 'google'\nvoices = 'x'")]
#[case("[[tts]]\nvoice = 'x'")]
#[case("[[asr]]\nkind = 'google'")]
fn unknown_keys_are_errors(#[case] toml: &str) {
    assert!(toml::from_str::<Config>(toml).is_err());
}
