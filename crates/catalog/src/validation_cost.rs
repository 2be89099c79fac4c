//! How much work it is to validate an instance against a schema, found out before it is done.
//!
//! A schema of a few kilobytes can ask for more steps than there is time: references let one subschema stand in many
//! places (`a0` is two of `a1`, which is two of `a2`, …), and recursive ones multiply with the depth of the instance. A
//! validator can't be stopped in the middle, so the steps are counted first. Counting is cheap where validating is
//! not: what one subschema costs at one place of the instance is counted once, however often it is asked for.
//!
//! The count is of the worst case, in which nothing is decided early. Keywords and their meaning:
//! [JSON Schema 2020-12](https://json-schema.org/draft/2020-12/json-schema-core), and older drafts.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// Nesting of subschemas and instance together that is followed; validators recurse as deep.
const MAX_DEPTH: usize = 512;

/// Keywords that apply further schemas to the same place.
const HERE: [&str; 4] = ["not", "if", "then", "else"];
const HERE_ARRAYS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const HERE_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords that apply a schema to members or elements.
const MEMBERS: [&str; 2] = ["additionalProperties", "unevaluatedProperties"];
const ELEMENTS: [&str; 4] = ["items", "additionalItems", "contains", "unevaluatedItems"];

type NodeIndex = usize;

#[derive(Debug, Default)]
struct Node {
    here: Vec<NodeIndex>,
    named: HashMap<Box<str>, NodeIndex>,
    /// May apply to every member of an object.
    members: Vec<NodeIndex>,
    /// May apply to every element of an array.
    elements: Vec<NodeIndex>,
    /// Applied to the elements one by one.
    positions: Vec<NodeIndex>,
    keys: Vec<NodeIndex>,
    /// Steps of its own.
    weight: u64,
    has_pattern: bool,
    /// Looks at what its neighbours did, once more for every member or element.
    looks_back: bool,
}

/// A schema, ready for counting.
#[derive(Debug)]
pub struct ValidationCost {
    nodes: Vec<Node>,
    /// Ways from the root to all nodes; `None` with a schema that contains itself.
    ways: Option<u64>,
    patterns: usize,
}

/// More steps than the limit, or deeper than a validator should recurse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more steps than allowed")]
pub struct TooCostly;

impl ValidationCost {
    /// `None` when a reference leads where it can't be followed from here: such a schema can't be judged.
    pub fn of(schema: &Value) -> Option<Self> {
        let mut reading = Reading { root: schema, anchors: anchors(schema)?, indices: HashMap::new() };
        let mut nodes = Vec::new();
        let mut waiting = vec![schema];
        reading.indices.insert(std::ptr::from_ref(schema), 0);
        let mut read = 0;
        while read < waiting.len() {
            nodes.push(reading.node(waiting[read], &mut waiting)?);
            read += 1;
        }
        let patterns = nodes.iter().filter(|node| node.has_pattern).count();
        let mut cost = Self { nodes, ways: None, patterns };
        cost.ways = cost.count_ways();
        Some(cost)
    }

    /// How many subschemas have regular expressions, each of which has to be compiled.
    pub fn patterns(&self) -> usize {
        self.patterns
    }

    /// At most how many steps it is to validate `instance`, which was `bytes` long.
    pub fn steps(&self, instance: &Value, bytes: usize, limit: u64) -> Result<u64, TooCostly> {
        // Without recursion no way is walked twice at one place: most schemas need no counting.
        let places = bytes as u64 / 2 + 1;
        if let Some(most) = self.ways.and_then(|ways| ways.checked_mul(places)).filter(|most| *most <= limit)
        {
            return Ok(most);
        }
        let mut walk = Walk { cost: self, counted: HashMap::new(), limit };
        walk.steps(0, instance, 0)
    }

