use super::{Fixture, refusal};
use crate::kms::{
    CreateKeyRequest, DescribeKeyRequest, DisableKeyRequest, EnableKeyRequest, EncryptionAlgorithm,
    KeyManager, KeyMetadata, KeySpec, KeyState, KeyUsage, KmsError, ListKeysRequest, Origin, Tag,
    testing::user,
};

fn describe(fixture: &Fixture, key_id: &str) -> Result<KeyMetadata, KmsError> {
    let request = DescribeKeyRequest {
        key_id: key_id.to_owned(),
        ..DescribeKeyRequest::default()
    };
    fixture
        .service()
        .describe_key(&fixture.admin, &request)
        .map(|answer| answer.key_metadata)
}

#[test]
fn a_new_key_is_as_aws_describes_it() {
    let fixture = Fixture::new();
    let request = CreateKeyRequest {
        description: Some("for tests".to_owned()),
        ..Default::default()
    };
    let made = fixture
        .service()
        .create_key(&fixture.admin, &request)
        .unwrap()
        .key_metadata;
    assert_eq!(made.aws_account_id, "000000000000");
    assert_eq!(made.arn, Fixture::arn(&made.key_id));
    assert!(made.enabled && !made.multi_region);
    assert_eq!(made.description, "for tests");
    assert_eq!(made.key_state, KeyState::Enabled);
    assert_eq!(made.key_usage, KeyUsage::EncryptDecrypt);
    assert_eq!(made.key_spec, KeySpec::SymmetricDefault);
    assert_eq!(made.customer_master_key_spec, KeySpec::SymmetricDefault);
    assert_eq!(made.origin, Origin::AwsKms);
    assert_eq!(made.key_manager, KeyManager::Customer);
    assert_eq!(
        made.encryption_algorithms,
        [EncryptionAlgorithm::SymmetricDefault]
    );
    assert_eq!(
        made.current_key_material_id
            .as_deref()
            .unwrap_or_default()
            .len(),
        64
    );
    assert_eq!(describe(&fixture, &made.key_id).unwrap(), made);
    assert_eq!(describe(&fixture, &made.arn).unwrap(), made);
}

#[test]
fn what_is_known_of_keys_survives_the_process() {
    let mut fixture = Fixture::new();
    let key = fixture.key();
    let disable = DisableKeyRequest {
        key_id: key.clone(),
    };
    fixture
        .service()
        .disable_key(&fixture.admin, &disable)
        .unwrap();
    let (known, epoch) = (
        describe(&fixture, &key).unwrap(),
        fixture.service().epoch().unwrap(),
    );
    fixture.reopen();
    assert_eq!(describe(&fixture, &key).unwrap(), known);
    assert_eq!(fixture.service().epoch().unwrap(), epoch);
}

#[test]
fn a_key_that_is_not_there_is_not_found() {
    let fixture = Fixture::new();
    let absent = "1234abcd-12ab-34cd-56ef-1234567890ab";
    assert_eq!(
        describe(&fixture, absent),
        Err(KmsError::NotFound(format!(
            "Key '{}' does not exist",
            Fixture::arn(absent)
        )))
    );
    assert_eq!(
        describe(&fixture, "alias/absent"),
        Err(KmsError::NotFound(
            "Alias arn:aws:kms:us-east-1:000000000000:alias/absent is not found.".to_owned()
        ))
    );
}

#[test]
fn every_change_moves_the_epoch_and_nothing_else_does() {
    let fixture = Fixture::new();
    let epoch = || fixture.service().epoch().unwrap();
    let start = epoch();
    let key_id = fixture.key();
    assert_eq!(epoch(), start + 1);
    describe(&fixture, &key_id).unwrap();
    assert_eq!(epoch(), start + 1);
    let disable = DisableKeyRequest {
        key_id: key_id.clone(),
    };
    fixture
        .service()
        .disable_key(&fixture.admin, &disable)
        .unwrap();
    fixture
        .service()
        .enable_key(&fixture.admin, &EnableKeyRequest { key_id })
        .unwrap();
    assert_eq!(epoch(), start + 3);
}

#[test]
fn switching_takes_no_alias() {
    let fixture = Fixture::new();
    let request = DisableKeyRequest {
        key_id: "alias/x".to_owned(),
    };
    assert_eq!(
        fixture.service().disable_key(&fixture.admin, &request),
        Err(KmsError::InvalidArn(
            "Key Aliases are not supported for this operation.".to_owned()
        ))
    );
}

