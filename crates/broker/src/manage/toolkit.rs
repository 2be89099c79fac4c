//! Toolkits: named endpoints with chosen capabilities.

use serde::{Deserialize, Serialize};
use serde_json::json;
use switchboard_domain::{
    CapabilityPattern, MemberId, OrganizationId, Principal, Resource, Slug, TeamId, Timestamp, ToolkitId,
};
use switchboard_storage::{Toolkit, ToolkitSurface};

use super::{
    Operation, OwnerWord, Page, PageRequest, Refusal, Target, authorize, connection_input::check_name,
    page::is_in, record::Change, refusal::Violations,
};
use crate::Broker;

const MAX_PATTERNS: usize = 1_000;

/// How the endpoint shows its tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SurfaceWord {
    /// The two tools that search and execute.
    #[default]
    Search,
    /// One to one.
    Direct,
}

impl From<SurfaceWord> for ToolkitSurface {
    fn from(word: SurfaceWord) -> Self {
        match word {
            SurfaceWord::Search => Self::Search,
            SurfaceWord::Direct => Self::Direct,
        }
    }
}

/// A toolkit to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToolkit {
    pub slug: String,
    /// The slug without.
    #[serde(default)]
    pub name: Option<String>,
    /// `organization` needs an admin.
    #[serde(default)]
    pub owner: OwnerWord,
    #[serde(default)]
    pub surface: SurfaceWord,
    /// Whole segments: `linear.create_issue`, `linear.*`, `*.delete_issue`, `*`.
    pub patterns: Vec<String>,
    /// With `teams` empty too: whoever is granted the connections.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub members: Vec<MemberId>,
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub teams: Vec<TeamId>,
}

/// Changes to a toolkit; an absent member stays. Its slug stays: clients have its URL.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolkitEdit {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub surface: Option<SurfaceWord>,
    #[serde(default)]
    pub patterns: Option<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    pub members: Option<Vec<MemberId>>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    pub teams: Option<Vec<TeamId>>,
}

/// A toolkit, read.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Toolkit)]
pub struct ToolkitView {
    #[schema(value_type = String)]
    pub id: ToolkitId,
    pub slug: String,
    pub name: String,
    pub owner: OwnerWord,
    pub surface: &'static str,
    pub patterns: Vec<String>,
    /// Those who manage it see whom it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub members: Option<Vec<MemberId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub teams: Option<Vec<TeamId>>,
    /// What an MCP client connects to; of a personal one with `~` before the slug.
    pub url: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    #[serde(skip)]
    pub revision: i64,
}

pub(crate) fn target<'t>(toolkit: &Toolkit, principal: &Principal) -> Target<'t> {
    let member = principal.member();
    let for_all = toolkit.members.is_empty() && toolkit.teams.is_empty();
    let named = member.is_some_and(|member| toolkit.members.contains(&member))
        || toolkit.teams.iter().any(|team| principal.teams.contains(team));
    Target::Toolkit { owner: toolkit.owner, admits_caller: for_all || named }
}

impl Broker {
    pub(crate) async fn find_toolkit(
        &self,
        organization: OrganizationId,
        id: ToolkitId,
    ) -> Result<Toolkit, Refusal> {
        let found = self.db().single().await?.toolkits().find(organization, id).await?;
        found.ok_or_else(Refusal::not_found)
    }

    fn toolkit_view(&self, toolkit: Toolkit, principal: &Principal) -> ToolkitView {
        let manages = authorize(principal, Operation::UpdateToolkit, target(&toolkit, principal)).is_ok();
        let resource = match toolkit.owner {
            None => Resource::Toolkit(toolkit.slug.clone()),
            Some(_) => Resource::PersonalToolkit(toolkit.slug.clone()),
        };
        ToolkitView {
            url: format!("{}{resource}", self.public_url().as_str().trim_end_matches('/')),
            id: toolkit.id,
            slug: toolkit.slug.to_string(),
            name: toolkit.name,
            owner: if toolkit.owner.is_some() { OwnerWord::Member } else { OwnerWord::Organization },
            surface: toolkit.surface.as_str(),
            patterns: toolkit.patterns,
            members: manages.then_some(toolkit.members),
            teams: manages.then_some(toolkit.teams),
            created_at: toolkit.created_at,
            updated_at: toolkit.updated_at,
            revision: toolkit.revision,
        }
    }

    pub async fn list_toolkits(
        &self,
        principal: &Principal,
        page: &PageRequest,
    ) -> Result<Page<ToolkitView>, Refusal> {
        self.find_toolkits(principal, "", page).await
    }

    /// Those with this text in their name or short name.
    pub async fn find_toolkits(
        &self,
        principal: &Principal,
        text: &str,
        page: &PageRequest,
    ) -> Result<Page<ToolkitView>, Refusal> {
        let _allowed = authorize(principal, Operation::ListToolkits, Target::Organization)?;
        let mut toolkits = self.db().single().await?.toolkits().list(principal.organization).await?;
        toolkits.retain(|toolkit| {
            is_in(text, &[&toolkit.name, toolkit.slug.as_str()])
                && authorize(principal, Operation::ReadToolkit, target(toolkit, principal)).is_ok()
        });
        let key = |toolkit: &Toolkit| format!("{}|{}", toolkit.slug, toolkit.id);
        toolkits.sort_by_key(key);
        Ok(page.cut(toolkits, key)?.map(|toolkit| self.toolkit_view(toolkit, principal)))
    }

    pub async fn read_toolkit(&self, principal: &Principal, id: ToolkitId) -> Result<ToolkitView, Refusal> {
        let toolkit = self.find_toolkit(principal.organization, id).await?;
        let _allowed = authorize(principal, Operation::ReadToolkit, target(&toolkit, principal))?;
        Ok(self.toolkit_view(toolkit, principal))
    }

