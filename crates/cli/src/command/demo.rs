//! `switchboard demo`: everything offline, with people, tokens and a server to call.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use switchboard_domain::{Random as _, Scope, Scopes, SecretValue, SystemRandom};
use switchboard_storage::Organization;
use url::Url;

use crate::{
    config::SettingFlags,
    failure::Failure,
    operator::{NewOwner, NewToken, Operator},
    sample::{SampleServer, vendor::Vendor},
    serving::{self, Demo},
};

const EMAIL: &str = "owner@demo.invalid";
/// A second person, with accounts of her own.
const MEMBER: &str = "mia@demo.invalid";

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard demo                          its data go with it
  switchboard demo --data-dir ./demo        keep what you try out
  switchboard demo --listen 127.0.0.1:9000")]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingFlags,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut settings = arguments.settings.clone();
    let scratch = if settings.values.contains_key("data_dir") { None } else { Some(Scratch::make()?) };
    if let Some(scratch) = &scratch {
        settings.values.insert("data_dir", scratch.0.display().to_string());
    }
    // The server that somebody else runs is on this machine too.
    settings.values.entry("egress.allow_private_networks").or_insert_with(|| "true".into());
    let mut config = super::load(&settings)?;
    // Where nobody keeps the log, lines that are worth keeping elsewhere only break what is told here.
    if config.log.filter == "info" {
        config.log.filter = "info,switchboard_broker::audit::heads=warn".into();
    }
    let demo = Demo {
        server: Arc::new(SampleServer::default()),
        prepare: Box::new(|operator, public_url| prepare(operator, public_url).boxed()),
    };
    super::server_runtime()?.block_on(serving::serve(config, Some(demo)))
}

/// A directory that goes with the demo.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Self, Failure> {
        let random: [u8; 6] = random();
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(std::env::temp_dir().join(format!("switchboard-demo-{name}"))))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom.fill(&mut bytes);
    bytes
}

/// An owner, a member and a server of somebody else's; with fresh passwords and fresh tokens, each start.
async fn prepare(operator: Operator, public_url: Url) -> Result<String, Failure> {
    let password = new_password();
    let has_owner = operator.db.single().await?.members().owners_exist().await?;
    if has_owner {
        let organization = operator.organization(None).await?;
        operator.reset_password(&organization, EMAIL, SecretValue::new(&*password)).await?;
    } else {
        let organization = Some("demo".parse().map_err(|_| Failure::failed("`demo` is no slug"))?);
        let name = Some("Demo Owner".into());
        let secret = SecretValue::new(&*password);
        operator
            .create_owner(&NewOwner { organization, email: EMAIL.into(), name, password: secret })
            .await?;
    }
    let organization = operator.organization(None).await?;
    let vendor = Vendor::start(Arc::clone(&operator.random)).await;
    let vendor =
        vendor.map_err(|error| Failure::failed(format!("The sample server can't listen: {error}.")))?;
    let second = operator.prepare_demo(&organization, MEMBER, "Mia", &vendor).await?;
    operator.reset_password(&organization, MEMBER, SecretValue::new(&*second)).await?;
    let origin = public_url.as_str().trim_end_matches('/');
    let own = token(&operator, &organization, EMAIL).await?;
    let hers = token(&operator, &organization, MEMBER).await?;
    let first = first_call(origin, &password, own.expose());
    Ok(format!("{first}\n\n{}", own_accounts(&second, hers.expose())))
}

fn new_password() -> String {
    random::<12>().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn token(
    operator: &Operator,
    organization: &Organization,
    email: &str,
) -> Result<SecretValue, Failure> {
    let new = NewToken {
        email: email.into(),
        name: "demo".into(),
        scopes: Scopes::from_iter([Scope::McpRead, Scope::McpWrite, Scope::Api]),
        resource: None,
        lifetime: Some(Duration::from_secs(24 * 3600)),
    };
    Ok(operator.create_token(organization, &new).await?.secret)
}

/// The server that wants everybody to sign in with an account of their own.
fn own_accounts(password: &str, token: &str) -> String {
    let program = crate::output::program();
    let slug = crate::sample::vendor::SLUG;
    format!(
        "`{slug}` is somebody else's server, with a provider that signs people in: each member has an account there.\n\
         Connect yours (an address opens in your browser; sign in as {EMAIL}, then pick an account):\n\
         \n\
         {program} connection connect {slug}\n\
         {program} call {slug}.list_messages\n\
         \n\
         Mia has one too. She signs in as {MEMBER} with the password {password}, in a browser of her own:\n\
         \n\
         SWITCHBOARD_TOKEN={token} {program} connection connect {slug}\n\
         SWITCHBOARD_TOKEN={token} {program} call {slug}.list_messages"
    )
}

/// What to type next. Every line works as it stands.
fn first_call(origin: &str, password: &str, token: &str) -> String {
    let program = crate::output::program();
    format!(
        "Open {origin}/sign-in and sign in as {EMAIL} with the password {password}\n\
         Or use the command line: the token below is good for a day. Paste this into another terminal:\n\
         \n\
         export SWITCHBOARD_SERVER={origin} SWITCHBOARD_TOKEN={token}\n\
         {program} search 'remember something'\n\
         {program} call sample.add_note '{{\"text\": \"first call\"}}'\n\
         \n\
         curl {origin}/mcp -H \"Authorization: Bearer $SWITCHBOARD_TOKEN\" \\\n\
         \x20 -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \\\n\
         \x20 -H 'MCP-Protocol-Version: 2025-11-25' \\\n\
         \x20 -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"execute_capability\",\"arguments\":{{\"name\":\"sample.calculate\",\"arguments\":{{\"expression\":\"6*7\"}}}}}}}}'\n\
         \n\
         An AI client connects to {origin}/mcp with the same token."
    )
}
