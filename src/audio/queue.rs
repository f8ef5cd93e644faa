//! Speech of a line that waits, in mu-law as on the line: half the memory, and the same sound.
//!
//! Most of the memory of a call is speech: a reply comes several times as fast as it is heard, and what the caller
//! says is kept until it is answered. It lies in blocks that go as they are emptied; nothing is ever moved.

use std::collections::VecDeque;

use super::g711;

/// Samples that take their memory together: 200 ms of the line.
const BLOCK: usize = 1600;

/// First in, first out; what came last can be taken back.
#[derive(Debug, Default)]
pub struct Queue {
    /// All but the last are full.
    blocks: VecDeque<Vec<u8>>,
    /// Samples of the first block that are gone.
    taken: usize,
    /// Samples that wait.
    len: usize,
    /// The last block that was emptied: a queue that is filled as fast as it is emptied does not allocate.
    spare: Option<Vec<u8>>,
}

impl Queue {
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Samples that wait.
    pub const fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, mut samples: &[i16]) {
        self.len += samples.len();
        while !samples.is_empty() {
            match self.blocks.back_mut().filter(|block| block.len() < BLOCK) {
                Some(block) => {
                    let (now, later) = samples.split_at(samples.len().min(BLOCK - block.len()));
                    g711::encode_into(now, block);
                    samples = later;
                }
                None => {
                    let block = self.spare.take().unwrap_or_else(|| Vec::with_capacity(BLOCK));
                    self.blocks.push_back(block);
                }
            }
        }
    }

    /// The oldest samples, as many as there are places and at most as many as wait.
    pub fn pop(&mut self, mut samples: &mut [i16]) {
        while !samples.is_empty() {
            let Some(block) = self.blocks.front() else { return };
            let bytes = &block[self.taken..];
            let count = bytes.len().min(samples.len());
            let (now, later) = std::mem::take(&mut samples).split_at_mut(count);
            for (sample, byte) in now.iter_mut().zip(bytes) {
                *sample = g711::decode(*byte);
            }
            samples = later;
            self.skip(count);
        }
    }

    /// Forgets so many of the oldest samples.
    pub fn skip(&mut self, mut count: usize) {
        while count > 0 {
            let Some(block) = self.blocks.front() else { return };
            let here = count.min(block.len() - self.taken);
            count -= here;
            self.taken += here;
            self.len -= here;
            if self.len == 0 {
                self.clear();
            } else if self.taken == BLOCK {
                self.spare = self.blocks.pop_front();
                self.spare.iter_mut().for_each(Vec::clear);
                self.taken = 0;
            }
        }
    }

    /// Takes back the newest samples, at most so many, in the order in which they came.
    pub fn pop_back(&mut self, count: usize) -> Box<[i16]> {
        let mut end = count.min(self.len);
        let mut samples = vec![0; end].into_boxed_slice();
        self.len -= end;
        while end > 0 {
            let first = if self.blocks.len() == 1 { self.taken } else { 0 };
            let Some(block) = self.blocks.back_mut() else { break };
            let at = block.len() - end.min(block.len() - first);
            let begin = end - (block.len() - at);
            for (sample, byte) in samples[begin..end].iter_mut().zip(&block[at..]) {
                *sample = g711::decode(*byte);
            }
            block.truncate(at);
            end = begin;
            if at == first {
                self.blocks.pop_back();
            }
        }
        if self.len == 0 {
            self.clear();
        }
        samples
    }

    /// Forgets everything, and gives its memory back.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Samples that mu-law keeps as they are, each other than its neighbours.
    fn samples(range: std::ops::Range<usize>) -> Vec<i16> {
        range.map(|n| g711::decode((n % 251) as u8)).collect()
    }

    #[rstest]
    #[case::part_of_a_block(100, 60)]
    #[case::a_block(1600, 1600)]
    #[case::all_of_several_blocks(5000, 5000)]
    #[case::more_than_a_block(5000, 2500)]
    fn what_came_first_goes_first(#[case] pushed: usize, #[case] popped: usize) {
        let mut queue = Queue::default();
        samples(0..pushed).chunks(160).for_each(|frame| queue.push(frame));
        let mut out = vec![0; popped];
        queue.pop(&mut out);
        assert_eq!((out, queue.len()), (samples(0..popped), pushed - popped));
    }

    #[rstest]
    #[case::part_of_the_last_block(0, 1700, 50)]
    #[case::over_a_border(0, 1700, 160)]
    #[case::over_several_blocks(0, 6000, 4000)]
    #[case::down_to_what_was_skipped(700, 1700, 1000)]
    #[case::all(0, 3200, 3200)]
    #[case::more_than_there_is(700, 900, 1000)]
    #[case::nothing(0, 0, 10)]
    fn what_came_last_can_be_taken_back(#[case] skipped: usize, #[case] pushed: usize, #[case] count: usize) {
        let mut queue = Queue::default();
        queue.push(&samples(0..pushed));
        queue.skip(skipped);
        let first = pushed - count.min(pushed - skipped);
        assert_eq!(*queue.pop_back(count), samples(first..pushed)[..]);
        // What is left is as it was, and takes more.
        queue.push(&samples(first..first + 2000));
        let mut out = vec![0; first + 2000 - skipped];
        queue.pop(&mut out);
        assert_eq!(out, samples(skipped..first + 2000));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_queue_of_constant_length_has_blocks_for_that_length() {
        let mut queue = Queue::default();
        for _ in 0..1000 {
            queue.push(&samples(0..160));
            queue.skip(queue.len().saturating_sub(2400));
        }
        assert_eq!(queue.len(), 2400);
        assert!(queue.blocks.len() + usize::from(queue.spare.is_some()) <= 4);
        queue.skip(usize::MAX);
        assert!(queue.is_empty() && queue.spare.is_none(), "an empty queue has no memory");
    }
}
