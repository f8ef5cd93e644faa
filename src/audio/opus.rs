//! Recordings as Ogg Opus (RFC 7845): each channel a mono stream of its own, so that neither is heard in the other.
//!
//! [`Writer`] turns two channels of mu-law into pages, [`read`] turns a file back into samples, also one that was
//! cut off. The only place that knows libopus. Knows nothing of disks.

use std::io::Cursor;

use audiopus::coder::{Decoder, Encoder};
use audiopus::{Application, Bitrate, Channels, MutSignals, SampleRate, Signal, packet::Packet};
use ogg::{PacketReader, PacketWriteEndInfo, PacketWriter};

use super::wav::Wav;
use super::{Rate, g711};

/// Of each channel: telephone speech is clear at this rate, and both make a megabyte in six minutes.
const BITRATE: i32 = 12_000;

/// One channel of speech costs 1.4 ms of CPU per second at 0, 1.7 at 1, 2.3 at 2 and 6 at 10 (libopus 1.3, a server of
/// 2021); what complexity buys at 8 kHz is hardly heard.
const COMPLEXITY: u8 = 0;

/// Samples in a packet, 20 ms: more makes no difference to the CPU and loses more when a file is cut off.
const FRAME: usize = Rate::LINE.frame_len();

/// Packets in a page: a second. What a killed process loses.
const PAGE: u64 = 50;

/// Granule positions count at 48 kHz, whatever the input (RFC 7845 section 4).
const GRANULES: u64 = 48_000 / Rate::LINE.0 as u64;

/// Frames after which a silent input has settled in the encoder: from then on its packets are alike.
const SETTLED: u32 = 10;

/// The largest packet that libopus makes (`opus_encode`, recommended buffer).
const PACKET_MAX: usize = 4000;

/// Longest text of a comment that is read back.
const COMMENTS_MAX: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("libopus: {0}")]
    Codec(#[from] audiopus::Error),
    #[error("not a recording of two channels in Ogg Opus: {0}")]
    Foreign(&'static str),
}

/// Makes a recording, page by page.
pub struct Writer {
    pages: PacketWriter<'static, Vec<u8>>,
    serial: u32,
    caller: Channel,
    agent: Channel,
    pre_skip: u64,
    /// Samples that came in.
    received: u64,
    packets: u64,
    /// The newest packet: the last one of all is marked as such.
    held: Option<Vec<u8>>,
}

impl Writer {
    /// A file with these comments (`NAME=value`); `serial` tells it from others that it is put together with.
    pub fn new(serial: u32, comments: &[String]) -> Result<Self, Error> {
        let (caller, agent) = (Channel::new()?, Channel::new()?);
        let pre_skip = u64::from(caller.encoder.lookahead()?) * GRANULES;
        let mut pages = PacketWriter::new(Vec::new());
        for header in [head(pre_skip), tags(comments)] {
            put(&mut pages, header, serial, PacketWriteEndInfo::EndPage, 0)?;
        }
        Ok(Self { pages, serial, caller, agent, pre_skip, received: 0, packets: 0, held: None })
    }

    /// Takes the next samples of both channels, mu-law at [`Rate::LINE`], as many of one as of the other.
    pub fn push(&mut self, caller: &[u8], agent: &[u8]) -> Result<(), Error> {
        self.received += caller.len().min(agent.len()) as u64;
        let len = caller.len().min(agent.len());
        self.caller.push(&caller[..len]);
        self.agent.push(&agent[..len]);
        while self.caller.waiting.len() >= FRAME {
            self.encode()?;
        }
        Ok(())
    }

    /// The pages that are complete and were not taken yet.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.pages.inner_mut())
    }

    /// Ends the file: what is left of it.
    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
        let end = self.pre_skip + self.received * GRANULES;
        while self.packets * FRAME as u64 * GRANULES < end || self.packets == 0 {
            let missing = FRAME - self.caller.waiting.len();
            let silence = vec![g711::MULAW_SILENCE; missing];
            self.caller.push(&silence);
            self.agent.push(&silence);
            self.encode()?;
        }
        if let Some(packet) = self.held.take() {
            put(&mut self.pages, packet, self.serial, PacketWriteEndInfo::EndStream, end)?;
        }
        Ok(self.take())
    }

    fn encode(&mut self) -> Result<(), Error> {
        let mut packet = self_delimited(self.caller.encode()?)?;
        packet.extend_from_slice(self.agent.encode()?);
        if let Some(before) = self.held.replace(packet) {
            let end = if self.packets.is_multiple_of(PAGE) {
                PacketWriteEndInfo::EndPage
            } else {
                PacketWriteEndInfo::NormalPacket
            };
            put(&mut self.pages, before, self.serial, end, self.packets * FRAME as u64 * GRANULES)?;
        }
        self.packets += 1;
        Ok(())
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({} samples in {} packets)", self.received, self.packets)
    }
}

