//! `/members`: who belongs to an organization, who is asked in, and the teams they are in.

mod invitations;
mod list;
mod member;
mod team;
mod teams;

use axum::{
    Router,
    routing::{get, post},
};
use switchboard_domain::Role;

use crate::ServerState;

pub(super) const PATH: &str = "/members";

pub(super) fn router() -> Router<ServerState> {
    Router::new()
        .route(PATH, get(list::show))
        .route("/members/invitations", get(invitations::show).post(invitations::change))
        .route("/members/teams", get(teams::show).post(teams::create))
        .route("/members/teams/{id}", get(team::show).post(team::change))
        .route("/members/{id}", get(member::show))
        .route("/members/{id}/change", post(member::change))
}

/// One of the pages about people.
struct Tab {
    address: &'static str,
    name: &'static str,
    is_current: bool,
}

fn tabs(current: &str) -> Vec<Tab> {
    let all = [(PATH, "Members"), ("/members/invitations", "Invitations"), ("/members/teams", "Teams")];
    all.map(|(address, name)| Tab { address, name, is_current: address == current }).into()
}

/// As people read them, the least first.
const ROLES: [(Role, &str); 3] = [(Role::Member, "Member"), (Role::Admin, "Admin"), (Role::Owner, "Owner")];

fn role_in_words(role: Role) -> &'static str {
    ROLES.into_iter().find(|(known, _)| *known == role).map_or("", |(_, word)| word)
}

fn role_from(word: &str) -> Option<Role> {
    ROLES.into_iter().map(|(role, _)| role).find(|role| role.as_str() == word)
}
