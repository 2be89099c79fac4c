//! The ways out: the guarded one for upstreams, a closer one for what strangers name, and the operator's own for what the operator named.

use std::net::SocketAddr;

use switchboard_domain::SecretValue;
use switchboard_egress::{Egress, EgressConfig, Limits};

use crate::{
    config::{Config, EgressSettings},
    failure::Failure,
};

/// For upstreams: every rule of the operator, and never to ourselves.
pub(crate) fn upstream_egress(config: &Config, own_listeners: Vec<SocketAddr>) -> Result<Egress, Failure> {
    Ok(Egress::new(ruled(config, own_listeners)?)?)
}

/// For addresses that anybody may name who isn't signed in: the same rules, and private networks closed unless the
/// operator opens them for this too.
pub(crate) fn public_egress(config: &Config, own_listeners: Vec<SocketAddr>) -> Result<Egress, Failure> {
    let mut egress = ruled(config, own_listeners)?;
    if !config.egress.private_client_documents {
        egress.allow_private_networks = false;
        egress.private_networks.clear();
    }
    Ok(Egress::new(egress)?)
}

fn ruled(config: &Config, own_listeners: Vec<SocketAddr>) -> Result<EgressConfig, Failure> {
    let settings = &config.egress;
    let mut egress = common(settings)?;
    egress.allow_private_networks = settings.allow_private_networks;
    egress.private_networks = settings
        .private_networks
        .iter()
        .map(|text| {
            text.parse().map_err(|_| wrong("egress.private_networks", text, "a network such as 10.1.0.0/16"))
        })
        .collect::<Result<_, _>>()?;
    egress.allowed_hosts = match &settings.allowed_hosts {
        None => None,
        Some(hosts) => Some(
            hosts
                .iter()
                .map(|text| {
                    text.parse().map_err(|error| Failure::usage(format!("`egress.allowed_hosts`: {error}")))
                })
                .collect::<Result<_, _>>()?,
        ),
    };
    egress.own_listeners = own_listeners;
    egress.limits = limits(settings)?;
    Ok(egress)
}

/// For addresses that the operator or the person at the terminal named: a collector, the server of a client
/// command, our own public URL. Private networks and loopback are open; plain http to public hosts is not.
pub(crate) fn operator_egress(settings: &EgressSettings) -> Result<Egress, Failure> {
    let mut egress = common(settings)?;
    egress.allow_private_networks = true;
    // A tool call may take as long as the server lets it.
    egress.limits.call_timeout = egress.limits.call_timeout_with_progress;
    egress.limits.first_byte_timeout = egress.limits.call_timeout_with_progress;
    Ok(Egress::new(egress)?)
}

fn common(settings: &EgressSettings) -> Result<EgressConfig, Failure> {
    let mut egress = EgressConfig::default();
    if let Some(proxy) = settings.proxy.as_ref().map(SecretValue::expose) {
        egress.proxy = Some(proxy.parse().map_err(|_| {
            Failure::usage("`egress.proxy` is not a URL: write http://[user:password@]host:port")
        })?);
    }
    egress.proxy_resolves_names = settings.proxy_resolves_names;
    for path in &settings.extra_root_certificates {
        let pem = std::fs::read(path).map_err(|error| {
            Failure::usage(format!(
                "`egress.extra_root_certificates` names {}, which can't be read: {error}",
                path.display()
            ))
        })?;
        egress.extra_root_certificates.push(pem);
    }
    Ok(egress)
}

fn limits(settings: &EgressSettings) -> Result<Limits, Failure> {
    let members = settings.limits.iter().map(|(name, text)| {
        let value = text.parse::<u64>().map_or_else(|_| text.as_str().into(), serde_json::Value::from);
        ((*name).to_owned(), value)
    });
    let members: serde_json::Map<_, _> = members.collect();
    serde_json::from_value(members.into())
        .map_err(|error| Failure::usage(format!("`[egress.limits]`: {error}")))
}

fn wrong(key: &str, text: &str, expected: &str) -> Failure {
    Failure::usage(format!("`{key}`: `{text}` is not {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, SettingFlags, Settings};

    #[test]
    fn every_limit_is_a_setting_with_the_same_default() {
        let settings = Settings::load(&SettingFlags::default(), &Environment::default()).unwrap();
        let config = Config::new(&settings).unwrap();
        assert_eq!(limits(&config.egress).unwrap(), Limits::default());
        let named = serde_json::to_value(Limits::default()).unwrap();
        let named: Vec<&String> = named.as_object().unwrap().keys().collect();
        assert_eq!(named.len(), config.egress.limits.len(), "a limit has no setting: {named:?}");
    }
}
