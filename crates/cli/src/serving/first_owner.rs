//! An organization nobody owns: the first start makes an owner from the settings, or prints a single-use link.

use std::{io::Write as _, path::Path};

use switchboard_domain::SecretValue;
use url::Url;

use crate::{
    config::Config,
    failure::Failure,
    operator::{NewOwner, Operator},
    output,
    startup::{SETUP_LINK_LIFETIME, new_setup_link},
};

/// What to print, if there is anything to do.
pub(super) async fn see_to(
    config: &Config,
    operator: &Operator,
    public_url: &Url,
) -> Result<Option<String>, Failure> {
    let link_file = config.data_dir.join("setup-link");
    let has_owner = operator.db.single().await?.members().owners_exist().await?;
    if has_owner {
        // The link in it is used or over.
        let _ = std::fs::remove_file(&link_file);
        return Ok(None);
    }
    match (&config.bootstrap.owner_email, &config.bootstrap.owner_password) {
        (Some(email), Some(password)) => {
            let organization = config.bootstrap.organization.parse().map_err(|error| {
                Failure::usage(format!("`bootstrap.organization` is not a slug: {error}"))
            })?;
            let owner = NewOwner {
                organization: Some(organization),
                email: email.clone(),
                name: None,
                password: password.clone(),
            };
            let (organization, member) = operator.create_owner(&owner).await?;
            Ok(Some(format!("Owner {} made, of the organization `{}`.", member.email, organization.slug)))
        }
        (Some(_), None) => Err(Failure::usage(
            "SWITCHBOARD_BOOTSTRAP_OWNER_EMAIL is set, but no password. Put one into a file and name it in \
             SWITCHBOARD_BOOTSTRAP_OWNER_PASSWORD_FILE, or remove the email to get a setup link.",
        )),
        (None, _) => {
            let link = new_setup_link(&operator.db, public_url, &*operator.clock, &*operator.random).await?;
            if in_container() {
                write_private(&link_file, &link)?;
            }
            Ok(Some(format!(
                "No owner yet. Open this link once (expires in {} min):\n{}\n(new link: {} admin setup-link {} --public-url {})",
                SETUP_LINK_LIFETIME.as_secs() / 60,
                link.expose(),
                output::program(),
                config.flags_for_admin(),
                public_url.as_str().trim_end_matches('/')
            )))
        }
    }
}

/// Where stdout is a log that many can read, and a file in the volume is not.
fn in_container() -> bool {
    Path::new("/.dockerenv").exists()
        || Path::new("/run/.containerenv").exists()
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

fn write_private(path: &Path, link: &SecretValue) -> Result<(), Failure> {
    let _ = std::fs::remove_file(path);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).and_then(|mut file| writeln!(file, "{}", link.expose())).map_err(|error| {
        Failure::failed(format!("The setup link can't be written to {}: {error}.", path.display()))
    })
}
