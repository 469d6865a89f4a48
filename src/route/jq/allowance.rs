//! What one run of a program may cost. jaq has no bound of its own: a program may call itself for ever, count to 10¹², double a text
//! forty times. The interpreter asks for its table of terms before every term that it runs, so the table counts.
//!
//! A run that is over its allowance is left by unwinding: `try` in the program cannot catch it, nothing of the interpreter's state
//! survives it, and the panic hook is not called.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use jaq_json::{Num, Val};

/// Terms that one run may evaluate, and what else counts like terms: items made, bytes joined, nodes compared. About a second. A message
/// of 1 MiB, mapped item by item, takes a tenth of it.
const STEPS_MAX: usize = 4_000_000;

/// What an array or object costs that a program makes: fewer of them fit into a run, and so fewer can nest. A value that nests is
/// dropped by recursion.
pub(super) const CONTAINER: usize = 16;

/// Bytes of stack that a run may use above its caller. Recursion that is no tail call nests in the interpreter.
const STACK_MAX_BYTES: usize = 1 << 20;

/// Stack for a thread that runs programs: [`STACK_MAX_BYTES`], and the recursion that drops `STEPS_MAX / CONTAINER` nested values.
pub(crate) const STACK_BYTES: usize = 64 << 20;

/// Bytes of one text or number, and items of one array or object, that a program may make.
const VALUE_MAX: usize = 16 << 20;

/// Levels that a value may nest where it is compared, sorted or written, which recurse.
const DEPTH_MAX: usize = 1_000;

/// What is left of a run's allowance.
#[derive(Debug)]
pub(super) struct Allowance {
    steps: Cell<usize>,
    /// Where the stack was when the run began.
    stack: usize,
}

/// Why a run ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overrun {
    /// It took too many steps.
    Steps,
    /// It nests too deep, in its calls or in a value.
    Depth,
    /// It made a text, a number or a list that is too large.
    Size,
    /// The interpreter panicked, which the log has already.
    Panicked,
}

impl Overrun {
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Steps => "it took more than 4,000,000 steps",
            Self::Depth => "its calls or values nest too deep",
            Self::Size => "it made a value of more than 16 MiB",
            Self::Panicked => "the jq interpreter failed on this message",
        }
    }
}

impl Allowance {
    /// Counts one term.
    pub(super) fn step(&self) {
        self.spend(1);
        if self.stack.abs_diff(stack_pointer()) > STACK_MAX_BYTES {
            leave(Overrun::Depth);
        }
    }

    /// Takes `steps` at once.
    pub(super) fn spend(&self, steps: usize) {
        match self.steps.get().checked_sub(steps) {
            Some(left) => self.steps.set(left),
            None => leave(Overrun::Steps),
        }
    }

    /// Pays for a value of `length` bytes or items that was, or is to be, made from others.
    pub(super) fn made(&self, length: usize) {
        if length > VALUE_MAX {
            leave(Overrun::Size);
        }
        self.spend(length / 1024);
    }

    /// Pays for a product or remainder, before it is made.
    pub(super) fn multiplies(&self, left: &Val, right: &Val) {
        match (left, right) {
            (Val::TStr(text) | Val::BStr(text), Val::Num(times)) | (Val::Num(times), Val::TStr(text) | Val::BStr(text)) => {
                // More than fit into a machine's integer are saturated by jaq.
                let times = times.as_isize().map_or(usize::MAX, |times| usize::try_from(times).unwrap_or(0));
                self.made(text.len().saturating_mul(times));
            }
            (Val::Num(Num::BigInt(left)), Val::Num(Num::BigInt(right))) => {
                self.spend((left.bits() as usize / 64).saturating_mul(right.bits() as usize / 64) / 64);
            }
            // Objects are merged at all depths.
            (Val::Obj(_), Val::Obj(_)) => self.looked_at(right),
            _ => {}
        }
    }

    /// Pays for looking at all of a value. One that holds itself twice at every level is small in memory and endless to a reader.
    pub(super) fn looked_at(&self, value: &Val) {
        if !matches!(value, Val::Arr(_) | Val::Obj(_)) {
            return self.spend(length(value) / 64);
        }
        let mut open = vec![(value, 0)];
        while let Some((value, depth)) = open.pop() {
            if depth > DEPTH_MAX {
                leave(Overrun::Depth);
            }
            self.spend(1 + length(value) / 64);
            match value {
                Val::Arr(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
                Val::Obj(members) => open.extend(members.iter().flat_map(|(key, value)| [(key, depth + 1), (value, depth + 1)])),
                _ => {}
            }
        }
    }
}

/// Runs `run` within the allowance of one run.
pub(super) fn within<T>(run: impl FnOnce(&Allowance) -> T) -> Result<T, Overrun> {
    let allowance = Allowance { steps: Cell::new(STEPS_MAX), stack: stack_pointer() };
    let overrun = |payload: Box<dyn Any + Send>| payload.downcast::<Overrun>().map_or(Overrun::Panicked, |overrun| *overrun);
    catch_unwind(AssertUnwindSafe(|| run(&allowance))).map_err(overrun)
}

/// Leaves the run that `within` began.
fn leave(overrun: Overrun) -> ! {
    resume_unwind(Box::new(overrun))
}

/// Bytes or items of one value, without what its items hold.
pub(super) fn length(value: &Val) -> usize {
    match value {
        Val::TStr(bytes) | Val::BStr(bytes) => bytes.len(),
        Val::Num(Num::BigInt(number)) => number.bits() as usize / 8,
        Val::Num(Num::Dec(digits)) => digits.len(),
        Val::Arr(items) => items.len(),
        Val::Obj(members) => members.len(),
        Val::Null | Val::Bool(_) | Val::Num(_) => 0,
    }
}

/// About where the stack is: the address of something that lies on it.
#[inline(never)]
fn stack_pointer() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}
