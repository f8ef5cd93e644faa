//! A party of a call: who calls or is called, whatever way the carrier writes it.
//!
//! Parsed once, at the webhook, in the configuration and in questions to the log. [`Party::parse`] takes every usual spelling and
//! never fails; two spellings of one party are equal and print the same. Knows nothing of agents.

use std::borrow::Cow;
use std::fmt;

/// Who calls or is called. Prints the canonical form, which is what the log keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// ITU-T E.164, with the plus.
    Number(String),
    /// A number without a plus: national, E.164 from a carrier that leaves the plus out, or with an international prefix
    /// that is a national number elsewhere (`011` of North America).
    Digits(String),
    /// A number of a network or a carrier, three to six digits.
    ShortCode(String),
    /// A SIP address whose user is no E.164 number; in small letters, without port and parameters (RFC 3261 section 19.1).
    Sip { user: String, host: String },
    /// An identity of the carrier's own clients.
    Client(String),
    /// The party withholds its number, or the network does not know it.
    Withheld,
    /// Anything else, such as an alphanumeric sender.
    Other(String),
}

/// What networks and carriers say in place of a number, letters only. Twilio, "Why am I getting calls from …";
/// RFC 3323 section 4.1.1.3, RFC 3325 section 7, 3GPP TS 24.229 ("unavailable").
const WITHHELD_WORDS: [&str; 19] = [
    "anonymous",
    "anonymouscaller",
    "anonym",
    "blocked",
    "blockedcaller",
    "callerunknown",
    "hidden",
    "nocallerid",
    "notavailable",
    "null",
    "private",
    "privatecaller",
    "privatenumber",
    "restricted",
    "unavailable",
    "undefined",
    "unknown",
    "unknowncaller",
    "withheld",
];

/// `ANONYMOUS`, `RESTRICTED`, `BLOCKED`, `UNKNOWN` and `UNAVAILABLE` on a keypad, which Twilio writes as numbers.
const WITHHELD_DIGITS: [&str; 5] = ["266696687", "7378742833", "2562533", "8656696", "86282452253"];

/// What logs of earlier versions have for a withheld party.
const WITHHELD_LOGGED: [&str; 13] = [
    "anonymous",
    "Anonymous",
    "restricted",
    "Restricted",
    "Unknown",
    "unavailable",
    "Unavailable",
    "private",
    "+266696687",
    "+7378742833",
    "+2562533",
    "+8656696",
    "+86282452253",
];

/// The longest text that is looked at; a SIP address may have this many characters and no telephone number.
const CHARACTERS_MAX: usize = 320;

impl Party {
    /// The party of a text. An empty one is withheld.
    pub fn parse(text: &str) -> Self {
        let text: String = text.chars().filter(|c| !is_mark(*c)).take(CHARACTERS_MAX).collect();
        // In a form `+` is a space: a carrier or a proxy that does not encode it loses it.
        let has_lost_plus =
            text.starts_with(' ') && text.trim().bytes().next().is_some_and(|byte| byte.is_ascii_digit());
        let (name, address) = unwrapped(text.trim());
        if is_withheld_word(name) {
            return Self::Withheld;
        }
        let address = address.trim();
        let (scheme, rest) = match address.split_once(':') {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => (String::new(), address),
        };
        match scheme.as_str() {
            "sip" | "sips" => sip(rest),
            "tel" => tel(rest),
            "whatsapp" => number_or_other(&decoded(rest)),
            "client" if is_withheld_word(rest) || rest.is_empty() => Self::Withheld,
            "client" => Self::Client(decoded(rest).into_owned()),
            _ if address.is_empty() || is_withheld_word(address) => Self::Withheld,
            _ if scheme.is_empty() && address.contains('@') => sip(address),
            _ if has_lost_plus => number_or_other(&format!("+{address}")),
            _ => number_or_other(&decoded(address)),
        }
    }

    /// The party as one that can be told from others: a withheld one cannot.
    pub const fn is_withheld(&self) -> bool {
        matches!(self, Self::Withheld)
    }

