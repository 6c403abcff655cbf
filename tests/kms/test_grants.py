"""CreateGrant, ListGrants, ListRetirableGrants, RevokeGrant, RetireGrant, and grant tokens."""

import pytest
from conftest import refused


@pytest.fixture
def granted(kms, key, user):
    """Grants `user` operations on `key`; the answer."""

    def grant(*operations, **more):
        return kms.create_grant(
            KeyId=key["KeyId"], GranteePrincipal=user.arn, Operations=list(operations), **more
        )

    return grant


def test_a_grant_lets_in_for_its_operations_only(theirs, key, granted):
    with refused("AccessDeniedException"):
        theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    made = granted("Encrypt", "DescribeKey")
    assert len(made["GrantId"]) == 64
    assert made["GrantToken"]
    blob = theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    theirs.describe_key(KeyId=key["KeyId"])
    with refused("AccessDeniedException"):
        theirs.decrypt(CiphertextBlob=blob)


def test_a_grant_token_is_taken(theirs, key, granted):
    token = granted("Encrypt")["GrantToken"]
    theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x", GrantTokens=[token])


def test_a_grant_token_of_ones_own_making_is_refused(theirs, key, granted):
    granted("Encrypt")
    with refused("InvalidGrantTokenException"):
        theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x", GrantTokens=["invented"])


def test_grants_are_listed_with_everything_that_was_said(kms, key, user, granted):
    made = granted(
        "Encrypt",
        "Decrypt",
        Name="payroll",
        Constraints={"EncryptionContextSubset": {"team": "pay"}},
        RetiringPrincipal=user.arn,
    )
    (grant,) = kms.list_grants(KeyId=key["KeyId"])["Grants"]
    assert grant["GrantId"] == made["GrantId"]
    assert grant["KeyId"] == key["Arn"]
    assert grant["Name"] == "payroll"
    assert grant["GranteePrincipal"] == grant["RetiringPrincipal"] == user.arn
    assert sorted(grant["Operations"]) == ["Decrypt", "Encrypt"]
    assert grant["Constraints"] == {"EncryptionContextSubset": {"team": "pay"}}
    assert grant["IssuingAccount"] == f"arn:aws:iam::{key['AWSAccountId']}:root"
    assert grant["CreationDate"]


def test_grants_are_found_by_id_and_grantee(server, kms, key, user, granted):
    first, second = granted("Encrypt"), granted("Decrypt")
    found = kms.list_grants(KeyId=key["KeyId"], GrantId=first["GrantId"])["Grants"]
    assert [grant["GrantId"] for grant in found] == [first["GrantId"]]
    found = kms.list_grants(KeyId=key["KeyId"], GranteePrincipal=user.arn)["Grants"]
    assert {grant["GrantId"] for grant in found} == {first["GrantId"], second["GrantId"]}
    nobody = user.arn + "-else"
    assert kms.list_grants(KeyId=key["KeyId"], GranteePrincipal=nobody)["Grants"] == []


def test_the_same_name_and_parameters_are_the_same_grant(kms, key, granted):
    first = granted("Encrypt", Name="once")
    again = granted("Encrypt", Name="once")
    assert first["GrantId"] == again["GrantId"]
    assert first["GrantToken"] != again["GrantToken"]
    assert granted("Encrypt", "Decrypt", Name="once")["GrantId"] != first["GrantId"]
    assert granted("Encrypt")["GrantId"] != granted("Encrypt")["GrantId"]


def test_a_context_subset_is_needed_and_more_is_allowed(theirs, key, granted):
    granted("Encrypt", Constraints={"EncryptionContextSubset": {"team": "pay"}})
    for context in ({"team": "pay"}, {"team": "pay", "more": "1"}):
        theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=context)
    for context in ({}, {"team": "hr"}, {"Team": "pay"}):
        with refused("AccessDeniedException"):
            theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=context)


def test_a_context_equal_allows_nothing_more(theirs, key, granted):
    granted("Encrypt", Constraints={"EncryptionContextEquals": {"team": "pay"}})
    theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"team": "pay"})
    for context in ({}, {"team": "pay", "more": "1"}):
        with refused("AccessDeniedException"):
            theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=context)


