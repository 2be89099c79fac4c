//! Where a request comes from, as limits count it: an address; of IPv6 its /64, which is what one machine is given and
//! in which it can choose any of 2^64 addresses (RFC 6177, RFC 4941).

use std::net::{IpAddr, Ipv6Addr};

/// The machine behind an address. A mapped address is the IPv4 one it stands for.
pub fn machine(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}
