//! Where inputs come from: the vectors, whole and in parts.

use std::{fs, path::Path};

use serde_json::Value;

/// The lines of a file of vectors.
pub(crate) fn lines(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/security").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// What stands in each line under any of these names, texts as they are and everything else as JSON.
pub(crate) fn members(file: &str, names: &[&str]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for line in lines(file) {
        let vector: Value = serde_json::from_str(&line).expect("a vector");
        collect(&vector, names, &mut found);
    }
    found
}

fn collect(value: &Value, names: &[&str], found: &mut Vec<Vec<u8>>) {
    let Value::Object(members) = value else { return };
    for (name, member) in members {
        match member {
            Value::String(text) if names.contains(&&**name) => found.push(text.clone().into_bytes()),
            Value::Null => {}
            other if names.contains(&&**name) => found.push(other.to_string().into_bytes()),
            other => collect(other, names, found),
        }
    }
}
