//! How a body is sent: its pieces, the time between them and how it ends, with the fault worked in. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::fault::{Fault, Filler};
use super::reply::{Body, Stream};

/// How fast answers come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the request to the answer.
    pub first: Duration,
    /// Between tokens, or 200 ms of speech.
    pub piece: Duration,
}

impl Default for Pace {
    /// A quick hosted model.
    fn default() -> Self {
        Self { first: Duration::from_millis(200), piece: Duration::from_millis(20) }
    }
}

impl Pace {
    pub const NONE: Self = Self { first: Duration::ZERO, piece: Duration::ZERO };

    /// The pace under a fault.
    pub(super) fn under(self, fault: Option<Fault>) -> Self {
        const SLOW_MIN: Duration = Duration::from_millis(1);
        let Some(Fault::Slow(factor)) = fault else { return self };
        Self { first: self.first.max(SLOW_MIN) * factor, piece: self.piece.max(SLOW_MIN) * factor }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) pieces: VecDeque<Bytes>,
    pub(super) gap: Duration,
    pub(super) ending: Ending,
    /// What the header promises; none: chunks.
    pub(super) length: Option<usize>,
}

/// What comes after the last piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    /// Nothing, and the connection stays open.
    Stall,
    /// The connection is closed.
    Cut,
    /// These, in turn, for ever.
    Endless(VecDeque<Bytes>),
}

/// Neither JSON nor an event with JSON in it nor UTF-8.
pub(super) const GARBAGE: &[u8] = b"data: {not JSON \xFF\xFE\n\n";

/// Endless answers are no busy loops.
const ENDLESS_GAP_MIN: Duration = Duration::from_millis(10);

pub(super) fn plan(body: Body, fault: Option<Fault>, pace: Pace) -> Plan {
    let gap = pace.under(fault).piece;
    match (fault, body) {
        (Some(Fault::Garbage), _) => {
            let pieces = [Bytes::from_static(GARBAGE)].into();
            Plan { pieces, gap, ending: Ending::Whole, length: Some(GARBAGE.len()) }
        }
        (fault, Body::Whole(document)) => whole(document, fault, gap),
        (fault, Body::Stream(stream)) => streamed(stream, fault, gap),
    }
}

fn whole(document: Bytes, fault: Option<Fault>, gap: Duration) -> Plan {
    let length = Some(document.len());
    let half = document.slice(..document.len() / 2);
    match fault {
        Some(Fault::Stall) => Plan { pieces: [half].into(), gap, ending: Ending::Stall, length },
        Some(Fault::Cut) => Plan { pieces: [half].into(), gap, ending: Ending::Cut, length },
        Some(Fault::Endless(_)) => {
            let ending = Ending::Endless([Bytes::from_static(b" ")].into());
            Plan { pieces: VecDeque::new(), gap: gap.max(ENDLESS_GAP_MIN), ending, length: None }
        }
        Some(Fault::Slow(_)) => {
            const PIECES: usize = 8;
            let size = document.len().div_ceil(PIECES).max(1);
            let pieces = document.chunks(size).map(Bytes::copy_from_slice).collect();
            Plan { pieces, gap, ending: Ending::Whole, length }
        }
        // The others are no matter of the body, or changed what is in it.
        Some(
            Fault::Refuse(_)
            | Fault::Close
            | Fault::Hang
            | Fault::Garbage
            | Fault::Empty
            | Fault::Block
            | Fault::Error,
        )
        | None => Plan { pieces: [document].into(), gap, ending: Ending::Whole, length },
    }
}

