//! The forms Twilio posts: a call that wants an answer, and callbacks about calls and streams.
//!
//! Every field may be missing; nothing here fails but a form that is too wide. Knows nothing of signatures, and
//! not what a call log makes of the fields.

/// A voice request has about 30 fields. SIP headers, add-ons and parameters of the operator come on top.
pub const PARAMETERS_MAX: usize = 1000;

/// Decoded fields in the order of the form.
pub type Pairs = Vec<(String, String)>;

/// The form has more than [`PARAMETERS_MAX`] fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the form has more than {PARAMETERS_MAX} parameters")]
pub struct TooManyParameters;

/// The fields of a form body (`application/x-www-form-urlencoded`).
pub fn pairs(body: &[u8]) -> Result<Pairs, TooManyParameters> {
    let pairs: Pairs = form_urlencoded::parse(body).into_owned().take(PARAMETERS_MAX + 1).collect();
    if pairs.len() > PARAMETERS_MAX { Err(TooManyParameters) } else { Ok(pairs) }
}

/// A call that wants to know how to go on. Empty fields count as missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoiceRequest {
    pub call_sid: Option<String>,
    pub account_sid: Option<String>,
    /// E.164, `client:…`, `sip:…`, or what the network says of a caller who is withheld.
    pub from: Option<String>,
    pub to: Option<String>,
    pub direction: Option<Direction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Inbound,
    Outbound,
}

impl VoiceRequest {
    pub fn new(pairs: &Pairs) -> Self {
        Self {
            call_sid: field(pairs, "CallSid"),
            account_sid: field(pairs, "AccountSid"),
            from: field(pairs, "From"),
            to: field(pairs, "To"),
            direction: find(pairs, "Direction").and_then(Direction::parse),
        }
    }
}

/// What networks say in place of a number that is withheld or not known. The digits spell `ANONYMOUS`, `RESTRICTED`,
/// `BLOCKED`, `UNKNOWN` and `UNAVAILABLE` on a keypad.
const WITHHELD: [&str; 9] = [
    "anonymous",
    "restricted",
    "unknown",
    "unavailable",
    "+266696687",
    "+7378742833",
    "+2562533",
    "+8656696",
    "+86282452253",
];

impl VoiceRequest {
    /// Who calls us, if somebody does who can be told from others.
    pub fn caller(&self) -> Option<&str> {
        let is_withheld = |from: &&str| WITHHELD.iter().any(|word| word.eq_ignore_ascii_case(from));
        self.from.as_deref().filter(|from| !self.is_outbound() && !is_withheld(from))
    }

    /// Which of our numbers is called.
    pub fn number(&self) -> Option<&str> {
        self.to.as_deref().filter(|_| !self.is_outbound())
    }

    /// We call somebody.
    fn is_outbound(&self) -> bool {
        self.direction == Some(Direction::Outbound)
    }
}

impl Direction {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "inbound" => Some(Self::Inbound),
            // `outbound-api`, `outbound-dial`
            _ => text.starts_with("outbound").then_some(Self::Outbound),
        }
    }
}

/// What the carrier tells about a call outside of its media stream. Repeated and in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusCallback {
    pub call_sid: Option<String>,
    pub subject: Subject,
    /// The same for the same callback: repetitions can be told.
    pub key: String,
    /// The fields worth keeping, by name, in a fixed order. No numbers and no names of people.
    pub detail: Pairs,
}

/// What a callback is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Call,
    Stream,
}

impl StatusCallback {
    const CALL: [&str; 8] = [
        "CallStatus",
        "SequenceNumber",
        "Timestamp",
        "CallDuration",
        "SipResponseCode",
        "AnsweredBy",
        "ErrorCode",
        "Direction",
    ];
    const STREAM: [&str; 5] = ["StreamEvent", "StreamSid", "StreamName", "StreamError", "Timestamp"];

    pub fn new(pairs: &Pairs) -> Self {
        let text = |name| find(pairs, name).unwrap_or_default();
        let event = text("StreamEvent");
        let (subject, names, key) = if event.is_empty() {
            let key = format!("{}/{}/{}", text("CallSid"), text("SequenceNumber"), text("CallStatus"));
            (Subject::Call, Self::CALL.as_slice(), key)
        } else {
            (Subject::Stream, Self::STREAM.as_slice(), format!("{}/{event}", text("StreamSid")))
        };
        let detail =
            names.iter().filter_map(|name| Some(((*name).to_owned(), field(pairs, name)?))).collect();
        Self { call_sid: field(pairs, "CallSid"), subject, key, detail }
    }
}

fn find<'a>(pairs: &'a Pairs, wanted: &str) -> Option<&'a str> {
    pairs.iter().find(|(name, value)| name == wanted && !value.is_empty()).map(|(_, value)| value.as_str())
}

