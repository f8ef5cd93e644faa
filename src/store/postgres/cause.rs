//! Why there is no connection to Postgres, in words that say what to do.

use std::io;

/// SQLSTATE codes that a server or a pooler refuses a connection with
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const INVALID_PASSWORD: &str = "28P01";
const INVALID_AUTHORISATION: &str = "28000";
const NO_DATABASE: &str = "3D000";
const TOO_MANY_CONNECTIONS: &str = "53300";
const CANNOT_CONNECT_NOW: &str = "57P03";

/// One sentence without the address and without the password.
pub(super) fn cause(error: &sqlx::Error) -> String {
    if let sqlx::Error::Io(error) = error {
        return of_socket(error);
    }
    if let sqlx::Error::Tls(error) = error {
        return of_tls(&error.to_string());
    }
    let Some(refusal) = error.as_database_error() else {
        return error.to_string();
    };
    let message = refusal.message();
    match refusal.code().as_deref() {
        Some(INVALID_PASSWORD) => format!("the user or the password is wrong ({message})"),
        Some(INVALID_AUTHORISATION) => format!("the server does not let this user in ({message})"),
        Some(NO_DATABASE) => format!("the database is missing ({message}): create it, or correct its name"),
        Some(TOO_MANY_CONNECTIONS) => format!("the server has no connection left ({message})"),
        Some(CANNOT_CONNECT_NOW) => format!("the server starts or stops ({message})"),
        Some(_) | None => message.to_owned(),
    }
}

fn of_socket(error: &io::Error) -> String {
    let is = |kinds: &[io::ErrorKind]| kinds.contains(&error.kind());
    if is(&[io::ErrorKind::ConnectionRefused]) {
        return "the connection was refused: no server listens at this address and port".to_owned();
    }
    if is(&[io::ErrorKind::NotFound]) {
        return "there is no such socket: no server runs there".to_owned();
    }
    if is(&[io::ErrorKind::PermissionDenied]) {
        return "this user may not open the socket".to_owned();
    }
    if is(&[io::ErrorKind::HostUnreachable, io::ErrorKind::NetworkUnreachable]) {
        return format!("the network does not reach it ({error})");
    }
    if is(&[io::ErrorKind::TimedOut]) {
        return "no answer in time: a firewall may drop the packets".to_owned();
    }
    if is(&[io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof, io::ErrorKind::BrokenPipe]) {
        return "the connection was closed at once: the port may be of another service".to_owned();
    }
    let text = error.to_string();
    if text.contains("lookup address") { format!("there is no such host ({text})") } else { text }
}

fn of_tls(text: &str) -> String {
    if text.contains("does not support TLS") {
        return "the server has no TLS, and sslmode asks for it: use sslmode=prefer or enable TLS".to_owned();
    }
    if text.contains("UnknownIssuer") || text.contains("CaUsedAsEndEntity") {
        let remedy = "name the certificate of its authority with sslrootcert=FILE, or use sslmode=require";
        return format!(
            "TLS: the certificate is of an authority that is not trusted here ({text}): {remedy}"
        );
    }
    if text.contains("NotValidForName") || text.contains("NameContext") {
        return format!("TLS: the certificate is for another name ({text})");
    }
    format!("TLS: {text}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::refused(io::ErrorKind::ConnectionRefused, "refused")]
    #[case::no_socket(io::ErrorKind::NotFound, "no such socket")]
    #[case::unreachable(io::ErrorKind::HostUnreachable, "does not reach")]
    #[case::no_route(io::ErrorKind::NetworkUnreachable, "does not reach")]
    #[case::silent(io::ErrorKind::TimedOut, "firewall")]
    #[case::another_service(io::ErrorKind::ConnectionReset, "another service")]
    fn what_the_socket_says_is_named(#[case] kind: io::ErrorKind, #[case] words: &str) {
        let text = cause(&sqlx::Error::Io(kind.into()));
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn a_name_that_does_not_resolve_is_named() {
        let error = io::Error::other("failed to lookup address information: Name or service not known");
        assert!(cause(&sqlx::Error::Io(error)).starts_with("there is no such host"));
    }

    #[rstest]
    #[case("server does not support TLS", "has no TLS")]
    #[case("invalid peer certificate: UnknownIssuer", "sslrootcert")]
    #[case("invalid peer certificate: NotValidForName", "another name")]
    #[case("invalid peer certificate: Expired", "Expired")]
    fn what_tls_says_is_named(#[case] text: &str, #[case] words: &str) {
        let text = cause(&sqlx::Error::Tls(text.into()));
        assert!(text.contains(words), "{text}");
    }
}
