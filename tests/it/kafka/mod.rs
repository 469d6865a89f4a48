//! Kafka: against real ones, and against a mock cluster that errs on demand.

mod mock;
mod publisher;
mod records;
mod secure;