    /// Ways from the root to each node, summed; each is worth the node's weight.
    fn count_ways(&self) -> Option<u64> {
        fn ways(
            cost: &ValidationCost,
            at: NodeIndex,
            counted: &mut [Option<u64>],
            open: &mut HashSet<NodeIndex>,
        ) -> Option<u64> {
            if let Some(known) = counted[at] {
                return Some(known);
            }
            // A cycle, or too deep to look at: counted for each instance instead.
            if open.len() >= MAX_DEPTH || !open.insert(at) {
                return None;
            }
            let node = &cost.nodes[at];
            if node.has_pattern || node.looks_back {
                return None;
            }
            let below = node.children().try_fold(node.weight, |sum, child| {
                Some(sum.saturating_add(ways(cost, child, counted, open)?))
            })?;
            open.remove(&at);
            counted[at] = Some(below);
            Some(below)
        }
        ways(self, 0, &mut vec![None; self.nodes.len()], &mut HashSet::new())
    }
}

impl Node {
    fn children(&self) -> impl Iterator<Item = NodeIndex> {
        let lists = [&self.here, &self.members, &self.elements, &self.positions, &self.keys];
        lists.into_iter().flatten().chain(self.named.values()).copied()
    }
}

struct Walk<'a> {
    cost: &'a ValidationCost,
    /// By subschema and place; `None` while it is being counted.
    counted: HashMap<(NodeIndex, *const Value), Option<u64>>,
    limit: u64,
}

impl Walk<'_> {
    fn steps(&mut self, at: NodeIndex, value: &Value, depth: usize) -> Result<u64, TooCostly> {
        let key = (at, std::ptr::from_ref(value));
        match self.counted.get(&key) {
            Some(Some(known)) => return Ok(*known),
            // The same subschema at the same place, within itself: it would never end.
            Some(None) => return Err(TooCostly),
            None => {}
        }
        if depth > MAX_DEPTH || self.counted.len() as u64 >= self.limit {
            return Err(TooCostly);
        }
        self.counted.insert(key, None);
        let node = &self.cost.nodes[at];
        let mut sum = node.weight;
        if let (true, Value::String(text)) = (node.has_pattern, value) {
            sum += text.len() as u64 / 32;
        }
        let mut here = 0;
        for &inner in &node.here {
            here = self.add(here, inner, value, depth)?;
        }
        let parts = match value {
            Value::Object(object) => object.len(),
            Value::Array(array) => array.len(),
            _ => 0,
        };
        let times = if node.looks_back { parts as u64 + 1 } else { 1 };
        sum = self.within(sum.saturating_add(here.saturating_mul(times)))?;
        match value {
            Value::Object(object) => sum = self.members(node, object, sum, depth)?,
            Value::Array(array) => {
                for (index, element) in array.iter().enumerate() {
                    for &inner in node.elements.iter().chain(node.positions.get(index)) {
                        sum = self.add(sum, inner, element, depth)?;
                    }
                }
            }
            _ => {}
        }
        self.counted.insert(key, Some(sum));
        Ok(sum)
    }

    fn members(
        &mut self,
        node: &Node,
        object: &Map<String, Value>,
        mut sum: u64,
        depth: usize,
    ) -> Result<u64, TooCostly> {
        for (name, member) in object {
            for &inner in node.members.iter().chain(node.named.get(name.as_str())) {
                sum = self.add(sum, inner, member, depth)?;
            }
            // A name is a value of its own that nothing else is applied to.
            sum = self.within(sum + node.keys.len() as u64 * (1 + name.len() as u64 / 32))?;
        }
        Ok(sum)
    }

    fn add(&mut self, sum: u64, at: NodeIndex, value: &Value, depth: usize) -> Result<u64, TooCostly> {
        let more = self.steps(at, value, depth + 1)?;
        self.within(sum.saturating_add(more))
    }

    fn within(&self, sum: u64) -> Result<u64, TooCostly> {
        if sum > self.limit { Err(TooCostly) } else { Ok(sum) }
    }
}

struct Reading<'a> {
    root: &'a Value,
    anchors: HashMap<&'a str, Vec<&'a Value>>,
    indices: HashMap<*const Value, NodeIndex>,
}

impl<'a> Reading<'a> {
    fn index(&mut self, schema: &'a Value, waiting: &mut Vec<&'a Value>) -> NodeIndex {
        *self.indices.entry(std::ptr::from_ref(schema)).or_insert_with(|| {
            waiting.push(schema);
            waiting.len() - 1
        })
    }

