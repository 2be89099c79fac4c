//! What a client says about its own session, by header or `_meta`: it can only narrow what it sees; and how long it is
//! willing to wait for a person.

use std::time::Duration;

use axum::http::HeaderMap;
use serde_json::value::RawValue;
use switchboard_broker::Narrowing;
use switchboard_mcp::{ProtocolError, RawObject};

/// Most connections that one selection may name.
const MAX_SELECTED: usize = 500;

/// Reads `Switchboard-Mode` and `Switchboard-Connections`, or their `_meta` forms. Both may be given: both narrow.
pub(super) fn read(headers: &HeaderMap, params: Option<&RawValue>) -> Result<Narrowing, ProtocolError> {
    let mut narrowing = Narrowing::default();
    for value in headers.get_all("switchboard-mode") {
        mode(&mut narrowing, value.to_str().unwrap_or(""))?;
    }
    for value in headers.get_all("switchboard-connections") {
        let value = value.to_str().map_err(|_| refuse("`Switchboard-Connections` is not text"))?;
        select(&mut narrowing, value.split(','))?;
    }
    let meta = params
        .and_then(|params| RawObject::parse(params).ok())
        .and_then(|params| params.get("_meta"))
        .and_then(|meta| RawObject::parse(meta).ok());
    if let Some(meta) = meta {
        if let Some(raw) = meta.get("switchboard/mode") {
            let text: String =
                serde_json::from_str(raw.get()).map_err(|_| refuse("`switchboard/mode` is not a text"))?;
            mode(&mut narrowing, &text)?;
        }
        if let Some(raw) = meta.get("switchboard/connections") {
            let list: Vec<String> = match serde_json::from_str::<String>(raw.get()) {
                Ok(text) => text.split(',').map(str::to_owned).collect(),
                Err(_) => serde_json::from_str(raw.get())
                    .map_err(|_| refuse("`switchboard/connections` is neither a text nor a list of texts"))?,
            };
            select(&mut narrowing, list.iter().map(String::as_str))?;
        }
    }
    Ok(narrowing)
}

/// Reads `Switchboard-Wait`, or its `_meta` form: seconds.
pub(super) fn patience(
    headers: &HeaderMap,
    params: Option<&RawValue>,
) -> Result<Option<Duration>, ProtocolError> {
    let wrong = || refuse("`Switchboard-Wait` is not a number of seconds");
    let of_meta = params
        .and_then(|params| RawObject::parse(params).ok())
        .and_then(|params| params.get("_meta"))
        .and_then(|meta| RawObject::parse(meta).ok())
        .and_then(|meta| meta.get("switchboard/wait"));
    let text = match (of_meta, headers.get("switchboard-wait")) {
        (Some(raw), _) => raw.get(),
        (None, Some(header)) => header.to_str().map_err(|_| wrong())?.trim(),
        (None, None) => return Ok(None),
    };
    let seconds: u32 = text.parse().map_err(|_| wrong())?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds.into())))
}

fn refuse(message: &str) -> ProtocolError {
    ProtocolError::invalid_params(message)
}

fn mode(narrowing: &mut Narrowing, word: &str) -> Result<(), ProtocolError> {
    match word.trim() {
        "plan" => {
            narrowing.plan = true;
            Ok(())
        }
        "" | "normal" => Ok(()),
        // An unknown mode may mean something stricter: refuse rather than ignore it.
        _ => Err(refuse("unknown `Switchboard-Mode`: the one mode there is is `plan`")),
    }
}

fn select<'a>(narrowing: &mut Narrowing, names: impl Iterator<Item = &'a str>) -> Result<(), ProtocolError> {
    let named: Vec<String> =
        names.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if named.len() > MAX_SELECTED {
        return Err(refuse("`Switchboard-Connections` names more than 500 connections"));
    }
    narrowing.selection = Some(match narrowing.selection.take() {
        Some(before) => before.into_iter().filter(|name| named.contains(name)).collect(),
        None => named,
    });
    Ok(())
}
