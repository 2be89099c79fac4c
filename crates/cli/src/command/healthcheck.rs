//! `switchboard healthcheck`: whether the server on this machine is ready, for containers without a shell.

use http::Method;
use switchboard_egress::{ByteLimit, Deadlines, Redirects, Request};

use crate::{
    config::{Config, SettingFlags},
    failure::Failure,
    output, startup,
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard healthcheck
  switchboard healthcheck --listen 127.0.0.1:9000
  HEALTHCHECK CMD [\"switchboard\", \"healthcheck\"]")]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingFlags,
}

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = super::load(&arguments.settings)?;
    super::command_runtime()?.block_on(async {
        let (status, body) = get(&config, &format!("{}/readyz", local_origin(&config))).await?;
        if status == 200 {
            output::print("ready");
            return Ok(());
        }
        Err(Failure::failed(format!("Not ready ({status}): {}", output::plain(&body))))
    })
}

/// The listener, as this machine reaches it.
pub(super) fn local_origin(config: &Config) -> String {
    let mut address = config.listen;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    format!("http://{address}")
}

/// Status and body of a small document.
pub(super) async fn get(config: &Config, address: &str) -> Result<(u16, String), Failure> {
    let egress = startup::operator_egress(&config.egress)?;
    let url = egress.check_url(address).map_err(|_| {
        Failure::failed(format!("{address} can't be asked: it is neither https nor in a private network."))
    })?;
    let most = ByteLimit { name: "a small document", bytes: 256 * 1024 };
    let request = Request {
        method: Method::GET,
        url,
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
        deadlines: Deadlines { total: PATIENCE, first_byte: PATIENCE, idle: PATIENCE },
        max_wire_bytes: most,
        max_inflated_bytes: most,
        redirects: Redirects::Refuse,
        accept_gzip: false,
    };
    let failed = |error: switchboard_egress::EgressError| Failure::failed(format!("{address}: {error}."));
    let answer = egress.send(request).await.map_err(failed)?;
    let status = answer.status.as_u16();
    let body = answer.body.collect_bytes().await.map_err(failed)?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
