//! One rule, to be written or changed, with what its pattern matches.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, Response, Uri},
};
use serde::Deserialize;
use switchboard_broker::manage::{PageRequest, Refusal, RefusalKind, TeamSummary};
use switchboard_domain::{CapabilityKind, CapabilityPattern, TeamId};
use switchboard_policy::{Approvers, Rule, RuleAction, RuleProblem, check_rules};

use super::{
    layer::{Layer, Subject, Top},
    picker::{self, Picker},
    tree::{Tree, WHOLE_PAGE},
};
use crate::{
    ServerState,
    browser::{self, Fields},
    ui::{connections::status_of, navigation::Navigation, scripted, sign_in::not_the_form, unavailable},
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// Position of the rule to change; a new one without.
    at: Option<usize>,
    /// What a new one begins with.
    pattern: String,
}

/// What was typed.
#[derive(Default)]
struct Draft {
    at: Option<usize>,
    pattern: String,
    action: String,
    kind: String,
    condition: String,
    approvers: String,
    teams: Vec<TeamId>,
    second_person: bool,
    at_start: bool,
    picking: picker::Asked,
}

const NOBODY_LEFT: &str = "Nobody could approve: only the person whose agent asks may, and never the one whose agent asks. \
                           Let an admin or a team approve, or leave out the second person.";
const NO_TEAM: &str = "Choose at least one team, so that somebody can approve.";

/// What is wrong with it, by field.
#[derive(Default)]
struct Wrong {
    pattern: Option<String>,
    condition: Option<String>,
    approvers: Option<String>,
}

impl Wrong {
    fn is_any(&self) -> bool {
        self.pattern.is_some() || self.condition.is_some() || self.approvers.is_some()
    }
}

#[derive(Template)]
#[template(path = "rule.html")]
struct Form<'a> {
    navigation: Navigation,
    top: Top,
    problem: Option<&'a str>,
    draft: &'a Draft,
    wrong: &'a Wrong,
    revision: i64,
    teams: Vec<(TeamSummary, bool)>,
    tree: Option<Tree>,
    preview: String,
    picker: Picker,
}

pub(super) async fn organization(
    state: State<ServerState>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    show(&state, asked, &uri, &headers, Layer::Organization).await
}

pub(super) async fn own(
    state: State<ServerState>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    show(&state, asked, &uri, &headers, Layer::Own).await
}

pub(super) async fn toolkit(
    state: State<ServerState>,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    show(&state, asked, &uri, &headers, Layer::Toolkit(id)).await
}

async fn show(
    state: &ServerState,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: &Uri,
    headers: &HeaderMap,
    layer: Layer,
) -> Response<Body> {
    let subject = match Subject::find(state, headers, uri, layer).await {
        Ok(subject) => subject,
        Err(response) => return *response,
    };
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let known = asked.at.and_then(|at| Some((at, subject.rules.get(at.checked_sub(1)?)?)));
    let draft = match known {
        Some((at, rule)) => Draft::of(at, rule),
        None => Draft {
            pattern: asked.pattern,
            action: "require_approval".to_owned(),
            approvers: "caller".to_owned(),
            ..Draft::default()
        },
    };
    render(state, &subject, &draft, (&Wrong::default(), None)).await
}

impl Draft {
    fn of(at: usize, rule: &Rule) -> Self {
        let (approvers, teams) = match &rule.approvers {
            Approvers::Caller => ("caller", Vec::new()),
            Approvers::Admins => ("admins", Vec::new()),
            Approvers::Teams(teams) => ("teams", teams.clone()),
        };
        Self {
            at: Some(at),
            pattern: rule.pattern.to_string(),
            action: rule.action.as_str().to_owned(),
            kind: rule.kind.map(|kind| kind.as_str()).unwrap_or_default().to_owned(),
            condition: rule.condition.clone().unwrap_or_default(),
            approvers: approvers.to_owned(),
            teams,
            second_person: rule.second_person,
            at_start: false,
            picking: picker::Asked::default(),
        }
    }

    fn typed(fields: &Fields) -> Option<Self> {
        let text = |name: &str| fields.get(name).unwrap_or_default().trim().to_owned();
        let teams: Result<Vec<TeamId>, _> = fields.all("team").map(str::parse).collect();
        Some(Self {
            at: fields.get("at").and_then(|at| at.parse().ok()),
            pattern: text(if fields.get("pick").is_some() { "pick" } else { "pattern" }),
            action: text("action"),
            kind: text("kind"),
            condition: text("condition"),
            approvers: text("approvers"),
            teams: teams.ok()?,
            // Who may approve is asked, and shown, for a call that waits.
            second_person: fields.get("second_person").is_some() && text("action") == "require_approval",
            at_start: fields.get("place") == Some("start"),
            picking: picker::Asked::typed(fields),
        })
    }

