//! Splitting a stream of bytes into lines, and lines into server-sent events. Pure: bytes in, text out.

use serde_json::Value;

/// The longest line. A piece of a reply is a few hundred bytes; a provider that sends its speech in one line of
/// base64 sends a sentence, not a megabyte's worth of minutes.
const LINE_BYTES_MAX: usize = 4 << 20;

/// Why a stream cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("a line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
}

/// Lines that end with LF, CR or CRLF. A CR ends its line at once; the LF of the same CRLF may come in the next piece.
/// What comes after the last end of line may have been cut off.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Bytes of the buffer that were given out.
    taken: usize,
    /// Bytes of the buffer that are known to hold no further end of line.
    searched: usize,
    /// The last line ended with CR: an LF that follows belongs to it.
    is_after_cr: bool,
}

impl Lines {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.searched -= self.taken;
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line, without its end. Bytes that are no UTF-8 become U+FFFD.
    pub fn next_line(&mut self) -> Result<Option<String>, Error> {
        self.pass_line_feed();
        let end = self.buffer[self.searched..].iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let end = end.map(|at| self.searched + at);
        self.searched = end.map_or(self.buffer.len(), |end| end + 1);
        if end.unwrap_or(self.buffer.len()) - self.taken > LINE_BYTES_MAX {
            return Err(Error::TooLong);
        }
        let Some(end) = end else { return Ok(None) };
        let line = text(&self.buffer[self.taken..end]);
        self.taken = end + 1;
        self.is_after_cr = self.buffer[end] == b'\r';
        Ok(Some(line))
    }

    /// What came after the last end of line, to be asked when nothing more comes.
    pub fn finish(&mut self) -> String {
        self.pass_line_feed();
        let rest = text(&self.buffer[self.taken..]);
        self.taken = self.buffer.len();
        self.searched = self.taken;
        rest
    }

