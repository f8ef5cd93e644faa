//! What can be reached from where: the carrier's listener and that of the API.

use std::net::SocketAddr;

use super::Report;
use crate::config::Config;
use crate::server::admin::{Listen, reach};

pub(super) fn check(config: &Config, report: &mut Report) {
    let has_token = config.secrets.api_token.is_some();
    check_carrier(config.server.listen, has_token, report);
    check_admin(config, has_token, report);
    for (index, host) in config.admin.hosts.iter().enumerate() {
        if !is_host_name(host) {
            let remedy = "write the host of a URL alone, like \"console.example.com\"";
            report.error(format!("admin.hosts[{index}]"), "is not a host name", remedy);
        }
    }
}

fn check_carrier(listen: SocketAddr, has_token: bool, report: &mut Report) {
    if listen.ip().to_canonical().is_loopback() {
        return;
    }
    let api = if has_token { ", and the API with them" } else { "" };
    let message =
        format!("webhooks and media streams{api} can be reached without TLS from {}", reach(listen));
    let remedy = "write \"127.0.0.1:8080\" where the proxy is on this machine; publish the port of a container on \
                  127.0.0.1 alone";
    report.warning("server.listen", message, remedy);
}

fn check_admin(config: &Config, has_token: bool, report: &mut Report) {
    const KEY: &str = "admin.listen";
    let Some(address) = config.admin.listen.address() else { return };
    let carrier = config.server.listen;
    let is_taken = address.port() == carrier.port()
        && address.port() != 0
        && (address.ip() == carrier.ip() || address.ip().is_unspecified() || carrier.ip().is_unspecified());
    if is_taken {
        let remedy = "write another port, or \"off\"";
        let message = format!("{address} is taken by server.listen");
        if config.admin.listen == Listen::Default {
            report.warning(KEY, message + ": the API does not listen", remedy);
        } else {
            report.error(KEY, message, remedy);
        }
    }
    if address.ip().to_canonical().is_loopback() {
        return;
    }
    if has_token {
        let message =
            format!("the API can be reached without TLS from {}: its token is sent in clear", reach(address));
        report.warning(
            KEY,
            message,
            "write \"127.0.0.1:8081\", or reach it through a proxy or a tunnel with TLS",
        );
    } else {
        let message =
            format!("the API would be open to {}, since PATCHCORD_API_TOKEN is not set", reach(address));
        report.error(
            KEY,
            message,
            "write an address of this machine like \"127.0.0.1:8081\", or set the token",
        );
    }
}

fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.split('.').all(is_label) || text.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::{Place, Severity};
    use crate::secret::Secret;

    /// What is found in a file: keys and severities.
    fn found(text: &str, token: Option<&str>) -> Vec<(String, Severity)> {
        let mut config: Config = toml::from_str(text).unwrap();
        config.secrets.api_token = token.map(Secret::new);
        let mut report = Report { place: Place::NoFile, findings: Vec::new() };
        check(&config, &mut report);
        report.findings.into_iter().map(|finding| (finding.key, finding.severity)).collect()
    }

    #[rstest]
    #[case("", None, &[])]
    #[case("admin.listen = 'off'", None, &[])]
    #[case("admin.listen = '[::1]:9000'", None, &[])]
    #[case("server.listen = '0.0.0.0:8080'", None, &[("server.listen", Severity::Warning)])]
    #[case("server.listen = '[::]:8080'", Some("t"), &[("server.listen", Severity::Warning)])]
    #[case("server.listen = '127.0.0.1:8081'", None, &[("admin.listen", Severity::Warning)])]
    #[case("server.listen = '127.0.0.1:9'\nadmin.listen = '127.0.0.1:9'", None, &[("admin.listen", Severity::Error)])]
    #[case("server.listen = '127.0.0.1:0'\nadmin.listen = '127.0.0.1:0'", None, &[])]
    #[case("admin.listen = '0.0.0.0:8081'", None, &[("admin.listen", Severity::Error)])]
    #[case("admin.listen = '10.0.0.1:8081'", Some("t"), &[("admin.listen", Severity::Warning)])]
    #[case("admin.hosts = ['console.example.com', 'patch_cord', '10.0.0.1']", None, &[])]
    #[case("admin.hosts = ['a.example:8081']", None, &[("admin.hosts[0]", Severity::Error)])]
    #[case("admin.hosts = ['a', 'https://a.example']", None, &[("admin.hosts[1]", Severity::Error)])]
    #[case("admin.hosts = ['']", None, &[("admin.hosts[0]", Severity::Error)])]
    fn what_is_open_to_others_is_found(
        #[case] text: &str,
        #[case] token: Option<&str>,
        #[case] expected: &[(&str, Severity)],
    ) {
        let expected: Vec<_> =
            expected.iter().map(|(key, severity)| ((*key).to_owned(), *severity)).collect();
        assert_eq!(found(text, token), expected);
    }
}
