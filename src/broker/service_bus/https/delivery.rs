//! A sheet of messages in requests that fit, one after the other; where one of several messages is at fault, the request is halved until
//! that one stands alone.

use std::ops::Range;

use super::{answer::Meaning, post::Post, sheet::Sheet};
use crate::outcome::{LinkDown, Outcome, Proof, Reason};

/// How a sheet ended.
#[derive(Debug)]
pub(super) struct Delivered {
    /// One for each message, in order.
    pub(super) outcomes: Vec<Outcome>,
    /// Some were not delivered through no fault of theirs and are sent again: nothing may overtake them meanwhile, and what would has
    /// this to expect.
    pub(super) again: Option<Outcome>,
}

/// Sends all of it, in order.
pub(super) async fn deliver(post: &Post, entity: &str, sheet: &Sheet) -> Result<Delivered, LinkDown> {
    let mut outcomes = Vec::with_capacity(sheet.len());
    // Ranges that are still to be sent; the next one last.
    let mut waiting: Vec<_> = std::iter::once(0..sheet.len()).collect();
    let mut further = false;
    while let Some(range) = waiting.pop() {
        let fitting = range.start..range.start + sheet.fitting(&range, post.batch_bytes());
        if fitting.end < range.end {
            waiting.push(fitting.end..range.end);
        }
        if further {
            post.goes_on();
        }
        further = true;
        match post.post(entity, &sheet.request(&fitting)).await?.meaning() {
            Meaning::Delivered => outcomes.extend(fitting.map(|_| Outcome::Delivered(Proof::Confirmed))),
            Meaning::Somebody(_) | Meaning::Broken(_) if fitting.len() > 1 => halve(&fitting, &mut waiting),
            Meaning::Somebody(refusal) => outcomes.push(Outcome::Refused(refusal)),
            Meaning::Broken(refusal) => {
                // This one counts a try. Whether the others would fare better is not asked of a namespace that may be down.
                outcomes.push(Outcome::Refused(refusal));
                let unknown = Outcome::Unknown(Reason::Refused);
                outcomes.resize(sheet.len(), unknown.clone());
                return Ok(Delivered { outcomes, again: Some(unknown) });
            }
            Meaning::Nobody(outcome) => {
                outcomes.resize(sheet.len(), outcome.clone());
                return Ok(Delivered { outcomes, again: Some(outcome) });
            }
        }
    }
    Ok(Delivered { outcomes, again: None })
}

fn halve(range: &Range<usize>, waiting: &mut Vec<Range<usize>>) {
    let middle = range.start + range.len() / 2;
    waiting.push(middle..range.end);
    waiting.push(range.start..middle);
}
