//! The document and the table of routes say the same.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;
use switchboard_server::{openapi_json, route_facts};
use switchboard_testkit::on_both;

use super::rest::{Expect as _, Rest, app};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");

/// `UPDATE=1` writes the file anew.
#[test]
fn the_reference_is_up_to_date() {
    let made = serde_json::to_string_pretty(openapi_json()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(Path::new(FILE).parent().unwrap()).unwrap();
        std::fs::write(FILE, &made).unwrap();
    }
    let kept = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(made == kept, "docs/reference/openapi.json is out of date: run this test with UPDATE=1");
}

#[test]
fn every_route_is_documented_and_every_documented_route_is_there() {
    let document = openapi_json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let documented: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let there: BTreeSet<(String, String)> = route_facts()
        .iter()
        .map(|route| (route.method.to_string(), format!("/api/v1{}", route.path)))
        .collect();
    assert_eq!(documented, there);
}

#[test]
fn every_operation_says_what_it_does_and_every_reference_leads_somewhere() {
    let document = openapi_json();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{name}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{name}");
            for status in ["401", "404"] {
                assert!(operation["responses"].get(status).is_some(), "{name} {status}");
            }
        }
    }
    let mut references = Vec::new();
    collect_references(document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let found = document.pointer(reference.trim_start_matches('#'));
        assert!(found.is_some(), "{reference}");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                match (name.as_str(), inner) {
                    ("$ref", Value::String(reference)) => found.push(reference.clone()),
                    _ => collect_references(inner, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

on_both! {
    async fn the_document_is_served(database) {
        let app = app(&database).await;
        let anybody = Rest::with_token(&app, None);
        assert_eq!(anybody.get("/openapi.json").await.ok(200), *openapi_json());
        app.stop().await;
    }
}
