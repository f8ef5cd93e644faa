//! An outcome as a page for people who were not there: one file of HTML that needs no other, runs nothing and asks no
//! network. Well-formed as XML, too. Pure.
//!
//! Everything in it that comes from outside (reasons, addresses, names) is text, see [`html`].

mod figures;
mod glossary;
mod html;
mod plot;
mod tables;

use time::OffsetDateTime;
use time::macros::format_description;

use self::html::{facts, list, paragraph, section, span, text};
use super::outcome::{Arrivals, Ended, Kind, Model, Origin, Outcome, Plan, Verdict};

/// The page, UTF-8.
pub fn page(outcome: &Outcome) -> String {
    let title = text(&title(&outcome.plan));
    let style = include_str!("page/style.css");
    let body = body(outcome);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n\
         <meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    )
}

fn body(outcome: &Outcome) -> String {
    let sections = [
        verdict(outcome),
        plan(&outcome.plan, &outcome.origin),
        section("What callers heard", &tables::measures(outcome)),
        section("What became of the calls", &tables::calls(&outcome.counts)),
        outcome.capacity.as_ref().map_or_else(String::new, |capacity| {
            section("How many calls the server carries", &tables::capacity(capacity))
        }),
        section("How it went", &figures::figures(outcome)),
        section("What was lost", &tables::losses(&outcome.losses)),
        section("What a call costs", &tables::server(outcome)),
        section("Whether the figures may be believed", &tables::generator(outcome)),
        section("What the words mean", &glossary::glossary(outcome)),
    ];
    sections.concat()
}

fn title(plan: &Plan) -> String {
    format!("Load test: {} calls at once at {}", plan.calls, plan.target)
}

/// In one sentence, with the reasons.
fn verdict(outcome: &Outcome) -> String {
    let (class, said, reasons): (_, _, &[String]) = match &outcome.verdict {
        Verdict::Passed => {
            let up = outcome.counts.up_max;
            ("passed", format!("Passed: with up to {up} calls at the same time every bar was kept."), &[])
        }
        Verdict::Failed { reasons } => {
            let up = outcome.counts.up_max;
            ("failed", format!("Failed: with up to {up} calls at the same time not all was well."), reasons)
        }
        Verdict::Refused { reasons, .. } => {
            let said = "No verdict: the load test itself was too slow or saw too little to say anything of the server.";
            ("refused", said.to_owned(), reasons)
        }
    };
    let mut notes = String::new();
    if outcome.ended == Ended::Interrupted {
        notes += &paragraph("The test was interrupted; this is what there was until then.");
    }
    if outcome.origin.build == "debug" {
        notes += &paragraph("A debug build was tested: it is several times slower than a release build.");
    }
    if outcome.plan.model == Model::Other {
        notes += &paragraph("The model was not that of the load test: delay and losses were not measured.");
    }
    format!("<div class=\"verdict {class}\">\n{}{}</div>\n{notes}", paragraph(&said), list(reasons))
}

/// What was tested, where, when and how long.
fn plan(plan: &Plan, origin: &Origin) -> String {
    let mix: Vec<_> = plan.mix.iter().map(|share| format!("{} {}", kind(share.kind), share.weight)).collect();
    facts(&[
        ("server", plan.target.clone()),
        ("begun", instant(plan.started_at)),
        (
            "lasted",
            format!("{} until all calls were up, then {}", span(plan.ramp_ms), span(plan.duration_ms)),
        ),
        ("calls at once", limited(plan)),
        ("they came", arrivals(plan.arrivals).to_owned()),
        ("kinds, by weight", mix.join(", ")),
        ("model", model(plan.model).to_owned()),
        ("seed", plan.seed.to_string()),
        ("command", plan.command.clone()),
        ("program", origin.program()),
        ("machine of the load test", origin.machine.summary()),
    ])
}

fn limited(plan: &Plan) -> String {
    match plan.max_calls {
        Some(limit) => format!("{}; the server admits {limit}", plan.calls),
        None => plan.calls.to_string(),
    }
}

fn instant(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    at.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_else(|_| at.to_string())
}

const fn arrivals(arrivals: Arrivals) -> &'static str {
    match arrivals {
        Arrivals::Steady => "evenly; a call that ended was followed by another at once",
        Arrivals::Poisson => "at random times (a Poisson process)",
        Arrivals::Step => "in four steps, a quarter of the calls at once each",
    }
}

const fn model(model: Model) -> &'static str {
    match model {
        Model::Simulated => "the load model, which answers probes at once",
        Model::Other => "another, whose own time nobody knows",
    }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Short => "one question and its answer",
        Kind::Long => "a whole conversation",
        Kind::BargeIn => "the caller interrupts",
        Kind::HangUp => "the caller hangs up in the middle",
        Kind::Dtmf => "the caller presses keys",
        Kind::Fallback => "the fallback answers",
    }
}

#[cfg(test)]
mod tests;
