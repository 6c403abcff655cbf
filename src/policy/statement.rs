//! One statement: reading it, and whether it is about a request.

use serde::{Deserialize, Serialize};

use super::actions::{Action, ActionSet};
use super::arn::{Arn, ArnPattern};
use super::condition::{self, Condition, fulfils};
use super::document::DocumentKind;
use super::json::{Member, Node, Value};
use super::keys::Facts;
use super::pattern::Outcome;
use super::principals::{self, Principals, Reach};
use super::reader::{Reader, either};
use super::request::{Lookup, Principal, Request};

/// What a statement does with the requests it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// It lets them through, unless another one denies.
    Allow,
    /// It refuses them, whatever allows them.
    Deny,
}

/// A statement, compiled.
#[derive(Debug)]
pub(super) struct Statement {
    /// The kind of its document and its `Sid`, or `#n` counted from 1: `key:AllowUse`, `tree:#2`.
    pub(super) id: String,
    /// Byte offset in the document.
    pub(super) offset: usize,
    pub(super) effect: Effect,
    pub(super) principals: Principals,
    pub(super) actions: ActionSet,
    pub(super) resources: Resources,
    pub(super) conditions: Vec<Condition>,
}

/// `Resource` or `NotResource`.
#[derive(Debug, Default)]
pub(super) struct Resources {
    negated: bool,
    patterns: Vec<ArnPattern>,
    /// The patterns as they are written.
    pub(super) texts: Vec<Box<str>>,
}

/// What a statement is asked about: a request, with what every statement needs worked out once.
pub(super) struct Question<'r> {
    pub(super) principal: &'r Principal,
    pub(super) action: Action,
    /// `None` for what is no ARN: `*`, the resource of an action that has none.
    pub(super) resource: Option<Arn<'r>>,
    pub(super) lookup: Lookup<'r>,
}

impl<'r> Question<'r> {
    pub(super) fn new(request: &Request<'r>, action: Action) -> Self {
        Self {
            principal: request.principal,
            action,
            resource: Arn::split(request.resource),
            lookup: Lookup::new(request),
        }
    }
}

impl Statement {
    /// How the statement reaches the caller; `Reach::None` unless all its elements are fulfilled.
    pub(super) fn reach(&self, question: &Question<'_>) -> Reach {
        if !self.actions.contains(question.action) {
            return Reach::None;
        }
        let reach = self.principals.reach(question.principal);
        let fulfilled = reach != Reach::None
            && self.is_on_resource(question)
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(self.effect, &question.lookup));
        if fulfilled { reach } else { Reach::None }
    }

    /// Whether it is certain that this Deny refuses each of `actions` to all that `allow` lets do them.
    pub(super) fn overrules(&self, allow: &Self, actions: ActionSet) -> bool {
        self.effect == Effect::Deny
            && self.conditions.is_empty()
            && self.actions.intersection(actions) == actions
            && self.principals.cover(&allow.principals)
            && self.resources.cover(&allow.resources)
    }

    /// Whether its `Resource` or `NotResource` is fulfilled.
    pub(super) fn is_on_resource(&self, question: &Question<'_>) -> bool {
        fulfils(
            self.resources.outcome(question.resource, &question.lookup),
            self.resources.negated,
            self.effect,
        )
    }

    /// The facts about the process that it needs.
    pub(super) fn facts(&self) -> Facts {
        let resources = self.resources.patterns.iter().map(ArnPattern::facts);
        let conditions = self.conditions.iter().map(Condition::facts);
        resources.chain(conditions).collect::<Facts>() | self.principals.facts()
    }
}

impl Resources {
    fn cover(&self, other: &Self) -> bool {
        let covered = |text: &str| self.patterns.iter().any(|pattern| pattern.covers(text));
        let anything = || self.texts.iter().any(|text| &**text == "*");
        !self.negated
            && (anything() || !other.negated && other.texts.iter().all(|text| covered(text)))
    }

    fn outcome(&self, arn: Option<Arn<'_>>, lookup: &Lookup<'_>) -> Outcome {
        Outcome::any(
            self.patterns
                .iter()
                .map(|pattern| pattern.matches(arn, lookup)),
        )
    }
}

/// The path within a volume that a resource pattern names, if it names less than the whole volume.
pub(super) fn path_of(pattern: &str) -> Option<&str> {
    let resource = Arn::split(pattern)?.resource();
    let (_, path) = resource.strip_prefix("volume/")?.split_once('/')?;
    (path != "*").then_some(path)
}

const ELEMENTS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// Reads the statement that stands at `index`, from 0. What is wrong with it goes to the reader;
/// the result is then of no use.
pub(super) fn parse<'a>(reader: &mut Reader<'a>, node: &Node<'a>, index: usize) -> Statement {
    let name = sid(node).map_or_else(|| format!("#{}", index + 1), str::to_owned);
    reader.statement = Some(name.clone());
    let members = reader.members(node, "a statement");
    for member in members {
        if !ELEMENTS.contains(&&*member.name) {
            let known = either(&ELEMENTS);
            reader.problem(
                member.offset,
                format!("unknown element {:?}; a statement has {known}", member.name),
            );
        }
    }
    let elements = Elements {
        offset: node.offset,
        members,
    };
    elements.check_sid(reader);
    let effect = elements.effect(reader);
    let statement = Statement {
        id: format!("{}:{name}", reader.kind),
        offset: node.offset,
        effect,
        principals: elements.principals(reader, effect),
        actions: elements.actions(reader),
        resources: elements.resources(reader),
        conditions: elements
            .find("Condition")
            .map(|member| condition::parse(reader, &member.value))
            .unwrap_or_default(),
    };
    reader.statement = None;
    statement
}

