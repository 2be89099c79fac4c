//! Puts tools of sets into an index, a connection for each server, and finds them again.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};
use switchboard_catalog::{
    ConnectionLabel, ConnectionSet, Definition, DefinitionLimits, Index,
    search::{Ranking, SearchQuery},
};
use switchboard_domain::ConnectionId;

use super::sets::Tool;

#[derive(Debug)]
pub struct Corpus {
    pub index: Index,
    pub everything: ConnectionSet,
    pub tools: usize,
    /// Ids of what is called `(connection, name)`: some sets have several tools of one name.
    ids: HashMap<(ConnectionId, String), Vec<String>>,
}

pub fn connection_id(number: usize) -> ConnectionId {
    // Any distinct ids will do; version and variant bits play no part in the index.
    ConnectionId::from_uuid(uuid::Uuid::from_u128(number as u128 + 1))
}

/// A slug from any text: what the index calls the connection.
pub fn slug(text: &str) -> String {
    let kept = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    let slug: String = kept.collect();
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "x".to_owned() } else { slug.chars().take(63).collect() }
}

pub fn definition(tool: &Tool, name: &str) -> Result<Definition, String> {
    let mut object = Map::new();
    object.insert("name".into(), json!(name));
    for (member, text) in [("title", &tool.title), ("description", &tool.description)] {
        if let Some(text) = text {
            object.insert(member.into(), json!(text));
        }
    }
    object
        .insert("inputSchema".into(), tool.input_schema.clone().unwrap_or_else(|| json!({"type": "object"})));
    // Size limits are an upstream's concern; a set is measured whole.
    let limits = DefinitionLimits {
        tool_bytes: usize::MAX,
        description_bytes: usize::MAX,
        schema_depth: 100,
        subschemas: usize::MAX,
    };
    Definition::parse(&Value::Object(object).to_string(), None, &limits).map_err(|error| error.to_string())
}

impl Corpus {
    /// Fails on a tool that can't be indexed: figures over fewer tools would not be comparable.
    pub fn new<'a>(tools: impl IntoIterator<Item = &'a Tool>, ranking: Ranking) -> Result<Self, String> {
        let mut servers: BTreeMap<&str, Vec<&Tool>> = BTreeMap::new();
        for tool in tools {
            servers.entry(&tool.server).or_default().push(tool);
        }
        let index = Index::with_ranking(ranking);
        let mut ids: HashMap<(ConnectionId, String), Vec<String>> = HashMap::new();
        let mut count = 0;
        for (number, (server, tools)) in servers.iter().enumerate() {
            let connection = connection_id(number);
            let mut definitions = Vec::with_capacity(tools.len());
            for tool in tools {
                let mut name = tool.name.clone();
                // Two tools of one name in one server stay two: the later one gets invisible white space.
                while ids.contains_key(&(connection, name.clone())) {
                    name.push(' ');
                }
                definitions.push(definition(tool, &name).map_err(|error| format!("{}: {error}", tool.id))?);
                ids.entry((connection, name)).or_default().push(tool.id.clone());
            }
            count += definitions.len();
            index
                .replace(ConnectionLabel { id: connection, slug: &slug(server), name: server }, &definitions);
        }
        let everything = (0..servers.len()).map(connection_id).collect();
        Ok(Self { index, everything, tools: count, ids })
    }

    /// Ids of the first `limit` matches.
    pub fn answer(&self, text: &str, limit: usize) -> Vec<&str> {
        let query = SearchQuery { text, connection: None, allowed: &self.everything, limit, offset: 0 };
        let outcome = self.index.search(&query, None);
        outcome
            .hits
            .iter()
            .filter_map(|hit| {
                let entry = hit.entry();
                self.ids.get(&(entry.connection(), entry.name().to_owned()))
            })
            .flatten()
            .map(String::as_str)
            .collect()
    }
}
