//! Sockets: one owner, bounded queues, deadlines. Knows nothing of what is said on them.

pub mod bell;
pub mod circuit;
mod clock;
pub mod dial;
pub mod egress;
pub mod link;
pub mod names;
pub mod proxy;
pub mod race;
pub mod trust;

use std::time::Duration;

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Buffers and limits of a WebSocket. The library's defaults are 128 KiB of eagerly allocated and zero-filled
/// read buffer, 128 KiB of write buffering that hides seconds of stale audio, an unlimited maximum of it and
/// messages of 64 MiB: all four are set here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub read_buffer: usize,
    /// Messages of one wake-up are written together; each wake-up ends with a flush.
    pub write_buffer: usize,
    pub write_buffer_max: usize,
    pub message_max: usize,
}

impl Limits {
    /// A carrier sends some 330 bytes 50 times a second.
    pub const CARRIER: Self = Self {
        read_buffer: 1 << 10,
        write_buffer: 1 << 10,
        write_buffer_max: 256 << 10,
        message_max: 64 << 10,
    };

    /// The live service sends some 13 KB at a time, in several reads: TLS has decrypted them already. It is sent up to
    /// four messages of some 930 bytes together, in one write.
    pub const LIVE: Self = Self {
        read_buffer: 2 << 10,
        write_buffer: 4 << 10,
        write_buffer_max: 256 << 10,
        message_max: 4 << 20,
    };

    pub fn config(self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(self.read_buffer)
            .write_buffer_size(self.write_buffer)
            .max_write_buffer_size(self.write_buffer_max)
            .max_message_size(Some(self.message_max))
            .max_frame_size(Some(self.message_max))
    }
}

/// A peer that does not take what is sent for this long is gone.
pub const STALL_MAX: Duration = Duration::from_secs(5);
