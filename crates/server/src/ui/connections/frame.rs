//! What every page of one connection begins with: which one, may this person see it, where they are among its pages.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, Response, StatusCode, Uri},
};
use switchboard_broker::{
    SignedIn,
    manage::{ConnectionView, OwnerWord, Refusal, RefusalKind},
};
use switchboard_domain::{AuthType, ConnectionId, CredentialMode};

use super::words::State as Shown;
use crate::{
    ServerState,
    browser::{self, Fields},
    ui::{
        account::{Sent, person},
        mark::Mark,
        message,
        navigation::Navigation,
        unavailable,
    },
};

/// A connection and whoever looks at it.
pub(super) struct Subject {
    pub(super) signed_in: SignedIn,
    pub(super) connection: ConnectionView,
    pub(super) form_token: String,
}

#[derive(Clone)]
pub(in crate::ui) struct Tab {
    pub(in crate::ui) address: String,
    pub(in crate::ui) name: &'static str,
    pub(in crate::ui) is_current: bool,
}

impl Tab {
    /// Those of `places` that are there: the end of a page's address, its name, whether it is there. `current` is the end of
    /// the page's own.
    pub(in crate::ui) fn all<const N: usize>(
        address: &str,
        places: [(&str, &'static str, bool); N],
        current: &str,
    ) -> Vec<Self> {
        let there = places.into_iter().filter(|(_, _, there)| *there);
        let tab = |(path, name, _): (&str, _, _)| Self {
            address: format!("{address}{path}"),
            name,
            is_current: path == current,
        };
        there.map(tab).collect()
    }
}

/// The top of each of its pages.
pub(super) struct Head {
    pub(super) id: ConnectionId,
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) state: Shown,
    pub(super) tabs: Vec<Tab>,
}

impl Subject {
    pub(super) async fn find(
        state: &ServerState,
        headers: &HeaderMap,
        uri: &Uri,
        id: &str,
    ) -> Result<Self, Box<Response<Body>>> {
        let signed_in = person(state, headers, uri).await?;
        let form_token = browser::form_token(state, headers);
        Self::of(state, signed_in, form_token, id).await
    }

    /// The connection that a form is about, and what was filled in; of the `repeated` fields there may be several.
    pub(super) async fn sent(
        state: &ServerState,
        request: Request,
        id: &str,
        repeated: &[&str],
    ) -> Result<(Self, Fields), Box<Response<Body>>> {
        let sent = Sent::read_repeating(state, request, repeated).await?;
        let subject = Self::of(state, sent.signed_in, sent.form_token, id).await?;
        Ok((subject, sent.fields))
    }

    async fn of(
        state: &ServerState,
        signed_in: SignedIn,
        form_token: String,
        id: &str,
    ) -> Result<Self, Box<Response<Body>>> {
        let id = id.parse().map_err(|_| Box::new(no_connection()))?;
        match state.broker.read_connection(&signed_in.principal, id).await {
            Ok(connection) => Ok(Self { signed_in, connection, form_token }),
            Err(refusal) => Err(Box::new(refused(&refusal))),
        }
    }

    /// An admin, or the owner of a personal one: as `authorize` decides it, which every change asks again.
    pub(super) fn manages(&self) -> bool {
        self.connection.owner == OwnerWord::Member || self.signed_in.principal.role.is_admin()
    }

    /// Whether an account of this person's own is what it needs.
    pub(super) fn has_own_account(&self) -> bool {
        self.connection.credential_mode == CredentialMode::PerMember
            && self.connection.auth_type != AuthType::None
    }

    pub(super) fn address(&self) -> String {
        format!("/connections/{}", self.connection.id)
    }

    pub(super) async fn navigation(&self, state: &ServerState) -> Navigation {
        Navigation::new(state, &self.signed_in, &self.form_token, &self.address()).await
    }

    pub(super) fn head(&self, current: &str) -> Head {
        let own = self.connection.owner == OwnerWord::Member;
        let places = [
            ("", "Overview", true),
            ("/access", "Who may use it", self.manages() && !own),
            ("/tools", "Tools", true),
            ("/activity", "Activity", true),
            ("/settings", "Settings", self.manages()),
        ];
        Head {
            id: self.connection.id,
            mark: Mark::of(&self.connection.name, &self.connection.url),
            state: Shown::of(&self.connection),
            tabs: Tab::all(&self.address(), places, current),
            name: self.connection.name.clone(),
        }
    }
}

pub(super) fn no_connection() -> Response<Body> {
    let text = "There is no such connection, or it is not granted to you. An admin of your organization can grant it.";
    message(StatusCode::NOT_FOUND, "No such connection", text, None)
}

/// A use case that did not do it, where there is no form to say so in.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    match refusal.kind {
        RefusalKind::NotFound | RefusalKind::Forbidden => no_connection(),
        RefusalKind::Unavailable => unavailable(),
        RefusalKind::Stale => message(StatusCode::CONFLICT, "Somebody was quicker", &refusal.message, None),
        RefusalKind::Conflict => message(StatusCode::CONFLICT, "Nothing was changed", &refusal.message, None),
        RefusalKind::Invalid => {
            message(StatusCode::UNPROCESSABLE_ENTITY, "Nothing was changed", &refusal.message, None)
        }
    }
}

/// The status of a page that says why a form was not taken.
pub(in crate::ui) const fn status_of(refusal: Option<&Refusal>) -> StatusCode {
    match refusal {
        None => StatusCode::OK,
        Some(Refusal { kind: RefusalKind::Conflict | RefusalKind::Stale, .. }) => StatusCode::CONFLICT,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
