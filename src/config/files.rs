//! Which files make up the configuration, and their texts.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    Sources,
    environment::{Environment, Variable},
};
use crate::written::{FILE_BYTES_MAX, Problems, Span};

/// Where a configuration is looked for when none is named.
pub const USUAL: [&str; 2] = ["rialto.yaml", "/etc/rialto/rialto.yaml"];
/// The variable that names a configuration.
pub const VARIABLE: &str = "RIALTO_CONFIG";

/// One file, read.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Reads the files named, else that of `RIALTO_CONFIG`, else the first of the usual places; then the texts that are no files. What
/// cannot be read is a fault.
pub(super) fn read_all(sources: &Sources, faults: &mut Problems) -> Vec<Text> {
    let before = faults.len();
    let mut texts = Vec::new();
    let usual = !sources.files.is_empty() || sources.texts.is_empty();
    let chosen = if usual { chosen(&sources.files, &sources.environment, faults) } else { Vec::new() };
    for (path, asked_by) in chosen {
        match listed(&path) {
            Ok(files) if files.is_empty() => {
                faults
                    .fault(&asked_by, format!("the directory {} holds no configuration", path.display()))
                    .hint("its `*.yaml`, `*.yml` and `*.json` are read, those that begin with a dot are not");
            }
            Ok(files) => {
                for file in files {
                    match read(&file) {
                        Ok(text) => texts.push(Text { path: file, text }),
                        Err(error) => _ = faults.fault(&asked_by, format!("{}: {error}", file.display())),
                    }
                }
            }
            Err(error) => _ = faults.fault(&asked_by, format!("{}: {error}", path.display())),
        }
    }
    texts.extend(sources.texts.iter().map(|(name, text)| Text { path: PathBuf::from(name), text: text.clone() }));
    if faults.len() > before { Vec::new() } else { texts }
}

/// The files and directories to read, and who asked for them.
fn chosen(named: &[PathBuf], environment: &Environment, faults: &mut Problems) -> Vec<(PathBuf, Span)> {
    if !named.is_empty() {
        let asked = |path: &PathBuf| (path.clone(), Span::outside(format!("--config {}", path.display())));
        return named.iter().map(asked).collect();
    }
    let by_variable = Span::outside(format!("environment {VARIABLE}"));
    match environment.get(VARIABLE) {
        Variable::Is(path) if !path.is_empty() => return vec![(PathBuf::from(path), by_variable)],
        Variable::NotUnicode => {
            faults.fault(&by_variable, "the path is not Unicode").hint("name the file with `--config`");
            return Vec::new();
        }
        Variable::Is(_) | Variable::Unset => {}
    }
    if let Some(path) = USUAL.iter().map(Path::new).find(|path| path.exists()) {
        return vec![(path.to_owned(), Span::outside(path.to_string_lossy()))];
    }
    faults
        .fault(&Span::outside("command line"), "no configuration found")
        .hint(format!("looked at --config (not given), {VARIABLE} (not set), ./{} and {} (not there)", USUAL[0], USUAL[1]));
    Vec::new()
}

/// The file itself, or a directory's files in byte order. Links are followed: Kubernetes mounts every file as one.
fn listed(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let suffix = file.extension().is_some_and(|suffix| ["yaml", "yml", "json"].iter().any(|known| suffix == *known));
        if suffix && !hidden && fs::metadata(&file)?.is_file() {
            files.push(file);
        }
    }
    files.sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    Ok(files)
}

/// Not more than the parser takes, whatever the file holds.
fn read(path: &Path) -> io::Result<String> {
    let byte_order_mark = 3;
    let mut text = String::new();
    File::open(path)?.take((FILE_BYTES_MAX + byte_order_mark + 1) as u64).read_to_string(&mut text)?;
    Ok(text)
}
