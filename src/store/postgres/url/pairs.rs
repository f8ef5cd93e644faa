//! Addresses that are lists of names and values: libpq's `host=… user=…` and .NET's `Host=…;Username=…`.

use std::iter::Peekable;
use std::str::Chars;

use super::{Address, Error, NOT_A_URL, fault};

const QUOTE: &str = "a value in it has a quote that is not closed";

/// Reads `name=value` pairs, which spaces or semicolons divide.
pub(super) fn parse(text: &str) -> Result<Address, Error> {
    let pairs = if is_dotnet(text) { of_dotnet(text)? } else { of_libpq(text)? };
    let is_address = |name: &str| {
        ["host", "hostaddr", "server", "data source", "dbname", "database", "user", "service"]
            .contains(&name.to_ascii_lowercase().as_str())
    };
    if !pairs.iter().any(|(name, _)| is_address(name)) {
        return Err(fault(NOT_A_URL));
    }
    let mut address = Address::default();
    // A port belongs to the hosts, whichever is written first.
    let (ports, others): (Vec<_>, Vec<_>) =
        pairs.iter().partition(|(name, _)| name.eq_ignore_ascii_case("port"));
    for (name, value) in others.into_iter().chain(ports) {
        address.set(name, value)?;
    }
    Ok(address)
}

/// Semicolons divide the pairs, unless names follow spaces.
fn is_dotnet(text: &str) -> bool {
    let dense = text.to_ascii_lowercase().replace("; ", ";");
    dense.contains(';')
        && ![" host=", " user=", " dbname=", " password=", " port="].iter().any(|name| dense.contains(name))
}

fn of_dotnet(text: &str) -> Result<Vec<(String, String)>, Error> {
    let pairs = text.split(';').filter(|pair| !pair.trim().is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').ok_or_else(|| fault(NOT_A_URL))?;
        let value = value.trim();
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Ok((name.trim().to_owned(), bare.unwrap_or(value).to_owned()))
    });
    pairs.collect()
}

/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE>
fn of_libpq(text: &str) -> Result<Vec<(String, String)>, Error> {
    let mut pairs = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(pairs);
        }
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=') {
            name.push(c);
        }
        if chars.next().is_none() {
            return Err(fault(NOT_A_URL));
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        pairs.push((name.trim().to_owned(), value(&mut chars)?));
    }
}

/// In single quotes, or up to a space; a backslash takes the next character as it is.
fn value(chars: &mut Peekable<Chars<'_>>) -> Result<String, Error> {
    let is_quoted = chars.next_if_eq(&'\'').is_some();
    let mut value = String::new();
    while let Some(c) = chars.next_if(|c| is_quoted || !c.is_whitespace()) {
        match c {
            '\'' if is_quoted => return Ok(value),
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    if is_quoted { Err(fault(QUOTE)) } else { Ok(value) }
}
