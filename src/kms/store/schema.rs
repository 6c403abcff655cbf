//! The database's schema, and the way from each version to the next.

/// Each entry brings the schema from its index to the next version (`PRAGMA user_version`).
/// Entries are never edited once released, only added. While they run, `temp.home` has one row: the
/// home's Region.
pub(super) const MIGRATIONS: &[&str] = &[
    "CREATE TABLE service (epoch INTEGER NOT NULL) STRICT;
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
     ) STRICT, WITHOUT ROWID;",
    // Regions, kinds of keys, grants, users. What was there is of the home's own Region, symmetric,
    // and made by its account.
    "ALTER TABLE keys RENAME TO keys_1;
     ALTER TABLE materials RENAME TO materials_1;
     ALTER TABLE aliases RENAME TO aliases_1;
     CREATE TABLE keys (
         region TEXT NOT NULL,
         id TEXT NOT NULL,
         created INTEGER NOT NULL,     -- milliseconds since 1970
         state TEXT NOT NULL,          -- KeyState of the API
         spec TEXT NOT NULL,           -- KeySpec
         usage TEXT NOT NULL,          -- KeyUsage
         origin TEXT NOT NULL,         -- Origin
         manager TEXT NOT NULL,        -- KeyManager
         description TEXT NOT NULL,
         tags TEXT NOT NULL,           -- JSON list of Tag
         policy TEXT NOT NULL,
         primary_region TEXT,          -- of a multi-Region key
         deletion_window INTEGER,      -- days; NULL: it is not to be deleted
         deletion_date INTEGER,        -- NULL as long as replicas remain
         rotation_period INTEGER,      -- days; NULL: it does not rotate by itself
         next_rotation INTEGER,
         PRIMARY KEY (region, id)
     ) STRICT, WITHOUT ROWID;
     INSERT INTO keys
         SELECT home.region, id, created, state, 'SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT', 'AWS_KMS',
             'CUSTOMER', description, tags, policy, NULL, NULL, NULL, NULL, NULL
         FROM keys_1, temp.home;
     CREATE TABLE materials (
         region TEXT NOT NULL,
         key_id TEXT NOT NULL,
         version INTEGER NOT NULL,
         created INTEGER NOT NULL,
         rotation TEXT,                -- RotationType of the API; NULL: the key's first
         sealed BLOB,                  -- NULL: imported, and expired or deleted
         material_id BLOB,             -- 32 bytes; NULL in rows of version 1
         waiting INTEGER NOT NULL,     -- 1: PENDING_ROTATION
         valid_to INTEGER,             -- when imported material expires
         description TEXT,
         PRIMARY KEY (region, key_id, version),
         FOREIGN KEY (region, key_id) REFERENCES keys ON DELETE CASCADE
     ) STRICT, WITHOUT ROWID;
     INSERT INTO materials
         SELECT home.region, key_id, version, created, rotation, sealed, NULL, 0, NULL, NULL
         FROM materials_1, temp.home;
     CREATE TABLE aliases (
         region TEXT NOT NULL,
         name TEXT NOT NULL,
         key_id TEXT NOT NULL,
         created INTEGER NOT NULL,
         updated INTEGER NOT NULL,
         PRIMARY KEY (region, name),
         FOREIGN KEY (region, key_id) REFERENCES keys ON DELETE CASCADE
     ) STRICT, WITHOUT ROWID;
     INSERT INTO aliases
         SELECT home.region, name, key_id, created, updated FROM aliases_1, temp.home;
     CREATE INDEX aliases_by_key ON aliases (region, key_id);
     DROP TABLE aliases_1;
     DROP TABLE materials_1;
     DROP TABLE keys_1;
     CREATE TABLE grants (
         region TEXT NOT NULL,
         key_id TEXT NOT NULL,
         id TEXT NOT NULL,
         created INTEGER NOT NULL,
         name TEXT,
         grantee TEXT NOT NULL,        -- ARN
         retiring TEXT,                -- ARN
         issuing_account TEXT NOT NULL,
         operations TEXT NOT NULL,     -- JSON list of GrantOperation
         constraints TEXT,             -- JSON of GrantConstraints
         PRIMARY KEY (region, key_id, id),
         FOREIGN KEY (region, key_id) REFERENCES keys ON DELETE CASCADE
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE uses (               -- the last use of each key
         region TEXT NOT NULL,
         key_id TEXT NOT NULL,
         operation TEXT NOT NULL,
         at INTEGER NOT NULL,
         event_id TEXT NOT NULL,
         PRIMARY KEY (region, key_id),
         FOREIGN KEY (region, key_id) REFERENCES keys ON DELETE CASCADE
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE users (
         arn TEXT PRIMARY KEY,
         name TEXT NOT NULL,
         account TEXT NOT NULL,
         groups TEXT NOT NULL,         -- JSON list of ARNs
         mount INTEGER NOT NULL,       -- 1: may speak for others
         created INTEGER NOT NULL,
         UNIQUE (account, name)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE access_keys (
         id TEXT PRIMARY KEY,
         user_arn TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
         secret BLOB NOT NULL,         -- sealed under the root key
         active INTEGER NOT NULL,
         created INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX access_keys_by_user ON access_keys (user_arn);
     CREATE TABLE mount_users (        -- of this machine, who may speak for others
         uid INTEGER PRIMARY KEY
     ) STRICT;
     CREATE TABLE identity_policies (
         principal TEXT NOT NULL,      -- ARN of a user, role or group
         name TEXT NOT NULL,
         document TEXT NOT NULL,
         PRIMARY KEY (principal, name)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE settings (
         name TEXT PRIMARY KEY,
         value TEXT NOT NULL
     ) STRICT, WITHOUT ROWID;",
    "ALTER TABLE uses ADD COLUMN request_id TEXT;",
];
