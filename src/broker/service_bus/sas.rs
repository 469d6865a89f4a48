//! Shared access signatures: `SharedAccessSignature sr=RESOURCE&sig=HMAC&se=END&skn=POLICY`.
//!
//! <https://learn.microsoft.com/azure/service-bus-messaging/service-bus-sas>: HMAC-SHA256, under the policy's key as text, of the
//! encoded resource, a line feed and the end in seconds since the Unix epoch.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;

/// All but the unreserved characters of RFC 3986, 2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Signs for everything below `resource`, a URI; `end` is in seconds since the Unix epoch.
pub(super) fn signed(resource: &str, policy: &str, key: &str, end: u64) -> String {
    let resource = utf8_percent_encode(resource, ENCODED).to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signature = BASE64_STANDARD.encode(hmac::sign(&key, format!("{resource}\n{end}").as_bytes()));
    let signature = utf8_percent_encode(&signature, ENCODED);
    let policy = utf8_percent_encode(policy, ENCODED);
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={end}&skn={policy}")
}

/// When a signature that somebody else made ends, in seconds since the Unix epoch.
pub(super) fn end_of(signature: &str) -> Option<u64> {
    let fields = signature.split_once(' ')?.1;
    fields.split('&').find_map(|field| field.strip_prefix("se="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_python_makes() {
        // hmac.new(b"SAS_KEY_VALUE", (quote(uri, safe="") + "\n1700000000").encode(), sha256)
        assert_eq!(
            signed("https://contoso.servicebus.windows.net/orders", "send", "SAS_KEY_VALUE", 1_700_000_000),
            "SharedAccessSignature sr=https%3A%2F%2Fcontoso.servicebus.windows.net%2Forders&sig=575mfhlrMAlOWQAwgF0US5EBakameJdo%2BaU7jBhQI6g%3D&se=1700000000&skn=send"
        );
    }

    #[test]
    fn the_end_of_a_foreign_signature_is_read() {
        assert_eq!(end_of("SharedAccessSignature sr=h&sig=a%3D&se=1700000000&skn=p"), Some(1_700_000_000));
        assert_eq!(end_of(&signed("sb://h", "p", "k", 17)), Some(17));
        for none in ["", "SharedAccessSignature sr=h", "SharedAccessSignature se=soon"] {
            assert_eq!(end_of(none), None, "{none}");
        }
    }
}
