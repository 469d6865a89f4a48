//! `rialto graph`: what flows where, as a picture in mermaid or dot.

use std::{collections::BTreeMap, fmt::Write};

use super::plan::{DeadLetterOutline, DestinationOutline, Outline, RouteOutline, SourceOutline};

/// The language of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Mermaid, which Markdown viewers draw.
    Mermaid,
    /// Graphviz.
    Dot,
}

/// The role of a node decides its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Source,
    Route,
    Place,
    DeadLetter,
}

/// A picture before it has a language. A place that is read and written is one node, so that circles are seen.
#[derive(Debug, Default)]
struct Picture {
    ids: BTreeMap<(bool, String), usize>,
    nodes: Vec<(Role, String)>,
    edges: Vec<Edge>,
}

#[derive(Debug)]
struct Edge {
    from: usize,
    to: usize,
    label: String,
    dead: bool,
}

/// Draws the plan.
pub fn draw(outline: &Outline, language: Language) -> String {
    let mut picture = Picture::default();
    for source in &outline.sources {
        picture.source(source);
    }
    match language {
        Language::Mermaid => picture.mermaid(),
        Language::Dot => picture.dot(),
    }
}

impl Picture {
    fn source(&mut self, source: &SourceOutline) {
        let from = self.node(Role::Source, &source.address);
        if source.unrouted == "dead_letter" {
            self.dead(from, &source.dead_letter, "unrouted, undecodable");
        }
        for route in &source.routes {
            let middle = self.node(Role::Route, &route.name);
            self.edge(from, middle, clauses(&route.takes, route.when.as_deref()), false);
            for destination in &route.destinations {
                let to = self.node(Role::Place, &destination.address);
                self.edge(middle, to, label(destination), false);
            }
            self.dead_of(middle, route, source);
        }
    }

    /// A route's dead letters are drawn at the route, those of the source's own at the source.
    fn dead_of(&mut self, from: usize, route: &RouteOutline, source: &SourceOutline) {
        let why = if route.dead_letter == source.dead_letter { "" } else { "its own dead letter" };
        self.dead(from, &route.dead_letter, why);
    }

    fn dead(&mut self, from: usize, dead_letter: &DeadLetterOutline, why: &str) {
        if let DeadLetterOutline::To(place) = dead_letter {
            let to = self.node(Role::DeadLetter, place);
            self.edge(from, to, why.to_owned(), true);
        }
    }

    /// Routes and places are told apart: a route may be called as a place is.
    fn node(&mut self, role: Role, label: &str) -> usize {
        let key = (role == Role::Route, label.to_owned());
        let next = self.nodes.len();
        let id = *self.ids.entry(key).or_insert(next);
        if id == next {
            self.nodes.push((role, label.to_owned()));
        } else {
            // A source that is also written to stays a source.
            self.nodes[id].0 = self.nodes[id].0.min(role);
        }
        id
    }

    fn edge(&mut self, from: usize, to: usize, label: String, dead: bool) {
        self.edges.push(Edge { from, to, label, dead });
    }

    fn mermaid(&self) -> String {
        let mut out = "flowchart LR\n".to_owned();
        for (id, (role, label)) in self.nodes.iter().enumerate() {
            let (open, close) = match role {
                Role::Source => ("[/", "/]"),
                Role::Route => ("{{", "}}"),
                Role::Place => ("[", "]"),
                Role::DeadLetter => ("[(", ")]"),
            };
            let _ = writeln!(out, "  n{id}{open}\"{}\"{close}", mermaid_text(label));
        }
        for edge in &self.edges {
            let arrow = if edge.dead { "-.->" } else { "-->" };
            let label = if edge.label.is_empty() { String::new() } else { format!("|\"{}\"|", mermaid_text(&edge.label)) };
            let _ = writeln!(out, "  n{} {arrow}{label} n{}", edge.from, edge.to);
        }
        out
    }

    fn dot(&self) -> String {
        let mut out = "digraph rialto {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n".to_owned();
        for (id, (role, label)) in self.nodes.iter().enumerate() {
            let shape = match role {
                Role::Source => "cds",
                Role::Route => "hexagon",
                Role::Place => "box",
                Role::DeadLetter => "cylinder",
            };
            let _ = writeln!(out, "  n{id} [label=\"{}\", shape={shape}];", dot_text(label));
        }
        for edge in &self.edges {
            let style = edge.dead.then(|| "style=dashed".to_owned());
            let label = (!edge.label.is_empty()).then(|| format!("label=\"{}\"", dot_text(&edge.label)));
            let traits = label.into_iter().chain(style).collect::<Vec<_>>().join(", ");
            let traits = if traits.is_empty() { traits } else { format!(" [{traits}]") };
            let _ = writeln!(out, "  n{} -> n{}{traits};", edge.from, edge.to);
        }
        out.push_str("}\n");
        out
    }
}

fn label(destination: &DestinationOutline) -> String {
    let mut label = clauses(&destination.takes, destination.when.as_deref());
    if !destination.rules.required {
        label = if label.is_empty() { "optional".to_owned() } else { format!("optional; {label}") };
    }
    label
}

fn clauses(takes: &[String], when: Option<&str>) -> String {
    let when = when.map(|when| format!("when {when}"));
    takes.iter().cloned().chain(when).collect::<Vec<_>>().join(" and ")
}

/// Mermaid reads entity codes inside quotes: `#quot;` for the quote itself, and `#` must be one too.
fn mermaid_text(text: &str) -> String {
    text.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;").replace('\n', " ")
}

fn dot_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ")
}
