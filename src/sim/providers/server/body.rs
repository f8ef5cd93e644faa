//! A response body that comes in pieces, at their time, and may never end. Dropping it releases everything.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;

use crate::sim::providers::observation::Observation;
use crate::sim::providers::plan::{Ending, Plan};
use crate::sim::providers::turn::Watch;

/// The connection was to be cut here.
#[derive(Debug, thiserror::Error)]
#[error("the answer is cut")]
struct CutHere;

/// Hyper flushes what it has when it has to wait, and drops it when the body fails.
const FLUSHED_AFTER: Duration = Duration::from_millis(5);

struct Playing {
    plan: Plan,
    watch: Watch,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    First,
    Later,
    Over,
}

/// The body of a plan; tells the watch how it ended.
pub(super) fn play(plan: Plan, mut watch: Watch) -> Body {
    if plan.pieces.is_empty() && plan.ending == Ending::Whole {
        watch.end(Observation::Answered);
        return Body::empty();
    }
    let playing = Playing { plan, watch, stage: Stage::First };
    Body::from_stream(stream::unfold(playing, |mut playing| async {
        let piece = playing.next().await?;
        Some((piece, playing))
    }))
}

impl Playing {
    async fn next(&mut self) -> Option<Result<Bytes, CutHere>> {
        match self.stage {
            Stage::First => self.stage = Stage::Later,
            Stage::Later if self.plan.gap.is_zero() => {}
            Stage::Later => tokio::time::sleep(self.plan.gap).await,
            Stage::Over => return None,
        }
        if let Some(piece) = self.plan.pieces.pop_front() {
            // Hyper does not ask again when it has the length it promised.
            if self.plan.pieces.is_empty() && self.plan.ending == Ending::Whole {
                self.watch.end(Observation::Answered);
                self.stage = Stage::Over;
            }
            return Some(Ok(piece));
        }
        match &mut self.plan.ending {
            Ending::Whole => None,
            Ending::Stall => std::future::pending().await,
            Ending::Cut => {
                tokio::time::sleep(FLUSHED_AFTER).await;
                self.watch.end(Observation::Broken);
                self.stage = Stage::Over;
                Some(Err(CutHere))
            }
            Ending::Endless(pieces) => rotate(pieces).map(Ok),
        }
    }
}

/// The first, which becomes the last.
fn rotate(pieces: &mut VecDeque<Bytes>) -> Option<Bytes> {
    let piece = pieces.pop_front()?;
    pieces.push_back(piece.clone());
    Some(piece)
}
