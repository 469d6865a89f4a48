//! One integration binary: a module per promise.

mod amqp;
mod cli;
mod config;
mod conformance;
mod gateway;
mod http_server;
mod identity;
mod kafka;
mod library;
mod redis;
mod service_bus;
mod support;
mod tidy;
mod webhook;
