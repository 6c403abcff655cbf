"""Limit, Marker and Truncated of every list; a few hundred keys at once."""

import pytest
from conftest import refused


@pytest.fixture(scope="module")
def many(server, admin):
    """A Region of its own with 230 keys."""
    kms = server.client(admin, "eu-north-1")
    made = [kms.create_key(Description=str(n))["KeyMetadata"]["KeyId"] for n in range(230)]
    return kms, made


def pages(call, member, **arguments):
    answer = call(**arguments)
    yield answer[member]
    while answer["Truncated"]:
        answer = call(**arguments, Marker=answer["NextMarker"])
        yield answer[member]
    assert "NextMarker" not in answer


def test_hundreds_of_keys_are_listed_once_each(many):
    kms, made = many
    for limit in (7, 100, 1000):
        listed = [key["KeyId"] for page in pages(kms.list_keys, "Keys", Limit=limit) for key in page]
        assert sorted(listed) == sorted(made)


def test_a_page_has_a_hundred_keys_unless_said_otherwise(many):
    kms, _ = many
    answer = kms.list_keys()
    assert len(answer["Keys"]) == 100
    assert answer["Truncated"]
    assert [len(page) for page in pages(kms.list_keys, "Keys", Limit=99)] == [99, 99, 32]


def test_a_listing_survives_keys_that_are_made_meanwhile(many):
    kms, made = many
    first = kms.list_keys(Limit=50)
    made.append(kms.create_key()["KeyMetadata"]["KeyId"])
    listed = {key["KeyId"] for key in first["Keys"]}
    for page in pages(kms.list_keys, "Keys", Limit=1000, Marker=first["NextMarker"]):
        for key in page:
            assert key["KeyId"] not in listed
            listed.add(key["KeyId"])
    assert set(made[:-1]) <= listed


def test_each_of_the_keys_can_be_described(many):
    kms, made = many
    described = {
        kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] for key in made[:230]
    }
    assert described == {str(n) for n in range(230)}


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_outside_its_range_is_refused(raw, limit):
    with refused("ValidationException"):
        raw.list_keys(Limit=limit)


def test_a_marker_of_ones_own_making_is_refused(kms):
    with refused("InvalidMarkerException"):
        kms.list_keys(Marker="invented")


def test_aliases_come_in_pages(kms, key, alias):
    for number in range(5):
        kms.create_alias(AliasName=f"{alias}/{number}", TargetKeyId=key["KeyId"])
    got = list(pages(kms.list_aliases, "Aliases", KeyId=key["KeyId"], Limit=2))
    assert [len(page) for page in got] == [2, 2, 1]
    assert len({entry["AliasName"] for page in got for entry in page}) == 5


def test_tags_come_in_pages(kms, key):
    tags = [{"TagKey": f"k{n}", "TagValue": "v"} for n in range(5)]
    kms.tag_resource(KeyId=key["KeyId"], Tags=tags)
    got = list(pages(kms.list_resource_tags, "Tags", KeyId=key["KeyId"], Limit=3))
    assert [len(page) for page in got] == [3, 2]


def test_grants_come_in_pages(kms, key, user):
    for _ in range(5):
        kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=user.arn, Operations=["Encrypt"])
    got = list(pages(kms.list_grants, "Grants", KeyId=key["KeyId"], Limit=2))
    assert [len(page) for page in got] == [2, 2, 1]
    assert len({entry["GrantId"] for page in got for entry in page}) == 5


def test_rotations_come_in_pages(kms, key):
    for _ in range(3):
        kms.rotate_key_on_demand(KeyId=key["KeyId"])
    got = list(pages(kms.list_key_rotations, "Rotations", KeyId=key["KeyId"], Limit=2))
    assert [len(page) for page in got] == [2, 1]


def test_policies_come_in_one_page(kms, key):
    answer = kms.list_key_policies(KeyId=key["KeyId"])
    assert answer["PolicyNames"] == ["default"]
    assert answer["Truncated"] is False
