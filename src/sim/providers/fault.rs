//! Faults and when they befall whom, as values and as text: `llm=hang`, `openai=refuse:429@2x3`.

use std::fmt;
use std::str::FromStr;

use super::route::{Kind, Route, Service};

/// What goes wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An HTTP error in the service's own words; 429 says when to come again.
    Refuse(u16),
    /// The connection is closed without an answer.
    Close,
    /// No answer ever.
    Hang,
    /// The answer begins, and then nothing more comes.
    Stall,
    /// Everything takes this many times as long; a pace of nothing counts as a millisecond.
    Slow(u32),
    /// The connection is closed in the middle of the answer.
    Cut,
    /// HTTP 200 and a body that nobody can read.
    Garbage,
    /// The answer never ends.
    Endless(Filler),
    /// A good answer with nothing in it.
    Empty,
    /// A policy withholds the answer; where the service has no word for it, the answer is empty.
    Block,
    /// An error event in the middle of a stream. Audio is cut; an answer that is no stream is refused with 500.
    Error,
}

/// What an endless answer consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filler {
    /// What keeps a connection busy and means nothing: comments, white space, digital silence.
    Nothing,
    /// The answer again and again; white space where the answer is one document.
    Tokens,
}

/// Which requests a fault befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    All,
    Kind(Kind),
    Service(Service),
    Route(Route),
}

/// A fault and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub selector: Selector,
    pub fault: Fault,
    /// The first request of the selected ones that it befalls, counted from 1.
    pub from: u64,
    /// How many it befalls; none: all that follow.
    pub count: Option<u64>,
}

impl Schedule {
    /// A fault from the first request on, for ever.
    pub const fn always(selector: Selector, fault: Fault) -> Self {
        Self { selector, fault, from: 1, count: None }
    }

    /// Whether it befalls the request of this number.
    fn is_due(&self, number: u64) -> bool {
        number >= self.from && self.count.is_none_or(|count| number - self.from < count)
    }
}

impl Selector {
    fn takes(self, route: Route, kind: Kind) -> bool {
        match self {
            Self::All => true,
            Self::Kind(wanted) => wanted == kind,
            Self::Service(wanted) => wanted == route.service(),
            Self::Route(wanted) => wanted == route,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Kind(kind) => kind.name(),
            Self::Service(service) => service.name(),
            Self::Route(route) => route.name(),
        }
    }

    fn named(name: &str) -> Option<Self> {
        let kinds = Kind::ALL.map(Self::Kind).into_iter();
        let services = Service::ALL.map(Self::Service);
        let routes = Route::ALL.map(Self::Route);
        std::iter::once(Self::All)
            .chain(kinds)
            .chain(services)
            .chain(routes)
            .find(|selector| selector.name() == name)
    }
}

/// The schedules of a server, each with the requests it has seen.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: Vec<(Schedule, u64)>,
}

impl Book {
    pub(super) fn new(schedules: Vec<Schedule>) -> Self {
        Self { entries: schedules.into_iter().map(|schedule| (schedule, 0)).collect() }
    }

    /// Counts a request; the first fault that is due.
    pub(super) fn next(&mut self, route: Route, kind: Kind) -> Option<Fault> {
        let mut fault = None;
        for (schedule, seen) in self.entries.iter_mut().filter(|(entry, _)| entry.selector.takes(route, kind))
        {
            *seen += 1;
            if fault.is_none() && schedule.is_due(*seen) {
                fault = Some(schedule.fault);
            }
        }
        fault
    }
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("`{0}` is not WHO=FAULT, such as `llm=hang`")]
    Shape(String),
    #[error(
        "`{0}` is nobody: use all, llm, stt, tts, catalogue, openai, gemini, google, anthropic, ollama, or a route"
    )]
    Selector(String),
    #[error(
        "`{0}` is no fault: use refuse:STATUS, close, hang, stall, slow:FACTOR, cut, garbage, endless, \
         endless:tokens, empty, block or error"
    )]
    Fault(String),
    #[error("`{0}` is no count of requests, from 1")]
    Count(String),
}

impl FromStr for Schedule {
    type Err = ParseError;

