//! An address as written: its template, and what the rendered text may hold.

use super::Span;

/// A template's text and where it stands.
#[derive(Debug, Clone)]
pub struct TemplateText {
    /// As written.
    pub text: String,
    /// For faults.
    pub at: Span,
}

/// What a rendered address may hold; a message that would break it is rejected, never published elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct AddressRule {
    /// Of the whole address, in bytes.
    pub bytes_max: usize,
    /// Characters that no *value* may bring (wildcards, control characters); the template's own text may.
    pub forbidden: fn(char) -> bool,
    /// How the system calls the rule, for the rejection: "a Redis channel".
    pub name: &'static str,
    /// Writes a value into the address; `None`: as it is. What it writes is held against `forbidden`. The error says why this value
    /// cannot come into an address at all.
    pub encode: Option<Encode>,
}

/// Appends a value in the spelling of the system's addresses.
pub type Encode = fn(&str, &mut String) -> Result<(), &'static str>;
