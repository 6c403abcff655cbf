//! Who is let in: signatures, users, groups, Regions, registered mounts.

use std::{
    io::{Read, Write},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::common::{Place, User, write};

const TARGET: (&str, &str) = ("x-amz-target", "TrentService.ListKeys");

#[test]
fn what_a_signed_request_encrypts_another_decrypts() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let key = server.new_key(&admin);
    let context = json!({"a": "b"});
    let encrypted = server.done(
        &admin,
        "Encrypt",
        &json!({"KeyId": key, "Plaintext": "c2VjcmV0", "EncryptionContext": context}),
    );
    let blob = &encrypted["CiphertextBlob"];
    let decrypted = server.done(
        &admin,
        "Decrypt",
        &json!({"CiphertextBlob": blob, "EncryptionContext": context}),
    );
    assert_eq!(decrypted["Plaintext"], "c2VjcmV0");
    let refused = server.error(&admin, "Decrypt", &json!({"CiphertextBlob": blob}));
    assert_eq!(refused, "InvalidCiphertextException");
}

#[test]
fn a_request_that_nobody_signed_properly_is_refused_in_awss_words() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let now = SystemTime::now();
    let refused = |user: &User, time, headers: &[(&str, &str)]| {
        let (status, answer) = server.ask_with(user, time, headers, &json!({}));
        assert_eq!(status, 400, "{answer}");
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        (text("__type"), text("message"))
    };
    let forger = User {
        secret: "x".repeat(40),
        ..admin.clone()
    };
    let (code, message) = refused(&forger, now, &[TARGET]);
    assert_eq!(code, "InvalidSignatureException");
    assert!(message.starts_with("The request signature we calculated does not match"));

    let nobody = User {
        id: "AKIAAAAAAAAAAAAAAAAA".to_owned(),
        ..admin.clone()
    };
    let (code, message) = refused(&nobody, now, &[TARGET]);
    assert_eq!(code, "UnrecognizedClientException");
    assert_eq!(
        message,
        "The security token included in the request is invalid."
    );

    let (code, message) = refused(&admin, now - Duration::from_mins(6), &[TARGET]);
    assert_eq!(code, "InvalidSignatureException");
    assert!(message.starts_with("Signature expired: "), "{message}");
    let (_, message) = refused(&admin, now + Duration::from_mins(6), &[TARGET]);
    assert!(
        message.starts_with("Signature not yet current: "),
        "{message}"
    );

    let (_, answer) = server.plain("POST / HTTP/1.1", &[TARGET], b"{}");
    assert_eq!(answer["__type"], "MissingAuthenticationTokenException");
    let headers = [TARGET, ("authorization", "AWS4-HMAC-SHA256 Credential=x")];
    let (_, answer) = server.plain("POST / HTTP/1.1", &headers, b"{}");
    assert_eq!(answer["__type"], "IncompleteSignatureException");
    assert_eq!(
        server.error(&admin, "Conjure", &json!({})),
        "UnknownOperationException"
    );
}

#[test]
fn the_target_of_a_signed_request_cannot_be_changed_on_the_way() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let mut headers = admin.sign(server.host(), SystemTime::now(), &[], b"{}");
    headers.push((
        "x-amz-target".to_owned(),
        "TrentService.CreateKey".to_owned(),
    ));
    let stream = server.connect();
    let (status, answer) = super::common::exchange(stream, "POST / HTTP/1.1", &headers, b"{}");
    assert_eq!(
        (status, &answer["__type"]),
        (400, &json!("InvalidSignatureException"))
    );
}