def test_a_revoked_grant_lets_nobody_in(kms, theirs, key, granted):
    made = granted("Encrypt")
    theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    kms.revoke_grant(KeyId=key["KeyId"], GrantId=made["GrantId"])
    with refused("AccessDeniedException"):
        theirs.encrypt(KeyId=key["KeyId"], Plaintext=b"x", GrantTokens=[made["GrantToken"]])
    with refused("NotFoundException"):
        kms.revoke_grant(KeyId=key["KeyId"], GrantId=made["GrantId"])


def test_the_retiring_principal_retires_by_token_or_by_id(kms, theirs, key, user, granted):
    for by in ("token", "id"):
        made = granted("Encrypt", RetiringPrincipal=user.arn)
        if by == "token":
            theirs.retire_grant(GrantToken=made["GrantToken"])
        else:
            theirs.retire_grant(KeyId=key["Arn"], GrantId=made["GrantId"])
        assert kms.list_grants(KeyId=key["KeyId"])["Grants"] == []


def test_a_grantee_retires_only_with_that_operation(kms, theirs, key, granted):
    without = granted("Encrypt")
    with refused("AccessDeniedException"):
        theirs.retire_grant(KeyId=key["Arn"], GrantId=without["GrantId"])
    with_it = granted("Encrypt", "RetireGrant")
    theirs.retire_grant(KeyId=key["Arn"], GrantId=with_it["GrantId"])


def test_retirable_grants_of_a_principal_are_listed(kms, key, user, granted):
    granted("Encrypt")
    made = granted("Encrypt", RetiringPrincipal=user.arn)
    found = kms.list_retirable_grants(RetiringPrincipal=user.arn)["Grants"]
    assert [grant["GrantId"] for grant in found] == [made["GrantId"]]


def test_a_grantee_grants_no_more_than_he_has(server, theirs, user, key, granted):
    other = server.user(user.name + "-child")
    granted("CreateGrant", "Encrypt", Constraints={"EncryptionContextSubset": {"team": "pay"}})
    child = {"KeyId": key["KeyId"], "GranteePrincipal": other.arn}
    within = {"EncryptionContextSubset": {"team": "pay", "more": "1"}}
    theirs.create_grant(**child, Operations=["Encrypt"], Constraints=within)
    client = server.client(other)
    client.encrypt(
        KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"team": "pay", "more": "1"}
    )
    with refused("AccessDeniedException"):
        theirs.create_grant(**child, Operations=["Encrypt", "Decrypt"], Constraints=within)
    with refused("AccessDeniedException"):
        theirs.create_grant(**child, Operations=["Encrypt"])


@pytest.mark.parametrize(
    "arguments",
    [
        {"Operations": []},
        {"Operations": ["Fly"]},
        {"Operations": ["Encrypt"], "Name": "no spaces"},
        {"Operations": ["Encrypt"], "GranteePrincipal": ""},
    ],
)
def test_malformed_grants_are_refused(raw, key, user, arguments):
    with refused("ValidationException"):
        raw.create_grant(**({"KeyId": key["KeyId"], "GranteePrincipal": user.arn} | arguments))


def test_an_operation_that_the_key_cannot_do_is_refused(kms, key, user):
    with refused("ValidationException"):
        kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=user.arn, Operations=["Sign"])


def test_a_grant_id_of_nobody_is_not_found(kms, key):
    with refused("NotFoundException"):
        kms.revoke_grant(KeyId=key["KeyId"], GrantId="f" * 64)


def test_dry_runs(kms, key, user, granted):
    with refused("DryRunOperationException"):
        granted("Encrypt", DryRun=True)
    made = granted("Encrypt")
    with refused("DryRunOperationException"):
        kms.revoke_grant(KeyId=key["KeyId"], GrantId=made["GrantId"], DryRun=True)
    assert len(kms.list_grants(KeyId=key["KeyId"])["Grants"]) == 1
