//! Against real Kafkas.

mod secure;
