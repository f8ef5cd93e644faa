//! Both ends of many calls, as lean as can be: they write one and the same frame every 20 ms and count what comes.
//!
//! The handshakes are those of a WebSocket library; afterwards frames are bytes that were made once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use patchcord::audio::{Frame, Rate};
use patchcord::carrier::Command;
use patchcord::carrier::twilio::Codec;
use patchcord::live::{self, wire};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_rustls::TlsAcceptor;

use crate::machine;

const FRAME: Duration = Duration::from_millis(20);

/// Time over which calls begin one after the other.
const STAGGER: Duration = Duration::from_millis(5);

/// When a peer speaks, in frames: so many of every cycle, from the phase on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    pub(crate) spoken: u64,
    pub(crate) cycle: u64,
    phase: u64,
}

impl Rhythm {
    /// How long a reply is, about.
    const REPLY: u64 = 100;

    pub(crate) const WITHOUT_A_PAUSE: Self = Self::new(1, 1);

    pub(crate) const fn new(spoken: u64, cycle: u64) -> Self {
        Self { spoken, cycle, phase: 0 }
    }

    /// Replies that fill this share of the time, of which a whole number fits into so many frames.
    pub(crate) fn filling(share: f64, frames: u64) -> Self {
        let cycle = (Self::REPLY as f64 / share.clamp(0.01, 1.0)).round() as u64;
        let cycle = frames / (frames / cycle).max(1);
        Self::new((cycle as f64 * share).round() as u64, cycle)
    }

    pub(crate) fn share(self) -> f64 {
        self.spoken as f64 / self.cycle as f64
    }

    /// That of one peer of many, who do not all speak at the same time.
    fn of(self, peer: u64) -> Self {
        const GOLDEN: f64 = 0.618_034;
        Self { phase: ((peer as f64 * GOLDEN).fract() * self.cycle as f64) as u64, ..self }
    }

    const fn is_spoken(self, frame: u64) -> bool {
        (frame + self.phase) % self.cycle < self.spoken
    }
}

/// Callers at a port of this machine: each sends what the bridge sends to a model. Says how many messages came, and
/// how many it sent, since all were connected.
pub(crate) async fn callers(port: u16, count: usize) {
    let (sent, received) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let frame: Arc<[u8]> = masked(&to_model()).into();
    for _ in 0..count {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (socket, _) =
            tokio_tungstenite::client_async(format!("ws://127.0.0.1:{port}/"), stream).await.unwrap();
        let (frame, sent, received) = (Arc::clone(&frame), Arc::clone(&sent), Arc::clone(&received));
        let sending = Sending { frame, rhythm: Rhythm::WITHOUT_A_PAUSE, sent };
        tokio::spawn(async move { talk(socket.into_inner(), sending, &received).await });
        tokio::time::sleep(STAGGER).await;
    }
    sent.store(0, Ordering::Relaxed);
    received.store(0, Ordering::Relaxed);
    machine::ready("connected");
    machine::dismissed().await;
    let messages = received.load(Ordering::Relaxed) / unmasked(&to_carrier()).len() as u64;
    machine::ready(&format!("{messages} {}", sent.load(Ordering::Relaxed)));
}

/// A model behind TLS: to each connection it sends what a carrier is sent, in this rhythm.
pub(crate) async fn model(certificate: &Path, key: &Path, rhythm: Rhythm) {
    let certificate = CertificateDer::from(std::fs::read(certificate).unwrap());
    let key = PrivateKeyDer::Pkcs8(std::fs::read(key).unwrap().into());
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    machine::ready(&listener.local_addr().unwrap().port().to_string());
    let frame: Arc<[u8]> = unmasked(&to_carrier()).into();
    let accepting = async {
        for peer in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (acceptor, frame) = (acceptor.clone(), Arc::clone(&frame));
            let sending = Sending { frame, rhythm: rhythm.of(peer), sent: Arc::default() };
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                talk(socket.into_inner(), sending, &AtomicU64::new(0)).await;
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = machine::dismissed() => {}
    }
}

/// What a peer sends, and how often it did.
struct Sending {
    frame: Arc<[u8]>,
    rhythm: Rhythm,
    sent: Arc<AtomicU64>,
}

/// Sends the frame every 20 ms in which it speaks, late ones at once, and counts the bytes that come, until either
/// fails.
async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, sending: Sending, received: &AtomicU64) {
    let Sending { frame, rhythm, sent } = sending;
    let mut frames = 0..;
    let mut ticks = interval_at(Instant::now() + FRAME, FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut buffer = vec![0; 4096];
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if !frames.next().is_some_and(|number| rhythm.is_spoken(number)) {
                    continue;
                }
                let written = async {
                    stream.write_all(&frame).await?;
                    stream.flush().await
                };
                if written.await.is_err() {
                    return;
                }
                sent.fetch_add(1, Ordering::Relaxed);
            }
            count = stream.read(&mut buffer) => match count {
                Ok(count) if count > 0 => {
                    received.fetch_add(count as u64, Ordering::Relaxed);
                }
                Ok(_) | Err(_) => return,
            },
        }
    }
}

/// The message by which the bridge tells a model 20 ms of the caller.
fn to_model() -> String {
    let mut text = String::new();
    wire::encode(&live::Command::Audio(Frame::new(Rate::MODEL_IN, &[1234; 320])), &mut text);
    text
}

/// The message by which the bridge tells a carrier 20 ms of the model.
fn to_carrier() -> String {
    let mut codec = Codec::new();
    codec.decode(include_bytes!("../../fixtures/twilio/frames/start-connect.json")).unwrap();
    let mut text = String::new();
    codec.encode(&Command::Media(Frame::new(Rate::LINE, &[1234; 160])), &mut text);
    text
}

/// A text frame of a server (RFC 6455, 5.2) of between 126 and 65,535 bytes.
fn unmasked(text: &str) -> Vec<u8> {
    let len = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&[0x81, 126], &len[..], text.as_bytes()].concat()
}

/// The same of a client.
fn masked(text: &str) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let len = u16::try_from(text.len()).unwrap().to_be_bytes();
    let payload: Vec<u8> =
        text.bytes().zip(MASK.into_iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    [&[0x81, 0x80 | 126], &len[..], &MASK, &payload].concat()
}
