//! Token counts. The developer service says `responseTokenCount`, Vertex `candidatesTokenCount`.

use super::super::{Details, Modalities, Usage};
use crate::json::Reader;

/// Reads the counts into `usage`; `false` if there are none. A count that is none is `odd` and stays what it was.
pub(super) fn read(reader: &mut Reader<'_>, usage: &mut Usage, mut odd: impl FnMut(&'static str)) -> bool {
    if reader.is_null() {
        return false;
    }
    let mut candidates = None;
    let read = reader.members(|reader, name| {
        let (field, count) = match name {
            b"prompttokencount" => ("usageMetadata.promptTokenCount", &mut usage.prompt_tokens),
            b"responsetokencount" => ("usageMetadata.responseTokenCount", &mut usage.response_tokens),
            b"candidatestokencount" => {
                ("usageMetadata.candidatesTokenCount", candidates.get_or_insert_default())
            }
            b"thoughtstokencount" => ("usageMetadata.thoughtsTokenCount", &mut usage.thoughts_tokens),
            b"totaltokencount" => ("usageMetadata.totalTokenCount", &mut usage.total_tokens),
            b"cachedcontenttokencount" => {
                ("usageMetadata.cachedContentTokenCount", &mut usage.details.cached_tokens)
            }
            b"tooluseprompttokencount" => {
                ("usageMetadata.toolUsePromptTokenCount", &mut usage.details.tool_tokens)
            }
            _ => return by_modality(reader, name, &mut usage.details, &mut odd),
        };
        match reader.count() {
            Ok(read) => *count = read.unwrap_or(*count),
            Err(_) => odd(field),
        }
    });
    usage.response_tokens = usage.response_tokens.max(candidates.unwrap_or_default());
    if read.is_err() {
        odd("usageMetadata");
    }
    read.is_ok()
}

/// Reads a list of `{modality, tokenCount}`, whose zeros may be left out.
fn by_modality(
    reader: &mut Reader<'_>,
    name: &[u8],
    details: &mut Details,
    odd: &mut impl FnMut(&'static str),
) {
    let (field, counts) = match name {
        b"prompttokensdetails" => ("usageMetadata.promptTokensDetails", &mut details.prompt),
        b"responsetokensdetails" | b"candidatestokensdetails" => {
            ("usageMetadata.responseTokensDetails", &mut details.response)
        }
        b"cachetokensdetails" | b"cachedcontenttokensdetails" => {
            ("usageMetadata.cacheTokensDetails", &mut details.cached)
        }
        b"tooluseprompttokensdetails" => ("usageMetadata.toolUsePromptTokensDetails", &mut details.tool),
        _ => return,
    };
    *counts = Modalities::default();
    let mut is_odd = false;
    reader.items(|reader| {
        let (mut modality, mut tokens) = (None, None);
        let read = reader.members(|reader, name| match name {
            b"modality" => modality = reader.text().map_err(|_| is_odd = true).ok().flatten(),
            b"tokencount" => tokens = reader.count().map_err(|_| is_odd = true).ok().flatten(),
            _ => {}
        });
        is_odd |= read.is_err();
        counts.add(&modality.unwrap_or_default(), tokens.unwrap_or_default());
    });
    if is_odd {
        odd(field);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// What is read, and the fields that are odd.
    fn counted(metadata: &str) -> (Usage, Vec<&'static str>) {
        let (mut usage, mut odd) = (Usage::default(), Vec::new());
        let mut reader = Reader::new(metadata.as_bytes());
        read(&mut reader, &mut usage, |field| odd.push(field));
        (usage, odd)
    }

    fn details(change: impl FnOnce(&mut Details)) -> Details {
        let mut details = Details::default();
        change(&mut details);
        details
    }

    #[rstest]
    #[case::developer(
        r#"{"promptTokenCount":626,"promptTokensDetails":[{"modality":"TEXT","tokenCount":312},{"modality":"AUDIO",
            "tokenCount":287}],"responseTokensDetails":[{"modality":"AUDIO","tokenCount":63}]}"#,
        details(|it| {
            it.prompt = Modalities { text: 312, audio: 287, ..Modalities::default() };
            it.response.audio = 63;
        }))]
    #[case::vertex(r#"{"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":87}]}"#,
        details(|it| it.response.audio = 87))]
    #[case::cached(
        r#"{"cachedContentTokenCount":40,"cacheTokensDetails":[{"modality":"TEXT","tokenCount":40}]}"#,
        details(|it| (it.cached_tokens, it.cached.text) = (40, 40)))]
    #[case::tool(r#"{"toolUsePromptTokenCount":9,"toolUsePromptTokensDetails":[{"modality":"TEXT","tokenCount":9}]}"#,
        details(|it| (it.tool_tokens, it.tool.text) = (9, 9)))]
    #[case::a_zero_is_left_out(r#"{"promptTokensDetails":[{"modality":"AUDIO"},{"modality":"TEXT","tokenCount":2}]}"#,
        details(|it| it.prompt.text = 2))]
    #[case::a_new_modality(
        r#"{"promptTokensDetails":[{"modality":"SMELL","tokenCount":7}]}"#,
        Details::default()
    )]
    #[case::in_snake_case(r#"{"prompt_tokens_details":[{"modality":"image","token_count":"258"}]}"#,
        details(|it| it.prompt.image = 258))]
    #[case::null(r#"{"promptTokensDetails":null,"responseTokensDetails":[null]}"#, Details::default())]
    #[case::twice(
        r#"{"promptTokensDetails":[{"modality":"TEXT","tokenCount":2}],
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":2}]}"#,
        details(|it| it.prompt.text = 2))]
    fn counts_are_read_by_modality(#[case] metadata: &str, #[case] expected: Details) {
        let (usage, odd) = counted(metadata);
        assert_eq!((usage.details, odd), (expected, Vec::new()));
    }

    #[rstest]
    #[case::a_negative_count(
        r#"{"promptTokensDetails":[{"modality":"TEXT","tokenCount":-2}],"promptTokenCount":4}"#
    )]
    #[case::text(r#"{"promptTokensDetails":"none","promptTokenCount":4}"#)]
    #[case::numbers(r#"{"promptTokensDetails":[1,2],"promptTokenCount":4}"#)]
    fn odd_details_leave_the_counts(#[case] metadata: &str) {
        let (usage, odd) = counted(metadata);
        assert_eq!((usage.prompt_tokens, usage.details), (4, Details::default()));
        assert_eq!(odd, ["usageMetadata.promptTokensDetails"]);
    }
}
