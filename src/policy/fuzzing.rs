//! Fuzz target for policy documents.

use std::borrow::Cow;

use super::{Context, Document, DocumentKind, Principal, Request, decide};

/// A request whose condition keys have values out of the input.
struct Keys<'a>(&'a [String]);

impl Context for Keys<'_> {
    fn get(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let some = key.len() % (self.0.len() + 1);
        let values = &self.0[..some];
        (!values.is_empty()).then(|| values.iter().map(|text| Cow::Borrowed(&**text)).collect())
    }
}

/// A policy document of any kind: read, written, read again, and asked.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let values: Vec<String> = text.split('"').take(4).map(str::to_owned).collect();
    let principal = Principal {
        arn: "arn:aws:iam::000000000000:user/ann".into(),
        account: "000000000000".into(),
        also: vec!["arn:aws:iam::000000000000:role/staff".into()],
    };
    for kind in [
        DocumentKind::Key,
        DocumentKind::Tree,
        DocumentKind::Identity,
    ] {
        let document = match Document::parse(kind, text) {
            Ok(document) => document,
            Err(refused) => {
                // The reason is for people: it can be shown.
                assert!(!refused.to_string().is_empty());
                continue;
            }
        };
        assert_eq!(document.source(), text);
        let again = Document::parse(kind, document.source()).expect("it was accepted before");
        for (action, resource) in [
            ("kms:Decrypt", "arn:aws:kms:us-east-1:000000000000:key/1"),
            (
                "kmsfs:Read",
                "arn:aws:kmsfs:us-east-1:000000000000:volume/1/docs/a",
            ),
        ] {
            let context = Keys(&values);
            let request = Request {
                principal: &principal,
                action,
                resource,
                context: &context,
            };
            let ask = |document: &Document| match kind {
                DocumentKind::Identity => None,
                _ => Some(decide(document, &[], &[], &request).is_ok()),
            };
            assert_eq!(
                ask(&document),
                ask(&again),
                "the same document says two things"
            );
        }
    }
}
