//! What the carrier is to do with a call, as the document its webhook is answered with (TwiML).
//!
//! Whatever text is put in comes out as the same text on the other side: everything is escaped, and characters
//! that XML 1.0 cannot carry are replaced. Knows nothing of who asks.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

/// The `Content-Type` of a document.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

/// One instruction. A document is a list of them, carried out in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Stream the call both ways until the socket ends, then go on with the next verb.
    Connect(Stream),
    /// Silence.
    Pause {
        seconds: u32,
    },
    /// Ask this URL by `POST` how to go on.
    Redirect {
        url: String,
    },
    /// Read this to the caller; without a language (BCP-47) it is taken for English (Twilio, `<Say>`).
    Say {
        text: String,
        language: Option<String>,
    },
    Hangup,
    /// Connect the caller with this number; the next verb runs when that is over (Twilio, `<Dial>`).
    Dial {
        number: String,
    },
    /// Record what the caller says after a tone, then ask the URL `action` how to go on. With silence alone there is no
    /// recording, and the next verb runs (Twilio, `<Record>`).
    Record {
        seconds_max: u32,
        action: String,
    },
    /// Do not answer the call. Only as the first verb; not billed.
    Reject(Reason),
}

/// A media stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// `wss`, without a query: the carrier does not support one (Twilio, `<Stream>`).
    pub url: String,
    pub status_callback: String,
    /// Come back in the message `start`.
    pub parameters: Vec<Parameter>,
}

/// A name and a value that the carrier hands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    name: String,
    value: String,
}

/// Why a call is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The number is not in service.
    Rejected,
    Busy,
}

/// Name and value of a parameter are together too long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stream parameter {name:?} has {length} characters with its value, but must stay below {}",
    Parameter::LENGTH_LIMIT
)]
pub struct ParameterTooLong {
    pub name: String,
    pub length: usize,
}

impl Parameter {
    /// Name and value together stay below this many characters (Twilio, `<Parameter>`).
    pub const LENGTH_LIMIT: usize = 500;

    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Result<Self, ParameterTooLong> {
        let (name, value) = (name.into(), value.into());
        let length = name.chars().count() + value.chars().count();
        if length >= Self::LENGTH_LIMIT {
            return Err(ParameterTooLong { name, length });
        }
        Ok(Self { name, value })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn value(&self) -> &str {
        &self.value
    }
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Busy => "busy",
        }
    }
}

/// The document of these verbs.
pub fn document(verbs: &[Verb]) -> String {
    let mut writer = Writer::new(Vec::new());
    write(&mut writer, verbs).expect("a Vec takes every write");
    String::from_utf8(writer.into_inner()).expect("only text was written")
}

type Out = Writer<Vec<u8>>;

fn write(out: &mut Out, verbs: &[Verb]) -> io::Result<()> {
    out.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    out.create_element("Response").write_inner_content(|out| {
        verbs.iter().try_for_each(|verb| write_verb(out, verb))?;
        Ok(())
    })?;
    Ok(())
}

fn write_verb(out: &mut Out, verb: &Verb) -> io::Result<()> {
    match verb {
        Verb::Connect(stream) => {
            out.create_element("Connect").write_inner_content(|out| write_stream(out, stream))?
        }
        Verb::Pause { seconds } => out
            .create_element("Pause")
            .with_attribute(("length", seconds.to_string().as_str()))
            .write_empty()?,
        Verb::Redirect { url } => out
            .create_element("Redirect")
            .with_attribute(("method", "POST"))
            .write_text_content(BytesText::new(&legal(url)))?,
        Verb::Say { text, language } => {
            let say = out.create_element("Say");
            let language = language.as_deref().map(legal);
            let say = match &language {
                Some(language) => say.with_attribute(("language", language.as_str())),
                None => say,
            };
            say.write_text_content(BytesText::new(&legal(text)))?
        }
        Verb::Hangup => out.create_element("Hangup").write_empty()?,
        Verb::Dial { number } => {
            out.create_element("Dial").write_text_content(BytesText::new(&legal(number)))?
        }
        Verb::Record { seconds_max, action } => out
            .create_element("Record")
            .with_attributes([("action", legal(action).as_str()), ("method", "POST")])
            .with_attribute(("maxLength", seconds_max.to_string().as_str()))
            .with_attribute(("playBeep", "true"))
            .write_empty()?,
        Verb::Reject(reason) => {
            out.create_element("Reject").with_attribute(("reason", reason.as_str())).write_empty()?
        }
    };
    Ok(())
}

fn write_stream(out: &mut Out, stream: &Stream) -> io::Result<()> {
    let (url, callback) = (legal(&stream.url), legal(&stream.status_callback));
    out.create_element("Stream")
        .with_attributes([("url", url.as_str()), ("statusCallback", callback.as_str())])
        .write_inner_content(|out| {
            stream.parameters.iter().try_for_each(|parameter| write_parameter(out, parameter))
        })?;
    Ok(())
}

fn write_parameter(out: &mut Out, parameter: &Parameter) -> io::Result<()> {
    let (name, value) = (legal(&parameter.name), legal(&parameter.value));
    out.create_element("Parameter")
        .with_attributes([("name", name.as_str()), ("value", value.as_str())])
        .write_empty()?;
    Ok(())
}

