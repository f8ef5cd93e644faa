//! The messages of the carrier as JSON: borrowed, and read field by field.
//!
//! What is not written as documented is read for what it says; a field of another kind than it should be is a default, and
//! is named. Knows the shapes, and nothing of what they mean.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::carrier::{Malformed, MediaFormat};
use crate::json::{Odd, Reader};

/// A message of the carrier. All kinds in one flat struct: the event may be named behind the body.
#[derive(Default)]
pub(super) struct Message<'a> {
    pub(super) event: Event,
    pub(super) stream_sid: Option<Cow<'a, [u8]>>,
    pub(super) sequence_number: Option<u64>,
    pub(super) start: Option<StartBody<'a>>,
    pub(super) media: Option<MediaBody<'a>>,
    pub(super) mark: Option<Cow<'a, str>>,
    pub(super) digit: Option<Cow<'a, str>>,
    /// The first thing that was odd, for the call log.
    pub(super) oddity: Option<&'static str>,
}

/// What a message tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Event {
    Connected,
    Start,
    Media,
    Mark,
    Dtmf,
    Stop,
    #[default]
    Unknown,
}

#[derive(Default)]
pub(super) struct StartBody<'a> {
    pub(super) stream_sid: Option<Cow<'a, str>>,
    pub(super) call_sid: Option<Cow<'a, str>>,
    pub(super) account_sid: Option<Cow<'a, str>>,
    pub(super) media_format: Format<'a>,
    /// The `<Parameter>`s: texts and numbers, anything else is left out.
    pub(super) custom_parameters: BTreeMap<String, String>,
}

#[derive(Default)]
pub(super) struct Format<'a> {
    pub(super) encoding: Option<Cow<'a, str>>,
    pub(super) sample_rate: Option<u64>,
    pub(super) channels: Option<u64>,
}

#[derive(Default)]
pub(super) struct MediaBody<'a> {
    pub(super) track: Option<Cow<'a, [u8]>>,
    pub(super) chunk: Option<u64>,
    pub(super) timestamp: Option<u64>,
    /// Base64.
    pub(super) payload: Option<Cow<'a, [u8]>>,
}

/// Reads a message; of several in one frame the first. Allocates nothing for a message without escapes, unless it is
/// a `start`.
pub(super) fn parse(text: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut json = Reader::new(text);
    if !json.next_object() {
        return Err(Malformed::Json);
    }
    let mut message = Message::default();
    let mut event = None;
    let mut has_sid = false;
    // An object stands there.
    let _ = json.members(|json, name| match name {
        b"event" if json.is_text() => event = json.bytes().unwrap_or_default(),
        b"streamsid" => {
            has_sid = json.is_text();
            message.stream_sid = message.bytes("odd_stream_sid", json);
        }
        b"sequencenumber" => message.sequence_number = message.counter("odd_sequence_number", json),
        _ if json.is_null() => {}
        b"media" => message.media = message.media_body(json).ok().or_else(|| message.media.take()),
        b"start" => message.start = message.start_body(json).ok().or_else(|| message.start.take()),
        b"mark" => message.mark = message.only_text(b"name", "odd_mark", json),
        b"dtmf" => message.digit = message.only_text(b"digit", "odd_digit", json),
        _ => {}
    });
    message.event = match event {
        Some(event) => message.named(&event),
        None => message.implied().ok_or(Malformed::Json)?,
    };
    if !has_sid && message.event != Event::Start {
        // What is no text is no id, and tells no streams apart.
        message.stream_sid = None;
    }
    if json.is_broken() {
        message.note("odd_message");
    }
    Ok(message)
}

impl Event {
    fn of(name: &[u8]) -> Self {
        match name {
            b"media" => Self::Media,
            b"mark" => Self::Mark,
            b"start" => Self::Start,
            b"dtmf" => Self::Dtmf,
            b"stop" => Self::Stop,
            b"connected" => Self::Connected,
            _ => Self::Unknown,
        }
    }
}

