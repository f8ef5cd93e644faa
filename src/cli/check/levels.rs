//! Whether `RUST_LOG` says what is logged.

use super::part::Part;
use crate::cli::logging;
use crate::config::{Config, Severity};

/// `unreadable` is what is wrong with the variable.
pub(super) fn check(config: &Config, unreadable: Option<String>) -> Part {
    let mut part = Part::new(config);
    if let Some(error) = unreadable {
        let message = format!("cannot be read ({error}): `serve` logs at info");
        part.environment(Severity::Warning, logging::VARIABLE, message, logging::REMEDY);
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_that_cannot_be_read_are_a_warning_of_the_environment() {
        let part = check(&Config::default(), Some("invalid filter directive".to_owned()));
        let [finding] = part.all() else { panic!("{:?}", part.all()) };
        assert!(
            finding.to_string().starts_with("warning: RUST_LOG (environment): cannot be read"),
            "{finding}"
        );
        assert!(check(&Config::default(), None).all().is_empty());
    }
}