#[test]
fn a_list_comes_in_pages_without_gaps() {
    let fixture = Fixture::new();
    let mut made: Vec<String> = (0..7).map(|_| fixture.key()).collect();
    made.sort();
    let mut listed = Vec::new();
    let mut request = ListKeysRequest {
        limit: Some(3),
        marker: None,
    };
    loop {
        let page = fixture
            .service()
            .list_keys(&fixture.admin, &request)
            .unwrap();
        assert_eq!(page.truncated, page.next_marker.is_some());
        assert!(page.keys.len() == 3 || !page.truncated);
        listed.extend(page.keys.into_iter().map(|entry| entry.key_id));
        request.marker = page.next_marker;
        if request.marker.is_none() {
            break;
        }
    }
    assert_eq!(listed, made);
}

#[test]
fn limits_and_markers_are_checked() {
    let fixture = Fixture::new();
    let list = |limit, marker: Option<&str>| {
        let request = ListKeysRequest {
            limit,
            marker: marker.map(str::to_owned),
        };
        refusal(fixture.service().list_keys(&fixture.admin, &request))
    };
    for limit in [-1, 0, 1001] {
        assert!(
            matches!(list(Some(limit), None), KmsError::Validation(_)),
            "{limit}"
        );
    }
    for marker in ["", "x", "bm9uc2Vuc2U"] {
        let refused = list(None, Some(marker));
        let message = format!("Could not deserialize marker '{marker}'");
        assert_eq!(refused, KmsError::InvalidMarker(message));
    }
}

#[test]
fn kinds_of_keys_that_do_not_exist_are_refused_as_aws_refuses_them() {
    let fixture = Fixture::new();
    let create =
        |request: CreateKeyRequest| refusal(fixture.service().create_key(&fixture.admin, &request));
    let unsupported = [
        CreateKeyRequest {
            key_spec: Some(KeySpec::Sm2),
            key_usage: Some(KeyUsage::SignVerify),
            ..Default::default()
        },
        CreateKeyRequest {
            origin: Some(Origin::AwsCloudHsm),
            ..Default::default()
        },
    ];
    for request in unsupported {
        assert!(matches!(create(request), KmsError::Unsupported(_)));
    }
    assert_eq!(
        create(CreateKeyRequest {
            key_usage: Some(KeyUsage::GenerateVerifyMac),
            ..Default::default()
        }),
        KmsError::Validation(
            "KeyUsage GENERATE_VERIFY_MAC is not compatible with KeySpec SYMMETRIC_DEFAULT"
                .to_owned()
        )
    );
    assert_eq!(
        create(CreateKeyRequest {
            key_spec: Some(KeySpec::Hmac256),
            ..Default::default()
        }),
        KmsError::Validation(
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption \
             keys."
                .to_owned()
        )
    );
}

#[test]
fn tags_are_checked() {
    let fixture = Fixture::new();
    let tag = |name: &str| Tag {
        tag_key: name.to_owned(),
        tag_value: "v".to_owned(),
    };
    let create = |tags| {
        let request = CreateKeyRequest {
            tags: Some(tags),
            ..Default::default()
        };
        fixture.service().create_key(&fixture.admin, &request)
    };
    assert!(create(vec![tag("a"), tag("b")]).is_ok());
    assert!(matches!(
        refusal(create(vec![tag("a"), tag("a")])),
        KmsError::Tag(_)
    ));
    assert!(matches!(
        refusal(create(vec![tag("aws:x")])),
        KmsError::Tag(_)
    ));
    assert!(matches!(
        refusal(create(vec![tag("")])),
        KmsError::Validation(_)
    ));
    let many = (0..51).map(|n| tag(&n.to_string())).collect();
    assert!(matches!(refusal(create(many)), KmsError::Tag(_)));
}

#[test]
fn only_the_administrator_makes_and_lists_keys() {
    let fixture = Fixture::new();
    let refused = refusal(
        fixture
            .service()
            .create_key(&user("eve"), &CreateKeyRequest::default()),
    );
    assert_eq!(
        refused,
        KmsError::AccessDenied(
            "User: arn:aws:iam::000000000000:user/eve is not authorized to perform: kms:CreateKey \
             on resource: * because no identity-based policy allows the kms:CreateKey action"
                .to_owned()
        )
    );
    let refused = refusal(
        fixture
            .service()
            .list_keys(&user("eve"), &ListKeysRequest::default()),
    );
    assert!(matches!(refused, KmsError::AccessDenied(_)));
}
