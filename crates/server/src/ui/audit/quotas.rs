//! `/usage/quotas`: how many calls a day or month have room for, and how much of that is used.

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, Response, Uri},
};
use serde::Deserialize;
use switchboard_broker::{
    Quota, QuotaSubject, SignedIn,
    manage::{ConnectionFilter, Operation, PageRequest, QuotaView, Refusal, RefusalKind},
};
use switchboard_domain::{Caller, Period, Principal};

use super::{QUOTAS, UsageTab, usage_tabs};
use crate::{
    ServerState, browser,
    ui::{
        account::{Sent, person},
        kept,
        navigation::Navigation,
        page,
        refused::{recorded, refused, status_of},
        sign_in::not_the_form,
    },
};

/// On one page.
const SHOWN: usize = 40;
/// Of the bar, in its own units.
const WIDTH: i64 = 420;
/// A change that met another one is tried again with what that left.
const TRIES: usize = 3;

/// What a quota is of, as the form says it.
const KINDS: [(&str, &str); 6] = [
    ("organization", "All calls of the organization"),
    ("every_member", "Each member and program for themselves"),
    ("member", "One member"),
    ("team", "A team, all its members together"),
    ("connection", "A connection, by everybody together"),
    ("service_account", "One service account"),
];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    from: usize,
}

struct Row {
    subject: String,
    name: String,
    kind: &'static str,
    period: &'static str,
    /// In words: `a day`.
    each: &'static str,
    calls: u64,
    used: Option<i64>,
    bar: i64,
    is_full: bool,
    resets_at: String,
}

/// What was typed, and what is wrong with it, each beside its field.
#[derive(Default)]
struct Typed {
    kind: String,
    which: String,
    period: String,
    calls: String,
    wrong_which: Option<String>,
    wrong_calls: Option<String>,
    problem: Option<String>,
}

#[derive(Template)]
#[template(path = "quotas.html")]
struct List<'a> {
    navigation: Navigation,
    tabs: Vec<UsageTab>,
    rows: Vec<Row>,
    from: usize,
    count: usize,
    next: Option<usize>,
    kinds: Vec<(&'static str, &'static str, bool)>,
    typed: &'a Typed,
    bar_width: i64,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let from = asked.map(|Query(asked)| asked.from).unwrap_or_default();
    let form_token = browser::form_token(&state, &headers);
    render(&state, (&signed_in, &form_token), from, (&Typed::default(), None)).await
}

async fn render(
    state: &ServerState,
    (signed_in, form_token): (&SignedIn, &str),
    from: usize,
    (typed, refusal): (&Typed, Option<&Refusal>),
) -> Response<Body> {
    let quotas = match state.broker.read_quotas(&signed_in.principal).await {
        Ok(quotas) => quotas.items,
        Err(refusal) => return refused(&refusal),
    };
    let count = quotas.len();
    let list = List {
        navigation: Navigation::new(state, signed_in, form_token, QUOTAS).await,
        tabs: usage_tabs(QUOTAS),
        rows: quotas.into_iter().skip(from).take(SHOWN).map(row).collect(),
        from,
        count,
        next: Some(from + SHOWN).filter(|next| *next < count),
        kinds: KINDS.into_iter().map(|(kind, word)| (kind, word, kind == typed.kind)).collect(),
        typed,
        bar_width: WIDTH,
    };
    page(status_of(refusal), &list)
}

fn row(quota: QuotaView) -> Row {
    let kind = match quota.subject {
        QuotaSubject::Organization => KINDS[0].1,
        QuotaSubject::EveryMember => KINDS[1].1,
        QuotaSubject::Caller(Caller::Member(_)) => "Member",
        QuotaSubject::Team(_) => "Team",
        QuotaSubject::Connection(_) => "Connection",
        QuotaSubject::Caller(Caller::ServiceAccount(_)) => "Service account",
    };
    let most = i64::try_from(quota.calls).unwrap_or(i64::MAX);
    let used = quota.used.unwrap_or(0).min(most);
    Row {
        subject: quota.subject.to_string(),
        name: quota.name.unwrap_or_default(),
        kind,
        period: quota.period.as_str(),
        each: each(quota.period),
        calls: quota.calls,
        used: quota.used,
        bar: if used == 0 { 0 } else { (used.saturating_mul(WIDTH) / most.max(1)).max(2) },
        is_full: quota.used.is_some_and(|used| used >= most),
        resets_at: quota.resets_at.to_string().chars().take(10).collect(),
    }
}

