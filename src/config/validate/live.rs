//! Where live sessions are made: each endpoint by itself, and what it needs of the environment.

use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::Value;

use super::Report;
use super::origin::Origin;
use crate::config::{Config, GEMINI_API_KEY, GOOGLE_CREDENTIALS, Severity, VERTEX_API_KEY};
use crate::machine::file;
use crate::provider::gemini::{self, Developer, Endpoint, Vertex};

/// Below a hundred milliseconds no TLS connection is made; after a minute no caller is left.
const TIMEOUT_MS: RangeInclusive<u64> = 100..=60_000;

pub(super) fn check(config: &gemini::Config, report: &mut Report) {
    for (index, endpoint) in config.endpoints().iter().enumerate() {
        let path =
            if config.endpoints.is_empty() { "live".to_owned() } else { format!("live.endpoints[{index}]") };
        let mut entry = Entry { path, report };
        match endpoint {
            Endpoint::Developer(developer) => check_developer(developer, &mut entry),
            Endpoint::Vertex(vertex) => check_vertex(vertex, &mut entry),
        }
        if config.endpoints.iter().take(index).any(|other| other == endpoint) {
            entry.error(
                "kind",
                "is that of an endpoint before, with all its settings",
                "delete one of the two",
            );
        }
    }
    if !config.endpoints.is_empty() {
        check_unused(config, report);
    }
    let timeouts = [
        ("live.connect_timeout_ms", config.connect_timeout_ms, "2000 suits a caller on the line"),
        ("live.setup_timeout_ms", config.setup_timeout_ms, "2500 suits a caller on the line"),
    ];
    for (key, ms, remedy) in timeouts.into_iter().filter(|(_, ms, _)| !TIMEOUT_MS.contains(ms)) {
        report.error(key, format!("{ms} ms is not between 100 and 60000"), remedy);
    }
}

/// What the endpoints need of the environment.
pub(super) fn check_keys(config: &Config, report: &mut Report) {
    let endpoints = config.live.endpoints();
    let missing = |needs: fn(&Endpoint) -> Option<bool>| endpoints.iter().filter_map(needs).min();
    if config.secrets.gemini_api_key.is_none()
        && let Some(is_simulated) = missing(needs_developer_key)
    {
        let remedy = "set it to a key of the Gemini API (https://aistudio.google.com/apikey)";
        let message = match endpoints.len() {
            1 => "is not set: no call gets a live session",
            _ => "is not set: the Developer API gives no live session",
        };
        report.environment(severity(is_simulated), GEMINI_API_KEY, message, remedy);
    }
    if config.secrets.vertex_api_key.is_none()
        && let Some(is_simulated) = missing(needs_vertex_key)
    {
        let remedy = "set it to a key of Vertex AI in express mode, or write the project of the endpoint";
        let message = "is not set: Vertex AI without a project gives no live session";
        report.environment(severity(is_simulated), VERTEX_API_KEY, message, remedy);
    }
    if let Some(path) = &config.live.default_credentials
        && endpoints.iter().any(needs_default_credentials)
        && let Err(message) = check_key_file(path)
    {
        let remedy = "set it to the path of the JSON key file of a service account";
        report.environment(Severity::Error, GOOGLE_CREDENTIALS, &message, remedy);
    }
}

/// An endpoint in the report.
#[derive(Debug)]
struct Entry<'a> {
    path: String,
    report: &'a mut Report,
}

impl Entry<'_> {
    fn error(&mut self, field: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.report.error(format!("{}.{field}", self.path), message, remedy);
    }
}

fn check_developer(endpoint: &Developer, entry: &mut Entry<'_>) {
    check_origin(&endpoint.endpoint, entry);
    check_version(&endpoint.api_version, "write \"v1beta\" or \"v1alpha\"", entry);
    check_model(endpoint.model.as_deref(), entry);
}

fn check_vertex(endpoint: &Vertex, entry: &mut Entry<'_>) {
    check_place(endpoint, entry);
    check_version(&endpoint.api_version, "write \"v1beta1\" or \"v1\"", entry);
    if let Some(origin) = &endpoint.endpoint {
        check_origin(origin, entry);
    }
    if let Some(Err(message)) = endpoint.credentials_file.as_deref().map(check_key_file) {
        let remedy = "write the path of the JSON key file of a service account, or delete the key for \
                      GOOGLE_APPLICATION_CREDENTIALS or the account of the machine";
        entry.error("credentials_file", message, remedy);
    }
    if endpoint.quota_project.as_deref().is_some_and(|project| !is_project(project)) {
        entry.error(
            "quota_project",
            "is not the ID of a project",
            "write the ID of a project, or delete the key",
        );
    }
    check_model(endpoint.model.as_deref(), entry);
}

