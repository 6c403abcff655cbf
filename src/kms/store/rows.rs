//! Reading rows.

use std::sync::Arc;

use rusqlite::{Connection, Row, types::ValueRef};

use crate::{
    kms::{
        api::{KeyManager, KeySpec, KeyState, KeyUsage, Origin, Tag, Timestamp},
        identities::{SealedAccessKey, User},
        key::{Deletion, Key, LastUse, RotationSchedule},
        material::{KeyVersion, MaterialFacts, MaterialId, SealedMaterial},
        name::{AliasName, KeyId, Place, Region},
        state::{Alias, Grant, GrantId, Policies},
    },
    policy::{DocumentKind, Principal},
};

/// A row of `keys`, not yet interpreted.
pub(super) struct KeyRow {
    region: Region,
    id: KeyId,
    created: Timestamp,
    state: KeyState,
    spec: KeySpec,
    usage: KeyUsage,
    origin: Origin,
    manager: KeyManager,
    description: String,
    tags: String,
    policy: String,
    primary: Option<Region>,
    deletion: Option<Deletion>,
    rotation: Option<RotationSchedule>,
}

impl KeyRow {
    pub(super) fn all(database: &Connection) -> rusqlite::Result<Vec<Self>> {
        let sql = "SELECT region, id, created, state, spec, usage, origin, manager, description,
                       tags, policy, primary_region, deletion_window, deletion_date,
                       rotation_period, next_rotation
                   FROM keys ORDER BY region, id";
        let mut statement = database.prepare(sql)?;
        statement.query_map([], Self::read)?.collect()
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let date = optional_time(row, 13)?;
        let next = optional_time(row, 15)?;
        Ok(Self {
            region: region(row, 0)?,
            id: parsed(row, 1)?,
            created: time(row, 2)?,
            state: parsed(row, 3)?,
            spec: parsed(row, 4)?,
            usage: parsed(row, 5)?,
            origin: parsed(row, 6)?,
            manager: parsed(row, 7)?,
            description: row.get(8)?,
            tags: row.get(9)?,
            policy: row.get(10)?,
            primary: match row.get_ref(11)? {
                ValueRef::Null => None,
                _ => Some(region(row, 11)?),
            },
            deletion: row
                .get::<_, Option<i32>>(12)?
                .map(|window_days| Deletion { window_days, date }),
            rotation: row
                .get::<_, Option<i32>>(14)?
                .zip(next)
                .map(|(period_days, next)| RotationSchedule { period_days, next }),
        })
    }

    pub(super) fn into_key(self, place: &Place, policies: &mut Policies) -> Result<Key, String> {
        let tags: Vec<Tag> = serde_json::from_str(&self.tags)
            .map_err(|error| format!("the tags of key {}: {error}", self.id))?;
        let policy = policies
            .parse(DocumentKind::Key, self.policy)
            .map_err(|refused| format!("the policy of key {}: {refused}", self.id))?;
        Ok(Key {
            arn: place.at(&self.region).key_arn(self.id),
            id: self.id,
            region: self.region,
            spec: self.spec,
            usage: self.usage,
            origin: self.origin,
            manager: self.manager,
            created: self.created,
            state: self.state,
            description: self.description,
            tags: tags.into(),
            policy,
            primary: self.primary,
            deletion: self.deletion,
            rotation: self.rotation,
            last_use: Arc::default(),
            materials: Vec::with_capacity(1),
        })
    }
}

/// The rows of `materials`, by key and version.
pub(super) fn materials(
    database: &Connection,
) -> rusqlite::Result<Vec<(Region, KeyId, SealedMaterial)>> {
    let sql = "SELECT region, key_id, version, created, rotation, sealed, material_id, waiting,
                   valid_to, description
               FROM materials ORDER BY region, key_id, version";
    let mut statement = database.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let facts = MaterialFacts {
            version: KeyVersion(row.get(2)?),
            created: time(row, 3)?,
            rotation: optional(row, 4)?,
            waiting: row.get(7)?,
            valid_to: optional_time(row, 8)?,
            description: row.get(9)?,
        };
        let sealed = SealedMaterial {
            facts,
            sealed: row.get(5)?,
            id: row.get::<_, Option<[u8; 32]>>(6)?.map(MaterialId),
        };
        Ok((region(row, 0)?, parsed(row, 1)?, sealed))
    })?;
    rows.collect()
}

