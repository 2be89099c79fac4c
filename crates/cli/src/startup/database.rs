//! Opening the database that the settings name.

use std::path::{Path, PathBuf};

use switchboard_domain::{Clock, SystemClock};
use switchboard_storage::{AuditDurability, Db, Location, Migrations, Options, SchemaStatus};

use crate::{config::Config, failure::Failure};

/// An open database with an up-to-date schema.
pub(crate) struct Opened {
    pub(crate) db: Db,
    /// Schema version before opening it.
    pub(crate) schema_before: i64,
    pub(crate) schema: SchemaStatus,
}

pub(crate) fn sqlite_path(data_dir: &Path) -> PathBuf {
    data_dir.join("switchboard.db")
}

pub(crate) fn options(config: &Config) -> Options {
    use switchboard_domain::SecretValue;
    let location = match config.database.url.as_ref().map(SecretValue::expose) {
        Some(url) => Location::Postgres(url.to_owned()),
        None => Location::Sqlite(sqlite_path(&config.data_dir)),
    };
    let mut options = Options::new(location);
    options.audit_durability =
        if config.database.strict_audit { AuditDurability::Strict } else { AuditDurability::Process };
    options.read_connections = config.database.read_connections;
    options.write_connections = config.database.write_connections;
    options.acquire_timeout = config.database.acquire_timeout;
    options.statement_timeout = config.database.statement_timeout;
    options
}

/// Where the data is, without a password.
pub(crate) fn location_for_people(config: &Config) -> String {
    use switchboard_domain::SecretValue;
    let Some(url) = config.database.url.as_ref().map(SecretValue::expose) else {
        return format!("sqlite {}", sqlite_path(&config.data_dir).display());
    };
    match url::Url::parse(url) {
        Ok(url) => {
            let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
            format!("postgresql {}{port}{}", url.host_str().unwrap_or("local socket"), url.path())
        }
        Err(_) => "postgresql".into(),
    }
}

/// Opens it and applies migrations, unless the operator keeps them apart.
pub(crate) async fn open(config: &Config) -> Result<Opened, Failure> {
    let options = options(config);
    let db = Db::open(&options, Migrations::Ignore).await?;
    let outcome = bring_up_to_date(&db, config).await;
    match outcome {
        Ok((schema_before, schema)) => Ok(Opened { db, schema_before, schema }),
        Err(error) => {
            db.close().await;
            Err(error)
        }
    }
}

/// Refuses where nobody ever started Switchboard: most likely the directory is another one.
pub(crate) async fn require_data(config: &Config) -> Result<(), Failure> {
    if config.database.url.is_none() && !sqlite_path(&config.data_dir).exists() {
        let directory = config.data_dir.display();
        return Err(Failure::failed(format!(
            "There is no Switchboard data in {directory}. Give the server's data directory with --data-dir \
             (SWITCHBOARD_DATA_DIR), or make a first owner: switchboard admin create-owner --data-dir {directory} \
             --email E --password-file F"
        )));
    }
    let db = Db::open(&options(config), Migrations::Ignore).await?;
    let status = db.schema_status().await;
    db.close().await;
    if status?.applied > 0 {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "There is no Switchboard data in {}. Check --database-url and --data-dir, or make a first owner: switchboard \
         admin create-owner --email E --password-file F",
        location_for_people(config)
    )))
}

async fn bring_up_to_date(db: &Db, config: &Config) -> Result<(i64, SchemaStatus), Failure> {
    let before = db.schema_status().await?.applied;
    if config.database.migrate {
        let schema = db.migrate(env!("CARGO_PKG_VERSION"), SystemClock.now()).await?;
        return Ok((before, schema));
    }
    db.require_current_schema().await?;
    Ok((before, db.schema_status().await?))
}
