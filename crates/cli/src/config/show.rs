//! `config show`: the effective values and where each came from. Secrets are shown as set or not.

use serde_json::{Value, json};

use super::{error::Origin, file::Raw, setting::Setting, settings::Settings, table::SETTINGS};

fn shown(setting: &Setting, settings: &Settings) -> String {
    match settings.found(setting.key).map(|found| &found.raw) {
        Some(_) if setting.is_secret() => "(secret)".into(),
        Some(Raw::List(items)) => items.join(", "),
        Some(Raw::Text(text)) => text.clone(),
        None => setting.default.into(),
    }
}

/// One line per setting: key, value, origin.
pub(crate) fn as_table(settings: &Settings) -> String {
    let rows: Vec<_> = SETTINGS
        .iter()
        .map(|setting| (setting.key, shown(setting, settings), settings.origin(setting.key)))
        .collect();
    let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0).min(48);
    let keys = width(&mut rows.iter().map(|(key, ..)| key.len()));
    let values = width(&mut rows.iter().map(|(_, value, _)| value.chars().count()));
    let mut text = match &settings.file {
        Some(path) => format!("# file: {}\n", path.display()),
        None => "# file: none\n".into(),
    };
    for (key, value, origin) in rows {
        text.push_str(format!("{key:keys$}  {value:values$}  {origin}").trim_end());
        text.push('\n');
    }
    for entry in &settings.stdio {
        text.push_str(&format!("[[stdio]] {} = {} {}\n", entry.slug, entry.command, entry.args.join(" ")));
    }
    for entry in &settings.oauth_clients {
        text.push_str(&format!(
            "[[oauth_clients]] {} = {} at {} for {}\n",
            entry.name,
            entry.client_id,
            entry.issuer,
            entry.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        ));
    }
    text
}

pub(crate) fn as_json(settings: &Settings) -> Value {
    let rows = SETTINGS.iter().map(|setting| {
        let origin = settings.origin(setting.key);
        json!({
            "key": setting.key,
            "value": shown(setting, settings),
            "origin": origin.to_string(),
            "is_default": origin == Origin::Default,
            "secret": setting.is_secret(),
        })
    });
    json!({
        "file": settings.file,
        "settings": rows.collect::<Vec<_>>(),
        "oauth_clients": settings.oauth_clients.iter().map(|entry| json!({"name": entry.name, "issuer": entry.issuer, "hosts": entry.hosts, "client_id": entry.client_id, "has_secret": entry.client_secret.is_some()})).collect::<Vec<_>>(),
        "stdio": settings.stdio.iter().map(|entry| json!({"slug": entry.slug, "command": entry.command, "args": entry.args})).collect::<Vec<_>>(),
    })
}