    /// Whether `self`, which an agent has, is meant by `called`, which a carrier says. The same party is; so is a number
    /// without its plus; so is a national number, if what is missing is a country code.
    pub fn is_meant_by(&self, called: &Self) -> Option<Fit> {
        if self == called {
            return Some(Fit::Same);
        }
        let (Self::Number(own), Some(digits)) = (self, called.bare_digits()) else { return None };
        let own = own.trim_start_matches('+');
        if own == digits || INTERNATIONAL_PREFIXES.iter().any(|it| digits.strip_prefix(it) == Some(own)) {
            return Some(Fit::Plusless);
        }
        let is_national = |national: &str| {
            national.len() >= NATIONAL_DIGITS_MIN && own.strip_suffix(national).is_some_and(is_country_code)
        };
        let mut significant = TRUNK_PREFIXES
            .iter()
            .filter_map(|(trunk, country)| digits.strip_prefix(trunk).filter(|_| own.starts_with(country)));
        significant.any(is_national).then_some(Fit::National)
    }

    /// Whether both texts may be of one party: for questions to the log, where the one who asks sees what was found.
    pub fn may_be(&self, other: &Self) -> bool {
        let one_way = |own: &Self, other: &Self| {
            let mut readings = own.bare_digits().into_iter().flat_map(readings);
            own.is_meant_by(other).is_some()
                || readings.any(|number| Self::Number(format!("+{number}")).is_meant_by(other).is_some())
        };
        let significant = |party: &Self| Some(party.bare_digits()?.trim_start_matches('0').to_owned());
        one_way(self, other)
            || one_way(other, self)
            || significant(self).is_some_and(|digits| significant(other) == Some(digits))
    }

    /// Digits that may be a telephone number whose plus or country code is missing.
    fn bare_digits(&self) -> Option<&str> {
        match self {
            Self::Digits(digits) => Some(digits),
            Self::Sip { user, .. } if user.len() >= NATIONAL_DIGITS_MIN => {
                user.bytes().all(|byte| byte.is_ascii_digit()).then_some(user)
            }
            Self::Number(_)
            | Self::ShortCode(_)
            | Self::Sip { .. }
            | Self::Client(_)
            | Self::Withheld
            | Self::Other(_) => None,
        }
    }

    /// Texts under which a log has this party: the canonical form, and what earlier versions wrote, as the carrier did.
    pub fn logged_as(&self, asked: &str) -> Vec<String> {
        let mut texts = vec![self.to_string()];
        match self {
            Self::Number(number) => {
                let digits = number.trim_start_matches('+');
                texts.extend([digits.to_owned(), format!(" {digits}"), format!("tel:{number}")]);
            }
            Self::Digits(digits) => texts.push(format!("+{digits}")),
            Self::Sip { user, host } => texts.push(format!("sips:{user}@{host}")),
            Self::Withheld => texts.extend(WITHHELD_LOGGED.map(str::to_owned)),
            Self::ShortCode(_) | Self::Client(_) | Self::Other(_) => {}
        }
        texts.push(asked.to_owned());
        let mut seen = std::collections::BTreeSet::new();
        texts.retain(|text| !text.is_empty() && seen.insert(text.clone()));
        texts
    }

    /// All texts that [`Party::may_be`] this one and have no separators: for an index. A national number may be of every
    /// country, and a number may be logged without its country.
    pub fn spellings(&self, asked: &str) -> Vec<String> {
        let mut texts = self.logged_as(asked);
        match self {
            Self::Number(number) => texts.extend(national_spellings(number.trim_start_matches('+'))),
            Self::Digits(_) | Self::Sip { .. } => {
                let digits = self.bare_digits();
                texts.extend(digits.into_iter().flat_map(international_spellings));
                texts.extend(digits.into_iter().flat_map(readings).flat_map(national_spellings));
            }
            Self::ShortCode(_) | Self::Client(_) | Self::Withheld | Self::Other(_) => {}
        }
        let mut seen = std::collections::BTreeSet::new();
        texts.retain(|text| seen.insert(text.clone()));
        texts
    }

