//! What is written of tokens: `token` or `token_file`, `oauth`, `entra`. Every kind reads them the same, from its own block.

use schemars::JsonSchema;
use url::Url;

use super::{
    Bearer,
    endpoint::Endpoint,
    issuer::{Issuer, Proof, Registered},
};
use crate::{
    broker::{
        plain,
        tls::{self, Tls},
    },
    written::{Node, Problems},
};

/// Azure's public cloud.
const AUTHORITY: &str = "https://login.microsoftonline.com";
/// <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>.
const METADATA: &str = "http://169.254.169.254";

impl Bearer {
    /// Reads `token`, `oauth` and `entra` from a block, one of which may be written; `None` where none is, or after a fault. `scope`
    /// is what Entra ID is asked for where nothing else is written (`https://servicebus.azure.net/.default`).
    pub(in crate::broker) fn read(broker: &str, node: &Node, scope: Option<&str>, faults: &mut Problems) -> Option<Self> {
        let token = node.secret("token", faults).map(Issuer::Given);
        let oauth = node.child("oauth").map(|oauth| (oauth, read_oauth(oauth, faults)));
        let entra = node.child("entra").map(|entra| (entra, read_entra(entra, scope, faults)));
        let written = usize::from(token.is_some()) + usize::from(oauth.is_some()) + usize::from(entra.is_some());
        if written > 1 {
            let at = oauth.as_ref().or(entra.as_ref()).map_or(node.at(), |(block, _)| block.at());
            faults.fault(at, "`token`, `oauth` and `entra` exclude each other").hint("keep one of them");
            return None;
        }
        let issuer = token.or(oauth.and_then(|(_, oauth)| oauth)).or(entra.and_then(|(_, entra)| entra))?;
        Some(Self::new(broker, issuer))
    }

    /// Reads `entra` alone, for what takes no other tokens; `None` where it is not written, or after a fault.
    pub(in crate::broker) fn read_entra(broker: &str, node: &Node, scope: &str, faults: &mut Problems) -> Option<Self> {
        read_entra(node.child("entra")?, Some(scope), faults).map(|issuer| Self::new(broker, issuer))
    }

    /// Whether a block says anything of tokens.
    pub(in crate::broker) fn is_written(node: &Node) -> bool {
        ["token", "token_file", "oauth", "entra"].iter().any(|key| node.peek(key).is_some())
    }
}

fn read_oauth(node: &Node, faults: &mut Problems) -> Option<Issuer> {
    let url = node.need::<String>("token_url", faults);
    let at = node.peek("token_url").unwrap_or(node);
    let client_id = node.need::<String>("client_id", faults);
    let secret = node.secret("client_secret", faults);
    if secret.is_none() && node.peek("client_secret").is_none() && node.peek("client_secret_file").is_none() {
        faults.fault(node.at(), format!("`{}` needs `client_secret` or `client_secret_file`", node.path()));
    }
    let in_body = [("client_secret_basic", false), ("client_secret_post", true)];
    let proof = if node.choice("client_auth", &in_body, faults).unwrap_or_default() { Proof::Body } else { Proof::Header };
    let scope = node.opt("scope", faults);
    let audience = node.opt("audience", faults);
    let tls = read_tls(node, faults);
    node.finish(faults);
    let url = checked(&url?, "the client's secret", at, faults)?;
    let endpoint = Endpoint { url, tls, by_proxy: true };
    Some(Issuer::Client(Registered { endpoint, client_id: client_id?, proof: proof(secret?), scope, audience }))
}

fn read_entra(node: &Node, scope: Option<&str>, faults: &mut Problems) -> Option<Issuer> {
    let of_machine = node.get("managed_identity", false, faults);
    let tenant = node.opt::<String>("tenant", faults);
    let client_id = node.opt::<String>("client_id", faults);
    let proofs = read_proofs(node, faults);
    let scope = node.opt::<String>("scope", faults).or_else(|| scope.map(str::to_owned));
    let authority = node.opt::<String>("authority", faults);
    let tls = read_tls(node, faults);
    node.finish(faults);

    let at = node.peek("authority").unwrap_or(node);
    let Some(scope) = scope else {
        faults.fault(node.at(), format!("`{}` needs `scope`", node.path())).hint("such as `https://example.net/.default`");
        return None;
    };
    if of_machine {
        for key in ["tenant", "client_secret", "client_secret_file", "cert_file", "key_file", "federated_token_file"] {
            if let Some(other) = node.peek(key) {
                faults.fault(other.at(), format!("`{key}` is not of a managed identity")).hint("leave it out");
            }
        }
        let mut url = parsed(authority.as_deref().unwrap_or(METADATA), at, faults)?;
        url.set_path("/metadata/identity/oauth2/token");
        let resource = scope.strip_suffix("/.default").unwrap_or(&scope).to_owned();
        return Some(Issuer::Machine { endpoint: Endpoint { url, tls, by_proxy: false }, resource, client_id });
    }
    for (key, missing) in [("tenant", tenant.is_none()), ("client_id", client_id.is_none())] {
        if missing && node.peek(key).is_none() {
            faults.fault(node.at(), format!("`{}` needs `{key}`", node.path())).hint("or `managed_identity: true`");
        }
    }
    let (tenant, proof) = (tenant?, proofs?);
    if tenant.is_empty() || !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.') {
        let at = node.peek("tenant").unwrap_or(node).at();
        faults.fault(at, "`tenant` is the directory's id or one of its domains");
        return None;
    }
    let mut url = checked(authority.as_deref().unwrap_or(AUTHORITY), "the client's secret", at, faults)?;
    url.set_path(&format!("{}/{tenant}/oauth2/v2.0/token", url.path().trim_end_matches('/')));
    let endpoint = Endpoint { url, tls, by_proxy: true };
    Some(Issuer::Client(Registered { endpoint, client_id: client_id?, proof, scope: Some(scope), audience: None }))
}

