//! `/settings`: the organization's own settings, and beside them those that the operator's configuration decides, which
//! nobody changes here.

use std::num::NonZeroU32;

use askama::Template;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, Uri},
};
use switchboard_broker::{
    SignedIn,
    manage::{Operation, OrganizationEdit, OrganizationView, Refusal, SettingsEdit},
};
use switchboard_domain::Role;

use super::{PATH, Tab, tabs};
use crate::{
    ServerState,
    browser::{self, Fields},
    ui::{
        account::{Sent, person},
        kept,
        navigation::Navigation,
        page,
        refused::{recorded, refused, status_of},
        sign_in::not_the_form,
    },
};

/// A number as it is typed, with what is wrong with it.
struct Typed {
    name: String,
    max_token_days: String,
    max_personal_connections: String,
    audit_retention_days: String,
    hold_destructive: bool,
    password_sign_in: bool,
    personal_connections: bool,
    audit_arguments: bool,
    approve_harmless_changes: bool,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Settings<'a> {
    navigation: Navigation,
    tabs: Vec<Tab>,
    problem: Option<&'a str>,
    organization: &'a OrganizationView,
    typed: Typed,
    /// What the operator's configuration says: name, value.
    pinned: Vec<(&'static str, &'static str, String)>,
}

pub(super) async fn show(State(state): State<ServerState>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let form_token = browser::form_token(&state, &headers);
    render(&state, (&signed_in, &form_token), None, None).await
}

async fn render(
    state: &ServerState,
    (signed_in, form_token): (&SignedIn, &str),
    sent: Option<&Fields>,
    refusal: Option<&Refusal>,
) -> Response<Body> {
    let principal = &signed_in.principal;
    // Everybody may read the name of their organization; this page is for who may change it.
    if !principal.role.is_admin() {
        return refused(&Refusal::not_found());
    }
    let organization = match state.broker.read_organization(principal).await {
        Ok(organization) => organization,
        Err(refusal) => return refused(&refusal),
    };
    let settings = Settings {
        navigation: Navigation::new(state, signed_in, form_token, PATH).await,
        tabs: tabs(PATH, principal.role == Role::Owner),
        problem: refusal.map(Refusal::in_words),
        typed: typed(&organization, sent),
        pinned: pinned(state),
        organization: &organization,
    };
    page(status_of(refusal), &settings)
}

fn typed(organization: &OrganizationView, sent: Option<&Fields>) -> Typed {
    let stored = &organization.settings;
    let text = |name: &str, stored: String| {
        sent.map_or(stored, |sent| sent.get(name).unwrap_or_default().to_owned())
    };
    let is = |name: &str, stored: bool| sent.map_or(stored, |sent| sent.get(name).is_some());
    Typed {
        name: text("name", organization.name.clone()),
        max_token_days: text("max_token_days", stored.max_token_days.to_string()),
        max_personal_connections: text(
            "max_personal_connections",
            stored.max_personal_connections.to_string(),
        ),
        audit_retention_days: text("audit_retention_days", stored.audit_retention_days.to_string()),
        hold_destructive: is("hold_destructive", stored.hold_destructive),
        password_sign_in: is("password_sign_in", stored.password_sign_in),
        personal_connections: is("personal_connections", stored.personal_connections),
        audit_arguments: is("audit_arguments", stored.audit_arguments),
        approve_harmless_changes: is("approve_harmless_changes", stored.approve_harmless_changes),
    }
}

fn pinned(state: &ServerState) -> Vec<(&'static str, &'static str, String)> {
    let settings = state.broker.settings();
    let minute = |most: Option<NonZeroU32>| {
        most.map_or_else(|| "no limit".to_owned(), |most| format!("{most} a minute"))
    };
    let hours = |duration: std::time::Duration| match duration.as_secs() {
        seconds if seconds % 86_400 == 0 => format!("{} days", seconds / 86_400),
        seconds if seconds % 3_600 == 0 => format!("{} hours", seconds / 3_600),
        seconds => format!("{seconds} seconds"),
    };
    vec![
        ("Calls with one token", "calls.per_minute_per_token", minute(settings.calls.per_minute_per_token)),
        ("Calls of one member", "calls.per_minute_per_member", minute(settings.calls.per_minute_per_member)),
        (
            "Calls of the organization",
            "calls.per_minute_per_organization",
            minute(settings.calls.per_minute_per_organization),
        ),
        (
            "Calls to one connection",
            "calls.per_minute_per_connection",
            minute(settings.calls.per_minute_per_connection),
        ),
        ("A session unused ends after", "session.idle", hours(settings.session.idle)),
        ("A session ends after", "session.absolute", hours(settings.session.absolute)),
    ]
}

pub(super) async fn change(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let uri = request.uri().clone();
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let who = (&sent.signed_in, sent.form_token.as_str());
    let principal = &sent.signed_in.principal;
    if !principal.role.is_admin() {
        let about = (Operation::UpdateOrganization, "");
        let refusal = Refusal::not_found();
        return match recorded(&state, &sent.signed_in, about, refusal).await {
            Ok(refusal) => refused(&refusal),
            Err(response) => *response,
        };
    }
    if let Some(response) = kept::until_proven(&state, &sent, &uri).await {
        return response;
    }
    let Some((seen, edit)) = edit(&sent.fields) else { return not_the_form() };
    let outcome = match edit {
        Ok(edit) => state.broker.update_organization(principal, seen, edit).await,
        Err(refusal) => Err(refusal),
    };
    let Err(refusal) = outcome else { return browser::see_other(PATH) };
    let target = principal.organization.to_string();
    match recorded(&state, &sent.signed_in, (Operation::UpdateOrganization, &target), refusal).await {
        Ok(refusal) => render(&state, who, Some(&sent.fields), Some(&refusal)).await,
        Err(response) => *response,
    }
}

/// `None` where it is not this form; a number that is none is told.
fn edit(fields: &Fields) -> Option<(Option<i64>, Result<OrganizationEdit, Refusal>)> {
    let name = fields.get("name")?.to_owned();
    let seen = fields.get("revision")?.parse().ok();
    let number = |name: &str, label: &str| {
        let text = fields.get(name).unwrap_or_default().trim();
        text.parse::<u32>().map(Some).map_err(|_| {
            Refusal::invalid(
                "validation_failed",
                format!("{label}: “{text}” is not a whole number. Nothing was changed."),
            )
        })
    };
    let is = |name: &str| Some(fields.get(name).is_some());
    let edit = (|| {
        Ok(OrganizationEdit {
            name: Some(name),
            settings: Some(SettingsEdit {
                hold_destructive: is("hold_destructive"),
                max_token_days: number("max_token_days", "How long tokens live")?,
                password_sign_in: is("password_sign_in"),
                personal_connections: is("personal_connections"),
                max_personal_connections: number("max_personal_connections", "Connections of one's own")?,
                audit_retention_days: number("audit_retention_days", "How long the log is kept")?,
                audit_arguments: is("audit_arguments"),
                approve_harmless_changes: is("approve_harmless_changes"),
            }),
        })
    })();
    Some((seen, edit))
}