const fn each(period: Period) -> &'static str {
    match period {
        Period::Day => "a day",
        Period::Month => "a month",
    }
}

/// What a form asks for.
enum Change {
    Add(Quota),
    Set(Quota),
    Remove(QuotaSubject, Period),
}

pub(super) async fn change(State(state): State<ServerState>, request: Request) -> Response<Body> {
    let uri = request.uri().clone();
    let sent = match Sent::read(&state, request).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    // Who may not look may not be told that a proof is missing.
    if let Err(refusal) = state.broker.read_quotas(&sent.signed_in.principal).await {
        return refused(&refusal);
    }
    if let Some(response) = kept::until_proven(&state, &sent, &uri).await {
        return response;
    }
    let mut typed = typed(&sent);
    let Some(period) = Period::from_word(&typed.period) else { return not_the_form() };
    let subject = sent.fields.get("subject").and_then(|it| it.parse::<QuotaSubject>().ok());
    let asked = match (sent.fields.get("what"), subject) {
        (Some("add"), _) => {
            added(&state, &sent.signed_in.principal, &mut typed, period).await.map(Change::Add)
        }
        (Some("remove"), Some(subject)) => Some(Change::Remove(subject, period)),
        (Some("set"), Some(subject)) => {
            let calls = calls(&typed);
            // What was typed was typed into the quota's own line.
            typed = Typed { problem: calls.clone().err(), ..Typed::default() };
            calls.ok().map(|calls| Change::Set(Quota { subject, period, calls }))
        }
        _ => return not_the_form(),
    };
    let who = (&sent.signed_in, sent.form_token.as_str());
    let Some(asked) = asked else {
        let refusal = Refusal::invalid("validation_failed", "It can't be taken as it was typed.");
        return render(&state, who, 0, (&typed, Some(&refusal))).await;
    };
    let Err(refusal) = put(&state, &sent.signed_in.principal, &asked).await else {
        return browser::see_other(QUOTAS);
    };
    match recorded(&state, &sent.signed_in, (Operation::PutQuotas, "quotas"), refusal).await {
        Ok(refusal) => {
            typed.problem = Some(refusal.message.clone());
            render(&state, who, 0, (&typed, Some(&refusal))).await
        }
        Err(response) => *response,
    }
}

fn typed(sent: &Sent) -> Typed {
    let text = |name: &str| sent.fields.get(name).unwrap_or_default().trim().to_owned();
    Typed {
        kind: text("kind"),
        which: text("which"),
        period: text("period"),
        calls: text("calls"),
        ..Typed::default()
    }
}

fn calls(typed: &Typed) -> Result<u64, String> {
    let text = &typed.calls;
    text.parse().map_err(|_| format!("“{text}” is not a whole number. 0 leaves room for no call at all."))
}

/// A new quota, or what is wrong is told in `typed`.
async fn added(
    state: &ServerState,
    principal: &Principal,
    typed: &mut Typed,
    period: Period,
) -> Option<Quota> {
    let calls = calls(typed);
    let subject = named(state, principal, &typed.kind, &typed.which).await;
    typed.wrong_calls = calls.clone().err();
    typed.wrong_which = subject.clone().err();
    Some(Quota { subject: subject.ok()?, period, calls: calls.ok()? })
}

