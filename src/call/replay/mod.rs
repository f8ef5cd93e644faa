//! Calls as files: what came and what was done, line by line, and playing one again.
//!
//! A file is JSON Lines: a [`Header`] with all that the machine knew at the answer, then each input with its time
//! (seconds since the answer) and after it each output. Messages of carrier and model are as they came. [`replay`]
//! runs the inputs through the machine of today and stops at the first output that is another than then. Knows
//! nothing of files and clocks.

mod header;
mod line;
mod outline;
mod player;
mod rewrite;
mod trace;

pub use self::header::Header;
pub use self::line::{Line, Message, Offset, WHOLE};
pub use self::player::{Difference, End, Error, Report, Step, Way, replay};
pub use self::rewrite::rewrite;
pub use self::trace::Trace;

#[cfg(test)]
mod tests;
