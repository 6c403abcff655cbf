use super::{Fixture, policy_for, refusal};
use crate::kms::{
    AliasListEntry, CreateAliasRequest, DeleteAliasRequest, DescribeKeyRequest, Empty, KmsError,
    ListAliasesRequest, UpdateAliasRequest, testing::user,
};

fn create(fixture: &Fixture, alias: &str, key: &str) -> Result<Empty, KmsError> {
    let (alias_name, target_key_id) = (alias.to_owned(), key.to_owned());
    let request = CreateAliasRequest {
        alias_name,
        target_key_id,
    };
    fixture.service().create_alias(&fixture.admin, &request)
}

fn update(fixture: &Fixture, alias: &str, key: &str) -> Result<Empty, KmsError> {
    let (alias_name, target_key_id) = (alias.to_owned(), key.to_owned());
    let request = UpdateAliasRequest {
        alias_name,
        target_key_id,
    };
    fixture.service().update_alias(&fixture.admin, &request)
}

fn delete(fixture: &Fixture, alias: &str) -> Result<Empty, KmsError> {
    let request = DeleteAliasRequest {
        alias_name: alias.to_owned(),
    };
    fixture.service().delete_alias(&fixture.admin, &request)
}

fn list(fixture: &Fixture, key_id: Option<&str>) -> Vec<AliasListEntry> {
    let key_id = key_id.map(str::to_owned);
    let request = ListAliasesRequest {
        key_id,
        ..Default::default()
    };
    fixture
        .service()
        .list_aliases(&fixture.admin, &request)
        .unwrap()
        .aliases
}

fn named(fixture: &Fixture, key_id: &str) -> Result<String, KmsError> {
    let request = DescribeKeyRequest {
        key_id: key_id.to_owned(),
        ..DescribeKeyRequest::default()
    };
    let answer = fixture.service().describe_key(&fixture.admin, &request)?;
    Ok(answer.key_metadata.key_id)
}

#[test]
fn an_alias_names_a_key_until_it_is_pointed_elsewhere_or_deleted() {
    let mut fixture = Fixture::new();
    let (one, other) = (fixture.key(), fixture.key());
    create(&fixture, "alias/a", &one).unwrap();
    assert_eq!(named(&fixture, "alias/a").unwrap(), one);
    let arn = "arn:aws:kms:us-east-1:000000000000:alias/a";
    assert_eq!(named(&fixture, arn).unwrap(), one);
    update(&fixture, "alias/a", &other).unwrap();
    fixture.reopen();
    assert_eq!(named(&fixture, "alias/a").unwrap(), other);
    delete(&fixture, "alias/a").unwrap();
    let gone = KmsError::NotFound(format!("Alias {arn} is not found."));
    assert_eq!(named(&fixture, "alias/a"), Err(gone.clone()));
    assert_eq!(delete(&fixture, "alias/a"), Err(gone.clone()));
    assert_eq!(update(&fixture, "alias/a", &one), Err(gone));
    fixture.reopen();
    assert!(list(&fixture, None).is_empty());
}

#[test]
fn an_alias_exists_once_and_names_a_key_not_an_alias() {
    let fixture = Fixture::new();
    let key = fixture.key();
    create(&fixture, "alias/a", &key).unwrap();
    assert_eq!(
        create(&fixture, "alias/a", &key),
        Err(KmsError::AlreadyExists(
            "An alias with the name arn:aws:kms:us-east-1:000000000000:alias/a already exists"
                .to_owned()
        ))
    );
    assert_eq!(
        create(&fixture, "alias/b", "alias/a"),
        Err(KmsError::Validation(
            "Aliases must refer to keys. Not aliases".to_owned()
        ))
    );
}

#[test]
fn aliases_are_listed_by_name_and_by_key() {
    let fixture = Fixture::new();
    let (one, other) = (fixture.key(), fixture.key());
    for (alias, key) in [("alias/c", &one), ("alias/a", &one), ("alias/b", &other)] {
        create(&fixture, alias, key).unwrap();
    }
    let names = |entries: Vec<AliasListEntry>| -> Vec<String> {
        entries.into_iter().map(|entry| entry.alias_name).collect()
    };
    assert_eq!(
        names(list(&fixture, None)),
        ["alias/a", "alias/b", "alias/c"]
    );
    assert_eq!(names(list(&fixture, Some(&one))), ["alias/a", "alias/c"]);
    let entry = list(&fixture, Some(&Fixture::arn(&other))).remove(0);
    assert_eq!(
        entry.alias_arn,
        "arn:aws:kms:us-east-1:000000000000:alias/b"
    );
    assert_eq!(entry.target_key_id, other);
    let mut request = ListAliasesRequest {
        limit: Some(2),
        ..Default::default()
    };
    let page = fixture
        .service()
        .list_aliases(&fixture.admin, &request)
        .unwrap();
    assert!(page.truncated);
    request.marker = page.next_marker;
    let rest = fixture
        .service()
        .list_aliases(&fixture.admin, &request)
        .unwrap();
    assert_eq!(names(rest.aliases), ["alias/c"]);
    assert!(!rest.truncated);
}

#[test]
fn a_key_has_at_most_fifty_aliases() {
    let fixture = Fixture::new();
    let (key, other) = (fixture.key(), fixture.key());
    for n in 0..50 {
        create(&fixture, &format!("alias/{n}"), &key).unwrap();
    }
    assert!(matches!(
        create(&fixture, "alias/50", &key),
        Err(KmsError::LimitExceeded(_))
    ));
    create(&fixture, "alias/50", &other).unwrap();
    assert!(matches!(
        update(&fixture, "alias/50", &key),
        Err(KmsError::LimitExceeded(_))
    ));
    update(&fixture, "alias/0", &key).unwrap();
}

#[test]
fn an_alias_takes_permission_on_itself_and_on_its_key() {
    let fixture = Fixture::new();
    // The key's policy lets her; but no identity policy does for the alias.
    let key = fixture.key_with(&policy_for("anna", r#""kms:*""#, ""));
    let request = CreateAliasRequest {
        alias_name: "alias/a".to_owned(),
        target_key_id: key,
    };
    let refused = refusal(fixture.service().create_alias(&user("anna"), &request));
    let KmsError::AccessDenied(message) = refused else {
        panic!("{refused}")
    };
    assert!(message.contains("on resource: arn:aws:kms:us-east-1:000000000000:alias/a"));
    assert!(list(&fixture, None).is_empty());
}
