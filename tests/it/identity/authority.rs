//! Certificates of the tests' own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// Somebody who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a certificate says.
pub(crate) struct Says<'a> {
    /// The host that it is for; a client's needs none.
    pub(crate) host: &'a str,
    /// Its subject.
    pub(crate) name: &'a str,
    /// The last year of its life.
    pub(crate) until: i32,
}

/// A server at this machine, for long.
pub(crate) const GOOD: Says<'static> = Says { host: "localhost", name: "a server", until: 2999 };

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.distinguished_name = called(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).expect("an authority").pem();
        Self { issuer: Issuer::new(parameters, key), pem }
    }

    /// Writes `NAME.pem`, the certificate to trust.
    pub(crate) fn trust(&self, folder: &Path, name: &str) -> PathBuf {
        put(folder, &format!("{name}.pem"), &self.pem)
    }

    /// Writes `NAME.pem` and `NAME.key`, a certificate and its key, over those that are there.
    pub(crate) fn issue(&self, folder: &Path, name: &str, says: &Says<'_>) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let hosts = if says.host.is_empty() { Vec::new() } else { vec![says.host.to_owned()] };
        let mut parameters = CertificateParams::new(hosts).expect("parameters");
        parameters.distinguished_name = called(says.name);
        parameters.not_before = date_time_ymd(2000, 1, 1);
        parameters.not_after = date_time_ymd(says.until, 12, 31);
        let certificate = parameters.signed_by(&key, &self.issuer).expect("signed");
        let key = put(folder, &format!("{name}.key"), &key.serialize_pem());
        (put(folder, &format!("{name}.pem"), &certificate.pem()), key)
    }
}

fn called(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// Over the old file in one step, as whoever rotates certificates does it.
pub(crate) fn put(folder: &Path, name: &str, text: &str) -> PathBuf {
    let (fresh, path) = (folder.join(format!("{name}.fresh")), folder.join(name));
    fs::write(&fresh, text).expect("a file");
    fs::rename(&fresh, &path).expect("renamed");
    path
}