impl<'a> Message<'a> {
    fn note(&mut self, oddity: &'static str) {
        self.oddity.get_or_insert(oddity);
    }

    /// The event of this name, in any case.
    fn named(&mut self, name: &[u8]) -> Event {
        let known = Event::of(name);
        if known != Event::Unknown {
            return known;
        }
        let known = Event::of(&name.trim_ascii().to_ascii_lowercase());
        if known != Event::Unknown {
            self.note("odd_message");
        }
        known
    }

    /// The event of a message that does not name it, by the body that it has.
    fn implied(&mut self) -> Option<Event> {
        self.note("odd_message");
        let bodies = [
            (self.media.is_some(), Event::Media),
            (self.start.is_some(), Event::Start),
            (self.digit.is_some(), Event::Dtmf),
            (self.mark.is_some(), Event::Mark),
        ];
        bodies.into_iter().find(|(has_body, _)| *has_body).map(|(_, event)| event)
    }

    /// A text; also a number, which is odd.
    fn text(&mut self, oddity: &'static str, json: &mut Reader<'a>) -> Option<Cow<'a, str>> {
        self.expect_text(oddity, json);
        json.text().unwrap_or_default()
    }

    /// The same as bytes, which are only compared.
    fn bytes(&mut self, oddity: &'static str, json: &mut Reader<'a>) -> Option<Cow<'a, [u8]>> {
        self.expect_text(oddity, json);
        json.bytes().unwrap_or_default()
    }

    fn expect_text(&mut self, oddity: &'static str, json: &mut Reader<'a>) {
        if !json.is_text() && !json.is_null() {
            self.note(oddity);
        }
    }

    /// A count, which may be written as a text.
    fn counter(&mut self, oddity: &'static str, json: &mut Reader<'a>) -> Option<u64> {
        let digits = match json.bytes() {
            Ok(None) => return None,
            Ok(digits) => digits,
            Err(Odd) => None,
        };
        let number = digits.and_then(|digits| number(digits.trim_ascii()));
        if number.is_none() {
            self.note(oddity);
        }
        number
    }

    /// The text of the only member of a body that is of use.
    fn only_text(
        &mut self,
        member: &'static [u8],
        oddity: &'static str,
        json: &mut Reader<'a>,
    ) -> Option<Cow<'a, str>> {
        let mut text = None;
        let read = json.members(|json, name| {
            if name == member {
                text = self.text(oddity, json);
            }
        });
        if read.is_err() {
            self.note(oddity);
        }
        text
    }

    fn media_body(&mut self, json: &mut Reader<'a>) -> Result<MediaBody<'a>, Odd> {
        let mut media = MediaBody::default();
        json.members(|json, name| match name {
            b"payload" if json.is_text() => media.payload = json.bytes().unwrap_or_default(),
            b"track" => media.track = self.bytes("odd_track", json),
            b"chunk" => media.chunk = self.counter("odd_chunk", json),
            b"timestamp" => media.timestamp = self.counter("odd_timestamp", json),
            _ => {}
        })?;
        Ok(media)
    }

    fn start_body(&mut self, json: &mut Reader<'a>) -> Result<StartBody<'a>, Odd> {
        let mut start = StartBody::default();
        json.members(|json, name| match name {
            b"streamsid" => start.stream_sid = self.text("odd_stream_sid", json),
            b"callsid" => start.call_sid = self.text("odd_call_sid", json),
            b"accountsid" => start.account_sid = self.text("odd_account_sid", json),
            b"mediaformat" => start.media_format = self.format(json),
            b"customparameters" => start.custom_parameters = self.parameters(json),
            _ => {}
        })?;
        Ok(start)
    }

    fn format(&mut self, json: &mut Reader<'a>) -> Format<'a> {
        const ODDITY: &str = "odd_media_format";
        let mut format = Format::default();
        let read = json.members(|json, name| match name {
            b"encoding" => format.encoding = self.text(ODDITY, json),
            b"samplerate" => format.sample_rate = self.counter(ODDITY, json),
            b"channels" => format.channels = self.counter(ODDITY, json),
            _ => {}
        });
        if read.is_err() {
            self.note(ODDITY);
        }
        format
    }

    /// An object, or a list of objects with `name` and `value`.
    fn parameters(&mut self, json: &mut Reader<'a>) -> BTreeMap<String, String> {
        const ODDITY: &str = "odd_parameters";
        let mut parameters = BTreeMap::new();
        if json.is_list() {
            self.note(ODDITY);
            json.items(|json| parameters.extend(parameter(json)));
            return parameters;
        }
        let read = json.entries(|json, name| {
            if let Some(value) = scalar(json) {
                parameters.insert(name.into_owned(), value.into_owned());
            }
        });
        if read.is_err() {
            self.note(ODDITY);
        }
        parameters
    }
}

/// Decimal digits, after a plus or not; `None` beyond the type.
fn number(digits: &[u8]) -> Option<u64> {
    let digits = digits.strip_prefix(b"+").unwrap_or(digits);
    let first = digits.first()?.is_ascii_digit().then_some(0_u64)?;
    digits.iter().try_fold(first, |number, digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(value)
    })
}

/// A parameter as an object of its own.
fn parameter(json: &mut Reader<'_>) -> Option<(String, String)> {
    let mut name = None;
    let mut value = None;
    json.members(|json, member| match member {
        b"name" => name = scalar(json),
        b"value" => value = scalar(json),
        _ => {}
    })
    .ok()?;
    Some((name?.into_owned(), value?.into_owned()))
}

/// A text or a number.
fn scalar<'a>(json: &mut Reader<'a>) -> Option<Cow<'a, str>> {
    let is_text = json.is_text();
    let text = json.text().unwrap_or_default()?;
    (is_text || text.parse::<f64>().is_ok_and(f64::is_finite)).then_some(text)
}

