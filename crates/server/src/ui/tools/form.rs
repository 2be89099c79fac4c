//! A form made of a tool's input schema, and the arguments made of the form. Strings, numbers, yes or no, choices and
//! lists of those have fields of their own; whatever else a schema can say (JSON Schema 2020-12) is written as JSON.

use serde_json::{Map, Value};
use switchboard_catalog::{displayed, revealed};

use crate::browser::Fields;

/// More members than this are clearer as one JSON text.
const MOST_FIELDS: usize = 60;
/// A choice with more is typed.
const MOST_CHOICES: usize = 200;
const NAME_CHARS: usize = 200;

/// What one field takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    /// JSON texts of the values, and how they are shown.
    Choice(Vec<(String, String)>),
    /// One on each line; whether a line is a text or JSON.
    List {
        of_text: bool,
    },
    Json,
}

impl Kind {
    pub(super) const fn words(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "whole number",
            Self::Number => "number",
            Self::Boolean => "yes or no",
            Self::Choice(_) => "one of a list",
            Self::List { .. } => "list, one on each line",
            Self::Json => "JSON",
        }
    }

    pub(super) const fn is_long(&self) -> bool {
        matches!(self, Self::List { .. } | Self::Json)
    }

    pub(super) const fn input_mode(&self) -> &'static str {
        match self {
            Self::Integer => "numeric",
            Self::Number => "decimal",
            _ => "text",
        }
    }

    pub(super) fn choices(&self) -> Vec<(String, String)> {
        match self {
            Self::Boolean => vec![("true".into(), "Yes".into()), ("false".into(), "No".into())],
            Self::Choice(values) => values.clone(),
            _ => Vec::new(),
        }
    }
}

/// One member of the arguments.
#[derive(Debug)]
pub(super) struct Field {
    /// Its name in the form: by place, because the schema's own names are untrusted texts of any length.
    pub(super) key: String,
    pub(super) name: String,
    pub(super) shown: String,
    pub(super) kind: Kind,
    pub(super) is_required: bool,
    pub(super) description: String,
    pub(super) default: Option<String>,
    /// As typed.
    pub(super) value: String,
    pub(super) problem: Option<String>,
}

/// The fields of a schema; `None` where one JSON text is the clearer form.
pub(super) fn fields(schema: Option<&Value>) -> Option<Vec<Field>> {
    let empty = Map::new();
    let schema = schema?;
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let combined = ["$ref", "oneOf", "anyOf", "allOf"].iter().any(|word| schema.get(word).is_some());
    if properties.len() > MOST_FIELDS || combined && properties.is_empty() {
        return None;
    }
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let field = |(place, (name, schema)): (usize, (&String, &Value))| Field {
        key: format!("field-{place}"),
        shown: displayed(name, NAME_CHARS),
        kind: kind_of(schema),
        is_required: required.contains(&name.as_str()),
        description: revealed(schema.get("description").and_then(Value::as_str).unwrap_or_default()),
        default: schema.get("default").map(|default| displayed(&default.to_string(), NAME_CHARS)),
        value: String::new(),
        problem: None,
        name: name.clone(),
    };
    let mut fields: Vec<Field> = properties.iter().enumerate().map(field).collect();
    // What has to be given comes first.
    fields.sort_by_key(|field| !field.is_required);
    Some(fields)
}

/// A schema that also allows `null` is read as the other one: what is left empty is not sent.
fn besides_null(schema: &Value) -> Option<&Value> {
    let alternatives = ["anyOf", "oneOf"].iter().find_map(|word| schema.get(word)?.as_array())?;
    let is_null = |it: &&Value| it.get("type").and_then(Value::as_str) == Some("null");
    let mut others = alternatives.iter().filter(|it| !is_null(it));
    others.next().filter(|_| others.next().is_none())
}

fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(word) => Some(word),
        Value::Array(words) => {
            let mut others = words.iter().filter_map(Value::as_str).filter(|word| *word != "null");
            others.next().filter(|_| others.next().is_none())
        }
        _ => None,
    }
}

fn kind_of(schema: &Value) -> Kind {
    if let Some(choices) = choices(schema) {
        return Kind::Choice(choices);
    }
    match type_of(schema) {
        Some("string") => Kind::Text,
        Some("integer") => Kind::Integer,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Boolean,
        Some("array") => match schema.get("items").and_then(type_of) {
            Some("string") => Kind::List { of_text: true },
            Some("integer" | "number" | "boolean") => Kind::List { of_text: false },
            _ => Kind::Json,
        },
        Some(_) => Kind::Json,
        None => besides_null(schema).map_or(Kind::Json, kind_of),
    }
}

fn choices(schema: &Value) -> Option<Vec<(String, String)>> {
    let constant = schema.get("const").map(std::slice::from_ref);
    let values = schema.get("enum").and_then(Value::as_array).map(Vec::as_slice).or(constant)?;
    let scalar = values.iter().all(|it| !it.is_object() && !it.is_array());
    let shown = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (value.to_string(), displayed(&text, NAME_CHARS))
    };
    (scalar && values.len() <= MOST_CHOICES).then(|| values.iter().map(shown).collect())
}

/// Keeps what was typed.
pub(super) fn fill(fields: &mut [Field], sent: &Fields) {
    for field in fields {
        field.value = sent.get(&field.key).unwrap_or_default().to_owned();
    }
}

/// The arguments as one JSON text; `None` when a field can't be taken, which then says why.
pub(super) fn arguments(fields: &mut [Field]) -> Option<String> {
    let mut members = Vec::new();
    let mut is_whole = true;
    for field in fields {
        match value_of(field) {
            Ok(None) => {}
            Ok(Some(json)) => members.push(format!("{}:{json}", Value::from(field.name.as_str()))),
            Err(problem) => {
                field.problem = Some(problem);
                is_whole = false;
            }
        }
    }
    is_whole.then(|| format!("{{{}}}", members.join(",")))
}

fn value_of(field: &Field) -> Result<Option<String>, String> {
    let typed = &field.value;
    if typed.trim().is_empty() && !(field.is_required && field.kind == Kind::Text) {
        return if field.is_required { Err("This is needed.".into()) } else { Ok(None) };
    }
    let number = |text: &str| {
        let read = serde_json::from_str::<Value>(text.trim()).ok().filter(Value::is_number);
        read.map(|_| text.trim().to_owned())
            .ok_or_else(|| format!("“{text}” is not a number. Write it as 3 or 2.5."))
    };
    let json = match &field.kind {
        // A browser sends line breaks of a text as CR LF.
        Kind::Text => Value::from(typed.replace("\r\n", "\n")).to_string(),
        Kind::Number => number(typed)?,
        Kind::Integer => {
            let text = number(typed)?;
            let is_whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            if is_whole { text } else { return Err(format!("“{text}” is not a whole number.")) }
        }
        Kind::Boolean | Kind::Choice(_) => {
            let known = field.kind.choices().into_iter().any(|(value, _)| value == *typed);
            if known { typed.clone() } else { return Err("Choose one of the list.".into()) }
        }
        Kind::List { of_text } => {
            let lines = typed.lines().map(str::trim).filter(|line| !line.is_empty());
            let items: Result<Vec<String>, String> = lines
                .map(|line| match (of_text, serde_json::from_str::<Value>(line)) {
                    (true, _) => Ok(Value::from(line).to_string()),
                    (false, Ok(value)) if !value.is_object() && !value.is_array() => Ok(line.to_owned()),
                    (false, _) => Err(format!("“{line}” is neither a number nor true or false.")),
                })
                .collect();
            format!("[{}]", items?.join(","))
        }
        Kind::Json => {
            serde_json::from_str::<serde::de::IgnoredAny>(typed)
                .map_err(|error| format!("This is not JSON: {error}."))?;
            typed.clone()
        }
    };
    Ok(Some(json))
}

