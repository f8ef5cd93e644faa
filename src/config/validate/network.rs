//! The network of the environment: proxies and authorities.

use super::Report;
use crate::config::certificates;
use crate::config::{Config, Severity};

pub(super) fn check(config: &Config, report: &mut Report) {
    if let Some(path) = &config.live.ca_file
        && let Err(fault) = certificates(path)
    {
        let message = format!("{} {fault}", path.display());
        report.error("live.ca_file", message, "name a PEM file with one certificate or more");
    }
    for fault in config.proxies.faults() {
        let remedy = "connections are made without it; correct or unset it";
        report.environment(Severity::Warning, fault.variable(), &fault.to_string(), remedy);
    }
}
