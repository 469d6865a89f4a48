//! What is true now: the hub, an in-process topic space that live clients subscribe to.

pub mod hub;
