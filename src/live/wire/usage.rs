//! Token counts. The developer service says `responseTokenCount`, Vertex `candidatesTokenCount`.

use super::super::Usage;
use crate::json::Reader;

/// Reads the counts into `usage`; `false` if there are none. A count that is none is `odd` and stays what it was.
pub(super) fn read(reader: &mut Reader<'_>, usage: &mut Usage, mut odd: impl FnMut(&'static str)) -> bool {
    if reader.is_null() {
        return false;
    }
    let mut candidates = None;
    let read = reader.members(|reader, name| {
        let (field, count) = match name {
            "prompttokencount" => ("usageMetadata.promptTokenCount", &mut usage.prompt_tokens),
            "responsetokencount" => ("usageMetadata.responseTokenCount", &mut usage.response_tokens),
            "candidatestokencount" => {
                ("usageMetadata.candidatesTokenCount", candidates.get_or_insert_default())
            }
            "thoughtstokencount" => ("usageMetadata.thoughtsTokenCount", &mut usage.thoughts_tokens),
            "totaltokencount" => ("usageMetadata.totalTokenCount", &mut usage.total_tokens),
            _ => return,
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
