//! Everything that takes part in a run.

use http::Uri;

use super::process::{self, Running, start_own};
use super::switchboard::{self, Switchboard};
use super::wire::{Ask, Target};
use super::{Arguments, Cell, load, say};
use crate::upstream::{LISTED_TOOLS, LISTED_UPSTREAMS};

/// How a contender is asked for `echo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// `echo`
    Plain,
    /// `bench.echo` through `execute_capability`
    Capability,
    /// Whatever its list calls the tool whose name ends in `echo`
    Listed,
}

#[derive(Debug)]
pub struct Contender {
    pub name: String,
    pub pid: Option<u32>,
    pub peer: bool,
    url: Uri,
    bearer: Option<String>,
    naming: Naming,
    list: bool,
}

impl Contender {
    fn target_for(&self, ask: Ask) -> Target {
        Target { name: self.name.clone(), url: self.url.clone(), bearer: self.bearer.clone(), ask }
    }

    pub async fn target(&self, cell: Cell) -> Result<Target, String> {
        let bytes = cell.result_bytes;
        if self.list {
            return Ok(self.target_for(Ask::List { tools: LISTED_TOOLS }));
        }
        let ask = match self.naming {
            Naming::Plain => Ask::Tool { name: "echo".to_owned(), bytes },
            Naming::Capability => Ask::Capability { name: "bench.echo".to_owned(), bytes },
            Naming::Listed => {
                let asking = self.target_for(Ask::List { tools: 1 });
                Ask::Tool { name: load::find_tool(&asking, cell.era, "echo").await?, bytes }
            }
        };
        Ok(self.target_for(ask))
    }
}

/// The processes of a run; they end with it.
pub struct Field {
    pub contenders: Vec<Contender>,
    _running: Vec<Running>,
    _switchboard: Option<Switchboard>,
}

fn uri(url: &str) -> Result<Uri, String> {
    url.parse().map_err(|error| format!("{url}: {error}"))
}

fn port(url: &Uri) -> Option<u16> {
    url.port_u16()
}

impl Field {
    pub async fn set_up(arguments: &Arguments) -> Result<Self, String> {
        let mut running = Vec::new();
        let base = match &arguments.upstream {
            Some(base) => base.trim_end_matches('/').to_owned(),
            None => {
                let upstream = start_own(&["upstream"])?;
                let base = format!("http://{}", upstream.address);
                running.push(upstream);
                base
            }
        };
        let mut contenders = vec![direct(arguments, &base)?];
        let mut started = None;
        if arguments.without_switchboard {
            say("Switchboard is left out of this run");
        } else if let Some((url, token)) = arguments.attach.as_deref().zip(arguments.token.as_deref()) {
            contenders.push(attached(arguments, url, token)?);
        } else {
            let switchboard = start_switchboard(arguments).await?;
            connect(arguments, &base, &switchboard).await?;
            // A release without direct toolkits is measured without them, and says so.
            match offer_list(arguments, &base, &switchboard).await {
                Ok(()) => contenders.push(through_switchboard(arguments, &switchboard)?),
                Err(error) => say(&format!("switchboard: not measured, it has no direct toolkit: {error}")),
            }
            started = Some(switchboard);
        }
        let yardstick = start_yardstick(arguments, &base)?;
        contenders.push(through_yardstick(arguments, &yardstick)?);
        running.push(yardstick);
        for peer in &arguments.peer {
            contenders.push(through_peer(arguments, peer)?);
        }
        Ok(Self { contenders, _running: running, _switchboard: started })
    }
}

fn direct(arguments: &Arguments, base: &str) -> Result<Contender, String> {
    let url = uri(&format!("{base}{}", if arguments.list { "/all" } else { "/mcp" }))?;
    Ok(Contender {
        name: "direct".to_owned(),
        pid: port(&url).and_then(process::listener),
        peer: false,
        url,
        bearer: None,
        naming: Naming::Plain,
        list: arguments.list,
    })
}

fn list_parts(base: &str) -> Vec<(String, String)> {
    (1..=LISTED_UPSTREAMS).map(|part| (format!("s{part}"), format!("{base}/s{part}"))).collect()
}

async fn start_switchboard(arguments: &Arguments) -> Result<Switchboard, String> {
    let binary = switchboard::binary(arguments.switchboard.as_deref())?;
    Switchboard::start(&binary, &arguments.serve_argument).await
}

async fn connect(arguments: &Arguments, base: &str, switchboard: &Switchboard) -> Result<(), String> {
    if !arguments.list {
        return switchboard.connect("bench", &format!("{base}/mcp"), 1).await;
    }
    for (slug, url) in &list_parts(base) {
        switchboard.connect(slug, url, LISTED_TOOLS / LISTED_UPSTREAMS).await?;
    }
    Ok(())
}

async fn offer_list(arguments: &Arguments, base: &str, switchboard: &Switchboard) -> Result<(), String> {
    if !arguments.list {
        return Ok(());
    }
    let patterns: Vec<String> = list_parts(base).iter().map(|(slug, _)| format!("{slug}.*")).collect();
    switchboard.create_toolkit("bench", &patterns).await
}

fn attached(arguments: &Arguments, url: &str, token: &str) -> Result<Contender, String> {
    let url = uri(url)?;
    Ok(Contender {
        name: "switchboard".to_owned(),
        pid: port(&url).and_then(process::listener),
        peer: false,
        url,
        bearer: Some(token.to_owned()),
        naming: Naming::Capability,
        list: arguments.list,
    })
}

fn through_switchboard(arguments: &Arguments, switchboard: &Switchboard) -> Result<Contender, String> {
    let path = if arguments.list { "/mcp/toolkits/bench" } else { "/mcp" };
    Ok(Contender {
        name: "switchboard".to_owned(),
        pid: Some(switchboard.process.pid()),
        peer: false,
        url: uri(&switchboard.url(path))?,
        bearer: Some(switchboard.token.clone()),
        naming: Naming::Capability,
        list: arguments.list,
    })
}

fn start_yardstick(arguments: &Arguments, base: &str) -> Result<Running, String> {
    let upstreams = if arguments.list {
        list_parts(base).iter().map(|(slug, url)| format!("{slug}={url}")).collect()
    } else {
        vec![format!("bench={base}/mcp")]
    };
    let mut call = vec!["yardstick"];
    for upstream in &upstreams {
        call.extend(["--upstream", upstream]);
    }
    start_own(&call)
}

fn through_yardstick(arguments: &Arguments, yardstick: &Running) -> Result<Contender, String> {
    Ok(Contender {
        name: "yardstick".to_owned(),
        pid: Some(yardstick.pid()),
        peer: false,
        url: uri(&format!("http://{}/mcp", yardstick.address))?,
        bearer: None,
        naming: Naming::Plain,
        list: arguments.list,
    })
}

fn through_peer(arguments: &Arguments, peer: &str) -> Result<Contender, String> {
    let (name, url) = peer.split_once('=').ok_or("a peer is given as NAME=URL")?;
    let url = uri(url)?;
    Ok(Contender {
        name: name.to_owned(),
        pid: port(&url).and_then(process::listener),
        peer: true,
        url,
        bearer: None,
        naming: Naming::Listed,
        list: arguments.list,
    })
}