pub(super) fn aliases(database: &Connection) -> rusqlite::Result<Vec<(Region, AliasName, Alias)>> {
    let sql = "SELECT region, name, key_id, created, updated FROM aliases";
    let mut statement = database.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let name: String = row.get(1)?;
        let alias = Alias {
            key: parsed(row, 2)?,
            created: time(row, 3)?,
            updated: time(row, 4)?,
        };
        Ok((region(row, 0)?, AliasName::known(&name), alias))
    })?;
    rows.collect()
}

pub(super) fn grants(database: &Connection) -> rusqlite::Result<Vec<Grant>> {
    let sql = "SELECT region, key_id, id, created, name, grantee, retiring, issuing_account,
                   operations, constraints
               FROM grants";
    let mut statement = database.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let constraints: Option<String> = row.get(9)?;
        Ok(Grant {
            region: region(row, 0)?,
            key: parsed(row, 1)?,
            id: GrantId(row.get(2)?),
            created: time(row, 3)?,
            name: row.get(4)?,
            grantee: row.get(5)?,
            retiring: row.get(6)?,
            issuing_account: row.get(7)?,
            operations: json(8, &row.get::<_, String>(8)?)?,
            constraints: constraints.map(|text| json(9, &text)).transpose()?,
        })
    })?;
    rows.collect()
}

pub(super) fn uses(database: &Connection) -> rusqlite::Result<Vec<(Region, KeyId, LastUse)>> {
    let sql = "SELECT region, key_id, operation, at, event_id, request_id FROM uses";
    let mut statement = database.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let last = LastUse {
            operation: parsed(row, 2)?,
            at: time(row, 3)?,
            event_id: row.get(4)?,
            request_id: row.get(5)?,
            unsaved: false,
        };
        Ok((region(row, 0)?, parsed(row, 1)?, last))
    })?;
    rows.collect()
}

/// ARN, name and text of each identity policy.
pub(super) fn users(database: &Connection) -> rusqlite::Result<Vec<User>> {
    let sql = "SELECT arn, name, account, groups, mount, created FROM users";
    let mut statement = database.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let principal = Principal {
            arn: row.get(0)?,
            account: row.get(2)?,
            also: json(3, &row.get::<_, String>(3)?)?,
        };
        Ok(User {
            name: row.get(1)?,
            created: time(row, 5)?,
            mount: row.get(4)?,
            principal: Arc::new(principal),
        })
    })?;
    rows.collect()
}

pub(super) fn access_keys(database: &Connection) -> rusqlite::Result<Vec<SealedAccessKey>> {
    let sql = "SELECT id, user_arn, secret, active, created FROM access_keys";
    let mut statement = database.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        Ok(SealedAccessKey {
            id: row.get(0)?,
            user_arn: row.get(1)?,
            sealed: row.get(2)?,
            active: row.get(3)?,
            created: time(row, 4)?,
        })
    })?;
    rows.collect()
}

pub(super) fn mount_users(database: &Connection) -> rusqlite::Result<Vec<u32>> {
    let mut statement = database.prepare("SELECT uid FROM mount_users")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}

pub(super) fn identity_policies(
    database: &Connection,
) -> rusqlite::Result<Vec<(String, String, String)>> {
    let sql = "SELECT principal, name, document FROM identity_policies";
    let mut statement = database.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let millis = row.get(column)?;
    Ok(Timestamp { millis })
}

fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(column)?;
    Ok(millis.map(|millis| Timestamp { millis }))
}

fn parsed<T: std::str::FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T::Err: std::fmt::Display,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error: T::Err| broken(column, &error))
}

fn region(row: &Row<'_>, column: usize) -> rusqlite::Result<Region> {
    let text = row.get_ref(column)?.as_str()?;
    Region::known(text).map_err(|error| broken(column, &error))
}

fn optional<T: std::str::FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>>
where
    T::Err: std::fmt::Display,
{
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => parsed(row, column).map(Some),
    }
}

fn json<T: serde::de::DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| broken(column, &error))
}

fn broken(column: usize, why: &impl std::fmt::Display) -> rusqlite::Error {
    let kind = rusqlite::types::Type::Text;
    rusqlite::Error::FromSqlConversionFailure(column, kind, why.to_string().into())
}
