//! Why a request is decided as it is.

use super::*;

const STATEMENTS: &str = r#"
    {"Sid": "Staff", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/staff"},
     "Action": "kmsfs:Read", "Resource": "*"},
    {"Sid": "Delegate", "Effect": "Allow", "Principal": {"AWS": "111122223333"},
     "Action": "kmsfs:*", "Resource": "*"},
    {"Sid": "Office", "Effect": "Allow", "Principal": "*", "Action": "kmsfs:Read",
     "Resource": "arn:aws:kmsfs:*:*:volume/7/hr/*",
     "Condition": {"StringEquals": {"kmsfs:ExePath": "/bin/soffice"}}},
    {"Sid": "Writers", "Effect": "Allow", "Principal": "*", "Action": "kmsfs:Write", "Resource": "*"}"#;

fn explained(keys: &Keys, identity: &[&str]) -> Explanation {
    let identity: Vec<_> = identity.iter().map(|text| identity_policy(text)).collect();
    let alice = user("alice");
    let identity: Vec<_> = identity.iter().map(|one| (&*alice.arn, one)).collect();
    let request = Request {
        principal: &alice,
        action: "kmsfs:Read",
        resource: FILE,
        context: keys,
    };
    explain(&tree_policy(STATEMENTS), &identity, &[], &request)
}

#[test]
fn each_statement_about_the_action_tells_what_keeps_it_from_applying() {
    let explanation = explained(&Keys::default().with("kmsfs:ExePath", &["/bin/cat"]), &[]);
    assert_eq!(explanation.denied, Some(DenyReason::NoAllow));
    let said: Vec<_> = explanation
        .considered
        .iter()
        .map(|one| (&*one.statement, one.line, one.applies, one.unmet.join("; ")))
        .collect();
    let not_hers = "its Principal is not arn:aws:iam::111122223333:user/alice";
    let not_with = "its StringEquals does not hold: kmsfs:ExePath is /bin/cat";
    assert_eq!(
        said,
        [
            ("tree:Staff", 2, false, not_hers.to_owned()),
            ("tree:Delegate", 4, true, String::new()),
            ("tree:Office", 6, false, not_with.to_owned()),
        ]
    );
    assert!(explanation.considered[1].delegates);
    let unknown = explained(&Keys::default(), &[]);
    let office = &unknown.considered[2].unmet[0];
    assert!(
        office.ends_with("the request has no kmsfs:ExePath"),
        "{office}"
    );
}

#[test]
fn an_identity_policy_is_told_with_whom_it_is_attached_to() {
    let allow = r#"{"Sid": "Own", "Effect": "Allow", "Action": "kmsfs:Read", "Resource": "*"}"#;
    let explanation = explained(&Keys::default(), &[allow]);
    assert_eq!(explanation.statements, ["tree:Delegate", "identity:Own"]);
    let own = explanation.considered.last().unwrap();
    assert_eq!(own.policy, "arn:aws:iam::111122223333:user/alice");
    assert!(own.applies);
}