#[test]
fn a_user_is_what_its_policies_and_groups_make_of_it_at_once() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    // Made while the server runs, and known to it.
    let anna = place.user(&["anna"]);
    assert_eq!(anna.arn, "arn:aws:iam::000000000000:user/anna");
    let list = |user: &User| server.ask(user, "ListKeys", &json!({})).0;
    assert_eq!((list(&admin), list(&anna)), (200, 400));
    let policy = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "kms:ListKeys", "Resource": "*"}]}"#;
    let policy = write(&place.path("policy"), policy);

    place.run(&["kms", "group", "policy", "listers", "--policy", &policy]);
    place.run(&["kms", "group", "add", "listers", "anna"]);
    assert_eq!(list(&anna), 200);
    place.run(&["kms", "group", "remove", "listers", "anna"]);
    assert_eq!(list(&anna), 400);

    place.run(&["kms", "user", "policy", "anna", "--policy", &policy]);
    assert_eq!(list(&anna), 200);
    assert_eq!(
        server.error(&anna, "CreateKey", &json!({})),
        "AccessDeniedException"
    );
    place.run(&["kms", "user", "policy", "anna", "--none"]);
    assert_eq!(list(&anna), 400);
}

#[test]
fn an_access_key_is_replaced_without_a_gap_and_a_revoked_one_is_refused_at_once() {
    let place = Place::new();
    let first = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let made = place.run(&["kms", "user", "key", "create", "admin"]);
    let second = User::of(&serde_json::from_str::<Value>(&made).unwrap());
    let refused = place.refused(&["kms", "user", "key", "create", "admin"]);
    assert!(refused.contains("LimitExceededException"), "{refused}");
    for user in [&first, &second] {
        server.done(user, "ListKeys", &json!({}));
    }
    place.run(&["kms", "user", "key", "revoke", &first.id]);
    assert_eq!(
        server.error(&first, "ListKeys", &json!({})),
        "UnrecognizedClientException"
    );
    server.done(&second, "ListKeys", &json!({}));
    let listed = place.run(&["kms", "user", "key", "list", "admin"]);
    assert!(listed.contains(&second.id) && !listed.contains(&first.id));
    assert!(!listed.contains(&second.secret));
    place.run(&["kms", "user", "delete", "admin"]);
    assert_eq!(
        server.error(&second, "ListKeys", &json!({})),
        "UnrecognizedClientException"
    );
}

#[test]
fn a_region_sees_its_own_keys_and_one_that_is_not_served_is_refused() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0", "--region", "us-east-1,eu-west-1"]);
    let key = server.new_key(&admin);
    let request = json!({"KeyId": key});
    server.done(&admin, "DescribeKey", &request);
    let west = admin.in_region("eu-west-1");
    assert_eq!(
        server.error(&west, "DescribeKey", &request),
        "NotFoundException"
    );
    for elsewhere in ["ap-south-1", "nowhere"] {
        let user = admin.in_region(elsewhere);
        assert_eq!(
            server.error(&user, "ListKeys", &json!({})),
            "InvalidSignatureException"
        );
    }
}

#[test]
fn a_user_of_another_account_is_let_in_by_key_policies_only() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let stranger = place.user(&["ann", "--admin", "--foreign-account", "999988887777"]);
    assert_eq!(stranger.arn, "arn:aws:iam::999988887777:user/ann");
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let key = server.new_key(&admin);
    let arn = format!("arn:aws:kms:us-east-1:000000000000:key/{key}");
    let encrypt = json!({"KeyId": arn, "Plaintext": "YQ=="});
    assert_eq!(
        server.error(&stranger, "Encrypt", &encrypt),
        "AccessDeniedException"
    );
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
         "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999988887777:root"},
         "Action": "kms:Encrypt", "Resource": "*"}]});
    let put = json!({"KeyId": key, "Policy": policy.to_string()});
    server.done(&admin, "PutKeyPolicy", &put);
    server.done(&stranger, "Encrypt", &encrypt);
}

