//! Faults for people: message, place, the line itself, what is wrong in it, and how to mend it.

use std::{cmp::Ordering, collections::HashMap, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle};

use super::mask::mask;
use crate::written::{Problem, Problems, Span, redact_url};

/// Faults printed at once; more than that is one mistake many times.
const SHOWN_MAX: usize = 100;

/// All faults and warnings by file and place, with their source lines; secrets in these lines are hidden.
pub fn render(problems: &Problems, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Unicode);
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort_by(|a, b| by_place(a, b));
    let mut pages = Pages { problems, masked: HashMap::new() };
    let mut out = String::new();
    for problem in sorted.iter().take(SHOWN_MAX) {
        let places = pages.places(problem);
        out.push_str(&renderer.render(&[group(problem, &places)]));
        out.push_str("\n\n");
    }
    out.push_str(&summary(&sorted));
    out
}

fn by_place(a: &Problem, b: &Problem) -> Ordering {
    let place = |problem: &Problem| (problem.at.source.clone(), problem.at.bytes.start, problem.at.line);
    place(a).cmp(&place(b))
}

fn summary(sorted: &[&Problem]) -> String {
    let warnings = sorted.iter().filter(|problem| problem.warning).count();
    let counted = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let mut summary = match (sorted.len() - warnings, warnings) {
        (0, 0) => return String::new(),
        (errors, 0) => counted(errors, "error"),
        (0, warnings) => counted(warnings, "warning"),
        (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    };
    if sorted.len() > SHOWN_MAX {
        summary = format!("{summary}; the first {SHOWN_MAX} are shown");
    }
    summary + "\n"
}

/// One place of a problem, ready to show.
struct Place<'a> {
    at: &'a Span,
    label: Option<String>,
    kind: AnnotationKind,
    /// The lines from the first to the last place of the same file, and the line number of the first.
    lines: Option<(String, usize)>,
    /// In `lines`.
    bytes: Range<usize>,
}

/// The files' texts with their secrets hidden.
struct Pages<'a> {
    problems: &'a Problems,
    masked: HashMap<&'a str, Option<String>>,
}

impl<'a> Pages<'a> {
    fn places(&mut self, problem: &'a Problem) -> Vec<Place<'a>> {
        let mut places = vec![self.place(&problem.at, problem.hint.as_deref(), AnnotationKind::Primary)];
        if let Some((at, label)) = &problem.also {
            places.push(self.place(at, Some(label), AnnotationKind::Context));
        }
        places
    }

    fn place(&mut self, at: &'a Span, label: Option<&'a str>, kind: AnnotationKind) -> Place<'a> {
        let label = label.map(redact_url);
        let hidden = || self.problems.text_of(&at.source).map(|text| mask(text));
        let text = if at.is_file() { self.masked.entry(&at.source).or_insert_with(hidden).as_deref() } else { None };
        let Some(text) = text.filter(|text| text.is_char_boundary(at.bytes.start) && at.bytes.start <= text.len()) else {
            return Place { at, label, kind, lines: None, bytes: 0..0 };
        };
        let first = text[..at.bytes.start].rfind('\n').map_or(0, |end| end + 1);
        let last = text[at.bytes.start..].find('\n').map_or(text.len(), |end| at.bytes.start + end);
        // What goes on over several lines is marked in its first.
        let bytes = at.bytes.start - first..at.bytes.end.clamp(at.bytes.start, last) - first;
        Place { at, label, kind, lines: Some((text[first..last].trim_end_matches('\r').to_owned(), at.line)), bytes }
    }
}

fn group<'a>(problem: &'a Problem, places: &'a [Place<'a>]) -> Group<'a> {
    let level = if problem.warning { Level::WARNING } else { Level::ERROR };
    let mut group = Group::with_title(level.primary_title(redact_url(&problem.message)));
    for place in places {
        if let Some((line, number)) = &place.lines {
            let annotation = place.kind.span(place.bytes.clone()).label(place.label.as_deref());
            let snippet = Snippet::source(line.as_str()).path(&*place.at.source).line_start(*number).fold(false);
            group = group.element(snippet.annotation(annotation));
            continue;
        }
        group = group.element(Origin::path(&*place.at.source));
        if let Some(label) = place.label.as_deref() {
            group = group.element(Level::HELP.no_name().message(label));
        }
    }
    group
}
