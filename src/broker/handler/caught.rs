//! Panics of handlers, with where they happened.
//!
//! A panic's place and stack are known only while it happens, to the panic hook. Ours is put in front of the program's own, once, and
//! looks only where a handler is being polled on the same thread.

use std::{
    any::Any,
    backtrace::Backtrace,
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    panic::{self, AssertUnwindSafe},
    pin::pin,
    sync::Once,
    task::Poll,
};

/// The longest stack that is kept, in bytes: its end is the runtime's.
const STACK_BYTES_MAX: usize = 16 << 10;

/// What a handler panicked with.
#[derive(Debug)]
pub(super) struct Panicked {
    message: String,
    place: Option<String>,
    /// Absent where the program put a hook of its own over ours.
    pub(super) stack: Option<String>,
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "panicked at {place}: {}", self.message),
            None => write!(f, "panicked: {}", self.message),
        }
    }
}

/// What the hook saw.
struct Seen {
    place: Option<String>,
    stack: String,
}

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// Puts the hook in front of the one that is there. More than once is as once.
pub(super) fn watch_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if WATCHED.get() {
                let mut stack = Backtrace::force_capture().to_string();
                let end = (0..=STACK_BYTES_MAX.min(stack.len())).rev().find(|end| stack.is_char_boundary(*end));
                stack.truncate(end.unwrap_or_default());
                SEEN.set(Some(Seen { place: info.location().map(ToString::to_string), stack }));
            }
            previous(info);
        }));
    });
}

/// The future's output, or its panic. After a panic it is dropped, not polled again.
pub(super) async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| {
        // What a handler caught itself is not what it ends with.
        SEEN.take();
        WATCHED.set(true);
        let polled = panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        WATCHED.set(false);
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => Poll::Ready(Err(panicked(payload.as_ref()))),
        }
    })
    .await
}

fn panicked(payload: &(dyn Any + Send)) -> Panicked {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    let message = text.unwrap_or("a value that is no text").to_owned();
    match SEEN.take() {
        Some(Seen { place, stack }) => Panicked { message, place, stack: Some(stack) },
        None => Panicked { message, place: None, stack: None },
    }
}
