//! A WAV file that comes in pieces, as speech servers send it.

use super::{Error, Format, Head};

/// What may come before the samples: texts and pictures of an editor.
const HEAD_MAX: usize = 256 * 1024;

/// Reads one file after the other: some servers send one for each sentence.
#[derive(Debug, Default)]
pub struct Stream {
    stage: Stage,
    /// Bytes that are no whole head, or no whole frame.
    rest: Vec<u8>,
    /// Of the first file.
    format: Option<Format>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Head,
    /// So many bytes of samples are to come; `None`: all that come.
    Data(Option<u64>),
}

impl Stream {
    /// The format of the samples, once it is known.
    pub const fn format(&self) -> Option<Format> {
        self.format
    }

    /// Takes the next bytes; gives the samples that are whole now, of one channel.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<i16>, Error> {
        self.rest.extend_from_slice(bytes);
        let mut samples = Vec::new();
        loop {
            match self.stage {
                Stage::Head => {
                    if !self.read_head()? {
                        return Ok(samples);
                    }
                }
                Stage::Data(left) => {
                    samples.extend(self.take(left));
                    if !matches!(self.stage, Stage::Head) || self.rest.is_empty() {
                        return Ok(samples);
                    }
                }
            }
        }
    }

    /// Whether the samples began.
    fn read_head(&mut self) -> Result<bool, Error> {
        if self.format.is_some() && !is_another(&self.rest) {
            // Chunks behind the samples.
            self.rest.clear();
            return Ok(false);
        }
        if self.rest.len() < 12 {
            return Ok(false);
        }
        let Some(head) = Head::find(&self.rest)? else {
            return if self.rest.len() > HEAD_MAX { Err(Error::Chunk("data")) } else { Ok(false) };
        };
        let first = *self.format.get_or_insert(head.format);
        if first != head.format {
            let Format { channels, rate, .. } = head.format;
            return Err(Error::Shape { channels, rate: rate.0 });
        }
        self.rest.drain(..head.data_at);
        self.stage = Stage::Data(head.data_len);
        Ok(true)
    }

    fn take(&mut self, left: Option<u64>) -> Vec<i16> {
        let Some(format) = self.format else { return Vec::new() };
        let frame = format.encoding.len() * usize::from(format.channels);
        let wanted = left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
        let here = self.rest.len().min(wanted);
        let whole = here - here % frame;
        let samples = format.decode_mono(&self.rest[..whole]);
        let is_over = here == wanted;
        self.rest.drain(..if is_over { here } else { whole });
        self.stage = match left {
            Some(_) if is_over => Stage::Head,
            left => Stage::Data(left.map(|left| left - whole as u64)),
        };
        samples
    }
}

fn is_another(bytes: &[u8]) -> bool {
    let len = bytes.len().min(4);
    b"RIFF"[..len] == bytes[..len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::Rate;
    use crate::audio::wav::{Wav, write, write_mulaw};

    fn read(bytes: &[u8], piece: usize) -> Result<(Vec<i16>, Option<Format>), Error> {
        let (mut stream, mut all) = (Stream::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            all.extend(stream.push(piece)?);
        }
        Ok((all, stream.format()))
    }

    #[test]
    fn the_pieces_do_not_matter() {
        let file = write(&Wav { rate: Rate(22_050), channels: 2, samples: vec![1, 3, 5, 7, -3, -5] });
        for piece in 1..=file.len() {
            let (samples, format) = read(&file, piece).unwrap();
            assert_eq!((samples, format.map(|format| format.rate)), (vec![2, 6, -4], Some(Rate(22_050))));
        }
    }

    #[test]
    fn a_file_of_unknown_length_is_read_to_its_end() {
        let mut file = write(&Wav { rate: Rate(24_000), channels: 1, samples: vec![1, 2] });
        file[40..44].fill(0xFF);
        file.extend([3, 0, 4]);
        assert_eq!(read(&file, 7).unwrap().0, [1, 2, 3], "half a sample is nothing");
    }

    #[test]
    fn files_one_after_the_other_are_one() {
        let one = write(&Wav { rate: Rate(24_000), channels: 1, samples: vec![1, 2] });
        let two = write(&Wav { rate: Rate(24_000), channels: 1, samples: vec![3] });
        for piece in [1, 5, 1000] {
            assert_eq!(read(&[&*one, &*two].concat(), piece).unwrap().0, [1, 2, 3]);
            assert_eq!(read(&[&*one, b"LIST\x04\0\0\0INFO"].concat(), piece).unwrap().0, [1, 2]);
        }
        assert!(read(&[one, write_mulaw(&[0xFF])].concat(), 9).is_err(), "in another format");
    }

    #[test]
    fn a_head_without_an_end_is_refused() {
        let mut bytes = b"RIFF\0\0\0\0WAVEJUNK\xff\xff\xff\x7f".to_vec();
        bytes.resize(HEAD_MAX + 100, 0);
        assert_eq!(read(&bytes, 4096), Err(Error::Chunk("data")));
    }
}
