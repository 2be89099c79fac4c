//! Reads search sets from disk.

use std::path::{Path, PathBuf};

use serde::{Deserialize, de::DeserializeOwned};

#[derive(Debug, Clone, Deserialize)]
pub struct Tool {
    pub id: String,
    pub server: String,
    pub name: String,
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default, alias = "inputSchema")]
    pub input_schema: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Query {
    pub query: String,
    pub relevant: Vec<String>,
    /// Each inner list is any-of: finding one of its ids is enough.
    #[serde(default)]
    pub groups: Option<Vec<Vec<String>>>,
    #[serde(default)]
    pub kind: String,
}

#[derive(Debug)]
pub struct Set {
    pub name: String,
    pub tools: Vec<Tool>,
    pub queries: Vec<Query>,
}

/// Every set in `directories`: each is a set itself or a folder of sets. In order of name, so that
/// two runs print the same lines.
pub fn load(directories: &[PathBuf]) -> Result<Vec<Set>, String> {
    let mut folders = Vec::new();
    for directory in directories {
        if directory.join("tools.jsonl").is_file() {
            folders.push(directory.clone());
            continue;
        }
        let entries = std::fs::read_dir(directory)
            .map_err(|error| format!("{} can't be read: {error}", directory.display()))?;
        let before = folders.len();
        folders.extend(
            entries.flatten().map(|entry| entry.path()).filter(|path| path.join("tools.jsonl").is_file()),
        );
        if folders.len() == before {
            return Err(format!(
                "{} holds no search set: a set is a folder with tools.jsonl",
                directory.display()
            ));
        }
        folders[before..].sort();
    }
    folders.iter().map(|folder| load_set(folder)).collect()
}

fn load_set(folder: &Path) -> Result<Set, String> {
    let queries = folder.join("queries.jsonl");
    Ok(Set {
        name: folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned(),
        tools: lines(&folder.join("tools.jsonl"))?,
        queries: if queries.is_file() { lines(&queries)? } else { Vec::new() },
    })
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} can't be read: {error}", path.display()))?;
    text.split('\n')
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line)
                .map_err(|error| format!("{}, line {}: {error}", path.display(), number + 1))
        })
        .collect()
}
