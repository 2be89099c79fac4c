//! A large organization: what its database has after a year of work, put there directly.

use std::time::Duration;

use serde_json::json;
use switchboard_broker::NewSecret;
use switchboard_catalog::{Definition, DefinitionLimits};
use switchboard_domain::{
    ApiKeyHeader, AuditOutcome, AuditPhase, AuthConfig, AuthType, CallId, CapabilityKind, CapabilityState,
    Connection, ConnectionId, ConnectionOwner, ConnectionStatus, CredentialId, CredentialMode,
    CredentialOwner, FixedClock, MemberId, Random, Role, SecretValue, SeededRandom, SessionId, Status,
    Switches, SystemClock, TeamId, Timestamp, ToolFilter, ToolkitId, Transport, WriterId,
};
use switchboard_storage::{
    AuditEntry, CapabilityRow, CredentialHealth, CredentialInfo, Member, MemberStatus, Sealed, Session,
    StoredCredential, Team, Toolkit, ToolkitSurface, Tx, UsageKey, UsageSum,
};
use switchboard_testkit::app::App;

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) connections: usize,
    /// Of each connection.
    pub(super) tools: usize,
    pub(super) members: usize,
    /// Of the audit log: two for each call.
    pub(super) entries: usize,
}

/// Calls are of the last days, evenly.
const DAYS: i64 = 30;
const DAY: i64 = 24 * 60 * 60 * 1_000_000;
const TEAMS: usize = 40;
const TOOLKITS: usize = 60;
const GROUP: usize = 2_000;

/// What a test asks for by name.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) connections: Vec<ConnectionId>,
    pub(super) members: Vec<MemberId>,
    pub(super) teams: Vec<TeamId>,
    pub(super) toolkit: ToolkitId,
    /// Of a call in the middle of the log.
    pub(super) call: String,
}

pub(super) fn email(member: usize) -> String {
    format!("person-{member:05}@example.test")
}

pub(super) fn slug(connection: usize) -> String {
    format!("server-{connection:03}")
}

fn tool(number: usize) -> String {
    format!("tool_{number:02}")
}

/// A number below `end`; small ones come far more often, as the calls of a few people to a few servers do.
fn often_small(random: &dyn Random, end: usize) -> usize {
    let unit = random.unit();
    ((unit * unit * unit * end as f64) as usize).min(end - 1)
}

struct Filling<'a> {
    app: &'a App,
    size: Size,
    random: SeededRandom,
    now: Timestamp,
}

pub(super) async fn fill(app: &App, size: Size) -> Filled {
    let filling = Filling { app, size, random: SeededRandom::new(2026), now: app.broker.clock().now() };
    let mut tx = app.db.write().await.unwrap();
    let members = filling.members(&mut tx).await;
    let teams = filling.teams(&mut tx, &members).await;
    let connections = filling.connections(&mut tx, &members, &teams).await;
    let toolkit = filling.toolkits(&mut tx).await;
    tx.commit().await.unwrap();
    filling.credentials(&connections, &members).await;
    let call = filling.calls(&connections, &members).await;
    app.broker.refresh_snapshots().await.unwrap();
    Filled { connections, members, teams, toolkit, call }
}

