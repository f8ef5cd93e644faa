//! The address of Postgres as hosting companies and other tools write it.
//!
//! What has one meaning is accepted: quotes and line ends around it, driver names, `jdbc:`, the key-value forms of
//! libpq and of .NET, several hosts, every spelling of `sslmode`. What has two is an error that says what to write.
//! No error holds any part of the address: it has a password.

mod pairs;

use std::fmt::Write as _;

use super::Error;

/// The parts of an address.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// Tried in this order; none: what the environment of libpq says, or this machine.
    pub(super) hosts: Vec<Host>,
    pub(super) database: Option<String>,
    pub(super) needs_primary: bool,
    pub(super) tls: Tls,
    pub(super) application_name: Option<String>,
    pub(super) options: Option<String>,
    /// Names of parameters that mean nothing here.
    pub(super) unknown: Vec<String>,
}

/// A name, an address or the folder of a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: Option<u16>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) mode: Option<Mode>,
    pub(super) authority: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
}

/// `sslmode` (<https://www.postgresql.org/docs/current/libpq-ssl.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

const NOT_A_URL: &str = "it does not begin with postgres://";
const UNESCAPED: &str = "its user or password has a character that ends that part of a URL: write / as %2F, ? as %3F, \
                         # as %23, @ as %40, : as %3A, [ as %5B, ] as %5D and % as %25";
const PLACEHOLDER: &str = "its password is still the placeholder of the page it was copied from";
const PORT: &str = "its port is not a number from 1 to 65535";
const UTF8: &str = "what is percent-encoded in it is not UTF-8";
const SSLMODE: &str = "its sslmode is none: write disable, allow, prefer, require, verify-ca or verify-full";
const SCHEMA: &str = "it names a schema other than public: give the user its schema instead, with \
                      ALTER ROLE … SET search_path";

fn fault(text: &str) -> Error {
    Error::Url(text.to_owned())
}

/// Reads an address in any of the usual forms.
pub(super) fn parse(text: &str) -> Result<Address, Error> {
    let text = bare(text);
    if text.contains(['\n', '\r', '\0']) {
        return Err(fault("it has more than one line"));
    }
    let mut address = match text.split_once("://") {
        Some((scheme, rest)) if is_postgres(scheme) => of_url(rest)?,
        Some((scheme, _))
            if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.:".contains(&byte)) =>
        {
            return Err(fault(NOT_A_URL));
        }
        Some(_) | None => pairs::parse(text)?,
    };
    if address.password.as_deref().is_some_and(is_placeholder) {
        return Err(fault(PLACEHOLDER));
    }
    address.hosts.retain(|host| !host.name.is_empty() || host.port.is_some());
    Ok(address)
}

/// Without what copying it from a file, a shell or a page left around it.
fn bare(text: &str) -> &str {
    let is_around = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | ';');
    let mut text = text.trim_matches(is_around);
    for prefix in ["export ", "DATABASE_URL=", "psql "] {
        text = text.strip_prefix(prefix).unwrap_or(text).trim_matches(is_around);
    }
    for (open, close) in [('"', '"'), ('\'', '\''), ('`', '`'), ('<', '>'), ('“', '”'), ('‘', '’')] {
        if let Some(inner) = text.strip_prefix(open).and_then(|text| text.strip_suffix(close)) {
            return inner.trim_matches(is_around);
        }
    }
    text
}

/// `postgres`, `postgresql`, in any case; behind `jdbc:`, before the name of a driver.
fn is_postgres(scheme: &str) -> bool {
    let scheme = scheme.to_ascii_lowercase();
    let scheme = scheme.strip_prefix("jdbc:").unwrap_or(&scheme);
    let (name, driver) = scheme.split_once('+').unwrap_or((scheme, ""));
    matches!(name, "postgres" | "postgresql" | "postgis" | "pgsql" | "psql")
        && driver.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_placeholder(password: &str) -> bool {
    let is_within = |open, close| password.starts_with(open) && password.ends_with(close);
    password.len() > 2 && (is_within('[', ']') || is_within('<', '>'))
        || password.len() > 2 && password.bytes().all(|byte| byte == b'*')
        || ["your-password", "your_password", "yourpassword"]
            .contains(&password.to_ascii_lowercase().as_str())
}

/// What follows `postgres://`.
fn of_url(rest: &str) -> Result<Address, Error> {
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (credentials, hosts) = match authority.rsplit_once('@') {
        Some((credentials, hosts)) => (Some(credentials), hosts),
        None => (None, authority),
    };
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    if tail.contains('#') || path.contains('@') || is_rest_of_password(credentials, hosts, query) {
        return Err(fault(if rest.contains('@') { UNESCAPED } else { "it has a #, which no address has" }));
    }
    let mut address = Address::default();
    if let Some(credentials) = credentials {
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        address.user = filled(decoded(user)?);
        address.password = password.map(decoded).transpose()?;
    }
    if address.password.as_deref().is_some_and(is_placeholder) {
        return Err(fault(PLACEHOLDER));
    }
    address.hosts = hosts.split(',').map(host).collect::<Result<_, _>>()?;
    address.database = filled(decoded(path.trim_matches('/'))?);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        address.set(&decoded(name)?, &decoded(&value.replace('+', " "))?)?;
    }
    Ok(address)
}

