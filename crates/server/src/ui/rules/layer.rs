//! Whose list of rules a page is about.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, Response, StatusCode, Uri},
};
use switchboard_broker::{
    SignedIn,
    manage::{Operation, Refusal, RefusalKind, Rules, RulesOf},
};
use switchboard_domain::ToolkitId;
use switchboard_policy::Rule;

use crate::{
    ServerState,
    browser::{self, Fields},
    ui::{
        account::{Sent, person},
        connections::Tab,
        message,
        navigation::Navigation,
        no_page,
        toolkits::{Head, head_of},
        unavailable,
    },
};

#[derive(Clone)]
pub(super) enum Layer {
    Organization,
    Own,
    /// By the id in the address.
    Toolkit(String),
}

/// A list of rules and whoever looks at it.
pub(super) struct Subject {
    pub(super) signed_in: SignedIn,
    pub(super) form_token: String,
    pub(super) layer: Layer,
    toolkit: Option<(ToolkitId, Head)>,
    pub(super) rules: Vec<Rule>,
    pub(super) revision: i64,
}

/// The top of its pages.
pub(super) struct Top {
    pub(super) toolkit: Option<Head>,
    pub(super) tabs: Vec<Tab>,
    pub(super) address: String,
    pub(super) lead: &'static str,
}

impl Subject {
    pub(super) async fn find(
        state: &ServerState,
        headers: &HeaderMap,
        uri: &Uri,
        layer: Layer,
    ) -> Result<Self, Box<Response<Body>>> {
        let signed_in = person(state, headers, uri).await?;
        let form_token = browser::form_token(state, headers);
        Self::of(state, signed_in, form_token, layer).await
    }

    /// The list that a form is about, and what was filled in.
    pub(super) async fn sent(
        state: &ServerState,
        request: Request,
        layer: Layer,
        repeated: &[&str],
    ) -> Result<(Self, Fields), Box<Response<Body>>> {
        let sent = Sent::read_repeating(state, request, repeated).await?;
        let subject = Self::of(state, sent.signed_in, sent.form_token, layer).await?;
        Ok((subject, sent.fields))
    }

    async fn of(
        state: &ServerState,
        signed_in: SignedIn,
        form_token: String,
        layer: Layer,
    ) -> Result<Self, Box<Response<Body>>> {
        let principal = &signed_in.principal;
        let refuse = |refusal: Refusal| Box::new(refused(&refusal));
        let toolkit = match &layer {
            Layer::Organization | Layer::Own => None,
            Layer::Toolkit(id) => {
                let id: ToolkitId = id.parse().map_err(|_| refuse(Refusal::not_found()))?;
                let toolkit = state.broker.read_toolkit(principal, id).await.map_err(refuse)?;
                Some((id, head_of(&toolkit, "/rules")))
            }
        };
        let found = match (&layer, &toolkit) {
            (_, Some((id, _))) => state.broker.read_toolkit_policies(principal, *id).await,
            (Layer::Own, _) => state.broker.read_own_policies(principal).await,
            _ => state.broker.read_policies(principal).await,
        };
        let found = found.map_err(refuse)?;
        let rules = serde_json::from_value(found.rules).map_err(|error| {
            tracing::error!(%error, "stored rules can't be read");
            Box::new(unavailable())
        })?;
        Ok(Self { signed_in, form_token, layer, toolkit, rules, revision: found.revision })
    }

    pub(super) fn address(&self) -> String {
        match &self.layer {
            Layer::Organization => "/policies".to_owned(),
            Layer::Own => "/policies/mine".to_owned(),
            Layer::Toolkit(id) => format!("/toolkits/{id}/rules"),
        }
    }

    /// Those that are asked beside the organization's when a rule of this list is tried.
    pub(super) fn rules_of(&self) -> RulesOf {
        let toolkit = self.toolkit.as_ref().map(|(id, _)| *id);
        RulesOf { toolkit, own: matches!(self.layer, Layer::Own) }
    }

    /// Stores the list, if it is still the one of `seen`. A refusal is on record.
    pub(super) async fn put(
        &self,
        state: &ServerState,
        seen: Option<i64>,
        rules: Vec<Rule>,
    ) -> Result<Rules, Refusal> {
        let principal = &self.signed_in.principal;
        let (operation, outcome) = match (&self.layer, &self.toolkit) {
            (_, Some((id, _))) => {
                let outcome = state.broker.put_toolkit_policies(principal, *id, seen, rules).await;
                (Operation::PutToolkitPolicies, outcome)
            }
            (Layer::Own, _) => {
                (Operation::PutOwnPolicies, state.broker.put_own_policies(principal, seen, rules).await)
            }
            _ => (Operation::PutPolicies, state.broker.put_policies(principal, seen, rules).await),
        };
        if let Err(refusal) = &outcome
            && refusal.kind != RefusalKind::Unavailable
        {
            state.broker.record_refusal(principal, operation, &self.address(), refusal).await;
        }
        outcome
    }

    pub(super) async fn navigation(&self, state: &ServerState) -> Navigation {
        Navigation::new(state, &self.signed_in, &self.form_token, &self.address()).await
    }

    pub(super) fn top(&self) -> Top {
        let address = self.address();
        let (tabs, lead) = match self.layer {
            Layer::Toolkit(_) => (
                Vec::new(),
                "They apply on this toolkit's address, on top of the organization's: they can tighten, never loosen.",
            ),
            Layer::Organization => (
                tabs(&self.signed_in, &address),
                "For everybody. The first rule that matches counts; what no rule matches is allowed to whoever is granted it.",
            ),
            Layer::Own => (
                tabs(&self.signed_in, &address),
                "For your own calls alone, on top of the organization's: they can tighten, never loosen.",
            ),
        };
        Top { toolkit: self.toolkit.as_ref().map(|(_, head)| head.clone()), tabs, address, lead }
    }
}

/// The pages about rules.
pub(super) fn tabs(signed_in: &SignedIn, current: &str) -> Vec<Tab> {
    let places = [
        ("/policies", "Organization", signed_in.principal.role.is_admin()),
        ("/policies/mine", "Only yours", true),
        ("/policies/explain", "Why is it so?", true),
    ];
    let there = places.into_iter().filter(|(_, _, there)| *there);
    there.map(|(path, name, _)| Tab { address: path.to_owned(), name, is_current: path == current }).collect()
}

/// A use case that did not do it, where there is no form to say so in.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    match refusal.kind {
        RefusalKind::NotFound | RefusalKind::Forbidden => no_page(),
        RefusalKind::Unavailable => unavailable(),
        RefusalKind::Stale | RefusalKind::Conflict | RefusalKind::Invalid => {
            message(StatusCode::CONFLICT, "Nothing was changed", &refusal.message, None)
        }
    }
}