/// Whom or what a form names, or why there is none such.
async fn named(
    state: &ServerState,
    principal: &Principal,
    kind: &str,
    which: &str,
) -> Result<QuotaSubject, String> {
    let all = PageRequest { limit: Some(200), cursor: None };
    let none = |what: &str| format!("There is no {what} “{which}” here.");
    let unavailable = |refusal: Refusal| refusal.message;
    match kind {
        "organization" => Ok(QuotaSubject::Organization),
        "every_member" => Ok(QuotaSubject::EveryMember),
        "member" => {
            let found = state.broker.find_member(principal, which).await.map_err(unavailable)?;
            Ok(QuotaSubject::Caller(Caller::Member(found.id)))
        }
        "team" => {
            let teams = state.broker.find_teams(principal, &all).await.map_err(unavailable)?;
            let found = teams.items.into_iter().find(|team| team.name.to_lowercase() == which.to_lowercase());
            found.map(|team| QuotaSubject::Team(team.id)).ok_or_else(|| none("team"))
        }
        "service_account" => {
            let found = state.broker.list_service_accounts(principal, &all).await.map_err(unavailable)?;
            let found = found.items.into_iter().find(|it| it.name.to_lowercase() == which.to_lowercase());
            found
                .map(|it| QuotaSubject::Caller(Caller::ServiceAccount(it.id)))
                .ok_or_else(|| none("service account"))
        }
        "connection" => {
            let filter = ConnectionFilter { text: Some(which.to_owned()), ..ConnectionFilter::default() };
            let found = state.broker.find_connections(principal, &filter, &all).await.map_err(unavailable)?;
            let is_it = |slug: &str, name: &str| {
                slug == which.to_lowercase() || name.to_lowercase() == which.to_lowercase()
            };
            let found = found.items.into_iter().find(|it| is_it(&it.slug, &it.name));
            found.map(|it| QuotaSubject::Connection(it.id)).ok_or_else(|| none("connection"))
        }
        _ => Err("Choose what the quota is of.".to_owned()),
    }
}

/// One in, out or changed; the others stay as they are now, not as they were when the page was made.
async fn put(state: &ServerState, principal: &Principal, asked: &Change) -> Result<(), Refusal> {
    let mut outcome = Ok(());
    for _ in 0..TRIES {
        let found = state.broker.read_quotas(principal).await?;
        let mut quotas: Vec<Quota> = found
            .items
            .iter()
            .map(|it| Quota { subject: it.subject, period: it.period, calls: it.calls })
            .collect();
        let is_of = |subject: QuotaSubject, period: Period| {
            move |quota: &Quota| quota.subject == subject && quota.period == period
        };
        match asked {
            Change::Add(quota) if quotas.iter().any(is_of(quota.subject, quota.period)) => {
                let text = "There is a quota of the same for the same time already. Change that one.";
                return Err(Refusal::invalid("validation_failed", text));
            }
            Change::Add(quota) => quotas.push(*quota),
            Change::Set(changed) => {
                let is_it = is_of(changed.subject, changed.period);
                quotas.iter_mut().filter(|quota| is_it(quota)).for_each(|quota| *quota = *changed);
            }
            Change::Remove(subject, period) => {
                let is_it = is_of(*subject, *period);
                quotas.retain(|quota| !is_it(quota));
            }
        }
        outcome = state.broker.put_quotas(principal, Some(found.revision), quotas).await.map(drop);
        if !matches!(&outcome, Err(refusal) if refusal.kind == RefusalKind::Stale) {
            break;
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(calls: u64, used: Option<i64>) -> Row {
        row(QuotaView {
            subject: QuotaSubject::Organization,
            name: None,
            period: Period::Day,
            calls,
            used,
            resets_at: switchboard_domain::Timestamp::of_day(20_000),
        })
    }

    #[test]
    fn a_bar_says_how_much_is_used() {
        assert_eq!((view(100, Some(0)).bar, view(100, Some(0)).is_full), (0, false));
        assert_eq!(view(100, Some(50)).bar, WIDTH / 2);
        assert_eq!(view(1_000_000, Some(1)).bar, 2, "little is seen too");
        assert_eq!((view(100, Some(130)).bar, view(100, Some(130)).is_full), (WIDTH, true));
        assert!(view(0, Some(0)).is_full, "no call at all");
        assert!(!view(10, None).is_full);
    }
}