/// One channel on its way into packets.
struct Channel {
    encoder: Encoder,
    waiting: Vec<u8>,
    /// Frames of digital silence without another one between.
    silent: u32,
    packet: Vec<u8>,
}

impl Channel {
    fn new() -> Result<Self, Error> {
        let mut encoder = Encoder::new(SampleRate::Hz8000, Channels::Mono, Application::Voip)?;
        encoder.set_bitrate(Bitrate::BitsPerSecond(BITRATE))?;
        encoder.set_complexity(COMPLEXITY)?;
        encoder.set_signal(Signal::Voice)?;
        Ok(Self { encoder, waiting: Vec::new(), silent: 0, packet: Vec::new() })
    }

    fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The packet of the next frame. Silence that has settled costs nothing: its packets are repeated.
    fn encode(&mut self) -> Result<&[u8], Error> {
        let mut samples = [0; FRAME];
        for (sample, byte) in samples.iter_mut().zip(self.waiting.drain(..FRAME)) {
            *sample = g711::decode(byte);
        }
        let is_silent = samples.iter().all(|sample| *sample == 0);
        self.silent = if is_silent { self.silent.saturating_add(1) } else { 0 };
        if self.silent <= SETTLED {
            self.packet.resize(PACKET_MAX, 0);
            let len = self.encoder.encode(&samples, &mut self.packet)?;
            self.packet.truncate(len);
        }
        Ok(&self.packet)
    }
}

/// What a recording is: both channels, left the caller, right the agent. Of a file that was cut off, what is whole.
pub fn read(file: &[u8]) -> Result<Wav, Error> {
    let mut packets = PacketReader::new(Cursor::new(file));
    let pre_skip = pre_skip(&next(&mut packets).ok_or(Error::Foreign("it has no header"))?.data)?;
    next(&mut packets).ok_or(Error::Foreign("it has no comments"))?;
    let mut channels = [Vec::new(), Vec::new()];
    let mut decoders = [
        Decoder::new(SampleRate::Hz8000, Channels::Mono)?,
        Decoder::new(SampleRate::Hz8000, Channels::Mono)?,
    ];
    let mut end = 0;
    while let Some(packet) = next(&mut packets) {
        let (caller, agent) = split(&packet.data)?;
        for ((channel, decoder), data) in channels.iter_mut().zip(&mut decoders).zip([&caller[..], agent]) {
            decode(decoder, data, channel)?;
        }
        end = packet.absgp_page();
    }
    let [caller, agent] = channels;
    let skip = usize::try_from(pre_skip / GRANULES).unwrap_or(0);
    let len = usize::try_from(end.saturating_sub(pre_skip) / GRANULES).unwrap_or(0);
    let pairs = caller.iter().zip(&agent).skip(skip).take(len);
    let samples = pairs.flat_map(|(caller, agent)| [*caller, *agent]).collect();
    Ok(Wav { rate: Rate::LINE, channels: 2, samples })
}

/// The comments in the begin of a recording.
pub fn comments(file: &[u8]) -> Result<Vec<String>, Error> {
    const FOREIGN: Error = Error::Foreign("it has no comments");
    let mut packets = PacketReader::new(Cursor::new(file));
    pre_skip(&next(&mut packets).ok_or(FOREIGN)?.data)?;
    let packet = next(&mut packets).ok_or(FOREIGN)?.data;
    let mut rest = packet.strip_prefix(b"OpusTags").ok_or(FOREIGN)?;
    field(&mut rest).ok_or(FOREIGN)?;
    let count = length(&mut rest).ok_or(FOREIGN)?;
    let mut comments = Vec::new();
    for _ in 0..count.min(COMMENTS_MAX) {
        let comment = field(&mut rest).ok_or(FOREIGN)?;
        comments.push(String::from_utf8_lossy(comment).into_owned());
    }
    Ok(comments)
}

