//! `/usage`: calls over time and the tools most called, as pictures made here (SVG) and as tables that say the same.

use askama::Template;
use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use serde::Deserialize;
use switchboard_broker::manage::{CHARTS, CallChart, Tally};
use switchboard_catalog::displayed;

use super::{PATH, USAGE, UsageTab, usage_tabs};
use crate::{
    ServerState, browser,
    ui::{account::person, navigation::Navigation, page, refused::refused, sign_in::encoded},
};

/// Of the pictures, in their own units; they grow and shrink with the page.
const WIDTH: i64 = 720;
const HEIGHT: i64 = 180;
const BAR_WIDTH: i64 = 420;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    days: Option<u32>,
}

/// One day's bar: what waited stands on what went well, and errors on both.
struct Bar {
    day: String,
    tally: Tally,
    x: i64,
    width: i64,
    ok_y: i64,
    ok_height: i64,
    held_y: i64,
    held_height: i64,
    error_y: i64,
    error_height: i64,
}

struct Tool {
    name: String,
    address: String,
    tally: Tally,
    ok_width: i64,
    held_width: i64,
    error_width: i64,
}

#[derive(Template)]
#[template(path = "usage.html")]
struct Usage {
    navigation: Navigation,
    tabs: Vec<UsageTab>,
    days: u32,
    periods: Vec<(u32, bool)>,
    total: Tally,
    most: i64,
    bars: Vec<Bar>,
    tools: Vec<Tool>,
    width: i64,
    height: i64,
    bar_width: i64,
}

pub(super) async fn show(
    State(state): State<ServerState>,
    asked: Result<Query<Asked>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let signed_in = match person(&state, &headers, &uri).await {
        Ok(signed_in) => signed_in,
        Err(response) => return *response,
    };
    let asked = asked.ok().and_then(|Query(asked)| asked.days);
    let days = asked.filter(|days| CHARTS.contains(days)).unwrap_or(CHARTS[0]);
    let chart = match state.broker.read_call_chart(&signed_in.principal, days).await {
        Ok(chart) => chart,
        Err(refusal) => return refused(&refusal),
    };
    let form_token = browser::form_token(&state, &headers);
    let navigation = Navigation::new(&state, &signed_in, &form_token, USAGE).await;
    page(StatusCode::OK, &usage(navigation, days, chart))
}

fn usage(navigation: Navigation, days: u32, chart: CallChart) -> Usage {
    let total = chart.days.iter().fold(Tally::default(), |sum, (_, it)| Tally {
        ok: sum.ok + it.ok,
        errors: sum.errors + it.errors,
        held: sum.held + it.held,
    });
    let most = chart.days.iter().map(|(_, tally)| tally.all()).max().unwrap_or(0);
    let count = i64::try_from(chart.days.len()).unwrap_or(1).max(1);
    let bar = |(place, (day, tally)): (usize, (String, Tally))| {
        let [ok, held, errors] = [tally.ok, tally.held, tally.errors].map(|part| share(part, most, HEIGHT));
        let left = i64::try_from(place).unwrap_or(0) * WIDTH / count;
        let right = (i64::try_from(place).unwrap_or(0) + 1) * WIDTH / count;
        Bar {
            day,
            tally,
            x: left,
            width: (right - left - 2).max(1),
            ok_y: HEIGHT - ok,
            ok_height: ok,
            held_y: HEIGHT - ok - held,
            held_height: held,
            error_y: HEIGHT - ok - held - errors,
            error_height: errors,
        }
    };
    let longest = chart.tools.first().map_or(0, |(_, tally)| tally.all());
    let tool = |(name, tally): (String, Tally)| Tool {
        address: format!("{PATH}?target={}", encoded(&name)),
        name: displayed(&name, 200),
        tally,
        ok_width: share(tally.ok, longest, BAR_WIDTH),
        held_width: share(tally.held, longest, BAR_WIDTH),
        error_width: share(tally.errors, longest, BAR_WIDTH),
    };
    Usage {
        navigation,
        tabs: usage_tabs(USAGE),
        days,
        periods: CHARTS.into_iter().map(|period| (period, period == days)).collect(),
        total,
        most,
        bars: chart.days.into_iter().enumerate().map(bar).collect(),
        tools: chart.tools.into_iter().map(tool).collect(),
        width: WIDTH,
        height: HEIGHT,
        bar_width: BAR_WIDTH,
    }
}

/// What there is of something can be seen, however little it is.
fn share(part: i64, most: i64, length: i64) -> i64 {
    if part == 0 || most == 0 { 0 } else { (part * length / most).max(2) }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_single_call_among_many_can_be_seen() {
        assert_eq!(share(0, 100, 180), 0);
        assert_eq!(share(1, 1_000_000, 180), 2);
        assert_eq!(share(50, 100, 180), 90);
        assert_eq!(share(0, 0, 180), 0);
    }
}
