//! The stand of files: a directory of the test's own, written and read with the standard library.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    sync::atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use rialto::broker::{Kind, file::KIND};
use tempfile::TempDir;

use super::{Found, Picky, Place, Stand};

/// A directory.
pub(crate) struct Directory(TempDir);

fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("place-{}.jsonl", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[async_trait]
impl Stand for Directory {
    async fn start() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn server(&self) -> String {
        String::new()
    }

    fn settings(&self, _: &str) -> String {
        format!("directory: \"{}\"", self.0.path().display())
    }

    async fn place(&self) -> Place {
        let path = unique();
        fs::write(self.0.path().join(&path), "").expect("a file");
        Place { origin: format!("path: {path}\nfollow: true\nmessage_max: 32MiB"), target: format!("path: {path}"), address: path }
    }

    fn spelled(&self, body: String) -> String {
        body.replace('\n', " ")
    }

    async fn put(&self, place: &Place, bodies: &[String]) {
        let mut file = OpenOptions::new().append(true).open(self.0.path().join(&place.address)).expect("a file");
        for body in bodies {
            file.write_all(format!("{body}\n").as_bytes()).expect("written");
        }
    }

    async fn found(&self, place: &Place) -> Vec<Found> {
        let path = self.0.path().join(&place.address);
        let text = fs::read_to_string(&path).expect("text");
        fs::write(path, "").expect("emptied");
        let found = |line: &str| Found { body: line.into(), id: None, name: None, headers: std::collections::BTreeMap::default() };
        text.lines().map(found).collect()
    }

    async fn waiting(&self, _: &Place) -> usize {
        // Nothing outside a process remembers how far it read.
        unreachable!("asked only of what redelivers")
    }

    async fn picky(&self) -> Picky {
        Picky { target: "path: '{payload.event_id}'".into(), good: unique(), bad: "..".into() }
    }
}
