//! The files that a link appends to, on a thread of their own: a disk may be slow.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use indexmap::IndexMap;

use super::place::is_inside;
use crate::broker::lines::{Sheet, Written};

/// Files that are open at once; the one that was not written for longest is closed for the next.
const OPEN_MAX: usize = 64;

/// Lines of one batch for one file.
#[derive(Debug)]
pub(super) struct Page {
    /// Below the directory.
    pub(super) path: Box<str>,
    pub(super) sheet: Sheet,
    pub(super) fsync: bool,
}

/// The open files.
#[derive(Debug)]
pub(super) struct Writer {
    directory: PathBuf,
    open: IndexMap<Box<str>, Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    inode: u64,
    /// The last line has no end: another process or a crash broke it off.
    torn: bool,
}

impl Writer {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), open: IndexMap::new() }
    }

    /// Appends a page. After a failed `fsync` nobody knows what is on the disk: the file is let go, and nothing of it counts as written.
    pub(super) fn write(&mut self, page: &Page) -> Written {
        let failed = |error| Written { lines: 0, failed: Some(error) };
        let mut open = match self.take(&page.path) {
            Ok(open) => open,
            Err(error) => return failed(error),
        };
        let written = page.sheet.write(&mut open.file, &mut open.torn);
        if page.fsync
            && written.failed.is_none()
            && let Err(error) = open.file.sync_data()
        {
            return failed(error);
        }
        if self.open.len() >= OPEN_MAX {
            self.open.shift_remove_index(0);
        }
        self.open.insert(page.path.clone(), open);
        written
    }

    /// The open file of a path, or a new one where it was rotated away.
    fn take(&mut self, path: &str) -> io::Result<Open> {
        if !is_inside(path) {
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, format!("`{path}` leaves its directory")));
        }
        let place = self.directory.join(path);
        let stands = |open: &Open| fs::metadata(&place).is_ok_and(|found| found.ino() == open.inode);
        if let Some(open) = self.open.shift_remove(path).filter(stands) {
            return Ok(open);
        }
        match append(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && place.parent().is_some_and(|parent| !parent.exists()) => {
                // Below the directory only, which must be there.
                fs::metadata(&self.directory)?;
                fs::create_dir_all(place.parent().unwrap_or(&self.directory))?;
                append(&place)
            }
            opened => opened,
        }
    }
}

fn append(place: &Path) -> io::Result<Open> {
    let file = OpenOptions::new().read(true).append(true).create(true).open(place)?;
    let found = file.metadata()?;
    let mut last = [b'\n'];
    if found.is_file() && found.len() > 0 {
        file.read_exact_at(&mut last, found.len() - 1)?;
    }
    Ok(Open { file, inode: found.ino(), torn: last != [b'\n'] })
}
