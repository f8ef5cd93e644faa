//! Rows without what is personal in them.

use serde_json::{Value, json};

use crate::store::rows::Row;

/// In the place of what was removed.
pub(in crate::store) const ERASED: &str = "erased";

/// A row without what is personal in it.
pub(in crate::store) fn scrub(row: Row) -> Row {
    match row {
        Row::Opened(mut row) => {
            ERASED.clone_into(&mut row.identity.caller);
            if row.identity.direction == "outbound" {
                ERASED.clone_into(&mut row.identity.dialled);
            }
            row.parameters = json!({});
            Row::Opened(row)
        }
        Row::Answered(mut row) => {
            row.parameters = json!({});
            Row::Answered(row)
        }
        Row::Turn(mut row) => {
            row.text.clear();
            Row::Turn(row)
        }
        Row::Event(mut row) => {
            row.detail = scrub_event(&row.kind, row.detail);
            Row::Event(row)
        }
        // Neither has anything of the caller's.
        Row::Ended(_) | Row::Annotation(_) => row,
    }
}

/// Keys that were pressed are personal; a handle opens what the live service remembers of the conversation.
pub(in crate::store) fn scrub_event(kind: &str, detail: Value) -> Value {
    match kind {
        "dtmf" => json!({ "digit": "*" }),
        "session_handle" => json!({ "handle": ERASED }),
        _ => detail,
    }
}
