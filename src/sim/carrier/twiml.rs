//! The call instructions a server answers with (TwiML), as far as a media bridge needs them. Pure.
//!
//! A verb that is not known here is reported by its name and skipped.

use std::time::Duration;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use reqwest::Url;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    Connect {
        stream: Option<Stream>,
        action: Option<Target>,
    },
    Pause(Duration),
    Redirect(Target),
    Say(String),
    /// Without an action the URL of the document itself is asked after the message, as the real carrier does.
    Record {
        action: Option<Target>,
    },
    Hangup,
    Reject {
        busy: bool,
    },
    Unknown(String),
}

impl Verb {
    /// The name of the element.
    pub fn name(&self) -> &str {
        match self {
            Self::Connect { .. } => "Connect",
            Self::Pause(_) => "Pause",
            Self::Redirect(_) => "Redirect",
            Self::Say(_) => "Say",
            Self::Record { .. } => "Record",
            Self::Hangup => "Hangup",
            Self::Reject { .. } => "Reject",
            Self::Unknown(name) => name,
        }
    }
}

/// A request for more instructions: an absolute URL without its fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub url: String,
    pub method: Method,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    Get,
    #[default]
    Post,
}

/// `<Stream>` and its `<Parameter>`s. The URL is the text of the document, or made absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    pub url: String,
    pub name: Option<String>,
    pub track: Option<String>,
    pub status_callback: Option<Target>,
    pub parameters: Vec<(String, String)>,
}

/// The document cannot be followed (Twilio errors 12100, 12200).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("not well-formed XML: {0}")]
    Xml(String),
    #[error("the root element is `{0}`, not `Response`")]
    Root(String),
    #[error("there is no `Response` element, or it is not closed")]
    Incomplete,
    #[error("`{0}` is no URL that can be requested from {1}")]
    Url(String, String),
    #[error("`{0}` is no number of seconds")]
    Length(String),
}

/// Why a stream cannot even be tried, by Twilio's error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("31920: the stream URL has a query string")]
    Query,
    #[error("31922: the stream URL is not wss (ws is for the loopback)")]
    Scheme,
    #[error("31941: only inbound_track can be streamed under Connect")]
    Track,
    #[error("31920: the stream URL is malformed")]
    Malformed,
}

impl Refusal {
    pub const fn code(self) -> u16 {
        match self {
            Self::Query | Self::Malformed => 31920,
            Self::Scheme => 31922,
            Self::Track => 31941,
        }
    }
}

impl Stream {
    /// Whether the carrier would open this stream.
    pub fn check(&self) -> Result<(), Refusal> {
        let url = Url::parse(&self.url).map_err(|_| Refusal::Malformed)?;
        let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme() {
            "wss" => {}
            "ws" if loopback => {}
            _ => return Err(Refusal::Scheme),
        }
        if url.query().is_some() {
            return Err(Refusal::Query);
        }
        match self.track.as_deref() {
            None | Some("inbound_track") => Ok(()),
            Some(_) => Err(Refusal::Track),
        }
    }
}

/// The verbs of a document in order. Relative URLs are resolved against `base`, the URL it came from.
pub fn parse(document: &str, base: &str) -> Result<Vec<Verb>, Error> {
    let root = read(document)?;
    if root.name != "Response" {
        return Err(Error::Root(root.name));
    }
    root.children.iter().map(|element| verb(element, base)).collect()
}

fn verb(element: &Element, base: &str) -> Result<Verb, Error> {
    Ok(match element.name.as_str() {
        "Connect" => Verb::Connect {
            stream: element.child("Stream").map(|stream| read_stream(stream, base)).transpose()?,
            action: element.target("action", "method", base)?,
        },
        "Pause" => Verb::Pause(length(element.attribute("length").unwrap_or("1"))?),
        "Redirect" => Verb::Redirect(target(element.text.trim(), element.attribute("method"), base)?),
        "Say" => Verb::Say(element.text.trim().to_owned()),
        "Record" => Verb::Record { action: element.target("action", "method", base)? },
        "Hangup" => Verb::Hangup,
        "Reject" => Verb::Reject { busy: element.attribute("reason") == Some("busy") },
        name => Verb::Unknown(name.to_owned()),
    })
}

