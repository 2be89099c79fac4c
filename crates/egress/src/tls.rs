//! TLS 1.2 and 1.3 with the public authorities and those the operator adds. There is no switch that turns
//! verification off.

use std::{error::Error as _, io, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use url::Host;

use crate::error::TlsFailure;

/// `pem` holds one or more certificates each.
pub(crate) fn client_config(pem: &[Vec<u8>]) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for file in pem {
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(file) {
            let certificate = certificate.map_err(|error| format!("it is not PEM: {error:?}"))?;
            roots.add(certificate).map_err(|error| format!("a certificate was not accepted: {error}"))?;
            found = true;
        }
        if !found {
            return Err("it holds no certificate".into());
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A ticket is kept for a name, not for an address: one handed out by a host must not follow the name to
    // another address. Warm connections are pooled, so little is lost.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The name the certificate has to carry.
pub(crate) fn server_name(host: &Host<String>) -> Option<ServerName<'static>> {
    match host {
        Host::Ipv4(v4) => Some(ServerName::IpAddress((*v4).into())),
        Host::Ipv6(v6) => Some(ServerName::IpAddress((*v6).into())),
        Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()).ok(),
    }
}

pub(crate) fn failure(error: &io::Error) -> TlsFailure {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            // What answers a handshake by closing does not want to speak TLS.
            io::ErrorKind::UnexpectedEof => TlsFailure::Protocol,
            _ => error.source().map_or(TlsFailure::Other, |_| TlsFailure::Protocol),
        };
    };
    match error {
        rustls::Error::InvalidCertificate(invalid) => match invalid {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsFailure::Expired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFailure::WrongHost
            }
            // A signature that does not fit comes from an authority that only bears a trusted one's name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFailure::UnknownIssuer,
            _ => TlsFailure::Other,
        },
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::PeerMisbehaved(_)
        | rustls::Error::InvalidMessage(_)
        | rustls::Error::InappropriateMessage { .. }
        | rustls::Error::InappropriateHandshakeMessage { .. }
        | rustls::Error::AlertReceived(
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity
            | AlertDescription::InappropriateFallback,
        ) => TlsFailure::Protocol,
        _ => TlsFailure::Other,
    }
}
