//! A certificate's signed word instead of a secret: RFC 7523, section 2.2, in the form that Microsoft Entra ID asks for.
//!
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>: `PS256`, the certificate named by `x5t#S256`.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use rustls::{
    SignatureScheme,
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// How long the word holds: long enough for clocks that differ.
const LIFE: Duration = Duration::from_secs(600);

/// A fresh assertion that we are `client`, for `audience` alone. The files are read anew; the error is a sentence that names one.
pub(super) fn signed(cert_file: &Path, key_file: &Path, client: &str, audience: &str) -> Result<String, String> {
    let named = |file: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let certificate = CertificateDer::from_pem_file(cert_file).map_err(|error| named(cert_file, &error))?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| named(key_file, &error))?;
    let key = any_supported_type(&key).map_err(|error| named(key_file, &error))?;
    let signer = key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256]).ok_or_else(|| named(key_file, &"it is no RSA key"))?;

    let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate));
    let head = serde_json::json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let claims = serde_json::json!({
        "aud": audience,
        "iss": client,
        "sub": client,
        "jti": uuid::Uuid::new_v4().to_string(),
        "nbf": now.as_secs(),
        "exp": (now + LIFE).as_secs(),
    });
    let encoded = |part: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let words = format!("{}.{}", encoded(&head), encoded(&claims));
    let signature = signer.sign(words.as_bytes()).map_err(|error| named(key_file, &error))?;
    Ok(format!("{words}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
}
