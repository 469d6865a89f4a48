//! One integration binary: a module per promise.

mod amqp;
mod config;
mod redis;
