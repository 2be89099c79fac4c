//! What the tests of this binary share.

use switchboard_domain::Scope;
use switchboard_storage::{Db, Migrations, Options};
use switchboard_testkit::app::{App, McpClient};

pub(crate) const READ_WRITE: [Scope; 2] = [Scope::McpRead, Scope::McpWrite];

/// A database of the test's own; the directory goes with it.
pub(crate) async fn sqlite() -> (Db, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let migrate = Migrations::Apply { release: "test", now: switchboard_domain::Timestamp::from_micros(1) };
    let db = Db::open(&Options::sqlite(directory.path().join("test.db")), migrate).await.unwrap();
    (db, directory)
}

/// A client of the owner, who may search and execute.
pub(crate) async fn owner(app: &App) -> McpClient {
    app.client(&app.token(app.owner, &READ_WRITE).await)
}
