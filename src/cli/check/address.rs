//! Whether the address of the server is free.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::part::Part;
use crate::config::Config;
use crate::server::admin::Listen;
use crate::store::inspect;

pub(super) fn check(config: &Config) -> Part {
    let mut part = Part::new(config);
    let is_running = inspect::is_in_use(&config.store.path);
    one("server.listen", config.server.listen, is_running, &mut part);
    match config.admin.listen {
        Listen::Address(address) => one("admin.listen", address, is_running, &mut part),
        // A port that both settings name is a finding of the settings.
        Listen::Default if config.server.listen.port() != Listen::DEFAULT.port() => {
            default_one(Listen::DEFAULT, is_running, &mut part);
        }
        Listen::Default | Listen::Off => {}
    }
    part
}

/// The default address of the API may be taken: `serve` goes on without it.
fn default_one(address: SocketAddr, is_running: bool, part: &mut Part) {
    let Err(error) = TcpListener::bind(address) else { return };
    let (message, remedy) = if is_running {
        (
            format!("another process listens on {address}, a running server perhaps"),
            "stop that one before this one is started",
        )
    } else {
        (
            format!(
                "cannot listen on {address}, the default ({error}): `serve` starts, and the API does not listen there"
            ),
            "stop what listens there, write another port, or \"off\"",
        )
    };
    part.warning("admin.listen", message, remedy);
}

/// Binds the address for a moment. Where a server runs on the same log, it is that one which has the address.
fn one(key: &str, address: SocketAddr, is_running: bool, part: &mut Part) {
    let Err(error) = TcpListener::bind(address) else { return };
    let is = |kind: io::ErrorKind| error.kind() == kind;
    if is(io::ErrorKind::AddrInUse) && is_running {
        let message = format!("another process listens on {address}, a running server perhaps");
        part.warning(key, message, "stop that one before this one is started");
    } else if is(io::ErrorKind::AddrInUse) {
        let message = format!("another process listens on {address}");
        part.error(key, message, "stop that one, or write another port");
    } else if is(io::ErrorKind::PermissionDenied) {
        let message = format!("this user may not listen on {address}");
        part.error(key, message, "write a port above 1023, or give the program CAP_NET_BIND_SERVICE");
    } else {
        let message = format!("cannot listen on {address} ({error})");
        part.error(key, message, "write an address of this machine");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Severity;

    #[test]
    fn an_address_that_is_taken_is_an_error_unless_a_server_runs_there() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        for (is_running, severity) in [(false, Severity::Error), (true, Severity::Warning)] {
            let mut part = Part::new(&Config::default());
            one("server.listen", address, is_running, &mut part);
            assert_eq!(part.all()[0].severity, severity);
        }
    }

    #[test]
    fn a_default_address_of_the_api_that_is_taken_is_a_warning() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        for is_running in [false, true] {
            let mut part = Part::new(&Config::default());
            default_one(taken.local_addr().unwrap(), is_running, &mut part);
            let [finding] = part.all() else { panic!("{:?}", part.all()) };
            assert_eq!((finding.severity, finding.key.as_str()), (Severity::Warning, "admin.listen"));
        }
        let mut part = Part::new(&Config::default());
        default_one("127.0.0.1:0".parse().unwrap(), false, &mut part);
        assert!(part.all().is_empty(), "{:?}", part.all());
    }

    #[test]
    fn an_address_of_another_machine_is_an_error() {
        let mut part = Part::new(&Config::default());
        one("server.listen", "192.0.2.1:8080".parse().unwrap(), false, &mut part);
        assert_eq!(part.all()[0].severity, Severity::Error);
    }
}
