"""TagResource, UntagResource, ListResourceTags, and tags at creation."""

import pytest
from conftest import refused


def tags_of(kms, key):
    pages = kms.get_paginator("list_resource_tags").paginate(KeyId=key["KeyId"])
    return {tag["TagKey"]: tag["TagValue"] for page in pages for tag in page["Tags"]}


def tag(**tags):
    return [{"TagKey": name, "TagValue": value} for name, value in tags.items()]


def test_a_key_is_made_with_tags(kms):
    key = kms.create_key(Tags=tag(team="pay", stage=""))["KeyMetadata"]
    assert tags_of(kms, key) == {"team": "pay", "stage": ""}


def test_tags_are_added_changed_and_removed(kms, key):
    assert tags_of(kms, key) == {}
    kms.tag_resource(KeyId=key["KeyId"], Tags=tag(a="1", b="2"))
    kms.tag_resource(KeyId=key["Arn"], Tags=tag(b="3", c="4"))
    assert tags_of(kms, key) == {"a": "1", "b": "3", "c": "4"}
    kms.untag_resource(KeyId=key["KeyId"], TagKeys=["a", "c", "never there"])
    assert tags_of(kms, key) == {"b": "3"}


def test_tag_keys_are_case_sensitive(kms, key):
    kms.tag_resource(KeyId=key["KeyId"], Tags=tag(Team="x", team="y"))
    assert tags_of(kms, key) == {"Team": "x", "team": "y"}


def test_the_prefix_of_aws_is_refused(kms, key):
    for tags in ([{"TagKey": "aws:x", "TagValue": "1"}], [{"TagKey": "AWS:x", "TagValue": "1"}]):
        with refused("TagException"):
            kms.tag_resource(KeyId=key["KeyId"], Tags=tags)


def test_the_same_tag_twice_in_one_request_is_refused(kms, key):
    twice = [{"TagKey": "a", "TagValue": "1"}, {"TagKey": "a", "TagValue": "2"}]
    with refused("TagException"):
        kms.tag_resource(KeyId=key["KeyId"], Tags=twice)
    with refused("TagException"):
        kms.create_key(Tags=twice)


def test_a_key_has_at_most_fifty_tags(kms, key):
    kms.tag_resource(KeyId=key["KeyId"], Tags=tag(**{f"k{n}": "v" for n in range(50)}))
    assert len(tags_of(kms, key)) == 50
    kms.tag_resource(KeyId=key["KeyId"], Tags=tag(k0="changed"))
    with refused("LimitExceededException"):
        kms.tag_resource(KeyId=key["KeyId"], Tags=tag(one="more"))


@pytest.mark.parametrize(("name", "value"), [("k" * 129, "v"), ("", "v"), ("k", "v" * 257)])
def test_lengths_outside_the_limits_are_refused(raw, key, name, value):
    with refused("ValidationException"):
        raw.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": name, "TagValue": value}])


def test_the_longest_tag_is_kept(kms, key):
    kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": "k" * 128, "TagValue": "v" * 256}])
    assert tags_of(kms, key) == {"k" * 128: "v" * 256}


def test_a_key_pending_deletion_cannot_be_tagged(kms, key):
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    with refused("KMSInvalidStateException"):
        kms.tag_resource(KeyId=key["KeyId"], Tags=tag(a="1"))


def test_tags_of_a_key_that_is_not_there(kms):
    with refused("NotFoundException"):
        kms.list_resource_tags(KeyId="f47ac10b-58cc-4372-a567-0e02b2c3d479")
