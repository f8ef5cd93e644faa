//! One part of the check: facts for the summary, and findings.

use crate::cli::mask::masked;
use crate::cli::text;
use crate::config::{Config, Finding, Place, Severity};

/// What one look gave.
#[derive(Debug)]
pub(super) struct Part {
    /// Where settings come from.
    place: Place,
    facts: Vec<(&'static str, String)>,
    findings: Vec<Finding>,
}

impl Part {
    pub(super) fn new(config: &Config) -> Self {
        let place = config.file.clone().map_or(Place::NoFile, Place::File);
        Self { place, facts: Vec::new(), findings: Vec::new() }
    }

    /// A line of the summary. The name is printed once before lines that share it.
    pub(super) fn fact(&mut self, name: &'static str, value: impl Into<String>) {
        self.facts.push((name, value.into()));
    }

    /// `serve` would not start, or every call would fail. `key` is of the configuration file.
    pub(super) fn error(
        &mut self,
        key: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.find(Severity::Error, self.place.clone(), [key.into(), message.into(), remedy.into()]);
    }

    /// `serve` would start, and the operator should know. `key` is of the configuration file.
    pub(super) fn warning(
        &mut self,
        key: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.find(Severity::Warning, self.place.clone(), [key.into(), message.into(), remedy.into()]);
    }

    /// About a variable of the environment.
    pub(super) fn environment(
        &mut self,
        severity: Severity,
        variable: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.find(severity, Place::Environment, [variable.to_owned(), message.into(), remedy.into()]);
    }

    /// Findings that were made elsewhere.
    pub(super) fn findings(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    pub(super) fn all(&self) -> &[Finding] {
        &self.findings
    }

    /// The facts, one a line.
    pub(super) fn summary(&self) -> String {
        let mut last = "";
        let mut lines = String::new();
        for (name, value) in &self.facts {
            let shown = if *name == last { "" } else { name };
            lines.push_str(&format!("{shown:<15} {}\n", text::line(&masked(value))));
            last = name;
        }
        lines
    }

    fn find(&mut self, severity: Severity, place: Place, [key, message, remedy]: [String; 3]) {
        self.findings.push(Finding { severity, key, place, message, remedy });
    }
}
