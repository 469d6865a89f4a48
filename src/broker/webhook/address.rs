//! Which addresses a webhook goes to, held against what a name resolves to at each connect: a name whose answer changes between the
//! check and the connect gains nothing, because it is the checked address that is connected to.
//!
//! Never, whatever is written: link-local addresses and the metadata services of clouds, which hand credentials to whoever asks from
//! inside; the unspecified address, multicast, broadcast. IPv6 addresses that stand for an IPv4 address are judged as that address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the configuration must allow before it is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Anywhere on the Internet.
    Public,
    /// This machine.
    Loopback,
    /// This network: RFC 1918, RFC 6598 and RFC 4193, and what is left of them.
    Private,
}

/// Metadata and control services with an address of their own outside of the link-local ranges.
const METADATA_V4: [(Ipv4Addr, &str); 3] = [
    (Ipv4Addr::new(100, 100, 100, 200), "the metadata service of Alibaba Cloud"),
    (Ipv4Addr::new(168, 63, 129, 16), "the platform service of Azure"),
    (Ipv4Addr::new(192, 0, 0, 192), "the metadata service of Oracle Cloud"),
];
const METADATA_V6: [(Ipv6Addr, &str); 2] = [
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), "the metadata service of AWS"),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), "the metadata service of Google Cloud"),
];

/// How far an address is, or why it is never connected to.
pub(super) fn reach(address: IpAddr) -> Result<Reach, &'static str> {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => reach_v4(inner),
            None => reach_v6(address),
        },
    }
}

fn reach_v4(address: Ipv4Addr) -> Result<Reach, &'static str> {
    if let Some((_, name)) = METADATA_V4.iter().find(|(known, _)| *known == address) {
        return Err(name);
    }
    match address.octets() {
        [0, ..] => Err("the unspecified address"),
        [169, 254, ..] => Err("a link-local address, as metadata services have"),
        [224..=239, ..] => Err("a multicast address"),
        [240..=255, ..] => Err("a broadcast or reserved address"),
        [127, ..] => Ok(Reach::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [198, 18..=19, ..] | [192, 0, 0, _] => {
            Ok(Reach::Private)
        }
        _ => Ok(Reach::Public),
    }
}

fn reach_v6(address: Ipv6Addr) -> Result<Reach, &'static str> {
    if let Some((_, name)) = METADATA_V6.iter().find(|(known, _)| *known == address) {
        return Err(name);
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Err("the unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Ok(Reach::Loopback),
        [0xfe80..=0xfebf, ..] => Err("a link-local address"),
        [0xff00..=0xffff, ..] => Err("a multicast address"),
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Ok(Reach::Private),
        _ => Ok(Reach::Public),
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped (RFC 4291 2.5.5.2) and compatible (2.5.5.1), by translation (RFC 6052,
/// RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380), ISATAP (RFC 5214).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let joined = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..]
        | [.., 0 | 0x200, 0x5efe, high, low] => joined(high, low),
        [0x2001, 0, _, _, _, _, high, low] => joined(!high, !low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Reach, &'static str> {
        reach(text.parse().unwrap_or_else(|_| panic!("{text} is an address")))
    }

    #[test]
    fn some_addresses_are_never_connected_to_however_they_are_spelled() {
        let never = [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "::ffff:0:a9fe:a9fe",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1:2::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:0:1:2:3:4:5601:5601",
            "2001:db8::5efe:a9fe:a9fe",
            "::ffff:0.0.0.0",
            "::ffff:255.255.255.255",
        ];
        for address in never {
            assert!(of(address).is_err(), "{address}: {:?}", of(address));
        }
    }

    #[test]
    fn this_machine_and_this_network_are_told_from_the_rest() {
        for address in ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"] {
            assert_eq!(of(address), Ok(Reach::Loopback), "{address}");
        }
        for address in ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1"] {
            assert_eq!(of(address), Ok(Reach::Private), "{address}");
        }
        for address in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "169.253.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "2001:4860::8888"]
        {
            assert_eq!(of(address), Ok(Reach::Public), "{address}");
        }
    }
}
