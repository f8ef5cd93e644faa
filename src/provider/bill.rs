//! What a job is billed: tokens as the provider counts them, speech by its length, words by their characters.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::pool::Job;
use crate::audio::Rate;
use crate::job::{Bill, Event, Failure, Request};

/// The models of the providers of one kind, by the providers' names.
pub(super) type Models = Arc<BTreeMap<String, String>>;

/// What is counted for a request as soon as its answer begins; `None` where tokens come with the answer.
pub(super) fn of_request(request: &Request) -> Option<Bill> {
    match request {
        Request::Transcribe(utterance) => {
            let audio_ms = Rate::LINE.millis(utterance.samples.len() as u64);
            Some(Bill { audio_ms, ..Bill::default() })
        }
        Request::Think(_) => None,
        Request::Speak(sentence) => {
            let characters = sentence.text.chars().count() as u64;
            Some(Bill { characters, ..Bill::default() })
        }
    }
}

/// The same events, with what was billed in place of [`Event::Usage`] and after [`Event::Started`].
pub(super) fn billed(job: Job, bill: Option<Bill>, models: Models) -> Job {
    let counting = Counting { bill, models, provider: String::new(), held: None, is_counted: false };
    let events = job.scan(counting, |counting, event| {
        let events = counting.handle(event);
        std::future::ready(Some(stream::iter(events)))
    });
    events.flatten().boxed()
}

struct Counting {
    /// Of the request; `None` for one to a language model.
    bill: Option<Bill>,
    models: Models,
    /// The one that answers; empty before it is known.
    provider: String,
    /// Tokens of an answer that has not said anything yet: the next event tells whose they are.
    held: Option<Bill>,
    /// A bill was told.
    is_counted: bool,
}

impl Counting {
    fn handle(&mut self, event: Event) -> Vec<Event> {
        if let Event::Usage { prompt_tokens, response_tokens } = event {
            let bill = Bill { prompt_tokens, response_tokens, ..Bill::default() };
            if self.provider.is_empty() {
                self.held = Some(bill);
                return Vec::new();
            }
            self.is_counted = true;
            return vec![self.of(&self.provider, bill)];
        }
        if let Event::Skipped { provider, failure } = &event {
            // A recording in which no words were recognised was transcribed all the same.
            let request = self.bill.clone().filter(|bill| bill.audio_ms > 0 && *failure == Failure::Empty);
            let bills = self.held.take().into_iter().chain(request).map(|bill| self.of(provider, bill));
            let bills: Vec<_> = bills.collect();
            return bills.into_iter().chain([event]).collect();
        }
        let has_answered = matches!(event, Event::Done) && !self.provider.is_empty();
        if has_answered && self.bill.is_none() && !self.is_counted {
            // A language model that counts nothing: the log has its name all the same.
            return vec![self.of(&self.provider, Bill::default()), event];
        }
        let Event::Started { provider } = &event else { return vec![event] };
        self.provider = provider.to_string();
        let request = self.bill.clone().filter(|bill| *bill != Bill::default());
        let bills = self.held.take().into_iter().chain(request).map(|bill| self.of(&self.provider, bill));
        let bills: Vec<_> = bills.collect();
        self.is_counted |= !bills.is_empty();
        [event].into_iter().chain(bills).collect()
    }

    fn of(&self, provider: &str, bill: Bill) -> Event {
        let model = self.models.get(provider).cloned().unwrap_or_default();
        Event::Billed(Bill { provider: provider.to_owned(), model, ..bill })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::job::{Sentence, Utterance};

    const USAGE: Event = Event::Usage { prompt_tokens: 9, response_tokens: 2 };

    fn started(provider: &str) -> Event {
        Event::Started { provider: provider.into() }
    }

    fn skipped(provider: &str) -> Event {
        Event::Skipped { provider: provider.into(), failure: Failure::Stalled }
    }

    fn shown(event: &Event) -> String {
        if let Event::Billed(bill) = event {
            let Bill { provider, model, prompt_tokens, response_tokens, audio_ms, characters } = bill;
            return format!(
                "{provider} {model} {prompt_tokens}/{response_tokens} {audio_ms} ms {characters} c"
            );
        }
        if let Event::Started { provider } = event {
            return format!("started {provider}");
        }
        if let Event::Skipped { provider, .. } = event {
            return format!("skipped {provider}");
        }
        format!("{event:?}")
    }

    fn speech() -> Option<Bill> {
        Some(Bill { audio_ms: 2_500, ..Bill::default() })
    }

    #[rstest]
    #[case::tokens(None, vec![started("a"), USAGE, Event::Done],
        &["started a", "a gpt-x 9/2 0 ms 0 c", "Done"])]
    #[case::tokens_before_words(None, vec![USAGE, started("a"), Event::Done],
        &["started a", "a gpt-x 9/2 0 ms 0 c", "Done"])]
    #[case::tokens_of_one_that_said_nothing(None, vec![USAGE, skipped("a"), started("b"), USAGE],
        &["a gpt-x 9/2 0 ms 0 c", "skipped a", "started b", "b  9/2 0 ms 0 c"])]
    #[case::speech(speech(), vec![skipped("b"), started("a"), Event::Done],
        &["skipped b", "started a", "a gpt-x 0/0 2500 ms 0 c", "Done"])]
    #[case::a_model_that_counts_nothing(None, vec![started("a"), Event::Done],
        &["started a", "a gpt-x 0/0 0 ms 0 c", "Done"])]
    #[case::a_moment_of_speech(Some(Bill::default()), vec![started("a"), Event::Done], &["started a", "Done"])]
    #[case::nobody_thinks(None, vec![skipped("a"), Event::Failed(Failure::NoProvider)],
        &["skipped a", "Failed(NoProvider)"])]
    #[case::speech_without_words(
        speech(),
        vec![Event::Skipped { provider: "a".into(), failure: Failure::Empty }, started("b"), Event::Done],
        &["a gpt-x 0/0 2500 ms 0 c", "skipped a", "started b", "b  0/0 2500 ms 0 c", "Done"]
    )]
    #[case::nobody_answers(speech(), vec![skipped("a"), Event::Failed(Failure::NoProvider)],
        &["skipped a", "Failed(NoProvider)"])]
    #[tokio::test]
    async fn who_works_is_billed(
        #[case] bill: Option<Bill>,
        #[case] events: Vec<Event>,
        #[case] expected: &[&str],
    ) {
        let models = Arc::new(BTreeMap::from([("a".to_owned(), "gpt-x".to_owned())]));
        let job = billed(stream::iter(events).boxed(), bill, models);
        let events: Vec<_> = job.map(|event| shown(&event)).collect().await;
        assert_eq!(events, expected);
    }

    #[test]
    fn speech_is_counted_by_its_length_and_words_by_their_characters() {
        let utterance = Utterance { samples: vec![0; 20_000].into(), language: None };
        assert_eq!(of_request(&Request::Transcribe(utterance)).unwrap().audio_ms, 2_500);
        let sentence = Sentence { text: "Größe?".into(), language: None };
        assert_eq!(of_request(&Request::Speak(sentence)).unwrap().characters, 6);
    }
}
