//! Standard input: one in a process, read by a thread of its own, because a read cannot be given up.
//!
//! What was read and not offered yet survives the incarnations of the source, and so does the beginning of a line.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    sync::{Arc, OnceLock},
    thread,
};

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use crate::broker::lines::{Cutter, Line};

/// One read takes at most so much.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks that are read and not cut yet.
const CHUNKS: usize = 4;

/// What is known of standard input.
#[derive(Debug)]
pub(super) struct Input {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    cutter: Cutter,
    /// Cut and not offered.
    pub(super) lines: VecDeque<Line>,
    ended: bool,
}

/// The input of this process; the first who asks says how long a line may be, and starts the reading.
pub(super) fn standard_input(line_max: u64) -> io::Result<Arc<Mutex<Input>>> {
    static INPUT: OnceLock<Arc<Mutex<Input>>> = OnceLock::new();
    if let Some(input) = INPUT.get() {
        return Ok(Arc::clone(input));
    }
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let input = Input { chunks, cutter: Cutter::new(line_max, 0), lines: VecDeque::new(), ended: false };
    let input = Arc::clone(INPUT.get_or_init(|| Arc::new(Mutex::new(input))));
    // It ends with the process, wherever it waits. Where two came at once, the other's channel is closed and its thread ends.
    thread::Builder::new().name("rialto-stdin".into()).spawn(move || read_all(file, &sender))?;
    Ok(input)
}

fn read_all(mut file: File, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let chunk = match file.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => Ok(Bytes::copy_from_slice(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(std::time::Duration::from_millis(10));
                continue;
            }
            Err(error) => Err(error),
        };
        let failed = chunk.is_err();
        if sender.blocking_send(chunk).is_err() || failed {
            return;
        }
    }
}

impl Input {
    /// Waits until there are lines, or until the input has come to its end: then answers false. Cancel-safe.
    pub(super) async fn more(&mut self) -> io::Result<bool> {
        while self.lines.is_empty() && !self.ended {
            let mut lines = Vec::new();
            if let Some(chunk) = self.chunks.recv().await {
                self.cutter.push(chunk?, &mut lines);
            } else {
                self.ended = true;
                self.cutter.finish(&mut lines);
            }
            self.lines.extend(lines);
        }
        Ok(!self.lines.is_empty())
    }
}
