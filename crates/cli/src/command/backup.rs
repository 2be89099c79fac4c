//! `switchboard backup` and `switchboard restore`: a consistent copy of the database while everything goes on.
//!
//! The master key is not in it: who finds a backup must not be able to read the secrets in it. PostgreSQL has better
//! tools of its own.

use std::path::{Path, PathBuf};

use serde_json::json;
use switchboard_storage::{Db, Migrations, Options};

use crate::{
    config::{Config, SettingFlags},
    failure::Failure,
    output, startup, telemetry,
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard backup /backups/switchboard-2026-11-21.db
  switchboard backup ./copy.db --with-keys ./copy.key
  pg_dump --format=custom --file=switchboard.dump DATABASE_URL     (PostgreSQL)")]
pub(crate) struct BackupArguments {
    /// File to write; it must not exist
    file: PathBuf,
    /// Copy the master key too, to this file: keep it apart from the other
    #[arg(long, value_name = "FILE")]
    with_keys: Option<PathBuf>,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard restore /backups/switchboard-2026-11-21.db --dry-run
  switchboard restore /backups/switchboard-2026-11-21.db
  pg_restore --clean --dbname=DATABASE_URL switchboard.dump        (PostgreSQL)")]
pub(crate) struct RestoreArguments {
    /// What `switchboard backup` wrote
    file: PathBuf,
    /// Only check that it is sound, that this release can use it and that the keys fit
    #[arg(long)]
    dry_run: bool,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(crate) fn backup(arguments: &BackupArguments) -> Result<(), Failure> {
    let config = super::load(&arguments.settings)?;
    telemetry::for_command(&config.log)?;
    super::command_runtime()?.block_on(async {
        let db = Db::open(&startup::options(&config), Migrations::Require).await?;
        let done = db.backup(&arguments.file).await;
        db.close().await;
        done?;
        let keys = arguments.with_keys.as_ref().map(|target| copy_keys(&config, target)).transpose()?;
        report(arguments, keys.is_some());
        Ok(())
    })
}

fn report(arguments: &BackupArguments, with_keys: bool) {
    if arguments.json {
        output::print_json(&json!({"file": arguments.file, "keys": arguments.with_keys}));
        return;
    }
    output::print(&format!("database  {}", arguments.file.display()));
    match &arguments.with_keys {
        Some(path) if with_keys => output::print(&format!("keys      {}", path.display())),
        _ => output::remark(
            "The master key is not in it. Keep a copy of secrets/master.key in another place: without it stored sign-ins cannot be read.",
        ),
    }
    output::remark(&format!("Check it with: switchboard restore {} --dry-run", arguments.file.display()));
}

fn copy_keys(config: &Config, target: &Path) -> Result<(), Failure> {
    let place = startup::KeyPlace::of(config);
    let Some(source) = place.file() else {
        return Err(Failure::usage(
            "The master key is in a setting, not in a file: keep a copy of that setting.",
        ));
    };
    let failed = |error: std::io::Error| {
        Failure::failed(format!("The key file can't be copied to {}: {error}.", target.display()))
    };
    let text = std::fs::read(source).map_err(failed)?;
    write_private(target, &text).map_err(failed)
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(crate) fn restore(arguments: &RestoreArguments) -> Result<(), Failure> {
    let config = super::load(&arguments.settings)?;
    telemetry::for_command(&config.log)?;
    if config.database.url.is_some() {
        return Err(Failure::usage(
            "Backups of PostgreSQL are restored with its own tools: pg_restore --clean --dbname=DATABASE_URL switchboard.dump",
        ));
    }
    super::command_runtime()?.block_on(async {
        startup::prepare_if_needed(&config)?;
        let verdict = verify(&config, &arguments.file).await?;
        if !arguments.dry_run {
            put_in_place(&config, &arguments.file)?;
        }
        if arguments.json {
            output::print_json(&json!({"schema": verdict.schema, "organizations": verdict.organizations, "restored": !arguments.dry_run}));
        } else {
            output::print(&format!(
                "sound     schema {}, {} organizations, the keys fit{}",
                verdict.schema,
                verdict.organizations,
                if arguments.dry_run { "; nothing was changed" } else { "" }
            ));
        }
        Ok(())
    })
}

struct Verdict {
    schema: i64,
    organizations: usize,
}

/// Works on a copy: opening a database writes beside it.
async fn verify(config: &Config, file: &Path) -> Result<Verdict, Failure> {
    let copy = config.data_dir.join(".restore-check.db");
    remove_database(&copy);
    let failed =
        |error: std::io::Error| Failure::failed(format!("{} can't be read: {error}.", file.display()));
    std::fs::read(file).and_then(|bytes| write_private(&copy, &bytes)).map_err(failed)?;
    let verdict = inspect(config, &copy).await;
    remove_database(&copy);
    verdict
}

async fn inspect(config: &Config, copy: &Path) -> Result<Verdict, Failure> {
    let db = Db::open(&Options::sqlite(copy), Migrations::Ignore).await?;
    let outcome = look(config, &db).await;
    db.close().await;
    outcome
}

async fn look(config: &Config, db: &Db) -> Result<Verdict, Failure> {
    let faults = db.integrity_check().await?;
    if let Some(first) = faults.first() {
        return Err(Failure::failed(format!(
            "This backup is damaged ({} faults, the first: {first}). Use an older one.",
            faults.len()
        )));
    }
    let schema = db.schema_status().await?;
    if schema.applied == 0 {
        return Err(Failure::failed("This is a database, but not one of Switchboard."));
    }
    let organizations = db.single().await?.organizations().list().await?.len();
    startup::check_keys(db, config).await?;
    Ok(Verdict { schema: schema.applied, organizations })
}

fn put_in_place(config: &Config, file: &Path) -> Result<(), Failure> {
    let _lock = startup::ServeLock::take(&config.data_dir)?;
    let target = config.data_dir.join("switchboard.db");
    if target.exists() {
        return Err(Failure::failed(format!(
            "{} is there already and is not overwritten. Move it away (with its -wal and -shm files), then restore again.",
            target.display()
        )));
    }
    let beside = config.data_dir.join(".restoring.db");
    remove_database(&beside);
    let failed =
        |error: std::io::Error| Failure::failed(format!("{} can't be written: {error}.", target.display()));
    std::fs::read(file).and_then(|bytes| write_private(&beside, &bytes)).map_err(failed)?;
    std::fs::rename(&beside, &target).map_err(failed)
}

fn remove_database(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let _ = std::fs::remove_file(PathBuf::from(name));
    }
}
