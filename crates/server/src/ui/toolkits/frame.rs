//! What every page of one toolkit begins with: which one, may this person see it, where they are among its pages.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, Response, StatusCode, Uri},
};
use switchboard_broker::{
    SignedIn,
    manage::{OwnerWord, Refusal, RefusalKind, ToolkitView},
};

use crate::{
    ServerState,
    browser::{self, Fields},
    ui::{
        account::{Sent, person},
        connections::Tab,
        message,
        navigation::Navigation,
        unavailable,
    },
};

/// A toolkit and whoever looks at it.
pub(super) struct Subject {
    pub(super) signed_in: SignedIn,
    pub(super) toolkit: ToolkitView,
    pub(super) form_token: String,
}

/// The top of each of its pages.
#[derive(Clone)]
pub(in crate::ui) struct Head {
    pub(in crate::ui) address: String,
    pub(in crate::ui) name: String,
    pub(in crate::ui) is_mine: bool,
    pub(in crate::ui) tabs: Vec<Tab>,
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

    /// The toolkit that a form is about, and what was filled in.
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
        let id = id.parse().map_err(|_| Box::new(no_toolkit()))?;
        match state.broker.read_toolkit(&signed_in.principal, id).await {
            Ok(toolkit) => Ok(Self { signed_in, toolkit, form_token }),
            Err(refusal) => Err(Box::new(refused(&refusal))),
        }
    }

    /// As `authorize` decides it, which every change asks again.
    pub(super) fn manages(&self) -> bool {
        self.toolkit.members.is_some()
    }

    pub(super) fn is_mine(&self) -> bool {
        self.toolkit.owner == OwnerWord::Member
    }

    pub(super) fn address(&self) -> String {
        format!("/toolkits/{}", self.toolkit.id)
    }

    pub(super) async fn navigation(&self, state: &ServerState) -> Navigation {
        Navigation::new(state, &self.signed_in, &self.form_token, &self.address()).await
    }

    pub(super) fn head(&self, current: &str) -> Head {
        head_of(&self.toolkit, current)
    }
}

/// `current` is the end of the page's own address.
pub(in crate::ui) fn head_of(toolkit: &ToolkitView, current: &str) -> Head {
    let (manages, is_mine) = (toolkit.members.is_some(), toolkit.owner == OwnerWord::Member);
    let places = [
        ("", "Overview", true),
        ("/tools", "Choose tools", manages),
        ("/rules", "Rules", manages),
        ("/people", "Who may use it", manages && !is_mine),
        ("/settings", "Settings", manages),
    ];
    let address = format!("/toolkits/{}", toolkit.id);
    Head { tabs: Tab::all(&address, places, current), name: toolkit.name.clone(), is_mine, address }
}

pub(super) fn no_toolkit() -> Response<Body> {
    let text = "There is no such toolkit, or it is not for you. An admin of your organization can change whom it is for.";
    message(StatusCode::NOT_FOUND, "No such toolkit", text, None)
}

/// A use case that did not do it, where there is no form to say so in.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    match refusal.kind {
        RefusalKind::NotFound | RefusalKind::Forbidden => no_toolkit(),
        RefusalKind::Unavailable => unavailable(),
        RefusalKind::Stale | RefusalKind::Conflict | RefusalKind::Invalid => {
            message(status_of(Some(refusal)), "Nothing was changed", &refusal.message, None)
        }
    }
}

pub(super) use crate::ui::connections::status_of;