fn read_stream(element: &Element, base: &str) -> Result<Stream, Error> {
    let parameters = element.children.iter().filter(|child| child.name == "Parameter");
    let owned = |value: Option<&str>| value.map(str::to_owned);
    Ok(Stream {
        url: stream_url(element.attribute("url").unwrap_or_default(), base)?,
        name: owned(element.attribute("name")),
        track: owned(element.attribute("track")),
        status_callback: element.target("statusCallback", "statusCallbackMethod", base)?,
        parameters: parameters
            .filter_map(|parameter| {
                Some((parameter.attribute("name")?.to_owned(), parameter.attribute("value")?.to_owned()))
            })
            .collect(),
    })
}

/// An absolute URL stays letter by letter what it was: it is what gets signed.
fn stream_url(text: &str, base: &str) -> Result<String, Error> {
    if Url::parse(text).is_ok() {
        return Ok(text.to_owned());
    }
    let resolved = resolve(text, base)?;
    Ok(resolved.replacen("http", "ws", 1))
}

fn target(text: &str, method: Option<&str>, base: &str) -> Result<Target, Error> {
    let method = if method == Some("GET") { Method::Get } else { Method::Post };
    Ok(Target { url: resolve(text, base)?, method })
}

/// Connection options are written in the fragment (`#rc=2&rp=all`); it is neither sent nor signed.
fn resolve(text: &str, base: &str) -> Result<String, Error> {
    let failed = || Error::Url(text.to_owned(), base.to_owned());
    let mut url = Url::parse(base).and_then(|base| base.join(text)).map_err(|_| failed())?;
    url.set_fragment(None);
    match url.scheme() {
        "http" | "https" => Ok(url.into()),
        _ => Err(failed()),
    }
}

fn length(text: &str) -> Result<Duration, Error> {
    text.trim().parse().map(Duration::from_secs).map_err(|_| Error::Length(text.to_owned()))
}

#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Self>,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    fn target(&self, url: &str, method: &str, base: &str) -> Result<Option<Target>, Error> {
        self.attribute(url).map(|url| target(url, self.attribute(method), base)).transpose()
    }
}

/// Elements within elements at most; deeper documents are not TwiML.
const DEPTH_MAX: usize = 16;

fn read(document: &str) -> Result<Element, Error> {
    let mut reader = quick_xml::Reader::from_str(document);
    let mut open: Vec<Element> = Vec::new();
    loop {
        match reader.read_event().map_err(xml_error)? {
            Event::Start(_) if open.len() >= DEPTH_MAX => return Err(Error::Xml("too deep".into())),
            Event::Start(tag) => open.push(element(&tag)?),
            Event::Empty(tag) => {
                if let Some(root) = close(element(&tag)?, &mut open) {
                    return Ok(root);
                }
            }
            Event::End(_) => {
                let done = open.pop().ok_or(Error::Incomplete)?;
                if let Some(root) = close(done, &mut open) {
                    return Ok(root);
                }
            }
            Event::Eof => return Err(Error::Incomplete),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            content @ (Event::Text(_) | Event::CData(_) | Event::GeneralRef(_)) => {
                append_text(&content, open.last_mut())?;
            }
        }
    }
}

/// Puts a finished element into its parent; gives it back when it has none.
fn close(done: Element, open: &mut [Element]) -> Option<Element> {
    let Some(parent) = open.last_mut() else { return Some(done) };
    parent.children.push(done);
    None
}

fn append_text(event: &Event<'_>, element: Option<&mut Element>) -> Result<(), Error> {
    let Some(element) = element else { return Ok(()) };
    if let Event::Text(text) = event {
        element.text.push_str(&text.xml10_content());
    } else if let Event::CData(text) = event {
        element.text.push_str(&text.xml10_content());
    } else if let Event::GeneralRef(reference) = event {
        match reference.resolve_char_ref().map_err(xml_error)? {
            Some(character) => element.text.push(character),
            None => element.text.push_str(entity(&reference.xml10_content())?),
        }
    }
    Ok(())
}

fn entity(name: &str) -> Result<&'static str, Error> {
    match name {
        "amp" => Ok("&"),
        "lt" => Ok("<"),
        "gt" => Ok(">"),
        "quot" => Ok("\""),
        "apos" => Ok("'"),
        _ => Err(Error::Xml(format!("unknown entity `{name}`"))),
    }
}

