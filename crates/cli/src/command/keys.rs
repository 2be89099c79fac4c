//! `switchboard keys list|rotate|verify`.

use serde_json::json;
use switchboard_vault::key_file;

use crate::{
    config::{Config, SettingFlags},
    failure::Failure,
    operator::Operator,
    output::{self, table},
    startup::{KeyPlace, open_keys},
    telemetry,
};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples
  switchboard keys list
  switchboard keys rotate               a new master key; running servers go on
  switchboard keys rotate --data-keys   new data keys, every credential sealed anew")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Machine-readable output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Master keys, and how many data keys each wraps
    List {
        #[command(flatten)]
        options: Options,
    },
    /// Replace the master key, or the data keys; goes on where an earlier run stopped
    Rotate {
        /// New data keys, with every credential sealed anew, instead of a new master key
        #[arg(long)]
        data_keys: bool,
        /// Keep the old master key in the key file: for replicas that read a copy of it
        #[arg(long, conflicts_with = "data_keys")]
        keep_old: bool,
        /// Take old master keys away and do nothing else
        #[arg(long, conflicts_with_all = ["data_keys", "keep_old"])]
        finish: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Open every data key and every credential
    Verify {
        #[command(flatten)]
        options: Options,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let options = match &arguments.command {
        Command::List { options } | Command::Rotate { options, .. } | Command::Verify { options } => options,
    };
    let config = super::load(&options.settings)?;
    telemetry::for_command(&config.log)?;
    super::command_runtime()?.block_on(async {
        let mut operator = Operator::open_existing(&config).await?;
        let outcome = match &arguments.command {
            Command::List { options } => list(&operator, options).await,
            Command::Verify { options } => verify(&operator, options).await,
            Command::Rotate { data_keys: true, dry_run, options, .. } => {
                data_keys(&operator, *dry_run, options).await
            }
            Command::Rotate { keep_old, finish, dry_run, options, .. } => {
                let plan = Plan { keep_old: *keep_old, finish: *finish, dry_run: *dry_run };
                master_key(&mut operator, &config, plan, options).await
            }
        };
        operator.db.close().await;
        outcome
    })
}

async fn list(operator: &Operator, options: &Options) -> Result<(), Failure> {
    let keys = operator.keys_in_use().await?;
    if options.json {
        let keys: Vec<_> = keys.iter().map(|key| json!({
            "id": key.id, "primary": key.is_primary, "available": key.is_here, "recorded": key.is_recorded, "data_keys": key.data_keys,
        })).collect();
        output::print_json(&json!({ "items": keys }));
        return Ok(());
    }
    let word = |is: bool, word: &str| if is { word.to_owned() } else { String::new() };
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let state = if key.is_primary { "primary" } else { "older" };
            let missing = word(!key.is_here, "MISSING");
            vec![key.id.to_string(), state.to_owned(), key.data_keys.to_string(), missing]
        })
        .collect();
    output::print(&table(&["KEY", "STATE", "DATA KEYS", ""], &rows));
    Ok(())
}

async fn verify(operator: &Operator, options: &Options) -> Result<(), Failure> {
    let (checked, faults) = operator.verify_keys().await?;
    if options.json {
        output::print_json(&json!({"checked": checked, "faults": faults, "ok": faults.is_empty()}));
    } else {
        faults.iter().for_each(|fault| output::print(&format!("fail  {fault}")));
        output::print(&format!("{checked} checked, {} do not open", faults.len()));
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::Reported) }
}

async fn data_keys(operator: &Operator, dry_run: bool, options: &Options) -> Result<(), Failure> {
    let (keys, resealed) = if dry_run {
        (
            operator.db.single().await?.organizations().list().await?.len() as u64,
            operator.count_sealed().await?,
        )
    } else {
        let rotated = operator.rotate_data_keys().await?;
        (rotated.new_data_keys, rotated.resealed)
    };
    if options.json {
        output::print_json(&json!({"dry_run": dry_run, "new_data_keys": keys, "resealed": resealed}));
    } else {
        let would = if dry_run { "would make" } else { "made" };
        output::print(&format!(
            "{would} {keys} data keys and seal {resealed} secrets anew; older data keys stay, wrapped, because the audit log is verified with them"
        ));
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Plan {
    keep_old: bool,
    finish: bool,
    dry_run: bool,
}

async fn master_key(
    operator: &mut Operator,
    config: &Config,
    plan: Plan,
    options: &Options,
) -> Result<(), Failure> {
    let place = KeyPlace::of(config);
    let unfinished = operator.keyring.ids().count() > 1;
    if place.file().is_none() && !unfinished {
        return Err(Failure::usage(
            "The master key is in a setting, which this command can't change. Put a new key on the first line of it, above \
             the old one (`openssl rand -base64 32` makes one), restart every server, and run this again.",
        ));
    }
    if plan.finish && !unfinished {
        output::remark("There is no older master key to take away.");
        return Ok(());
    }
    if plan.dry_run {
        return foresee(operator, unfinished, options).await;
    }
    if let Some(path) = place.file().filter(|_| !unfinished) {
        key_file::add_primary(path, &*operator.random)?;
        // Recorded in the database before anything is wrapped with it.
        let keys = open_keys(&operator.db, config, &*operator.random).await?;
        operator.with_keyring(keys.keyring);
    }
    let rewrapped = operator.rewrap_all().await?;
    let mut removed = Vec::new();
    if !plan.keep_old {
        removed = operator.forget_unused().await?;
        if let Some(path) = place.file() {
            for &id in removed.iter().filter(|&&id| operator.keyring.contains(id)) {
                key_file::remove(path, id)?;
            }
        }
    }
    let primary = operator.keyring.primary();
    if options.json {
        output::print_json(&json!({"primary": primary, "rewrapped": rewrapped, "removed": removed}));
        return Ok(());
    }
    output::print(&format!("primary    {primary}\nrewrapped  {rewrapped} data keys"));
    removed.iter().for_each(|id| output::print(&format!("removed    {id}")));
    match place.file() {
        Some(path) => output::remark(&format!(
            "Back up {} again. Backups of the database from before need the old key: keep it with them.",
            path.display()
        )),
        None => output::remark(
            "The older keys in the setting are no longer needed; backups from before need them.",
        ),
    }
    Ok(())
}

async fn foresee(operator: &Operator, unfinished: bool, options: &Options) -> Result<(), Failure> {
    let keys = operator.keys_in_use().await?;
    let all: u64 = keys.iter().map(|key| key.data_keys).sum();
    let to_do = if unfinished {
        keys.iter().filter(|key| !key.is_primary).map(|key| key.data_keys).sum()
    } else {
        all
    };
    if options.json {
        output::print_json(&json!({"dry_run": true, "new_master_key": !unfinished, "rewrap": to_do}));
    } else {
        let first = if unfinished { "would go on with the rotation" } else { "would make a new master key" };
        output::print(&format!("{first} and wrap {to_do} data keys anew"));
    }
    Ok(())
}