    /// The second half of a CRLF is no line of its own.
    fn pass_line_feed(&mut self) {
        let Some(next) = self.buffer.get(self.taken).filter(|_| self.is_after_cr) else { return };
        if *next == b'\n' {
            self.taken += 1;
            self.searched = self.searched.max(self.taken);
        }
        self.is_after_cr = false;
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// The data of server-sent events (WHATWG HTML, section 9.2.6). Ids and comments are passed over, and names too, which
/// the providers repeat in the data; but the data of an event `error` is given as the `error` of an object.
#[derive(Debug, Default)]
pub struct Events {
    lines: Lines,
    event: Event,
}

#[derive(Debug, Default)]
struct Event {
    is_error: bool,
    data: Option<String>,
}

impl Events {
    pub fn push(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// The data of the next whole event.
    pub fn next_event(&mut self) -> Result<Option<String>, Error> {
        while let Some(line) = self.lines.next_line()? {
            if !line.is_empty() {
                self.event.take(&line)?;
            } else if let Some(data) = std::mem::take(&mut self.event).data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The data of the event without its empty line, to be asked when nothing more comes: several servers end
    /// their streams like that, and a cut one shows by what is in it.
    pub fn finish(&mut self) -> Result<Option<String>, Error> {
        let line = self.lines.finish();
        self.event.take(&line)?;
        Ok(std::mem::take(&mut self.event).data())
    }
}

impl Event {
    fn take(&mut self, line: &str) -> Result<(), Error> {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field.trim_start_matches('\u{FEFF}') {
            "data" => append(&mut self.data, value),
            "event" => {
                self.is_error = value.trim() == "error";
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn data(self) -> Option<String> {
        let data = self.data?;
        if !self.is_error {
            return Some(data);
        }
        let value = serde_json::from_str(&data).unwrap_or(Value::String(data));
        let is_told = value.get("error").is_some();
        Some(if is_told { value } else { serde_json::json!({ "error": value }) }.to_string())
    }
}

/// Several lines of data are one text with line ends between them.
fn append(data: &mut Option<String>, value: &str) -> Result<(), Error> {
    let Some(data) = data else {
        *data = Some(value.to_owned());
        return Ok(());
    };
    if data.len() + value.len() > LINE_BYTES_MAX {
        return Err(Error::TooLong);
    }
    data.push('\n');
    data.push_str(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn events(chunks: &[&[u8]]) -> Result<Vec<String>, Error> {
        let (mut decoder, mut events) = (Events::default(), Vec::new());
        for chunk in chunks {
            decoder.push(chunk);
            while let Some(event) = decoder.next_event()? {
                events.push(event);
            }
        }
        events.extend(decoder.finish()?);
        Ok(events)
    }

    #[rstest]
    #[case::lf("data: a\n\ndata: b\n\n", &["a", "b"])]
    #[case::crlf("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"])]
    #[case::cr("data: a\r\rdata: b\r\r", &["a", "b"])]
    #[case::cr_and_several_lines("data: a\rdata: b\r\r", &["a\nb"])]
    #[case::cr_at_the_very_end("data: a\r\rdata: b\r", &["a", "b"])]
    #[case::all_three_ends("data: a\r\n\rdata: b\n\r\ndata: c\r\n\n", &["a", "b", "c"])]
    #[case::lf_then_cr("data: a\n\rdata: b\n\r", &["a", "b"])]
    #[case::without_the_space("data:a\n\n", &["a"])]
    #[case::one_space_only("data:  a\n\n", &[" a"])]
    #[case::several_lines("data: a\ndata: b\n\n", &["a\nb"])]
    #[case::comments_and_other_fields(": ping\n\nevent: x\nid: 7\nretry: 9\ndata: a\n\n", &["a"])]
    #[case::a_name_alone_is_no_event("event: ping\n\ndata: a\n\n", &["a"])]
    #[case::a_field_without_a_colon("data\n\n", &[""])]
    #[case::many_empty_lines("\n\n\ndata: a\n\n\n\n", &["a"])]
    #[case::no_empty_line_at_the_end("data: a\n\ndata: b\n", &["a", "b"])]
    #[case::no_end_of_line_at_the_end("data: a\n\ndata: b", &["a", "b"])]
    #[case::a_comment_at_the_end("data: a\n\n: ping", &["a"])]
    #[case::colons_in_the_data("data: {\"a\":\"é\"}\n\n", &["{\"a\":\"é\"}"])]
    #[case::a_byte_order_mark("\u{FEFF}data: a\n\n", &["a"])]
    #[case::an_error("event: error\ndata: {\"message\":\"no\"}\n\ndata: a\n\n", &["{\"error\":{\"message\":\"no\"}}", "a"])]
    #[case::an_error_in_words("event:error\ndata: no\n\n", &["{\"error\":\"no\"}"])]
    #[case::an_error_that_says_so("event: error\ndata: {\"error\":1}\n\n", &["{\"error\":1}"])]
    #[case::nothing("", &[])]
    fn events_are_the_same_however_they_are_cut_into_chunks(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(events(&[text.as_bytes()]).unwrap(), expected, "whole");
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(events(&bytes).unwrap(), expected, "byte by byte");
        for at in 0..text.len() {
            let (left, right) = text.as_bytes().split_at(at);
            assert_eq!(events(&[left, right]).unwrap(), expected, "cut at {at}");
        }
    }

    #[test]
    fn lines_keep_what_is_in_them() {
        let mut lines = Lines::default();
        lines.push(b"{\"a\":1}\n\r\n x\ty \r\n\r\rrest");
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            all.push(line);
        }
        assert_eq!(all, ["{\"a\":1}", "", " x\ty ", "", ""]);
        assert_eq!(lines.finish(), "rest");
    }

    /// A stream that waits for the caller must not wait for the LF that may never come.
    #[test]
    fn a_line_that_ends_with_cr_is_given_at_once_and_its_lf_is_no_line() {
        let mut events = Events::default();
        events.push(b"data: a\r\r");
        assert_eq!(events.next_event(), Ok(Some("a".to_owned())));
        events.push(b"\n");
        assert_eq!(events.next_event(), Ok(None));
        events.push(b"data: b\r");
        assert_eq!(events.next_event(), Ok(None));
        events.push(b"\n\r");
        assert_eq!(events.next_event(), Ok(Some("b".to_owned())));
        events.push(b"\n");
        assert_eq!((events.next_event(), events.finish()), (Ok(None), Ok(None)));
    }

    #[test]
    fn what_has_no_end_of_line_is_not_collected_for_ever() {
        let chunk = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(events(&[&chunk]), Ok(vec![]));
        assert_eq!(events(&[&chunk, b"y"]), Err(Error::TooLong));
        assert_eq!(events(&[&chunk, b"y\n"]), Err(Error::TooLong));
        let line = [b"data:".as_slice(), &chunk[..LINE_BYTES_MAX / 2], b"\n"].concat();
        assert_eq!(events(&[&line, &line, &line]), Err(Error::TooLong), "in many lines of one event");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(events(&[b"data: \xff\n\n"]).unwrap(), ["\u{FFFD}"]);
    }
}
