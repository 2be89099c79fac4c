//! Members as a list shows them to whoever looks after them: with filters, and when each was last seen.

use switchboard_domain::{OrganizationId, Role, Timestamp};
use uuid::Uuid;

use crate::{
    Member, MemberStatus, StorageError, Tx,
    member::{MemberRow, email_key},
    row::text,
    statement::{fetch_all, statements},
};

/// Which members; everything given must match. Removed ones are never listed.
#[derive(Debug, Clone, Default)]
pub struct PersonFilter {
    /// Part of an address or a name, in any capitals.
    pub text: Option<String>,
    pub role: Option<Role>,
    pub status: Option<MemberStatus>,
    /// The address after which the page begins.
    pub after: Option<String>,
}

/// A member, and when anything of theirs was last used: a browser or a token that is still known.
#[derive(Debug, Clone)]
pub struct Person {
    pub member: Member,
    pub last_seen_at: Option<Timestamp>,
}

statements! {
    LIST = "SELECT m.organization_id, m.id, m.email, m.display_name, m.role, m.status, m.created_at, m.updated_at, (SELECT max(s.last_seen_at) FROM session s WHERE s.organization_id = $1 AND s.member_id = m.id) AS in_browser, (SELECT max(t.last_used_at) FROM token t WHERE t.organization_id = $1 AND t.member_id = m.id) AS by_token FROM member m WHERE m.organization_id = $1 AND m.email_key > $2 AND m.status <> 'removed' AND ($3 = '' OR m.role = $3) AND ($4 = '' OR m.status = $4) AND ($5 = '' OR m.email_key LIKE $5 ESCAPE '!' OR lower(m.display_name) LIKE $5 ESCAPE '!') ORDER BY m.email_key LIMIT $6";
}

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(flatten)]
    member: MemberRow,
    in_browser: Option<i64>,
    by_token: Option<i64>,
}

impl TryFrom<Row> for Person {
    type Error = StorageError;

    fn try_from(row: Row) -> Result<Self, StorageError> {
        let last = row.in_browser.max(row.by_token);
        Ok(Self { member: row.member.try_into()?, last_seen_at: last.map(Timestamp::from_micros) })
    }
}

/// A pattern of `LIKE` for a part of a text; what `LIKE` itself would read is taken as it is written.
fn part(wanted: &str) -> String {
    let mut pattern = String::from("%");
    for character in text(wanted.trim()).to_lowercase().chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

impl Tx {
    /// Up to `limit` members that fit, by address.
    pub async fn people(
        &mut self,
        organization: OrganizationId,
        filter: &PersonFilter,
        limit: u32,
    ) -> Result<Vec<Person>, StorageError> {
        let after = filter.after.as_deref().map(email_key).unwrap_or_default();
        let role = filter.role.map(Role::as_str).unwrap_or_default();
        let status = filter.status.map(MemberStatus::as_str).unwrap_or_default();
        let wanted = filter.text.as_deref().map(part).unwrap_or_default();
        let org: Uuid = organization.as_uuid();
        fetch_all!(self, LIST => Row, org, after, role, status, wanted, i64::from(limit))?
            .into_iter()
            .map(Row::try_into)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn what_is_looked_for_is_no_pattern() {
        assert_eq!(part(" 100%_Ana! "), "%100!%!_ana!!%");
    }
}