/// The encoding of every stream that does not say another one, as the carrier writes it.
const MULAW: &str = "audio/x-mulaw";

impl Format<'_> {
    /// What is missing is as on every other stream: mu-law, 8 kHz, one channel. Another encoding has no default rate.
    pub(super) fn known(self) -> MediaFormat {
        let number = |counter: Option<u64>| counter.and_then(|number| u32::try_from(number).ok());
        let encoding = self.encoding.map_or_else(|| MULAW.to_owned(), Cow::into_owned);
        let encoding = if is_mulaw(&encoding) { MULAW.to_owned() } else { encoding };
        let rate = if encoding == MULAW { 8000 } else { 0 };
        MediaFormat {
            sample_rate: number(self.sample_rate).unwrap_or(rate),
            channels: number(self.channels).unwrap_or(1),
            encoding,
        }
    }
}

/// Whether an encoding is G.711 mu-law, in the spellings of carriers and RFC 3551.
fn is_mulaw(encoding: &str) -> bool {
    let name = encoding.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let name = name.strip_prefix("audio/").unwrap_or(&name);
    matches!(
        name,
        "x-mulaw"
            | "mulaw"
            | "mu-law"
            | "ulaw"
            | "x-ulaw"
            | "u-law"
            | "pcmu"
            | "basic"
            | "g711"
            | "g711u"
            | "g711_ulaw"
            | "g711-ulaw"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_borrowed_and_one_with_escapes_is_not() {
        let payload = |json| parse(json).unwrap().media.unwrap().payload.unwrap();
        let plain = br#"{"event":"media","media":{"payload":"AAAA"}}"#;
        assert!(matches!(payload(plain), Cow::Borrowed(b"AAAA")));
        let escaped = br#"{"event":"media","media":{"payload":"AA\/A"}}"#;
        assert_eq!(payload(escaped), Cow::<[u8]>::Owned(b"AA/A".to_vec()));
    }
}
