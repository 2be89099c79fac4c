//! The private PostgreSQL and the databases in it.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    path::Path,
    process::Command,
    str::FromStr as _,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection,
    postgres::PgConnectOptions,
};
use switchboard_domain::Timestamp;
use switchboard_storage::{Db, Dialect, MIGRATIONS, Migrations, Options};

/// Any number will do, as long as nobody else uses it.
const TEMPLATE_LOCK: i64 = 0x7465_6d70_6c61_7465;

/// URL of the cluster's maintenance database.
fn cluster() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| std::env::var("SWITCHBOARD_TEST_POSTGRES_URL").unwrap_or_else(|_| start_cluster()))
}

#[expect(clippy::disallowed_methods, reason = "starts the tests' own database server")]
fn start_cluster() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/postgres.sh");
    let output = Command::new("bash").arg(&script).arg("start").output().expect("bash runs");
    assert!(
        output.status.success(),
        "tests on PostgreSQL need one: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout).expect("a URL").trim().to_owned()
}

fn database_url(name: &str) -> String {
    let base = cluster();
    let (server, query) = base.split_once('?').map_or((base, None), |(server, query)| (server, Some(query)));
    let server = server.rsplit_once('/').expect("a URL with a database").0;
    query.map_or_else(|| format!("{server}/{name}"), |query| format!("{server}/{name}?{query}"))
}

async fn connect(url: &str) -> PgConnection {
    PgConnectOptions::from_str(url)
        .expect("a PostgreSQL URL")
        .disable_statement_logging()
        .connect()
        .await
        .expect("the test PostgreSQL answers")
}

/// The name says which migrations it has: another branch's run gets another.
fn template_name() -> String {
    let mut hasher = DefaultHasher::new();
    for migration in MIGRATIONS {
        migration.text(Dialect::Postgres).hash(&mut hasher);
    }
    format!("switchboard_template_{:016x}", hasher.finish())
}

/// Makes the template unless it exists; one process at a time.
async fn ensure_template(connection: &mut PgConnection) -> String {
    let name = template_name();
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(&mut *connection)
        .await
        .expect("a lock");
    let known: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1 AND datistemplate)")
            .bind(&name)
            .fetch_one(&mut *connection)
            .await
            .expect("the list of databases");
    if !known {
        let statement = format!("DROP DATABASE IF EXISTS {name}");
        connection.execute(AssertSqlSafe(statement)).await.expect("no half-made template");
        connection
            .execute(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .await
            .expect("a template database");
        let migrations = Migrations::Apply { release: "template", now: Timestamp::from_micros(super::NOW) };
        let template =
            Db::open(&Options::postgres(database_url(&name)), migrations).await.expect("migrations apply");
        template.close().await;
        // Only now is it what it claims to be.
        let statement = format!("ALTER DATABASE {name} IS_TEMPLATE true");
        connection.execute(AssertSqlSafe(statement)).await.expect("a template");
    }
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(&mut *connection)
        .await
        .expect("unlocked");
    name
}

/// A database of one test's own; dropped with this value.
#[derive(Debug)]
pub(super) struct Database {
    name: String,
}

impl Database {
    pub(super) async fn from_template() -> Self {
        let mut connection = connect(cluster()).await;
        let template = ensure_template(&mut connection).await;
        Self::create(&mut connection, &format!("TEMPLATE {template}")).await
    }

    async fn create(connection: &mut PgConnection, how: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{count}", std::process::id());
        let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        connection.execute(AssertSqlSafe(statement)).await.expect("no database of an earlier process");
        let statement = format!("CREATE DATABASE {name} {how}");
        connection.execute(AssertSqlSafe(statement)).await.expect("a database for this test");
        Self { name }
    }

    pub(super) fn options(&self) -> Options {
        Options::postgres(database_url(&self.name))
    }
}

impl Database {
    /// Every row of every table as text, bytes in hex.
    pub(super) fn dump(&self) -> Vec<u8> {
        let url = database_url(&self.name);
        let dumped = aside(async move {
            let mut connection = connect(&url).await;
            let tables = "SELECT string_agg(format('SELECT t::text FROM %I t', tablename), ' UNION ALL ') FROM pg_tables \
                          WHERE schemaname = 'public'";
            let rows: Option<String> = sqlx::query_scalar(tables).fetch_one(&mut connection).await?;
            let rows: Vec<String> = match rows {
                Some(rows) => sqlx::query_scalar(AssertSqlSafe(rows)).fetch_all(&mut connection).await?,
                None => Vec::new(),
            };
            Ok::<_, sqlx::Error>(rows.join("\n").into_bytes())
        });
        dumped.expect("a thread").expect("the rows of the test's database")
    }
}

/// Runs this on a thread and a runtime of its own: where a value is dropped nothing can be awaited.
fn aside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> std::thread::Result<T> {
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
    })
    .join()
}

impl Drop for Database {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A test that failed already says why; this must not replace it.
        let _ = aside(async move {
            let mut connection = connect(cluster()).await;
            let _ = connection.execute(AssertSqlSafe(statement)).await;
            let _ = connection.close().await;
        });
    }
}

/// An empty database, for tests of migrating itself; removed with the second value.
pub async fn empty_postgres() -> (Options, impl std::fmt::Debug) {
    let mut connection = connect(cluster()).await;
    let database = Database::create(&mut connection, "").await;
    (database.options(), database)
}

/// The cluster's own maintenance database: for tests that stop, lock or look.
pub fn postgres_options() -> Options {
    Options::postgres(cluster())
}
