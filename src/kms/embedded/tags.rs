//! Tags of keys.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Change, Done, Embedded,
    authorize::{Facts, Target},
    page,
    trail::Trail,
};
use crate::{
    audit::Value,
    kms::{
        KmsError,
        api::{
            Empty, ListResourceTagsRequest, ListResourceTagsResponse, Tag, TagResourceRequest,
            UntagResourceRequest,
        },
        key::Key,
        state::Write,
    },
};

/// Tags per key (<https://docs.aws.amazon.com/kms/latest/developerguide/tagging-keys.html>).
const MAX_TAGS: usize = 50;

impl Embedded {
    pub(super) fn tag_resource<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a TagResourceRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("tags", tags_value(&request.tags));
        let store = self.changing();
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        check_tags(&request.tags)?;
        let facts = Facts {
            request_tags: &request.tags,
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:TagResource", Target::Key(&key), facts)?;
        key.check_state(trail.demand())?;
        let mut tags = key.tags.to_vec();
        for tag in &request.tags {
            match tags.iter_mut().find(|known| known.tag_key == tag.tag_key) {
                Some(known) => known.tag_value.clone_from(&tag.tag_value),
                None => tags.push(tag.clone()),
            }
        }
        if tags.len() > MAX_TAGS {
            return Err(KmsError::LimitExceeded(format!(
                "{} would have more than {MAX_TAGS} tags.",
                key.arn
            )));
        }
        let tagged = Key {
            tags: tags.into(),
            ..(*key).clone()
        };
        let change = Change::write(self, store, vec![Write::Key(Arc::new(tagged))])?;
        Ok(Done::change(&allowed, change, Empty {}))
    }

    pub(super) fn untag_resource<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a UntagResourceRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        let names = request.tag_keys.iter().map(|name| Value::from(&**name));
        trail.parameter("tagKeys", Value::List(names.collect()));
        let store = self.changing();
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        for (index, name) in request.tag_keys.iter().enumerate() {
            check_length(&format!("tagKeys.{}.member", index + 1), name, 1, 128)?;
            check_reserved(name)?;
        }
        let facts = Facts {
            tag_keys: &request.tag_keys,
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:UntagResource", Target::Key(&key), facts)?;
        key.check_state(trail.demand())?;
        let kept = key
            .tags
            .iter()
            .filter(|tag| !request.tag_keys.contains(&tag.tag_key));
        let untagged = Key {
            tags: kept.cloned().collect(),
            ..(*key).clone()
        };
        let change = Change::write(self, store, vec![Write::Key(Arc::new(untagged))])?;
        Ok(Done::change(&allowed, change, Empty {}))
    }

    pub(super) fn list_resource_tags<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a ListResourceTagsRequest,
    ) -> Result<Done<'a, ListResourceTagsResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        let limit = page::limit(request.limit, 50, 50)?;
        let after = page::start(request.marker.as_deref(), |name| Some(name.to_owned()))?;
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let target = Target::Key(&key);
        let allowed = self.authorize(trail, "kms:ListResourceTags", target, Facts::default())?;
        let mut tags: Vec<&Tag> = key.tags.iter().collect();
        tags.sort_unstable_by(|one, other| one.tag_key.cmp(&other.tag_key));
        let rest = tags
            .into_iter()
            .filter(|tag| after.as_ref().is_none_or(|after| tag.tag_key > *after));
        let page = page::cut(rest, limit, |tag| tag.tag_key.clone());
        let response = ListResourceTagsResponse {
            tags: page.items.into_iter().cloned().collect(),
            truncated: page.next.is_some(),
            next_marker: page.next,
        };
        Ok(Done::answer(&allowed, response))
    }
}

/// Whether the tags of one request may be set.
pub(super) fn check_tags(tags: &[Tag]) -> Result<(), KmsError> {
    for (index, tag) in tags.iter().enumerate() {
        let member = |name: &str| format!("tags.{}.member.{name}", index + 1);
        check_length(&member("tagKey"), &tag.tag_key, 1, 128)?;
        check_length(&member("tagValue"), &tag.tag_value, 0, 256)?;
    }
    if tags.len() > MAX_TAGS {
        return Err(KmsError::Tag("Too many tags".to_owned()));
    }
    let mut names = BTreeSet::new();
    for tag in tags {
        check_reserved(&tag.tag_key)?;
        if !names.insert(&*tag.tag_key) {
            return Err(KmsError::Tag("Duplicate tag keys".to_owned()));
        }
    }
    Ok(())
}

fn check_reserved(name: &str) -> Result<(), KmsError> {
    let prefix = name.get(..4).unwrap_or_default();
    if prefix.eq_ignore_ascii_case("aws:") {
        return Err(KmsError::Tag(
            "Tags beginning with aws: are reserved".to_owned(),
        ));
    }
    Ok(())
}

fn check_length(member: &str, text: &str, least: usize, most: usize) -> Result<(), KmsError> {
    let length = text.chars().count();
    let bound = if length < least {
        format!("greater than or equal to {least}")
    } else if length > most {
        format!("less than or equal to {most}")
    } else {
        return Ok(());
    };
    Err(KmsError::constraint(&format!(
        "Value '{text}' at '{member}' failed to satisfy constraint: Member must have length {bound}"
    )))
}

/// As `CloudTrail` logs tags.
pub(super) fn tags_value(tags: &[Tag]) -> Value<'_> {
    let pair = |tag: &'_ Tag| -> Value<'static> {
        Value::Object(vec![
            ("tagKey", Value::from(tag.tag_key.clone())),
            ("tagValue", Value::from(tag.tag_value.clone())),
        ])
    };
    Value::List(tags.iter().map(pair).collect())
}
