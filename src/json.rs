//! JSON as peers write it, read in one pass and never refused as a whole.
//!
//! A [`Reader`] stands before a value; the one who knows what it should be takes it, and gets it, nothing for `null`, or
//! [`Odd`]. Whatever is not taken is skipped without recursion. Borrows from the message: what has no escapes allocates
//! nothing. Beyond JSON it reads several values in one message, a byte order mark, NULs and words in the place of
//! literals; text that is cut off is read up to there.

use std::borrow::Cow;

use memchr::memchr2;

/// A value of a kind that cannot be read as what is wanted. It is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Odd;

/// A message, and the place in it.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Something was no JSON, or the end is missing.
    is_broken: bool,
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, is_broken: false }
    }

    /// Whether something so far was no JSON and was passed over.
    pub const fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Goes to the next object at the top, also in a list; `false` at the end.
    pub fn next_object(&mut self) -> bool {
        loop {
            match self.peek() {
                None => return false,
                Some(b'{') => return true,
                Some(b'[' | b']' | b',' | 0 | 0x1E | 0xEF | 0xBB | 0xBF) => self.at += 1,
                Some(_) => {
                    self.is_broken = true;
                    self.skip();
                }
            }
        }
    }

    /// Hands every member of an object to `each`, which may take its value. Names come in lower case without `_` and
    /// `-`, so `turnComplete` and `turn_complete` are one name. A list of objects is read as one object with the
    /// members of all.
    pub fn members(&mut self, mut each: impl FnMut(&mut Self, &[u8])) -> Result<(), Odd> {
        self.objects(&mut |reader: &mut Self, name: Written<'a>| each(reader, name.known(&mut [0; NAME_MAX])))
    }

    /// Like [`Reader::members`], with the names as they are written.
    pub fn entries(&mut self, mut each: impl FnMut(&mut Self, Cow<'a, str>)) -> Result<(), Odd> {
        self.objects(&mut |reader: &mut Self, name: Written<'a>| each(reader, name.text()))
    }

    fn objects(&mut self, each: &mut impl FnMut(&mut Self, Written<'a>)) -> Result<(), Odd> {
        if self.peek() != Some(b'[') {
            return self.object(each);
        }
        let mut read = Err(Odd);
        self.items(|reader| {
            if reader.object(each).is_ok() {
                read = Ok(());
            }
        });
        read
    }

    fn object(&mut self, each: &mut impl FnMut(&mut Self, Written<'a>)) -> Result<(), Odd> {
        if !self.enter(b'{')? {
            return Ok(());
        }
        loop {
            match self.peek() {
                None => {
                    self.is_broken = true;
                    return Ok(());
                }
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b',') => self.at += 1,
                Some(_) => {
                    let name = self.name();
                    if self.peek() == Some(b':') {
                        self.at += 1;
                        self.take_or_skip(|reader| each(reader, name));
                    } else {
                        self.is_broken = true;
                    }
                }
            }
        }
    }

    /// Hands every item of a list to `each`; what is no list is the only item of one. `null` has none.
    pub fn items(&mut self, mut each: impl FnMut(&mut Self)) {
        match self.enter(b'[') {
            Ok(true) => {}
            Ok(false) => return,
            Err(Odd) => return each(self),
        }
        loop {
            match self.peek() {
                None => {
                    self.is_broken = true;
                    return;
                }
                Some(b']') => {
                    self.at += 1;
                    return;
                }
                Some(b',') => self.at += 1,
                Some(b'}' | b':') => {
                    self.is_broken = true;
                    self.at += 1;
                }
                Some(_) => self.take_or_skip(&mut each),
            }
        }
    }

    /// Text; numbers and truth values as they are written. Lone surrogates, NULs and bytes that are no UTF-8 become
    /// U+FFFD.
    pub fn text(&mut self) -> Result<Option<Cow<'a, str>>, Odd> {
        if self.is_text() {
            return Ok(Some(self.string().text()));
        }
        Ok(self.bytes()?.map(lossy))
    }

    /// The same as bytes, without a look at what they mean.
    pub fn bytes(&mut self) -> Result<Option<Cow<'a, [u8]>>, Odd> {
        match self.peek() {
            Some(b'"') => match self.string() {
                Written { bytes, has_escapes: false } => Ok(Some(bytes.into())),
                escaped => Ok(Some(escaped.text().into_owned().into_bytes().into())),
            },
            Some(b'{' | b'[') | None => self.odd(),
            Some(_) => match self.scalar() {
                word if NULLS.contains(&word) => Ok(None),
                word => Ok(Some(word.into())),
            },
        }
    }

    /// A truth value: also as a number, or as text.
    pub fn boolean(&mut self) -> Result<Option<bool>, Odd> {
        let Some(text) = self.text()? else { return Ok(None) };
        let is = |words: &[&str]| words.iter().any(|word| text.trim().eq_ignore_ascii_case(word));
        if is(&["true", "1", "yes"]) {
            Ok(Some(true))
        } else if is(&["false", "0", "no", ""]) {
            Ok(Some(false))
        } else {
            Err(Odd)
        }
    }

    /// A count: also with a fraction, or as text. What is beyond the type becomes its greatest value.
    pub fn count(&mut self) -> Result<Option<u64>, Odd> {
        let Some(text) = self.text()? else { return Ok(None) };
        let text = text.trim();
        let rounded = || text.parse::<f64>().ok().filter(|number| *number >= 0.0).map(|number| number as u64);
        text.parse().ok().or_else(rounded).map(Some).ok_or(Odd)
    }

    /// Passes over the value and gives it as it is written.
    pub fn raw(&mut self) -> &'a [u8] {
        self.peek();
        let start = self.at;
        self.skip();
        &self.bytes[start..self.at]
    }

    pub fn is_object(&mut self) -> bool {
        self.peek() == Some(b'{')
    }

    pub fn is_list(&mut self) -> bool {
        self.peek() == Some(b'[')
    }

    pub fn is_text(&mut self) -> bool {
        self.peek() == Some(b'"')
    }

    pub fn is_null(&mut self) -> bool {
        let is_word = matches!(self.peek(), Some(b'n' | b'N' | b'u'));
        is_word && NULLS.iter().any(|null| self.bytes[self.at..].starts_with(null))
    }

    /// Passes over one value.
    pub fn skip(&mut self) {
        match self.peek() {
            None => {}
            Some(b'"') => drop(self.string()),
            Some(b'{' | b'[') => self.skip_nested(),
            Some(_) => drop(self.scalar()),
        }
    }

    /// The next byte that is not white space. Most messages have none.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte > b' ' => Some(*byte),
            Some(_) | None => self.peek_behind_space(),
        }
    }

    fn peek_behind_space(&mut self) -> Option<u8> {
        let rest = &self.bytes[self.at..];
        let space = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        self.at += space.unwrap_or(rest.len());
        self.bytes.get(self.at).copied()
    }

    /// Enters a container; `false` for `null`. Another value stays where it is if a list was wanted, and is passed
    /// over if an object was.
    fn enter(&mut self, open: u8) -> Result<bool, Odd> {
        match self.peek() {
            Some(byte) if byte == open => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if self.is_null() => {
                self.skip();
                Ok(false)
            }
            Some(_) | None if open == b'{' => self.odd(),
            Some(_) | None => Err(Odd),
        }
    }

    fn odd<T>(&mut self) -> Result<T, Odd> {
        self.skip();
        Err(Odd)
    }

    fn take_or_skip(&mut self, take: impl FnOnce(&mut Self)) {
        self.peek();
        let before = self.at;
        take(self);
        if self.at == before {
            self.skip();
        }
    }

    fn name(&mut self) -> Written<'a> {
        if self.peek() == Some(b'"') {
            self.string()
        } else {
            Written { bytes: self.scalar(), has_escapes: false }
        }
    }

    /// A string, at its opening quote.
    fn string(&mut self) -> Written<'a> {
        let start = self.at + 1;
        let mut has_escapes = false;
        let mut at = start;
        loop {
            let Some(found) = memchr2(b'"', b'\\', &self.bytes[at.min(self.bytes.len())..]) else {
                self.is_broken = true;
                self.at = self.bytes.len();
                return Written { bytes: &self.bytes[start..], has_escapes };
            };
            at += found;
            if self.bytes[at] == b'"' {
                self.at = at + 1;
                return Written { bytes: &self.bytes[start..at], has_escapes };
            }
            has_escapes = true;
            at += 2;
        }
    }

    /// A number, a literal or a word in the place of one. Takes one byte at least.
    fn scalar(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        let is_end = |byte: &u8| {
            matches!(byte, b',' | b':' | b'"' | b'{' | b'}' | b'[' | b']' | b' ' | b'\t' | b'\r' | b'\n' | 0)
        };
        let len = rest.iter().position(is_end).unwrap_or(rest.len()).max(1).min(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn skip_nested(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at) {
                None => {
                    self.is_broken = true;
                    return;
                }
                Some(b'"') => {
                    self.string();
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }
}

/// Text with U+FFFD for what is no UTF-8.
fn lossy(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}

/// Nothing, as JSON writes it and as others do.
const NULLS: [&[u8]; 3] = [b"null", b"None", b"undefined"];

/// Longer names are not known.
const NAME_MAX: usize = 40;

/// A string as it is written, without its quotes.
struct Written<'a> {
    bytes: &'a [u8],
    has_escapes: bool,
}

impl<'a> Written<'a> {
    fn text(&self) -> Cow<'a, str> {
        if self.has_escapes {
            return self.unescaped().into();
        }
        match String::from_utf8_lossy(self.bytes) {
            Cow::Borrowed(text) if text.contains('\0') => text.replace('\0', "\u{FFFD}").into(),
            text @ (Cow::Borrowed(_) | Cow::Owned(_)) => text,
        }
    }

    /// The name of a member as [`Reader::members`] tells it; empty if it is too long to be known.
    #[inline]
    fn known<'n>(&self, room: &'n mut [u8; NAME_MAX]) -> &'n [u8]
    where
        'a: 'n,
    {
        if self.bytes.len() > NAME_MAX {
            return &[];
        }
        if self.bytes.iter().all(u8::is_ascii_lowercase) {
            return self.bytes;
        }
        let mut len = 0;
        for byte in self.bytes {
            room[len] = byte.to_ascii_lowercase();
            len += usize::from(!matches!(byte, b'_' | b'-'));
        }
        &room[..len]
    }

    fn unescaped(&self) -> String {
        let mut text = String::with_capacity(self.bytes.len());
        let mut rest = self.bytes;
        while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
            text.push_str(&String::from_utf8_lossy(&rest[..at]));
            let (escaped, len) = escape(&rest[at + 1..]);
            text.push(escaped);
            rest = &rest[at + 1 + len..];
        }
        text.push_str(&String::from_utf8_lossy(rest));
        text
    }
}