    /// Characters that every text of this party has in this order; in any case, and with others between them.
    pub fn mark(&self) -> String {
        let end =
            |digits: &str| digits.chars().skip(digits.len().saturating_sub(NATIONAL_DIGITS_MIN)).collect();
        match self {
            Self::Number(text) | Self::Digits(text) | Self::ShortCode(text) => end(text),
            Self::Sip { user, host } if user.is_empty() => host.clone(),
            Self::Sip { user, .. } => self.bare_digits().map_or_else(|| user.clone(), end),
            Self::Client(name) | Self::Other(name) => name.chars().take(MARK_CHARS).collect(),
            Self::Withheld => String::new(),
        }
    }

    /// Beginnings of the SIP addresses under which earlier versions logged this number.
    pub fn logged_prefixes(&self) -> Vec<String> {
        match self {
            Self::Number(number) => vec![format!("sip:{number}@"), format!("sips:{number}@")],
            Self::Digits(_)
            | Self::ShortCode(_)
            | Self::Sip { .. }
            | Self::Client(_)
            | Self::Withheld
            | Self::Other(_) => Vec::new(),
        }
    }
}

/// How surely a party is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// A national number that this one ends with; others may too.
    National,
    /// All digits, without the plus.
    Plusless,
    Same,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(text) | Self::Digits(text) | Self::ShortCode(text) | Self::Other(text) => {
                f.write_str(text)
            }
            Self::Sip { user, host } if user.is_empty() => write!(f, "sip:{host}"),
            Self::Sip { user, host } => write!(f, "sip:{user}@{host}"),
            Self::Client(name) => write!(f, "client:{name}"),
            Self::Withheld => f.write_str("anonymous"),
        }
    }
}

/// Enough of a name to tell it from most others.
const MARK_CHARS: usize = 32;

/// Shorter digits fit the ends of too many numbers.
const NATIONAL_DIGITS_MIN: usize = 7;

/// A national number with its trunk prefix, or E.164 behind an international prefix.
const DIGITS_MAX: usize = 18;

/// What is dialled before a country code (ITU-T Operational Bulletin, "Dialling procedures"): of North America, Australia,
/// Japan and Russia. National numbers elsewhere begin so too, hence only one that fits as a whole is read like this; `00`
/// is read everywhere.
const INTERNATIONAL_PREFIXES: [&str; 4] = ["011", "0011", "010", "810"];

/// What is dialled before a national number, and in which country; empty: in several.
const TRUNK_PREFIXES: [(&str, &str); 4] = [("", ""), ("0", ""), ("8", "7"), ("06", "36")];

/// A number without its country code, as it is dialled at home and abroad.
fn national_spellings(digits: &str) -> Vec<String> {
    let abroad = ["00"].iter().chain(&INTERNATIONAL_PREFIXES).map(|prefix| format!("{prefix}{digits}"));
    let national =
        (1..=3).find_map(|len| digits.split_at_checked(len).filter(|(code, _)| is_country_code(code)));
    let national = national.filter(|(_, national)| national.len() >= NATIONAL_DIGITS_MIN);
    let at_home = national.into_iter().flat_map(|(country, national)| {
        let fits = TRUNK_PREFIXES.iter().filter(move |(_, of)| of.is_empty() || *of == country);
        fits.map(move |(trunk, _)| format!("{trunk}{national}"))
    });
    abroad.chain(at_home).collect()
}

/// Digits without a plus as the digits of E.164 numbers, if they may be all of one.
fn readings(digits: &str) -> impl Iterator<Item = &str> {
    let abroad = INTERNATIONAL_PREFIXES.iter().filter_map(|prefix| digits.strip_prefix(prefix));
    abroad.chain([digits]).filter(|number| is_e164(&format!("+{number}")))
}

