//! Server-Sent Events as they stand on the wire (WHATWG HTML, "Server-sent events").

use std::io::Write as _;

use memchr::memchr2;

use crate::live::hub::{Gap, Published, Seq};

/// Names that mean something else to an `EventSource`, or to our clients.
const RESERVED: &[&str] = &["open", "error", "message", GAP];

const GAP: &str = "gap";

/// How long a browser waits before it connects again.
pub(super) fn retry(milliseconds: u64, out: &mut Vec<u8>) {
    let _ = write!(out, "retry: {milliseconds}\n\n");
}

/// Where the stream stands, without an event: who is cut off before the first message comes back to here.
pub(super) fn place(seq: Seq, out: &mut Vec<u8>) {
    let _ = write!(out, "id: {seq}\n\n");
}

/// A comment, which nobody hears: it keeps proxies from closing what looks idle, and finds out who is gone.
pub(super) fn heartbeat(out: &mut Vec<u8>) {
    out.extend_from_slice(b":\n\n");
}

/// These numbers may be missing. Who is cut off after this comes back to behind the hole, and is not told of it twice.
pub(super) fn gap(gap: Gap, out: &mut Vec<u8>) {
    let Gap { from, to } = gap;
    let _ = write!(out, "id: {to}\nevent: {GAP}\ndata: {{\"from\":\"{from}\",\"to\":\"{to}\"}}\n\n");
}

/// A message: its place, its name where it has one that can be said, and its bytes.
pub(super) fn message(message: &Published, out: &mut Vec<u8>) {
    let _ = writeln!(out, "id: {}", message.seq);
    let name = &*message.name;
    if !name.is_empty() && !name.contains(['\r', '\n']) && !RESERVED.contains(&name) {
        let _ = writeln!(out, "event: {name}");
    }
    data(&message.body, out);
    out.push(b'\n');
}

/// A field of several lines: each is a `data` of its own, however it ended; the reader puts one LF between them.
fn data(mut body: &[u8], out: &mut Vec<u8>) {
    loop {
        out.extend_from_slice(b"data: ");
        let Some(end) = memchr2(b'\r', b'\n', body) else { break };
        out.extend_from_slice(&body[..end]);
        out.push(b'\n');
        let ending = if body[end..].starts_with(b"\r\n") { 2 } else { 1 };
        body = &body[end + ending..];
    }
    out.extend_from_slice(body);
    out.push(b'\n');
}
