//! The sentences themselves. Each is made from checked values, so that it cannot say what does not run.

use std::{fmt::Write, time::Duration};

use super::Sentence;
use crate::{
    broker::Remark,
    config::plan::{DeadLetterOutline, DestinationOutline, RouteOutline, SourceOutline},
    route::{NoReceivers, Ordering},
};

/// What there is to say of a route.
pub(super) fn of(source: &SourceOutline, route: &RouteOutline) -> Vec<Sentence> {
    let mut all = vec![
        Sentence { about: "takes", text: takes(source, route) },
        Sentence { about: "when it is delivered", text: delivered(source, route) },
    ];
    all.extend(of_each("when the destination is down", route, |destination| Some(down(source, route, destination))));
    all.extend(of_each("when it refuses a message", route, |destination| Some(refuses(route, destination))));
    all.extend(of_each("when nobody listens", route, |destination| destination.hears.then(|| nobody(route, destination))));
    all.push(Sentence { about: "when a message is bad", text: bad(source, route) });
    all.push(Sentence { about: "when the window is full of parked messages", text: parked(source) });
    all.push(Sentence { about: "when the process is killed", text: killed(source, route) });
    all.push(Sentence { about: "order", text: order(route).to_owned() });
    all.push(Sentence { about: "with N replicas", text: replicas(source) });
    for remark in source.remarks.iter().chain(&route.dead_letter_remarks) {
        go_on(&mut all, remark);
    }
    all.extend(of_kinds(route));
    all
}

/// A kind says more of what is answered already, or answers a question of its own.
fn go_on(all: &mut Vec<Sentence>, remark: &Remark) {
    match all.iter_mut().find(|sentence| sentence.about == remark.about) {
        Some(sentence) => _ = write!(sentence.text, " {}", capital(&remark.text)),
        None => all.push(Sentence { about: remark.about, text: remark.text.clone() }),
    }
}

/// What the kinds of the destinations have to say, in the order in which the first of them says it.
fn of_kinds(route: &RouteOutline) -> Vec<Sentence> {
    let remarks = || route.destinations.iter().flat_map(|destination| &destination.remarks);
    let mut abouts: Vec<&'static str> = Vec::new();
    for remark in remarks() {
        if !abouts.contains(&remark.about) {
            abouts.push(remark.about);
        }
    }
    let said = |destination: &DestinationOutline, about| {
        let said = destination.remarks.iter().find(|remark| remark.about == about);
        said.map(|remark| remark.text.clone())
    };
    abouts.into_iter().flat_map(|about| of_each(about, route, |destination| said(destination, about))).collect()
}

/// With a capital at its beginning: a sentence after another.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn takes(source: &SourceOutline, route: &RouteOutline) -> String {
    let mut text = if route.takes.is_empty() {
        format!("every message of {}", source.reads)
    } else {
        format!("messages of {} where {}", source.reads, route.takes.join(" and "))
    };
    if let Some(when) = &route.when {
        _ = write!(text, ", if the jq filter `{when}` holds");
    }
    if let Some(transform) = &route.transform {
        _ = write!(text, "; each is changed by the jq program `{transform}`");
    }
    if route.by_kind {
        text += "; its kind says where an event goes, and what no destination takes is unrouted";
    }
    for destination in &route.destinations {
        let when = destination.when.as_ref().map(|when| format!("the jq filter `{when}` holds"));
        let own: Vec<_> = destination.takes.iter().cloned().chain(when).collect();
        if !own.is_empty() {
            _ = write!(text, "; {} takes those where {}", destination.name, own.join(" and "));
        }
    }
    text + "."
}

fn delivered(source: &SourceOutline, route: &RouteOutline) -> String {
    let required = route.destinations.iter().filter(|destination| destination.rules.required).count();
    let who = match (required, route.destinations.len()) {
        (0, _) => "nobody: no destination is required, so a message is settled as soon as it is handed out".to_owned(),
        (1, 1) => "its destination".to_owned(),
        (2, 2) => "both destinations".to_owned(),
        (required, all) if required == all => format!("all {all} destinations"),
        (required, all) => format!("the {required} required of its {all} destinations"),
    };
    if route.exactly_once {
        "once: a copy, or its dead letter, and the position of the source are committed in one transaction, or none of them is; whoever \
         reads what is committed (`isolation.level=read_committed`) sees each message once."
            .to_owned()
    } else if source.answers && required > 0 {
        format!("whoever sent it is answered only after {who} confirmed.")
    } else if source.answers {
        format!("whoever sent it waits for {who}.")
    } else if source.holds && required > 0 {
        format!("the source is told only after {who} confirmed, or after the dead letter did.")
    } else if source.holds {
        format!("the source waits for {who}.")
    } else {
        format!("{} keeps no copy, so nothing can come again: what is in flight in a crash is gone.", source.reads)
    }
}