/// The identification header (RFC 7845 section 5.1): mapping family 1, two streams, none of them coupled.
fn head(pre_skip: u64) -> Vec<u8> {
    let mut head = b"OpusHead\x01\x02".to_vec();
    head.extend(u16::try_from(pre_skip).unwrap_or(u16::MAX).to_le_bytes());
    head.extend(Rate::LINE.0.to_le_bytes());
    head.extend([0, 0, 1, 2, 0, 0, 1]);
    head
}

/// The comment header (RFC 7845 section 5.2).
fn tags(comments: &[String]) -> Vec<u8> {
    let mut tags = b"OpusTags".to_vec();
    let mut put = |text: &[u8]| {
        tags.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        tags.extend(text);
    };
    put(b"patchcord");
    tags.extend(u32::try_from(comments.len()).unwrap_or(u32::MAX).to_le_bytes());
    for comment in comments {
        tags.extend(u32::try_from(comment.len()).unwrap_or(u32::MAX).to_le_bytes());
        tags.extend(comment.as_bytes());
    }
    tags
}

fn pre_skip(head: &[u8]) -> Result<u64, Error> {
    let is_ours = head.starts_with(b"OpusHead\x01\x02") && head.get(18..) == Some(&[1, 2, 0, 0, 1]);
    match head.get(10..12) {
        Some(&[low, high]) if is_ours => Ok(u64::from(u16::from_le_bytes([low, high]))),
        Some(_) | None => Err(Error::Foreign("its header is another")),
    }
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    let (len, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    usize::try_from(u32::from_le_bytes(*len)).ok()
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = length(rest)?;
    let field = rest.get(..len)?;
    *rest = &rest[len..];
    Some(field)
}

fn put(
    pages: &mut PacketWriter<'static, Vec<u8>>,
    packet: Vec<u8>,
    serial: u32,
    end: PacketWriteEndInfo,
    granule: u64,
) -> Result<(), Error> {
    let written = pages.write_packet(packet, serial, end, granule);
    written.map_err(|_| Error::Foreign("memory cannot be written to"))
}

/// The next packet of a file; `None` at its end, or where it is damaged or cut off.
fn next(packets: &mut PacketReader<Cursor<&[u8]>>) -> Option<ogg::Packet> {
    packets.read_packet().ok().flatten()
}

/// A packet of one frame with its length in it (RFC 6716 appendix B).
fn self_delimited(packet: &[u8]) -> Result<Vec<u8>, Error> {
    let (toc, frame) = packet.split_first().ok_or(Error::Foreign("an empty packet"))?;
    if toc & 0b11 != 0 {
        return Err(Error::Foreign("a packet of more than one frame"));
    }
    let mut out = Vec::with_capacity(packet.len() + 2);
    out.push(*toc);
    match u8::try_from(frame.len()) {
        Ok(len @ ..252) => out.push(len),
        Ok(_) | Err(_) => {
            // RFC 6716 section 3.2.1.
            let low = 252 + frame.len() % 4;
            out.extend([low as u8, ((frame.len() - low) / 4) as u8]);
        }
    }
    out.extend_from_slice(frame);
    Ok(out)
}

/// The packets of both streams, the first one without its length.
fn split(packet: &[u8]) -> Result<(Vec<u8>, &[u8]), Error> {
    const CUT: Error = Error::Foreign("a packet is too short");
    let (toc, rest) = packet.split_first().ok_or(CUT)?;
    if toc & 0b11 != 0 {
        return Err(Error::Foreign("a packet of more than one frame"));
    }
    let (len, rest) = match rest {
        [len @ ..252, rest @ ..] => (usize::from(*len), rest),
        [low, high, rest @ ..] => (usize::from(*high) * 4 + usize::from(*low), rest),
        [] | [_] => return Err(CUT),
    };
    let (frame, second) = rest.split_at_checked(len).ok_or(CUT)?;
    let mut first = Vec::with_capacity(len + 1);
    first.push(*toc);
    first.extend_from_slice(frame);
    Ok((first, second))
}

fn decode(decoder: &mut Decoder, data: &[u8], out: &mut Vec<i16>) -> Result<(), Error> {
    // The longest packet there is, 120 ms (RFC 6716 section 3.2.5).
    let mut samples = [0; FRAME * 6];
    let len =
        decoder.decode(Some(Packet::try_from(data)?), MutSignals::try_from(&mut samples[..])?, false)?;
    out.extend_from_slice(&samples[..len]);
    Ok(())
}

#[cfg(test)]
mod tests;