    fn indices<I>(&mut self, schemas: I, waiting: &mut Vec<&'a Value>) -> Vec<NodeIndex>
    where
        I: IntoIterator<Item = &'a Value>,
    {
        schemas
            .into_iter()
            .filter(|schema| schema.is_object())
            .map(|schema| self.index(schema, waiting))
            .collect()
    }

    fn node(&mut self, schema: &'a Value, waiting: &mut Vec<&'a Value>) -> Option<Node> {
        let Some(object) = schema.as_object() else { return Some(Node { weight: 1, ..Node::default() }) };
        let map = |key: &str| object.get(key).and_then(Value::as_object);
        let array = |key: &str| object.get(key).and_then(Value::as_array);
        let mut here: Vec<&Value> = HERE.iter().filter_map(|key| object.get(*key)).collect();
        here.extend(HERE_ARRAYS.iter().filter_map(|key| array(key)).flatten());
        here.extend(HERE_MAPS.iter().filter_map(|key| map(key)).flat_map(Map::values));
        here.extend(self.referred(object)?);
        let members = MEMBERS.iter().filter_map(|key| object.get(*key));
        let members = members.chain(map("patternProperties").into_iter().flat_map(Map::values));
        let named = map("properties").into_iter().flatten().filter(|(_, schema)| schema.is_object());
        let positions = ["prefixItems", "items"].iter().filter_map(|key| array(key)).flatten();
        let alternatives = array("enum").map_or(0, Vec::len) as u64;
        Some(Node {
            named: named.map(|(name, schema)| (name.as_str().into(), self.index(schema, waiting))).collect(),
            here: self.indices(here, waiting),
            members: self.indices(members, waiting),
            elements: self.indices(ELEMENTS.iter().filter_map(|key| object.get(*key)), waiting),
            positions: self.indices(positions, waiting),
            keys: self.indices(object.get("propertyNames"), waiting),
            weight: 1 + object.len() as u64 / 4 + alternatives / 8,
            has_pattern: object.contains_key("pattern") || object.contains_key("patternProperties"),
            looks_back: object.contains_key("unevaluatedProperties")
                || object.contains_key("unevaluatedItems"),
        })
    }

    /// What the references of `object` lead to; `None` when that can't be told.
    fn referred(&self, object: &'a Map<String, Value>) -> Option<Vec<&'a Value>> {
        let mut found = Vec::new();
        if let Some(reference) = object.get("$ref") {
            found.extend(self.resolve(reference.as_str()?)?);
        }
        if let Some(reference) = object.get("$dynamicRef") {
            found.extend(self.resolve(reference.as_str()?)?);
        }
        if object.contains_key("$recursiveRef") {
            found.push(self.root);
        }
        Some(found)
    }

    fn resolve(&self, reference: &str) -> Option<Vec<&'a Value>> {
        let fragment = reference.strip_prefix('#')?;
        if fragment.contains('%') {
            return None;
        }
        if fragment.is_empty() || fragment.starts_with('/') {
            return Some(vec![self.root.pointer(fragment)?]);
        }
        self.anchors.get(fragment).cloned()
    }
}

/// Named places of a document. `None` when a part of it has an identifier of its own, which changes what references mean.
fn anchors(root: &Value) -> Option<HashMap<&str, Vec<&Value>>> {
    let mut found: HashMap<&str, Vec<&Value>> = HashMap::new();
    let mut waiting = vec![root];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(object) => {
                for key in ["$anchor", "$dynamicAnchor"] {
                    if let Some(name) = object.get(key).and_then(Value::as_str) {
                        found.entry(name).or_default().push(value);
                    }
                }
                let id = object.get("$id").or_else(|| object.get("id")).and_then(Value::as_str);
                if let Some(id) = id.filter(|_| !std::ptr::eq(value, root)) {
                    // An argument may well be called `id` and described by a string: only what reads like one counts.
                    let name = id.strip_prefix('#');
                    match name {
                        Some(name) => found.entry(name).or_default().push(value),
                        None if object.contains_key("$id") => return None,
                        None => {}
                    }
                }
                waiting.extend(object.values());
            }
            Value::Array(array) => waiting.extend(array),
            _ => {}
        }
    }
    Some(found)
}

#[cfg(test)]
#[path = "validation_cost_tests.rs"]
mod tests;
