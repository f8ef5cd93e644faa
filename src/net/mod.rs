//! Sockets: one owner, bounded queues, deadlines.
