//! Metadata that a modern request carries in `params._meta` (2026-07-28, basic/versioning).

use serde_json::value::RawValue;

use crate::{ProtocolError, RawObject};

const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
/// The extension in which calls go on as tasks (SEP-2663).
pub const TASKS: &str = "io.modelcontextprotocol/tasks";
const CLIENT_KEY: &str = "io.modelcontextprotocol/clientInfo";

/// What a modern client says about itself, for this one request.
#[derive(Debug, Clone, Default)]
pub struct RequestMeta {
    pub protocol_version: String,
    pub client_name: Option<String>,
    pub client_version: Option<String>,
}

#[derive(serde::Deserialize)]
struct ClientInfo {
    name: Option<String>,
    version: Option<String>,
}

/// `params._meta` as an object, when there is one.
fn meta_object<'a>(params: Option<&'a RawValue>) -> Result<Option<RawObject<'a>>, ProtocolError> {
    let Some(params) = params else { return Ok(None) };
    let params = RawObject::parse(params)
        .map_err(|error| ProtocolError::invalid_params(format!("`params` can't be read: {error}")))?;
    match params.get("_meta") {
        None => Ok(None),
        Some(raw) => RawObject::parse(raw)
            .map(Some)
            .map_err(|_| ProtocolError::invalid_params("`_meta` must be an object")),
    }
}

/// Whether the body announces the modern generation, whatever the headers say.
pub fn uses_modern_meta(params: Option<&RawValue>) -> bool {
    matches!(meta_object(params), Ok(Some(meta)) if meta.contains(VERSION_KEY))
}

/// Whether the client can send its person to an address (elicitation in URL mode), as it says with this request.
pub fn offers_url_elicitation(params: Option<&RawValue>) -> bool {
    let Ok(Some(meta)) = meta_object(params) else { return false };
    let inner = |object: &RawObject<'_>, name: &str| {
        object.get(name).and_then(|raw| RawObject::parse(raw).ok()).map(|found| found.contains("url"))
    };
    let capabilities = meta.get(CAPABILITIES_KEY).and_then(|raw| RawObject::parse(raw).ok());
    capabilities.and_then(|capabilities| inner(&capabilities, "elicitation")).unwrap_or(false)
}

/// Whether the client knows tasks, as it says with this request.
pub fn knows_tasks(params: Option<&RawValue>) -> bool {
    let Ok(Some(meta)) = meta_object(params) else { return false };
    let within = |object: &RawObject<'_>, name: &str| object.get(name).map(RawValue::to_owned);
    let capabilities = within(&meta, CAPABILITIES_KEY);
    let extensions = capabilities.and_then(|raw| within(&RawObject::parse(&raw).ok()?, "extensions"));
    extensions.is_some_and(|raw| RawObject::parse(&raw).is_ok_and(|all| all.contains(TASKS)))
}

/// Reads and checks the metadata that every modern request must carry.
pub fn read_meta(params: Option<&RawValue>) -> Result<RequestMeta, ProtocolError> {
    let meta = meta_object(params)?.ok_or_else(|| {
        ProtocolError::invalid_params(format!(
            "`_meta` with `{VERSION_KEY}` and `{CAPABILITIES_KEY}` is required"
        ))
    })?;
    let protocol_version = meta
        .read::<String>(VERSION_KEY)
        .ok_or_else(|| ProtocolError::invalid_params(format!("`_meta` lacks a text `{VERSION_KEY}`")))?;
    if !meta.get(CAPABILITIES_KEY).is_some_and(|raw| raw.get().starts_with('{')) {
        return Err(ProtocolError::invalid_params(format!("`_meta` lacks an object `{CAPABILITIES_KEY}`")));
    }
    let client: Option<ClientInfo> = meta.read(CLIENT_KEY);
    let (client_name, client_version) = client.map_or((None, None), |client| (client.name, client.version));
    Ok(RequestMeta { protocol_version, client_name, client_version })
}
