//! One incarnation of the reading of a file.

use std::{
    borrow::Cow,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{origin::FileOrigin, trail::Generation};
use crate::{
    broker::{
        Ended, Source, SourceError,
        fnv1a::fnv1a,
        lines::{Cutter, Line},
        untold::until_settled,
    },
    envelope::{Carrier, HeaderValue, Property, RawMessage},
    intake::{Intake, Offers},
    outcome::Reason,
};

/// One read takes at most so much.
const CHUNK_BYTES: usize = 256 << 10;

/// Lines that are offered together.
const BATCH_MAX: usize = 256;

/// How often a file that is followed is looked at once it is read up.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A file that is being read.
#[derive(Debug)]
pub(super) struct FileSource {
    origin: FileOrigin,
    /// The number of the generation that is read.
    number: u64,
    generation: Arc<Generation<File>>,
    cutter: Cutter,
}

/// What became of the path while its file was read.
enum Fate {
    /// The same file.
    Same,
    /// Another file stands there, or the same is shorter than what was read of it.
    New(File, (u64, u64)),
}

impl FileSource {
    /// Begins where the last incarnation was settled, else where the origin says.
    pub(super) fn open(origin: FileOrigin) -> io::Result<Self> {
        let mut trail = origin.trail();
        let (number, at) = if let Some(begun) = trail.begin() {
            begun
        } else {
            let (file, found) = regular(&origin)?;
            let at = if origin.from_end { found.len() } else { 0 };
            (trail.opened(file, id(&found), at), at)
        };
        let generation = trail.generation(number).ok_or(io::ErrorKind::NotFound)?;
        drop(trail);
        Ok(Self { number, generation, cutter: Cutter::new(origin.line_max, at), origin })
    }

    async fn read(mut self, mut offers: Offers, intake: &Intake) -> Result<Ended, SourceError> {
        // The end is looked at twice: what was written before a rotation is read before what came after it.
        let mut looked = None;
        loop {
            let chunk = self.chunk().await.map_err(|error| self.broken(&error))?;
            let mut lines = Vec::new();
            if !chunk.is_empty() {
                looked = None;
                self.cutter.push(chunk, &mut lines);
                if !self.offer(lines, &mut offers).await {
                    return Ok(Ended::Drained);
                }
                continue;
            }
            let next = self.origin.trail().generation(self.number + 1);
            if next.is_none() && self.origin.follow {
                match looked.take() {
                    None => match self.fate() {
                        Ok(Fate::New(file, id)) => {
                            looked = Some((file, id));
                            continue;
                        }
                        Ok(Fate::Same) => {
                            tokio::select! {
                                () = intake.closed() => return Ok(Ended::Drained),
                                () = tokio::time::sleep(LOOK_EVERY) => continue,
                            }
                        }
                        Err(error) => return Err(self.broken(&error)),
                    },
                    Some((file, id)) => _ = self.origin.trail().opened(file, id, 0),
                }
            }
            self.cutter.finish(&mut lines);
            if !self.offer(lines, &mut offers).await {
                return Ok(Ended::Drained);
            }
            self.origin.trail().passed(self.number);
            let Some(next) = self.origin.trail().generation(self.number + 1) else { return Ok(Ended::Finished) };
            (self.generation, self.number) = (next, self.number + 1);
            self.cutter = Cutter::new(self.origin.line_max, 0);
        }
    }

    /// The next bytes; none at the end.
    async fn chunk(&self) -> io::Result<Bytes> {
        let (generation, at) = (Arc::clone(&self.generation), self.cutter.position());
        let read = spawn_blocking(move || {
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                match generation.file.read_at(&mut buffer, at) {
                    Ok(length) => return Ok(Bytes::copy_from_slice(&buffer[..length])),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        });
        read.await.map_err(io::Error::other)?
    }

    /// Looks at what stands under the path now. A path without a file is a rotation that is not done.
    fn fate(&self) -> io::Result<Fate> {
        let found = match fs::metadata(&self.origin.place) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Fate::Same),
            Err(error) => return Err(error),
        };
        if id(&found) == self.generation.id && found.len() >= self.cutter.position() {
            return Ok(Fate::Same);
        }
        let (file, found) = regular(&self.origin)?;
        Ok(Fate::New(file, id(&found)))
    }

    /// Offers lines as there is room; false where the intake is closed.
    async fn offer(&mut self, lines: Vec<Line>, offers: &mut Offers) -> bool {
        let mut lines = lines.into_iter().peekable();
        while lines.peek().is_some() {
            let Ok(room) = offers.room().await else { return false };
            let taken: Vec<Line> = lines.by_ref().take(room.messages().min(BATCH_MAX)).collect();
            let mut trail = self.origin.trail();
            for line in &taken {
                trail.offered(self.number, line.next);
            }
            drop(trail);
            room.offer(taken.into_iter().map(|line| self.message(line)).collect());
        }
        true
    }

    fn message(&self, line: Line) -> RawMessage {
        let inode = self.origin.follow.then_some(self.generation.id.1);
        let carrier = Spot { path: Arc::clone(&self.origin.path), inode, at: line.at, body: line.body.clone() };
        RawMessage { body: line.body, carrier: Arc::new(carrier) }
    }

    fn broken(&self, error: &io::Error) -> SourceError {
        SourceError { reason: Reason::Link, detail: format!("{}: {error}", self.origin.place.display()) }
    }
}

#[async_trait]
impl Source for FileSource {
    async fn run(self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        let (offers, receipts) = intake.open();
        let origin = self.origin.clone();
        until_settled((*self).read(offers, &intake), receipts, |settled| origin.trail().settle(settled.prefix)).await
    }
}

/// Opens what stands under the path: a regular file, for a pipe has no places to come back to.
fn regular(origin: &FileOrigin) -> io::Result<(File, Metadata)> {
    if !fs::metadata(&origin.place)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
    }
    let file = File::open(&origin.place)?;
    let found = file.metadata()?;
    Ok((file, found))
}

fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Where a line stands.
#[derive(Debug)]
struct Spot {
    path: Arc<str>,
    /// Of a file that is followed: another one under its path has other lines in the same places.
    inode: Option<u64>,
    at: u64,
    body: Bytes,
}

impl Carrier for Spot {
    fn property(&self, _: Property) -> Option<Cow<'_, str>> {
        None
    }

    fn header(&self, _: &str) -> Option<HeaderValue<'_>> {
        None
    }

    fn headers(&self, _: &mut dyn FnMut(&str, HeaderValue<'_>)) {}

    fn word(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "path" => Some(Cow::Borrowed(&self.path)),
            "offset" => Some(Cow::Owned(self.at.to_string())),
            _ => None,
        }
    }

    fn time(&self) -> Option<i64> {
        None
    }

    /// Place and bytes: after a truncation other lines stand in the same places, and they are other events.
    fn position(&self) -> Option<String> {
        let (path, at, sum) = (&self.path, self.at, fnv1a(&self.body));
        Some(match self.inode {
            Some(inode) => format!("{path}:{inode:x}:{at}:{sum:016x}"),
            None => format!("{path}:{at}:{sum:016x}"),
        })
    }
}
