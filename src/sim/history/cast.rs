//! Who takes part: agents, their businesses, callers.

use std::sync::Arc;

use super::dice::{Dice, Weighted};

pub const AGENTS: usize = 20;
pub const BUSINESSES: usize = 8;
pub const CALLERS: usize = 50_000;

const NAMES: [&str; BUSINESSES] = [
    "blue-door",
    "harbour-clinic",
    "acme",
    "north-garage",
    "old-mill",
    "city-books",
    "fern",
    "ridge-insurance",
];
const TASKS: [&str; 3] = ["reception", "bookings", "support"];
const MODELS: [&str; 2] = ["gemini-3.8-live", "gemini-2.5-flash-native-audio"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    pub name: String,
    pub business_id: String,
    /// E.164.
    pub number: String,
    pub model: &'static str,
    pub prompt: String,
}

#[derive(Clone, Debug)]
pub(super) struct Cast {
    agents: Vec<Arc<Agent>>,
    work: Weighted,
    callers: Weighted,
}

impl Default for Cast {
    fn default() -> Self {
        Self {
            agents: (0..AGENTS).map(|n| Arc::new(agent(n))).collect(),
            work: Weighted::zipf(AGENTS, 0.8),
            callers: Weighted::zipf(CALLERS, 0.8),
        }
    }
}

impl Cast {
    pub(super) fn agent(&self, dice: &mut Dice) -> Arc<Agent> {
        Arc::clone(&self.agents[self.work.draw(dice)])
    }

    /// A number, E.164. Some call again and again; one call of fifty hides its number.
    pub(super) fn caller(&self, dice: &mut Dice) -> String {
        if dice.chance(0.02) {
            return "anonymous".to_owned();
        }
        // Ten digits, far apart from each other.
        format!("+1{}", 2_012_000_000 + self.callers.draw(dice) as u64 * 131_071)
    }
}

fn agent(number: usize) -> Agent {
    let (business, task) = (NAMES[number % BUSINESSES], TASKS[number / BUSINESSES]);
    let manners = "Be friendly and brief: one or two sentences at a time. Never promise what you cannot do. ";
    Agent {
        name: format!("{business}-{task}"),
        business_id: business.to_owned(),
        number: format!("+1415555{:04}", 100 + number),
        model: MODELS[number % MODELS.len()],
        prompt: format!("You are the {task} of {business}. {}", manners.repeat(6)),
    }
}
