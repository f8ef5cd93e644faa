//! The forms Twilio posts: a call that wants an answer, and callbacks about calls and streams.
//!
//! Every field of a callback may be missing; a call must say its ids and who calls. The signed text of a form has no
//! separators, so that a form could be cut anew into other fields: names and ids have one form each, and others are refused.
//! Knows nothing of signatures, and not what a call log makes of the fields.

use super::party::Party;

/// A voice request has about 30 fields. SIP headers, add-ons and parameters of the operator come on top.
pub const PARAMETERS_MAX: usize = 1000;

/// The header that tells a repeated request from a new one (Twilio, "Webhooks FAQ").
pub const IDEMPOTENCY_TOKEN: &str = "i-twilio-idempotency-token";

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

/// Field names have 1 to this many characters.
const NAME_CHARACTERS_MAX: usize = 64;

/// A field name that no carrier writes, as of a signed form that was cut anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a field name has other characters than letters, digits, '_', '.' and '-', or more than {NAME_CHARACTERS_MAX}"
)]
pub struct OddName;

/// Whether all fields have names of the carrier's form.
pub fn check_names(pairs: &Pairs) -> Result<(), OddName> {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let is_good = |name: &str| (1..=NAME_CHARACTERS_MAX).contains(&name.len()) && name.bytes().all(is_usual);
    if pairs.iter().all(|(name, _)| is_good(name)) { Ok(()) } else { Err(OddName) }
}

/// A call that wants to know how to go on. Empty ids count as missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoiceRequest {
    pub call_sid: Option<String>,
    pub account_sid: Option<String>,
    /// An empty value is a withheld party.
    pub from: Option<Party>,
    pub to: Option<Party>,
    pub direction: Option<Direction>,
    /// `I-Twilio-Idempotency-Token`: the same when the carrier repeats the request, another in every new one.
    pub idempotency_token: Option<String>,
}

/// What a request for an answer lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field {field} is missing or has not its form; the request is not one of a call")]
pub struct Incomplete {
    pub field: &'static str,
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
            from: either(pairs, ["From", "Caller"]).map(Party::parse),
            to: either(pairs, ["To", "Called"]).filter(|to| !to.is_empty()).map(Party::parse),
            direction: find(pairs, "Direction").and_then(Direction::parse),
            idempotency_token: None,
        }
    }

    /// A call that has its ids and its caller.
    pub fn of_call(pairs: &Pairs) -> Result<Self, Incomplete> {
        let request = Self::new(pairs);
        let lacks = |field| Err(Incomplete { field });
        if !request.call_sid.as_deref().is_some_and(|sid| is_id(sid, "CA")) {
            return lacks("CallSid");
        }
        if !request.account_sid.as_deref().is_some_and(|sid| is_id(sid, "AC")) {
            return lacks("AccountSid");
        }
        if request.from.is_none() {
            return lacks("From");
        }
        Ok(request)
    }
}

/// Two letters and 32 hexadecimal digits (Twilio), or a UUID (compatible carriers): both of one length.
fn is_id(text: &str, prefix: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_uuid = || {
        let mut groups = text.split('-');
        [8, 4, 4, 4, 12].iter().all(|len| groups.next().is_some_and(|it| it.len() == *len && is_hex(it)))
            && groups.next().is_none()
    };
    text.strip_prefix(prefix).is_some_and(|digits| digits.len() == 32 && is_hex(digits)) || is_uuid()
}

impl VoiceRequest {
    /// Who calls us, if they can be told from others.
    pub fn caller(&self) -> Option<&Party> {
        self.from.as_ref().filter(|from| !self.is_outbound() && !from.is_withheld())
    }

    /// Which of our numbers is called.
    pub fn number(&self) -> Option<&Party> {
        self.to.as_ref().filter(|_| !self.is_outbound())
    }

    /// The party on our side: called, or calling where we call.
    pub fn ours(&self) -> Option<&Party> {
        if self.is_outbound() { self.from.as_ref() } else { self.to.as_ref() }
    }

    fn is_outbound(&self) -> bool {
        self.direction == Some(Direction::Outbound)
    }
}

impl Direction {
    fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "inbound" => Some(Self::Inbound),
            // `outbound-api`, `outbound-dial`
            text => text.starts_with("outbound").then_some(Self::Outbound),
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
    /// A message that the caller left.
    Voicemail,
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