/// `user:pa?ss@host/calls`: what looks like parameters is the rest of the password and the host.
fn is_rest_of_password(credentials: Option<&str>, hosts: &str, query: &str) -> bool {
    let Some((before, behind)) = query.rsplit_once('@') else { return false };
    let has_port =
        hosts.rsplit_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    credentials.is_none() && (!has_port || !before.contains('=') || behind.contains('/'))
}

/// `host`, `host:port`, `[::1]:port`, `%2Fvar%2Frun`.
fn host(text: &str) -> Result<Host, Error> {
    let end_of_address = text.rfind(']').map_or(0, |bracket| bracket + 1);
    let (name, port) = match text[end_of_address..].rfind(':') {
        Some(colon) => (&text[..end_of_address + colon], &text[end_of_address + colon + 1..]),
        None => (text, ""),
    };
    Ok(Host { name: decoded(name)?, port: port_of(port)? })
}

fn port_of(text: &str) -> Result<Option<u16>, Error> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().ok().filter(|port| *port > 0).map(Some).ok_or_else(|| fault(PORT)),
    }
}

fn filled(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Percent-decoded; a % that begins no code stands for itself.
fn decoded(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let code = (*first == b'%').then(|| more.get(..2)).flatten();
        let code = code.filter(|code| code.iter().all(u8::is_ascii_hexdigit));
        let byte = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &more[2..] } else { more };
    }
    String::from_utf8(bytes).map_err(|_| fault(UTF8))
}

