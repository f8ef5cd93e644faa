//! Audio: frames, codecs, resampling, voice activity, playout, files. Knows nothing of carriers or models.

/// Sampling rate in hertz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(pub u32);

impl Rate {
    /// The telephone line.
    pub const LINE: Self = Self(8_000);
    /// What the live model takes (Gemini Live API: input is native at 16 kHz).
    pub const MODEL_IN: Self = Self(16_000);
    /// What the live model gives (Gemini Live API: output is always 24 kHz).
    pub const MODEL_OUT: Self = Self(24_000);

    /// Samples in 20 ms.
    pub const fn frame_len(self) -> usize {
        self.0 as usize / 50
    }

    /// Duration of this many samples, whole milliseconds rounded down.
    pub const fn millis(self, samples: u64) -> u64 {
        samples * 1000 / self.0 as u64
    }
}

/// Up to 20 ms of mono PCM at up to 16 kHz, by value. `Copy`: queues own their frames, nothing is shared.
#[derive(Clone, Copy)]
pub struct Frame {
    rate: Rate,
    len: u16,
    samples: [i16; Self::CAPACITY],
}

impl Frame {
    /// 20 ms at 16 kHz: of wideband lines, and of what the model takes. Frames are copied on their way, and wait in
    /// the queues of every call: a line of 48 kHz has to be worth three times the memory.
    pub const CAPACITY: usize = 320;

    /// A frame of these samples; what is beyond [`Frame::CAPACITY`] is left out.
    pub fn new(rate: Rate, samples: &[i16]) -> Self {
        let len = samples.len().min(Self::CAPACITY);
        let mut frame = Self { rate, len: len as u16, samples: [0; Self::CAPACITY] };
        frame.samples[..len].copy_from_slice(&samples[..len]);
        frame
    }

    pub const fn rate(&self) -> Rate {
        self.rate
    }

    pub fn samples(&self) -> &[i16] {
        &self.samples[..usize::from(self.len)]
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.rate == other.rate && self.samples() == other.samples()
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({} samples at {} Hz)", self.len, self.rate.0)
    }
}

pub mod comfort;
pub mod g711;
pub mod opus;
pub mod pcm;
pub mod playout;
pub mod queue;
pub mod resample;
pub mod silero;
pub mod tape;
pub mod vad;
pub mod wav;
