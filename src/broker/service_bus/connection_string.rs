//! A connection string, as Azure's portal and the emulator show it: `Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…`.
//!
//! Errors name the part that is wrong and never show a value: most of them are secrets.

use std::fmt;

use url::Url;

/// The parts, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ConnectionString {
    /// The host of `Endpoint`.
    pub(super) host: String,
    /// Its port, where one is written.
    pub(super) port: Option<u16>,
    /// How we prove who we are.
    pub(super) login: Login,
    /// The one queue or topic that it is for.
    pub(super) entity: Option<String>,
    /// `UseDevelopmentEmulator=true`: plain AMQP.
    pub(super) emulator: bool,
}

/// What a connection string says of who we are.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// `SharedAccessKeyName` and `SharedAccessKey`: we sign ourselves.
    Key {
        /// The policy's name.
        policy: String,
        /// One of its keys.
        key: String,
    },
    /// `SharedAccessSignature`: somebody signed for us.
    Signature(String),
}

/// Everything that may stand in one, in the spelling of Azure's portal.
const PARTS: [&str; 6] =
    ["Endpoint", "SharedAccessKeyName", "SharedAccessKey", "SharedAccessSignature", "EntityPath", "UseDevelopmentEmulator"];

impl ConnectionString {
    /// Takes one apart. The error is a sentence that names the part.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut values: [Option<&str>; PARTS.len()] = [None; PARTS.len()];
        for (at, part) in text.trim().split(';').map(str::trim).enumerate().filter(|(_, part)| !part.is_empty()) {
            // Keys are base64 and may end in `=`: only the first one separates.
            let (name, value) =
                part.split_once('=').ok_or_else(|| format!("part {} of the connection string has no `=`", at + 1))?;
            let known = PARTS.iter().position(|known| known.eq_ignore_ascii_case(name.trim()));
            let place = known.ok_or_else(|| unknown(at + 1, name.trim()))?;
            if values[place].replace(value.trim()).is_some() {
                return Err(format!("the connection string has `{}` twice", PARTS[place]));
            }
        }
        let filled = |value: Option<&str>| value.filter(|value| !value.is_empty()).map(str::to_owned);
        let [endpoint, policy, key, signature, entity, emulator] = values;
        let (host, port) = place(endpoint.ok_or("the connection string has no `Endpoint`")?)?;
        let login = match (filled(policy), filled(key), filled(signature)) {
            (Some(policy), Some(key), None) => Login::Key { policy, key },
            (None, None, Some(signature)) if signature.starts_with("SharedAccessSignature ") => Login::Signature(signature),
            (None, None, Some(_)) => return Err("`SharedAccessSignature` begins with `SharedAccessSignature sr=`".into()),
            (None, Some(_), None) => return Err("`SharedAccessKey` needs `SharedAccessKeyName`".into()),
            (Some(_), None, None) => return Err("`SharedAccessKeyName` needs `SharedAccessKey`".into()),
            (None, None, None) => {
                return Err("the connection string has neither `SharedAccessKey` nor `SharedAccessSignature`".into());
            }
            (_, _, Some(_)) => return Err("`SharedAccessSignature` and `SharedAccessKey` exclude each other".into()),
        };
        let emulator = match emulator.unwrap_or("false").to_ascii_lowercase().as_str() {
            "true" => true,
            "false" | "" => false,
            _ => return Err("`UseDevelopmentEmulator` is `true` or `false`".into()),
        };
        Ok(Self { host, port, login, entity: filled(entity), emulator })
    }
}

/// A name that looks like none may be a piece of a key.
fn unknown(part: usize, name: &str) -> String {
    if name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        format!("part {part} of the connection string has the unknown name `{name}`")
    } else {
        format!("part {part} of the connection string has no name that is known")
    }
}

