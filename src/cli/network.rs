//! How connections leave this machine: what `check` and `serve` tell of it, and the way itself.

use std::sync::Arc;

use anyhow::Context as _;
use reqwest::Url;

use crate::config::{self, Config};
use crate::net::egress::Egress;
use crate::net::trust::Found;
use crate::provider::gemini::Endpoint;

/// What to do about a variable that names no authorities.
pub(crate) const MISNAMED: &str =
    "name a PEM file or a folder of them, or unset it for the authorities of the system";

/// Whom connections of this configuration trust, and which proxies they use.
pub(crate) fn egress(config: &Config) -> anyhow::Result<Arc<Egress>> {
    let found = Found::on_this_machine();
    for fault in &found.faults {
        tracing::warn!(fault, "authorities of this machine could not be read; the others are used");
    }
    for (variable, fault) in &found.misnamed {
        tracing::warn!("{variable}: {fault}; {MISNAMED}");
    }
    for (name, value) in facts(config, &found) {
        tracing::info!("{name}: {value}");
    }
    let mut trusted = found.certificates;
    if let Some(path) = &config.live.ca_file {
        let own = config::certificates(path).map_err(anyhow::Error::msg);
        trusted.extend(own.with_context(|| format!("live.ca_file: {}", path.display()))?);
    }
    Ok(Egress::new(trusted, config.proxies.clone()))
}

/// The same for people: authorities, proxies, and which way each endpoint takes.
pub(crate) fn facts(config: &Config, found: &Found) -> Vec<(&'static str, String)> {
    let mut facts = vec![("authorities", authorities(config, found))];
    facts.extend(found.faults.iter().map(|fault| ("authorities", format!("not read: {fault}"))));
    if !config.proxies.is_empty() {
        facts.extend(endpoints(config).iter().map(|url| ("proxies", way(config, url))));
    }
    facts
}

fn authorities(config: &Config, found: &Found) -> String {
    let source = match &found.variables[..] {
        [] => "of the system".to_owned(),
        variables => format!("of {}", variables.join(" and ")),
    };
    let own = config.live.ca_file.as_ref().map(|path| format!(", and {}", path.display()));
    let count = found.certificates.len();
    format!("built-in, {count} {source}{}", own.unwrap_or_default())
}

/// Everything that is connected to.
fn endpoints(config: &Config) -> Vec<Url> {
    let live = config.live.endpoints().into_iter().map(|endpoint| match endpoint {
        Endpoint::Developer(developer) => developer.endpoint,
        Endpoint::Vertex(vertex) => vertex.origin(),
    });
    let fallback = &config.fallback;
    let services = fallback.stt.iter().filter_map(|service| service.endpoint.clone());
    let services = services.chain(fallback.llm.iter().map(|service| service.endpoint().to_owned()));
    let services = services.chain(fallback.tts.iter().filter_map(|service| service.endpoint.clone()));
    let mut urls: Vec<Url> = live.chain(services).filter_map(|url| url.parse().ok()).collect();
    urls.dedup_by_key(|url| url.origin());
    urls
}

/// `a.example.com:443 through http://***@proxy:3128`, or directly.
fn way(config: &Config, url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match config.proxies.of_url(url) {
        Some(proxy) => format!("{host} through {proxy}"),
        None => format!("{host} directly"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::proxy::Proxies;

    #[test]
    fn each_endpoint_has_its_way_and_no_password_is_shown() {
        let text = "\
            live.endpoint = 'wss://live.example.com'
            fallback.stt = [{ kind = 'openai', endpoint = 'https://ann:secret@stt.example.com/v1' }]
            fallback.llm = [{ kind = 'openai', endpoint = 'http://localhost:8000/v1' }]
            fallback.tts = [{ kind = 'openai', endpoint = 'https://tts.inside.example.net/v1' }]";
        let mut config: Config = toml::from_str(text).unwrap();
        let env = |name: &str| match name {
            "HTTPS_PROXY" => Some("http://ann:hunter2@proxy.example.com:3128".to_owned()),
            "NO_PROXY" => Some(".inside.example.net".to_owned()),
            _ => None,
        };
        config.proxies = Proxies::from_env(&env);
        let found = Found { faults: vec!["/etc/x.pem: denied".to_owned()], ..Found::default() };
        let facts: Vec<_> =
            facts(&config, &found).into_iter().map(|(name, value)| format!("{name}|{value}")).collect();
        assert_eq!(
            facts[1..],
            [
                "authorities|not read: /etc/x.pem: denied",
                "proxies|live.example.com through http://***@proxy.example.com:3128",
                "proxies|stt.example.com through http://***@proxy.example.com:3128",
                "proxies|localhost directly",
                "proxies|tts.inside.example.net directly",
            ]
        );
    }

    #[test]
    fn without_a_proxy_only_the_authorities_are_told() {
        let facts = facts(&Config::default(), &Found::default());
        assert_eq!(facts, [("authorities", "built-in, 0 of the system".to_owned())]);
    }
}
