//! The two migrated schemas say the same: tables, columns, nullability, uniqueness and foreign keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr as _,
};

use switchboard_storage::{Location, SealedColumn};
use switchboard_testkit::database::{TestDatabase, run, sqlite_only};

#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    /// Name, storage class, whether it must be there.
    columns: BTreeSet<(String, String, bool)>,
    /// Columns, whether only some rows.
    unique: BTreeSet<(Vec<String>, bool)>,
    /// Columns, parent, its columns, whether children go with it.
    references: BTreeSet<(Vec<String>, String, Vec<String>, bool)>,
    /// Columns of other indexes.
    indexes: BTreeSet<Vec<String>>,
}

/// Table, columns, parent, its columns, whether children go with it.
type ForeignKey = (String, Vec<String>, String, Vec<String>, bool);
type Schema = BTreeMap<String, Table>;

async fn sqlite_schema() -> Schema {
    let database = TestDatabase::sqlite().await;
    let options =
        sqlx::sqlite::SqliteConnectOptions::from_str("sqlite://").unwrap().filename(database.file());
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let mut schema = Schema::new();
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    for (name, sql) in tables {
        assert!(sql.trim_end().ends_with("STRICT"), "{name} is not STRICT");
        let mut table = Table::default();
        let columns: Vec<(String, String, bool)> =
            sqlx::query_as("SELECT name, type, \"notnull\" FROM pragma_table_info($1)")
                .bind(&name)
                .fetch_all(&pool)
                .await
                .unwrap();
        table.columns.extend(columns);
        let keys: Vec<String> =
            sqlx::query_scalar("SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk")
                .bind(&name)
                .fetch_all(&pool)
                .await
                .unwrap();
        if !keys.is_empty() {
            table.unique.insert((keys, false));
        }
        let indexes: Vec<(String, bool, bool)> =
            sqlx::query_as("SELECT name, \"unique\", partial FROM pragma_index_list($1)")
                .bind(&name)
                .fetch_all(&pool)
                .await
                .unwrap();
        for (index, unique, partial) in indexes {
            let columns: Vec<String> =
                sqlx::query_scalar("SELECT name FROM pragma_index_info($1) ORDER BY seqno")
                    .bind(index)
                    .fetch_all(&pool)
                    .await
                    .unwrap();
            if unique {
                table.unique.insert((columns, partial));
            } else {
                table.indexes.insert(columns);
            }
        }
        let references: Vec<(i64, String, String, String, String)> = sqlx::query_as(
            "SELECT id, \"table\", \"from\", \"to\", on_delete FROM pragma_foreign_key_list($1) ORDER BY id, seq",
        )
        .bind(&name)
        .fetch_all(&pool)
        .await
        .unwrap();
        let mut grouped: BTreeMap<i64, (Vec<String>, String, Vec<String>, bool)> = BTreeMap::new();
        for (id, parent, from, to, on_delete) in references {
            let entry = grouped.entry(id).or_default();
            entry.0.push(from);
            entry.1 = parent;
            entry.2.push(to);
            entry.3 = on_delete == "CASCADE";
        }
        table.references.extend(grouped.into_values());
        schema.insert(name, table);
    }
    schema
}

fn storage_class(kind: &str) -> String {
    match kind {
        "uuid" | "bytea" => "BLOB",
        "text" | "jsonb" => "TEXT",
        "bigint" | "boolean" => "INTEGER",
        other => panic!("a type with no counterpart on SQLite: {other}"),
    }
    .to_owned()
}

async fn postgres_schema() -> Schema {
    let database = TestDatabase::postgres().await;
    let Location::Postgres(url) = &database.options.location else { panic!("a PostgreSQL test database") };
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    let mut schema = Schema::new();
    let columns: Vec<(String, String, String, bool)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'NO' FROM information_schema.columns WHERE table_schema = 'public'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    for (table, column, kind, required) in columns {
        schema.entry(table).or_default().columns.insert((column, storage_class(&kind), required));
    }
    let indexes: Vec<(String, Vec<String>, bool, bool)> = sqlx::query_as(
        "SELECT t.relname::text, array(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (number, position) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.position), i.indisunique, i.indpred IS NOT NULL FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = 'public'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    for (table, columns, unique, partial) in indexes {
        let table = schema.get_mut(&table).unwrap();
        if unique {
            table.unique.insert((columns, partial));
        } else {
            table.indexes.insert(columns);
        }
    }
    let references: Vec<ForeignKey> = sqlx::query_as(
        "SELECT t.relname::text, array(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k (number, position) JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.position), p.relname::text, array(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS k (number, position) JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number ORDER BY k.position), c.confdeltype = 'c' FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class p ON p.oid = c.confrelid WHERE c.contype = 'f'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    for (table, from, parent, to, cascades) in references {
        schema.get_mut(&table).unwrap().references.insert((from, parent, to, cascades));
    }
    pool.close().await;
    schema
}

#[test]
fn both_schemas_are_the_same() {
    if sqlite_only() {
        return;
    }
    run(async {
        let (sqlite, postgres) = (sqlite_schema().await, postgres_schema().await);
        assert!(sqlite.len() >= 18, "{:?}", sqlite.keys());
        assert_eq!(sqlite.keys().collect::<Vec<_>>(), postgres.keys().collect::<Vec<_>>());
        for (name, table) in &sqlite {
            assert_eq!(table, &postgres[name], "{name}: SQLite left, PostgreSQL right");
        }
    });
}

#[test]
fn no_row_can_point_into_another_organization() {
    run(async {
        let schema = sqlite_schema().await;
        let tenant: BTreeSet<&str> = schema
            .iter()
            .filter(|(_, table)| table.columns.iter().any(|(column, ..)| column == "organization_id"))
            .map(|(name, _)| &**name)
            .collect();
        for name in &tenant {
            for (from, parent, to, _) in &schema[*name].references {
                if tenant.contains(&**parent) {
                    assert_eq!(from[0], "organization_id", "{name} -> {parent}");
                    assert_eq!(to[..], ["organization_id", "id"], "{name} -> {parent}");
                }
            }
            let leads_to_organization = schema[*name].references.iter().any(|(from, parent, ..)| {
                from[0] == "organization_id" && (parent == "organization" || tenant.contains(&**parent))
            });
            assert!(leads_to_organization, "{name}.organization_id refers to nothing");
        }
    });
}

/// What processes tell each other is forgotten minutes later, and read by nobody after that.
const FORGOTTEN_SOON: [&str; 2] = ["mcp_event", "mcp_letter"];

/// Whatever is sealed with a data key has to be there when keys are rotated and verified.
#[tokio::test]
async fn every_sealed_column_is_one_that_a_rotation_goes_through() {
    let sealed = |schema: Schema| -> BTreeSet<String> {
        let has_key = |table: &Table| table.columns.iter().any(|(name, ..)| name == "data_key_id");
        let kept = |name: &String| !FORGOTTEN_SOON.contains(&name.as_str());
        schema.into_iter().filter(|(_, table)| has_key(table)).map(|(name, _)| name).filter(kept).collect()
    };
    let known: BTreeSet<String> = SealedColumn::ALL.iter().map(|column| column.table().to_owned()).collect();
    assert_eq!(sealed(sqlite_schema().await), known);
}
