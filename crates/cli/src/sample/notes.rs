//! Notes in memory.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::Answer;

/// More than anybody tries out; a loop must not fill the memory.
const MAX_NOTES: usize = 1_000;

#[derive(Debug)]
struct Kept {
    next_id: u64,
    notes: Vec<(u64, String)>,
}

#[derive(Debug)]
pub(super) struct Notes(Mutex<Kept>);

impl Default for Notes {
    fn default() -> Self {
        Self(Mutex::new(Kept { next_id: 1, notes: Vec::new() }))
    }
}

impl Notes {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, arguments: &Value) -> Answer {
        let text = arguments["text"].as_str().unwrap_or_default();
        let mut kept = self.kept();
        if kept.notes.len() >= MAX_NOTES {
            return Answer::Failed(format!("There are {MAX_NOTES} notes already: delete one first."));
        }
        let id = kept.next_id;
        kept.next_id += 1;
        kept.notes.push((id, text.to_owned()));
        Answer::Structured(json!({"id": id, "text": text}))
    }

    pub(super) fn list(&self) -> Answer {
        shown(self.kept().notes.iter())
    }

    pub(super) fn search(&self, arguments: &Value) -> Answer {
        let query = arguments["query"].as_str().unwrap_or_default().to_lowercase();
        shown(self.kept().notes.iter().filter(|(_, text)| text.to_lowercase().contains(&query)))
    }

    pub(super) fn delete(&self, arguments: &Value) -> Answer {
        let id = arguments["id"].as_u64().unwrap_or_default();
        let mut kept = self.kept();
        let before = kept.notes.len();
        kept.notes.retain(|(known, _)| *known != id);
        if kept.notes.len() == before {
            return Answer::Failed(format!("There is no note {id}. list_notes shows the ids."));
        }
        Answer::Structured(json!({"deleted": id}))
    }
}

fn shown<'a>(notes: impl Iterator<Item = &'a (u64, String)>) -> Answer {
    let notes: Vec<_> = notes.map(|(id, text)| json!({"id": id, "text": text})).collect();
    Answer::Structured(json!({ "notes": notes }))
}
