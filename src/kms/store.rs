//! The durable form of the key service's state: one `SQLite` file, one transaction per change.
//!
//! Write-ahead log, `synchronous=FULL`: a change is on disk when its transaction has ended, and a
//! SIGKILL or a power loss leaves either all of it or nothing.

use std::{fs, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc, time::Duration};

use rusqlite::{Connection, Row, named_params};

use super::{
    HomeError,
    api::{KeyState, RotationType, Tag, Timestamp},
    material::{KeyVersion, SealedMaterial},
    name::{AliasName, KeyId, Place},
    state::{Alias, Key, Policies, State},
};
use crate::crypto::SecretKey;

/// Each entry brings the schema from its index to the next version (`PRAGMA user_version`).
/// Entries are never edited once released, only added.
const MIGRATIONS: &[&str] = &["CREATE TABLE service (epoch INTEGER NOT NULL) STRICT;
     INSERT INTO service VALUES (0);
     CREATE TABLE keys (
         id TEXT PRIMARY KEY,
         created INTEGER NOT NULL,     -- milliseconds since 1970
         state TEXT NOT NULL,          -- KeyState of the API
         description TEXT NOT NULL,
         tags TEXT NOT NULL,           -- JSON list of Tag
         policy TEXT NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE materials (
         key_id TEXT NOT NULL REFERENCES keys,
         version INTEGER NOT NULL,
         created INTEGER NOT NULL,
         rotation TEXT,                -- RotationType of the API; NULL: the key's first
         sealed BLOB NOT NULL,
         PRIMARY KEY (key_id, version)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE aliases (
         name TEXT PRIMARY KEY,
         key_id TEXT NOT NULL REFERENCES keys,
         created INTEGER NOT NULL,
         updated INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;"];

/// The open database.
pub(super) struct Store {
    database: Connection,
}

impl Store {
    /// Opens or creates the file at `path` and brings its schema up to date.
    pub(super) fn open(path: &Path) -> Result<Self, HomeError> {
        // Created here so that it is never readable by others, whatever the umask.
        fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(HomeError::io("open the key store", path))?;
        let store = Connection::open(path).and_then(|database| {
            // Only the owner of the home's lock opens it; a predecessor may be ending still.
            database.busy_timeout(Duration::from_secs(5))?;
            database.pragma_update(None, "journal_mode", "WAL")?;
            database.pragma_update(None, "synchronous", "FULL")?;
            database.pragma_update(None, "foreign_keys", true)?;
            Ok(Self { database })
        });
        let mut store = store.map_err(HomeError::store(path))?;
        store.migrate(path)?;
        Ok(store)
    }

    fn migrate(&mut self, path: &Path) -> Result<(), HomeError> {
        let version: u32 = self
            .database
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(HomeError::store(path))?;
        let done = version as usize;
        let Some(pending) = MIGRATIONS.get(done..) else {
            return Err(HomeError::NewerFormat {
                path: path.to_owned(),
                found: version.into(),
                supported: MIGRATIONS.len() as u64,
            });
        };
        for (version, migration) in (version + 1..).zip(pending) {
            let migrated = self.database.transaction().and_then(|transaction| {
                transaction.execute_batch(migration)?;
                transaction.pragma_update(None, "user_version", version)?;
                transaction.commit()
            });
            migrated.map_err(HomeError::store(path))?;
        }
        Ok(())
    }

    /// Reads everything. `path` is for messages.
    pub(super) fn load(
        &self,
        path: &Path,
        root: &SecretKey,
        place: &Place,
    ) -> Result<State, HomeError> {
        let mut state = State {
            epoch: self.epoch().map_err(HomeError::store(path))?,
            ..State::default()
        };
        let mut policies = Policies::default();
        for row in self.key_rows().map_err(HomeError::store(path))? {
            let key = row.into_key(place, &mut policies);
            let key = key.map_err(|reason| HomeError::corrupt(path, &reason))?;
            state.keys.insert(key.id, Arc::new(key));
        }
        for (id, sealed) in self.material_rows().map_err(HomeError::store(path))? {
            let version = sealed.version.0;
            let damaged =
                |what| HomeError::corrupt(path, &format!("version {version} of key {id} {what}"));
            let material = sealed
                .open(root, id)
                .map_err(|_| damaged("does not open under the root key"))?;
            let key = state
                .keys
                .get_mut(&id)
                .ok_or_else(|| damaged("has no key"))?;
            let key = Arc::get_mut(key).expect("nobody else has seen the state yet");
            key.materials.push(Arc::new(material));
        }
        if let Some(key) = state.keys.values().find(|key| key.materials.is_empty()) {
            return Err(HomeError::corrupt(
                path,
                &format!("key {} has no material", key.id),
            ));
        }
        state
            .aliases
            .extend(self.alias_rows().map_err(HomeError::store(path))?);
        Ok(state)
    }

    fn epoch(&self) -> rusqlite::Result<u64> {
        let epoch: i64 = self
            .database
            .query_row("SELECT epoch FROM service", [], |row| row.get(0))?;
        Ok(epoch.cast_unsigned())
    }

    fn key_rows(&self) -> rusqlite::Result<Vec<KeyRow>> {
        let sql = "SELECT id, created, state, description, tags, policy FROM keys";
        self.database
            .prepare(sql)?
            .query_map([], KeyRow::read)?
            .collect()
    }

    fn material_rows(&self) -> rusqlite::Result<Vec<(KeyId, SealedMaterial)>> {
        let sql = "SELECT key_id, version, created, rotation, sealed FROM materials
                   ORDER BY key_id, version";
        let mut statement = self.database.prepare(sql)?;
        let rows = statement.query_map([], |row| {
            let rotation: Option<String> = row.get(3)?;
            let sealed = SealedMaterial {
                version: KeyVersion(row.get(1)?),
                created: Timestamp {
                    millis: row.get(2)?,
                },
                rotation: rotation
                    .map(|text| parse::<RotationType>(3, &text))
                    .transpose()?,
                sealed: row.get(4)?,
            };
            Ok((key_id(row, 0)?, sealed))
        })?;
        rows.collect()
    }

    fn alias_rows(&self) -> rusqlite::Result<Vec<(AliasName, Alias)>> {
        let sql = "SELECT name, key_id, created, updated FROM aliases";
        let mut statement = self.database.prepare(sql)?;
        let rows = statement.query_map([], |row| {
            let name: String = row.get(0)?;
            let alias = Alias {
                key: key_id(row, 1)?,
                created: Timestamp {
                    millis: row.get(2)?,
                },
                updated: Timestamp {
                    millis: row.get(3)?,
                },
            };
            Ok((AliasName::known(&name), alias))
        })?;
        rows.collect()
    }

    /// Begins a change; it ends with [`Self::commit`] or [`Self::roll_back`].
    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.database.execute_batch("BEGIN IMMEDIATE")
    }

    /// Makes the change durable and answers with the new epoch.
    pub(super) fn commit(&mut self) -> rusqlite::Result<u64> {
        self.database
            .execute_batch("UPDATE service SET epoch = epoch + 1")?;
        let epoch = self.epoch()?;
        self.database.execute_batch("COMMIT")?;
        Ok(epoch)
    }

    /// Undoes what the change did so far.
    pub(super) fn roll_back(&mut self) {
        // An error that ended the transaction by itself leaves nothing to undo.
        if !self.database.is_autocommit()
            && let Err(error) = self.database.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "cannot roll back a change of the key store");
        }
    }

    pub(super) fn insert_key(&mut self, key: &Key, first: &SealedMaterial) -> rusqlite::Result<()> {
        let tags = serde_json::to_string(&*key.tags).expect("tags are plain text");
        self.database.execute(
            "INSERT INTO keys (id, created, state, description, tags, policy)
             VALUES (:id, :created, :state, :description, :tags, :policy)",
            named_params! {
                ":id": key.id.to_string(),
                ":created": key.created.millis,
                ":state": key.state.as_str(),
                ":description": key.description,
                ":tags": tags,
                ":policy": key.policy.source(),
            },
        )?;
        self.insert_material(key.id, first)
    }

    pub(super) fn insert_material(
        &mut self,
        key: KeyId,
        material: &SealedMaterial,
    ) -> rusqlite::Result<()> {
        self.database.execute(
            "INSERT INTO materials (key_id, version, created, rotation, sealed)
             VALUES (:key, :version, :created, :rotation, :sealed)",
            named_params! {
                ":key": key.to_string(),
                ":version": material.version.0,
                ":created": material.created.millis,
                ":rotation": material.rotation.map(RotationType::as_str),
                ":sealed": material.sealed,
            },
        )?;
        Ok(())
    }

    pub(super) fn set_key_state(&mut self, key: KeyId, state: KeyState) -> rusqlite::Result<()> {
        self.database.execute(
            "UPDATE keys SET state = :state WHERE id = :id",
            named_params! { ":state": state.as_str(), ":id": key.to_string() },
        )?;
        Ok(())
    }

    pub(super) fn set_policy(&mut self, key: KeyId, policy: &str) -> rusqlite::Result<()> {
        self.database.execute(
            "UPDATE keys SET policy = :policy WHERE id = :id",
            named_params! { ":policy": policy, ":id": key.to_string() },
        )?;
        Ok(())
    }

    pub(super) fn put_alias(&mut self, name: &AliasName, alias: &Alias) -> rusqlite::Result<()> {
        self.database.execute(
            "INSERT OR REPLACE INTO aliases (name, key_id, created, updated)
             VALUES (:name, :key, :created, :updated)",
            named_params! {
                ":name": name.as_str(),
                ":key": alias.key.to_string(),
                ":created": alias.created.millis,
                ":updated": alias.updated.millis,
            },
        )?;
        Ok(())
    }

    pub(super) fn delete_alias(&mut self, name: &AliasName) -> rusqlite::Result<()> {
        self.database.execute(
            "DELETE FROM aliases WHERE name = :name",
            named_params! { ":name": name.as_str() },
        )?;
        Ok(())
    }
}

/// A row of `keys`, not yet interpreted.
struct KeyRow {
    id: KeyId,
    created: Timestamp,
    state: KeyState,
    description: String,
    tags: String,
    policy: String,
}

impl KeyRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: key_id(row, 0)?,
            created: Timestamp {
                millis: row.get(1)?,
            },
            state: parse(2, &row.get::<_, String>(2)?)?,
            description: row.get(3)?,
            tags: row.get(4)?,
            policy: row.get(5)?,
        })
    }

    fn into_key(self, place: &Place, policies: &mut Policies) -> Result<Key, String> {
        let tags: Vec<Tag> = serde_json::from_str(&self.tags)
            .map_err(|error| format!("the tags of key {}: {error}", self.id))?;
        let policy = policies
            .parse(&self.policy)
            .map_err(|refused| format!("the policy of key {}: {refused}", self.id))?;
        Ok(Key {
            id: self.id,
            arn: place.key_arn(self.id),
            created: self.created,
            state: self.state,
            description: self.description,
            tags: tags.into(),
            policy,
            materials: Vec::with_capacity(1),
        })
    }
}

fn key_id(row: &Row<'_>, column: usize) -> rusqlite::Result<KeyId> {
    let text: String = row.get(column)?;
    parse(column, &text)
}

fn parse<T: std::str::FromStr>(column: usize, text: &str) -> rusqlite::Result<T>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            error.to_string().into(),
        )
    })
}

#[cfg(test)]
mod tests;