/// Arguments to begin with: what has to be given, with values of the right kind and nothing in them.
pub(super) fn skeleton(fields: Option<&[Field]>) -> String {
    let needed = fields.into_iter().flatten().filter(|field| field.is_required);
    let member = |field: &Field| {
        let value = match &field.kind {
            Kind::Text => Value::from("…"),
            Kind::Integer | Kind::Number => Value::from(0),
            Kind::Boolean => Value::from(false),
            Kind::Choice(values) => {
                values.first().and_then(|(json, _)| serde_json::from_str(json).ok()).unwrap_or_default()
            }
            Kind::List { .. } => Value::Array(Vec::new()),
            Kind::Json => Value::Object(Map::new()),
        };
        (field.name.clone(), value)
    };
    let members: Map<String, Value> = needed.map(member).collect();
    serde_json::to_string_pretty(&members).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made(schema: &Value, typed: &[(&str, &str)]) -> Result<Value, Vec<(String, String)>> {
        let mut fields = fields(Some(schema)).unwrap();
        for field in &mut fields {
            let given = typed.iter().find(|(name, _)| *name == field.name);
            field.value = given.map_or_else(String::new, |(_, value)| (*value).to_owned());
        }
        match arguments(&mut fields) {
            Some(json) => Ok(serde_json::from_str(&json).unwrap()),
            None => Err(fields.into_iter().filter_map(|it| Some((it.name, it.problem?))).collect()),
        }
    }

    #[test]
    fn what_is_typed_becomes_what_the_schema_says() {
        let schema = json!({
            "type": "object",
            "required": ["title", "count"],
            "properties": {
                "title": { "type": "string" },
                "count": { "type": "integer" },
                "ratio": { "type": ["number", "null"] },
                "draft": { "type": "boolean" },
                "level": { "enum": ["low", "high", 3] },
                "labels": { "type": "array", "items": { "type": "string" } },
                "sizes": { "type": "array", "items": { "type": "number" } },
                "owner": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
                "filter": { "type": "object" },
            }
        });
        let typed = [
            ("title", "a \"b\""),
            ("count", "12345678901234567890"),
            ("ratio", "0.10"),
            ("draft", "false"),
            ("level", "3"),
            ("labels", "one\r\n\r\ntwo "),
            ("sizes", "1\n2.5"),
            ("owner", "ana"),
            ("filter", "{\"a\":[1]}"),
        ];
        let arguments = made(&schema, &typed).unwrap();
        assert_eq!(
            arguments,
            json!({
                "title": "a \"b\"", "count": 12345678901234567890u64, "ratio": 0.1, "draft": false, "level": 3,
                "labels": ["one", "two"], "sizes": [1, 2.5], "owner": "ana", "filter": { "a": [1] },
            })
        );
        assert_eq!(
            made(&schema, &[("title", "x"), ("count", "1")]).unwrap(),
            json!({ "title": "x", "count": 1 })
        );
        let wrong = made(&schema, &[("count", "1.5"), ("draft", "maybe"), ("filter", "{")]).unwrap_err();
        let places: Vec<&str> = wrong.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(places, ["count", "draft", "filter"], "{wrong:?}");
    }

    #[test]
    fn what_no_form_can_show_is_one_json_text() {
        assert!(fields(Some(&json!({ "oneOf": [{ "type": "object" }] }))).is_none());
        assert!(fields(None).is_none());
        assert_eq!(fields(Some(&json!({ "type": "object" }))).unwrap().len(), 0);
        assert_eq!(
            skeleton(
                fields(Some(
                    &json!({ "required": ["a"], "properties": { "a": { "type": "string" }, "b": {} } })
                ))
                .as_deref()
            ),
            "{\n  \"a\": \"…\"\n}"
        );
    }
}
