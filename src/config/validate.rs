//! What is wrong or doubtful in a configuration that could be read: everything at once.

mod admin;
mod agents;
mod fallback;
mod limits;
mod live;
mod network;
mod origin;

use std::ops::RangeInclusive;
use std::path::Path;

use self::origin::Origin;
use super::{
    API_TOKEN, Config, DATABASE_URL, Finding, GEMINI_API_KEY, Place, Severity, TWILIO_AUTH_TOKEN,
    TWILIO_AUTH_TOKEN_SECONDARY, VERTEX_API_KEY,
};
use crate::secret::Secret;
use crate::server;
use crate::store::captures;
use crate::store::postgres::Target;

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let place = config.file.clone().map_or(Place::NoFile, Place::File);
    let mut report = Report { place, findings: Vec::new() };
    server(&config.server, &mut report);
    admin::check(config, &mut report);
    limits::check(&config.limits, &mut report);
    store(&config.store.path, &mut report);
    recordings(&config.recordings.folder, &mut report);
    captures(&config.captures, &mut report);
    live::check(&config.live, &mut report);
    network::check(config, &mut report);
    fallback::check(config, &mut report);
    fallback::check_http(&config.http, &mut report);
    twilio(config.twilio.account_sid.as_deref(), &mut report);
    agents::check(&config.agents, &mut report);
    report.findings.extend(config.clip_faults.iter().cloned());
    agents::check_overflow(config, &mut report);
    secrets(config, &mut report);
    report.findings
}

/// Collects findings.
#[derive(Debug)]
struct Report {
    /// Where settings come from.
    place: Place,
    findings: Vec<Finding>,
}

impl Report {
    fn error(&mut self, key: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        let (key, message, remedy) = (key.into(), message.into(), remedy.into());
        let place = self.place.clone();
        self.findings.push(Finding { severity: Severity::Error, key, place, message, remedy });
    }

    fn warning(&mut self, key: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        let (key, message, remedy) = (key.into(), message.into(), remedy.into());
        let place = self.place.clone();
        self.findings.push(Finding { severity: Severity::Warning, key, place, message, remedy });
    }

    fn environment(&mut self, severity: Severity, key: &str, message: &str, remedy: &str) {
        self.findings.push(Finding {
            severity,
            key: key.to_owned(),
            place: Place::Environment,
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        });
    }
}

fn server(config: &server::Config, report: &mut Report) {
    const KEY: &str = "server.public_url";
    const REMEDY: &str = "write the address under which the carrier reaches this server, for example \
                          \"https://voice.example.com\", with no path and no slash at its end";
    let Some(url) = &config.public_url else {
        return report.error(KEY, "is missing: calls and their signatures need it", REMEDY);
    };
    if let Err(fault) = Origin::parse(url, "https", "http") {
        report.error(KEY, fault.to_string(), REMEDY);
    }
}

fn store(path: &Path, report: &mut Report) {
    const REMEDY: &str = "write the path of a file, for example \"data/patchcord.db\"";
    if path.as_os_str().is_empty() {
        report.error("store.path", "is empty", REMEDY);
    } else if path.is_dir() {
        report.error("store.path", "is a folder", REMEDY);
    }
}

fn recordings(folder: &Path, report: &mut Report) {
    const REMEDY: &str = "write the path of a folder, for example \"data/recordings\"";
    if folder.as_os_str().is_empty() {
        report.error("recordings.folder", "is empty", REMEDY);
    } else if folder.exists() && !folder.is_dir() {
        report.error("recordings.folder", "is not a folder", REMEDY);
    }
}

fn captures(config: &captures::Config, report: &mut Report) {
    /// Ten years: whoever wants more wants an archive.
    const RETENTION_DAYS: RangeInclusive<u32> = 1..=3650;
    const REMEDY: &str = "write the path of a folder, for example \"data/captures\"";
    if config.folder.as_os_str().is_empty() {
        report.error("captures.folder", "is empty", REMEDY);
    } else if config.folder.exists() && !config.folder.is_dir() {
        report.error("captures.folder", "is not a folder", REMEDY);
    }
    if !RETENTION_DAYS.contains(&config.retention_days) {
        let message = format!("{} is not between 1 and 3650", config.retention_days);
        report.error("captures.retention_days", message, "write after how many days files are deleted");
    }
}

fn twilio(account_sid: Option<&str>, report: &mut Report) {
    /// `AC` and 32 hexadecimal digits (<https://www.twilio.com/docs/glossary/what-is-a-sid>).
    fn is_account_sid(sid: &str) -> bool {
        sid.strip_prefix("AC")
            .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }
    if account_sid.is_some_and(|sid| !is_account_sid(sid)) {
        let remedy = "copy the Account SID from the Twilio console, or delete the key to accept any account";
        report.error("twilio.account_sid", "is not AC and 32 hexadecimal digits", remedy);
    }
}

fn secrets(config: &Config, report: &mut Report) {
    let secrets = &config.secrets;
    live::check_keys(config, report);
    if secrets.twilio_auth_token.is_none() {
        let remedy = "set it to the Auth Token of the account, from the Twilio console";
        let message = "is not set: webhooks cannot be told from forgeries";
        report.environment(Severity::Error, TWILIO_AUTH_TOKEN, message, remedy);
    } else if secrets.twilio_auth_token == secrets.twilio_auth_token_secondary {
        let remedy = "set it to the other token of the rotation, or not at all";
        let message = "is the same as TWILIO_AUTH_TOKEN";
        report.environment(Severity::Warning, TWILIO_AUTH_TOKEN_SECONDARY, message, remedy);
    }
    if secrets.api_token.as_ref().is_some_and(|token| token.expose().chars().count() < TOKEN_CHARS_MIN) {
        let message = format!("has less than {TOKEN_CHARS_MIN} characters: it can be guessed");
        let remedy = "set it to a random one, as `openssl rand -hex 32` prints";
        report.environment(Severity::Warning, API_TOKEN, &message, remedy);
    }
    if let Some(Err(error)) = secrets.database_url.as_ref().map(Target::parse) {
        let remedy =
            "write postgres://USER:PASSWORD@HOST/DATABASE, or do not set it to keep the call log in a file";
        report.environment(Severity::Error, DATABASE_URL, &error.to_string(), remedy);
    }
    let named = [
        (GEMINI_API_KEY, &secrets.gemini_api_key),
        (VERTEX_API_KEY, &secrets.vertex_api_key),
        (TWILIO_AUTH_TOKEN, &secrets.twilio_auth_token),
        (TWILIO_AUTH_TOKEN_SECONDARY, &secrets.twilio_auth_token_secondary),
    ];
    for (name, secret) in named {
        if secret.as_ref().is_some_and(|secret| !is_printable(secret)) {
            let remedy = "copy it again: quotes, spaces or a second line came with it";
            report.environment(Severity::Error, name, "has characters that no key has", remedy);
        }
    }
}

/// Of the token of the API: as many random letters and digits are out of reach of guesses over a network.
const TOKEN_CHARS_MIN: usize = 16;

fn is_printable(secret: &Secret) -> bool {
    secret.expose().bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\''))
}
