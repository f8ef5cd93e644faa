//! Where a chunked body ends (RFC 9112, section 7.1). Accepts nothing that hyper reads otherwise.

/// The framing of the chunks is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chunks of the body cannot be read")]
pub(super) struct BadChunk;

/// Follows a chunked body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunked {
    state: State,
    /// Of the chunk whose size line is read.
    size: u64,
    digits: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    /// White space or an extension, to the end of the size line.
    Space,
    Extension,
    SizeLf,
    Data(u64),
    DataCr,
    DataLf,
    /// At the beginning of a line behind the last chunk.
    End,
    Trailer,
    TrailerLf,
    EndLf,
    Done,
}

/// A size of more digits is no size.
const DIGITS_MAX: u8 = 15;

impl Chunked {
    pub(super) const fn new() -> Self {
        Self { state: State::Size, size: 0, digits: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many of these bytes belong to the body: all, unless it ends in them.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            if let State::Data(left) = self.state {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                let left = left - taken as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data(left) };
                at += taken;
            } else {
                self.state = self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, BadChunk> {
        Ok(match (self.state, byte) {
            (State::Size, digit) if digit.is_ascii_hexdigit() => self.digit(digit)?,
            (State::Size, _) if self.digits == 0 => return Err(BadChunk),
            (State::Size | State::Space, b' ' | b'\t') => State::Space,
            (State::Size | State::Space, b';') => State::Extension,
            (State::Size | State::Space | State::Extension, b'\r') => State::SizeLf,
            (State::Extension, byte) if byte != b'\n' => State::Extension,
            (State::SizeLf, b'\n') => self.begin(),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::End, b'\r') => State::EndLf,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::End | State::Trailer, byte) if byte != b'\n' => State::Trailer,
            (State::TrailerLf, b'\n') => State::End,
            (State::EndLf, b'\n') => State::Done,
            _ => return Err(BadChunk),
        })
    }

    fn digit(&mut self, digit: u8) -> Result<State, BadChunk> {
        self.digits += 1;
        if self.digits > DIGITS_MAX {
            return Err(BadChunk);
        }
        let value = char::from(digit).to_digit(16).ok_or(BadChunk)?;
        self.size = self.size << 4 | u64::from(value);
        Ok(State::Size)
    }

    /// A size line has ended.
    fn begin(&mut self) -> State {
        self.digits = 0;
        match std::mem::take(&mut self.size) {
            0 => State::End,
            size => State::Data(size),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::empty("0\r\n\r\n")]
    #[case::chunks("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")]
    #[case::of_one_byte("1\r\na\r\n1\r\nb\r\n00\r\n\r\n")]
    #[case::extensions("5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n")]
    #[case::padded("5  \r\nhello\r\n0 \r\n\r\n")]
    #[case::trailers("A\r\n0123456789\r\n0\r\nX: y\r\nZ: 0\r\n\r\n")]
    #[case::lines_in_the_data("4\r\n\r\n\r\n\r\n0\r\n\r\n")]
    fn the_end_of_the_body_is_found_whatever_the_pieces(#[case] body: &str) {
        let text = format!("{body}GET / HTTP/1.1\r\n");
        for piece in 1..=text.len() {
            let (mut chunked, mut taken) = (Chunked::new(), 0);
            for bytes in text.as_bytes().chunks(piece) {
                taken += chunked.advance(bytes).unwrap();
            }
            assert!(chunked.is_done());
            assert_eq!(taken, body.len(), "pieces of {piece}");
        }
    }

    #[rstest]
    #[case::no_size("\r\n")]
    #[case::no_number("x\r\n")]
    #[case::a_sign("+1\r\n")]
    #[case::a_prefix("0x1\r\n")]
    #[case::a_bare_lf("1\nx\r\n")]
    #[case::a_bare_lf_in_an_extension("1;a\n")]
    #[case::longer_than_said("1\r\nxy\r\n")]
    #[case::a_bare_lf_behind_the_data("1\r\nx\n")]
    #[case::a_huge_size("1000000000000000\r\n")]
    #[case::a_bare_lf_in_a_trailer("0\r\nX: y\n\n")]
    #[case::a_bare_lf_at_the_end("0\r\n\n")]
    fn broken_chunks_are_refused(#[case] body: &str) {
        assert_eq!(Chunked::new().advance(body.as_bytes()), Err(BadChunk));
    }
}