fn streamed(stream: Stream, fault: Option<Fault>, gap: Duration) -> Plan {
    let half = stream.tokens.len().div_ceil(2);
    let begun = || stream.opening.iter().chain(&stream.tokens[..half]).cloned().collect::<VecDeque<_>>();
    let (pieces, gap, ending) = match fault {
        Some(Fault::Stall) => (begun(), gap, Ending::Stall),
        Some(Fault::Cut) => (begun(), gap, Ending::Cut),
        Some(Fault::Error) => match stream.error.clone() {
            Some(error) => (begun().into_iter().chain([error]).collect(), gap, Ending::Whole),
            None => (begun(), gap, Ending::Cut),
        },
        Some(Fault::Endless(filler)) => {
            let endless = match filler {
                Filler::Tokens if !stream.tokens.is_empty() => stream.tokens.clone(),
                Filler::Tokens | Filler::Nothing => vec![Bytes::from_static(stream.filler)],
            };
            (begun(), gap.max(ENDLESS_GAP_MIN), Ending::Endless(endless.into()))
        }
        Some(
            Fault::Refuse(_)
            | Fault::Close
            | Fault::Hang
            | Fault::Slow(_)
            | Fault::Garbage
            | Fault::Empty
            | Fault::Block,
        )
        | None => {
            let all = stream.opening.into_iter().chain(stream.tokens).chain(stream.closing).collect();
            (all, gap, Ending::Whole)
        }
    };
    Plan { pieces, gap, ending, length: None }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn stream() -> Body {
        let pieces =
            |texts: &[&'static str]| texts.iter().map(|&text| Bytes::from_static(text.as_bytes())).collect();
        Body::Stream(Stream {
            opening: pieces(&["<"]),
            tokens: pieces(&["a", "b", "c"]),
            closing: pieces(&[">"]),
            filler: b":",
            error: Some(Bytes::from_static(b"!")),
        })
    }

    fn document() -> Body {
        Body::Whole(Bytes::from_static(b"{\"a\":12}"))
    }

    /// Pieces, how they end, and the length that is promised.
    fn told(body: Body, fault: Option<Fault>) -> String {
        let plan = plan(body, fault, Pace::NONE);
        let text = |pieces: &VecDeque<Bytes>| {
            pieces
                .iter()
                .map(|piece| String::from_utf8_lossy(piece).into_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let ending = match &plan.ending {
            Ending::Whole => ".".to_owned(),
            Ending::Stall => "stall".to_owned(),
            Ending::Cut => "cut".to_owned(),
            Ending::Endless(pieces) => format!("({})*", text(pieces)),
        };
        let length = plan.length.map_or_else(|| "chunks".to_owned(), |length| length.to_string());
        format!("{} {ending} {length}", text(&plan.pieces))
    }

    #[rstest]
    #[case(None, "< a b c > . chunks")]
    #[case(Some(Fault::Stall), "< a b stall chunks")]
    #[case(Some(Fault::Cut), "< a b cut chunks")]
    #[case(Some(Fault::Error), "< a b ! . chunks")]
    #[case(Some(Fault::Endless(Filler::Nothing)), "< a b (:)* chunks")]
    #[case(Some(Fault::Endless(Filler::Tokens)), "< a b (a b c)* chunks")]
    #[case(Some(Fault::Slow(3)), "< a b c > . chunks")]
    fn a_stream_is_spoilt_in_the_middle(#[case] fault: Option<Fault>, #[case] expected: &str) {
        assert_eq!(told(stream(), fault), expected);
    }

    #[rstest]
    #[case(None, "{\"a\":12} . 8")]
    #[case(Some(Fault::Stall), "{\"a\" stall 8")]
    #[case(Some(Fault::Cut), "{\"a\" cut 8")]
    #[case(Some(Fault::Endless(Filler::Tokens)), " ( )* chunks")]
    #[case(Some(Fault::Slow(3)), "{ \" a \" : 1 2 } . 8")]
    fn a_document_keeps_the_length_that_it_promised(#[case] fault: Option<Fault>, #[case] expected: &str) {
        assert_eq!(told(document(), fault), expected);
    }

    #[test]
    fn slow_is_slower_than_no_pace_at_all() {
        let pace = Pace::NONE.under(Some(Fault::Slow(40)));
        assert_eq!((pace.first, pace.piece), (Duration::from_millis(40), Duration::from_millis(40)));
        assert_eq!(Pace::NONE.under(None), Pace::NONE);
    }
}
