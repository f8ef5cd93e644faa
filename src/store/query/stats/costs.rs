//! What was used of services, and what it cost by the prices of its time.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::range::Hours;
use super::{Group, Scope, Used};
use crate::store::query::error::Error;
use crate::store::query::rows::restore;
use crate::store::query::session::Session;

/// What has one price.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
struct Item {
    service: String,
    provider: String,
    used_model: String,
    modality: String,
    direction: String,
    unit: String,
}

/// So much of it, in calls of one group on days of the same prices.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Sum {
    /// The live model, the day or the agent.
    name: String,
    #[sqlx(flatten)]
    item: Item,
    /// The last day on which any price changed, `2026-11-21`; `None`: there was no price yet.
    period: Option<String>,
    quantity: i64,
}

#[derive(Clone, Debug, sqlx::FromRow)]
struct Price {
    service: String,
    provider: String,
    model: String,
    modality: String,
    direction: String,
    valid_from: String,
    usd: f64,
    per: i64,
}

/// What costs are told of, beside all calls.
#[derive(Debug)]
pub(super) struct Groups<'a> {
    pub(super) by_day: &'a mut [Group],
    pub(super) by_agent: &'a mut [Group],
    pub(super) by_model: &'a mut [Group],
}

/// By what calls are put together.
#[derive(Clone, Copy, Debug)]
enum By {
    Day,
    Agent,
    Model,
}

/// Tells what was used, and the costs of all calls and of those of each group.
pub(super) async fn add(
    session: &mut Session,
    scope: &Scope,
    total: &mut Group,
    groups: Groups<'_>,
) -> Result<Vec<Used>, Error> {
    let prices = prices(session).await?;
    let mut calls = Vec::new();
    for part in scope.parts().hours {
        calls.extend(of_part(session, scope, part).await?);
    }
    let Groups { by_day, by_agent, by_model } = groups;
    for (by, groups) in [(By::Day, by_day), (By::Agent, by_agent)] {
        for sum in sums(session, scope, by, &calls, &prices).await? {
            let cost = sum.cost(&prices);
            groups.iter_mut().filter(|group| group.name == sum.name).for_each(|group| group.add(cost));
        }
    }
    let mut used = BTreeMap::<Item, Used>::new();
    for sum in sums(session, scope, By::Model, &calls, &prices).await? {
        let cost = sum.cost(&prices);
        let of_model = by_model.iter_mut().filter(|group| group.name == sum.name);
        of_model.chain([&mut *total]).for_each(|group| group.add(cost));
        let unused = sum.item.unused();
        used.entry(sum.item).or_insert(unused).add(sum.quantity, cost);
    }
    Ok(used.into_values().collect())
}

/// In one order, whatever the database gave them in: floats are added in it.
async fn sums(
    session: &mut Session,
    scope: &Scope,
    by: By,
    calls: &[Call],
    prices: &[Price],
) -> Result<Vec<Sum>, Error> {
    let mut sums = of_calls(calls, by, prices);
    if let Some(days) = scope.parts().days {
        let mut sql = session.sql(by.select());
        sql.text(DAYS);
        days.conditions(&mut sql, scope);
        sql.text(GROUPED);
        sums.extend(session.all::<Sum>(&sql).await?);
    }
    for sum in &mut sums {
        [&mut sum.name, &mut sum.item.provider, &mut sum.item.used_model].into_iter().for_each(restore);
    }
    sums.sort_by(|a, b| (&a.item, &a.name, &a.period).cmp(&(&b.item, &b.name, &b.period)));
    Ok(sums)
}

const DAYS: &str = ", service, provider, used_model, modality, direction, unit,
        (SELECT CAST(max(valid_from) AS text) FROM prices WHERE valid_from <= day) AS period,
        CAST(sum(quantity) AS bigint) AS quantity FROM daily_usage";
const GROUPED: &str = " GROUP BY 1, service, provider, used_model, modality, direction, unit, period";