fn field(pairs: &Pairs, wanted: &str) -> Option<String> {
    find(pairs, wanted).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use rstest::rstest;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Fixture {
        form: BTreeMap<String, String>,
    }

    macro_rules! form {
        ($name:literal) => {{
            let text = include_str!(concat!("../../fixtures/twilio/frames/", $name));
            serde_json::from_str::<Fixture>(text).unwrap().form.into_iter().collect::<Pairs>()
        }};
    }

    const CALL: &str = "CA00112233445566778899aabbccddeeff";

    #[rstest]
    #[case(form!("webhook-voice-inbound.json"), "+14155550123", "+13125550142", Direction::Inbound)]
    #[case(form!("webhook-voice-inbound-forwarded.json"), "+14155550123", "+13125550142", Direction::Inbound)]
    #[case(form!("webhook-voice-anonymous.json"), "+266696687", "+13125550142", Direction::Inbound)]
    #[case(form!("webhook-voice-outbound-answered.json"), "+13125550142", "+14155550123", Direction::Outbound)]
    #[case(form!("webhook-voice-outbound-amd-sync.json"), "+13125550142", "+14155550123", Direction::Outbound)]
    #[case(form!("webhook-resume-after-stream.json"), "+14155550123", "+13125550142", Direction::Inbound)]
    fn a_voice_request_says_who_calls_whom(
        #[case] form: Pairs,
        #[case] from: &str,
        #[case] to: &str,
        #[case] direction: Direction,
    ) {
        let request = VoiceRequest::new(&form);
        assert_eq!(request.call_sid.as_deref(), Some(CALL));
        assert_eq!(request.account_sid.as_deref(), Some("AC0123456789abcdef0123456789abcdef"));
        assert_eq!((request.from.as_deref(), request.to.as_deref()), (Some(from), Some(to)));
        assert_eq!(request.direction, Some(direction));
    }

    #[rstest]
    #[case("")]
    #[case("CallSid=&From=&Direction=sideways")]
    #[case("&&==&%ff")]
    fn a_request_without_fields_has_none(#[case] body: &str) {
        assert_eq!(VoiceRequest::new(&pairs(body.as_bytes()).unwrap()), VoiceRequest::default());
    }

    #[rstest]
    #[case(form!("webhook-status-initiated.json"), Subject::Call, "CA00112233445566778899aabbccddeeff/0/initiated")]
    #[case(form!("webhook-status-ringing.json"), Subject::Call, "CA00112233445566778899aabbccddeeff/1/ringing")]
    #[case(form!("webhook-status-completed.json"), Subject::Call, "CA00112233445566778899aabbccddeeff/3/completed")]
    #[case(form!("webhook-status-busy.json"), Subject::Call, "CA00112233445566778899aabbccddeeff/2/busy")]
    #[case(form!("webhook-stream-started.json"), Subject::Stream, "MZffeeddccbbaa99887766554433221100/stream-started")]
    #[case(form!("webhook-stream-error.json"), Subject::Stream, "MZffeeddccbbaa99887766554433221100/stream-error")]
    fn a_callback_has_a_key_that_its_repetition_shares(
        #[case] form: Pairs,
        #[case] subject: Subject,
        #[case] key: &str,
    ) {
        let callback = StatusCallback::new(&form);
        assert_eq!(callback.call_sid.as_deref(), Some(CALL));
        assert_eq!((callback.subject, callback.key.as_str()), (subject, key));
        assert!(callback.detail.iter().all(|(_, value)| !value.starts_with("+1")), "no telephone numbers");
    }

    #[test]
    fn the_error_of_a_stream_is_kept() {
        let detail = StatusCallback::new(&form!("webhook-stream-error.json")).detail;
        assert!(detail.contains(&("StreamError".to_owned(), "Connection Broken Pipe".to_owned())));
    }

    #[rstest]
    #[case(PARAMETERS_MAX, true)]
    #[case(PARAMETERS_MAX + 1, false)]
    fn the_parameters_of_a_form_are_bounded(#[case] count: usize, #[case] accepted: bool) {
        let body = (0..count).map(|n| format!("p{n}=")).collect::<Vec<_>>().join("&");
        assert_eq!(pairs(body.as_bytes()).is_ok(), accepted);
    }

    #[test]
    fn values_are_decoded_and_not_trimmed() {
        let expected = vec![("From".to_owned(), "+1 ".to_owned()), ("é".to_owned(), " a+b".to_owned())];
        assert_eq!(pairs(b"From=%2B1+&%C3%A9=%20a%2Bb"), Ok(expected));
    }

    proptest! {
        #[test]
        fn no_body_can_panic_the_reader(body in prop::collection::vec(any::<u8>(), 0..256)) {
            if let Ok(pairs) = pairs(&body) {
                let _ = (VoiceRequest::new(&pairs), StatusCallback::new(&pairs));
            }
        }
    }
}
