//! Names of queues and topics.
//!
//! <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>, `Microsoft.ServiceBus`: letters, digits,
//! `.`, `-`, `_`, `~` and `/`, beginning and ending with a letter or digit, up to 260 characters. They mean the same in either case.

use crate::broker::AddressRule;

/// Of the whole name, in bytes; all of them are ASCII.
pub(super) const NAME_MAX: usize = 260;

/// A rendered name. A value fills a part of a segment: it cannot begin another one.
pub(super) static RULE: AddressRule =
    AddressRule { bytes_max: NAME_MAX, forbidden, name: "a Service Bus queue or topic", encode: None };

fn forbidden(letter: char) -> bool {
    !(letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | '~'))
}

/// Says why this is no name; values side by side can still make what no value may bring.
pub(super) fn check(name: &str) -> Result<(), String> {
    let ends_well = |text: &str| {
        text.starts_with(|letter: char| letter.is_ascii_alphanumeric())
            && text.ends_with(|letter: char| letter.is_ascii_alphanumeric())
    };
    if name.is_empty() {
        return Err("the name of a queue or topic is empty".into());
    }
    if name.len() > NAME_MAX {
        return Err(format!(
            "the name of a queue or topic has at most {NAME_MAX} characters, and this one {}",
            name.chars().count()
        ));
    }
    if let Some(letter) = name.chars().find(|letter| *letter != '/' && forbidden(*letter)) {
        return Err(format!("`{name}` holds `{}`, which no queue or topic has in its name", letter.escape_default()));
    }
    if !ends_well(name) || name.split('/').any(|part| part.is_empty() || matches!(part, "." | "..")) {
        return Err(format!("`{name}` is no queue or topic: names begin and end with a letter or digit, and `/` parts them"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_azure_takes() {
        for good in ["orders", "a", "9", "sales/orders.v1", "a_b-c~d.e", &"x".repeat(260)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "-a", "a-", "/a", "a/", "a//b", "a/../b", "a b", "a?b", "a#b", "a%2Fb", "ä", "a\nb", "$x", &"x".repeat(261)]
        {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
