//! Requests that are sent again with answers before they have a result (2026-07-28, multi round-trip requests).

use std::collections::BTreeMap;

use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolRequestParams, ClientCapabilities, GetPromptRequestParams, InputRequest, InputRequiredResult,
        InputResponses, RequestStateCodec,
    },
    service::RequestContext,
};
use serde_json::{Value, json};

use super::fixtures::{FIXTURES, Rounds, typed};

/// What a request brought with it.
pub(super) struct Given<'r> {
    responses: Option<&'r InputResponses>,
    state: Option<&'r str>,
    capabilities: ClientCapabilities,
}

impl<'r> Given<'r> {
    pub(super) fn of_call(request: &'r CallToolRequestParams, context: &RequestContext<RoleServer>) -> Self {
        Self {
            responses: request.input_responses.as_ref(),
            state: request.request_state.as_deref(),
            capabilities: context.meta.client_capabilities().unwrap_or_default(),
        }
    }

    pub(super) fn of_prompt(
        request: &'r GetPromptRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Self {
        Self {
            responses: request.input_responses.as_ref(),
            state: request.request_state.as_deref(),
            capabilities: context.meta.client_capabilities().unwrap_or_default(),
        }
    }

    /// An answer is an object; anything else counts as missing and is asked for again.
    fn answer(&self, key: &str) -> Option<&'r Value> {
        self.responses?.get(key).filter(|answer| answer.is_object())
    }

    fn may_be_asked(&self, input: &str) -> bool {
        match input {
            "sample" => self.capabilities.sampling.is_some(),
            "roots" => self.capabilities.roots.is_some(),
            _ => self.capabilities.elicitation.is_some(),
        }
    }
}

pub(super) enum Step {
    Asks(InputRequiredResult),
    Done(String),
}

/// What this request leads to: the questions of its round, or the answer.
pub(super) fn step(
    states: &RequestStateCodec,
    rounds: &Rounds,
    given: &Given<'_>,
) -> Result<Step, ErrorData> {
    let round = match given.state {
        Some(sealed) if rounds.sealed => {
            let state: Value = states
                .open_json(sealed)
                .map_err(|_| ErrorData::invalid_params("requestState failed its integrity check", None))?;
            state["round"].as_u64().unwrap_or(0) as usize
        }
        _ => 0,
    };
    let last = rounds.asks.len() - 1;
    let Some(asked) = rounds.asks.get(round) else { return Ok(Step::Done(rounds.answer.clone())) };
    let asked: BTreeMap<_, _> =
        asked.iter().filter(|(_, input)| !rounds.only_declared || given.may_be_asked(input)).collect();
    let answered = asked.keys().all(|key| given.answer(key).is_some());
    let begun = !rounds.sealed || given.state.is_some();
    match (answered && begun, round) {
        (true, round) if round == last => Ok(Step::Done(filled(&rounds.answer, given))),
        (true, round) => ask(states, rounds, &rounds.asks[round + 1].iter().collect(), round + 1),
        (false, round) => ask(states, rounds, &asked, round),
    }
}

fn ask(
    states: &RequestStateCodec,
    rounds: &Rounds,
    asked: &BTreeMap<&String, &String>,
    round: usize,
) -> Result<Step, ErrorData> {
    let mut requests = BTreeMap::new();
    for (key, input) in asked {
        requests.insert((*key).clone(), input_request(input)?);
    }
    let state = if rounds.sealed {
        let sealed = states.seal_json(&json!({ "round": round }));
        Some(sealed.map_err(|error| ErrorData::internal_error(error.to_string(), None))?)
    } else {
        None
    };
    Ok(Step::Asks(InputRequiredResult::new(Some(requests), state)))
}

pub(super) fn input_request(name: &str) -> Result<InputRequest, ErrorData> {
    typed(FIXTURES.inputs.get(name).cloned().unwrap_or(Value::Null))
}

/// `{key/path}` in the text is replaced by that part of the answer.
fn filled(text: &str, given: &Given<'_>) -> String {
    let Some((before, rest)) = text.split_once('{') else { return text.to_owned() };
    let Some((place, after)) = rest.split_once('}') else { return text.to_owned() };
    let (key, path) = place.split_once('/').unwrap_or((place, ""));
    let part = given.answer(key).and_then(|answer| answer.pointer(&format!("/{path}")));
    let part = part.map_or_else(String::new, |part| part.as_str().map_or(part.to_string(), str::to_owned));
    format!("{before}{part}{after}")
}
