//! What holds for every document and request.

use proptest::prelude::*;

use super::super::document::Version;
use super::super::pattern::{Outcome, Pattern};
use super::super::request::Lookup;
use super::*;

/// The obvious matcher, exponential: tries every length for a `*`.
fn naive(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
        (['?', rest @ ..], [_, others @ ..]) => naive(rest, others),
        ([one, rest @ ..], [other, others @ ..]) => one == other && naive(rest, others),
        _ => false,
    }
}

/// A statement of a tree policy, drawn so that requests and statements often meet.
fn statement() -> impl Strategy<Value = String> {
    let effect = prop_oneof![3 => Just("Allow"), 1 => Just("Deny")];
    let principal = prop::sample::select(vec![
        r#""*""#,
        r#"{"AWS": "111122223333"}"#,
        r#"{"AWS": "arn:aws:iam::111122223333:user/alice"}"#,
        r#"{"AWS": ["arn:aws:iam::111122223333:user/bob", "444455556666"]}"#,
    ]);
    let action = prop::sample::select(vec![
        r#""Action": "*""#,
        r#""Action": "kmsfs:Read""#,
        r#""NotAction": ["kmsfs:Re*", "kmsfs:Write"]"#,
    ]);
    let resource = prop::sample::select(vec![
        r#""Resource": "*""#,
        r#""Resource": "arn:aws:kmsfs:*:*:volume/7/${aws:username}/*""#,
        r#""NotResource": "arn:aws:kmsfs:*:*:volume/7/hr/${kmsfs:Label}""#,
    ]);
    let condition = prop::sample::select(vec![
        "{}",
        r#"{"StringEquals": {"kmsfs:Label": "${aws:username}"}}"#,
        r#"{"NumericNotEquals": {"kmsfs:Uid": 0}, "Null": {"kmsfs:Label": true}}"#,
        r#"{"StringNotLikeIfExists": {"kmsfs:ExePath": "/tmp/*"}}"#,
        r#"{"ForAllValues:NumericGreaterThan": {"kmsfs:Gids": 10}}"#,
    ]);
    (effect, principal, action, resource, condition).prop_map(|(e, p, a, r, c)| {
        let principal = format!(r#""Principal": {p}"#);
        format!(r#"{{"Effect": "{e}", {principal}, {a}, {r}, "Condition": {c}}}"#)
    })
}

/// A request: who, what, where, and some condition keys.
#[derive(Debug, Clone)]
struct Asked {
    name: &'static str,
    action: &'static str,
    path: &'static str,
    keys: Vec<(&'static str, &'static str)>,
}

impl Asked {
    fn explained(&self, tree: &Document) -> Explanation {
        let given = self.keys.iter();
        let keys = given.fold(Keys::default(), |keys, (k, v)| keys.with(k, &[v]));
        let volume = "arn:aws:kmsfs:us-east-1:111122223333:volume/7";
        let request = Request {
            principal: &user(self.name),
            action: self.action,
            resource: &format!("{volume}/{}", self.path),
            context: &keys,
        };
        explain(tree, &[], &[], &request)
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let key = prop::sample::select(vec![
        ("kmsfs:Label", "alice"),
        ("kmsfs:Uid", "0"),
        ("kmsfs:Uid", "1000"),
        ("kmsfs:ExePath", "/tmp/x"),
        ("kmsfs:ExePath", "/bin/cat"),
        ("kmsfs:Gids", "100"),
    ]);
    let name = prop::sample::select(vec!["alice", "bob"]);
    let action = prop::sample::select(vec!["kmsfs:Read", "kmsfs:Write", "kmsfs:List"]);
    let path = prop::sample::select(vec!["alice/x", "hr/alice", "bob/y"]);
    (name, action, path, prop::collection::vec(key, 0..4)).prop_map(|(name, action, path, keys)| {
        Asked {
            name,
            action,
            path,
            keys,
        }
    })
}

/// What a decision comes to, order aside.
fn decision(
    tree: &[String],
    identity: &[String],
    asked: &Asked,
) -> Result<usize, (DenyReason, usize)> {
    let tree = tree_policy(&tree.join(","));
    let principal = r#""Principal": "#;
    let without = |text: &String| {
        let start = text.find(principal).unwrap();
        let end = start + text[start..].find("Action").unwrap();
        let end = text[..end].rfind(", ").unwrap() + 2;
        format!("{}{}", &text[..start], &text[end..])
    };
    let identity: Vec<_> = identity
        .iter()
        .map(|statement| identity_policy(&without(statement)))
        .collect();
    let identity: Vec<_> = identity.iter().collect();
    let keys = asked
        .keys
        .iter()
        .fold(Keys::default(), |keys, (k, v)| keys.with(k, &[v]));
    let resource = format!(
        "arn:aws:kmsfs:us-east-1:111122223333:volume/7/{}",
        asked.path
    );
    let principal = &user(asked.name);
    let action = asked.action;
    let request = Request {
        principal,
        action,
        resource: &resource,
        context: &keys,
    };
    match decide(&tree, &identity, &[], &request) {
        Ok(allowed) => Ok(allowed.statements().len()),
        Err(denied) => Err((denied.reason, denied.statements.len())),
    }
}

proptest! {
    #[test]
    fn the_matcher_agrees_with_the_naive_one(pattern in "[ab*?é]{0,8}", text in "[abé]{0,10}") {
        let (p, t): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
        prop_assert_eq!(Pattern::glob(&pattern).matches_fixed(&text), naive(&p, &t));
    }

    #[test]
    fn a_substituted_value_is_never_a_pattern(value in "[ab*?$\\{\\}é]{1,6}", text in "[ab*é]{0,6}") {
        let keys = Keys::default().with("kmsfs:Label", &[&value]);
        let principal = &user("alice");
        let request = Request { principal, action: "", resource: "", context: &keys };
        let lookup = Lookup::new(&request);
        for wildcards in [false, true] {
            let pattern = Pattern::parse("${kmsfs:Label}", wildcards, Version::V2012).unwrap();
            prop_assert_eq!(pattern.matches(&text, &lookup) == Outcome::Match, text == value);
            prop_assert_eq!(pattern.matches(&value, &lookup), Outcome::Match);
        }
    }

    #[test]
    fn the_matcher_with_values_agrees_with_the_naive_one(
        before in "[ab*?]{0,4}", value in "[ab]{1,3}", after in "[ab*?]{0,4}", text in "[ab]{0,9}",
    ) {
        let keys = Keys::default().with("kmsfs:Label", &[&value]);
        let principal = &user("alice");
        let request = Request { principal, action: "", resource: "", context: &keys };
        let template = format!("{before}${{kmsfs:Label}}{after}");
        let pattern = Pattern::parse(&template, true, Version::V2012).unwrap();
        let expected: Vec<_> = format!("{before}{value}{after}").chars().collect();
        let characters: Vec<_> = text.chars().collect();
        let matched = pattern.matches(&text, &Lookup::new(&request)) == Outcome::Match;
        prop_assert_eq!(matched, naive(&expected, &characters));
    }

    #[test]
    fn an_added_deny_never_allows_more(
        tree in prop::collection::vec(statement(), 1..5),
        identity in prop::collection::vec(statement(), 0..3),
        added in statement(),
        to_tree: bool,
        asked in asked(),
    ) {
        let before = decision(&tree, &identity, &asked);
        let deny = added.replace(r#""Allow""#, r#""Deny""#);
        let (mut tree, mut identity) = (tree, identity);
        if to_tree { tree.push(deny) } else { identity.push(deny) }
        let after = decision(&tree, &identity, &asked);
        prop_assert!(before.is_ok() || after.is_err());
    }

    #[test]
    fn an_added_allow_never_denies_more(
        tree in prop::collection::vec(statement(), 1..5),
        added in statement(),
        asked in asked(),
    ) {
        let before = decision(&tree, &[], &asked);
        let mut tree = tree;
        tree.push(added.replace(r#""Deny""#, r#""Allow""#));
        prop_assert!(before.is_err() || decision(&tree, &[], &asked).is_ok());
    }

    #[test]
    fn the_order_of_statements_and_documents_never_matters(
        tree in prop::collection::vec(statement(), 1..6),
        identity in prop::collection::vec(statement(), 0..4),
        seed in any::<prop::sample::Index>(),
        asked in asked(),
    ) {
        let rotated = |list: &[String]| {
            let mut list = list.to_vec();
            list.reverse();
            if !list.is_empty() {
                let by = seed.index(list.len());
                list.rotate_left(by);
            }
            list
        };
        let moved = decision(&rotated(&tree), &rotated(&identity), &asked);
        prop_assert_eq!(decision(&tree, &identity, &asked), moved);
    }

    #[test]
    fn an_allow_that_is_said_to_be_of_no_use_never_allows(
        tree in prop::collection::vec(statement(), 1..6),
        asked in asked(),
    ) {
        let document = tree_policy(&tree.join(","));
        let warnings = document.warnings().into_iter();
        let useless = warnings.filter(|warning| warning.reason.contains("nobody can use it"));
        let useless: Vec<_> = useless.filter_map(|warning| warning.statement).collect();
        let explanation = asked.explained(&document);
        for statement in &explanation.statements {
            let name = statement.split_once(':').unwrap().1;
            prop_assert!(
                !explanation.allowed || !useless.iter().any(|one| one == name),
                "{} allows", statement
            );
        }
    }

    #[test]
    fn an_explanation_says_what_was_decided(
        tree in prop::collection::vec(statement(), 1..6),
        asked in asked(),
    ) {
        let document = tree_policy(&tree.join(","));
        let explanation = asked.explained(&document);
        let decided = decision(&tree, &[], &asked);
        prop_assert_eq!(explanation.allowed, decided.is_ok());
        // What decided applies, and a Deny that applies decides.
        for one in &explanation.considered {
            let named = explanation.statements.contains(&one.statement);
            prop_assert!(one.applies || !named);
            prop_assert!(one.effect == Effect::Allow || one.applies == named);
        }
    }

    #[test]
    fn reading_arbitrary_text_never_panics(text in any::<String>()) {
        for kind in [DocumentKind::Key, DocumentKind::Tree, DocumentKind::Identity] {
            let _ = Document::parse(kind, &text);
        }
    }

    #[test]
    fn reading_a_damaged_document_never_panics(
        tree in prop::collection::vec(statement(), 1..3),
        at in any::<prop::sample::Index>(),
        insert in "[\\[\\]{}\",:*$\\\\né0-9a-z]{0,4}",
        remove in 0..6_usize,
    ) {
        let json = text(&tree.join(","));
        let start = json.floor_char_boundary(at.index(json.len()));
        let end = json.floor_char_boundary((start + remove).min(json.len()));
        let damaged = format!("{}{insert}{}", &json[..start], &json[end..]);
        if let Ok(document) = Document::parse(DocumentKind::Tree, &damaged) {
            let _ = document.warnings();
            let _ = read(&document, &Keys::default());
        }
    }

    #[test]
    fn reading_arbitrary_json_never_panics(json in json()) {
        for kind in [DocumentKind::Key, DocumentKind::Tree, DocumentKind::Identity] {
            let _ = Document::parse(kind, &json);
        }
    }
}

/// JSON whose names and values are a policy's, in any arrangement.
fn json() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "Version",
        "2012-10-17",
        "Statement",
        "Sid",
        "Effect",
        "Allow",
        "Principal",
        "AWS",
        "*",
        "Action",
        "kmsfs:Read",
        "Resource",
        "arn:aws:kmsfs:::volume/${kmsfs:Path}",
        "Condition",
        "StringLike",
        "ForAnyValue:NumericEquals",
        "kmsfs:Gids",
        "${",
        "é",
    ]);
    let word = words.prop_map(|word| format!("{word:?}"));
    let leaf = prop_oneof![4 => word.clone(), 1 => Just("7".to_owned()), 1 => Just("null".into())];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        let members = prop::collection::vec((word.clone(), inner.clone()), 0..6);
        let object = members.prop_map(|members| {
            let members: Vec<_> = members.iter().map(|(n, v)| format!("{n}: {v}")).collect();
            format!("{{{}}}", members.join(", "))
        });
        let array = prop::collection::vec(inner, 0..4);
        prop_oneof![2 => object, 1 => array.prop_map(|items| format!("[{}]", items.join(", ")))]
    })
}

#[test]
fn a_pattern_of_many_wildcards_is_matched_in_time() {
    let text = "a".repeat(4096);
    let started = std::time::Instant::now();
    for pattern in [
        "*a".repeat(2000) + "b",
        format!("*{}b", "?a".repeat(1000)),
        "*?".repeat(5000),
    ] {
        assert!(!Pattern::glob(&pattern).matches_fixed(&text), "{pattern}");
    }
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}