#[test]
fn only_the_access_key_of_a_mount_speaks_for_others_and_the_log_names_both() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let mount = place.user(&["host7", "--mount"]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let key = server.new_key(&admin);
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
         "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:user/anna"},
         "Action": "kms:GenerateDataKey", "Resource": "*"}]});
    server.done(
        &admin,
        "PutKeyPolicy",
        &json!({"KeyId": key, "Policy": policy.to_string()}),
    );
    let anna = json!({
        "Arn": "arn:aws:iam::000000000000:user/anna", "Account": "000000000000", "Also": [],
        "Uid": 1000, "ViaKmsfs": false, "SharedEventId": null, "Pid": null,
    });
    let anna = STANDARD.encode(anna.to_string());
    let speak = |user: &User, operation: &str, request: &Value| {
        let target = format!("TrentService.{operation}");
        let headers = [("x-amz-target", &*target), ("x-kmsfs-caller", &*anna)];
        server.ask_with(user, SystemTime::now(), &headers, request)
    };
    let generate = json!({"KeyId": key, "KeySpec": "AES_256"});
    assert_eq!(speak(&mount, "GenerateDataKey", &generate).0, 200);
    let (_, refused) = speak(&admin, "GenerateDataKey", &generate);
    assert_eq!(refused["__type"], "AccessDeniedException");
    let (_, refused) = speak(&mount, "CreateKey", &json!({}));
    assert_eq!(refused["__type"], "AccessDeniedException");
    // For itself the mount may do nothing with this key.
    assert_eq!(
        server.error(&mount, "GenerateDataKey", &generate),
        "AccessDeniedException"
    );

    let log = std::fs::read_to_string(place.home().join("audit/kms.jsonl")).unwrap();
    let record = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|record| record["eventName"] == "GenerateDataKey")
        .unwrap();
    let identity = &record["userIdentity"];
    assert_eq!(identity["arn"], "arn:aws:iam::000000000000:user/anna");
    assert_eq!(
        identity["forwardedBy"],
        "arn:aws:iam::000000000000:user/host7"
    );
    assert_eq!(identity["accessKeyId"], mount.id);
    assert!(!log.contains(&mount.secret) && !log.contains(&admin.secret));
}

#[test]
fn an_answer_its_record_and_the_keys_last_use_carry_one_request_id() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let key = server.new_key(&admin);
    let body = json!({ "KeyId": key, "Plaintext": "AAAA" }).to_string();
    let target = [("x-amz-target", "TrentService.Encrypt")];
    let headers = admin.sign(server.host(), SystemTime::now(), &target, body.as_bytes());
    let mut stream = server.connect();
    let mut head = "POST / HTTP/1.1\r\nconnection: close\r\n".to_owned();
    for (name, value) in &headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let id = answer
        .lines()
        .find_map(|line| line.strip_prefix("x-amzn-requestid: "));
    let id = id.unwrap_or_else(|| panic!("{answer}"));

    let log = std::fs::read_to_string(place.home().join("audit/kms.jsonl")).unwrap();
    let mut records = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let record = records.find(|record| record["requestID"] == id).unwrap();
    assert_eq!(record["eventName"], "Encrypt");
    let usage = server.done(&admin, "GetKeyLastUsage", &json!({ "KeyId": key }));
    assert_eq!(usage["KeyLastUsage"]["KmsRequestId"], id, "{usage}");
    assert_eq!(
        usage["KeyLastUsage"]["CloudTrailEventId"],
        record["eventID"]
    );
}

#[test]
fn no_replica_is_made_in_a_region_that_is_not_served() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let regions = ["--region", "us-east-1,eu-west-1"];
    let server = place.serve(&[&["--listen", "127.0.0.1:0"], &regions[..]].concat());
    let made = server.done(&admin, "CreateKey", &json!({ "MultiRegion": true }));
    let key = &made["KeyMetadata"]["KeyId"];
    let replicate = |region| json!({ "KeyId": key, "ReplicaRegion": region });
    let refused = server.error(&admin, "ReplicateKey", &replicate("ap-south-1"));
    assert_eq!(refused, "UnsupportedOperationException");
    server.done(&admin, "ReplicateKey", &replicate("eu-west-1"));
}
