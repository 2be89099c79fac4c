//! Rules, as whole ordered arrays: of the organization, of a toolkit, of a member; and why they decide as they do.

use serde::Deserialize;
use serde_json::{Value, json};
use switchboard_domain::{
    Caller, CapabilityKind, CapabilityName, MemberId, OrganizationId, Principal, Proof, Resource, ToolkitId,
};
use switchboard_policy::{
    Approvers, Arguments, CapabilityFacts, Explanation, Rule, Subject, check_rules, explain,
};
use switchboard_storage::{MemberStatus, PolicyLayer};

use super::{
    Allowed, Operation, Refusal, Target, authorize, record::Change, refusal::Violations, tool::hypothetical,
    toolkit,
};
use crate::Broker;

const MAX_RULES: usize = 1_000;

/// A layer's rules with the revision for `If-Match`; 0 when none were ever written.
#[derive(Debug)]
pub struct Rules {
    pub rules: Value,
    pub revision: i64,
}

/// What to explain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// `linear.delete_issue`
    pub capability: String,
    /// Somebody else (admins); the caller without.
    #[serde(default)]
    pub member: Option<MemberId>,
    /// Slug of the toolkit it would be called through.
    #[serde(default)]
    pub toolkit: Option<String>,
    /// JSON object that it would be called with, for rules that look at arguments.
    #[serde(default)]
    pub arguments: Option<String>,
}

impl Broker {
    pub async fn read_policies(&self, principal: &Principal) -> Result<Rules, Refusal> {
        let allowed = authorize(principal, Operation::ReadPolicies, Target::Organization)?;
        self.read_layer(&allowed, PolicyLayer::Organization).await
    }

    pub async fn put_policies(
        &self,
        principal: &Principal,
        seen: Option<i64>,
        rules: Vec<Rule>,
    ) -> Result<Rules, Refusal> {
        let allowed = authorize(principal, Operation::PutPolicies, Target::Organization)?;
        self.put_layer(&allowed, PolicyLayer::Organization, "organization".into(), seen, rules).await
    }

    pub async fn read_own_policies(&self, principal: &Principal) -> Result<Rules, Refusal> {
        let allowed = authorize(principal, Operation::ReadOwnPolicies, Target::Organization)?;
        self.read_layer(&allowed, own_layer(principal)?).await
    }

    pub async fn put_own_policies(
        &self,
        principal: &Principal,
        seen: Option<i64>,
        rules: Vec<Rule>,
    ) -> Result<Rules, Refusal> {
        let allowed = authorize(principal, Operation::PutOwnPolicies, Target::Organization)?;
        let layer = own_layer(principal)?;
        self.put_layer(&allowed, layer, principal.caller.to_string(), seen, rules).await
    }

    pub async fn read_toolkit_policies(
        &self,
        principal: &Principal,
        id: ToolkitId,
    ) -> Result<Rules, Refusal> {
        let found = self.find_toolkit(principal.organization, id).await?;
        let target = toolkit::target(&found, principal);
        let allowed = authorize(principal, Operation::ReadToolkitPolicies, target)?;
        self.read_layer(&allowed, PolicyLayer::Toolkit(id)).await
    }

    pub async fn put_toolkit_policies(
        &self,
        principal: &Principal,
        id: ToolkitId,
        seen: Option<i64>,
        rules: Vec<Rule>,
    ) -> Result<Rules, Refusal> {
        let found = self.find_toolkit(principal.organization, id).await?;
        let target = toolkit::target(&found, principal);
        let allowed = authorize(principal, Operation::PutToolkitPolicies, target)?;
        self.put_layer(&allowed, PolicyLayer::Toolkit(id), found.slug.to_string(), seen, rules).await
    }

    async fn read_layer(&self, allowed: &Allowed<'_>, layer: PolicyLayer) -> Result<Rules, Refusal> {
        let organization = allowed.principal().organization;
        let found = self.db().single().await?.policies().find(organization, layer).await?;
        Ok(found.map_or_else(
            || Rules { rules: json!([]), revision: 0 },
            |document| Rules { rules: document.rules, revision: document.revision },
        ))
    }

    async fn put_layer(
        &self,
        allowed: &Allowed<'_>,
        layer: PolicyLayer,
        target: String,
        seen: Option<i64>,
        rules: Vec<Rule>,
    ) -> Result<Rules, Refusal> {
        let organization = allowed.principal().organization;
        self.check_layer(organization, &rules).await?;
        let written = serde_json::to_value(&rules).map_err(|_| Refusal::unavailable())?;
        for _ in 0..5 {
            let before = self.read_layer(allowed, layer).await?;
            if seen.is_some_and(|seen| seen != before.revision) {
                return Err(Refusal::stale());
            }
            let now = self.clock().now();
            let mut tx = self.db().write().await?;
            if tx.policies().put(organization, layer, &written, before.revision, now).await? {
                let details = json!({ "before": before.rules, "after": written });
                self.commit_change(allowed, tx, Change::of(target).with(details)).await?;
                return self.read_layer(allowed, layer).await;
            }
        }
        Err(Refusal::stale())
    }

