//! A RabbitMQ of the tests' own that speaks TLS and knows certificates and tokens.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::authority::{Authority, GOOD, put};
use crate::redis::free_port;

/// A node with data, certificates and log-ins of its own. Stopped when dropped.
pub(super) struct Rabbit {
    folder: TempDir,
    port: u16,
}

impl Rabbit {
    /// Starts one whose certificate and whose clients' certificates are this authority's; `settings` are further lines for
    /// `rabbitmq.conf`.
    pub(super) fn start(authority: &Authority, settings: &str, plugins: &[&str]) -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a directory"), free_port());
        let rabbit = Self { folder, port };
        let trusted = authority.trust(rabbit.folder(), "clients").display().to_string();
        let (cert, key) = authority.issue(rabbit.folder(), "server", &GOOD);
        let settings = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {trusted}\nssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\nssl_options.verify = verify_peer\n{settings}\n",
            cert.display(),
            key.display()
        );
        let file = put(rabbit.folder(), "settings", &settings);
        let mut command = Command::new(script());
        command.arg("start").arg(rabbit.node()).arg(file).args(plugins);
        let output = command.output().expect("bash");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        rabbit
    }

    /// Where its files are.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it speaks TLS.
    pub(super) fn url(&self) -> String {
        format!("amqps://localhost:{}", self.port)
    }

    /// Runs `rabbitmqctl` on this node.
    pub(super) fn control(&self, arguments: &[&str]) {
        let output = Command::new(self.node().join("rabbitmqctl")).args(arguments).output().expect("rabbitmqctl runs");
        assert!(output.status.success(), "rabbitmqctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes it show what its files hold now: Erlang remembers certificates for two minutes, and open connections keep theirs.
    pub(super) fn show_new_certificates(&self) {
        self.control(&["eval", "ssl:clear_pem_cache()."]);
        self.control(&["close_all_connections", "certificates change"]);
    }

    fn node(&self) -> PathBuf {
        self.folder().join("node")
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        let stopped = Command::new(script()).arg("stop").arg(self.node()).status();
        assert!(std::thread::panicking() || stopped.expect("bash").success(), "RabbitMQ does not stop");
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/brokers/rabbitmq")
}