/// Digits as numbers of the countries that they may be of.
fn international_spellings(digits: &str) -> Vec<String> {
    let mut numbers: Vec<_> = readings(digits).map(str::to_owned).collect();
    let codes: Vec<_> = (1..1000).map(|code| code.to_string()).filter(|code| is_country_code(code)).collect();
    for (trunk, country) in TRUNK_PREFIXES {
        let Some(national) = digits.strip_prefix(trunk) else { continue };
        if national.len() >= NATIONAL_DIGITS_MIN {
            let codes = codes.iter().filter(|code| country.is_empty() || *code == country);
            numbers.extend(codes.map(|code| format!("{code}{national}")));
        }
    }
    numbers.retain(|number| is_e164(&format!("+{number}")));
    let at_home = [digits.to_owned(), format!("0{digits}"), digits.trim_start_matches('0').to_owned()];
    let written = |number: String| ["+", "", "00", "011"].map(|prefix| format!("{prefix}{number}"));
    at_home.into_iter().chain(numbers.into_iter().flat_map(written)).collect()
}

/// ITU-T E.164: at most 15 digits, the first not zero. No country has numbers of less than seven digits.
pub fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

/// Country codes by their first digits (ITU-T E.164, list of assigned codes).
fn is_country_code(text: &str) -> bool {
    matches!(
        text.as_bytes(),
        [b'1' | b'7']
            | [b'2', b'0' | b'7']
            | [b'3', b'0'..=b'4' | b'6' | b'9']
            | [b'4', b'0' | b'1' | b'3'..=b'9']
            | [b'5', b'1'..=b'8']
            | [b'6', b'0'..=b'6']
            | [b'8', b'1' | b'2' | b'4' | b'6']
            | [b'9', b'0'..=b'5' | b'8']
            | [b'2', b'1'..=b'6' | b'8' | b'9', b'0'..=b'9']
            | [b'3', b'5' | b'7' | b'8', b'0'..=b'9']
            | [b'4', b'2', b'0'..=b'9']
            | [b'5', b'0' | b'9', b'0'..=b'9']
            | [b'6', b'7'..=b'9', b'0'..=b'9']
            | [b'8', b'0' | b'5' | b'7' | b'8', b'0'..=b'9']
            | [b'9', b'6' | b'7' | b'9', b'0'..=b'9']
    )
}

/// Display name and address of `"name" <address>;parameters` (RFC 3261 section 20.10).
fn unwrapped(text: &str) -> (&str, &str) {
    match text.split_once('<') {
        Some((name, rest)) => {
            (name.trim().trim_matches('"').trim(), rest.split_once('>').map_or(rest, |(address, _)| address))
        }
        None => ("", text),
    }
}

/// What is after `sip:`.
fn sip(rest: &str) -> Party {
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    let (user, host) = rest.rsplit_once('@').unwrap_or(("", rest));
    let host = host.split_once(';').map_or(host, |(host, _)| host);
    let host = region_free(&without_port(host).trim_end_matches('.').to_ascii_lowercase());
    let user = user.split_once(';').map_or(user, |(user, _)| user);
    let user = decoded(user.split_once(':').map_or(user, |(user, _)| user));
    if host == "invalid" || host.ends_with(".invalid") || is_withheld_word(&user) {
        return Party::Withheld;
    }
    match number(&user) {
        Some(party @ (Party::Number(_) | Party::Withheld)) => party,
        Some(Party::Digits(user)) => Party::Sip { user, host },
        Some(_) | None => Party::Sip { user: user.trim().to_lowercase(), host },
    }
}

/// What is after `tel:` (RFC 3966).
fn tel(rest: &str) -> Party {
    let mut parts = rest.split(';');
    let local = decoded(parts.next().unwrap_or_default());
    let context = parts.find_map(|part| part.trim().strip_prefix("phone-context="));
    match context.map(decoded) {
        Some(context) if context.starts_with('+') && !local.trim().starts_with('+') => {
            number_or_other(&format!("{context}{}", local.trim()))
        }
        _ => number_or_other(&local),
    }
}

