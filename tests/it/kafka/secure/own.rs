//! A Kafka of the tests' own with a door of every kind, and what its doors need: certificates, users, tokens.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData, date_time_ymd};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use tempfile::TempDir;

/// A login is judged again after this time.
pub(super) const JUDGED_AGAIN: Duration = Duration::from_secs(3);

/// One for all tests that run at the time, because it takes a few seconds to come up; the last one stops it.
static SHARED: Mutex<Weak<Kafka>> = Mutex::new(Weak::new());

/// A broker of `tests/brokers/kafka`. Its files are the tests' to change, each those of its own door, user or topic.
pub(super) struct Kafka {
    directory: TempDir,
    authority: Issuer<'static, KeyPair>,
    tokens: KeyPair,
}

impl Kafka {
    /// The one that runs, or a new one.
    pub(super) fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let kafka = Arc::new(Self::start());
            *shared = Arc::downgrade(&kafka);
            kafka
        })
    }

    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (authority, pem) = authority();
        fs::write(directory.path().join("ca.pem"), pem).expect("a file");
        let tokens = KeyPair::generate().expect("a key");
        fs::write(directory.path().join("jwks.json"), jwks(&tokens)).expect("a file");
        let kafka = Self { directory, authority, tokens };
        kafka.keystore("server", "127.0.0.1", 2999);
        kafka.keystore("expired", "127.0.0.1", 2002);
        kafka.keystore("elsewhere", "elsewhere.test", 2999);
        kafka.script("start", &kafka.options());
        kafka
    }

    fn options(&self) -> Vec<String> {
        let file = |name: &str| self.file(name).to_str().expect("text").to_owned();
        let jwks = format!("file://{}", file("jwks.json"));
        let login = |mechanism: &str, module: &str| {
            format!("listener.name.login.{mechanism}.sasl.jaas.config=org.apache.kafka.common.security.{module} required")
        };
        let bearer = |key: &str, value: &str| format!("listener.name.login.oauthbearer.{key}={value}");
        let door = |name: &str| format!("listener.name.{name}.ssl.keystore.location={}", file(&format!("{name}.pem")));
        let mut options: Vec<String> = ["TLS=SSL", "TRUSTED=SSL", "EXPIRED=SSL", "ELSEWHERE=SSL", "LOGIN=SASL_SSL"]
            .iter()
            .flat_map(|one| ["--listener", one])
            .map(str::to_owned)
            .collect();
        options.extend(["--user", "scram:scram-secret", "--user", "revoked:revoked-secret"].map(str::to_owned));
        options.extend(["--java".to_owned(), format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={jwks}")]);
        options.extend([
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.location={}", file("server.pem")),
            "ssl.truststore.type=PEM".to_owned(),
            format!("ssl.truststore.location={}", file("ca.pem")),
            // A test replaces a certificate by one for another host.
            "ssl.allow.san.changes=true".to_owned(),
            "ssl.allow.dn.changes=true".to_owned(),
            "ssl.principal.mapping.rules=RULE:^CN=(.*?)(,.*)?$/$1/".to_owned(),
            "listener.name.tls.ssl.client.auth=required".to_owned(),
            door("expired"),
            door("elsewhere"),
            "listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
            format!("connections.max.reauth.ms={}", JUDGED_AGAIN.as_millis()),
            login("plain", "plain.PlainLoginModule") + " user_plain=\"plain-secret\";",
            login("scram-sha-256", "scram.ScramLoginModule") + ";",
            login("scram-sha-512", "scram.ScramLoginModule") + ";",
            login("oauthbearer", "oauthbearer.OAuthBearerLoginModule") + ";",
            bearer(
                "sasl.server.callback.handler.class",
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
            ),
            bearer("sasl.oauthbearer.jwks.endpoint.url", &jwks),
            bearer("sasl.oauthbearer.expected.audience", "kafka"),
            bearer("sasl.oauthbearer.clock.skew.seconds", "0"),
        ]);
        options
    }

    /// Of the directory in which certificates and tokens are.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The address of a listener; the one without a name is open to everybody and for the tests' own use.
    pub(super) fn address(&self, listener: &str) -> String {
        let name = if listener.is_empty() { "kafka/port".to_owned() } else { format!("kafka/port.{listener}") };
        format!("127.0.0.1:{}", fs::read_to_string(self.file(&name)).expect("a port").trim())
    }

    /// One of Kafka's own commands.
    pub(super) fn admin(&self, arguments: &[&str]) {
        run(Command::new(self.file("kafka/admin")).args(arguments));
    }

    /// A topic of one partition.
    pub(super) fn topic(&self, name: &str) {
        self.admin(&["topics", "--create", "--topic", name]);
    }

    /// The values of a topic, as kcat reads them.
    pub(super) fn values(&self, topic: &str) -> Vec<String> {
        let out = run(Command::new("kcat").args(["-q", "-b", &self.address(""), "-C", "-t", topic, "-o", "beginning", "-e"]));
        out.lines().map(str::to_owned).collect()
    }

    /// Writes values to a topic, by kcat.
    pub(super) fn write(&self, topic: &str, values: &[String]) {
        let file = self.file(&format!("{topic}.lines"));
        fs::write(&file, values.join("\n")).expect("a file");
        run(Command::new("kcat").args(["-q", "-b", &self.address(""), "-P", "-t", topic, "-l"]).arg(file));
    }

    /// Writes the key and certificate of a door into its file, and where the broker runs, has it read them.
    pub(super) fn keystore(&self, door: &str, host: &str, not_after: i32) {
        let (certificate, key) = self.certificate("broker", host, not_after);
        fs::write(self.file(&format!("{door}.pem")), key + &certificate).expect("a file");
    }

    /// The broker reads the file of a door again.
    pub(super) fn reload(&self, door: &str) {
        let file = self.file(&format!("{door}.pem"));
        let setting = format!("listener.name.{door}.ssl.keystore.location={}", file.display());
        self.admin(&["configs", "--alter", "--entity-type", "brokers", "--entity-name", "1", "--add-config", &setting]);
    }

    /// Certificate and key, in PEM, of a name for a host.
    pub(super) fn certificate(&self, name: &str, host: &str, not_after: i32) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut leaf = CertificateParams::new(vec![host.to_owned()]).expect("parameters");
        leaf.distinguished_name.push(DnType::CommonName, name);
        leaf.not_before = date_time_ymd(2001, 1, 1);
        leaf.not_after = date_time_ymd(not_after, 12, 31);
        (leaf.signed_by(&key, &self.authority).expect("a certificate").pem(), key.serialize_pem())
    }

    /// A token for a user, over in so many seconds.
    pub(super) fn token(&self, user: &str, seconds: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs().cast_signed();
        let claims = format!(r#"{{"sub":"{user}","aud":"kafka","iat":{},"exp":{}}}"#, now - 100, now + seconds);
        let words = [r#"{"alg":"ES256","kid":"1","typ":"JWT"}"#, &claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.tokens.serialize_der(), &random).expect("a key");
        let signature = key.sign(&random, words.as_bytes()).expect("a signature");
        format!("{words}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn script(&self, verb: &str, options: &[String]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/brokers/kafka");
        run(Command::new(script).arg(verb).arg(self.file("kafka")).args(options));
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.script("stop", &[]);
    }
}

/// An authority that nobody else knows, and its certificate in PEM.
pub(super) fn authority() -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
    parameters.distinguished_name.push(DnType::CommonName, "an authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = parameters.self_signed(&key).expect("an authority").pem();
    (Issuer::new(parameters, key), pem)
}

/// The key with which tokens are checked (RFC 7517): the point without its leading 4 (uncompressed), in halves.
fn jwks(key: &KeyPair) -> String {
    let (x, y) = key.der_bytes()[1..].split_at(32);
    let [x, y] = [x, y].map(|half| URL_SAFE_NO_PAD.encode(half));
    format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"1","x":"{x}","y":"{y}"}}]}}"#)
}

/// What a command that succeeds prints.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {err}{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).expect("text")
}
