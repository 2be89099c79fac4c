//! `connection disconnect`: accounts are taken back, here and at their provider, which may confirm it.

use serde_json::Value;

use crate::{
    client::{CONNECTION, Client},
    failure::Failure,
    output::{self, plain},
};

pub(super) async fn disconnect(
    client: &Client,
    connection: &str,
    (everybody, yes): (bool, bool),
    json: bool,
) -> Result<(), Failure> {
    let id = client.id_of(&CONNECTION, connection).await?;
    let name = plain(connection);
    let whose = if everybody { "everybody's accounts" } else { "the account that you use it with" };
    output::confirm(&format!("Take {whose} of {name} away, here and at the provider?"), yes)?;
    let path = if everybody { "credentials" } else { "credential" };
    let taken = client.delete(&format!("/connections/{id}/{path}")).await?;
    if json {
        output::print_json(&taken);
    } else {
        output::print(&format!("{}\n", said(&name, &taken)));
    }
    Ok(())
}

/// What is gone, and what the provider says of it.
fn said(name: &str, taken: &Value) -> String {
    let count = |member: &Value| member.as_u64().unwrap_or(0);
    let provider = &taken["provider"];
    let mut said = match count(&taken["deleted"]) {
        0 => format!("{name} had no account connected."),
        1 => format!("{name} is disconnected."),
        many => format!("{name} is disconnected: {many} accounts."),
    };
    if count(&provider["confirmed"]) > 0 {
        said.push_str(" Its provider confirmed that the tokens are worth nothing any more.");
    }
    if count(&provider["pending"]) > 0 {
        said.push_str(" Its provider has not confirmed it yet; Switchboard goes on asking.");
    }
    if count(&provider["unsupported"]) > 0 {
        said.push_str(" Its provider can't be told: end the access in the account settings there as well.");
    }
    said
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::said;

    #[test]
    fn it_says_whether_the_provider_confirmed() {
        let taken = json!({ "deleted": 1, "provider": { "confirmed": 1, "pending": 0, "unsupported": 0 } });
        assert!(said("linear", &taken).contains("confirmed that"));
        let taken = json!({ "deleted": 3, "provider": { "confirmed": 0, "pending": 2, "unsupported": 1 } });
        let said = said("linear", &taken);
        assert!(
            said.contains("3 accounts") && said.contains("not confirmed") && said.contains("can't be told")
        );
    }
}