/// One sentence for all destinations of which the same holds; they are named where there are several.
fn of_each(about: &'static str, route: &RouteOutline, say: impl Fn(&DestinationOutline) -> Option<String>) -> Vec<Sentence> {
    let mut said: Vec<(Vec<&str>, String)> = Vec::new();
    for destination in &route.destinations {
        let Some(text) = say(destination) else { continue };
        match said.iter_mut().find(|(_, other)| *other == text) {
            Some((names, _)) => names.push(&destination.name),
            None => said.push((vec![&destination.name], text)),
        }
    }
    let alone = route.destinations.len() == 1;
    let whose = |names: Vec<&str>, text| if alone { text } else { format!("{}: {text}", names.join(", ")) };
    said.into_iter().map(|(names, text)| Sentence { about, text: whose(names, text) }).collect()
}

fn down(source: &SourceOutline, route: &RouteOutline, destination: &DestinationOutline) -> String {
    if !destination.rules.required {
        return "messages wait in a bounded queue; once it is full they are dropped and counted, and nobody else waits.".to_owned();
    }
    let held = match (source.answers, source.holds) {
        (true, _) => "whoever sends more waits, and is told to come again when it waits too long",
        (false, true) => "the rest stays in the source",
        (false, false) => "what the source sends meanwhile is lost there",
    };
    let lanes = source.routes.iter().flat_map(|route| &route.destinations).count();
    let others = if lanes > 1 { " (so far the source's other destinations run ahead)" } else { "" };
    let mut text = format!(
        "nothing counts as a try; up to {} messages or {} are held here{others}, {held}; the flow resumes within seconds of its return.",
        source.window,
        size(source.window_bytes)
    );
    if let Some(deadline) = destination.rules.deadline {
        _ = write!(text, " After {} a message {}, also while the destination is down.", words(deadline), end(&route.dead_letter));
    }
    text
}

fn refuses(route: &RouteOutline, destination: &DestinationOutline) -> String {
    let rules = &destination.rules;
    if !rules.required && rules.max_errors.is_none() && rules.deadline.is_none() {
        return "it is tried again until there is no room.".to_owned();
    }
    let tries = match (rules.max_errors, rules.deadline) {
        (Some(1), _) => "at the first refusal".to_owned(),
        (Some(tries), None) => format!("after {tries} tries{}", within(destination)),
        (Some(tries), Some(deadline)) => format!("after {tries} tries or {}", words(deadline)),
        (None, Some(deadline)) => format!("after {} of tries", words(deadline)),
        (None, None) => "never".to_owned(),
    };
    let others = match rules.ordering {
        Ordering::None => "all other messages flow on",
        Ordering::Key | Ordering::Strict => "later messages of its key wait behind it, all others flow on",
    };
    format!("{tries} it {}; {others} meanwhile.", end(&route.dead_letter))
}

fn within(destination: &DestinationOutline) -> String {
    destination.rules.hold_max().map_or_else(String::new, |hold| format!(" (at most {})", words(hold)))
}

fn nobody(route: &RouteOutline, destination: &DestinationOutline) -> String {
    match destination.rules.on_no_receivers {
        NoReceivers::Ok => "it counts as delivered, and nobody has it; `rialto_messages_unheard_total` counts it.".to_owned(),
        NoReceivers::Retry => format!("it counts as a failed try; in the end it {}.", end(&route.dead_letter)),
        NoReceivers::Park => {
            let deadline =
                destination.rules.deadline.map_or_else(String::new, |deadline| format!(", for at most {}", words(deadline)));
            format!("it waits until somebody listens{deadline}; then it {}.", end(&route.dead_letter))
        }
        NoReceivers::DeadLetter => format!("it {} at once.", end(&route.dead_letter)),
    }
}

