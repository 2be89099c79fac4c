//! The single-use link that makes the first owner. Only its hash is kept; a new link replaces the unused ones.

use std::time::Duration;

use switchboard_domain::{Clock, Random, SecretValue, SetupLinkId};
use switchboard_storage::{Db, StorageError};
use switchboard_vault::{TokenKind, issue};
use url::Url;

pub(crate) const SETUP_LINK_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// Makes a link below `public_url`; earlier unused ones stop working.
pub(crate) async fn new_setup_link(
    db: &Db,
    public_url: &Url,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<SecretValue, StorageError> {
    let token = issue(TokenKind::SetupLink, random);
    let now = clock.now();
    let mut tx = db.write().await?;
    tx.setup_links().forget_unused(now).await?;
    let id = SetupLinkId::new(clock, random);
    tx.setup_links().insert(id, token.hash.as_bytes(), now, now.plus(SETUP_LINK_LIFETIME)).await?;
    tx.commit().await?;
    let origin = public_url.as_str().trim_end_matches('/');
    Ok(SecretValue::new(format!("{origin}/setup/{}", token.secret.expose())))
}
