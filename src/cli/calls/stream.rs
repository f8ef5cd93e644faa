//! All calls of a question, a page at a time: for programs that want the whole log, whatever its size.

use std::io::{self, Write as _};

use anyhow::Context as _;

use crate::cli::csv;
use crate::store::query::{CallRow, Cursor, Filter, Page, Query};

/// Prints calls as CSV, the newest first, from `after` on: `limit` of them, or all. Has one page in memory. Ends
/// without an error where the reader does: `| head`.
pub(super) async fn csv(
    query: &Query,
    filter: &Filter,
    mut after: Option<Cursor>,
    limit: Option<u32>,
) -> anyhow::Result<()> {
    let mut left = limit;
    let mut is_first = true;
    loop {
        let count = left.map_or(Page::LIMIT_MAX, |left| left.min(Page::LIMIT_MAX));
        let page = query.calls(filter, &Page::new(count, after)?).await.with_context(|| incomplete(after))?;
        if !is_read(&rows(&page.calls, is_first)?)? {
            return Ok(());
        }
        is_first = false;
        left = left.map(|left| left - count);
        after = page.next;
        if after.is_none() || left == Some(0) {
            return Ok(());
        }
    }
}

fn rows(calls: &[CallRow], is_first: bool) -> anyhow::Result<String> {
    if is_first { csv::calls(calls) } else { csv::more_calls(calls) }
}

fn incomplete(after: Option<Cursor>) -> String {
    match after {
        Some(cursor) => format!("the answer is not complete; go on with --cursor {cursor}"),
        None => "no calls could be read".to_owned(),
    }
}

/// Prints. Whether the reader is still there.
fn is_read(text: &str) -> anyhow::Result<bool> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => result.map(|()| true).context("cannot write the answer"),
    }
}