impl Filling<'_> {
    async fn members(&self, tx: &mut Tx) -> Vec<MemberId> {
        let mut members = Vec::new();
        for number in 0..self.size.members {
            let member = Member {
                id: MemberId::new(&SystemClock, &self.random),
                organization: self.app.organization,
                email: email(number),
                display_name: format!("Person Number {number}"),
                role: if number % 100 == 99 { Role::Admin } else { Role::Member },
                status: if number % 50 == 49 { MemberStatus::Suspended } else { MemberStatus::Active },
                created_at: self.now,
                updated_at: self.now,
            };
            tx.members().insert(&member, None).await.unwrap();
            tx.sessions().insert(&self.session(member.id)).await.unwrap();
            members.push(member.id);
        }
        members
    }

    fn session(&self, member: MemberId) -> Session {
        let random: &dyn Random = &self.random;
        Session {
            id: SessionId::new(&SystemClock, random),
            organization: self.app.organization,
            member,
            hash: random.bytes(),
            method: "password".into(),
            user_agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36"
                .into(),
            source: "192.0.2.7".into(),
            created_at: self.now,
            authenticated_at: self.now,
            last_seen_at: self.now,
            expires_at: self.now.plus(Duration::from_secs(86_400)),
            revoked_at: None,
        }
    }

    async fn teams(&self, tx: &mut Tx, members: &[MemberId]) -> Vec<TeamId> {
        let mut teams = Vec::new();
        for number in 0..TEAMS {
            let id = TeamId::new(&SystemClock, &self.random);
            let name = format!("Team {number:02}");
            let organization = self.app.organization;
            tx.teams().insert(&Team { id, organization, name, created_at: self.now }).await.unwrap();
            for member in members.iter().skip(number).step_by(TEAMS / 2) {
                tx.teams().add_member(organization, id, *member).await.unwrap();
            }
            teams.push(id);
        }
        teams
    }

    fn connection(&self, number: usize) -> Connection {
        let mut status = Status::new(
            match number % 25 {
                7 => ConnectionStatus::Unreachable,
                13 => ConnectionStatus::ReauthRequired,
                _ => ConnectionStatus::Connected,
            },
            self.now,
        );
        status.checked_at = Some(self.now);
        let (auth_type, credential_mode) = match number % 3 {
            0 => (AuthType::ApiKey, CredentialMode::PerMember),
            _ => (AuthType::None, CredentialMode::Shared),
        };
        Connection {
            id: ConnectionId::new(&SystemClock, &self.random),
            organization: self.app.organization,
            owner: ConnectionOwner::Organization,
            slug: slug(number).parse().unwrap(),
            name: format!("Server number {number}"),
            url: format!("https://server-{number}.example.test/mcp"),
            transport: Transport::StreamableHttp,
            auth_type,
            auth: AuthConfig {
                api_key: (auth_type == AuthType::ApiKey).then(ApiKeyHeader::default),
                ..AuthConfig::default()
            },
            credential_mode,
            switches: Switches { enabled: number % 20 != 19, ..Switches::default() },
            tools: ToolFilter::default(),
            external_key: None,
            status,
            era: None,
            instructions: None,
            created_at: self.now,
            updated_at: self.now,
            revision: 1,
        }
    }

    async fn connections(&self, tx: &mut Tx, members: &[MemberId], teams: &[TeamId]) -> Vec<ConnectionId> {
        let organization = self.app.organization;
        let mut ids = Vec::new();
        for number in 0..self.size.connections {
            let connection = self.connection(number);
            tx.connections().insert(&connection).await.unwrap();
            let rows: Vec<CapabilityRow> = (0..self.size.tools).map(|tool| self.capability(tool)).collect();
            tx.capabilities().apply_listing(organization, connection.id, &rows, &[], self.now).await.unwrap();
            let mut grants = switchboard_domain::Grants::default();
            match number % 5 {
                0 | 1 => grants.everyone = true,
                2 | 3 => grants.teams = teams.iter().skip(number % 7).step_by(7).copied().collect(),
                _ => grants.members = members.iter().skip(number % 90).step_by(90).copied().collect(),
            }
            tx.grants().replace(organization, connection.id, &grants).await.unwrap();
            ids.push(connection.id);
        }
        ids
    }

    fn capability(&self, number: usize) -> CapabilityRow {
        let definition = json!({
            "name": tool(number),
            "description": format!("Does what tool number {number} does: it looks for records that fit, \
                                    changes those that were named, and answers with what became of each of them."),
            "inputSchema": { "type": "object", "properties": {
                "query": { "type": "string", "description": "What to look for" },
                "limit": { "type": "integer", "minimum": 1, "maximum": 100 },
            }, "required": ["query"] },
            "annotations": { "readOnlyHint": number.is_multiple_of(2), "destructiveHint": number % 5 == 1 },
        })
        .to_string();
        let parsed = Definition::parse(&definition, None, &DefinitionLimits::default()).unwrap();
        let is_held = number % 10 == 9;
        CapabilityRow {
            kind: CapabilityKind::Tool,
            name: tool(number),
            state: if is_held { CapabilityState::Held } else { CapabilityState::Approved },
            fingerprint: parsed.fingerprint(),
            approved_fingerprint: (!is_held).then(|| parsed.fingerprint()),
            title: None,
            summary: parsed.summary(),
            approved_definition: (!is_held).then(|| definition.clone()),
            definition,
            first_seen_at: self.now,
            updated_at: self.now,
        }
    }

    async fn toolkits(&self, tx: &mut Tx) -> ToolkitId {
        let mut first = None;
        for number in 0..TOOLKITS {
            let id = ToolkitId::new(&SystemClock, &self.random);
            let named = (number..self.size.connections).step_by(TOOLKITS).map(|it| format!("{}.*", slug(it)));
            let toolkit = Toolkit {
                id,
                organization: self.app.organization,
                owner: None,
                slug: format!("kit-{number:02}").parse().unwrap(),
                name: format!("Toolkit {number:02}"),
                surface: ToolkitSurface::Search,
                patterns: if number == 0 { vec!["*".into()] } else { named.collect() },
                members: Vec::new(),
                teams: Vec::new(),
                created_at: self.now,
                updated_at: self.now,
                revision: 1,
            };
            tx.toolkits().insert(&toolkit).await.unwrap();
            first = first.or(Some(id));
        }
        first.unwrap()
    }

    /// Of a hundredth of the members, at every server that asks each of them for their own.
    async fn credentials(&self, connections: &[ConnectionId], members: &[MemberId]) {
        let organization = self.app.organization;
        let secret = NewSecret::ApiKey(SecretValue::new("k"));
        let owner = CredentialOwner::Member(members[0]);
        self.app.broker.put_credential(organization, connections[0], owner, secret).await.unwrap();
        let mut tx = self.app.db.write().await.unwrap();
        let data_key = tx.credentials().list(organization).await.unwrap()[0].data_key;
        for (number, connection) in connections.iter().enumerate().step_by(3) {
            for member in members.iter().skip(1 + number % 100).step_by(100) {
                let info = CredentialInfo {
                    id: CredentialId::new(&SystemClock, &self.random),
                    organization,
                    connection: *connection,
                    owner: CredentialOwner::Member(*member),
                    data_key,
                    generation: 1,
                    health: CredentialHealth::Healthy,
                    expires_at: None,
                    updated_at: self.now,
                };
                let stored = StoredCredential { info, sealed: Sealed(vec![0; 64]) };
                tx.credentials().put(&stored).await.unwrap();
            }
        }
        tx.commit().await.unwrap();
    }

    /// Calls over the last days, with the sums of them; of every five hundred one is a change instead. The hashes are
    /// none: nothing here follows the chain.
    async fn calls(&self, connections: &[ConnectionId], members: &[MemberId]) -> String {
        let writer = WriterId::new(&SystemClock, &self.random);
        let calls = self.size.entries / 2;
        let first = self.now.as_micros() - DAYS * DAY;
        let (mut group, mut sums, mut middle) =
            (Vec::new(), std::collections::BTreeMap::new(), String::new());
        for number in 0..calls {
            let at = Timestamp::from_micros(first + DAYS * DAY / calls as i64 * number as i64);
            let seq = 2 * number as i64 + 1;
            if number % 500 == 0 {
                let actor = self.app.owner.to_string();
                let target = members[number % members.len()].to_string();
                let details = json!({ "before": "member", "after": "admin" });
                let words = ("member.update", AuditPhase::Event, Some(AuditOutcome::Ok));
                let body = json!({ "actor": { "type": "member", "id": actor }, "target": target, "outcome": "ok", "details": details });
                group.push(self.entry((writer, seq, at), words, (&actor, &target, None), body));
                continue;
            }
            let (member, server) = (
                often_small(&self.random, members.len() - 1),
                often_small(&self.random, connections.len() - 1),
            );
            // The last tool of each server is called by nobody, and so is the last server.
            let target = format!("{}.{}", slug(server), tool(often_small(&self.random, self.size.tools - 1)));
            let outcome = match number % 1_000 {
                1 if number % 50_000 == 1 => AuditOutcome::Failed,
                2..20 => AuditOutcome::Refused,
                20..60 => AuditOutcome::ToolError,
                _ => AuditOutcome::Ok,
            };
            let actor = members[member].to_string();
            let id = CallId::new(&FixedClock::at_micros(at.as_micros()), &self.random).to_string();
            if number == calls / 2 + 1 {
                middle.clone_from(&id);
            }
            let mut body = json!({
                "call_id": id, "actor": { "type": "member", "id": actor, "token": "tok_00000000000000000000000000" },
                "client": "Claude Code 2.1", "resource": "/mcp", "connection": connections[server], "target": target,
                "arguments_digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            });
            let about = (&*actor, &*target, Some(&*id));
            let started = ("capability.execute", AuditPhase::Started, None);
            group.push(self.entry((writer, seq, at), started, about, body.clone()));
            body["outcome"] = json!(outcome);
            body["decision"] = json!("allow");
            body["credential"] = json!("shared");
            body["duration_ms"] = json!(40 + number % 900);
            let ended = ("capability.execute", AuditPhase::Completed, Some(outcome));
            let later = at.plus(Duration::from_millis(40));
            group.push(self.entry((writer, seq + 1, later), ended, about, body));
            let key = UsageKey {
                organization: self.app.organization,
                day: at.day(),
                caller: actor,
                connection: connections[server].to_string(),
                outcome: outcome.as_str(),
            };
            *sums.entry(key).or_insert_with(UsageSum::default) +=
                UsageSum { calls: 1, request_bytes: 120, response_bytes: 900, duration_ms: 80 };
            if group.len() >= GROUP {
                self.app.db.append_audit(&group).await.unwrap();
                group.clear();
            }
        }
        self.app.db.append_audit(&group).await.unwrap();
        let sums: Vec<_> = sums.into_iter().collect();
        for sums in sums.chunks(GROUP) {
            let mut tx = self.app.db.write().await.unwrap();
            tx.usage().add(sums).await.unwrap();
            tx.commit().await.unwrap();
        }
        middle
    }

    fn entry(
        &self,
        (writer, seq, at): (WriterId, i64, Timestamp),
        (action, phase, outcome): (&'static str, AuditPhase, Option<AuditOutcome>),
        (actor, target, call): (&str, &str, Option<&str>),
        mut body: serde_json::Value,
    ) -> AuditEntry {
        body["action"] = json!(action);
        body["phase"] = json!(phase);
        AuditEntry {
            organization: self.app.organization,
            writer,
            seq,
            at,
            phase,
            action: action.into(),
            call_id: call.map(str::to_owned),
            actor: Some(actor.to_owned()),
            target: Some(target.to_owned()),
            outcome,
            previous_hash: [0; 32],
            hash: [0; 32],
            body: body.to_string(),
        }
    }
}
