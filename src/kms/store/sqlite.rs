//! The embedded store: one `SQLite` file.
//!
//! Write-ahead log, `synchronous=FULL`: a change is on disk when its transaction has ended, and a
//! SIGKILL or a power loss leaves either all of it or nothing.

use std::{fs, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc, time::Duration};

use rusqlite::{Connection, named_params};

use super::{
    Store, StoreError,
    rows::{self, KeyRow},
    schema::MIGRATIONS,
};
use crate::{
    crypto::SecretKey,
    kms::{
        HomeError,
        api::{Origin, RotationType, Timestamp},
        identities::{AccessKey, User},
        key::{Key, LastUse},
        material::SealedMaterial,
        name::{AliasName, KeyId, Place, Region},
        state::{Alias, Grant, GrantId, Policies, State, Write},
    },
    policy::DocumentKind,
};

/// The open database.
pub(in crate::kms) struct Sqlite {
    database: Connection,
}

impl Sqlite {
    /// Opens or creates the file at `path` and brings its schema up to date.
    pub(in crate::kms) fn open(path: &Path, place: &Place) -> Result<Self, HomeError> {
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
            database.set_prepared_statement_cache_capacity(32);
            Ok(Self { database })
        });
        let mut store = store.map_err(HomeError::store(path))?;
        store.migrate(path, &place.region)?;
        // After the migrations: a renamed table would drag the references to it along.
        let enforced = store.database.pragma_update(None, "foreign_keys", true);
        enforced.map_err(HomeError::store(path))?;
        Ok(store)
    }

    fn migrate(&mut self, path: &Path, region: &Region) -> Result<(), HomeError> {
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
                transaction.execute_batch("CREATE TEMP TABLE home (region TEXT NOT NULL)")?;
                transaction.execute("INSERT INTO temp.home VALUES (?1)", [region.as_str()])?;
                transaction.execute_batch(migration)?;
                transaction.execute_batch("DROP TABLE temp.home")?;
                transaction.pragma_update(None, "user_version", version)?;
                transaction.commit()
            });
            migrated.map_err(HomeError::store(path))?;
        }
        Ok(())
    }

    /// Reads everything. `path` is for messages.
    pub(in crate::kms) fn load(
        &self,
        path: &Path,
        root: &SecretKey,
        place: &Place,
        policies: &mut Policies,
    ) -> Result<State, HomeError> {
        let store = HomeError::store;
        let mut state = State::default();
        state.epoch = self.epoch().map_err(store(path))?;
        let mut materials = rows::materials(&self.database)
            .map_err(store(path))?
            .into_iter()
            .peekable();
        for row in KeyRow::all(&self.database).map_err(store(path))? {
            let key = row.into_key(place, policies);
            let mut key = key.map_err(|reason| HomeError::corrupt(path, &reason))?;
            // Both are in the order of Region and id.
            let own = |(region, id, _): &(Region, KeyId, SealedMaterial)| {
                *region == key.region && *id == key.id
            };
            while let Some((_, id, sealed)) = materials.next_if(own) {
                let version = sealed.facts.version.0;
                let material = sealed.open(root, id, key.spec).map_err(|_| {
                    let what =
                        format!("version {version} of key {id} does not open under the root key");
                    HomeError::corrupt(path, &what)
                })?;
                key.materials.push(Arc::new(material));
            }
            if key.materials.is_empty() && key.origin != Origin::External {
                let what = format!("key {} has no material", key.id);
                return Err(HomeError::corrupt(path, &what));
            }
            state.apply(Write::Key(Arc::new(key)));
        }
        if let Some((_, id, _)) = materials.next() {
            let what = format!("there is material of a key {id} that is not there");
            return Err(HomeError::corrupt(path, &what));
        }
        for (region, name, alias) in rows::aliases(&self.database).map_err(store(path))? {
            state.apply(Write::Alias(region, name, alias));
        }
        for grant in rows::grants(&self.database).map_err(store(path))? {
            state.apply(Write::Grant(Arc::new(grant)));
        }
        for (region, id, last) in rows::uses(&self.database).map_err(store(path))? {
            if let Some(key) = state.key(&region, id) {
                *key.last_use.lock() = Some(last);
            }
        }
        let identities = rows::identity_policies(&self.database).map_err(store(path))?;
        for (principal, name, document) in identities {
            let document = policies.parse(DocumentKind::Identity, document);
            let document = document.map_err(|refused| {
                let what = format!("the policy {name} of {principal}: {refused}");
                HomeError::corrupt(path, &what)
            })?;
            state.apply(Write::IdentityPolicy(principal, name, document));
        }
        self.load_identities(path, root, &mut state)?;
        Ok(state)
    }

    fn load_identities(
        &self,
        path: &Path,
        root: &SecretKey,
        state: &mut State,
    ) -> Result<(), HomeError> {
        let store = HomeError::store;
        for user in rows::users(&self.database).map_err(store(path))? {
            state.apply(Write::User(Arc::new(user)));
        }
        for sealed in rows::access_keys(&self.database).map_err(store(path))? {
            let damaged = format!("access key {} does not open under the root key", sealed.id);
            let key = sealed.open(root);
            let key = key.map_err(|_| HomeError::corrupt(path, &damaged))?;
            state.identities.put_key(Arc::new(key));
        }
        for uid in rows::mount_users(&self.database).map_err(store(path))? {
            state.apply(Write::MountUser(uid));
        }
        Ok(())
    }

    /// Whether there is neither a key nor a user.
    pub(in crate::kms) fn is_empty(&self, path: &Path) -> Result<bool, HomeError> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM keys) AND NOT EXISTS (SELECT 1 FROM users)";
        let empty = self.database.query_row(sql, [], |row| row.get(0));
        empty.map_err(HomeError::store(path))
    }

    fn epoch(&self) -> rusqlite::Result<u64> {
        let epoch: i64 = self
            .database
            .query_row("SELECT epoch FROM service", [], |row| row.get(0))?;
        Ok(epoch.cast_unsigned())
    }

    fn write(&self, write: &Write) -> rusqlite::Result<()> {
        match write {
            Write::Key(key) => self.put_key(key),
            Write::ForgetKey(region, id) => self.run(
                "DELETE FROM keys WHERE region = ?1 AND id = ?2",
                &[region.as_str(), &id.to_string()],
            ),
            Write::Material(region, key, material) => self.put_material(region, *key, material),
            Write::ForgetMaterial(region, key, version) => self
                .database
                .prepare_cached(
                    "DELETE FROM materials WHERE region = ?1 AND key_id = ?2 AND version = ?3",
                )?
                .execute((region.as_str(), key.to_string(), version.0))
                .map(drop),
            Write::Alias(region, name, alias) => self.put_alias(region, name, alias),
            Write::ForgetAlias(region, name) => self.run(
                "DELETE FROM aliases WHERE region = ?1 AND name = ?2",
                &[region.as_str(), name.as_str()],
            ),
            Write::Grant(grant) => self.put_grant(grant),
            Write::ForgetGrant(region, key, GrantId(id)) => self.run(
                "DELETE FROM grants WHERE region = ?1 AND key_id = ?2 AND id = ?3",
                &[region.as_str(), &key.to_string(), id],
            ),
            Write::IdentityPolicy(principal, name, document) => self.run(
                "INSERT OR REPLACE INTO identity_policies (principal, name, document)
                 VALUES (?1, ?2, ?3)",
                &[principal, name, document.source()],
            ),
            Write::ForgetIdentityPolicy(principal, name) => self.run(
                "DELETE FROM identity_policies WHERE principal = ?1 AND name = ?2",
                &[principal, name],
            ),
            Write::User(user) => self.put_user(user),
            Write::ForgetUser(arn) => self.run("DELETE FROM users WHERE arn = ?1", &[arn]),
            Write::AccessKey(key, sealed) => self.put_access_key(key, sealed),
            Write::ForgetAccessKey(id) => self.run("DELETE FROM access_keys WHERE id = ?1", &[id]),
            Write::MountUser(uid) => self.run(
                "INSERT OR IGNORE INTO mount_users VALUES (CAST(?1 AS INTEGER))",
                &[&uid.to_string()],
            ),
            Write::ForgetMountUser(uid) => self.run(
                "DELETE FROM mount_users WHERE uid = CAST(?1 AS INTEGER)",
                &[&uid.to_string()],
            ),
        }
    }

    fn run(&self, sql: &str, texts: &[&str]) -> rusqlite::Result<()> {
        let mut statement = self.database.prepare_cached(sql)?;
        statement
            .execute(rusqlite::params_from_iter(texts))
            .map(drop)
    }

    fn put_key(&self, key: &Key) -> rusqlite::Result<()> {
        // Not REPLACE, which would delete the row first and all that refers to it.
        let sql = "INSERT INTO keys (region, id, created, state, spec, usage, origin, manager,
                 description, tags, policy, primary_region, deletion_window, deletion_date,
                 rotation_period, next_rotation)
             VALUES (:region, :id, :created, :state, :spec, :usage, :origin, :manager,
                 :description, :tags, :policy, :primary, :deletion_window, :deletion_date,
                 :rotation_period, :next_rotation)
             ON CONFLICT (region, id) DO UPDATE SET state = :state, manager = :manager,
                 description = :description, tags = :tags, policy = :policy,
                 primary_region = :primary, deletion_window = :deletion_window,
                 deletion_date = :deletion_date, rotation_period = :rotation_period,
                 next_rotation = :next_rotation";
        let tags = serde_json::to_string(&*key.tags).expect("tags are plain text");
        self.database.prepare_cached(sql)?.execute(named_params! {
            ":region": key.region.as_str(),
            ":id": key.id.to_string(),
            ":created": key.created.millis,
            ":state": key.state.as_str(),
            ":spec": key.spec.as_str(),
            ":usage": key.usage.as_str(),
            ":origin": key.origin.as_str(),
            ":manager": key.manager.as_str(),
            ":description": key.description,
            ":tags": tags,
            ":policy": key.policy.source(),
            ":primary": key.primary.as_ref().map(Region::as_str),
            ":deletion_window": key.deletion.map(|deletion| deletion.window_days),
            ":deletion_date": millis(key.deletion.and_then(|deletion| deletion.date)),
            ":rotation_period": key.rotation.map(|rotation| rotation.period_days),
            ":next_rotation": millis(key.rotation.map(|rotation| rotation.next)),
        })?;
        Ok(())
    }

    fn put_user(&self, user: &User) -> rusqlite::Result<()> {
        let sql = "INSERT INTO users (arn, name, account, groups, mount, created)
             VALUES (:arn, :name, :account, :groups, :mount, :created)
             ON CONFLICT (arn) DO UPDATE SET groups = :groups, mount = :mount";
        let groups = serde_json::to_string(&user.principal.also).expect("plain text");
        self.database.prepare_cached(sql)?.execute(named_params! {
            ":arn": user.arn(),
            ":name": user.name,
            ":account": user.principal.account,
            ":groups": groups,
            ":mount": user.mount,
            ":created": user.created.millis,
        })?;
        Ok(())
    }

    fn put_access_key(&self, key: &AccessKey, sealed: &[u8]) -> rusqlite::Result<()> {
        let sql = "INSERT INTO access_keys (id, user_arn, secret, active, created)
             VALUES (:id, :user, :secret, :active, :created)";
        self.database.prepare_cached(sql)?.execute(named_params! {
            ":id": key.id,
            ":user": key.user_arn,
            ":secret": sealed,
            ":active": key.active,
            ":created": key.created.millis,
        })?;
        Ok(())
    }

    fn put_material(
        &self,
        region: &Region,
        key: KeyId,
        material: &SealedMaterial,
    ) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO materials (region, key_id, version, created, rotation,
                 sealed, material_id, waiting, valid_to, description)
             VALUES (:region, :key, :version, :created, :rotation, :sealed, :id, :waiting,
                 :valid_to, :description)";
        let facts = &material.facts;
        self.database.prepare_cached(sql)?.execute(named_params! {
            ":region": region.as_str(),
            ":key": key.to_string(),
            ":version": facts.version.0,
            ":created": facts.created.millis,
            ":rotation": facts.rotation.map(RotationType::as_str),
            ":sealed": material.sealed,
            ":id": material.id.map(|id| id.0),
            ":waiting": facts.waiting,
            ":valid_to": millis(facts.valid_to),
            ":description": facts.description,
        })?;
        Ok(())
    }

    fn put_alias(&self, region: &Region, name: &AliasName, alias: &Alias) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO aliases (region, name, key_id, created, updated)
             VALUES (:region, :name, :key, :created, :updated)";
        self.database.prepare_cached(sql)?.execute(named_params! {
            ":region": region.as_str(),
            ":name": name.as_str(),
            ":key": alias.key.to_string(),
            ":created": alias.created.millis,
            ":updated": alias.updated.millis,
        })?;
        Ok(())
    }

    fn put_grant(&self, grant: &Grant) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO grants (region, key_id, id, created, name, grantee,
                 retiring, issuing_account, operations, constraints)
             VALUES (:region, :key, :id, :created, :name, :grantee, :retiring, :issuer,
                 :operations, :constraints)";
        let json = |value: serde_json::Result<String>| value.expect("plain text");
        let constraints = grant.constraints.as_ref();
        self.database.prepare_cached(sql)?.execute(named_params! {
            ":region": grant.region.as_str(),
            ":key": grant.key.to_string(),
            ":id": grant.id.0,
            ":created": grant.created.millis,
            ":name": grant.name,
            ":grantee": grant.grantee,
            ":retiring": grant.retiring,
            ":issuer": grant.issuing_account,
            ":operations": json(serde_json::to_string(&grant.operations)),
            ":constraints": constraints.map(|some| json(serde_json::to_string(some))),
        })?;
        Ok(())
    }
}

