//! The program as its users meet it: the binary, its exit codes and what it prints, against servers of the tests' own.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

mod codes;
mod dev;
mod events;
mod init;
mod pipes;
mod probes;
mod redrive;
mod reload;

/// No command of these tests takes longer; one that hangs is a failure, not a hang of the suite.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with a configuration in it, which is the working directory of what is started.
pub(crate) struct Place {
    directory: TempDir,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    /// A directory whose `rialto.yaml` is this.
    pub(crate) fn with(yaml: &str) -> Self {
        let place = Self::empty();
        fs::write(place.directory.path().join("rialto.yaml"), yaml).expect("a file");
        place
    }

    pub(crate) fn empty() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The program, in this directory and with nothing of Rialto's in its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rialto"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RIALTO")) {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn rialto(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs"))
    }

    /// The same, with this on its standard input.
    pub(crate) fn rialto_reading(&self, arguments: &[&str], input: &str) -> Answer {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("read");
        Answer::of(child)
    }

    /// Starts it and lets it run.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let name = arguments.first().unwrap_or(&"bare");
        let (out, err) = (self.path(&format!("{name}.out")), self.path(&format!("{name}.err")));
        let child = self
            .command(arguments)
            .stdout(File::create(&out).expect("a file"))
            .stderr(File::create(&err).expect("a file"))
            .spawn()
            .expect("the binary runs");
        Running { child, out, err }
    }
}

impl Answer {
    pub(crate) fn of(child: Child) -> Self {
        let id = child.id();
        let (done, over) = std::sync::mpsc::channel();
        let guard = thread::spawn(move || {
            if over.recv_timeout(PATIENCE).is_err() {
                signal(id, "KILL");
            }
        });
        let Output { status, stdout, stderr } = child.wait_with_output().expect("an end");
        // The guard is gone only where it has killed, which shows in the status.
        let _ = done.send(());
        guard.join().expect("the guard ends");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self { code: code(status), out: text(stdout), err: text(stderr) }
    }

    /// What `--json` printed.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What `--json` printed, line by line.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let value = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        self.out.lines().map(value).collect()
    }
}

/// The exit code; a signal is not one.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| panic!("ended by a signal: {status}"))
}

fn signal(id: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), id.to_string()]).status().expect("kill runs");
    assert!(sent.success(), "nobody to signal");
}

/// A process that runs until it is stopped; killed when dropped.
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    pub(crate) fn out(&self) -> String {
        fs::read_to_string(&self.out).expect("text")
    }

    pub(crate) fn err(&self) -> String {
        fs::read_to_string(&self.err).expect("text")
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Its exit code, when it has ended.
    pub(crate) fn ended(&mut self) -> i32 {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return code(status);
            }
            assert!(Instant::now() < end, "it does not end: {}", self.err());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a running process");
        self.child.wait().expect("a killed process");
    }

    /// SIGTERM, and its exit code.
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal("TERM");
        self.ended()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already where the test stopped it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until `what` answers something.
pub(crate) fn until<T>(about: &str, mut what: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {about}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Status and body of a page of the probes; `None` while nobody listens.
pub(crate) fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// The value of one series on `/metrics`.
pub(crate) fn metric(port: u16, series: &str) -> Option<f64> {
    let (_, text) = get(port, "/metrics")?;
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// A bridge from a stream to channels and to streams, with its dead letters in a stream, all on one Redis.
pub(crate) fn streams(url: &str, telemetry: u16) -> String {
    format!(
        r#"
name: demo
telemetry: {{ listen: "127.0.0.1:{telemetry}" }}
shutdown: {{ timeout: 5s }}
brokers:
  live: {url}
sources:
  orders: {{ broker: live, stream: orders, group: g, dead_letter: {{ broker: live, stream: dead }} }}
routes:
  - name: notify
    from: orders
    match: {{ message_type: notification_event }}
    to: "live/app:{{message_type}}:{{message_id}}"
  - name: store
    from: orders
    match: {{ message_type: ecst_event }}
    transform: 'del(.payload.secret)'
    to: {{ broker: live, stream: "kept:{{payload.region}}", max_errors: 1 }}
"#
    )
}