fn element(tag: &BytesStart<'_>) -> Result<Element, Error> {
    let mut element = Element { name: tag.name().0.to_owned(), ..Element::default() };
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| Error::Xml(error.to_string()))?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(xml_error)?;
        element.attributes.push((attribute.key.0.to_owned(), value.into_owned()));
    }
    Ok(element)
}

fn xml_error(error: impl std::fmt::Display) -> Error {
    Error::Xml(error.to_string())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const BASE: &str = "https://voice.example.com/twilio/voice?x=1";

    fn redirect(url: &str, method: Method) -> Verb {
        Verb::Redirect(Target { url: url.into(), method })
    }

    #[test]
    fn a_bridge_document_is_read_in_order() {
        let document = r#"<?xml version="1.0" encoding="UTF-8"?>
            <Response>
              <!-- the call -->
              <Connect action="../done">
                <Stream url="wss://Voice.example.com" name="bot" statusCallback="/status">
                  <Parameter name="token" value="a&amp;b &#x41;"/>
                </Stream>
              </Connect>
              <Pause/>
              <Say>one &lt; <![CDATA[two]]></Say>
              <Dial>+1</Dial>
              <Redirect>/resume?attempt=1&amp;x=2#ct=2000&amp;rc=5</Redirect>
            </Response>"#;
        let post = |url: &str| Some(Target { url: url.into(), method: Method::Post });
        let stream = Stream {
            url: "wss://Voice.example.com".into(),
            name: Some("bot".into()),
            track: None,
            status_callback: post("https://voice.example.com/status"),
            parameters: vec![("token".into(), "a&b A".into())],
        };
        let connect = Verb::Connect { stream: Some(stream), action: post("https://voice.example.com/done") };
        let verbs = [
            connect,
            Verb::Pause(Duration::from_secs(1)),
            Verb::Say("one < two".into()),
            Verb::Unknown("Dial".into()),
            redirect("https://voice.example.com/resume?attempt=1&x=2", Method::Post),
        ];
        assert_eq!(parse(document, BASE).unwrap(), verbs);
    }

    #[rstest]
    #[case("<Response/>", &[])]
    #[case("<Response><Hangup/></Response>", &[Verb::Hangup])]
    #[case("<Response><Reject reason='busy'/></Response>", &[Verb::Reject { busy: true }])]
    #[case("<Response><Redirect method='GET'>resume</Redirect></Response>",
        &[redirect("https://voice.example.com/twilio/resume", Method::Get)])]
    fn short_documents(#[case] document: &str, #[case] verbs: &[Verb]) {
        assert_eq!(parse(document, BASE).unwrap(), verbs);
    }

    #[rstest]
    #[case("", "there is no `Response` element, or it is not closed")]
    #[case("<Response>", "there is no `Response` element, or it is not closed")]
    #[case("<html/>", "the root element is `html`, not `Response`")]
    #[case("<Response><Pause length='x'/></Response>", "`x` is no number of seconds")]
    #[case(
        "<Response><Redirect>ftp://x/</Redirect></Response>",
        "`ftp://x/` is no URL that can be requested from https://voice.example.com/twilio/voice?x=1"
    )]
    #[case("<Response><Say>&nbsp;</Say></Response>", "not well-formed XML: unknown entity `nbsp`")]
    fn a_bad_document_is_refused_with_its_reason(#[case] document: &str, #[case] reason: &str) {
        assert_eq!(parse(document, BASE).unwrap_err().to_string(), reason);
    }

    #[rstest]
    #[case("wss://voice.example.com/media", "wss://voice.example.com/media", Ok(()))]
    #[case("/media/x", "wss://voice.example.com/media/x", Ok(()))]
    #[case("wss://voice.example.com/media?x=1", "wss://voice.example.com/media?x=1", Err(Refusal::Query))]
    #[case("https://voice.example.com/media", "https://voice.example.com/media", Err(Refusal::Scheme))]
    #[case("ws://voice.example.com/media", "ws://voice.example.com/media", Err(Refusal::Scheme))]
    #[case("ws://127.0.0.1:1/media", "ws://127.0.0.1:1/media", Ok(()))]
    fn stream_urls(#[case] url: &str, #[case] resolved: &str, #[case] checked: Result<(), Refusal>) {
        let stream = Stream { url: stream_url(url, BASE).unwrap(), ..Stream::default() };
        assert_eq!((stream.url.as_str(), stream.check()), (resolved, checked));
    }
}