/// The character of an escape, and the bytes of it behind the backslash.
fn escape(rest: &[u8]) -> (char, usize) {
    match rest.first() {
        None => (char::REPLACEMENT_CHARACTER, 0),
        Some(b'n') => ('\n', 1),
        Some(b't') => ('\t', 1),
        Some(b'r') => ('\r', 1),
        Some(b'b') => ('\u{8}', 1),
        Some(b'f') => ('\u{C}', 1),
        // As JavaScript and Python write a byte.
        Some(b'x') => match rest.get(1..3).and_then(hexadecimal) {
            Some(scalar) => (char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), 3),
            None => ('x', 1),
        },
        Some(b'u') => match (unit(&rest[1..]), unit(rest.get(7..).unwrap_or_default())) {
            (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) if rest[5..].starts_with(b"\\u") => {
                let scalar = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                (char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), 11)
            }
            (Some(0), _) => (char::REPLACEMENT_CHARACTER, 5),
            (Some(scalar), _) => (char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), 5),
            (None, _) => (char::REPLACEMENT_CHARACTER, 1),
        },
        // What needs no escape, and what is none, stands for itself.
        Some(&byte) if byte.is_ascii() => (char::from(byte), 1),
        Some(_) => (char::REPLACEMENT_CHARACTER, 0),
    }
}

/// Four hexadecimal digits.
fn unit(digits: &[u8]) -> Option<u32> {
    digits.get(..4).and_then(hexadecimal)
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let is_number = digits.iter().all(u8::is_ascii_hexdigit);
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests;