impl By {
    const fn select(self) -> &'static str {
        match self {
            Self::Day => "SELECT CAST(day AS text) AS name",
            Self::Agent => "SELECT agent AS name",
            Self::Model => "SELECT model AS name",
        }
    }

    fn of(self, call: &Call) -> &str {
        match self {
            Self::Day => &call.day,
            Self::Agent => &call.agent,
            Self::Model => &call.model,
        }
    }
}

impl Sum {
    fn cost(&self, prices: &[Price]) -> Option<f64> {
        price(prices, &self.item, self.period.as_deref()).map(|price| price.of(self.quantity))
    }
}

impl Group {
    fn add(&mut self, cost: Option<f64>) {
        match cost {
            Some(cost) => *self.cost_usd.get_or_insert(0.0) += cost,
            None => self.is_cost_partial = true,
        }
    }
}

async fn prices(session: &mut Session) -> Result<Vec<Price>, Error> {
    let sql = session.sql(
        "SELECT service, provider, model, modality, direction, CAST(valid_from AS text) AS valid_from, usd, per
           FROM prices",
    );
    session.all(&sql).await
}

/// As in the view `call_usage`: that of the provider before one of any, and the newest of those that were valid.
fn price<'a>(prices: &'a [Price], item: &Item, at: Option<&str>) -> Option<&'a Price> {
    let at = at?;
    let is_meant = |price: &&Price| {
        price.service == item.service
            && price.model == item.used_model
            && price.modality == item.modality
            && price.direction == item.direction
            && (price.provider.is_empty() || price.provider == item.provider)
            && price.valid_from.as_str() <= at
    };
    prices
        .iter()
        .filter(is_meant)
        .max_by(|a, b| (&a.provider, &a.valid_from).cmp(&(&b.provider, &b.valid_from)))
}

impl Price {
    fn of(&self, quantity: i64) -> f64 {
        quantity as f64 * (self.usd / self.per as f64)
    }
}

impl Item {
    fn unused(&self) -> Used {
        let Self { service, provider, used_model, modality, direction, unit } = self.clone();
        Used {
            service,
            provider,
            model: used_model,
            modality,
            direction,
            unit,
            quantity: 0,
            unpriced_quantity: 0,
            cost_usd: None,
        }
    }
}

impl Used {
    fn add(&mut self, quantity: i64, cost: Option<f64>) {
        self.quantity += quantity;
        match cost {
            Some(cost) => *self.cost_usd.get_or_insert(0.0) += cost,
            None => self.unpriced_quantity += quantity,
        }
    }
}

/// A call with what it used.
#[derive(sqlx::FromRow)]
struct Call {
    day: String,
    agent: String,
    model: String,
    /// JSON; `None`: of an older program, which only knew tokens.
    usage: Option<String>,
    prompt_tokens: i64,
    response_tokens: i64,
    carrier: String,
    direction: String,
    minutes: i64,
}

#[derive(Debug, Deserialize)]
struct Line {
    service: String,
    provider: String,
    model: Option<String>,
    modality: String,
    direction: String,
    unit: String,
    quantity: i64,
}

async fn of_part(session: &mut Session, scope: &Scope, part: Hours) -> Result<Vec<Call>, Error> {
    let mut sql = session.sql("SELECT ");
    sql.either("substr(started_at, 1, 10)", "to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')");
    sql.text(
        " AS day, substr(agent, 1, 200) AS agent, substr(model, 1, 200) AS model, CAST(usage AS text) AS usage,
          coalesce(prompt_tokens, 0) AS prompt_tokens,
          coalesce(response_tokens, 0) + coalesce(thoughts_tokens, 0) AS response_tokens,
          substr(carrier, 1, 200) AS carrier, direction, (coalesce(duration_ms, 0) + 59999) / 60000 AS minutes
     FROM calls WHERE ended_at IS NOT NULL",
    );
    part.conditions(&mut sql, scope);
    session.all(&sql).await
}

