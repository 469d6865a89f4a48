//! One integration binary: a module per promise.

mod amqp;
mod redis;