    /// The rule, or what is wrong with it, beside the field that it is about.
    fn rule(&self) -> Result<Rule, Wrong> {
        let pattern = self.pattern.parse::<CapabilityPattern>();
        let action = [RuleAction::Allow, RuleAction::RequireApproval, RuleAction::Block]
            .into_iter()
            .find(|action| action.as_str() == self.action);
        let mut wrong = Wrong::default();
        let pattern = pattern.map_err(|error| wrong.pattern = Some(format!("{error}."))).ok();
        let rule = pattern.map(|pattern| Rule {
            kind: CapabilityKind::from_word(&self.kind),
            condition: (!self.condition.is_empty()).then(|| self.condition.clone()),
            approvers: match self.approvers.as_str() {
                "admins" => Approvers::Admins,
                "teams" => Approvers::Teams(self.teams.clone()),
                _ => Approvers::Caller,
            },
            second_person: self.second_person,
            ..Rule::new(pattern, action.unwrap_or(RuleAction::Block))
        });
        let rule = rule.ok_or_else(|| std::mem::take(&mut wrong))?;
        match check_rules(std::slice::from_ref(&rule)).map_err(|error| error.problem) {
            Ok(()) => Ok(rule),
            Err(RuleProblem::NobodyLeft) => Err(Wrong { approvers: Some(NOBODY_LEFT.to_owned()), ..wrong }),
            Err(RuleProblem::NoTeam) => Err(Wrong { approvers: Some(NO_TEAM.to_owned()), ..wrong }),
            Err(problem) => Err(Wrong { condition: Some(sentence(&problem)), ..wrong }),
        }
    }
}

fn sentence(problem: &RuleProblem) -> String {
    let text = problem.to_string();
    let mut letters = text.chars();
    let first: String = letters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

async fn render(
    state: &ServerState,
    subject: &Subject,
    draft: &Draft,
    (wrong, refusal): (&Wrong, Option<&Refusal>),
) -> Response<Body> {
    let principal = &subject.signed_in.principal;
    let all = PageRequest { limit: Some(200), cursor: None };
    // Members are not told of teams, and name none.
    let teams = state.broker.find_teams(principal, &all).await.map(|teams| teams.items).unwrap_or_default();
    let shows = wrong.pattern.is_none() && !draft.pattern.is_empty();
    let patterns = [draft.pattern.clone()];
    let reach = state.broker.reach(principal, &patterns, subject.rules_of(), WHOLE_PAGE);
    let unwell = "Not saved: look at what is marked below.";
    let form = Form {
        navigation: subject.navigation(state).await,
        top: subject.top(),
        problem: refusal.map(|it| it.message.as_str()).or(wrong.is_any().then_some(unwell)),
        draft,
        wrong,
        revision: subject.revision,
        teams: teams
            .into_iter()
            .map(|team| {
                let is_named = draft.teams.contains(&team.id);
                (team, is_named)
            })
            .collect(),
        tree: reach.ok().filter(|_| shows).map(Tree::of),
        preview: preview_address(subject),
        picker: Picker::of(state, principal, &draft.picking),
    };
    let refused = if wrong.is_any() {
        status_of(Some(&Refusal::invalid("validation_failed", "")))
    } else {
        status_of(refusal)
    };
    scripted(refused, &form)
}

fn preview_address(subject: &Subject) -> String {
    let rules = subject.rules_of();
    match rules.toolkit {
        Some(id) => format!("/policies/preview?toolkit={id}&pattern="),
        None => format!("/policies/preview?own={}&pattern=", rules.own),
    }
}

pub(super) async fn save_organization(state: State<ServerState>, request: Request) -> Response<Body> {
    save(&state, request, Layer::Organization).await
}

pub(super) async fn save_own(state: State<ServerState>, request: Request) -> Response<Body> {
    save(&state, request, Layer::Own).await
}

pub(super) async fn save_toolkit(
    state: State<ServerState>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    save(&state, request, Layer::Toolkit(id)).await
}

async fn save(state: &ServerState, request: Request, layer: Layer) -> Response<Body> {
    let (subject, fields) = match Subject::sent(state, request, layer, &["team"]).await {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let Some(mut draft) = Draft::typed(&fields) else { return not_the_form() };
    let seen = fields.get("revision").and_then(|revision| revision.parse::<i64>().ok());
    let rule = draft.rule();
    let looks = fields.get("step") != Some("save") || draft.picking.is_search(&fields);
    if looks {
        // Of what nobody typed yet nothing is wrong.
        let wrong = rule.err().filter(|_| !draft.pattern.is_empty()).unwrap_or_default();
        return render(state, &subject, &draft, (&wrong, None)).await;
    }
    let rule = match rule {
        Ok(rule) => rule,
        Err(wrong) => return render(state, &subject, &draft, (&wrong, None)).await,
    };
    let mut rules = subject.rules.clone();
    let position = match draft.at.and_then(|at| at.checked_sub(1)) {
        Some(index) => {
            // Of a list that somebody else changed meanwhile nothing is replaced: that is refused below.
            if seen == Some(subject.revision) {
                let Some(place) = rules.get_mut(index) else { return not_the_form() };
                *place = rule;
            }
            index + 1
        }
        None if draft.at_start => {
            rules.insert(0, rule);
            1
        }
        None => {
            rules.push(rule);
            rules.len()
        }
    };
    // One that is added goes to an end of the list, whatever became of the others meanwhile.
    let must_be = if draft.at.is_some() { seen } else { Some(subject.revision) };
    match subject.put(state, must_be, rules).await {
        Ok(_) => browser::see_other(&format!("{}?from={position}#rule-{position}", subject.address())),
        Err(refusal) if refusal.kind == RefusalKind::Unavailable => unavailable(),
        Err(mut refusal) => {
            if refusal.kind == RefusalKind::Stale {
                draft.at = None;
                "Somebody changed the list meanwhile. What you typed is kept here as a new rule: compare it with the list, then save it."
                    .clone_into(&mut refusal.message);
            }
            render(state, &subject, &draft, (&Wrong::default(), Some(&refusal))).await
        }
    }
}
