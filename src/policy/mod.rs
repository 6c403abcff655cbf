//! IAM JSON policies: reading them and deciding by them. Pure: no input, output or clock.
//!
//! One engine serves key policies, identity policies and tree (volume) policies, in AWS's language
//! and with AWS's evaluation, so what is documented there holds here:
//! [elements](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html),
//! [evaluation](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html).
//! Where AWS leaves a case open or forgives it, this engine is the stricter one:
//!
//! - a document that is not fully understood is refused when it is loaded;
//! - a variable's value is compared as it is, never as a wildcard;
//! - a `*` in one component of an ARN does not reach into the next;
//! - what the request cannot answer fails an Allow and fulfils a Deny: see [`Facts`].
//!
//! ```
//! use kmsfs::policy::{self, Context, Document, DocumentKind, Principal, Request};
//!
//! struct NoKeys;
//! impl Context for NoKeys {
//!     fn get(&self, _key: &str) -> Option<Vec<std::borrow::Cow<'_, str>>> {
//!         None
//!     }
//! }
//!
//! let alice = Principal {
//!     arn: "arn:aws:iam::000000000000:user/alice".into(),
//!     account: "000000000000".into(),
//!     also: vec![],
//! };
//! let volume = "arn:aws:kmsfs:us-east-1:000000000000:volume/7";
//! let policy = policy::canned::owner_tree_policy(&alice.arn, volume);
//! let policy = Document::parse(DocumentKind::Tree, &policy)?;
//! let request = Request {
//!     principal: &alice,
//!     action: "kmsfs:Read",
//!     resource: "arn:aws:kmsfs:us-east-1:000000000000:volume/7/notes.txt",
//!     context: &NoKeys,
//! };
//! let allowed = policy::decide(&policy, &[], &[], &request)?;
//! assert_eq!(allowed.statements(), ["tree:OwnerOnly"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod actions;
mod arn;
pub mod canned;
mod condition;
mod decide;
mod document;
mod edit;
mod explain;
mod finding;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod json;
pub mod keys;
mod operator;
mod pattern;
mod principals;
mod reader;
mod request;
mod roles;
mod statement;
#[cfg(test)]
mod tests;
mod value;
mod warnings;

pub use decide::{Allowed, Denied, DenyReason, decide};
pub use document::{Document, DocumentKind};
pub use explain::{Considered, Explanation, explain};
pub use finding::{Finding, Refused};
pub use keys::Facts;
pub use request::{Context, Principal, Request};
pub use roles::Role;
pub use statement::Effect;
