//! What travels unencrypted is said: one rule for every kind of broker.
//!
//! Only this machine is quiet. A private network is another's network: whoever is in it reads along, so its hosts count like any.

use std::net::IpAddr;

use crate::written::{Problems, Span, Urls};

/// Warns that `what` ("messages and the password") travels to `host` unencrypted, unless that is this machine; `mend` says what to
/// write instead ("use amqps://"). `strict: true` makes a fault of it.
pub(super) fn warn(what: &str, host: &str, mend: &str, at: &Span, faults: &mut Problems) {
    if !is_loopback(host) {
        faults.warn(at, format!("{what} {} to `{host}` unencrypted", verb(what))).hint(mend);
    }
}

/// Whether a host is this machine by what is written alone: a name of RFC 6761, section 6.3, or an address of a loopback network.
/// A name is not resolved, for what it resolves to may change.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// The URLs to judge before anything is dialled: those in the configuration, and those that stand in a file now. A file that changes
/// later is judged at the next look at the configuration.
pub(super) fn known(urls: &Urls) -> Vec<String> {
    // A file that cannot be read is a fault of its own, said where it is opened.
    urls.reveal().unwrap_or_default()
}

fn verb(what: &str) -> &'static str {
    if what.contains(" and ") || what.ends_with('s') { "travel" } else { "travels" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_quiet() {
        for host in ["localhost", "LOCALHOST.", "app.localhost", "127.0.0.1", "127.8.0.2", "::1", "[::1]", "::ffff:127.0.0.1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["rabbit", "10.0.0.1", "192.168.1.1", "0.0.0.0", "localhost.example", "notlocalhost", "fe80::1", "host.docker.internal"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_warning_names_the_host_and_the_mend() {
        let mut faults = Problems::default();
        let at = Span::outside("test");
        warn("messages and the password", "localhost", "use amqps://", &at, &mut faults);
        assert!(faults.is_empty());
        warn("messages and the password", "rabbit", "use amqps://", &at, &mut faults);
        warn("the client's secret", "login", "use https://", &at, &mut faults);
        let said: Vec<_> = faults.iter().map(|problem| (problem.message.as_str(), problem.warning)).collect();
        assert_eq!(
            said,
            [
                ("messages and the password travel to `rabbit` unencrypted", true),
                ("the client's secret travels to `login` unencrypted", true)
            ]
        );
    }
}
