//! Rewrites a program, and jaq's own library, so that what a single term can make large is paid for: the items of arrays and of
//! `range`, what `+`, `*` and `"\(…)"` make, what comparing, sorting and writing look at. The names of the filters that count
//! cannot be written in a program.

use jaq_core::{
    Cv, Error, RunPtr, ValR, ValXs,
    box_iter::box_once,
    load::{
        lex::StrPart,
        parse::{BinaryOp, Def, Pattern, Term},
    },
    native::{self, bome},
    ops::Math,
    path::{Part, Path},
};
use jaq_json::Val;

use super::{
    super::tree,
    Seen,
    allowance::{CONTAINER, length},
};

/// `range/3` as jaq has it, without a step per number.
const RANGE: &str = "!range";
/// Counts an array or object that was made.
const CONTAINED: &str = "!contained";
/// Counts the length of what `+` and `"\(…)"` made.
const JOINED: &str = "!joined";
/// Counts all of a value that is about to be compared, sorted or written.
const LOOKED_AT: &str = "!looked-at";
/// Refuses a text that would overwhelm the reader of JSON.
const READ: &str = "!read";
/// `*` and `%`, counted before they are done.
const TIMES: &str = "!times";
const REMAINDER: &str = "!remainder";
/// Holds the right side of `+=`, `*=`, `%=`.
const OPERAND: &str = "$!operand";

/// Filters that look at all of their input within one step.
const LOOKING: [&str; 12] = [
    "tojson",
    "error_empty",
    "sort",
    "sort_by",
    "group_by",
    "min_by_or_empty",
    "max_by_or_empty",
    "contains",
    "indices",
    "bsearch",
    "tobytes",
    "implode",
];

/// A filter of jaq's under the name that its library calls it by here.
pub(super) fn renamed((name, arguments, filter): native::Fun<Seen>) -> native::Fun<Seen> {
    (if name == "range" { RANGE } else { name }, arguments, filter)
}

/// The filters that count. Each answers its input, but those that calculate.
pub(super) fn funs() -> impl Iterator<Item = native::Fun<Seen>> {
    let filters: [native::Filter<RunPtr<Seen>>; 6] = [
        (CONTAINED, native::v(0), |cv| {
            cv.0.data().allowance.spend(CONTAINER);
            box_once(Ok(cv.1))
        }),
        (JOINED, native::v(0), |cv| {
            cv.0.data().allowance.made(length(&cv.1));
            box_once(Ok(cv.1))
        }),
        (LOOKED_AT, native::v(0), |cv| {
            cv.0.data().allowance.looked_at(&cv.1);
            box_once(Ok(cv.1))
        }),
        (READ, native::v(0), |cv| {
            let readable = match &cv.1 {
                Val::TStr(text) => tree::readable(text),
                _ => Ok(()),
            };
            bome(readable.map(|()| cv.1).map_err(Error::str))
        }),
        (TIMES, native::v(2), |cv| calculated(cv, |left, right| left * right)),
        (REMAINDER, native::v(2), |cv| calculated(cv, |left, right| left % right)),
    ];
    filters.into_iter().map(native::run::<Seen>)
}

/// The answer of `of`, paid for before it is made.
fn calculated(mut cv: Cv<'_, Seen>, of: fn(Val, Val) -> ValR<Val>) -> ValXs<'_, Val> {
    let (right, left) = (cv.0.pop_var(), cv.0.pop_var());
    cv.0.data().allowance.multiplies(&left, &right);
    bome(of(left, right))
}

/// `range/3`, with a step for each number.
pub(super) fn range() -> Def<&'static str> {
    let arguments = ["$from", "$upto", "$by"];
    let numbers = Term::Call(RANGE, arguments.map(Term::Var).into());
    Def { name: "range", args: arguments.into(), body: piped(numbers, Term::Id) }
}

pub(super) fn metered_def(def: Def<&str>) -> Def<&str> {
    Def { body: metered(def.body), ..def }
}

/// The program with what it makes and looks at counted; it answers the same.
pub(super) fn metered(term: Term<&str>) -> Term<&str> {
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) | Term::Arr(None) => term,
        Term::Str(format, parts) => text(format, parts),
        Term::Arr(Some(items)) => piped(Term::Arr(Some(Box::new(piped(metered(*items), Term::Id)))), call(CONTAINED)),
        Term::Obj(members) => piped(Term::Obj(members.into_iter().map(member).collect()), call(CONTAINED)),
        Term::Neg(of) => Term::Neg(boxed(*of)),
        Term::BinOp(left, op, right) => operation(metered(*left), op, metered(*right)),
        Term::Label(name, of) => Term::Label(name, boxed(*of)),
        Term::Fold(name, over, pattern, with) => {
            Term::Fold(name, boxed(*over), metered_pattern(pattern), with.into_iter().map(metered).collect())
        }
        Term::TryCatch(tried, caught) => Term::TryCatch(boxed(*tried), caught.map(|caught| boxed(*caught))),
        Term::IfThenElse(cases, otherwise) => Term::IfThenElse(
            cases.into_iter().map(|(condition, then)| (metered(condition), metered(then))).collect(),
            otherwise.map(|otherwise| boxed(*otherwise)),
        ),
        Term::Def(defs, of) => Term::Def(defs.into_iter().map(metered_def).collect(), boxed(*of)),
        Term::Call(name, arguments) => {
            let called = Term::Call(name, arguments.into_iter().map(metered).collect());
            match name {
                "fromjson" => piped(call(READ), called),
                _ if LOOKING.contains(&name) => piped(call(LOOKED_AT), called),
                _ => called,
            }
        }
        Term::Path(of, Path(parts)) => {
            let parts = parts.into_iter().map(|(part, opt)| (metered_part(part), opt)).collect();
            Term::Path(boxed(*of), Path(parts))
        }
    }
}

