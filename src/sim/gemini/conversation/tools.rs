//! Function calls in a conversation: who waits for whom, and when a result is spoken of.

use std::time::Instant;

use super::super::calls::Group;
use super::super::fault::Moment;
use super::super::observation::Observation;
use super::super::personality::Personality;
use super::super::refusal::Refusal;
use super::super::request::{Scheduling, ToolResponse};
use super::super::resumption::Occasion;
use super::super::scenario::Call;
use super::super::script::Reply;
use super::{Conversation, Floor};

impl Conversation {
    /// Calls functions; the reply waits for their results. The model waits too, or speaks on and ends its turn.
    pub(super) fn call(&mut self, calls: &[Call], mut reply: Reply, now: Instant) {
        let filler = reply.filler.take();
        let ids = self.mouth.call(calls);
        let group = self.calls.issue(ids, reply);
        if self.calls.wants_wait(calls) {
            self.floor = Floor::Calling(group);
            self.update_handle(Occasion::ToolCalled);
        } else {
            self.calls.run_in_background(group);
            self.update_handle(Occasion::ToolCalled);
            self.floor = Floor::Answering(self.answer_from(filler.into_iter().collect(), None, now));
        }
        self.outputs().reach(Moment::ToolCall);
    }

    pub(super) fn handle_tool_response(
        &mut self,
        response: &ToolResponse,
        now: Instant,
    ) -> Result<(), Refusal> {
        for response in &response.function_responses {
            let (id, json) = (response.id.clone(), serde_json::Value::Object(response.response.clone()));
            self.outputs().observe(Observation::ToolResultReceived { id, response: json.to_string() });
            let complete = self.calls.take(response)?;
            if let Floor::Calling(group) = &mut self.floor
                && group.take(response)
                && let Floor::Calling(group) = std::mem::replace(&mut self.floor, Floor::Idle)
            {
                self.go_on_after_call(group.reply, now);
            }
            complete.into_iter().for_each(|group| self.handle_result(group, now));
        }
        Ok(())
    }

    /// The model has what it waited for.
    fn go_on_after_call(&mut self, reply: Reply, now: Instant) {
        if self.behaviour.personality == Personality::VertexHalfCascade {
            self.mouth.end_of_call();
            self.end_turn();
        }
        self.update_handle(Occasion::ToolAnswered);
        self.think(reply, now);
    }

    /// The model has what it did not wait for.
    fn handle_result(&mut self, group: Group, now: Instant) {
        match group.scheduling {
            Scheduling::Silent => {}
            Scheduling::Interrupt => {
                self.interrupt();
                self.think(group.reply, now);
            }
            Scheduling::WhenIdle if matches!(self.floor, Floor::Idle) => self.think(group.reply, now),
            Scheduling::WhenIdle => self.queued.reply = Some(group.reply),
        }
    }
}
