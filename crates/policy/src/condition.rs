//! Conditions of rules: one expression of the Common Expression Language (<https://cel.dev>) that says whether the rule
//! applies to a call.
//!
//! What may be written is a part of the language whose cost has a bound: comparisons, logic, members, `size`,
//! `startsWith`, `endsWith`, `contains`, `in`, `has`, and `all` or `exists` over one list at a time. No arithmetic, no
//! text is put together, nothing is called that could take longer than reading what it is given. So the cost of one
//! evaluation is known before it is made, from the expression's size and the arguments', and a decision that would
//! cost more than its budget is not made.
//!
//! A condition that can't be evaluated (a member that is not there, a text compared with a number) makes its rule
//! block, whatever its action: not knowing whether a rule applies must not let a call through.

use std::{
    cell::OnceCell,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, IdedExpr, Program, Value as Cel,
    common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, operators},
};
use serde_json::Value;

use crate::subject::{Arguments, CapabilityFacts, ConnectionFacts, Mode, Requester};

/// Longest source, in bytes.
pub const MAX_CONDITION_BYTES: usize = 1_000;
/// Deepest brackets in a source: its parser goes into each.
const MAX_BRACKETS: usize = 12;
/// Most `?` in a source, for the same reason.
const MAX_CHOICES: usize = 8;
const MAX_NODES: u32 = 128;
const MAX_DEPTH: usize = 32;
/// What one decision may spend on conditions; a comparison of small values costs one.
const BUDGET: u64 = 1_000_000;

const VARIABLES: [&str; 5] = ["args", "caller", "tool", "connection", "plan"];
const FUNCTIONS: [&str; 18] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::NEGATE,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::INDEX,
    operators::IN,
    operators::NOT_STRICTLY_FALSE,
    "size",
    "startsWith",
    "endsWith",
    "contains",
];

/// Why a condition can't be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionProblem {
    #[error("its `condition` is longer than {MAX_CONDITION_BYTES} bytes")]
    TooLong,
    #[error("its `condition` is nested too deeply or has too many parts: write several rules instead")]
    TooLarge,
    #[error("its `condition` is not an expression: {0}")]
    NotAnExpression(String),
    #[error(
        "its `condition` uses `{0}`, which is not there: there are `args`, `caller`, `tool`, `connection` and `plan`"
    )]
    UnknownName(String),
    #[error(
        "its `condition` uses `{0}`, which is not available: there are comparisons, `&&`, `||`, `!`, `?:`, `in`, `has`, \
         `size`, `startsWith`, `endsWith`, `contains`, and `all` or `exists` over a list"
    )]
    NotAvailable(String),
    #[error(
        "its `condition` goes through a list inside of another list: only one at a time has a bound on its cost"
    )]
    NestedLists,
    #[error(
        "its `condition` is always the same: leave it out, or look at `args`, `caller`, `tool`, `connection` or `plan`"
    )]
    Constant,
}

/// A condition, compiled.
#[derive(Debug)]
pub struct Condition {
    program: Program,
    /// Whether it looks at the arguments: then only a call can evaluate it.
    pub(crate) uses_arguments: bool,
    /// Whether it looks at what the provider claims of its tool.
    pub(crate) uses_hints: bool,
    nodes_outside: u32,
    nodes_inside: u32,
}

impl Condition {
    pub fn compile(source: &str) -> Result<Self, ConditionProblem> {
        if source.len() > MAX_CONDITION_BYTES {
            return Err(ConditionProblem::TooLong);
        }
        if brackets(source) > MAX_BRACKETS || source.matches('?').count() > MAX_CHOICES {
            return Err(ConditionProblem::TooLarge);
        }
        // A parser's panic on a text we did not foresee is its "no".
        let compiled = catch_unwind(|| Program::compile(source));
        let program = compiled
            .map_err(|_| ConditionProblem::NotAnExpression("it can't be read".into()))?
            .map_err(|error| ConditionProblem::NotAnExpression(one_line(&error.to_string())))?;
        let mut reader = Reader::default();
        reader.read(program.expression(), &Place { depth: 0, bound: &[], inside: false })?;
        if !reader.uses_a_variable {
            return Err(ConditionProblem::Constant);
        }
        let Reader { uses_arguments, uses_hints, outside, inside, .. } = reader;
        Ok(Self { program, uses_arguments, uses_hints, nodes_outside: outside, nodes_inside: inside })
    }
}

