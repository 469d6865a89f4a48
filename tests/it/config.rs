//! Every fault of a configuration at once, exactly rendered; and what is told of a good one.
//!
//! `tests/config/bad/NAME.yaml` goes with `NAME.txt`, the page that a user gets; `tests/config/good/NAME.yaml` with what `list`,
//! `explain` and `graph` say. `RIALTO_BLESS=1` writes the texts anew: read the difference before committing it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rialto::config::{self, Environment, Sources, explain, graph, list};

#[test]
fn every_fault_of_a_bad_file_is_told_at_once() {
    for file in files("tests/config/bad") {
        let (planned, page) = plan(&file);
        assert!(planned.is_none(), "{} is accepted:\n{page}", file.display());
        expect(&file, &page);
    }
}

#[test]
fn a_good_file_is_told_as_it_runs() {
    for file in files("tests/config/good") {
        let (planned, page) = plan(&file);
        let plan = planned.unwrap_or_else(|| panic!("{} is refused:\n{page}", file.display()));
        let stories = explain::stories(&plan.outline);
        let told = [
            page,
            list::table(&plan.outline),
            explain::render(&stories, 120),
            graph::draw(&plan.outline, graph::Language::Mermaid),
            graph::draw(&plan.outline, graph::Language::Dot),
        ];
        expect(&file, &told.join("\n"));
    }
}

/// Plans one file alone, without the process's environment. Answers the plan and the page of its faults and warnings.
fn plan(file: &Path) -> (Option<config::plan::Plan>, String) {
    let sources = Sources { files: vec![file.to_owned()], environment: Environment::default(), ..Sources::default() };
    match config::load(&sources) {
        Ok(loaded) => {
            let (plan, faults) = config::plan(&loaded);
            (plan, config::render(&faults, false))
        }
        Err(faults) => (None, config::render(&faults, false)),
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(!files.is_empty(), "{folder} is empty");
    files
}

fn expect(file: &Path, actual: &str) {
    let golden = file.with_extension("txt");
    if std::env::var_os("RIALTO_BLESS").is_some() {
        fs::write(&golden, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
    assert!(expected == actual, "{} differs; it is now:\n{actual}", golden.display());
}

/// Whatever is missing, a plan comes without faults, or faults without a plan; nothing panics.
#[test]
fn a_line_less_is_a_plan_or_faults() {
    let folder = tempfile::tempdir().unwrap();
    let shorter = folder.path().join("shorter.yaml");
    let (mut plans, mut refusals) = (0, 0);
    for file in files("tests/config/good").into_iter().chain(files("tests/config/bad")).chain(files("config/examples")) {
        let text = fs::read_to_string(&file).unwrap();
        for missing in 0..text.lines().count() {
            let lines = text.lines().enumerate().filter(|(number, _)| *number != missing).map(|(_, line)| line);
            fs::write(&shorter, lines.collect::<Vec<_>>().join("\n")).unwrap();
            let (planned, page) = plan(&shorter);
            let is_refused = page.contains("error: ");
            assert_eq!(planned.is_none(), is_refused, "{} without its line {}:\n{page}", file.display(), missing + 1);
            if is_refused { refusals += 1 } else { plans += 1 }
        }
    }
    assert!(plans > 20 && refusals > 100, "{plans} plans, {refusals} refusals");
}