fn number_or_other(text: &str) -> Party {
    number(text).unwrap_or_else(|| Party::Other(text.trim().to_owned()))
}

/// A telephone number, with the visual separators that people use.
fn number(text: &str) -> Option<Party> {
    let mut digits = String::with_capacity(text.len());
    let mut has_plus = false;
    for c in without_trunk(text.trim()).chars() {
        match digit(c) {
            Some(digit) => digits.push(digit),
            None if matches!(c, '+' | '＋') && digits.is_empty() && !has_plus => has_plus = true,
            None if is_separator(c) || is_joiner(c) => {}
            None => return None,
        }
    }
    if WITHHELD_DIGITS.contains(&digits.as_str()) {
        return Some(Party::Withheld);
    }
    // The international prefix of most countries; no national number begins with it. That of Australia begins with it
    // too; no number of North America begins with another 1.
    let rest = digits.strip_prefix("00").map(|rest| rest.strip_prefix("11").unwrap_or(rest));
    if let Some(rest) = rest.filter(|_| !has_plus)
        && is_e164(&format!("+{rest}"))
    {
        return Some(Party::Number(format!("+{rest}")));
    }
    let canonical = format!("+{digits}");
    match (has_plus, digits.len()) {
        (true, _) if is_e164(&canonical) => Some(Party::Number(canonical)),
        (false, 3..=6) => Some(Party::ShortCode(digits)),
        (false, 7..=DIGITS_MAX) => Some(Party::Digits(digits)),
        (true | false, _) => None,
    }
}

/// `+44 (0)20 …`: the trunk prefix is not dialled from abroad. In Italy it is, and written without parentheses.
fn without_trunk(text: &str) -> Cow<'_, str> {
    match text.split_once("(0)") {
        Some((before, after))
            if before.starts_with(['+', '＋']) && before.chars().any(|c| digit(c).is_some()) =>
        {
            Cow::Owned(format!("{before}{after}"))
        }
        Some(_) | None => Cow::Borrowed(text),
    }
}

/// ASCII for a decimal digit: also full-width, Arabic, Persian and Devanagari (Unicode, `Nd`).
fn digit(c: char) -> Option<char> {
    let of = |zero: u32| u32::from(c).checked_sub(zero).filter(|value| *value < 10);
    [0x30, 0xFF10, 0x0660, 0x06F0, 0x0966]
        .into_iter()
        .find_map(of)
        .and_then(|value| char::from_digit(value, 10))
}

/// What people and libraries put between digits (libphonenumber, `VALID_PUNCTUATION`).
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '-' | '.' | '(' | ')' | '/' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{30FC}')
        || matches!(c, '\u{FF08}' | '\u{FF09}' | '\u{FF0D}'..='\u{FF0F}')
}

/// Controls and marks of direction or of the order of bytes: they come along when a text is copied.
fn is_mark(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{AD}' | '\u{61C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{FEFF}')
        || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}')
}

/// Without a width, and part of words and signs, but never of numbers.
const fn is_joiner(c: char) -> bool {
    matches!(c, '\u{34F}' | '\u{180E}' | '\u{200C}' | '\u{200D}' | '\u{FE00}'..='\u{FE0F}')
}

fn is_withheld_word(text: &str) -> bool {
    let is_near = text.len() <= 32 && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    is_near && {
        let letters: String = text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
        WITHHELD_WORDS.contains(&letters.as_str())
    }
}

/// A host as a domain has it in every region (Twilio, `{name}.sip.{region}.twilio.com`).
fn region_free(host: &str) -> String {
    let labels: Vec<_> = host.split('.').collect();
    match labels[..] {
        [name, "sip", _, "twilio", "com"] => format!("{name}.sip.twilio.com"),
        _ => host.to_owned(),
    }
}

/// The colons of an IPv6 address are inside brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

