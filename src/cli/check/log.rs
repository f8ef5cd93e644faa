//! The call log: the file as `serve` would find it, and Postgres as the shipper would.

use std::time::Duration;

use super::part::Part;
use crate::config::{Config, DATABASE_URL, Severity};
use crate::store::inspect::{self, State};
use crate::store::postgres::{self, Probe, Target};

/// Postgres answers in milliseconds; a person waits.
const POSTGRES_DEADLINE: Duration = Duration::from_secs(3);

pub(super) async fn check(config: &Config) -> Part {
    let mut part = Part::new(config);
    file(config, &mut part).await;
    let target = config.secrets.database_url.as_ref().map(Target::parse);
    // That it cannot be read is a finding of the settings.
    if let Some(Ok(target)) = target {
        remote(&target, &mut part).await;
    }
    part
}

async fn file(config: &Config, part: &mut Part) {
    const KEY: &str = "store.path";
    let path = &config.store.path;
    let shown = path.display().to_string();
    match inspect::inspect(path).await {
        Ok(State::Missing) => part.fact("call log", format!("{shown} (not there yet: `serve` makes it)")),
        Ok(State::Ready { version }) => part.fact("call log", format!("{shown}, schema {version}")),
        Ok(State::Older { version }) => {
            part.fact("call log", format!("{shown}, schema {version}: `serve` brings it up to date"));
        }
        Ok(State::Busy) => {
            part.fact("call log", shown);
            let message =
                "another program holds a lock on the file: what `serve` records waits until it is gone";
            part.warning(KEY, message, "close the editor or the backup that has it open");
        }
        Err(fault) => {
            part.fact("call log", shown);
            part.error(KEY, fault.to_string(), fault.remedy());
        }
    }
    if inspect::is_in_use(path) {
        let message =
            "another process writes this call log, a running server perhaps: a second `serve` on it ends";
        part.warning(KEY, message, "stop that one first, or give this one a path of its own");
    }
    let waiting = inspect::waiting(path);
    if waiting > 0 {
        part.fact(
            "call log",
            format!("{waiting} bytes of an earlier process wait beside it for the next start"),
        );
    }
}

async fn remote(target: &Target, part: &mut Part) {
    for name in target.unknown_parameters() {
        let message = format!("has the parameter {name}, which is not used");
        part.environment(Severity::Warning, DATABASE_URL, message, "correct its name, or leave it out");
    }
    match target.probe(POSTGRES_DEADLINE).await {
        Ok(probe) => found(target, &probe, part),
        Err(error) => {
            part.fact("call log", format!("shipped to {target}"));
            let remedy = if matches!(error, postgres::Error::Newer { .. }) {
                "use the newer program, or another database"
            } else {
                "`serve` would start, and records would wait in the file until this is mended"
            };
            part.environment(Severity::Error, DATABASE_URL, error.to_string(), remedy);
        }
    }
}

fn found(target: &Target, probe: &Probe, part: &mut Part) {
    let schema = match probe.schema {
        None => "no tables yet: `serve` makes them".to_owned(),
        Some(version) if probe.is_older => format!("schema {version}: `serve` brings it up to date"),
        Some(version) => format!("schema {version}"),
    };
    part.fact("call log", format!("shipped to {target}, PostgreSQL {}, {schema}", probe.version));
    let mut error = |message: String, remedy: &str| {
        part.environment(Severity::Error, DATABASE_URL, message, remedy);
    };
    if probe.is_read_only {
        error("the server takes no writes: it is a standby or read-only".to_owned(), "name the primary");
    }
    let needs_tables = probe.schema.is_none() || probe.is_older;
    if needs_tables && !probe.rights.may_create && probe.rights.closed_tables.is_empty() {
        let remedy = "GRANT CREATE ON SCHEMA to it, or run `patchcord migrate` once as the owner";
        error("this user may not create tables, and some are missing".to_owned(), remedy);
    }
    if !probe.rights.closed_tables.is_empty() {
        let tables = probe.rights.closed_tables.join(", ");
        let remedy = "GRANT SELECT, INSERT, UPDATE, DELETE on all tables of the call log to it";
        error(format!("this user may not read and write {tables}"), remedy);
    }
}