impl Address {
    /// Takes a parameter, by the name that any of the usual drivers has for it.
    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let name = name.trim().to_ascii_lowercase();
        let value = value.trim();
        match name.as_str() {
            "user" | "username" | "user id" | "userid" | "uid" => self.user = filled(value.to_owned()),
            "password" | "pwd" => self.password = Some(value.to_owned()),
            "dbname" | "database" | "initial catalog" => self.database = filled(value.to_owned()),
            "host" | "server" | "data source" | "hostaddr" => self.set_hosts(value),
            "port" => return self.set_ports(value),
            "application_name" | "application name" | "applicationname" => {
                self.application_name = filled(value.to_owned());
            }
            "options" => self.options = filled(value.to_owned()),
            "target_session_attrs" | "targetservertype" | "target session attributes" => {
                self.needs_primary = matches!(value, "read-write" | "primary" | "master");
            }
            "schema" | "currentschema" | "search_path" | "search path" => {
                if !matches!(value.trim_matches('"'), "" | "public") {
                    return Err(fault(SCHEMA));
                }
            }
            name => return self.set_tls(name, value),
        }
        Ok(())
    }

    /// `host` as a parameter takes the place of the host before the path.
    fn set_hosts(&mut self, value: &str) {
        let ports: Vec<_> = self.hosts.iter().map(|host| host.port).collect();
        let port = |index: usize| ports.get(index).or_else(|| ports.last()).copied().flatten();
        let names = value.split(',').map(|name| name.trim().to_owned());
        self.hosts = names.enumerate().map(|(index, name)| Host { name, port: port(index) }).collect();
    }

    /// One port for all hosts, or one for each.
    fn set_ports(&mut self, value: &str) -> Result<(), Error> {
        let ports = value.split(',').map(port_of).collect::<Result<Vec<_>, _>>()?;
        if self.hosts.is_empty() {
            self.hosts.push(Host::default());
        }
        for (index, host) in self.hosts.iter_mut().enumerate() {
            host.port = ports.get(index).or_else(|| ports.first()).copied().flatten();
        }
        Ok(())
    }

    fn set_tls(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let is_file = !value.is_empty() && value != "system";
        match name {
            "sslmode" | "ssl-mode" | "ssl mode" => self.tls.mode = Some(mode(value)?),
            "ssl" | "usessl" | "tls" => self.tls.mode = self.tls.mode.or(Some(mode(value)?)),
            "sslaccept" if value == "strict" => self.tls.mode = Some(Mode::VerifyFull),
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" | "root certificate" => {
                // The authorities of the system are those that are trusted without a file.
                self.tls.authority = is_file.then(|| value.to_owned());
                if value == "system" {
                    self.tls.mode = Some(Mode::VerifyFull);
                }
            }
            "sslcert" | "ssl-cert" | "ssl certificate" => self.tls.certificate = filled(value.to_owned()),
            "sslkey" | "ssl-key" | "ssl key" => self.tls.key = filled(value.to_owned()),
            name if MEANINGLESS.contains(&name) => {}
            name => self.unknown.push(name.chars().take(40).collect()),
        }
        Ok(())
    }

    /// The form that sqlx reads, of each host.
    pub(super) fn urls(&self) -> Vec<String> {
        let none = [Host::default()];
        let hosts = if self.hosts.is_empty() { &none } else { self.hosts.as_slice() };
        hosts.iter().map(|host| self.url(host)).collect()
    }

    fn url(&self, host: &Host) -> String {
        let mut url = "postgres://".to_owned();
        if let Some(user) = &self.user {
            url.push_str(&encoded(user));
        }
        if let Some(password) = &self.password {
            let _ = write!(url, ":{}", encoded(password));
        }
        if self.user.is_some() || self.password.is_some() {
            url.push('@');
        }
        let is_socket = host.name.starts_with('/');
        match host.name.as_str() {
            "" => {}
            _ if is_socket => url.push_str("localhost"),
            name => url.push_str(name),
        }
        if let Some(port) = host.port.filter(|_| !host.name.is_empty()) {
            let _ = write!(url, ":{port}");
        }
        url.push('/');
        url.push_str(&self.database.as_deref().map(encoded).unwrap_or_default());
        let port = host.port.filter(|_| host.name.is_empty()).map(|port| port.to_string());
        let parameters = [
            ("host", is_socket.then_some(host.name.as_str())),
            ("port", port.as_deref()),
            ("sslmode", self.tls.mode.map(Mode::name)),
            ("sslrootcert", self.tls.authority.as_deref()),
            ("sslcert", self.tls.certificate.as_deref()),
            ("sslkey", self.tls.key.as_deref()),
            ("options", self.options.as_deref()),
        ];
        let given = parameters.iter().filter_map(|(name, value)| Some((name, (*value)?)));
        for (index, (name, value)) in given.enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            let _ = write!(url, "{mark}{name}={}", encoded(value));
        }
        url
    }
}

/// Parameters of other drivers that change nothing here: how they pool, wait, prepare and balance.
const MEANINGLESS: [&str; 39] = [
    "binary_parameters",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "connection_limit",
    "connecttimeout",
    "fallback_application_name",
    "gssencmode",
    "include error detail",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "logintimeout",
    "max_conns",
    "maximum pool size",
    "minimum pool size",
    "passfile",
    "pgbouncer",
    "pool",
    "pool_max_conns",
    "pool_size",
    "pool_timeout",
    "pooling",
    "prepared_statement_cache_size",
    "preparethreshold",
    "replication",
    "sockettimeout",
    "socket_timeout",
    "sslaccept",
    "sslnegotiation",
    "statement-cache-capacity",
    "statement_cache_size",
    "tcp_user_timeout",
    "timeout",
    "trust server certificate",
    "uselibpqcompat",
];

fn mode(text: &str) -> Result<Mode, Error> {
    let text: String = text.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    match text.as_str() {
        "disable" | "disabled" | "false" | "0" | "off" | "no" | "none" => Ok(Mode::Disable),
        "allow" => Ok(Mode::Allow),
        "prefer" | "preferred" => Ok(Mode::Prefer),
        "require" | "required" | "true" | "1" | "on" | "yes" | "noverify" | "" => Ok(Mode::Require),
        "verifyca" => Ok(Mode::VerifyCa),
        "verifyfull" | "verifyidentity" => Ok(Mode::VerifyFull),
        _ => Err(fault(SSLMODE)),
    }
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests;
