//! Parts that need no socket.