/// Host and port of `Endpoint`.
fn place(endpoint: &str) -> Result<(String, Option<u16>), String> {
    let wrong = |why: &str| format!("`Endpoint` of the connection string {why}: `sb://NAMESPACE.servicebus.windows.net/`");
    let url = Url::parse(endpoint).map_err(|error| wrong(&format!("is no URL ({error})")))?;
    if url.scheme() != "sb" {
        return Err(wrong("does not begin with `sb://`"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || !matches!(url.path(), "" | "/") {
        return Err(wrong("is a host and nothing else"));
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("names no host"))?;
    Ok((host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase(), url.port()))
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { policy, .. } => f.debug_struct("Key").field("policy", policy).finish_non_exhaustive(),
            Self::Signature(_) => f.write_str("Signature(***)"),
        }
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portals_text_is_taken_apart() {
        let text =
            "Endpoint=sb://Contoso.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0+/8=;EntityPath=orders";
        let parsed = ConnectionString::parse(text).unwrap();
        assert_eq!((parsed.host.as_str(), parsed.port), ("contoso.servicebus.windows.net", None));
        assert_eq!(parsed.login, Login::Key { policy: "send".into(), key: "c2VjcmV0+/8=".into() });
        assert_eq!((parsed.entity.as_deref(), parsed.emulator), (Some("orders"), false));
    }

    #[test]
    fn the_emulators_text_has_a_port_and_says_so() {
        let text =
            " endpoint=sb://127.0.0.1:15672 ; sharedaccesskeyname=R;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=True;\n";
        let parsed = ConnectionString::parse(text).unwrap();
        assert_eq!((parsed.host.as_str(), parsed.port, parsed.emulator), ("127.0.0.1", Some(15672), true));
        let six = ConnectionString::parse("Endpoint=sb://[::1]:5672;SharedAccessKeyName=R;SharedAccessKey=k").unwrap();
        assert_eq!((six.host.as_str(), six.port), ("::1", Some(5672)));
    }

    #[test]
    fn a_ready_signature_is_taken_as_it_is() {
        let text = "Endpoint=sb://h/;SharedAccessSignature=SharedAccessSignature sr=h&sig=abc%3D&se=1&skn=p";
        let parsed = ConnectionString::parse(text).unwrap();
        assert_eq!(parsed.login, Login::Signature("SharedAccessSignature sr=h&sig=abc%3D&se=1&skn=p".into()));
    }

    #[test]
    fn a_wrong_one_is_refused_by_the_name_of_its_part_and_without_its_values() {
        for (text, named) in [
            ("", "Endpoint"),
            ("SharedAccessKeyName=p;SharedAccessKey=hunter2", "Endpoint"),
            ("Endpoint=https://h/;SharedAccessKeyName=p;SharedAccessKey=hunter2", "sb://"),
            ("Endpoint=sb://u:hunter2@h/;SharedAccessKeyName=p;SharedAccessKey=hunter2", "Endpoint"),
            ("Endpoint=sb://h/;SharedAccessKeyName=p", "SharedAccessKey"),
            ("Endpoint=sb://h/;SharedAccessKey=hunter2", "SharedAccessKeyName"),
            ("Endpoint=sb://h/", "neither"),
            ("Endpoint=sb://h/;SharedAccessKeyName=p;SharedAccessKey=hunter2;SharedAccessKey=hunter2", "twice"),
            ("Endpoint=sb://h/;hunter2;SharedAccessKey=x", "part 2"),
            ("Endpoint=sb://h/;hunter2+/=x", "part 2"),
            ("Endpoint=sb://h/;SharedAccesKey=hunter2", "`SharedAccesKey`"),
            ("Endpoint=sb://h/;SharedAccessSignature=hunter2", "SharedAccessSignature"),
            (
                "Endpoint=sb://h/;SharedAccessKeyName=p;SharedAccessKey=hunter2;UseDevelopmentEmulator=maybe",
                "UseDevelopmentEmulator",
            ),
        ] {
            let fault = ConnectionString::parse(text).unwrap_err();
            assert!(fault.contains(named), "{text}: {fault}");
            assert!(!fault.contains("hunter2"), "{fault}");
        }
    }

    #[test]
    fn it_never_prints_its_key() {
        let parsed = ConnectionString::parse("Endpoint=sb://h/;SharedAccessKeyName=p;SharedAccessKey=hunter2").unwrap();
        assert!(!format!("{parsed:?}{:?}", parsed.login).contains("hunter2"));
    }
}
