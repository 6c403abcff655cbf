use super::{Fixture, refusal};
use crate::kms::{
    CiphertextBlob, GenerateMacRequest, KeySpec, KeyUsage, KmsError, MacAlgorithm, Plaintext,
    VerifyMacRequest,
};

fn generate(
    fixture: &Fixture,
    key_id: &str,
    mac_algorithm: MacAlgorithm,
    message: &[u8],
) -> Result<Vec<u8>, KmsError> {
    let request = GenerateMacRequest {
        message: Plaintext::new(message.to_vec()),
        key_id: key_id.to_owned(),
        mac_algorithm,
        grant_tokens: Vec::new(),
        dry_run: None,
    };
    let answer = fixture.service().generate_mac(&fixture.admin, &request)?;
    assert_eq!(answer.key_id, Fixture::arn(key_id));
    Ok(answer.mac.0)
}

fn verify(
    fixture: &Fixture,
    key_id: &str,
    mac_algorithm: MacAlgorithm,
    message: &[u8],
    mac: &[u8],
) -> Result<bool, KmsError> {
    let request = VerifyMacRequest {
        message: Plaintext::new(message.to_vec()),
        key_id: key_id.to_owned(),
        mac_algorithm,
        mac: CiphertextBlob(mac.to_vec()),
        grant_tokens: Vec::new(),
        dry_run: None,
    };
    let answer = fixture.service().verify_mac(&fixture.admin, &request)?;
    Ok(answer.mac_valid)
}

#[test]
fn a_code_verifies_with_its_own_key_and_message_only() {
    let mut fixture = Fixture::new();
    for (spec, length) in [
        (KeySpec::Hmac224, 28),
        (KeySpec::Hmac256, 32),
        (KeySpec::Hmac384, 48),
        (KeySpec::Hmac512, 64),
    ] {
        let [key, other] = [(); 2].map(|()| fixture.key_for(spec, KeyUsage::GenerateVerifyMac));
        let algorithm = spec.mac_algorithms()[0];
        let mac = generate(&fixture, &key, algorithm, b"message").unwrap();
        assert_eq!(mac.len(), length);
        fixture.reopen();
        assert_eq!(
            verify(&fixture, &key, algorithm, b"message", &mac),
            Ok(true)
        );
        let invalid = Err(KmsError::InvalidMac(String::new()));
        let verify =
            |key: &str, message: &[u8], mac: &[u8]| verify(&fixture, key, algorithm, message, mac);
        assert_eq!(verify(&key, b"other", &mac), invalid);
        assert_eq!(verify(&other, b"message", &mac), invalid);
        assert_eq!(verify(&key, b"message", &mac[1..]), invalid);
    }
}

#[test]
fn an_algorithm_of_another_kind_and_a_key_of_another_usage_are_refused() {
    let fixture = Fixture::new();
    let key = fixture.key_for(KeySpec::Hmac256, KeyUsage::GenerateVerifyMac);
    for &algorithm in MacAlgorithm::ALL {
        if algorithm == MacAlgorithm::HmacSha256 {
            continue;
        }
        let why = format!("Algorithm {algorithm} is incompatible with key spec HMAC_256.");
        let expected = KmsError::InvalidKeyUsage(why);
        let generated = refusal(generate(&fixture, &key, algorithm, b"message"));
        assert_eq!(generated, expected);
        let verified = refusal(verify(&fixture, &key, algorithm, b"message", &[7; 32]));
        assert_eq!(verified, expected);
    }
    let symmetric = fixture.key();
    let algorithm = MacAlgorithm::HmacSha256;
    assert_eq!(
        refusal(generate(&fixture, &symmetric, algorithm, b"message")),
        KmsError::InvalidKeyUsage(format!(
            "{} key usage is ENCRYPT_DECRYPT which is not valid for GenerateMac.",
            Fixture::arn(&symmetric)
        ))
    );
}
