//! Redis servers of our own: started, stopped, broken and started again by a test.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long a server may take to answer.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// A `redis-server` on a free port of loopback, with its data in a directory of its own. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
    directory: TempDir,
    options: Vec<String>,
}

impl Server {
    /// Starts one with further options (`--requirepass x`), and waits until it answers.
    pub(crate) fn start(options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let directory = tempfile::tempdir().expect("a temporary directory");
        for _ in 0..10 {
            let port = free_port();
            if let Some(child) = spawn(port, directory.path(), &options) {
                return Self { child, port, directory, options };
            }
        }
        panic!("no redis-server came up: is `redis-server` in PATH, or RIALTO_TEST_REDIS_SERVER set?");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a running server");
        self.child.wait().expect("a killed server");
    }

    /// Freezes it, as a network that swallows everything would look.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("`kill` in PATH").success());
    }

    /// Changes what it is started with next.
    pub(crate) fn options(&mut self, options: &[&str]) {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
    }

    /// Starts it again on the same port and directory.
    pub(crate) fn start_again(&mut self) {
        let end = Instant::now() + UP_WITHIN;
        loop {
            match spawn(self.port, self.directory.path(), &self.options) {
                Some(child) => break self.child = child,
                None => assert!(Instant::now() < end, "the server did not come up again"),
            }
        }
    }

    /// A connection for the test's own commands.
    pub(crate) fn control(&self) -> redis::Connection {
        self.control_as("")
    }

    /// The same, with `user:password@`.
    pub(crate) fn control_as(&self, login: &str) -> redis::Connection {
        let client = redis::Client::open(format!("redis://{login}127.0.0.1:{}", self.port)).expect("a URL");
        client.get_connection_with_timeout(Duration::from_secs(5)).expect("a running server")
    }

    /// Runs one command and answers its reply.
    pub(crate) fn run<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        run(&mut self.control(), command)
    }
}

/// Runs one command on a connection.
pub(crate) fn run<T: redis::FromRedisValue>(connection: &mut redis::Connection, command: &[&str]) -> T {
    let mut asked = redis::cmd(command[0]);
    asked.arg(&command[1..]);
    asked.query(connection).unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server may have been killed by its test already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port that nobody listens on just now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("an address").port()
}

fn spawn(port: u16, directory: &Path, options: &[String]) -> Option<Child> {
    let program = std::env::var("RIALTO_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
    let mut command = Command::new(program);
    // A sentinel wants its file first.
    let (files, options): (Vec<_>, Vec<_>) =
        options.iter().partition(|option| Path::new(option).extension().is_some_and(|it| it == "conf"));
    command.args(files).args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(directory);
    if !options.iter().any(|option| *option == "--save" || *option == "--sentinel") {
        command.args(["--save", "", "--enable-debug-command", "yes"]);
    }
    let mut child = command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let end = Instant::now() + UP_WITHIN;
    while Instant::now() < end {
        if child.try_wait().ok()?.is_some() {
            return None;
        }
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(child);
        }
        thread::sleep(Duration::from_millis(20));
    }
    drop(child.kill());
    drop(child.wait());
    None
}
