//! What calls were answered that were not admitted: a webhook that comes again gets the same answer.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::tokens::LIFE;

/// Remembered at once, the newest; one that is forgotten is decided anew. The carrier repeats itself within 15 s.
const REMEMBERED_MAX: usize = 4096;

/// Answers to refused calls, each for as long as one to an admitted call is good.
#[derive(Debug, Default)]
pub(super) struct Refused {
    answers: HashMap<Arc<str>, Refusal>,
    /// The same, the oldest first.
    order: VecDeque<(Instant, Arc<str>)>,
}

/// An answer to a refused call.
#[derive(Debug)]
pub(super) struct Refusal {
    at: Instant,
    document: Arc<str>,
    idempotency_token: Option<Box<str>>,
}

impl Refusal {
    pub(super) fn new(document: &Arc<str>, idempotency_token: Option<&str>, at: Instant) -> Self {
        Self { at, document: Arc::clone(document), idempotency_token: idempotency_token.map(Into::into) }
    }
}

impl Refused {
    /// The answer to a request that comes again; one with another idempotency token is a new one.
    pub(super) fn document(
        &self,
        call_sid: &str,
        idempotency_token: Option<&str>,
        now: Instant,
    ) -> Option<Arc<str>> {
        let refusal = self.answers.get(call_sid)?;
        let is_new = match (idempotency_token, refusal.idempotency_token.as_deref()) {
            (Some(token), Some(known)) => token != known,
            (None, _) | (_, None) => false,
        };
        (!is_new && now < refusal.at + LIFE).then(|| Arc::clone(&refusal.document))
    }

    pub(super) fn remember(&mut self, call_sid: &str, refusal: Refusal) {
        let now = refusal.at;
        while let Some((at, _)) = self.order.front()
            && (self.order.len() >= REMEMBERED_MAX || now >= *at + LIFE)
        {
            self.forget();
        }
        let call_sid = Arc::<str>::from(call_sid);
        self.answers.insert(Arc::clone(&call_sid), refusal);
        self.order.push_back((now, call_sid));
    }

    fn forget(&mut self) {
        if let Some((at, call_sid)) = self.order.pop_front()
            // It may have been refused again since.
            && self.answers.get(&call_sid).is_some_and(|newest| newest.at == at)
        {
            self.answers.remove(&call_sid);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_is_remembered_for_its_time_and_the_newest_first() {
        let (mut refused, start) = (Refused::default(), Instant::now());
        let document =
            |refused: &Refused, sid: &str, now| refused.document(sid, None, now).map(|text| text.to_string());
        let refusal = |document: &str, at| Refusal::new(&document.into(), Some("i1"), at);
        refused.remember("CA1", refusal("busy", start));
        let last = start + LIFE - Duration::from_millis(1);
        assert_eq!(document(&refused, "CA1", last).as_deref(), Some("busy"));
        assert_eq!(document(&refused, "CA1", start + LIFE), None);
        assert_eq!(document(&refused, "CA2", start), None);
        assert!(refused.document("CA1", Some("i1"), last).is_some());
        assert_eq!(refused.document("CA1", Some("i2"), last), None, "the call asks anew");
        refused.remember("CA1", refusal("busy again", start + LIFE));
        for number in 0..REMEMBERED_MAX - 1 {
            refused.remember(&number.to_string(), refusal("busy", start + LIFE));
        }
        assert_eq!(document(&refused, "CA1", start + LIFE).as_deref(), Some("busy again"));
        refused.remember("one more", refusal("busy", start + LIFE));
        assert_eq!(document(&refused, "CA1", start + LIFE), None);
        assert_eq!((refused.answers.len(), refused.order.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
    }
}