fn bad(source: &SourceOutline, route: &RouteOutline) -> String {
    let json = if source.decode == "any" { "" } else { "not JSON, " };
    let own = end(&source.dead_letter);
    let unrouted = match source.unrouted {
        "ack" => "what no route takes is acknowledged and counted",
        "reject" if source.answers => "so is what no route takes",
        "reject" => "what no route takes is rejected at its source",
        _ if matches!(source.dead_letter, DeadLetterOutline::To(_)) => "so does what no route takes",
        _ => "so is what no route takes",
    };
    let mut text =
        format!("what is {json}over {} or without a legal address {own} with its reason, and {unrouted}", size(source.message_max));
    if route.dead_letter != source.dead_letter {
        _ = write!(text, "; what this route cannot deliver {}", end(&route.dead_letter));
    }
    text + "."
}

fn parked(source: &SourceOutline) -> String {
    let half = (source.window / 2).max(1);
    let then = match (source.answers, source.holds) {
        (true, _) => "whoever sends is told to come again",
        (false, true) => "what is in the source waits there",
        (false, false) => "what the source sends meanwhile is lost",
    };
    format!("at {half} parked messages reading stops, with a metric and an alarm; {then}.")
}

fn killed(source: &SourceOutline, route: &RouteOutline) -> String {
    if route.exactly_once {
        "nothing is lost and nothing is repeated: the transaction that was open is aborted, and what it held is read again."
            .to_owned()
    } else if source.answers {
        "whoever was not answered does not know, and sends again: with the same id it is the same event.".to_owned()
    } else if source.holds {
        format!("nothing is lost; up to {} messages come again after the restart, with the ids that they brought.", source.window)
    } else {
        "messages in flight are lost, and so is what is sent until it runs again.".to_owned()
    }
}

fn order(route: &RouteOutline) -> &'static str {
    if route.exactly_once {
        return "messages of one partition are committed in their order, whatever their key: one that is tried again holds back those \
                behind it.";
    }
    match (route.ordering, route.key.is_some()) {
        ("none", _) => "none is kept.",
        ("key", true) => "messages of one key are first delivered in the order of the source.",
        ("key", false) => {
            "messages of one key are first delivered in the order of the source; the key is the message's own, if it has one."
        }
        _ => "one message of a key is on the wire at a time: no retry is ever overtaken.",
    }
}

fn replicas(source: &SourceOutline) -> String {
    if source.answers {
        "each replica takes what is sent to it, and keeps the order of what it takes.".to_owned()
    } else if source.holds {
        "the replicas share the source: each message is published once, and order holds within what one replica takes.".to_owned()
    } else {
        "every replica receives every message: this route publishes N copies.".to_owned()
    }
}

/// Settings that break a promise.
pub(super) fn warnings(source: &SourceOutline, route: &RouteOutline) -> Vec<String> {
    let mut all = Vec::new();
    if !source.holds && !source.answers {
        all.push(format!("{} delivers at most once: what is published while nobody reads is gone.", source.reads));
    }
    if source.holds && route.dead_letter == DeadLetterOutline::Drop {
        all.push("what cannot be delivered is lost by choice (`dead_letter: drop`); it is counted and logged.".to_owned());
    }
    if !source.keeps_rejected && [&source.dead_letter, &route.dead_letter].contains(&&DeadLetterOutline::Native) {
        all.push(format!(
            "whether {} has dead letters of its own cannot be seen from here; where it has none, what is rejected to it is lost.",
            source.reads
        ));
    }
    if route.destinations.iter().all(|destination| !destination.rules.required) {
        all.push("no destination is required: a message may be lost to all of them.".to_owned());
    }
    for destination in &route.destinations {
        if let Some(deadline) = destination.rules.deadline {
            all.push(format!(
                "{}: its deadline of {} also runs while it is down; in a longer outage every message {}.",
                destination.name,
                words(deadline),
                end(&route.dead_letter)
            ));
        }
    }
    all
}

fn end(dead_letter: &DeadLetterOutline) -> String {
    match dead_letter {
        DeadLetterOutline::To(place) => format!("goes to {place}"),
        DeadLetterOutline::Answered => "is refused to whoever sent it".to_owned(),
        DeadLetterOutline::Native => "is rejected to the source's own dead letters".to_owned(),
        DeadLetterOutline::Drop => "is dropped and counted".to_owned(),
    }
}

fn words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn size(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).to_string().replace(".0 ", " ")
}
