//! People write slugs, names and email addresses; paths and bodies of the API take ids.

use serde_json::Value;

use super::{Client, cell};
use crate::{failure::Failure, output::plain};

/// Something that is listed by the API and named in a way of its own.
#[derive(Debug)]
pub(crate) struct Kind {
    /// What it is called in a message.
    one: &'static str,
    path: &'static str,
    /// The member that people name it by; ids are always taken too.
    name: &'static str,
    list: &'static str,
}

pub(crate) const CONNECTION: Kind =
    Kind { one: "connection", path: "/connections", name: "slug", list: "switchboard connection list" };
pub(crate) const TOOLKIT: Kind =
    Kind { one: "toolkit", path: "/toolkits", name: "slug", list: "switchboard toolkit list" };
pub(crate) const MEMBER: Kind =
    Kind { one: "member", path: "/members", name: "email", list: "switchboard member list" };
pub(crate) const TEAM: Kind =
    Kind { one: "team", path: "/teams", name: "name", list: "switchboard team list" };
pub(crate) const SERVICE_ACCOUNT: Kind = Kind {
    one: "service account",
    path: "/service-accounts",
    name: "name",
    list: "switchboard service-account list",
};
pub(crate) const IDENTITY_PROVIDER: Kind = Kind {
    one: "identity provider",
    path: "/identity-providers",
    name: "slug",
    list: "switchboard identity-provider list",
};
pub(crate) const OAUTH_CLIENT: Kind =
    Kind { one: "client", path: "/oauth-clients", name: "client_id", list: "switchboard oauth-client list" };
pub(crate) const WEBHOOK: Kind =
    Kind { one: "webhook", path: "/webhooks", name: "name", list: "switchboard webhook list" };
pub(crate) const INVITATION: Kind =
    Kind { one: "invitation", path: "/invitations", name: "email", list: "switchboard member invitations" };

impl Client {
    /// The one thing that has this id or name; names are compared without regard to case.
    pub(crate) async fn find(&self, kind: &Kind, given: &str) -> Result<Value, Failure> {
        let all = self.all(kind.path).await?;
        pick(kind, &all, given).cloned()
    }

    /// Its id, for a path.
    pub(crate) async fn id_of(&self, kind: &Kind, given: &str) -> Result<String, Failure> {
        Ok(cell(&self.find(kind, given).await?, "id"))
    }

    /// Ids of several, for a body; the list is read once, and not at all for nothing.
    pub(crate) async fn ids_of(&self, kind: &Kind, given: &[String]) -> Result<Vec<String>, Failure> {
        if given.is_empty() {
            return Ok(Vec::new());
        }
        let all = self.all(kind.path).await?;
        given.iter().map(|given| Ok(cell(pick(kind, &all, given)?, "id"))).collect()
    }

    /// What people call things that an answer names by id; an id that is in no list any more stays as it is.
    pub(crate) async fn names_of(&self, kind: &Kind, ids: &[Value]) -> Result<Vec<String>, Failure> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let all = self.all(kind.path).await?;
        let name = |id: &Value| {
            let found = all.iter().find(|row| row["id"] == *id);
            found.map_or_else(|| id.as_str().unwrap_or_default().to_owned(), |row| cell(row, kind.name))
        };
        Ok(ids.iter().map(name).collect())
    }
}

/// A path with a query, encoded.
pub(crate) fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{path}?{query}")
}

fn pick<'a>(kind: &Kind, all: &'a [Value], given: &str) -> Result<&'a Value, Failure> {
    let name = |row: &'a Value| row[kind.name].as_str().unwrap_or_default();
    let found = all
        .iter()
        .find(|row| row["id"] == given)
        .or_else(|| all.iter().find(|row| name(row).to_lowercase() == given.to_lowercase()));
    found.ok_or_else(|| {
        let hint = match crate::config::nearest(given, all.iter().map(name)) {
            Some(meant) => format!("did you mean `{}`?", plain(meant)),
            None => format!("`{}` shows them.", kind.list),
        };
        Failure::failed(format!("There is no {} `{}`: {hint}", kind.one, plain(given)))
    })
}
