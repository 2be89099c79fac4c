//! The checks, each on its own: one that can't be made does not hide the next. None changes anything.

use switchboard_domain::{Clock as _, SystemClock, Timestamp};
use switchboard_server::Finding;
use switchboard_storage::{Db, Migrations};
use url::Url;

use crate::{command::healthcheck, config::Config, startup};

pub(super) async fn all(config: &Config) -> Vec<Finding> {
    let mut findings = vec![settings(config), data_dir(config), disk_space(config), clock()];
    findings.extend(database(config).await);
    findings.extend(server(config).await);
    findings.extend(public_url(config).await);
    findings.push(names(config).await);
    findings
}

fn settings(config: &Config) -> Finding {
    if let Err(error) = config.check_for_serving() {
        return Finding::fail("settings", error.to_string());
    }
    match startup::upstream_egress(config, Vec::new()) {
        Ok(_) if config.stdio_not_allowed > 0 => Finding::warn(
            "settings",
            format!(
                "{} [[stdio]] entries are not started. Start with --allow-stdio",
                config.stdio_not_allowed
            ),
        ),
        Ok(_) => Finding::ok("settings", "the configuration can be used"),
        Err(error) => Finding::fail("settings", error.to_string()),
    }
}

fn data_dir(config: &Config) -> Finding {
    let path = config.data_dir.display();
    match std::fs::metadata(&config.data_dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::warn("data", format!("{path} is not there yet: the first start makes it"))
        }
        Err(error) => Finding::fail("data", format!("{path}: {error}. Choose another with --data-dir")),
        Ok(metadata) if !metadata.is_dir() => {
            Finding::fail("data", format!("{path} is not a directory. Choose another with --data-dir"))
        }
        Ok(metadata) => match may_use(&config.data_dir) {
            Ok(()) => modes(&path.to_string(), &metadata),
            Err(error) => Finding::fail(
                "data",
                format!(
                    "{path} can't be read and written by this user (uid {}): {error}. Run this as the user that runs \
                     Switchboard, or change the owner of the directory",
                    rustix::process::getuid().as_raw()
                ),
            ),
        },
    }
}

/// The directory, and in it what a start opens.
fn may_use(directory: &std::path::Path) -> std::io::Result<()> {
    use rustix::fs::{Access, access};
    access(directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?;
    for name in ["switchboard.db", "secrets/master.key"] {
        let path = directory.join(name);
        match access(&path, Access::READ_OK) {
            Err(rustix::io::Errno::NOENT) | Ok(()) => {}
            Err(error) => {
                return Err(std::io::Error::other(format!("{name}: {}", std::io::Error::from(error))));
            }
        }
    }
    Ok(())
}

#[cfg(unix)]
fn modes(path: &str, metadata: &std::fs::Metadata) -> Finding {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        Finding::ok("data", format!("{path} (mode {mode:03o})"))
    } else {
        Finding::warn(
            "data",
            format!("{path} is open to other users (mode {mode:03o}). Run: chmod 700 {path}"),
        )
    }
}

#[cfg(not(unix))]
fn modes(path: &str, _: &std::fs::Metadata) -> Finding {
    Finding::ok("data", path)
}

const LITTLE_SPACE: u64 = 1 << 30;
const NO_SPACE: u64 = 64 << 20;

fn disk_space(config: &Config) -> Finding {
    let existing = config.data_dir.ancestors().find(|path| path.exists());
    let existing = existing.filter(|path| !path.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    let free = match rustix::fs::statvfs(existing) {
        Ok(space) => space.f_bavail.saturating_mul(space.f_frsize),
        Err(error) => return Finding::warn("disk", format!("free space can't be read: {error}")),
    };
    let text = format!("{} MiB free at {}", free >> 20, existing.display());
    match free {
        0..NO_SPACE => {
            Finding::fail("disk", format!("{text}. Free some: without space nothing can be written"))
        }
        NO_SPACE..LITTLE_SPACE => {
            Finding::warn("disk", format!("{text}. Free some soon: the audit log grows"))
        }
        _ => Finding::ok("disk", text),
    }
}

/// Tokens expire and audit entries are dated by it. Before this release was made is surely wrong.
fn clock() -> Finding {
    const RELEASED: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);
    let now = SystemClock.now();
    if now < RELEASED {
        return Finding::fail(
            "clock",
            format!("the machine's clock says {now}: set it, tokens expire by it"),
        );
    }
    Finding::ok("clock", now.to_string())
}

