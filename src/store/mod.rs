//! The call log: appends without waiting, keeps in SQLite, answers queries.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc};

use crate::call::record::{Annotation, Entry};

/// Appends to the call log. Cheap to clone; never waits for a disk.
#[derive(Clone, Debug)]
pub struct Handle {
    lines: mpsc::Sender<Line>,
    watchers: broadcast::Sender<Arc<Entry>>,
}

#[derive(Debug)]
pub enum Line {
    Entry(Arc<Entry>),
    Annotation(Annotation),
}

impl Handle {
    /// A handle and the other end of its queue.
    pub fn pair(capacity: usize) -> (Self, mpsc::Receiver<Line>) {
        let (lines, receiver) = mpsc::channel(capacity);
        let (watchers, _) = broadcast::channel(1024);
        (Self { lines, watchers }, receiver)
    }

    pub fn append(&self, entry: Entry) {
        let entry = Arc::new(entry);
        let _ = self.watchers.send(Arc::clone(&entry));
        let _ = self.lines.try_send(Line::Entry(entry));
    }

    pub fn annotate(&self, annotation: Annotation) {
        let _ = self.lines.try_send(Line::Annotation(annotation));
    }

    /// Entries as they are appended, for a display; a slow watcher misses some.
    pub fn watch(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.watchers.subscribe()
    }
}