fn of_calls(calls: &[Call], by: By, prices: &[Price]) -> Vec<Sum> {
    let mut sums = BTreeMap::<(String, Item, Option<String>), i64>::new();
    for call in calls {
        let period = prices.iter().map(|price| &price.valid_from).filter(|from| **from <= call.day).max();
        for (item, quantity) in call.lines() {
            *sums.entry((by.of(call).to_owned(), item, period.cloned())).or_default() += quantity;
        }
    }
    let sum = |((name, item, period), quantity)| Sum { name, item, period, quantity };
    sums.into_iter().map(sum).collect()
}

impl Call {
    /// As in the view `call_usage`.
    fn lines(&self) -> Vec<(Item, i64)> {
        let tokens = |direction: &str, quantity| Line {
            service: "live".to_owned(),
            provider: String::new(),
            model: None,
            modality: "unknown".to_owned(),
            direction: direction.to_owned(),
            unit: "tokens".to_owned(),
            quantity,
        };
        let mut lines = match &self.usage {
            Some(usage) => serde_json::from_str::<Vec<Line>>(usage).unwrap_or_default(),
            None => vec![tokens("in", self.prompt_tokens), tokens("out", self.response_tokens)],
        };
        lines.push(Line {
            service: "carrier".to_owned(),
            provider: self.carrier.clone(),
            model: Some(self.carrier.clone()),
            modality: "call".to_owned(),
            direction: self.direction.clone(),
            unit: "minutes".to_owned(),
            quantity: self.minutes,
        });
        lines.into_iter().filter(|line| line.quantity > 0).map(|line| self.item(line)).collect()
    }

    fn item(&self, line: Line) -> (Item, i64) {
        let Line { service, provider, model, modality, direction, unit, quantity } = line;
        let used_model = model.unwrap_or_else(|| self.model.clone());
        (Item { service, provider, used_model, modality, direction, unit }, quantity)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn item(provider: &str, direction: &str) -> Item {
        Item {
            service: "llm".into(),
            provider: provider.into(),
            used_model: "gpt-x".into(),
            modality: "text".into(),
            direction: direction.into(),
            unit: "tokens".into(),
        }
    }

    fn offers() -> Vec<Price> {
        let price = |provider: &str, direction: &str, valid_from: &str, usd| Price {
            service: "llm".into(),
            provider: provider.into(),
            model: "gpt-x".into(),
            modality: "text".into(),
            direction: direction.into(),
            valid_from: valid_from.into(),
            usd,
            per: 1_000_000,
        };
        vec![
            price("", "in", "2026-01-01", 1.0),
            price("", "in", "2026-06-01", 2.0),
            price("azure", "in", "2026-03-01", 5.0),
            price("", "out", "2026-01-01", 9.0),
        ]
    }

    #[rstest]
    #[case::before_any("openai", "in", Some("2025-12-31"), None)]
    #[case::no_prices("openai", "in", None, None)]
    #[case::on_the_day("openai", "in", Some("2026-01-01"), Some(1.0))]
    #[case::the_day_before_a_change("openai", "in", Some("2026-05-31"), Some(1.0))]
    #[case::after_a_change("openai", "in", Some("2026-06-01"), Some(2.0))]
    #[case::of_the_provider("azure", "in", Some("2026-07-01"), Some(5.0))]
    #[case::before_that_of_the_provider("azure", "in", Some("2026-02-01"), Some(1.0))]
    #[case::the_other_direction("openai", "out", Some("2026-07-01"), Some(9.0))]
    #[case::another_direction("openai", "cached", Some("2026-07-01"), None)]
    fn the_price_is_that_of_the_time(
        #[case] provider: &str,
        #[case] direction: &str,
        #[case] at: Option<&str>,
        #[case] usd: Option<f64>,
    ) {
        let prices = offers();
        let found = price(&prices, &item(provider, direction), at).map(|price| price.of(1_000_000));
        assert_eq!(found, usd);
    }
}
