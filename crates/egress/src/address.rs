//! Which IP addresses are public, and which of the others an operator may open.
//!
//! The tables are the IANA special-purpose registries (RFC 6890 and its updates) read with a server's eyes:
//! what is not globally reachable unicast is refused, and so are public-looking addresses that lead to a
//! cloud platform's own services. IPv6 spellings of IPv4 (mapped, RFC 4291 section 2.5.5.2; NAT64 with the
//! well-known prefix, RFC 6052) are judged by the IPv4 address inside; tunnels (6to4, Teredo) and every other
//! embedding are refused, because nobody runs a server there and an inner private address would pass.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is, from least to most dangerous to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressClass {
    Public,
    /// This machine. Opened by `allow_private_networks` only.
    Loopback,
    /// RFC 1918, shared address space (RFC 6598), unique local IPv6 (RFC 4193).
    Private,
    /// Instance metadata, link-local and platform services: credentials for the asking. Never opened.
    Metadata,
    /// Unroutable, multicast, documentation, tunnels. Never opened.
    Special,
}

pub(crate) fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => embedded_v4(v6).map_or_else(|| classify_v6(v6), classify_v4),
    }
}

/// The IPv4 address that a mapped or NAT64 address stands for.
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d] = [v6.octets()[12], v6.octets()[13], v6.octets()[14], v6.octets()[15]];
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(Ipv4Addr::new(a, b, c, d)),
        _ => None,
    }
}

const fn classify_v4(v4: Ipv4Addr) -> AddressClass {
    match v4.octets() {
        // Azure's WireServer has a public address; Alibaba's metadata lies in the shared address space.
        [169, 254, _, _] | [168, 63, 129, 16] | [100, 100, 100, 200] => AddressClass::Metadata,
        [127, _, _, _] => AddressClass::Loopback,
        [10, _, _, _] | [172, 16..=31, _, _] | [192, 168, _, _] | [100, 64..=127, _, _] => {
            AddressClass::Private
        }
        // "This network" reaches the local host on Linux.
        [0, _, _, _]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, _, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, _, _, _] => AddressClass::Special,
        _ => AddressClass::Public,
    }
}

const fn classify_v6(v6: Ipv6Addr) -> AddressClass {
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        // Link-local, and the metadata services of AWS and Google inside the unique local range.
        [0xfe80..=0xfebf, ..] | [0xfd00, 0x0ec2, ..] | [0xfd20, 0x00ce, ..] => AddressClass::Metadata,
        [0xfc00..=0xfdff, ..] => AddressClass::Private,
        // IETF protocol assignments with Teredo (2001::/23), documentation twice, 6to4.
        [0x2001, 0x0000..=0x01ff, ..]
        | [0x2001, 0x0db8, ..]
        | [0x2002, ..]
        | [0x3fff, 0x0000..=0x0fff, ..] => AddressClass::Special,
        [0x2000..=0x3fff, ..] => AddressClass::Public,
        _ => AddressClass::Special,
    }
}
