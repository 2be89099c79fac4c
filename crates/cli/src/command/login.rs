//! `switchboard login` and `switchboard logout`: commands then need no token.

use crate::{client::SignInFlags, failure::Failure, output};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard login --server https://switchboard.example
  switchboard connection list
  switchboard logout")]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: SignInFlags,
}

pub(crate) fn login(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        client.sign_in().await?;
        output::remark(&format!(
            "You are signed in at {}. Commands that name no server talk to it.",
            client.origin()
        ));
        Ok(())
    })
}

pub(crate) fn logout(arguments: &Arguments) -> Result<(), Failure> {
    super::command_runtime()?.block_on(async {
        let client = arguments.server.client()?;
        let was = client.sign_out().await?;
        let text = if was { "You are signed out of" } else { "You were not signed in at" };
        output::remark(&format!("{text} {}.", client.origin()));
        Ok(())
    })
}
