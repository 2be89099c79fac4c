//! The inventory of statements, held to the rules that no review would catch every time.

use std::{collections::BTreeSet, str::FromStr as _};

use sqlx::{Executor as _, SqlSafeStr as _};
use switchboard_storage::{Dialect, Location, Statement, statements};
use switchboard_testkit::database::{TestDatabase, run, sqlite_only};

/// Statements on tenant tables that can't name the organization first, each with why.
const ACROSS_ORGANIZATIONS: &[(&str, &str)] = &[
    (
        "credential::ANY",
        "whether anything is sealed at all, before any organization is known; returns one boolean",
    ),
    ("key::WRAPPED_BY_OTHERS", "rotating a key-encryption key goes through everybody's data keys"),
    ("invitation::FIND_BY_HASH", "the link says which organization it is of; its hash is unique among all"),
    ("member::FIND_EVERYWHERE", "sign-in starts with an address; the organization is picked afterwards"),
    ("member::ANY_OWNER", "whether the setup link is still needed; returns a count"),
    ("oauth_grant::FIND_BY_CODE", "the code says which organization it is of; its hash is unique among all"),
    (
        "oauth_grant::FIND_BY_REFRESH_TOKEN",
        "the refresh token says which organization it is of; its hash is unique among all",
    ),
    (
        "seen_client::FIND_ELSEWHERE",
        "whether a client is known elsewhere, and so is not forgotten; returns one row of nothing",
    ),
    (
        "upstream_authorization::FIND_BY_STATE",
        "the state says which organization it is of; its hash is unique among all",
    ),
    ("session::FIND_BY_HASH", "the cookie says which organization it is of; its hash is unique among all"),
    ("token::FIND_BY_HASH", "the token says which organization it is of; its hash is unique among all"),
];

async fn postgres_connection(database: &TestDatabase) -> sqlx::PgPool {
    let Location::Postgres(url) = &database.options.location else { panic!("a PostgreSQL test database") };
    sqlx::PgPool::connect(url).await.unwrap()
}

async fn sqlite_connection(database: &TestDatabase) -> sqlx::SqlitePool {
    let options =
        sqlx::sqlite::SqliteConnectOptions::from_str("sqlite://").unwrap().filename(database.file());
    sqlx::SqlitePool::connect_with(options).await.unwrap()
}

#[test]
fn every_statement_prepares_on_sqlite() {
    run(async {
        let database = TestDatabase::sqlite().await;
        let pool = sqlite_connection(&database).await;
        for statement in statements() {
            let sql = statement.on(Dialect::Sqlite).into_sql_str();
            pool.prepare(sql).await.unwrap_or_else(|error| panic!("{}: {error}", statement.name));
        }
    });
}

#[test]
fn every_statement_prepares_on_postgres() {
    if sqlite_only() {
        return;
    }
    run(async {
        let database = TestDatabase::postgres().await;
        let pool = postgres_connection(&database).await;
        for statement in statements() {
            let sql = statement.on(Dialect::Postgres).into_sql_str();
            pool.prepare(sql).await.unwrap_or_else(|error| panic!("{}: {error}", statement.name));
        }
        pool.close().await;
    });
}

#[test]
fn names_are_unique() {
    let names: Vec<_> = statements().map(|statement| statement.name).collect();
    let distinct: BTreeSet<_> = names.iter().collect();
    assert!(names.len() > 80, "the inventory is complete: {}", names.len());
    assert_eq!(names.len(), distinct.len());
}

/// Names of tables that carry an organization, from the schema itself.
async fn tenant_tables() -> BTreeSet<String> {
    let database = TestDatabase::sqlite().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'organization_id'",
    )
    .fetch_all(&sqlite_connection(&database).await)
    .await
    .unwrap();
    tables.into_iter().collect()
}

/// Tables of a statement: whatever follows FROM, JOIN, INTO or UPDATE, with the alias it is given.
fn tables(sql: &str, tenant: &BTreeSet<String>) -> Vec<(String, Option<String>)> {
    let words: Vec<&str> = sql.split([' ', '(', ')', ',']).filter(|word| !word.is_empty()).collect();
    let keyword = |word: &str| word.chars().all(|letter| letter.is_ascii_uppercase());
    words
        .windows(3)
        .filter(|three| ["FROM", "JOIN", "INTO", "UPDATE"].contains(&three[0]) && tenant.contains(three[1]))
        .map(|three| {
            let alias = Some(three[2]).filter(|word| !keyword(word) && word.len() == 1);
            (three[1].to_owned(), alias.map(str::to_owned))
        })
        .collect()
}

fn names_its_organization(sql: &str, table: &str, alias: Option<&str>) -> bool {
    if sql.contains(&format!("INSERT INTO {table} (organization_id, ")) {
        return true;
    }
    let prefix = alias.map_or_else(String::new, |alias| format!("{alias}."));
    [
        format!("WHERE {prefix}organization_id = "),
        format!("ON {prefix}organization_id = "),
        format!("WHERE {table}.organization_id = "),
    ]
    .iter()
    .any(|predicate| sql.contains(predicate.as_str()))
}

#[test]
fn every_statement_on_a_tenant_table_names_its_organization_first() {
    run(async {
        let tenant = tenant_tables().await;
        assert!(tenant.len() >= 13, "{tenant:?}");
        let allowed = |statement: &Statement| {
            ACROSS_ORGANIZATIONS.iter().any(|(name, _)| statement.name.ends_with(name))
        };
        let mut excused = 0;
        let mut checked = 0;
        for statement in statements() {
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                let sql = statement.on(dialect);
                for (table, alias) in tables(sql, &tenant) {
                    checked += 1;
                    if allowed(&statement) {
                        excused += 1;
                        continue;
                    }
                    let named = names_its_organization(sql, &table, alias.as_deref());
                    assert!(named, "{} does not name {table}.organization_id: {sql}", statement.name);
                }
            }
        }
        assert!(
            checked > 140 && excused >= ACROSS_ORGANIZATIONS.len(),
            "{checked} checked, {excused} excused"
        );
    });
}

#[test]
fn the_check_sees_a_statement_that_forgets() {
    let tenant = BTreeSet::from(["member".to_owned()]);
    let seen = tables("SELECT id FROM member WHERE id = $1", &tenant);
    assert_eq!(seen, [("member".to_owned(), None)]);
    assert!(!names_its_organization("SELECT id FROM member WHERE id = $1", "member", None));
    let joined =
        "SELECT 1 FROM token t LEFT JOIN member m ON m.id = t.member_id WHERE t.organization_id = $1";
    let seen = tables(joined, &tenant);
    assert_eq!(seen, [("member".to_owned(), Some("m".to_owned()))]);
    assert!(!names_its_organization(joined, "member", Some("m")));
}

/// What retention takes away goes through one statement, which asks for a signed checkpoint itself.
#[test]
fn audit_entries_are_never_changed_and_leave_by_one_door() {
    let is_door = |statement: &Statement| statement.name.ends_with("audit_head::DELETE_UP_TO_CHECKPOINT");
    let door = statements().find(is_door).expect("the door");
    assert!(door.on(Dialect::Sqlite).contains("EXISTS (SELECT 1 FROM audit_head h"));
    for statement in statements().filter(|statement| !is_door(statement)) {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let sql = statement.on(dialect).to_lowercase();
            for forbidden in ["update audit_entry", "delete from audit_entry", "replace into audit_entry"] {
                assert!(!sql.contains(forbidden), "{}: {sql}", statement.name);
            }
            assert!(!(sql.contains("into audit_entry") && sql.contains("on conflict")), "{}", statement.name);
        }
    }
}
