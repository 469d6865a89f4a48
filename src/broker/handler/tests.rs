//! A link to a handler, without a bridge around it.