/// The `Sid` of a statement that has one.
pub(super) fn sid<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    let Value::Object(members) = &node.value else {
        return None;
    };
    members
        .iter()
        .find(|member| member.name == "Sid")
        .and_then(|member| match &member.value.value {
            Value::String(sid) if !sid.is_empty() => Some(&**sid),
            _ => None,
        })
}

/// The elements of one statement.
struct Elements<'n, 'a> {
    offset: usize,
    members: &'n [Member<'a>],
}

impl<'n, 'a> Elements<'n, 'a> {
    fn find(&self, name: &str) -> Option<&'n Member<'a>> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The element `name`, or its negation `Not<name>`; with whether it is the negation.
    fn either(&self, reader: &mut Reader<'a>, name: &str) -> Option<(bool, &'n Member<'a>)> {
        let negation = format!("Not{name}");
        match (self.find(name), self.find(&negation)) {
            (Some(plain), None) => Some((false, plain)),
            (None, Some(negated)) => Some((true, negated)),
            (Some(_), Some(negated)) => {
                reader.problem(
                    negated.offset,
                    format!("{name} and {negation} exclude each other"),
                );
                None
            }
            (None, None) => {
                reader.problem(
                    self.offset,
                    format!("the statement has no {name} or {negation}"),
                );
                None
            }
        }
    }

    /// A statement's name goes into the audit log, where it is to stand on one line and not pass
    /// for a statement's number.
    fn check_sid(&self, reader: &mut Reader<'a>) {
        let Some(member) = self.find("Sid") else {
            return;
        };
        let Some(sid) = reader.string(&member.value, "Sid") else {
            return;
        };
        if sid.starts_with('#') || sid.contains(char::is_control) {
            reader.problem(
                member.offset,
                "a Sid cannot begin with # or hold control characters",
            );
        }
    }

    fn effect(&self, reader: &mut Reader<'a>) -> Effect {
        let Some(member) = self.find("Effect") else {
            reader.problem(self.offset, "the statement has no Effect");
            return Effect::Deny;
        };
        match reader.string(&member.value, "Effect") {
            Some("Allow") => Effect::Allow,
            Some("Deny") | None => Effect::Deny,
            Some(other) => {
                let reason = format!("Effect is to be \"Allow\" or \"Deny\", not {other:?}");
                reader.problem(member.value.offset, reason);
                Effect::Deny
            }
        }
    }

    fn principals(&self, reader: &mut Reader<'a>, effect: Effect) -> Principals {
        if reader.kind == DocumentKind::Identity {
            for name in ["Principal", "NotPrincipal"] {
                if let Some(member) = self.find(name) {
                    reader.problem(
                        member.offset,
                        format!("an identity policy has no {name}: it is about its user or group"),
                    );
                }
            }
            return Principals::Attached;
        }
        let Some((negated, member)) = self.either(reader, "Principal") else {
            return Principals::Attached;
        };
        let set = principals::parse(reader, &member.value, &member.name);
        if negated && effect == Effect::Allow {
            reader.problem(
                member.offset,
                "NotPrincipal with Allow would allow everyone else; it is for Deny only",
            );
        }
        if negated {
            Principals::AllBut(set)
        } else {
            Principals::These(set)
        }
    }

    fn actions(&self, reader: &mut Reader<'a>) -> ActionSet {
        let Some((negated, member)) = self.either(reader, "Action") else {
            return ActionSet::default();
        };
        let governed = reader.kind.actions();
        let mut actions = ActionSet::default();
        for (offset, text) in reader.strings(&member.value, &member.name) {
            let matching = ActionSet::matching(text);
            if matching.is_empty() {
                reader.problem(offset, format!("unknown action {text:?}"));
            } else if matching.intersection(governed).is_empty() {
                let kind = reader.kind;
                reader.problem(offset, format!("a {kind} policy does not decide {text:?}"));
            }
            actions = actions.union(matching);
        }
        if negated {
            actions.complement()
        } else {
            actions
        }
    }

    fn resources(&self, reader: &mut Reader<'a>) -> Resources {
        let Some((negated, member)) = self.either(reader, "Resource") else {
            return Resources::default();
        };
        let mut resources = Resources {
            negated,
            ..Resources::default()
        };
        for (offset, text) in reader.strings(&member.value, &member.name) {
            let known = match Arn::split(text) {
                Some(arn) if !["kms", "kmsfs"].contains(&arn.service()) => {
                    Err(format!("{text:?} is no resource of kms or kmsfs"))
                }
                _ => ArnPattern::parse(text, reader.version),
            };
            match known {
                Ok(pattern) => resources.patterns.push(pattern),
                Err(reason) => reader.problem(offset, reason),
            }
            resources.texts.push(text.into());
        }
        resources
    }
}