/// Whether a condition applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Yes,
    No,
    /// It looks at arguments, and there is no call.
    Depends,
    /// It can't be evaluated.
    Unknown,
}

/// What conditions look at, made when the first one asks, and what is left to spend.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    requester: Requester<'a>,
    connection: ConnectionFacts<'a>,
    capability: CapabilityFacts<'a>,
    made: OnceCell<Made>,
    spent: u64,
}

#[derive(Debug)]
struct Made {
    variables: Vec<(&'static str, Cel)>,
    /// How much reading all of the arguments costs, and how many values they hold.
    weight: u64,
    values: u64,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(
        requester: Requester<'a>,
        connection: ConnectionFacts<'a>,
        capability: CapabilityFacts<'a>,
    ) -> Self {
        Self { requester, connection, capability, made: OnceCell::new(), spent: 0 }
    }

    pub(crate) fn capability(&self) -> (&'a str, switchboard_domain::CapabilityKind) {
        (self.capability.name, self.capability.kind)
    }

    pub(crate) fn holds(&mut self, condition: &Condition) -> Holds {
        if condition.uses_arguments && matches!(self.capability.arguments, Arguments::Unknown) {
            return Holds::Depends;
        }
        let made = self.made.get_or_init(|| Made::of(&self.requester, &self.connection, &self.capability));
        let (outside, inside) = (u64::from(condition.nodes_outside), u64::from(condition.nodes_inside));
        let cost = made.weight.saturating_mul(outside.saturating_add(inside.saturating_mul(made.values)));
        self.spent = self.spent.saturating_add(cost);
        if self.spent > BUDGET {
            return Holds::Unknown;
        }
        let evaluated = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
            for (name, value) in &made.variables {
                context.add_variable_from_value(*name, value.clone());
            }
            condition.program.execute(&context)
        }));
        match evaluated {
            Ok(Ok(Cel::Bool(true))) => Holds::Yes,
            Ok(Ok(Cel::Bool(false))) => Holds::No,
            _ => Holds::Unknown,
        }
    }
}

/// The standard functions; what may be used of them was checked when the condition was compiled.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

impl Made {
    fn of(
        requester: &Requester<'_>,
        connection: &ConnectionFacts<'_>,
        capability: &CapabilityFacts<'_>,
    ) -> Self {
        let (mut bytes, mut values) = (0, 0);
        let arguments = match capability.arguments {
            Arguments::Given(arguments) => cel_of(arguments, &mut bytes, &mut values),
            Arguments::Unknown => Cel::Null,
        };
        let text = |text: &str| Cel::from(text.to_owned());
        let hint = |hint: Option<bool>| hint.map_or(Cel::Null, Cel::Bool);
        let teams: Vec<Cel> = requester.teams.iter().map(|team| text(&team.to_string())).collect();
        let kind = match requester.caller {
            switchboard_domain::Caller::Member(_) => "member",
            switchboard_domain::Caller::ServiceAccount(_) => "service_account",
        };
        let map = |members: Vec<(&str, Cel)>| {
            Cel::from(
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<HashMap<_, _>>(),
            )
        };
        let variables = vec![
            ("args", arguments),
            (
                "caller",
                map(vec![
                    ("id", text(&requester.caller.to_string())),
                    ("kind", text(kind)),
                    ("role", text(requester.role.as_str())),
                    ("teams", Cel::from(teams)),
                ]),
            ),
            (
                "tool",
                map(vec![
                    ("name", text(capability.name)),
                    ("kind", text(capability.kind.as_str())),
                    ("read_only_hint", hint(capability.read_only_hint)),
                    ("destructive_hint", hint(capability.destructive_hint)),
                ]),
            ),
            (
                "connection",
                map(vec![
                    ("slug", text(connection.slug.as_str())),
                    ("personal", Cel::Bool(connection.is_personal())),
                ]),
            ),
            ("plan", Cel::Bool(requester.effective_mode() == Mode::Plan)),
        ];
        Self { variables, weight: 1 + bytes / 64, values: values.max(1) }
    }
}

