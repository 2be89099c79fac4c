//! One static SQL text per statement, for both databases. sqlx takes `$1` on SQLite too; where a text must
//! differ (`FOR UPDATE`, JSON functions) the statement has one for each.

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// One statement. The inventory ([`crate::statements`]) is prepared on both databases by a test.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    /// Module and constant, to find it.
    pub name: &'static str,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

impl Statement {
    pub const fn on(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }
}

/// Declares a module's statements and the list `ALL` of them.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $body:tt;)*) => {
        $($(#[$doc])* pub(crate) const $name: crate::statement::Statement = crate::statement::statements!(@one $name $body);)*

        /// Every statement of this module.
        pub(crate) const ALL: &[crate::statement::Statement] = &[$($name),*];
    };
    (@one $name:ident { sqlite: $sqlite:expr, postgres: $postgres:expr $(,)? }) => {
        crate::statement::Statement {
            name: concat!(module_path!(), "::", stringify!($name)),
            sqlite: $sqlite,
            postgres: $postgres,
        }
    };
    // A text put together at compile time: `(concat!("SELECT ", columns!(), " FROM …"))`.
    (@one $name:ident ($both:expr)) => {
        crate::statement::Statement {
            name: concat!(module_path!(), "::", stringify!($name)),
            sqlite: $both,
            postgres: $both,
        }
    };
    (@one $name:ident $both:literal) => {
        crate::statement::Statement {
            name: concat!(module_path!(), "::", stringify!($name)),
            sqlite: $both,
            postgres: $both,
        }
    };
}
pub(crate) use statements;

/// Runs one body on the transaction's own driver: sqlx's types differ per database, the words do not.
macro_rules! on_driver {
    ($tx:expr, $statement:expr, |$sql:ident, $connection:ident| $body:expr) => {
        match $tx.driver() {
            crate::transaction::Driver::Sqlite(link) => {
                let $connection = link.connection();
                let $sql = $statement.on(crate::Dialect::Sqlite);
                $body
            }
            crate::transaction::Driver::Postgres(link) => {
                let $connection = link.connection();
                let $sql = $statement.on(crate::Dialect::Postgres);
                $body
            }
        }
    };
}
pub(crate) use on_driver;

/// Executes a statement: how many rows it touched.
macro_rules! execute {
    ($tx:expr, $statement:expr $(, $argument:expr)* $(,)?) => {
        crate::statement::on_driver!($tx, $statement, |sql, connection| {
            sqlx::query(sql)$(.bind($argument))*.execute(connection).await.map(|done| done.rows_affected())
        })
        .map_err(crate::StorageError::from)
    };
}
pub(crate) use execute;

/// At most one row.
macro_rules! fetch_optional {
    ($tx:expr, $statement:expr => $row:ty $(, $argument:expr)* $(,)?) => {
        crate::statement::on_driver!($tx, $statement, |sql, connection| {
            sqlx::query_as::<_, $row>(sql)$(.bind($argument))*.fetch_optional(connection).await
        })
        .map_err(crate::StorageError::from)
    };
}
pub(crate) use fetch_optional;

/// Every row.
macro_rules! fetch_all {
    ($tx:expr, $statement:expr => $row:ty $(, $argument:expr)* $(,)?) => {
        crate::statement::on_driver!($tx, $statement, |sql, connection| {
            sqlx::query_as::<_, $row>(sql)$(.bind($argument))*.fetch_all(connection).await
        })
        .map_err(crate::StorageError::from)
    };
}
pub(crate) use fetch_all;