    /// Of a message that the caller left, or of none: whoever hangs up at once leaves no URL and no seconds.
    pub fn of_message(pairs: &Pairs) -> Self {
        const FIELDS: [&str; 3] = ["RecordingUrl", "RecordingDuration", "RecordingSid"];
        let text = |name| find(pairs, name).unwrap_or_default();
        let id = find(pairs, "RecordingSid").unwrap_or_else(|| text("RecordingUrl"));
        let key = format!("{}/voicemail/{id}", text("CallSid"));
        let detail =
            FIELDS.iter().filter_map(|name| Some(((*name).to_owned(), field(pairs, name)?))).collect();
        Self { call_sid: field(pairs, "CallSid"), subject: Subject::Voicemail, key, detail }
    }
}

/// The first of these fields that says something; else the first that is there. Twilio writes each party twice.
fn either<'a>(pairs: &'a Pairs, names: [&str; 2]) -> Option<&'a str> {
    names
        .into_iter()
        .find_map(|name| find(pairs, name))
        .or_else(|| names.into_iter().find_map(|it| value(pairs, it)))
}

/// The value, which may be empty.
fn value<'a>(pairs: &'a Pairs, wanted: &str) -> Option<&'a str> {
    find(pairs, wanted).or_else(|| pairs.iter().any(|(name, _)| name == wanted).then_some(""))
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
    #[case(form!("webhook-voice-anonymous.json"), "anonymous", "+13125550142", Direction::Inbound)]
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
        let text = |party: &Option<Party>| party.as_ref().unwrap().to_string();
        assert_eq!((text(&request.from).as_str(), text(&request.to).as_str()), (from, to));
        assert_eq!(VoiceRequest::of_call(&form), Ok(request.clone()));
        assert_eq!(request.direction, Some(direction));
    }

    #[rstest]
    #[case("")]
    #[case("CallSid=&To=&Direction=sideways")]
    #[case("&&==&%ff")]
    fn a_request_without_fields_has_none(#[case] body: &str) {
        assert_eq!(VoiceRequest::new(&pairs(body.as_bytes()).unwrap()), VoiceRequest::default());
    }

    /// The signed text of a request, cut anew: all of these have the same signature.
    #[rstest]
    #[case::as_sent("AccountSid={AC}&CallSid={CA}&From=%2B14155550123&To=%2B13125550142", Ok(()))]
    #[case::empty_caller("AccountSid={AC}&CallSid={CA}&From=&To=%2B13125550142", Ok(()))]
    #[case::compatible("AccountSid={UUID}&CallSid={UUID}&From=sip%3A1001%40a.example", Ok(()))]
    #[case::shorter_call(
        "AccountSid={AC}&CallSid=CA0011&2233445566778899aabbccddeeffFrom=%2B1",
        Err("CallSid")
    )]
    #[case::longer_call("AccountSid={AC}&CallSid={CA}F&rom=%2B14155550123", Err("CallSid"))]
    #[case::call_in_a_name("AccountSid={AC}&CallSid{CA}=&From=%2B14155550123", Err("CallSid"))]
    #[case::account_in_a_name("AccountSid{AC}=&CallSid={CA}&From=%2B14155550123", Err("AccountSid"))]
    #[case::caller_in_a_value("AccountSid={AC}&CallSid={CA}&Called=1From%2B14155550123", Err("From"))]
    #[case::no_hexadecimal(
        "AccountSid={AC}&CallSid=CA0011223344556677889gaabbccddeeff&From=",
        Err("CallSid")
    )]
    fn a_call_says_its_ids_and_its_caller(#[case] body: &str, #[case] expected: Result<(), &'static str>) {
        let body = body.replace("{AC}", "AC0123456789abcdef0123456789abcdef").replace("{CA}", CALL);
        let body = body.replace("{UUID}", "428c31b6-abf3-3bc1-b7f4-5013ef9657c1");
        let request = VoiceRequest::of_call(&pairs(body.as_bytes()).unwrap());
        assert_eq!(request.map(|_| ()).map_err(|Incomplete { field }| field), expected);
    }

    #[rstest]
    #[case("SipHeader_X-Ticket=7&AddOns=%7B%7D&StirVerstat=&Called=%2B1&Param.1=x", true)]
    #[case("CallSid%2B14155550123=", false)]
    #[case("From+x=", false)]
    #[case("=x", false)]
    #[case("%C3%A9=", false)]
    #[case("https%3A%2F%2Fa=", false)]
    fn field_names_are_those_of_carriers(#[case] body: &str, #[case] accepted: bool) {
        assert_eq!(check_names(&pairs(body.as_bytes()).unwrap()).is_ok(), accepted);
        let long = |len| check_names(&vec![("a".repeat(len), String::new())]).is_ok();
        assert!(long(64) && !long(65));
    }

    #[rstest]
    #[case::both("From=%2B14155550123&Caller=%2B1&To=%2B13125550142&Called=%2B2")]
    #[case::called("From=%2B14155550123&Called=%2B13125550142")]
    #[case::empty_to("From=%2B14155550123&To=&Called=%2B13125550142")]
    #[case::caller("Caller=%2B14155550123&To=%2B13125550142")]
    #[case::empty_from("From=&Caller=%2B14155550123&To=%2B13125550142")]
    #[case::neither_of_the_usual("Caller=%2B14155550123&Called=%2B13125550142")]
    fn a_party_is_read_from_either_of_its_fields(#[case] form: &str) {
        let request = VoiceRequest::new(&pairs(form.as_bytes()).unwrap());
        let text = |party: Option<Party>| party.map(|party| party.to_string());
        let expected = (Some("+14155550123".to_owned()), Some("+13125550142".to_owned()));
        assert_eq!((text(request.from), text(request.to)), expected);
    }

    #[rstest]
    #[case("inbound", Some(Direction::Inbound))]
    #[case("Inbound", Some(Direction::Inbound))]
    #[case(" INBOUND ", Some(Direction::Inbound))]
    #[case("outbound", Some(Direction::Outbound))]
    #[case("outbound-api", Some(Direction::Outbound))]
    #[case("OUTBOUND-API", Some(Direction::Outbound))]
    #[case("Outbound-Dial", Some(Direction::Outbound))]
    #[case("sideways", None)]
    fn a_direction_is_read_in_any_case(#[case] text: &str, #[case] direction: Option<Direction>) {
        assert_eq!(Direction::parse(text), direction);
    }

    #[rstest]
    #[case(Some(Direction::Inbound), Some("+13125550142"), true)]
    #[case(None, Some("+13125550142"), true)]
    #[case(Some(Direction::Outbound), Some("+14155550123"), false)]
    fn our_side_is_called_or_calls(
        #[case] direction: Option<Direction>,
        #[case] ours: Option<&str>,
        #[case] has_caller: bool,
    ) {
        let form = pairs(b"From=tel%3A%2B14155550123&To=sip%3A%2B13125550142%40a.example").unwrap();
        let request = VoiceRequest { direction, ..VoiceRequest::new(&form) };
        assert_eq!(request.ours().map(ToString::to_string).as_deref(), ours);
        assert_eq!(request.caller().is_some(), has_caller);
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

    #[rstest]
    #[case(
        "RecordingUrl=https%3A%2F%2Fa%2FRE1&RecordingSid=RE1&RecordingDuration=12",
        "CA1/voicemail/RE1",
        3
    )]
    #[case(
        "RecordingUrl=https%3A%2F%2Fa%2FRE1&RecordingDuration=12&Digits=hangup",
        "CA1/voicemail/https://a/RE1",
        2
    )]
    #[case("RecordingDuration=0&Digits=hangup&RecordingUrl=", "CA1/voicemail/", 1)]
    #[case("RecordingSid=RE1&From=%2B14155550123", "CA1/voicemail/RE1", 1)]
    #[case("", "CA1/voicemail/", 0)]
    fn a_message_has_its_url_and_seconds_where_it_has_any(
        #[case] form: &str,
        #[case] key: &str,
        #[case] fields: usize,
    ) {
        let callback = StatusCallback::of_message(&pairs(format!("CallSid=CA1&{form}").as_bytes()).unwrap());
        assert_eq!((callback.subject, callback.key.as_str()), (Subject::Voicemail, key));
        assert_eq!(callback.detail.len(), fields, "{:?}", callback.detail);
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
