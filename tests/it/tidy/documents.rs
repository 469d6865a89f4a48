//! What the documents say is so: their YAML is a configuration, their metrics exist, their links lead somewhere.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use super::sources::{File, files, root};
use rialto::{
    config::{self, Environment, Sources},
    outcome::Reason,
    telemetry::Metrics,
};

/// A block of YAML that is a whole configuration begins so; one marked as a fragment is laid over the seven lines of the README.
const WHOLE: &str = "```yaml\n";
const FRAGMENT: &str = "```yaml fragment\n";
/// Below it stands what a test writes.
const GENERATED: &str = "<!-- Written by `RIALTO_BLESS=1 cargo test --test it tidy`. -->";
const FENCE: &str = "\n```";

fn documents() -> Vec<File> {
    let places = ["docs", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];
    places.into_iter().flat_map(|place| files(place, &[".md"])).collect()
}

/// The text of every block that is fenced by `open`, with the line where it begins.
fn blocks<'a>(file: &'a File, open: &str) -> Vec<(usize, &'a str)> {
    let open = format!("\n{open}");
    file.text
        .match_indices(&open)
        .map(|(at, open)| {
            let start = at + open.len();
            let end = file.text[start..].find(FENCE).unwrap_or_else(|| panic!("{}: a block without an end", file.path));
            (file.text[..start].lines().count() + 1, &file.text[start..=start + end])
        })
        .collect()
}

/// The faults of these texts together, as one directory; empty where there are none.
fn faults(texts: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    for (number, text) in texts.iter().enumerate() {
        let text = text.replace("/run/secrets", secrets.to_str().unwrap());
        for secret in text.split(|letter: char| letter.is_whitespace() || ",}]".contains(letter)) {
            if secret.starts_with(secrets.to_str().unwrap()) {
                fs::create_dir_all(Path::new(secret).parent().unwrap()).unwrap();
                fs::write(secret, "redis://127.0.0.1:6379\n").unwrap();
            }
        }
        fs::write(folder.path().join(format!("{number}.yaml")), text).unwrap();
    }
    // Variables that a file insists on.
    let named = texts.iter().flat_map(|text| text.split("${").skip(1)).filter_map(|rest| rest.split('}').next());
    let named = named.filter(|inside| !inside.contains(":-")).filter_map(|inside| inside.split(':').next());
    let environment: Environment = named.map(|name| (name, "secret")).collect();
    let sources = Sources { files: vec![folder.path().to_owned()], environment, ..Sources::default() };
    match config::load(&sources) {
        Ok(loaded) => {
            let (plan, problems) = config::plan(&loaded);
            if plan.is_some() { String::new() } else { config::render(&problems, false) }
        }
        Err(problems) => config::render(&problems, false),
    }
}

/// What the README begins with.
fn seven_lines() -> String {
    let readme = files("README.md", &[".md"]).remove(0);
    let (_, block) = blocks(&readme, WHOLE)[0];
    block.to_owned()
}

#[test]
fn every_shipped_configuration_is_sound() {
    // Those of `deploy/` are read as they are mounted, by `tests/deploy`.
    for file in &files("config", &[".yaml", ".yml"]) {
        let found = faults(&[&file.text]);
        assert_eq!(found, "", "{}", file.path);
    }
}

/// The last part of the page is `config/reference.yaml`. `RIALTO_BLESS=1` writes it.
#[test]
fn the_configuration_page_ends_with_the_reference() {
    let page = files("docs/configuration.md", &[".md"]).remove(0);
    let reference = files("config/reference.yaml", &[".yaml"]).remove(0);
    let (head, _) = page.text.split_once(GENERATED).expect("the mark of what is generated");
    let due = format!("{head}{GENERATED}\n\n{WHOLE}{}```\n", reference.text);
    if std::env::var_os("RIALTO_BLESS").is_some() {
        fs::write(root().join(&page.path), &due).unwrap();
    } else {
        assert!(page.text == due, "docs/configuration.md is not of today: {GENERATED}");
    }
}

#[test]
fn every_block_of_yaml_in_the_documents_is_sound() {
    let base = seven_lines();
    let mut seen = 0;
    for document in documents() {
        for (line, block) in blocks(&document, WHOLE) {
            assert_eq!(faults(&[block]), "", "{}:{line}", document.path);
            seen += 1;
        }
        for (line, block) in blocks(&document, FRAGMENT) {
            assert_eq!(faults(&[&base, block]), "", "{}:{line}, laid over the seven lines", document.path);
            seen += 1;
        }
    }
    assert!(seen > 3, "the documents show too little: {seen} blocks");
}

#[test]
fn the_seven_lines_are_those_of_the_first_example() {
    let example = files("config/examples/spine.yaml", &[".yaml"]).remove(0);
    for line in seven_lines().lines() {
        assert!(example.text.lines().any(|known| known.trim() == line.trim()), "config/examples/spine.yaml lacks `{line}`");
    }
}

#[test]
fn the_operations_page_names_exactly_the_metrics_that_there_are() {
    let metrics = Metrics::new();
    // A series of every family: some begin only with what they tell.
    let (_, lane, broker) = (metrics.source("s"), metrics.lane("r", "d"), metrics.broker("b"));
    lane.paused(Some(Reason::Link));
    lane.try_failed(Reason::Link);
    broker.up(true);
    metrics.certificates("b").own(0);
    let page = files("docs/operations.md", &[".md"]).remove(0);
    let exposed: BTreeSet<String> = metrics
        .encode()
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        })
        .collect();
    assert!(exposed.len() > 20, "{exposed:?}");
    let named: BTreeSet<String> = page
        .text
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| (word.starts_with("rialto_") || word.starts_with("process_")) && !word.ends_with('_'))
        .map(str::to_owned)
        .collect();
    assert_eq!(exposed.difference(&named).collect::<Vec<_>>(), [""; 0], "missing in docs/operations.md");
    assert_eq!(named.difference(&exposed).collect::<Vec<_>>(), [""; 0], "docs/operations.md names what is not there");
}

#[test]
fn the_operations_page_names_every_command() {
    let help = Command::new(env!("CARGO_BIN_EXE_rialto")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let page = files("docs/operations.md", &[".md"]).remove(0);
    let mut seen = 0;
    for command in commands.filter_map(|line| line.split_whitespace().next()).filter(|command| *command != "help") {
        assert!(page.text.contains(&format!("| `{command}")), "docs/operations.md has no row for `{command}`");
        seen += 1;
    }
    assert!(seen > 5, "{help}");
}

#[test]
fn every_link_of_the_documents_leads_to_a_file() {
    for document in documents() {
        let folder = root().join(&document.path);
        for (at, open) in document.text.match_indices("](") {
            let target = &document.text[at + open.len()..];
            let target = target[..target.find(')').unwrap()].split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                let file = folder.parent().unwrap().join(target);
                assert!(file.exists(), "{} links to {target}, which is not there", document.path);
            }
        }
    }
}

#[test]
fn every_page_that_the_code_speaks_of_is_there() {
    for file in files("src", &[".rs"]).iter().chain(&files("tests", &[".rs", ".py", ".bash"])) {
        let words = file.text.split(|letter: char| !(letter.is_alphanumeric() || "/._-".contains(letter)));
        for page in words
            .map(|word| word.trim_end_matches('.'))
            .filter(|word| word.strip_suffix(".md").is_some_and(|stem| !stem.is_empty()))
        {
            assert!(root().join(page).is_file(), "{} speaks of {page}, which is not there", file.path);
        }
    }
}