/// Project and location belong together; the express mode has neither.
fn check_place(endpoint: &Vertex, entry: &mut Entry<'_>) {
    let remedy = "write a region like \"us-central1\", or \"us\", \"eu\" or \"global\"";
    match (endpoint.project.as_deref(), endpoint.location.as_deref()) {
        (Some(project), _) if !is_project(project) => {
            entry.error("project", "is not the ID of a project", "copy it from the Google Cloud console");
        }
        (Some(_), None) => entry.error("location", "is missing", remedy),
        (Some(_), Some(location)) if !is_location(location) => {
            entry.error("location", "is not the name of a location", remedy);
        }
        (None, Some(_)) => {
            let remedy = "write the ID of the project, or delete location for the express mode";
            entry.error("project", "is missing, and the express mode has no location", remedy);
        }
        (None, None) if endpoint.credentials_file.is_some() => {
            let remedy = "write the ID of the project, or delete credentials_file for the express mode";
            entry.error("project", "is missing, and the express mode has an API key only", remedy);
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
}

fn check_origin(origin: &str, entry: &mut Entry<'_>) {
    if let Err(fault) = Origin::parse(origin, "wss", "ws") {
        let remedy = "write scheme and host only, or delete the key for the public service";
        entry.error("endpoint", fault.to_string(), remedy);
    }
}

fn check_version(version: &str, remedy: &str, entry: &mut Entry<'_>) {
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        entry.error("api_version", "is not the name of a version", remedy);
    }
}

fn check_model(model: Option<&str>, entry: &mut Entry<'_>) {
    let is_name = |model: &str| {
        !model.is_empty() && model.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_@".contains(&byte))
    };
    if model.is_some_and(|model| !is_name(model)) {
        let remedy = "write the name alone, without a path, or delete the key for the model of each agent";
        entry.error("model", "is not the name of a model", remedy);
    }
}

/// The keys of `[live]` that stand for a list of one.
fn check_unused(config: &gemini::Config, report: &mut Report) {
    let default = gemini::Config::default();
    let keys = [
        ("live.endpoint", config.endpoint != default.endpoint),
        ("live.api_version", config.api_version != default.api_version),
    ];
    for (key, _) in keys.iter().filter(|(_, is_set)| *is_set) {
        let remedy = "move it to the endpoint of kind \"developer\" in the list";
        report.error(*key, "is not used beside [[live.endpoints]]", remedy);
    }
}

/// Whether the API key of the Developer API is needed here, and if so, by a simulated service alone.
fn needs_developer_key(endpoint: &Endpoint) -> Option<bool> {
    match endpoint {
        Endpoint::Developer(developer) => Some(is_simulated(&developer.endpoint)),
        Endpoint::Vertex(_) => None,
    }
}

fn needs_vertex_key(endpoint: &Endpoint) -> Option<bool> {
    match endpoint {
        Endpoint::Vertex(vertex) if vertex.project.is_none() && vertex.location.is_none() => {
            Some(is_simulated(&vertex.origin()))
        }
        Endpoint::Vertex(_) | Endpoint::Developer(_) => None,
    }
}

fn needs_default_credentials(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Vertex(vertex) => vertex.project.is_some() && vertex.credentials_file.is_none(),
        Endpoint::Developer(_) => false,
    }
}

fn is_simulated(origin: &str) -> bool {
    Origin::parse(origin, "wss", "ws").is_ok_and(|origin| origin.is_loopback())
}

const fn severity(is_simulated: bool) -> Severity {
    if is_simulated { Severity::Warning } else { Severity::Error }
}

/// Says what is wrong with a key file, and never what is in it.
fn check_key_file(path: &Path) -> Result<(), String> {
    let name = path.display();
    let text = file::read_text(path).map_err(|fault| format!("{name} {fault}"))?;
    let file: Value = serde_json::from_str(&text).map_err(|_| format!("{name} is not JSON"))?;
    match file["type"].as_str() {
        Some("service_account") => Ok(()),
        Some("authorized_user") => Err(format!("{name} is of a user, not of a service account")),
        Some(_) | None => Err(format!("{name} is not the key file of a service account")),
    }
}

/// An ID, with the domain some have in front of it, or a number (Google Cloud, "Creating and managing projects").
fn is_project(project: &str) -> bool {
    !project.is_empty()
        && project
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte))
}

fn is_location(location: &str) -> bool {
    !location.is_empty()
        && location.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
