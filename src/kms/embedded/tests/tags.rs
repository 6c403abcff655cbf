//! Tags of keys.

use super::{Fixture, refusal};
use crate::kms::{
    KmsError, ListResourceTagsRequest, Tag, TagResourceRequest, UntagResourceRequest,
};

fn tag(name: &str, value: &str) -> Tag {
    Tag {
        tag_key: name.to_owned(),
        tag_value: value.to_owned(),
    }
}

fn set(fixture: &Fixture, key: &str, tags: Vec<Tag>) -> Result<(), KmsError> {
    let request = TagResourceRequest {
        key_id: key.to_owned(),
        tags,
    };
    let answer = fixture.service().tag_resource(&fixture.admin, &request);
    answer.map(drop)
}

fn list(fixture: &Fixture, key: &str) -> Vec<Tag> {
    let request = ListResourceTagsRequest {
        key_id: key.to_owned(),
        ..Default::default()
    };
    let listed = fixture
        .service()
        .list_resource_tags(&fixture.admin, &request);
    listed.unwrap().tags
}

#[test]
fn tags_are_set_changed_and_removed_also_after_a_restart() {
    let mut fixture = Fixture::new();
    let key = fixture.key();
    set(&fixture, &key, vec![tag("a", "1"), tag("b", "2")]).unwrap();
    set(&fixture, &key, vec![tag("b", "3"), tag("B", "")]).unwrap();
    fixture.reopen();
    assert_eq!(
        list(&fixture, &key),
        [tag("B", ""), tag("a", "1"), tag("b", "3")]
    );
    let request = UntagResourceRequest {
        key_id: key.clone(),
        tag_keys: vec!["a".to_owned(), "never there".to_owned()],
    };
    fixture
        .service()
        .untag_resource(&fixture.admin, &request)
        .unwrap();
    assert_eq!(list(&fixture, &key), [tag("B", ""), tag("b", "3")]);
}

#[test]
fn tags_outside_the_rules_are_refused_as_aws_refuses_them() {
    let fixture = Fixture::new();
    let key = fixture.key();
    let refuse = |tags: Vec<Tag>| refusal(set(&fixture, &key, tags));
    let reserved = KmsError::Tag("Tags beginning with aws: are reserved".to_owned());
    assert_eq!(refuse(vec![tag("aws:x", "")]), reserved);
    assert_eq!(refuse(vec![tag("AWS:x", "")]), reserved);
    assert_eq!(
        refuse(vec![tag("a", "1"), tag("a", "2")]),
        KmsError::Tag("Duplicate tag keys".to_owned())
    );
    let many = (0..51).map(|n| tag(&format!("k{n}"), "")).collect();
    assert_eq!(refuse(many), KmsError::Tag("Too many tags".to_owned()));
    let long = "k".repeat(129);
    assert_eq!(
        refuse(vec![tag("a", ""), tag(&long, "")]),
        KmsError::Validation(format!(
            "1 validation error detected: Value '{long}' at 'tags.2.member.tagKey' failed to \
             satisfy constraint: Member must have length less than or equal to 128"
        ))
    );
    let long = "v".repeat(257);
    assert!(matches!(
        refuse(vec![tag("a", &long)]),
        KmsError::Validation(_)
    ));
    assert!(matches!(refuse(vec![tag("", "")]), KmsError::Validation(_)));
    assert!(list(&fixture, &key).is_empty());
}

#[test]
fn a_key_has_at_most_fifty_tags() {
    let fixture = Fixture::new();
    let key = fixture.key();
    let fifty = (0..50).map(|n| tag(&format!("k{n}"), "v")).collect();
    set(&fixture, &key, fifty).unwrap();
    set(&fixture, &key, vec![tag("k0", "changed")]).unwrap();
    let refused = refusal(set(&fixture, &key, vec![tag("more", "")]));
    assert!(matches!(refused, KmsError::LimitExceeded(_)), "{refused}");
}

#[test]
fn tags_are_listed_in_pages() {
    let fixture = Fixture::new();
    let key = fixture.key();
    set(
        &fixture,
        &key,
        vec![tag("a", "1"), tag("b", "2"), tag("c", "3")],
    )
    .unwrap();
    let mut request = ListResourceTagsRequest {
        key_id: key.clone(),
        limit: Some(2),
        ..Default::default()
    };
    let service = fixture.service();
    let page = service
        .list_resource_tags(&fixture.admin, &request)
        .unwrap();
    assert_eq!(page.tags, [tag("a", "1"), tag("b", "2")]);
    request.marker = page.next_marker;
    let page = service
        .list_resource_tags(&fixture.admin, &request)
        .unwrap();
    assert_eq!((page.tags, page.truncated), (vec![tag("c", "3")], false));
}
