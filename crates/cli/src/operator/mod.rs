//! What the operator does on the database directly: first owners, lost passwords, tokens.
//!
//! These changes need no server and none has to stop for them. Each is one transaction with its audit entry in
//! it, written under a writer id of this process; a running server notices by the organization's version.

mod audit;
mod connections;
mod demo;
mod keys;
mod people;
mod sealed;
mod tokens;

use std::sync::Arc;

use switchboard_domain::{Clock, Random, Slug, SystemClock, SystemRandom};
use switchboard_storage::{Db, Organization};
use switchboard_vault::Keyring;

use crate::{config::Config, failure::Failure, startup};

pub(crate) use connections::{OperatorConnection, insert_missing};
pub(crate) use people::NewOwner;
pub(crate) use tokens::NewToken;

/// An open database with its keys, and who acts on it.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) db: Db,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

impl Operator {
    /// Opens what is there; where nothing is, nothing is made.
    pub(crate) async fn open_existing(config: &Config) -> Result<Self, Failure> {
        startup::require_data(config).await?;
        Self::open(config).await
    }

    /// Opens what the settings name, on an empty data directory too.
    pub(crate) async fn open(config: &Config) -> Result<Self, Failure> {
        startup::prepare_if_needed(config)?;
        let opened = startup::open(config).await?;
        let random = SystemRandom;
        let keys = match startup::open_keys(&opened.db, config, &random).await {
            Ok(keys) => keys,
            Err(failure) => {
                opened.db.close().await;
                return Err(failure);
            }
        };
        if let (true, Some(path)) = (keys.generated, keys.place.file()) {
            crate::output::remark(&format!(
                "A master key was generated: {}. Back it up; without it stored sign-ins cannot be read.",
                path.display()
            ));
        }
        Ok(Self {
            db: opened.db,
            keyring: Arc::new(keys.keyring),
            clock: Arc::new(SystemClock),
            random: Arc::new(random),
        })
    }

    /// The organization that was asked for, or the only one.
    pub(crate) async fn organization(&self, asked: Option<&Slug>) -> Result<Organization, Failure> {
        let mut tx = self.db.single().await?;
        if let Some(slug) = asked {
            let found = tx.organizations().find_by_slug(slug).await?;
            return found.ok_or_else(|| {
                Failure::failed(format!(
                    "There is no organization `{slug}`. Make it with: switchboard admin create-organization --slug {slug}"
                ))
            });
        }
        let mut all = tx.organizations().list().await?;
        match (all.pop(), all.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(Failure::failed(
                "There is no organization yet. Make an owner first: switchboard admin create-owner --email E --password-file F",
            )),
            (Some(last), false) => {
                all.push(last);
                let slugs: Vec<_> = all.iter().map(|organization| organization.slug.as_str()).collect();
                Err(Failure::usage(format!(
                    "There are several organizations: choose one with --organization ({})",
                    slugs.join(", ")
                )))
            }
        }
    }
}