    async fn check_layer(&self, organization: OrganizationId, rules: &[Rule]) -> Result<(), Refusal> {
        let mut violations = Violations::default();
        if rules.len() > MAX_RULES {
            violations.add("", format!("Use at most {MAX_RULES} rules."));
        }
        if let Err(error) = check_rules(rules) {
            violations.add((error.position - 1).to_string(), format!("{}.", error.problem));
        }
        let named = rules.iter().enumerate().filter_map(|(index, rule)| match &rule.approvers {
            Approvers::Teams(teams) => Some((index, teams)),
            _ => None,
        });
        let mut known = None;
        for (index, teams) in named {
            let known = match &mut known {
                Some(known) => known,
                slot => slot.insert(self.db().single().await?.teams().list(organization).await?),
            };
            if teams.iter().any(|team| !known.iter().any(|known| known.id == *team)) {
                violations.add(format!("{index}.approvers"), "It names a team that is not there.");
            }
        }
        violations.into_result()
    }

    /// Which rule decides, and why: it asks the very function that decides calls.
    pub async fn explain_policies(
        &self,
        principal: &Principal,
        request: &ExplainRequest,
    ) -> Result<Explanation, Refusal> {
        let about = request.member.map_or(principal.caller, Caller::Member);
        let _allowed = authorize(principal, Operation::ExplainPolicies, Target::Of(about))?;
        let name: CapabilityName = request.capability.parse().map_err(|error| {
            let mut violations = Violations::default();
            violations.add("capability", format!("{error}."));
            violations.into_result().err().unwrap_or_else(Refusal::unavailable)
        })?;
        let arguments = request.arguments.as_deref().map(read_arguments).transpose()?;
        let subject = self.principal_of(principal, request.member).await?;
        let snapshot = self.organization_snapshot(principal.organization)?;
        let known =
            snapshot.named(name.personal, &name.slug, subject.member()).ok_or_else(Refusal::not_found)?;
        let target = Target::Connection { connection: &known.connection, grants: &known.grants };
        authorize(principal, Operation::ReadConnection, target).map(drop)?;
        let toolkit = match &request.toolkit {
            None => None,
            Some(slug) => {
                let resource = Resource::from_path(&format!("/mcp/toolkits/{slug}"));
                let resource = resource.ok_or_else(Refusal::not_found)?;
                let found = snapshot.toolkit(&resource, &subject).ok_or_else(Refusal::not_found)?;
                authorize(principal, Operation::ReadToolkit, toolkit::target(found, principal)).map(drop)?;
                Some(found)
            }
        };
        let capability = known.catalog.capabilities.get(&name.name).ok_or_else(Refusal::not_found)?;
        let context = hypothetical(&subject);
        let set = snapshot.policies(&context, toolkit);
        let offered = toolkit.is_none_or(|toolkit| {
            let prefix = known.connection.name_prefix();
            let patterns = toolkit.patterns.iter();
            patterns
                .filter_map(|pattern| pattern.parse::<switchboard_domain::CapabilityPattern>().ok())
                .any(|pattern| pattern.matches(&prefix, &name.name))
        });
        Ok(explain(
            &set,
            &Subject {
                requester: context.requester(),
                connection: known.facts(&context),
                capability: CapabilityFacts {
                    name: &name.name,
                    kind: CapabilityKind::Tool,
                    admitted: known.connection.tools.admits(&name.name),
                    offered,
                    state: capability.state,
                    read_only_hint: capability.read_only_hint,
                    destructive_hint: capability.destructive_hint,
                    arguments: arguments.as_ref().map_or(Arguments::Unknown, Arguments::Given),
                },
            },
        ))
    }

    /// Another member as the policy would meet them. For explaining only.
    async fn principal_of(
        &self,
        principal: &Principal,
        member: Option<MemberId>,
    ) -> Result<Principal, Refusal> {
        let Some(id) = member.filter(|id| principal.member() != Some(*id)) else {
            return Ok(principal.clone());
        };
        let mut tx = self.db().read().await?;
        let found = tx.members().find(principal.organization, id).await?;
        let found = found.filter(|member| member.status == MemberStatus::Active);
        let found = found.ok_or_else(Refusal::not_found)?;
        let teams = tx.teams().of_member(principal.organization, id).await?;
        Ok(Principal {
            organization: principal.organization,
            caller: Caller::Member(id),
            role: found.role,
            teams: teams.into(),
            scopes: principal.scopes,
            proof: Proof::Inquiry,
            toolkits: None,
        })
    }
}

fn read_arguments(text: &str) -> Result<Value, Refusal> {
    let mut violations = Violations::default();
    match serde_json::from_str(text) {
        Ok(arguments @ Value::Object(_)) => return Ok(arguments),
        Ok(_) => violations.add("arguments", "Give a JSON object, such as {\"amount\": 5}."),
        Err(error) => violations.add("arguments", format!("It is not JSON: {error}.")),
    }
    Err(violations.into_result().err().unwrap_or_else(Refusal::unavailable))
}

fn own_layer(principal: &Principal) -> Result<PolicyLayer, Refusal> {
    let member = principal.member().ok_or_else(|| {
        Refusal::conflict(
            "not_a_member",
            "A service account has no rules of its own: the organization's apply.",
        )
    })?;
    Ok(PolicyLayer::Member(member))
}
