//! From files, environment and command line to one tree, and from the tree to a checked plan.
//!
//! ```text
//! files ─▶ written::parse ─▶ ${VAR} ─┐
//! RIALTO__SECTION__KEY ──────────────┼─▶ merge ─▶ Loaded ─▶ plan
//! --set path=value ──────────────────┘
//! ```
//!
//! Every fault is found in one pass and names the place of what is wrong, whichever layer it came from. Defaults are no layer: each
//! stands where its key is read.

pub mod explain;
pub mod graph;
pub mod list;
pub mod plan;

mod environment;
mod files;
mod interpolate;
mod mask;
mod merge;
mod overrides;
mod render;
mod schema;
mod show;

#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use environment::Environment;
pub use files::{USUAL, VARIABLE};
pub use render::render;
pub use schema::schema;
pub use show::{show, show_json};

use crate::written::{self, Node, Problems};
use plan::{Given, Plan};

/// Where the configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Files and directories named on the command line; where there are none, `RIALTO_CONFIG` and the usual places are looked at.
    pub files: Vec<PathBuf>,
    /// A text that stands in for the files, with its name: the default that is compiled in.
    pub embedded: Option<(&'static str, &'static str)>,
    /// Texts that are no files, each with its name: what a program brings along. They come after the files; without a file named, nothing
    /// is looked for.
    pub texts: Vec<(String, String)>,
    /// `path=value` of each `--set`, the later over the earlier.
    pub sets: Vec<String>,
    /// The process's environment, or a test's.
    pub environment: Environment,
}

/// All layers merged.
#[derive(Debug)]
pub struct Loaded {
    /// The merged tree; each value remembers where it was written.
    pub root: Node,
    /// What is wrong so far (a variable that is not set, a broker written twice), and the texts of the files. A plan adds its own
    /// with [`Problems::take_in`].
    pub faults: Problems,
    /// The files that were read, in the order of their layers.
    pub files: Vec<PathBuf>,
}

/// Reads and merges all layers. `Err` where a file is missing or broken, so that there is no tree to look at.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let mut faults = Problems::default();
    let texts = match sources.embedded {
        Some((name, text)) => vec![files::Text { path: PathBuf::from(name), text: text.to_owned() }],
        None => files::read_all(sources, &mut faults),
    };
    let mut trees = Vec::with_capacity(texts.len());
    for file in &texts {
        let name = file.path.to_string_lossy();
        if let Some(tree) = written::parse(&name, &file.text, &mut faults) {
            trees.push(interpolate::put_in(tree, &sources.environment, &mut faults));
        }
    }
    if texts.is_empty() || trees.len() < texts.len() {
        return Err(faults);
    }
    let root = merge::merge(&trees, &sources.environment, &sources.sets, &mut faults);
    Ok(Loaded { root, faults, files: texts.into_iter().map(|file| file.path).collect() })
}

/// Checks the whole tree and compiles it. The plan is there only where no fault is; the problems are those of loading too.
pub fn plan(loaded: &Loaded) -> (Option<Plan>, Problems) {
    plan_with(loaded, &Given::default())
}

/// The same with the brokers that the program brings along.
pub fn plan_with(loaded: &Loaded, given: &Given) -> (Option<Plan>, Problems) {
    let mut found = loaded.faults.fresh();
    let plan = plan::read(&loaded.root, given, &mut found);
    let mut faults = loaded.faults.clone();
    faults.take_in(found);
    (plan.filter(|_| faults.is_ok()), faults)
}