/// The text with every character outside of XML 1.0 (section 2.2, `Char`) replaced.
fn legal(text: &str) -> String {
    let is_legal = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..);
    text.chars().map(|c| if is_legal(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::Reader;
    use rstest::rstest;

    use super::*;

    fn connect(parameters: Vec<Parameter>) -> Verb {
        Verb::Connect(Stream {
            url: "wss://voice.example.com/twilio/media/abc".to_owned(),
            status_callback: "https://voice.example.com/twilio/status".to_owned(),
            parameters,
        })
    }

    #[test]
    fn a_document_that_survives_the_loss_of_its_stream() {
        let document = document(&[
            connect(vec![Parameter::new("attempt", "1").unwrap()]),
            Verb::Pause { seconds: 1 },
            Verb::Redirect {
                url: "https://voice.example.com/twilio/resume?attempt=1#ct=2000&rc=5".to_owned(),
            },
        ]);
        assert_eq!(
            document,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>\
             <Connect><Stream url=\"wss://voice.example.com/twilio/media/abc\" \
             statusCallback=\"https://voice.example.com/twilio/status\">\
             <Parameter name=\"attempt\" value=\"1\"/></Stream></Connect>\
             <Pause length=\"1\"/>\
             <Redirect method=\"POST\">https://voice.example.com/twilio/resume?attempt=1#ct=2000&amp;rc=5</Redirect>\
             </Response>"
        );
    }

    #[rstest]
    #[case(Verb::Hangup, "<Hangup/>")]
    #[case(Verb::Say { text: "Sorry & <bye>".into(), language: None }, "<Say>Sorry &amp; &lt;bye&gt;</Say>")]
    #[case(Verb::Say { text: "Grüezi".into(), language: Some("de\"".into()) }, "<Say language=\"de&quot;\">Grüezi</Say>")]
    #[case(Verb::Dial { number: "+14155550142".into() }, "<Dial>+14155550142</Dial>")]
    #[case(
        Verb::Record { seconds_max: 180, action: "https://a.example/r?a=1&b=2".into() },
        r#"<Record action="https://a.example/r?a=1&amp;b=2" method="POST" maxLength="180" playBeep="true"/>"#
    )]
    #[case(Verb::Reject(Reason::Rejected), "<Reject reason=\"rejected\"/>")]
    #[case(Verb::Reject(Reason::Busy), "<Reject reason=\"busy\"/>")]
    #[case(Verb::Redirect { url: "a < b".to_owned() }, "<Redirect method=\"POST\">a &lt; b</Redirect>")]
    fn each_verb_is_one_element(#[case] verb: Verb, #[case] element: &str) {
        assert!(document(&[verb]).ends_with(&format!("<Response>{element}</Response>")));
    }

    #[test]
    fn no_verbs_are_a_valid_document() {
        assert!(document(&[]).ends_with("<Response></Response>"));
    }

    #[rstest]
    #[case(499, true)]
    #[case(500, false)]
    fn name_and_value_stay_below_500_characters(#[case] length: usize, #[case] accepted: bool) {
        assert_eq!(Parameter::new("né", "ü".repeat(length - 2)).is_ok(), accepted);
    }

    /// Elements with their attributes and texts, as a reader sees them.
    fn read(document: &str) -> Vec<String> {
        let mut reader = Reader::from_str(document);
        let mut seen = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                Event::Start(tag) | Event::Empty(tag) => {
                    seen.push(format!("<{}", tag.name().as_ref()));
                    for attribute in tag.attributes() {
                        let attribute = attribute.unwrap();
                        let value = quick_xml::escape::unescape(&attribute.value).unwrap();
                        seen.push(format!("{}={value}", attribute.key.as_ref()));
                    }
                }
                Event::Text(text) => seen.push(text.to_string()),
                Event::GeneralRef(reference) => {
                    let text = format!("&{};", reference.as_ref());
                    seen.push(quick_xml::escape::unescape(&text).unwrap().into_owned());
                }
                Event::Eof => return seen,
                Event::End(_)
                | Event::CData(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_) => {}
            }
        }
    }

    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[<>&'\"\\]\\[!/ \t\r\n\\-a=;#0x]{0,40}",
            Just("\"/></Stream></Connect><Dial>+19005550100</Dial>".to_owned()),
            Just("]]>\u{0}\u{1F}\u{FFFE}\u{FFFF}&#0;".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn hostile_text_comes_back_as_the_same_values(name in hostile(), value in hostile(), said in hostile()) {
            prop_assume!(!said.is_empty());
            let Ok(parameter) = Parameter::new(&name, &value) else { return Ok(()) };
            let seen = read(&document(&[connect(vec![parameter]), Verb::Redirect { url: said.clone() }]));
            let expected = vec![
                "<Response".to_owned(),
                "<Connect".to_owned(),
                "<Stream".to_owned(),
                "url=wss://voice.example.com/twilio/media/abc".to_owned(),
                "statusCallback=https://voice.example.com/twilio/status".to_owned(),
                "<Parameter".to_owned(),
                format!("name={}", legal(&name)),
                format!("value={}", legal(&value)),
                "<Redirect".to_owned(),
                "method=POST".to_owned(),
            ];
            prop_assert_eq!(&seen[..expected.len()], &expected[..]);
            prop_assert_eq!(seen[expected.len()..].concat(), legal(&said));
        }
    }
}