    pub async fn create_toolkit(
        &self,
        principal: &Principal,
        new: NewToolkit,
    ) -> Result<ToolkitView, Refusal> {
        let operation = match new.owner {
            OwnerWord::Organization => Operation::CreateToolkit,
            OwnerWord::Member => Operation::CreatePersonalToolkit,
        };
        let allowed = authorize(principal, operation, Target::Organization)?;
        let owner = match new.owner {
            OwnerWord::Organization => None,
            OwnerWord::Member => Some(principal.member().ok_or_else(|| {
                Refusal::invalid("validation_failed", "A service account can't have personal toolkits.")
            })?),
        };
        let mut violations = Violations::default();
        let slug = new.slug.parse::<Slug>().map_err(|error| violations.add("slug", format!("{error}."))).ok();
        let name = new.name.unwrap_or_else(|| new.slug.clone());
        check_name(&name, &mut violations);
        check_patterns(&new.patterns, &mut violations);
        self.check_people(principal.organization, &new.members, &new.teams, &mut violations).await?;
        violations.into_result()?;
        let now = self.clock().now();
        let toolkit = Toolkit {
            id: ToolkitId::new(self.clock(), self.random()),
            organization: principal.organization,
            owner,
            slug: slug.ok_or_else(Refusal::unavailable)?,
            name: name.trim().to_owned(),
            surface: new.surface.into(),
            patterns: new.patterns,
            members: new.members,
            teams: new.teams,
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        let mut tx = self.db().write().await?;
        if !tx.toolkits().insert(&toolkit).await? {
            return Err(Refusal::conflict(
                "slug_taken",
                format!("There is a toolkit `{}` already. Choose another slug.", toolkit.slug),
            ));
        }
        let change = Change::of(&toolkit.slug).with(facts(&toolkit));
        self.commit_change(&allowed, tx, change).await?;
        Ok(self.toolkit_view(toolkit, principal))
    }

    pub async fn update_toolkit(
        &self,
        principal: &Principal,
        id: ToolkitId,
        seen: Option<i64>,
        edit: ToolkitEdit,
    ) -> Result<ToolkitView, Refusal> {
        let before = self.find_toolkit(principal.organization, id).await?;
        let allowed = authorize(principal, Operation::UpdateToolkit, target(&before, principal))?;
        if seen.is_some_and(|seen| seen != before.revision) {
            return Err(Refusal::stale());
        }
        let mut after = before.clone();
        after.name = edit.name.map_or(after.name, |name| name.trim().to_owned());
        after.surface = edit.surface.map_or(after.surface, ToolkitSurface::from);
        after.patterns = edit.patterns.unwrap_or(after.patterns);
        after.members = edit.members.unwrap_or(after.members);
        after.teams = edit.teams.unwrap_or(after.teams);
        after.updated_at = self.clock().now();
        let mut violations = Violations::default();
        check_name(&after.name, &mut violations);
        check_patterns(&after.patterns, &mut violations);
        self.check_people(principal.organization, &after.members, &after.teams, &mut violations).await?;
        violations.into_result()?;
        let mut tx = self.db().write().await?;
        if !tx.toolkits().update(&after).await? {
            return Err(Refusal::stale());
        }
        let details = json!({ "before": facts(&before), "after": facts(&after) });
        self.commit_change(&allowed, tx, Change::of(&after.slug).with(details)).await?;
        self.read_toolkit(principal, id).await
    }

    pub async fn delete_toolkit(&self, principal: &Principal, id: ToolkitId) -> Result<(), Refusal> {
        let toolkit = self.find_toolkit(principal.organization, id).await?;
        let allowed = authorize(principal, Operation::DeleteToolkit, target(&toolkit, principal))?;
        let mut tx = self.db().write().await?;
        if !tx.toolkits().delete(principal.organization, id).await? {
            return Err(Refusal::not_found());
        }
        self.commit_change(&allowed, tx, Change::of(&toolkit.slug)).await
    }

    /// Members and teams have to be the organization's.
    async fn check_people(
        &self,
        organization: OrganizationId,
        members: &[MemberId],
        teams: &[TeamId],
        violations: &mut Violations,
    ) -> Result<(), Refusal> {
        if members.len() + teams.len() > MAX_PATTERNS {
            violations.add(
                "members",
                format!("Name at most {MAX_PATTERNS} members and teams; a team reaches more."),
            );
            return Ok(());
        }
        let mut tx = self.db().read().await?;
        for (index, member) in members.iter().enumerate() {
            if tx.members().find(organization, *member).await?.is_none() {
                violations.add(format!("members.{index}"), "There is no such member.");
            }
        }
        let known = tx.teams().list(organization).await?;
        for (index, team) in teams.iter().enumerate() {
            if !known.iter().any(|known| known.id == *team) {
                violations.add(format!("teams.{index}"), "There is no such team.");
            }
        }
        Ok(())
    }
}

fn facts(toolkit: &Toolkit) -> serde_json::Value {
    json!({
        "name": toolkit.name, "surface": toolkit.surface.as_str(), "patterns": toolkit.patterns,
        "members": toolkit.members, "teams": toolkit.teams,
    })
}

fn check_patterns(patterns: &[String], violations: &mut Violations) {
    if patterns.is_empty() || patterns.len() > MAX_PATTERNS {
        violations.add(
            "patterns",
            format!("Choose at least one tool, or name patterns such as `linear.*`; {MAX_PATTERNS} at most."),
        );
    }
    for (index, pattern) in patterns.iter().enumerate() {
        if let Err(error) = pattern.parse::<CapabilityPattern>() {
            violations.add(format!("patterns.{index}"), format!("{error}."));
        }
    }
}
