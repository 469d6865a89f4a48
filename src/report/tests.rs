//! Reporters against endpoints that a test plays.
