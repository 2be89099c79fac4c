use std::time::Duration;

use serde_json::{Value, json};

use super::answer::Answer;

/// Which generations of the protocol an upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eras {
    /// `initialize` and sessions (2025-03-26 to 2025-11-25) beside requests that carry their own metadata.
    Both,
    /// 2026-07-28 only: no `initialize`, no session, no GET.
    Modern,
    /// 2025-11-25 and older only. Refuses what it does not know with an error that names no id.
    Legacy,
    /// HTTP+SSE of 2024-11-05: `GET` opens the stream, its `endpoint` event says where to post.
    LegacySse,
}

impl Eras {
    pub(super) fn modern(self) -> bool {
        matches!(self, Self::Both | Self::Modern)
    }

    pub(super) fn sessions(self) -> bool {
        matches!(self, Self::Both | Self::Legacy)
    }
}

/// Which requests a rule answers: `"tools/call"`, `Match::tool("delete")`, `Match::any()`; and which of them
/// by order of arrival. `GET` and `DELETE` match requests without a message.
#[derive(Debug, Clone)]
pub struct Match {
    method: Option<String>,
    name: Option<String>,
    skip: usize,
    times: Option<usize>,
}

impl Match {
    pub fn any() -> Self {
        Self { method: None, name: None, skip: 0, times: None }
    }

    pub fn method(method: &str) -> Self {
        Self { method: Some(method.to_owned()), ..Self::any() }
    }

    /// `tools/call` of one tool.
    pub fn tool(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::method("tools/call") }
    }

    /// Only the first `times` requests that match.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// Not the first `count` requests that match.
    #[must_use]
    pub fn skip(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    fn fits(&self, method: &str, name: Option<&str>) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == method)
            && self.name.as_deref().is_none_or(|wanted| Some(wanted) == name)
    }
}

impl From<&str> for Match {
    fn from(method: &str) -> Self {
        Self::method(method)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Rule {
    matches: Match,
    seen: usize,
    answer: Answer,
}

/// How a [`ScriptedUpstream`](super::ScriptedUpstream) behaves: well, but for its rules.
#[derive(Debug, Clone)]
pub struct Script {
    pub(super) eras: Eras,
    /// Each tool as JSON text: some cases nest deeper than a parsed value may.
    pub(super) tools: Vec<String>,
    /// What it says that it offers.
    pub(super) capabilities: Value,
    pub(super) page_size: Option<usize>,
    pub(super) call_delay: Duration,
    pub(super) variables: Vec<(String, String)>,
    pub(super) resource_metadata: Option<Value>,
    pub(super) instructions: Option<String>,
    rules: Vec<Rule>,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// Speaks both generations and has one tool, `echo`, which answers its arguments as text.
    pub fn new() -> Self {
        let echo = json!({
            "name": "echo",
            "description": "Answers with its arguments.",
            "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
        });
        Self {
            eras: Eras::Both,
            tools: vec![echo.to_string()],
            capabilities: json!({"tools": {"listChanged": true}}),
            page_size: None,
            call_delay: Duration::ZERO,
            variables: Vec::new(),
            resource_metadata: None,
            instructions: None,
            rules: Vec::new(),
        }
    }

    #[must_use]
    pub fn speaks(mut self, eras: Eras) -> Self {
        self.eras = eras;
        self
    }

    /// Replaces what it says that it offers, tools with changes to its list; how it answers is for rules to say.
    #[must_use]
    pub fn offers(mut self, capabilities: Value) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Replaces the tools. Every tool answers its arguments as text, unless a rule says otherwise.
    #[must_use]
    pub fn tools(mut self, tools: &[Value]) -> Self {
        self.tools = tools.iter().map(Value::to_string).collect();
        self
    }

    /// Replaces the tools with JSON texts that are sent as they are.
    #[must_use]
    pub fn raw_tools(mut self, tools: Vec<String>) -> Self {
        self.tools = tools;
        self
    }

    /// What it says of itself.
    #[must_use]
    pub fn instructions(mut self, text: &str) -> Self {
        self.instructions = Some(text.to_owned());
        self
    }

    /// Pages `tools/list`.
    #[must_use]
    pub fn page_size(mut self, size: usize) -> Self {
        self.page_size = Some(size);
        self
    }

    /// Every polite `tools/call` takes this long.
    #[must_use]
    pub fn call_delay(mut self, delay: Duration) -> Self {
        self.call_delay = delay;
        self
    }

    /// `{{NAME}}` in bodies and headers.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Served at `/.well-known/oauth-protected-resource` and below (RFC 9728).
    #[must_use]
    pub fn resource_metadata(mut self, document: Value) -> Self {
        self.resource_metadata = Some(document);
        self
    }

    /// Answers matching requests. The first rule that matches and is not used up wins.
    #[must_use]
    pub fn on(mut self, matches: impl Into<Match>, answer: Answer) -> Self {
        self.rules.push(Rule { matches: matches.into(), seen: 0, answer });
        self
    }

    pub(super) fn answer(&mut self, method: &str, name: Option<&str>) -> Option<Answer> {
        for rule in self.rules.iter_mut().filter(|rule| rule.matches.fits(method, name)) {
            rule.seen += 1;
            let turn = rule.seen > rule.matches.skip;
            let left =
                rule.matches.times.is_none_or(|times| rule.seen - rule.matches.skip.min(rule.seen) <= times);
            if turn && left {
                return Some(rule.answer.clone());
            }
        }
        None
    }
}
