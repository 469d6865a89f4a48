//! Queues in memory, as sources and publishers use them.
