//! Organizations and the people who own them.

use serde_json::json;
use switchboard_domain::{MemberId, OrganizationId, Random, Role, SecretValue, Slug};
use switchboard_storage::{InsertMember, InsertOrganization, Member, MemberStatus, Organization, Tx};
use switchboard_vault::{check_password, hash_password};

use super::{Operator, audit::Change};
use crate::failure::Failure;

/// The first person of an organization, or one more owner.
pub(crate) struct NewOwner {
    /// The only organization when none is named; made when there is none at all.
    pub(crate) organization: Option<Slug>,
    pub(crate) email: String,
    pub(crate) name: Option<String>,
    pub(crate) password: SecretValue,
}

impl Operator {
    pub(crate) async fn create_organization(&self, slug: &Slug, name: &str) -> Result<Organization, Failure> {
        let mut tx = self.db.write().await?;
        let organization = self.insert_organization(&mut tx, slug, name).await?;
        tx.commit().await?;
        Ok(organization)
    }

    async fn insert_organization(
        &self,
        tx: &mut Tx,
        slug: &Slug,
        name: &str,
    ) -> Result<Organization, Failure> {
        let organization = Organization {
            id: OrganizationId::new(&*self.clock, &*self.random),
            slug: slug.clone(),
            name: name.to_owned(),
            settings: json!({}),
            version: 1,
            created_at: self.clock.now(),
        };
        if tx.organizations().insert(&organization).await? == InsertOrganization::SlugTaken {
            return Err(Failure::failed(format!(
                "There is an organization `{slug}` already. Choose another slug."
            )));
        }
        let change = Change {
            organization: organization.id,
            action: "organization.create",
            target: organization.id.to_string(),
            details: json!({"slug": slug.as_str(), "name": name}),
        };
        self.record(tx, change).await?;
        Ok(organization)
    }

    /// Makes an owner, and on an empty database the organization too.
    pub(crate) async fn create_owner(&self, owner: &NewOwner) -> Result<(Organization, Member), Failure> {
        check_email(&owner.email)?;
        let hash = self.hash(&owner.email, owner.password.clone()).await?;
        let mut tx = self.db.write().await?;
        let organization = match self.place_of(&mut tx, owner.organization.as_ref()).await? {
            Some(organization) => organization,
            None => {
                let slug = owner.organization.clone().unwrap_or_else(default_slug);
                self.insert_organization(&mut tx, &slug, &title(slug.as_str())).await?
            }
        };
        let now = self.clock.now();
        let member = Member {
            id: MemberId::new(&*self.clock, &*self.random),
            organization: organization.id,
            email: owner.email.trim().to_owned(),
            display_name: owner.name.clone().unwrap_or_else(|| name_of(&owner.email)),
            role: Role::Owner,
            status: MemberStatus::Active,
            created_at: now,
            updated_at: now,
        };
        if tx.members().insert(&member, Some(&hash)).await? == InsertMember::EmailTaken {
            return Err(Failure::failed(format!(
                "{} is a member of `{}` already. For a new password: switchboard admin reset-password --email {}",
                member.email, organization.slug, member.email
            )));
        }
        // An owner ends every setup link that is still open.
        tx.setup_links().forget_unused(now).await?;
        let change = Change {
            organization: organization.id,
            action: "member.create",
            target: member.id.to_string(),
            details: json!({"email": member.email, "role": "owner"}),
        };
        self.record(&mut tx, change).await?;
        tx.organizations().touch(organization.id).await?;
        tx.commit().await?;
        Ok((organization, member))
    }

    /// `None` when the database has no organization, or not the one that was named and has no other.
    async fn place_of(&self, tx: &mut Tx, asked: Option<&Slug>) -> Result<Option<Organization>, Failure> {
        let mut all = tx.organizations().list().await?;
        if all.is_empty() {
            return Ok(None);
        }
        if let Some(slug) = asked {
            let found = all.into_iter().find(|organization| organization.slug == *slug);
            return found.map(Some).ok_or_else(|| {
                Failure::failed(format!(
                    "There is no organization `{slug}`. Make it with: switchboard admin create-organization --slug {slug}"
                ))
            });
        }
        if all.len() > 1 {
            let slugs: Vec<_> = all.iter().map(|organization| organization.slug.as_str()).collect();
            return Err(Failure::usage(format!(
                "There are several organizations: choose one with --organization ({})",
                slugs.join(", ")
            )));
        }
        Ok(all.pop())
    }

    pub(crate) async fn reset_password(
        &self,
        organization: &Organization,
        email: &str,
        password: SecretValue,
    ) -> Result<Member, Failure> {
        let hash = self.hash(email, password).await?;
        let mut tx = self.db.write().await?;
        let member = find_member(&mut tx, organization, email).await?;
        tx.members().set_password(organization.id, member.id, &hash, self.clock.now()).await?;
        let change = Change {
            organization: organization.id,
            action: "member.reset_password",
            target: member.id.to_string(),
            details: json!({}),
        };
        self.record(&mut tx, change).await?;
        // Whoever knew the old one may be signed in with it.
        tx.sessions().revoke_of_member(organization.id, member.id, None, self.clock.now()).await?;
        tx.organizations().touch(organization.id).await?;
        tx.commit().await?;
        Ok(member)
    }

    async fn hash(&self, email: &str, password: SecretValue) -> Result<String, Failure> {
        let unusable = |error| Failure::failed(format!("This password can't be used: {error}."));
        check_password(&password, &[email]).map_err(unusable)?;
        let random: std::sync::Arc<dyn Random> = self.random.clone();
        let hashed = tokio::task::spawn_blocking(move || hash_password(&password, &*random)).await;
        match hashed {
            Ok(Ok(hash)) => Ok(hash),
            Ok(Err(error)) => Err(unusable(error)),
            Err(_) => Err(Failure::failed("The password could not be hashed. Try again.")),
        }
    }
}

pub(super) async fn find_member(
    tx: &mut Tx,
    organization: &Organization,
    email: &str,
) -> Result<Member, Failure> {
    let found = tx.members().find_by_email(organization.id, email).await?;
    found.filter(|member| member.status != MemberStatus::Removed).ok_or_else(|| {
        Failure::failed(format!(
            "Nobody in `{}` has the address {email}. Check its spelling; `switchboard member list` shows the members.",
            organization.slug
        ))
    })
}

fn check_email(email: &str) -> Result<(), Failure> {
    let email = email.trim();
    let is_address = email.len() <= 254
        && !email.chars().any(|character| character.is_whitespace() || character.is_control())
        && email
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    if is_address {
        Ok(())
    } else {
        Err(Failure::usage(format!("`{email}` is not an email address such as ana@example.com")))
    }
}

fn default_slug() -> Slug {
    "default".parse().expect("`default` is a slug")
}

/// `acme-corp` as a name for people.
fn title(slug: &str) -> String {
    let mut letters = slug.replace('-', " ").chars().collect::<Vec<_>>();
    if let Some(first) = letters.first_mut() {
        first.make_ascii_uppercase();
    }
    letters.into_iter().collect()
}

fn name_of(email: &str) -> String {
    email.split('@').next().unwrap_or(email).trim().to_owned()
}
