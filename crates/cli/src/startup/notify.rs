//! Telling systemd how things stand: sd_notify(3) for units with `Type=notify`.
//!
//! The protocol is one datagram of `KEY=value` lines to the socket that `NOTIFY_SOCKET` names; a name that starts
//! with `@` is in Linux's abstract namespace.

use std::os::unix::net::UnixDatagram;

/// Sends to the service manager, if there is one.
#[derive(Debug)]
pub(crate) struct Notify {
    socket: Option<(UnixDatagram, std::os::unix::net::SocketAddr)>,
}

impl Notify {
    pub(crate) fn new(name: Option<&str>) -> Self {
        let socket = name.and_then(|name| match connect(name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET can't be used");
                None
            }
        });
        Self { socket }
    }

    pub(crate) fn ready(&self) {
        self.send("READY=1\nSTATUS=Serving");
    }

    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=Finishing calls in progress");
    }

    fn send(&self, state: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::warn!(%error, "the service manager could not be told");
        }
    }
}

fn connect(name: &str) -> std::io::Result<(UnixDatagram, std::os::unix::net::SocketAddr)> {
    use std::os::unix::net::SocketAddr;
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt as _;
        return Ok((UnixDatagram::unbound()?, SocketAddr::from_abstract_name(name)?));
    }
    Ok((UnixDatagram::unbound()?, SocketAddr::from_pathname(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_reaches_the_service_manager() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        Notify::new(path.to_str()).ready();
        let mut text = [0; 64];
        let length = manager.recv(&mut text).unwrap();
        assert!(text[..length].starts_with(b"READY=1\n"));
        Notify::new(None).ready();
    }
}
