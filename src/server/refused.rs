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
    answers: HashMap<Arc<str>, (Instant, Arc<str>)>,
    /// The same, the oldest first.
    order: VecDeque<(Instant, Arc<str>)>,
}

impl Refused {
    pub(super) fn document(&self, call_sid: &str, now: Instant) -> Option<Arc<str>> {
        let (at, document) = self.answers.get(call_sid)?;
        (now < *at + LIFE).then(|| Arc::clone(document))
    }

    pub(super) fn remember(&mut self, call_sid: &str, document: Arc<str>, now: Instant) {
        while let Some((at, _)) = self.order.front()
            && (self.order.len() >= REMEMBERED_MAX || now >= *at + LIFE)
        {
            self.forget();
        }
        let call_sid = Arc::<str>::from(call_sid);
        self.answers.insert(Arc::clone(&call_sid), (now, document));
        self.order.push_back((now, call_sid));
    }

    fn forget(&mut self) {
        if let Some((at, call_sid)) = self.order.pop_front()
            // It may have been refused again since.
            && self.answers.get(&call_sid).is_some_and(|(newest, _)| *newest == at)
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
            |refused: &Refused, sid: &str, now| refused.document(sid, now).map(|text| text.to_string());
        refused.remember("CA1", "busy".into(), start);
        let last = start + LIFE - Duration::from_millis(1);
        assert_eq!(document(&refused, "CA1", last).as_deref(), Some("busy"));
        assert_eq!(document(&refused, "CA1", start + LIFE), None);
        assert_eq!(document(&refused, "CA2", start), None);
        refused.remember("CA1", "busy again".into(), start + LIFE);
        for number in 0..REMEMBERED_MAX - 1 {
            refused.remember(&number.to_string(), "busy".into(), start + LIFE);
        }
        assert_eq!(document(&refused, "CA1", start + LIFE).as_deref(), Some("busy again"));
        refused.remember("one more", "busy".into(), start + LIFE);
        assert_eq!(document(&refused, "CA1", start + LIFE), None);
        assert_eq!((refused.answers.len(), refused.order.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
    }
}
