//! Opening a TCP connection to one of several judged addresses.
//!
//! Addresses are tried in turn, alternating between the families, each one a little after the one before it
//! (RFC 8305, "Happy Eyeballs"): a dead address costs a quarter of a second, not the whole deadline.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::net::{TcpSocket, TcpStream};

use crate::{
    error::EgressError,
    guard::{Reason, Refused},
};

/// RFC 8305 section 5, "Connection Attempt Delay".
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connection and the address that is really at its other end.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
}

/// The operating system's connect, as a parameter: tests show which address would have been dialled.
pub(crate) trait Dial: Send + Sync + fmt::Debug {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Dialled>>;
}

#[derive(Debug)]
pub(crate) struct TcpDialer;

impl Dial for TcpDialer {
    #[expect(clippy::disallowed_methods, reason = "the one place that opens an outbound connection")]
    fn dial(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Dialled>> {
        Box::pin(async move {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Requests are written whole; waiting for an acknowledgement would cost 40 ms a call.
            socket.set_nodelay(true)?;
            socket.set_keepalive(true)?;
            let stream = socket.connect(address).await?;
            let peer = stream.peer_addr()?;
            Ok(Dialled { stream, peer })
        })
    }
}

/// The first connection that succeeds, to exactly one of `addresses`.
pub(crate) async fn dial_any(dialer: &dyn Dial, addresses: &[SocketAddr]) -> Result<Dialled, EgressError> {
    let mut waiting = addresses.iter().copied();
    let mut attempts = FuturesUnordered::new();
    let mut failure = EgressError::ConnectFailed;
    loop {
        if let Some(address) = waiting.next() {
            let attempt = dialer.dial(address);
            attempts.push(async move { (address, attempt.await) });
        } else if attempts.is_empty() {
            return Err(failure);
        }
        tokio::select! {
            Some((address, outcome)) = attempts.next() => match outcome {
                Ok(dialled) => return checked(address, dialled).map_err(EgressError::from),
                Err(error) => {
                    tracing::debug!(%address, %error, "connection attempt failed");
                    if error.kind() == io::ErrorKind::ConnectionRefused {
                        failure = EgressError::ConnectRefused;
                    }
                }
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if waiting.len() > 0 => {}
        }
    }
}

/// The other end must be the judged address, whatever the network did in between.
fn checked(address: SocketAddr, dialled: Dialled) -> Result<Dialled, Refused> {
    let same = dialled.peer.ip().to_canonical() == address.ip().to_canonical()
        && dialled.peer.port() == address.port();
    if same { Ok(dialled) } else { Err(Reason::PeerNotChecked.refuse(&address)) }
}

/// Alternates the families, the resolver's first choice first.
pub(crate) fn interleave(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    let (mut first, mut second): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|address| address.is_ipv4() == first_is_v4);
    first.reverse();
    second.reverse();
    let mut order = Vec::with_capacity(addresses.len());
    while !(first.is_empty() && second.is_empty()) {
        for address in [first.pop(), second.pop()].into_iter().flatten() {
            let address = SocketAddr::new(address, port);
            if !order.contains(&address) {
                order.push(address);
            }
        }
    }
    order
}

/// Whether `address` is one of this machine's interfaces: the kernel then picks it as the source of a packet
/// to itself. Connecting a datagram socket sends nothing.
#[expect(clippy::disallowed_methods, reason = "asks the kernel for a route; nothing is sent")]
pub(crate) fn is_own_interface(address: IpAddr) -> bool {
    let any = match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    UdpSocket::bind((any, 0))
        .and_then(|socket| socket.connect((address, 9)).and_then(|()| socket.local_addr()))
        .is_ok_and(|local| local.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_and_repeats_are_dropped() {
        let addresses: Vec<IpAddr> =
            ["2606::1", "2606::2", "2606::1", "1.1.1.1"].iter().map(|a| a.parse().unwrap()).collect();
        let order: Vec<String> = interleave(&addresses, 443).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["[2606::1]:443", "1.1.1.1:443", "[2606::2]:443"]);
    }

    #[test]
    fn loopback_is_an_own_interface_and_a_public_resolver_is_not() {
        assert!(is_own_interface("127.0.0.1".parse().unwrap()));
        assert!(!is_own_interface("1.1.1.1".parse().unwrap()));
    }
}