impl Store for Sqlite {
    fn begin(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        self.database.execute_batch("BEGIN IMMEDIATE")?;
        Ok(writes.iter().try_for_each(|write| self.write(write))?)
    }

    fn commit(&mut self) -> Result<u64, StoreError> {
        self.database
            .execute_batch("UPDATE service SET epoch = epoch + 1")?;
        let epoch = self.epoch()?;
        self.database.execute_batch("COMMIT")?;
        Ok(epoch)
    }

    fn save_uses(&mut self, uses: &[(Arc<Key>, LastUse)]) -> Result<(), StoreError> {
        let transaction = self.database.transaction()?;
        for (key, last) in uses {
            // A key that was deleted in the meantime has no row to note it for.
            let sql = "INSERT OR REPLACE INTO uses
                 (region, key_id, operation, at, event_id, request_id)
                 SELECT region, id, :operation, :at, :event, :request FROM keys
                 WHERE region = :region AND id = :id";
            transaction.prepare_cached(sql)?.execute(named_params! {
                ":region": key.region.as_str(),
                ":id": key.id.to_string(),
                ":operation": last.operation.as_str(),
                ":at": last.at.millis,
                ":event": last.event_id,
                ":request": last.request_id,
            })?;
        }
        Ok(transaction.commit()?)
    }

    fn roll_back(&mut self) {
        // An error that ended the transaction by itself leaves nothing to undo.
        if !self.database.is_autocommit()
            && let Err(error) = self.database.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "cannot roll back a change of the key store");
        }
    }
}

fn millis(time: Option<Timestamp>) -> Option<i64> {
    time.map(|time| time.millis)
}
