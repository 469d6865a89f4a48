//! `rialto explain`: what each route does when something fails, in plain sentences from the checked values.

mod sentences;

use std::fmt::Write;

use serde::Serialize;

use super::plan::{Outline, RouteOutline, SourceOutline};

/// What there is to say of one route.
#[derive(Debug, Clone, Serialize)]
pub struct Story {
    /// The route's name.
    pub route: String,
    /// Where its messages come from.
    pub from: String,
    /// Where they go.
    pub to: Vec<String>,
    /// In the order in which a reader asks.
    pub sentences: Vec<Sentence>,
    /// Settings that break a promise.
    pub warnings: Vec<String>,
}

/// An answer.
#[derive(Debug, Clone, Serialize)]
pub struct Sentence {
    /// The question: `when the destination is down`.
    pub about: &'static str,
    /// The answer, one or more sentences.
    pub text: String,
}

/// Tells the story of every route, in the order of the sources.
pub fn stories(outline: &Outline) -> Vec<Story> {
    outline.sources.iter().flat_map(|source| source.routes.iter().map(|route| story(source, route))).collect()
}

fn story(source: &SourceOutline, route: &RouteOutline) -> Story {
    Story {
        route: route.name.clone(),
        from: source.address.clone(),
        to: route.destinations.iter().map(|destination| destination.address.clone()).collect(),
        sentences: sentences::of(source, route),
        warnings: sentences::warnings(source, route),
    }
}

/// The stories as text, wrapped at `width` columns.
pub fn render(stories: &[Story], width: usize) -> String {
    let mut out = String::new();
    for story in stories {
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "route {}: {} → {}", story.route, story.from, story.to.join(", "));
        for sentence in &story.sentences {
            wrap(&format!("{}: {}", sentence.about, sentence.text), "  ", "      ", width, &mut out);
        }
        for warning in &story.warnings {
            wrap(&format!("warning: {warning}"), "  ", "      ", width, &mut out);
        }
    }
    out
}

/// Who can come in where; empty where nobody can.
pub fn doors(sentences: &[String], width: usize) -> String {
    let mut out = if sentences.is_empty() { String::new() } else { "\ndoors\n".to_owned() };
    for sentence in sentences {
        wrap(sentence, "  ", "      ", width, &mut out);
    }
    out
}

/// Breaks a text at blanks; a word longer than a line stands alone.
fn wrap(text: &str, first: &str, later: &str, width: usize, out: &mut String) {
    let mut line = first.to_owned();
    let mut used = first.chars().count();
    let mut empty = true;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if !empty && used + 1 + length > width {
            out.push_str(&line);
            out.push('\n');
            later.clone_into(&mut line);
            used = later.chars().count();
            empty = true;
        }
        if !empty {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += length;
        empty = false;
    }
    out.push_str(&line);
    out.push('\n');
}
