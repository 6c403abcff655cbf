//! Names for keys.

use std::{ops::Bound, sync::Arc};

use parking_lot::MutexGuard;

use super::{
    Change, Done, Embedded,
    authorize::{Facts, Target},
    page,
    trail::Trail,
};
use crate::{
    kms::{
        KmsError,
        api::{
            AliasListEntry, CreateAliasRequest, DeleteAliasRequest, Empty, ListAliasesRequest,
            ListAliasesResponse, Timestamp, UpdateAliasRequest,
        },
        name::{AliasName, KeyName},
        state::{Alias, Key},
        store::Store,
    },
    policy::Allowed,
};

/// Aliases per key (<https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html>).
const MAX_PER_KEY: usize = 50;

impl Embedded {
    pub(super) fn create_alias<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a CreateAliasRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("aliasName", &*request.alias_name);
        trail.parameter("targetKeyId", &*request.target_key_id);
        let name = AliasName::parse(&request.alias_name)?;
        let store = self.changing();
        let key = self.find_target(&request.target_key_id)?;
        let allowed = self.authorize_alias(trail, "kms:CreateAlias", &name, &[&*key])?;
        key.check_manageable()?;
        if self.state.read().aliases.contains_key(&name) {
            let arn = self.home.place.alias_arn(&name);
            return Err(KmsError::AlreadyExists(format!(
                "An alias with the name {arn} already exists"
            )));
        }
        self.check_room(&key)?;
        let now = Timestamp::now();
        let alias = Alias {
            key: key.id,
            created: now,
            updated: now,
        };
        let change = self.put_alias(store, name, alias)?;
        Ok(Done::change(&allowed, change, Empty {}))
    }

    pub(super) fn update_alias<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a UpdateAliasRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("aliasName", &*request.alias_name);
        trail.parameter("targetKeyId", &*request.target_key_id);
        let name = AliasName::parse(&request.alias_name)?;
        let store = self.changing();
        let key = self.find_target(&request.target_key_id)?;
        let (alias, former) = self.find_alias(&name)?;
        let allowed = self.authorize_alias(trail, "kms:UpdateAlias", &name, &[&*former, &*key])?;
        key.check_manageable()?;
        if alias.key != key.id {
            self.check_room(&key)?;
        }
        let alias = Alias {
            key: key.id,
            updated: Timestamp::now(),
            ..alias
        };
        let change = self.put_alias(store, name, alias)?;
        Ok(Done::change(&allowed, change, Empty {}))
    }

    fn put_alias<'a>(
        &'a self,
        store: MutexGuard<'a, Store>,
        name: AliasName,
        alias: Alias,
    ) -> Result<Change<'a>, KmsError> {
        let written = (name.clone(), alias.clone());
        Change::write(
            self,
            store,
            |store| store.put_alias(&written.0, &written.1),
            move |state| {
                state.aliases.insert(name, alias);
            },
        )
    }

    pub(super) fn delete_alias<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a DeleteAliasRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("aliasName", &*request.alias_name);
        let name = AliasName::parse(&request.alias_name)?;
        let store = self.changing();
        let (_, key) = self.find_alias(&name)?;
        let allowed = self.authorize_alias(trail, "kms:DeleteAlias", &name, &[&*key])?;
        let change = Change::write(self, store, |store| store.delete_alias(&name), {
            let name = name.clone();
            move |state| {
                state.aliases.remove(&name);
            }
        })?;
        Ok(Done::change(&allowed, change, Empty {}))
    }

    pub(super) fn list_aliases<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a ListAliasesRequest,
    ) -> Result<Done<'a, ListAliasesResponse>, KmsError> {
        trail.optional("keyId", request.key_id.as_deref());
        let limit = page::limit(request.limit, 50, 100)?;
        let after = page::start(request.marker.as_deref(), |name| {
            name.starts_with("alias/").then(|| AliasName::known(name))
        })?;
        let allowed =
            self.authorize(trail, "kms:ListAliases", Target::Account, Facts::default())?;
        let of_key = match request.key_id.as_deref() {
            Some(key_id) => Some(self.find_by_id(key_id)?.id),
            None => None,
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state.read();
        let aliases = state
            .aliases
            .range((from, Bound::Unbounded))
            .filter(|(_, alias)| of_key.is_none_or(|key| alias.key == key))
            .map(|(name, alias)| AliasListEntry {
                alias_name: name.to_string(),
                alias_arn: self.home.place.alias_arn(name),
                target_key_id: alias.key.to_string(),
                creation_date: alias.created,
                last_updated_date: alias.updated,
            });
        let page = page::cut(aliases, limit, |entry| entry.alias_name.clone());
        let truncated = page.next.is_some();
        let response = ListAliasesResponse {
            aliases: page.items,
            next_marker: page.next,
            truncated,
        };
        Ok(Done::answer(&allowed, response))
    }

    /// An alias operation has to be allowed on the alias and on every key it touches.
    fn authorize_alias(
        &self,
        trail: &mut Trail<'_>,
        action: &str,
        name: &AliasName,
        keys: &[&Key],
    ) -> Result<Allowed, KmsError> {
        let mut allowed = self.authorize(trail, action, Target::Alias(name), Facts::default())?;
        for key in keys {
            allowed = self.authorize(trail, action, Target::Key(key), Facts::default())?;
        }
        Ok(allowed)
    }

    fn find_target(&self, text: &str) -> Result<Arc<Key>, KmsError> {
        match self.home.place.parse_key_name(text)? {
            KeyName::Id(_) => self.find_by_id(text),
            KeyName::Alias(_) => Err(KmsError::Validation(
                "Aliases must refer to keys. Not aliases".to_owned(),
            )),
        }
    }

    fn find_alias(&self, name: &AliasName) -> Result<(Alias, Arc<Key>), KmsError> {
        let state = self.state.read();
        let alias = state
            .aliases
            .get(name)
            .cloned()
            .ok_or_else(|| self.no_such_alias(name))?;
        let key = state
            .keys
            .get(&alias.key)
            .expect("the store's foreign keys hold");
        Ok((alias, Arc::clone(key)))
    }

    fn check_room(&self, key: &Key) -> Result<(), KmsError> {
        if self.state.read().aliases_of(key.id).count() >= MAX_PER_KEY {
            return Err(KmsError::LimitExceeded(format!(
                "{} has {MAX_PER_KEY} aliases, as many as a key may have.",
                key.arn
            )));
        }
        Ok(())
    }
}