/// The one way in which a client of Entra ID proves itself; `None` after a fault, and for a managed identity, which has none.
fn read_proofs(node: &Node, faults: &mut Problems) -> Option<Proof> {
    let secret = node.secret("client_secret", faults).map(Proof::Body);
    let federated = node.file("federated_token_file", faults).map(Proof::Federated);
    let (cert_file, key_file) = (node.file("cert_file", faults), node.file("key_file", faults));
    let certificate = cert_file.zip(key_file).map(|(cert_file, key_file)| Proof::Certificate { cert_file, key_file });
    let written = |keys: &[&str]| keys.iter().any(|key| node.peek(key).is_some());
    for (key, missing) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
        if written(&[key]) && !written(&[missing]) {
            faults.fault(node.at(), format!("`{key}` needs `{missing}`"));
        }
    }
    let ways = [written(&["client_secret", "client_secret_file"]), written(&["federated_token_file"]), written(&["cert_file"])];
    match ways.iter().filter(|way| **way).count() {
        0 if !matches!(node.peek("managed_identity").map(Node::text), Some(Some("true"))) => {
            let needs = "`client_secret_file`, `cert_file` with `key_file`, `federated_token_file` or `managed_identity: true`";
            faults.fault(node.at(), format!("`{}` needs {needs}", node.path()));
        }
        0 | 1 => {}
        _ => drop(faults.fault(node.at(), "`client_secret`, `cert_file` and `federated_token_file` exclude each other")),
    }
    secret.or(federated).or(certificate)
}

fn read_tls(node: &Node, faults: &mut Problems) -> Tls {
    node.child("tls").map(|tls| Tls::read(tls, faults)).unwrap_or_default()
}

/// A URL to which a secret goes.
fn checked(text: &str, what: &str, at: &Node, faults: &mut Problems) -> Option<Url> {
    let url = parsed(text, at, faults)?;
    if url.scheme() == "http" {
        plain::warn(what, url.host_str().unwrap_or_default(), "use https://", at.at(), faults);
    }
    Some(url)
}

/// The error never repeats the URL: it may hold credentials.
fn parsed(text: &str, at: &Node, faults: &mut Problems) -> Option<Url> {
    let fault = match Url::parse(text) {
        Err(error) => format!("`{}` is no URL: {error}", at.name()),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => format!("`{}` begins with `https://`", at.name()),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            format!("`{}` holds credentials: write `client_id` and `client_secret_file`", at.name())
        }
        Ok(url) if url.fragment().is_some() => format!("what follows `#` in `{}` never reaches a server", at.name()),
        Ok(url) => return Some(url),
    };
    faults.fault(at.at(), fault);
    None
}

/// OAuth 2.0 client credentials (RFC 6749, section 4.4), for editors.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
pub(in crate::broker) struct WrittenOauth {
    /// The authorization server's token endpoint.
    token_url: String,
    /// Who we are there.
    client_id: String,
    /// Our secret there.
    client_secret: Option<String>,
    /// A file that holds it, read anew each time.
    client_secret_file: Option<String>,
    /// Where the secret goes: in the header `Authorization`, or in the request's body.
    #[schemars(extend("enum" = ["client_secret_basic", "client_secret_post"], "default" = "client_secret_basic"))]
    client_auth: Option<String>,
    /// What is asked for, words with blanks between them.
    scope: Option<String>,
    /// For whom, where the server wants to know.
    audience: Option<String>,
    /// Certificates, for `https://`.
    tls: Option<tls::Written>,
}

/// Microsoft Entra ID, for editors.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
pub(in crate::broker) struct WrittenEntra {
    /// The directory's id, or one of its domains.
    tenant: Option<String>,
    /// The application's id; of a managed identity, which one where the machine has several.
    client_id: Option<String>,
    /// The application's secret.
    client_secret: Option<String>,
    /// A file that holds it, read anew each time.
    client_secret_file: Option<String>,
    /// The application's certificate (PEM), instead of a secret.
    cert_file: Option<String>,
    /// Its RSA key (PEM).
    key_file: Option<String>,
    /// Workload identity: the token that Kubernetes projects (`AZURE_FEDERATED_TOKEN_FILE`).
    federated_token_file: Option<String>,
    /// The identity of the Azure machine this runs on.
    managed_identity: Option<bool>,
    /// What is asked for, instead of what the broker needs.
    scope: Option<String>,
    /// Where to ask, instead of `https://login.microsoftonline.com`: another cloud.
    authority: Option<String>,
    /// Certificates, for `https://`.
    tls: Option<tls::Written>,
}

/// What may be asked of a test's endpoint.
#[cfg(test)]
pub(super) fn read_for_tests(text: &str) -> (Option<Bearer>, Problems) {
    let mut faults = Problems::default();
    let node = crate::written::parse("test", text, &mut faults).unwrap_or_else(|| panic!("{faults:?}"));
    let bearer = Bearer::read("bus", &node, Some("https://servicebus.azure.net/.default"), &mut faults);
    node.finish(&mut faults);
    (bearer, faults)
}
