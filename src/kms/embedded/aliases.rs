//! Names for keys.

use std::{ops::Bound, sync::Arc};

use parking_lot::MutexGuard;

use super::{
    Change, Done, Embedded,
    authorize::{Facts, Target},
    no_such_alias, page,
    trail::Trail,
};
use crate::{
    kms::{
        KmsError,
        api::{
            AliasListEntry, CreateAliasRequest, DeleteAliasRequest, Empty, ListAliasesRequest,
            ListAliasesResponse, UpdateAliasRequest,
        },
        key::Key,
        name::{AliasName, KeyName, Place},
        state::{Alias, Regional, Write},
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
        let key = self.find_target(trail.place(), &request.target_key_id)?;
        let allowed = self.authorize_alias(trail, "kms:CreateAlias", &name, &[&*key])?;
        key.check_state(trail.demand())?;
        let region = &trail.place().region;
        let exists = |regional: &Regional| regional.aliases.contains_key(&name);
        if self.state.read().region(region).is_some_and(exists) {
            let arn = trail.place().alias_arn(&name);
            return Err(KmsError::AlreadyExists(format!(
                "An alias with the name {arn} already exists"
            )));
        }
        self.check_room(&key)?;
        let now = self.now();
        let alias = Alias {
            key: key.id,
            created: now,
            updated: now,
        };
        let change = self.put_alias(store, trail, name, alias)?;
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
        let key = self.find_target(trail.place(), &request.target_key_id)?;
        let (alias, former) = self.find_alias(trail.place(), &name)?;
        let allowed = self.authorize_alias(trail, "kms:UpdateAlias", &name, &[&*former, &*key])?;
        check_same_kind(&former, &key)?;
        key.check_state(trail.demand())?;
        if alias.key != key.id {
            self.check_room(&key)?;
        }
        let alias = Alias {
            key: key.id,
            updated: self.now(),
            ..alias
        };
        let change = self.put_alias(store, trail, name, alias)?;
        Ok(Done::change(&allowed, change, Empty {}))
    }

    fn put_alias<'a>(
        &'a self,
        store: MutexGuard<'a, Box<dyn Store>>,
        trail: &Trail<'_>,
        name: AliasName,
        alias: Alias,
    ) -> Result<Change<'a>, KmsError> {
        let region = trail.place().region.clone();
        Change::write(self, store, vec![Write::Alias(region, name, alias)])
    }

    pub(super) fn delete_alias<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a DeleteAliasRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("aliasName", &*request.alias_name);
        let name = AliasName::parse(&request.alias_name)?;
        let store = self.changing();
        let (_, key) = self.find_alias(trail.place(), &name)?;
        let allowed = self.authorize_alias(trail, "kms:DeleteAlias", &name, &[&*key])?;
        let region = trail.place().region.clone();
        let change = Change::write(self, store, vec![Write::ForgetAlias(region, name)])?;
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
            Some(key_id) => Some(self.find_by_id(trail.place(), key_id)?.id),
            None => None,
        };
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let place = trail.place();
        let state = self.state.read();
        let aliases = state
            .region(&place.region)
            .into_iter()
            .flat_map(|regional| {
                regional
                    .aliases
                    .range::<AliasName, _>((from, Bound::Unbounded))
            })
            .filter(|(_, alias)| of_key.is_none_or(|key| alias.key == key))
            .map(|(name, alias)| AliasListEntry {
                alias_name: name.to_string(),
                alias_arn: place.alias_arn(name),
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

    fn find_target(&self, place: &Place, text: &str) -> Result<Arc<Key>, KmsError> {
        match place.parse_key_name(text)? {
            KeyName::Id(_) => self.find_by_id(place, text),
            KeyName::Alias(_) => Err(KmsError::Validation(
                "Aliases must refer to keys. Not aliases".to_owned(),
            )),
        }
    }

    fn find_alias(&self, place: &Place, name: &AliasName) -> Result<(Alias, Arc<Key>), KmsError> {
        let state = self.state.read();
        let regional = state.region(&place.region);
        let found = regional.and_then(|regional| {
            let alias = regional.aliases.get(name)?;
            let key = regional.keys.get(&alias.key);
            let key = key.expect("the store's foreign keys hold");
            Some((alias.clone(), Arc::clone(key)))
        });
        found.ok_or_else(|| no_such_alias(place, name))
    }

    fn check_room(&self, key: &Key) -> Result<(), KmsError> {
        let state = self.state.read();
        let regional = state.region(&key.region);
        let aliases = regional.map_or(0, |regional| regional.aliases_of(key.id).count());
        if aliases >= MAX_PER_KEY {
            return Err(KmsError::LimitExceeded(format!(
                "{} has {MAX_PER_KEY} aliases, as many as a key may have.",
                key.arn
            )));
        }
        Ok(())
    }
}

/// An alias stays with one kind of key, so that code which uses it goes on working.
fn check_same_kind(former: &Key, next: &Key) -> Result<(), KmsError> {
    let kind = |key: &Key| {
        (
            key.spec.is_symmetric_encryption(),
            key.spec.is_hmac(),
            key.usage,
        )
    };
    if kind(former) == kind(next) {
        return Ok(());
    }
    Err(KmsError::Validation(
        "The current and the new key of an alias must be of the same type (both symmetric, both \
         asymmetric or both HMAC) and have the same key usage."
            .to_owned(),
    ))
}