/// With percent-encoded characters decoded; text that would not be UTF-8 stays as it is.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("+13125550142", "+13125550142")]
    #[case("+1 312 555 0142", "+13125550142")]
    #[case("+1 (312) 555-0142", "+13125550142")]
    #[case("+1.312.555.0142", "+13125550142")]
    #[case("+1\u{A0}312\u{2011}555\u{2013}0142", "+13125550142")]
    #[case(" 13125550142", "+13125550142")]
    #[case("%2B13125550142", "+13125550142")]
    #[case("0013125550142", "+13125550142")]
    #[case("＋13125550142", "+13125550142")]
    #[case("＋１３１２５５５０１４２", "+13125550142")]
    #[case("+１ (３１２)　５５５－０１４２", "+13125550142")]
    #[case("+\u{661}\u{663}\u{661}\u{662}\u{665}\u{665}\u{665}\u{660}\u{661}\u{664}\u{662}", "+13125550142")]
    #[case("\u{202A}+13125550142\u{202C}", "+13125550142")]
    #[case("\u{2066}+1 312 555 0142\u{2069}", "+13125550142")]
    #[case("\u{200E}+1\u{200F}3125550142", "+13125550142")]
    #[case("\u{FEFF}+13125550142", "+13125550142")]
    #[case("+1\u{200D}3125550142\u{FE0F}", "+13125550142")]
    #[case("\u{200B}+1312\u{AD}555\u{2060}0142", "+13125550142")]
    #[case("\u{A0}+1\u{A0}312\u{202F}555\u{2009}0142\u{A0}", "+13125550142")]
    #[case("sip:\u{202D}+13125550142\u{202C}@acme.example", "+13125550142")]
    #[case("+1\u{2212}312\u{2015}5550142", "+13125550142")]
    #[case("+44 (0)20 7946 0018", "+442079460018")]
    #[case("0044 20 7946 0018", "+442079460018")]
    #[case("0011 44 20 7946 0018", "+442079460018")]
    #[case("011 44 20 7946 0018", "011442079460018")]
    #[case("0113 496 0018", "01134960018")]
    #[case("tel:+13125550142", "+13125550142")]
    #[case("TEL:+1-312-555-0142;ext=5", "+13125550142")]
    #[case("tel:5550142;phone-context=+1312", "+13125550142")]
    #[case("sip:+13125550142@acme.sip.twilio.com", "+13125550142")]
    #[case("sip:+13125550142@acme.sip.us1.twilio.com;user=phone", "+13125550142")]
    #[case("sips:+13125550142@acme.sip.twilio.com:5061;transport=tls", "+13125550142")]
    #[case("SIP:%2b13125550142@acme.example", "+13125550142")]
    #[case("sip:+13125550142;npdi;rn=+1312@10.0.0.1:5060", "+13125550142")]
    #[case("\"Joe\" <sip:+13125550142@acme.example>;tag=1", "+13125550142")]
    #[case("<tel:+13125550142>", "+13125550142")]
    #[case("whatsapp:+13125550142", "+13125550142")]
    #[case("13125550142", "13125550142")]
    #[case("(312) 555-0142", "3125550142")]
    #[case("911", "911")]
    #[case("72555", "72555")]
    #[case("sip:1001@acme.sip.twilio.com", "sip:1001@acme.sip.twilio.com")]
    #[case("sip:1001:secret@acme.sip.ie1.twilio.com:5061;transport=tls?x=y", "sip:1001@acme.sip.twilio.com")]
    #[case("sips:Front.Desk@ACME.example.", "sip:front.desk@acme.example")]
    #[case("sip:AcmeBank@Host.Example", "sip:acmebank@host.example")]
    #[case("sip:(312)555-0142@acme.example", "sip:3125550142@acme.example")]
    #[case("1001@acme.example", "sip:1001@acme.example")]
    #[case("sip:support@[2001:db8::1]:5061", "sip:support@[2001:db8::1]")]
    #[case("sip:acme.example", "sip:acme.example")]
    #[case("client:Alice", "client:Alice")]
    #[case("Client:alice%20b", "client:alice b")]
    #[case("client:\u{645}\u{6CC}\u{200C}\u{62E}", "client:\u{645}\u{6CC}\u{200C}\u{62E}")]
    #[case("ACME", "ACME")]
    #[case("+1234567890123456", "+1234567890123456")]
    fn a_party_has_one_spelling(#[case] text: &str, #[case] canonical: &str) {
        let party = Party::parse(text);
        assert_eq!(party.to_string(), canonical);
        assert_eq!(Party::parse(canonical), party, "the canonical form is the same party");
    }

    #[rstest]
    fn a_withheld_party_is_known_in_every_spelling(
        #[values(
            "",
            " ",
            "anonymous",
            "Anonymous",
            "ANONYMOUS",
            "Restricted",
            "Unknown",
            "unavailable",
            "private",
            "Private Number",
            "No Caller ID",
            "+266696687",
            "266696687",
            "+7378742833",
            "+2562533",
            "+8656696",
            "+86282452253",
            "client:Anonymous",
            "client:",
            "sip:anonymous@anonymous.invalid",
            "\"Anonymous\" <sip:c8oqz84zk7z@privacy.example>;tag=9",
            "sip:Restricted@acme.sip.twilio.com",
            "sip:+266696687@acme.sip.twilio.com",
            "sip:unavailable@unknown.invalid",
            "sips:x@anonymous.invalid:5061",
            "tel:+266696687",
            "anonymous@anonymous.invalid",
            "<sip:anonymous@10.0.0.1>"
        )]
        text: &str,
    ) {
        assert_eq!(Party::parse(text), Party::Withheld);
    }

    #[rstest]
    #[case("+13125550142", "13125550142", Some(Fit::Plusless))]
    #[case("+13125550142", "sip:13125550142@acme.example", Some(Fit::Plusless))]
    #[case("+13125550142", "3125550142", Some(Fit::National))]
    #[case("+493012345678", "03012345678", Some(Fit::National))]
    #[case("+390612345678", "0612345678", Some(Fit::National))]
    #[case("+13125550142", "01113125550142", Some(Fit::Plusless))]
    #[case("+13125550142", "011 1 312-555-0142", Some(Fit::Plusless))]
    #[case("+13125550142", "0013125550142", Some(Fit::Same))]
    #[case("+442079460018", "011442079460018", Some(Fit::Plusless))]
    #[case("+442079460018", "sip:011442079460018@acme.example", Some(Fit::Plusless))]
    #[case("+442079460018", "tel:011-44-20-7946-0018", Some(Fit::Plusless))]
    #[case("+442079460018", "0011442079460018", Some(Fit::Same))]
    #[case("+442079460018", "010442079460018", Some(Fit::Plusless))]
    #[case("+442079460018", "810442079460018", Some(Fit::Plusless))]
    #[case("+441134960018", "0113 496 0018", Some(Fit::National))]
    #[case("+390114960018", "0114960018", Some(Fit::National))]
    #[case("+74951234567", "84951234567", Some(Fit::National))]
    #[case("+3612345678", "0612345678", Some(Fit::National))]
    #[case("+13125550142", "sip:(312)555-0142@acme.example", Some(Fit::National))]
    #[case("+13125550142", "０１１１３１２５５５０１４２", Some(Fit::Plusless))]
    #[case("+13125550142", "\u{202D}3125550142\u{202C}", Some(Fit::National))]
    #[case("+442079460018", "011442079460019", None)]
    #[case("+14155550123", "84155550123", None)]
    #[case("sip:acmebank@host.example", "sip:AcmeBank@HOST.example:5061;user=ip", Some(Fit::Same))]
    #[case("+13125550142", "5550142", None)]
    #[case("+13125550142", "550142", None)]
    #[case("+13125550142", "23125550142", None)]
    #[case("+13125550142", "sip:550142@acme.example", None)]
    #[case("+13125550142", "+3125550142", None)]
    #[case("sip:1001@acme.example", "sip:1001@other.example", None)]
    #[case("sip:1001@acme.sip.twilio.com", "sip:1001@acme.sip.us1.twilio.com;user=ip", Some(Fit::Same))]
    fn a_number_is_meant_by_its_digits(#[case] own: &str, #[case] called: &str, #[case] fit: Option<Fit>) {
        assert_eq!(Party::parse(own).is_meant_by(&Party::parse(called)), fit);
    }

    #[test]
    fn a_log_is_asked_for_what_earlier_versions_wrote() {
        let texts = Party::parse("tel:+1-312-555-0142").logged_as("+1 312 555 0142");
        let expected = ["+13125550142", "13125550142", " 13125550142", "tel:+13125550142", "+1 312 555 0142"];
        assert_eq!(texts, expected);
        assert!(Party::parse("private").logged_as("private").contains(&"+266696687".to_owned()));
    }

    const SPELLINGS: [&str; 14] = [
        "+442079460018",
        "442079460018",
        "+44 20 7946 0018",
        "+44 (0)20 7946 0018",
        "00442079460018",
        "011442079460018",
        "020 7946 0018",
        "2079460018",
        "tel:+44-20-7946-0018",
        "sip:+442079460018@acme.example;user=phone",
        "sip:442079460018@acme.example",
        "sip:02079460018@other.example",
        "\u{202D}+44 20 7946 0018\u{202C}",
        "＋４４２０７９４６００１８",
    ];

    #[test]
    fn a_question_in_any_spelling_means_a_row_in_any_spelling() {
        for (asked, logged) in SPELLINGS.iter().flat_map(|asked| SPELLINGS.map(|logged| (asked, logged))) {
            let party = Party::parse(asked);
            assert!(party.may_be(&Party::parse(logged)), "{asked} {logged}");
            let mark: Vec<_> = party.mark().chars().collect();
            let ascii: String = logged.chars().map(|c| digit(c).unwrap_or(c)).collect();
            let mut left = ascii.chars();
            assert!(mark.iter().all(|wanted| left.any(|c| c == *wanted)), "{mark:?} is in {logged}");
        }
    }

    #[rstest]
    #[case("+442079460018", "+442079460019")]
    #[case("+442079460018", "+12079460018")]
    #[case("+442079460018", "79460018")]
    #[case("2079460018", "2079460019")]
    #[case("sip:1001@acme.example", "sip:1001@other.example")]
    #[case("anonymous", "+442079460018")]
    #[case("client:alice", "client:bob")]
    fn other_parties_are_not_meant(#[case] asked: &str, #[case] logged: &str) {
        assert!(!Party::parse(asked).may_be(&Party::parse(logged)));
        assert!(!Party::parse(logged).may_be(&Party::parse(asked)));
    }

    #[test]
    fn an_index_is_asked_for_what_has_no_separators() {
        let plain = [
            "+442079460018",
            "442079460018",
            "00442079460018",
            "011442079460018",
            "02079460018",
            "2079460018",
        ];
        for asked in SPELLINGS {
            let texts = Party::parse(asked).spellings(asked);
            let wanted = ["+442079460018", "442079460018", "02079460018", "2079460018"];
            assert!(wanted.iter().all(|text| texts.contains(&(*text).to_owned())), "{asked}: {texts:?}");
            assert!(texts.len() < 2500, "{asked}: {}", texts.len());
        }
        let texts = Party::parse(plain[0]).spellings(plain[0]);
        assert!(
            plain.iter().all(|text| texts.contains(&(*text).to_owned())) && texts.len() < 20,
            "{texts:?}"
        );
    }

    proptest! {
        #[test]
        fn every_text_is_a_party_that_keeps_its_form(text in ".{0,60}|(sip|tel|client):.{0,30}") {
            let party = Party::parse(&text);
            let printed = party.to_string();
            if matches!(party, Party::Number(_) | Party::Digits(_) | Party::ShortCode(_) | Party::Withheld) {
                prop_assert_eq!(Party::parse(&printed), party);
            }
        }
    }
}