    /// `WHO=FAULT[@FROM][xCOUNT]`: from the `FROM`-th request, for `COUNT` requests.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (who, rest) = text.split_once('=').ok_or_else(|| ParseError::Shape(text.to_owned()))?;
        let selector = Selector::named(who).ok_or_else(|| ParseError::Selector(who.to_owned()))?;
        // No name of a fault has an x.
        let (rest, count) = match rest.split_once('x') {
            Some((rest, count)) => (rest, Some(number(count)?)),
            None => (rest, None),
        };
        let (fault, from) = match rest.split_once('@') {
            Some((fault, from)) => (fault, number(from)?),
            None => (rest, 1),
        };
        Ok(Self { selector, fault: fault.parse()?, from, count })
    }
}

impl FromStr for Fault {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let unknown = || ParseError::Fault(text.to_owned());
        let (name, argument) = text.split_once(':').unwrap_or((text, ""));
        let number = || argument.parse().ok();
        let fault = match (name, argument) {
            ("refuse", _) => {
                number().filter(|status| (400..600).contains(status)).map(|n| Self::Refuse(n as u16))
            }
            ("slow", _) => number().filter(|factor| (2..=100_000).contains(factor)).map(Self::Slow),
            ("endless", "tokens") => Some(Self::Endless(Filler::Tokens)),
            ("endless", "") => Some(Self::Endless(Filler::Nothing)),
            ("close", "") => Some(Self::Close),
            ("hang", "") => Some(Self::Hang),
            ("stall", "") => Some(Self::Stall),
            ("cut", "") => Some(Self::Cut),
            ("garbage", "") => Some(Self::Garbage),
            ("empty", "") => Some(Self::Empty),
            ("block", "") => Some(Self::Block),
            ("error", "") => Some(Self::Error),
            _ => None,
        };
        fault.ok_or_else(unknown)
    }
}

fn number(text: &str) -> Result<u64, ParseError> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| ParseError::Count(text.to_owned()))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refuse(status) => write!(f, "refuse:{status}"),
            Self::Slow(factor) => write!(f, "slow:{factor}"),
            Self::Endless(Filler::Tokens) => f.write_str("endless:tokens"),
            Self::Endless(Filler::Nothing) => f.write_str("endless"),
            Self::Close => f.write_str("close"),
            Self::Hang => f.write_str("hang"),
            Self::Stall => f.write_str("stall"),
            Self::Cut => f.write_str("cut"),
            Self::Garbage => f.write_str("garbage"),
            Self::Empty => f.write_str("empty"),
            Self::Block => f.write_str("block"),
            Self::Error => f.write_str("error"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("llm=hang", Selector::Kind(Kind::Llm), Fault::Hang, 1, None)]
    #[case("all=refuse:429@2x3", Selector::All, Fault::Refuse(429), 2, Some(3))]
    #[case("openai=slow:10x1", Selector::Service(Service::OpenAi), Fault::Slow(10), 1, Some(1))]
    #[case(
        "speech=endless:tokens@4",
        Selector::Route(Route::Speech),
        Fault::Endless(Filler::Tokens),
        4,
        None
    )]
    fn a_schedule_is_read_from_text(
        #[case] text: &str,
        #[case] selector: Selector,
        #[case] fault: Fault,
        #[case] from: u64,
        #[case] count: Option<u64>,
    ) {
        assert_eq!(text.parse(), Ok(Schedule { selector, fault, from, count }));
        assert_eq!(fault.to_string().parse(), Ok(fault));
    }

    #[rstest]
    #[case("hang", ParseError::Shape("hang".to_owned()))]
    #[case("me=hang", ParseError::Selector("me".to_owned()))]
    #[case("llm=refuse:200", ParseError::Fault("refuse:200".to_owned()))]
    #[case("llm=hang:1", ParseError::Fault("hang:1".to_owned()))]
    #[case("llm=hang@0", ParseError::Count("0".to_owned()))]
    fn what_is_no_schedule_is_refused_with_what_to_write(#[case] text: &str, #[case] error: ParseError) {
        assert_eq!(text.parse::<Schedule>(), Err(error));
    }

    #[test]
    fn a_fault_befalls_the_requests_of_its_time_and_no_others() {
        let schedules = ["llm=hang@2x2", "openai=close@3"].map(|text| text.parse().unwrap());
        let mut book = Book::new(schedules.to_vec());
        let mut chat = || book.next(Route::ChatCompletions, Kind::Llm);
        assert_eq!(
            [chat(), chat(), chat(), chat()],
            [None, Some(Fault::Hang), Some(Fault::Hang), Some(Fault::Close)]
        );
        assert_eq!(book.next(Route::Messages, Kind::Llm), None);
        assert_eq!(book.next(Route::Speech, Kind::Tts), Some(Fault::Close));
    }
}
