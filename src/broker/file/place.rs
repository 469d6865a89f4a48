//! Where files are: inside their directory, whatever a message says.

use std::{
    fs::{self, File},
    path::Path,
};

/// Whether a path stays in its directory: no step up, no step nowhere, not from the root. Links are the directory's owner's own doing.
pub(super) fn is_inside(path: &str) -> bool {
    !path.is_empty() && !path.contains('\0') && path.split('/').all(|step| !matches!(step, "" | "." | ".."))
}

/// The directory is there. The error is a sentence.
pub(super) fn directory(directory: &Path) -> Result<(), String> {
    match fs::metadata(directory) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(format!("{} is no directory", directory.display())),
        Err(error) => Err(format!("{}: {error}", directory.display())),
    }
}

/// The file of a `broker/path` can be read. The error is a sentence.
pub(super) fn readable(directory: &Path, address: &str) -> Result<(), String> {
    let path = directory.join(address.split_once('/').map_or(address, |(_, path)| path));
    match File::open(&path).and_then(|file| file.metadata()) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(format!("{} is no regular file", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_its_directory() {
        for inside in ["a", "a/b.jsonl", "...", ".hidden", "a b", "..a/b.."] {
            assert!(is_inside(inside), "{inside}");
        }
        for outside in ["", "/", "/etc/passwd", "..", "../a", "a/../b", "a/..", "./a", "a//b", "a/", "a\0b"] {
            assert!(!is_inside(outside), "{outside}");
        }
    }
}
