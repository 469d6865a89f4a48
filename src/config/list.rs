//! `rialto list`: sources, routes and destinations as a table.

use super::plan::{DestinationOutline, Outline, RouteOutline, SourceOutline};

/// One line for each destination of each route, under a line of headings; columns are as wide as what stands in them.
pub fn table(outline: &Outline) -> String {
    let mut rows = vec![["SOURCE", "ROUTE", "DESTINATION", "ADDRESS", "ENVELOPE", "DEAD LETTER", "TAKES"].map(str::to_owned)];
    for source in &outline.sources {
        for route in &source.routes {
            rows.extend(route.destinations.iter().map(|destination| row(source, route, destination)));
        }
    }
    render(&rows)
}

fn row(source: &SourceOutline, route: &RouteOutline, destination: &DestinationOutline) -> [String; 7] {
    let mut takes: Vec<_> = route.takes.iter().chain(&destination.takes).cloned().collect();
    takes.extend([&route.when, &destination.when].into_iter().flatten().map(|when| format!("when {when}")));
    [
        source.address.clone(),
        route.name.clone(),
        destination.name.clone(),
        destination.address.clone(),
        destination.envelope.to_owned(),
        route.dead_letter.to_string(),
        if takes.is_empty() { "everything".to_owned() } else { takes.join(" and ") },
    ]
}

fn render<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}