fn text<'s>(format: Option<&'s str>, parts: Vec<StrPart<&'s str, Term<&'s str>>>) -> Term<&'s str> {
    let joins = parts.iter().any(|part| matches!(part, StrPart::Term(_)));
    let part = |part| match part {
        StrPart::Term(term) => StrPart::Term(piped(metered(term), call(LOOKED_AT))),
        fixed => fixed,
    };
    let text = Term::Str(format, parts.into_iter().map(part).collect());
    if joins { piped(text, call(JOINED)) } else { text }
}

fn operation<'s>(left: Term<&'s str>, op: BinaryOp<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    let binary = |left, op, right| Term::BinOp(Box::new(left), op, Box::new(right));
    match op {
        BinaryOp::Math(Math::Add) => piped(binary(left, op, right), call(JOINED)),
        BinaryOp::Math(Math::Mul) => Term::Call(TIMES, vec![left, right]),
        BinaryOp::Math(Math::Rem) => Term::Call(REMAINDER, vec![left, right]),
        // Arrays are subtracted by comparing their items.
        BinaryOp::Math(Math::Sub) if !is_fixed(&right) && !is_fixed(&left) => {
            binary(piped(left, call(LOOKED_AT)), op, piped(right, call(LOOKED_AT)))
        }
        BinaryOp::Cmp(_) if !is_fixed(&right) && !is_fixed(&left) => binary(piped(left, call(LOOKED_AT)), op, right),
        BinaryOp::UpdateMath(math @ (Math::Add | Math::Sub | Math::Mul | Math::Rem)) => {
            let update = operation(Term::Id, BinaryOp::Math(math), Term::Var(OPERAND));
            let update = binary(left, BinaryOp::Update, update);
            binary(right, BinaryOp::Pipe(Some(Pattern::Var(OPERAND))), update)
        }
        BinaryOp::Pipe(pattern) => binary(left, BinaryOp::Pipe(pattern.map(metered_pattern)), right),
        _ => binary(left, op, right),
    }
}

/// A key is looked at, since it may be any value.
fn member<'s>((key, value): (Term<&'s str>, Option<Term<&'s str>>)) -> (Term<&'s str>, Option<Term<&'s str>>) {
    // Without a value the key is a shorthand, which is only known by its shape.
    match value {
        None => (key, None),
        Some(value) => (looked_at(key), Some(metered(value))),
    }
}

fn metered_part(part: Part<Term<&str>>) -> Part<Term<&str>> {
    match part {
        Part::Index(index) => Part::Index(looked_at(index)),
        Part::Range(from, upto) => Part::Range(from.map(metered), upto.map(metered)),
    }
}

fn metered_pattern(pattern: Pattern<&str>) -> Pattern<&str> {
    match pattern {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(items) => Pattern::Arr(items.into_iter().map(metered_pattern).collect()),
        Pattern::Obj(members) => Pattern::Obj(members.into_iter().map(|(key, of)| (looked_at(key), metered_pattern(of))).collect()),
    }
}

fn looked_at(term: Term<&str>) -> Term<&str> {
    if is_fixed(&term) { term } else { piped(metered(term), call(LOOKED_AT)) }
}

/// True of what is small as written.
fn is_fixed(term: &Term<&str>) -> bool {
    match term {
        Term::Num(_) | Term::Arr(None) => true,
        Term::Obj(members) => members.is_empty(),
        Term::Call(name, arguments) => arguments.is_empty() && matches!(*name, "null" | "true" | "false" | "nan" | "infinite"),
        Term::Str(None, parts) => !parts.iter().any(|part| matches!(part, StrPart::Term(_))),
        _ => false,
    }
}

fn boxed(term: Term<&str>) -> Box<Term<&str>> {
    Box::new(metered(term))
}

fn piped<'s>(from: Term<&'s str>, into: Term<&'s str>) -> Term<&'s str> {
    Term::BinOp(Box::new(from), BinaryOp::Pipe(None), Box::new(into))
}

fn call(name: &str) -> Term<&str> {
    Term::Call(name, Vec::new())
}