async fn database(config: &Config) -> Vec<Finding> {
    let place = startup::location_for_people(config);
    if config.database.url.is_none() && !startup::sqlite_path(&config.data_dir).exists() {
        return vec![Finding::warn(
            "database",
            format!("{place} is not there yet: the first start makes it"),
        )];
    }
    let db = match Db::open(&startup::options(config), Migrations::Ignore).await {
        Ok(db) => db,
        Err(error) => return vec![Finding::fail("database", error.to_string())],
    };
    let mut findings = vec![match db.integrity_check().await {
        Ok(faults) if faults.is_empty() => Finding::ok("database", place),
        Ok(faults) => {
            Finding::fail("database", format!("{place} is damaged: {}. Restore a backup", faults.join("; ")))
        }
        Err(error) => Finding::fail("database", error.to_string()),
    }];
    let mut is_usable = false;
    findings.push(match db.schema_status().await {
        Ok(status) if status.pending.is_empty() => {
            is_usable = true;
            Finding::ok("schema", format!("version {}", status.applied))
        }
        Ok(status) => Finding::warn(
            "schema",
            format!(
                "version {}, this release needs {}. Run: switchboard migrate",
                status.applied, status.known
            ),
        ),
        Err(error) => Finding::fail("schema", error.to_string()),
    });
    if is_usable {
        findings.push(keys(&db, config).await);
        findings.extend(people(&db).await);
    }
    db.close().await;
    findings
}

async fn keys(db: &Db, config: &Config) -> Finding {
    match startup::check_keys(db, config).await {
        Ok(Some(primary)) => Finding::ok("keys", format!("{primary} fits the database")),
        Ok(None) => Finding::warn("keys", "no master key yet: the first start makes one"),
        Err(error) => Finding::fail("keys", error.to_string()),
    }
}

async fn people(db: &Db) -> Option<Finding> {
    let has_owner = db.single().await.ok()?.members().owners_exist().await.ok()?;
    Some(if has_owner {
        Finding::ok("owner", "there is one")
    } else {
        Finding::warn("owner", "nobody owns an organization yet. Run: switchboard admin setup-link")
    })
}

async fn server(config: &Config) -> Vec<Finding> {
    let origin = healthcheck::local_origin(config);
    match healthcheck::get(config, &format!("{origin}/readyz")).await {
        Ok((200, _)) => vec![Finding::ok("server", format!("{origin} is ready"))],
        Ok((status, _)) => {
            vec![Finding::fail("server", format!("{origin}/readyz answers {status}. See the server's log"))]
        }
        Err(_) => vec![Finding::warn(
            "server",
            format!("nothing answers at {origin}. Start it with: switchboard serve"),
        )],
    }
}

async fn public_url(config: &Config) -> Vec<Finding> {
    let Some(url) = &config.public_url else {
        let text = "not set: claude.ai, ChatGPT and other hosted clients need an https address (SWITCHBOARD_PUBLIC_URL)";
        return vec![Finding::warn("public", text)];
    };
    let origin = url.as_str().trim_end_matches('/');
    let mut findings = vec![loops_back(config, origin).await];
    if url.scheme() != "https" {
        findings.push(Finding::warn("public", format!("{origin} is not https: hosted clients refuse it")));
    }
    findings.push(well_known(config, url).await);
    findings
}

/// Whether the public URL leads to a Switchboard of this version.
async fn loops_back(config: &Config, origin: &str) -> Finding {
    match healthcheck::get(config, &format!("{origin}/version")).await {
        Ok((200, body)) if body.contains("\"switchboard\"") => {
            Finding::ok("public", format!("{origin} leads here"))
        }
        Ok((status, _)) => Finding::fail(
            "public",
            format!("{origin}/version answers {status}, and not as Switchboard. Check the reverse proxy"),
        ),
        Err(error) => Finding::fail("public", format!("{error} Check DNS, certificate and reverse proxy")),
    }
}

/// Clients look for it first (RFC 9728); a proxy that keeps `/.well-known` for itself breaks them.
async fn well_known(config: &Config, url: &Url) -> Finding {
    let origin = url.as_str().trim_end_matches('/');
    let path = "/.well-known/oauth-protected-resource/mcp";
    let answer = healthcheck::get(config, &format!("{origin}{path}")).await;
    let resource = answer.as_ref().ok().and_then(|(_, body)| {
        serde_json::from_str::<serde_json::Value>(body).ok()?["resource"].as_str().map(str::to_owned)
    });
    match (answer, resource) {
        (Ok((200, _)), Some(resource)) if resource == format!("{origin}/mcp") => {
            Finding::ok("metadata", format!("{path} names {resource}"))
        }
        (Ok((200, _)), Some(resource)) => Finding::fail(
            "metadata",
            format!(
                "{path} names {}, not {origin}/mcp. Start the server with --public-url {origin}",
                crate::output::plain(&resource)
            ),
        ),
        (Ok((status, _)), _) => Finding::fail(
            "metadata",
            format!("{path} answers {status}. Let the reverse proxy pass /.well-known"),
        ),
        (Err(error), _) => Finding::fail("metadata", error.to_string()),
    }
}

/// Whether names of the outside resolve. An air-gapped installation lives without.
async fn names(config: &Config) -> Finding {
    let outcome = async {
        let egress = startup::operator_egress(&config.egress).ok()?;
        let url = egress.check_url("https://example.com/").ok()?;
        egress.diagnose(&url).await.into_iter().next()
    };
    match outcome.await {
        Some((_, Ok(_))) => Finding::ok("names", "host names resolve"),
        Some((_, Err(error))) => Finding::warn(
            "names",
            format!("example.com: {error}. Without names only addresses can be connected"),
        ),
        None => Finding::warn("names", "the way out can't be tried with these settings"),
    }
}
