//! The port: reserved early, so that a taken one stops the start before anything is changed, and opened late, so
//! that nobody is accepted before everything is ready.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use crate::failure::Failure;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

pub(super) struct Reserved {
    wanted: SocketAddr,
    socket: TcpSocket,
}

pub(super) fn reserve(wanted: SocketAddr) -> Result<Reserved, Failure> {
    let open = || {
        let socket = if wanted.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart must not wait for connections of the last process to time out.
        socket.set_reuseaddr(true)?;
        socket.bind(wanted)?;
        Ok(socket)
    };
    open().map(|socket| Reserved { wanted, socket }).map_err(|error| unusable(wanted, &error))
}

impl Reserved {
    pub(super) fn address(&self) -> Result<SocketAddr, Failure> {
        self.socket.local_addr().map_err(|error| unusable(self.wanted, &error))
    }

    pub(super) fn listen(self) -> Result<TcpListener, Failure> {
        let wanted = self.wanted;
        self.socket.listen(BACKLOG).map_err(|error| unusable(wanted, &error))
    }
}

fn unusable(wanted: SocketAddr, error: &io::Error) -> Failure {
    let port = wanted.port();
    let next = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "Another program listens there (`ss -ltnp 'sport = :{port}'` shows which). Stop it, or choose another port \
             with --listen {}:{} (SWITCHBOARD_LISTEN)",
            host(wanted),
            if port == u16::MAX { port - 1 } else { port + 1 },
        ),
        io::ErrorKind::PermissionDenied => {
            format!("Ports below 1024 need a privilege: choose another with --listen {}:8080, behind a reverse proxy", host(wanted))
        }
        io::ErrorKind::AddrNotAvailable => {
            "This machine has no such address: --listen 127.0.0.1:8080 is for this machine, 0.0.0.0:8080 for all".into()
        }
        _ => "Choose another address with --listen (SWITCHBOARD_LISTEN)".into(),
    };
    Failure::failed(format!("Can't listen on {wanted}: {error}. {next}."))
}

fn host(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}