/// JSON as the language sees it: whole numbers as `int` (as `uint` above its range), others as `double`.
fn cel_of(value: &Value, bytes: &mut u64, values: &mut u64) -> Cel {
    *values += 1;
    *bytes += 8;
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Cel::Int(whole),
            (None, Some(whole)) => Cel::UInt(whole),
            (None, None) => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => {
            *bytes += text.len() as u64;
            Cel::from(text.clone())
        }
        Value::Array(items) => {
            Cel::from(items.iter().map(|item| cel_of(item, bytes, values)).collect::<Vec<_>>())
        }
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| {
                *bytes += name.len() as u64;
                (name.clone(), cel_of(value, bytes, values))
            });
            Cel::from(members.collect::<HashMap<_, _>>())
        }
    }
}

/// Where in an expression the reader is.
struct Place<'p> {
    depth: usize,
    /// Names that the list around it gives.
    bound: &'p [&'p str],
    /// Within what runs once for each element.
    inside: bool,
}

/// Walks an expression once: whether all of it may be used, and what it costs.
#[derive(Default)]
struct Reader {
    outside: u32,
    inside: u32,
    uses_arguments: bool,
    uses_hints: bool,
    uses_a_variable: bool,
}

impl Reader {
    fn read(&mut self, expression: &IdedExpr, place: &Place<'_>) -> Result<(), ConditionProblem> {
        *(if place.inside { &mut self.inside } else { &mut self.outside }) += 1;
        if place.depth > MAX_DEPTH || self.inside + self.outside > MAX_NODES {
            return Err(ConditionProblem::TooLarge);
        }
        let below = Place { depth: place.depth + 1, ..*place };
        match &expression.expr {
            Expr::Literal(LiteralValue::Bytes(_)) => Err(ConditionProblem::NotAvailable("b\"…\"".into())),
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(name, place),
            Expr::Select(select) => {
                let is_tool = matches!(&select.operand.expr, Expr::Ident(name) if name == "tool");
                let plain = is_tool && matches!(select.field.as_str(), "name" | "kind");
                let hints = self.uses_hints;
                self.read(&select.operand, &below)?;
                self.uses_hints = if plain { hints } else { self.uses_hints };
                Ok(())
            }
            Expr::Call(call) => self.call(call, &below),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.read(element, &below)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.read(&entry.key, &below)?;
                    self.read(&entry.value, &below)
                }
                EntryExpr::StructField(field) => Err(ConditionProblem::NotAvailable(field.field.clone())),
            }),
            Expr::Comprehension(over) => {
                if place.inside || over.iter_var2.is_some() {
                    return Err(ConditionProblem::NestedLists);
                }
                self.read(&over.iter_range, &below)?;
                self.read(&over.accu_init, &below)?;
                let bound = [over.iter_var.as_str(), over.accu_var.as_str()];
                let within = Place { depth: place.depth + 1, bound: &bound, inside: true };
                self.read(&over.loop_cond, &within)?;
                self.read(&over.loop_step, &within)?;
                self.read(&over.result, &Place { inside: false, ..within })
            }
            Expr::Struct(made) => Err(ConditionProblem::NotAvailable(made.type_name.clone())),
            Expr::Unspecified => Err(ConditionProblem::NotAnExpression("a part of it is missing".into())),
        }
    }

    fn name(&mut self, name: &str, place: &Place<'_>) -> Result<(), ConditionProblem> {
        if place.bound.contains(&name) {
            return Ok(());
        }
        if !VARIABLES.contains(&name) {
            return Err(ConditionProblem::UnknownName(one_line(name)));
        }
        self.uses_a_variable = true;
        self.uses_arguments |= name == "args";
        self.uses_hints |= name == "tool";
        Ok(())
    }

    fn call(&mut self, call: &CallExpr, below: &Place<'_>) -> Result<(), ConditionProblem> {
        if !FUNCTIONS.contains(&call.func_name.as_str()) {
            return Err(ConditionProblem::NotAvailable(one_line(&call.func_name)));
        }
        call.target.iter().try_for_each(|target| self.read(target, below))?;
        call.args.iter().try_for_each(|argument| self.read(argument, below))
    }
}

/// The deepest that brackets are nested; texts count too, which only makes it stricter.
fn brackets(source: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for character in source.chars() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn one_line(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}

#[cfg(test)]
#[path = "condition_tests.rs"]
mod tests;
