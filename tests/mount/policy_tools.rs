//! `kmsfs policy simulate`, `explain`, `validate`, and identity policies, against real users on real
//! mounts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use predicates::prelude::*;
use serde_json::{Value, json};

use crate::common::{ANN, BOB, Home, ROOT, TAKES_EFFECT, User, Volume, within};

const ACCOUNT_ROOT: &str = "arn:aws:iam::000000000000:root";

fn policy(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn allow(sid: &str, principal: &str, actions: &Value, resource: &str) -> Value {
    json!({ "Sid": sid, "Effect": "Allow", "Principal": { "AWS": principal },
            "Action": actions, "Resource": resource })
}

fn everything_for_root() -> Value {
    allow("Root", &ROOT.arn(), &json!("kmsfs:*"), "*")
}

/// A key policy under which only these may use the key through kmsfs; root, who mounts, administers it.
fn key_policy_for(users: &[User]) -> Value {
    let users: Vec<String> = users.iter().map(|user| user.arn()).collect();
    policy(&[
        allow("Administration", ACCOUNT_ROOT, &json!("kms:*"), "*"),
        json!({ "Sid": "Use", "Effect": "Allow", "Principal": { "AWS": users },
                "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": "*" }),
    ])
}

impl Home {
    /// Writes a document into a file of the temporary directory.
    fn document(&self, name: &str, document: &Value) -> String {
        let file = self.path(name);
        fs::write(&file, serde_json::to_vec_pretty(document).unwrap()).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

fn open_modes(point: &Path) {
    fs::set_permissions(point, fs::Permissions::from_mode(0o777)).unwrap();
}

/// What `simulate` says: whether it is allowed.
fn simulated(volume: &Volume<'_>, user: User, path: &str, action: &str) -> bool {
    let user = user.0.to_string();
    let answers = volume.home.json([
        "policy",
        "simulate",
        volume.backing.to_str().unwrap(),
        "--user",
        &user,
        "--path",
        path,
        "--action",
        action,
    ]);
    answers["answers"][0]["allowed"].as_bool().unwrap()
}

#[test]
fn what_simulate_says_is_what_users_can_do() {
    let home = Home::new();
    let volume = home.volume("owner");
    let mount = volume.mount();
    open_modes(&mount.point);
    ROOT.can(
        &mount.point,
        "umask 0; mkdir pub hr; for d in pub hr; do echo x > $d/f; done; echo x > pub/secret",
    );
    let delegated = json!(["kmsfs:Append", "kmsfs:List"]);
    let document = policy(&[
        everything_for_root(),
        allow("Pub", "000000000000", &delegated, &volume.arn("*")),
        allow(
            "AnnReads",
            &ANN.arn(),
            &json!(["kmsfs:Read", "kmsfs:Create"]),
            &volume.arn("pub/*"),
        ),
        allow("BobAll", &BOB.arn(), &json!("kmsfs:*"), &volume.arn("*")),
        json!({ "Sid": "NoSecret", "Effect": "Deny", "Principal": "*", "Action": "kmsfs:Read",
                "Resource": volume.arn("pub/secret"),
                "Condition": { "NumericNotEquals": { "kmsfs:Uid": BOB.0.to_string() } } }),
    ]);
    volume.put_policy(&document);
    let identity = policy(&[
        json!({ "Sid": "AnnAppends", "Effect": "Allow", "Action": "kmsfs:Append",
                                    "Resource": volume.arn("hr/*") }),
    ]);
    let file = home.document("ann.json", &identity);
    home.run(["policy", "put", "--user", &format!("uid-{}", ANN.0), &file]);
    // Bob may do everything to files, and has no use of the key.
    let key = home.document("key.json", &key_policy_for(&[ANN, ROOT]));
    home.run(["policy", "put", "--key", &volume.key, &key]);
    within(TAKES_EFFECT, "ann reads", || {
        ANN.sh(&mount.point, "cat pub/f").status.success()
            && ANN.sh(&mount.point, "echo y >> hr/f").status.success()
    });
    within(TAKES_EFFECT, "bob is out", || {
        !BOB.sh(&mount.point, "cat hr/f").status.success()
    });
    let mut allowed = 0;
    for user in [ROOT, ANN, BOB] {
        for path in ["pub/f", "pub/secret", "hr/f"] {
            let name = path.replace('/', "-");
            for (action, script, asked) in [
                ("Read", format!("cat {path}"), path.to_owned()),
                ("Append", format!("echo y >> {path}"), path.to_owned()),
                ("Write", format!("echo x > {path}"), path.to_owned()),
                (
                    "Create",
                    format!("echo x > pub/new-{name}-{}", user.0),
                    format!("pub/new-{name}"),
                ),
                (
                    "SetAttr",
                    format!("touch -d 2001-01-01 {path}"),
                    path.to_owned(),
                ),
                ("List", "ls hr".to_owned(), "hr".to_owned()),
            ] {
                let output = user.sh(&mount.point, &script);
                let said = simulated(&volume, user, &asked, action);
                // Modes have a say of their own in who sets times: root and the owner only.
                let by_modes = action == "SetAttr" && user.0 != 0;
                assert!(
                    said == output.status.success() || by_modes,
                    "{user:?}: {script}: simulate says {said}, and {output:?}"
                );
                allowed += usize::from(said);
            }
        }
    }
    assert!((20..40).contains(&allowed), "{allowed} of 54");
}

#[test]
fn explain_names_what_decides_in_both_planes_and_what_would_change_it() {
    let home = Home::new();
    let volume = home.volume("owner");
    let mount = volume.mount();
    let document = policy(&[
        everything_for_root(),
        allow(
            "Pub",
            &ANN.arn(),
            &json!("kmsfs:Read"),
            &volume.arn("pub/*"),
        ),
        json!({ "Sid": "NoSecret", "Effect": "Deny", "Principal": "*", "Action": "kmsfs:Read",
                "Resource": volume.arn("pub/secret") }),
    ]);
    volume.put_policy(&document);
    let point = mount.point.to_str().unwrap();
    let ann = ANN.0.to_string();
    let explain = |path: &str| {
        home.json([
            "policy", "explain", point, "--user", &ann, "--action", "Read", "--path", path,
        ])
    };
    let denied = explain("/pub/secret");
    assert_eq!(denied["allowed"], false);
    assert_eq!(denied["file"]["statements"], json!(["tree:NoSecret"]));
    assert_eq!(
        denied["key"]["decision"]["statements"],
        json!(["key:AllowUseThroughKmsfs"])
    );
    let text = denied["wouldChange"].to_string();
    assert!(
        text.contains("tree:NoSecret") && text.contains("narrow"),
        "{text}"
    );

    let allowed = explain("/pub/f");
    assert_eq!(allowed["allowed"], true);
    assert_eq!(allowed["file"]["statements"], json!(["tree:Pub"]));

    let missed = explain("/hr/f");
    assert_eq!(missed["file"]["denied"], "NoAllow");
    let text = missed["wouldChange"].to_string();
    assert!(
        text.contains("tree:Pub") && text.contains("Resource"),
        "{text}"
    );

    home.run(["key", "disable", &volume.key]);
    let disabled = explain("/pub/f");
    assert_eq!(disabled["allowed"], false);
    assert_eq!(disabled["key"]["keyState"], "Disabled");
    // It is a question: the audit log says that it was asked, and nothing of ann.
    let of_ann = |record: &Value| record["userIdentity"]["arn"] == ANN.arn();
    assert!(!home.audit_records().iter().any(of_ann));
}

#[test]
fn documents_alone_are_simulated_without_a_home() {
    let home = Home::new();
    let tree = home.document(
        "tree.json",
        &policy(&[
            allow(
                "Ann",
                "arn:aws:iam::000000000000:user/ann",
                &json!("kmsfs:*"),
                "*",
            ),
            allow("Rest", ACCOUNT_ROOT, &json!("kmsfs:*"), "*"),
        ]),
    );
    let use_of_ann = allow(
        "Use",
        "arn:aws:iam::000000000000:user/ann",
        &json!("kms:Decrypt"),
        "*",
    );
    let key = home.document("key.json", &policy(&[use_of_ann]));
    let staff = home.document(
        "staff.json",
        &policy(&[json!({ "Effect": "Allow", "Action": "kmsfs:List", "Resource": "*" })]),
    );
    let of_staff = format!("group/staff={staff}");
    let run = |more: &[&str]| {
        let mut arguments = vec![
            "policy",
            "simulate",
            "--tree",
            &tree,
            "--key-policy",
            &key,
            "--identity",
            &of_staff,
        ];
        arguments.extend(more);
        home.json(arguments)["answers"].as_array().unwrap().clone()
    };
    let of = |answers: &[Value], user: &str, action: &str| {
        let found = answers
            .iter()
            .find(|one| one["user"] == user && one["action"] == action);
        found.unwrap_or_else(|| panic!("{user} {action}: {answers:?}"))["allowed"].clone()
    };
    let all = run(&[]);
    assert_eq!(of(&all, "ann", "kmsfs:Read"), true);
    assert_eq!(of(&all, "ann", "kmsfs:Create"), false, "no GenerateDataKey");
    assert_eq!(of(&all, "a member of staff", "kmsfs:List"), true);
    assert_eq!(of(&all, "anyone else", "kmsfs:List"), false);
    let bob = run(&["--user", "bob", "--group", "staff", "--action", "List"]);
    assert_eq!(of(&bob, "bob", "kmsfs:List"), true);
    assert!(!home.dir().exists(), "a home was made");
}

#[test]
fn validate_tells_errors_and_probable_mistakes_of_a_document_a_volume_and_a_home() {
    let home = Home::new();
    let volume = home.volume("owner");
    let other = "arn:aws:kmsfs:us-east-1:000000000000:volume/00000000000000000000000000000000/*";
    let document = policy(&[
        everything_for_root(),
        allow(
            "Nobody",
            "arn:aws:iam::000000000000:user/no-such-user",
            &json!("kmsfs:Read"),
            other,
        ),
        allow(
            "Bin",
            "arn:aws:iam::000000000000:user/bin",
            &json!("kmsfs:Read"),
            "*",
        ),
        json!({ "Sid": "Closed", "Effect": "Deny", "Principal": "*", "Action": "kmsfs:*",
                "Resource": "*" }),
    ]);
    volume.put_policy(&document);
    let of_volume = home
        .kmsfs()
        .args(["policy", "validate"])
        .arg(&volume.backing)
        .assert();
    of_volume
        .success()
        .stderr(predicate::str::contains("locks everybody out"))
        .stderr(predicate::str::contains(
            "tree:Closed refuses all that it allows",
        ))
        .stderr(predicate::str::contains(
            "user/no-such-user is neither of this machine",
        ))
        .stderr(predicate::str::contains("not this one"));

    let narrow = home.document("key.json", &key_policy_for(&[ROOT]));
    home.run(["policy", "put", "--key", &volume.key, &narrow]);
    volume.put_policy(&policy(&[
        everything_for_root(),
        allow(
            "Bin",
            "arn:aws:iam::000000000000:user/bin",
            &json!("kmsfs:Read"),
            "*",
        ),
    ]));
    let of_home = home.json(["policy", "validate"]);
    let documents = of_home["documents"].as_array().unwrap();
    assert_eq!(documents.len(), 2, "{of_home}");
    assert!(documents.iter().all(|one| one["valid"] == true));
    home.kmsfs()
        .args(["policy", "validate"])
        .arg(&volume.backing)
        .assert()
        .success()
        .stderr(predicate::str::contains(
            "bin cannot use what tree:Bin allows",
        ));

    let damaged = home
        .dir()
        .join("policies")
        .join(format!("{}.json", volume.id));
    fs::write(damaged, "{\n \"Version\": 7 }").unwrap();
    home.kmsfs()
        .args(["policy", "validate"])
        .arg(&volume.backing)
        .assert()
        .code(17)
        .stderr(predicate::str::contains("line 2, column 13"));
    home.kmsfs().args(["policy", "validate"]).assert().code(17);
}

#[test]
fn identity_policies_count_where_the_tree_policy_delegates_and_their_deny_always() {
    let home = Home::new();
    let volume = home.volume("owner");
    let mount = volume.mount();
    open_modes(&mount.point);
    ROOT.can(&mount.point, "umask 0; mkdir d; echo text > d/f");
    let (ann, bob) = (format!("uid-{}", ANN.0), format!("uid-{}", BOB.0));
    volume.put_policy(&policy(&[
        everything_for_root(),
        allow("Account", ACCOUNT_ROOT, &json!("kmsfs:*"), "*"),
        allow("Bob", &BOB.arn(), &json!("kmsfs:*"), "*"),
    ]));
    within(TAKES_EFFECT, "bob is named", || {
        BOB.sh(&mount.point, "cat d/f").status.success()
    });
    ANN.cannot(&mount.point, "cat d/f");

    let read = json!({ "Sid": "Read", "Effect": "Allow", "Action": "kmsfs:Read", "Resource": "*" });
    let allow_file = home.document("allow.json", &policy(&[read]));
    let deny = json!({ "Sid": "No", "Effect": "Deny", "Action": "kmsfs:Read", "Resource": "*" });
    let deny_file = home.document("deny.json", &policy(&[deny]));
    home.run(["policy", "put", "--user", &ann, &allow_file]);
    within(TAKES_EFFECT, "ann's own policy", || {
        ANN.sh(&mount.point, "cat d/f").status.success()
    });
    ANN.cannot(&mount.point, "echo x >> d/f");

    // An open file goes with it, before the command returns.
    let reader = "exec 3<d/f; read go; cat <&3";
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", reader])
        .current_dir(&mount.point)
        .uid(ANN.0)
        .gid(ANN.0);
    let piped = std::process::Stdio::piped;
    let mut open = shell
        .stdin(piped())
        .stdout(piped())
        .stderr(piped())
        .spawn()
        .unwrap();
    let descriptor = format!("/proc/{}/fd/3", open.id());
    within(TAKES_EFFECT, "it is open", || {
        fs::read_link(&descriptor).is_ok()
    });
    home.run(["policy", "put", "--user", &ann, &deny_file]);
    drop(open.stdin.take());
    let output = open.wait_with_output().unwrap();
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    home.run(["policy", "put", "--user", &ann, &allow_file]);

    // A group that the key service keeps, with a Deny: it overrules the tree policy's Allow.
    home.run(["kms", "user", "create", &bob, "--group", "leavers"]);
    home.run(["policy", "put", "--group", "leavers", &deny_file]);
    within(TAKES_EFFECT, "bob is in a group", || {
        !BOB.sh(&mount.point, "cat d/f").status.success()
    });
    let refused = home.audit_records().into_iter().rfind(|record| {
        record["userIdentity"]["arn"] == BOB.arn() && record["errorCode"] == "AccessDenied"
    });
    assert!(
        refused.unwrap().to_string().contains("identity:No"),
        "the log names the statement"
    );

    // Put, listed, got, removed.
    let listed = home.json(["policy", "list"]);
    assert!(
        listed.to_string().contains(&format!("user/{ann}")),
        "{listed}"
    );
    let printed = home.run(["policy", "get", "--group", "leavers"]);
    assert!(printed.contains("\"No\""), "{printed}");
    home.run(["policy", "delete", "--group", "leavers"]);
    home.run(["policy", "delete", "--user", &ann]);
    within(TAKES_EFFECT, "both are gone", || {
        BOB.sh(&mount.point, "cat d/f").status.success()
            && !ANN.sh(&mount.point, "cat d/f").status.success()
    });
    home.kmsfs()
        .args(["policy", "get", "--user", &ann])
        .assert()
        .code(1);
    home.kmsfs()
        .args(["policy", "delete", "--user", &ann])
        .assert()
        .code(16);
}
