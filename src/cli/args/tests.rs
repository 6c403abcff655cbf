use clap::CommandFactory;
use jiff::ZonedDateTime;

use super::audit::{AuditCommand, Limit, since_at};
use super::mount::{HelperArgs, Invocation, MountRequest};
use super::policy::{PolicyCommand, Target};
use super::*;
use crate::cli::mount_options::{Coverage, Durability};

fn command(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn mount_request(line: &str) -> MountRequest {
    let cli = command(line).unwrap();
    let Command::Mount(mount) = cli.command else {
        panic!("not a mount: {line}")
    };
    mount.request(cli.home).unwrap()
}

fn visit(command: &clap::Command, path: &str, check: &mut impl FnMut(&clap::Command, &str)) {
    check(command, path);
    for sub in command.get_subcommands() {
        visit(sub, &format!("{path} {}", sub.get_name()), check);
    }
}

#[test]
fn the_grammar_is_one_clap_accepts() {
    Cli::command().debug_assert();
    HelperArgs::command().debug_assert();
}

#[test]
fn every_command_and_argument_has_a_help_text() {
    visit(&Cli::command(), "kmsfs", &mut |command, path| {
        assert!(command.get_about().is_some(), "{path}");
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{path}: {}",
                argument.get_id()
            );
        }
    });
}

#[test]
fn every_commands_help_page_shows_examples_and_exit_codes() {
    for sub in Cli::command().get_subcommands() {
        let page = sub
            .get_after_long_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(page.contains("Example"), "{}", sub.get_name());
        assert!(page.contains("Exit codes:"), "{}", sub.get_name());
    }
}

#[test]
fn the_commands_are_the_agreed_ones() {
    let mut paths = Vec::new();
    visit(&Cli::command(), "kmsfs", &mut |_, path| {
        paths.push(path.to_owned());
    });
    let agreed = [
        "kmsfs init",
        "kmsfs mount",
        "kmsfs umount",
        "kmsfs status",
        "kmsfs fsck",
        "kmsfs inspect",
        "kmsfs key create",
        "kmsfs key list",
        "kmsfs key describe",
        "kmsfs key enable",
        "kmsfs key disable",
        "kmsfs key rotate",
        "kmsfs key alias create",
        "kmsfs key alias update",
        "kmsfs key alias delete",
        "kmsfs key alias list",
        "kmsfs policy put",
        "kmsfs policy get",
        "kmsfs policy validate",
        "kmsfs audit verify",
        "kmsfs audit query",
        "kmsfs audit tail",
        "kmsfs audit report",
        "kmsfs audit export",
        "kmsfs audit schema",
        "kmsfs audit settings",
    ];
    for path in agreed {
        assert!(paths.iter().any(|known| known == path), "{path}");
    }
}

#[test]
fn a_global_option_stands_before_or_after_the_command() {
    for line in [
        "kmsfs --home /h key list --json",
        "kmsfs key list --json --home /h",
    ] {
        assert_eq!(
            command(line).unwrap().home.home,
            Some("/h".into()),
            "{line}"
        );
    }
}

#[test]
fn a_passphrase_file_and_a_key_file_exclude_each_other() {
    let error = command("kmsfs --passfile a --keyfile b status").unwrap_err();
    assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict);
}

#[test]
fn init_knows_its_two_policies_by_name_and_any_other_as_a_file() {
    let policy = |line: &str| match command(line).unwrap().command {
        Command::Init(init) => init.policy,
        other => panic!("{other:?}"),
    };
    assert_eq!(policy("kmsfs init /b"), TreePolicy::Owner);
    assert_eq!(
        policy("kmsfs init /b --policy everyone"),
        TreePolicy::Everyone
    );
    assert_eq!(
        policy("kmsfs init /b --policy ./owner"),
        TreePolicy::File("./owner".into())
    );
}

#[test]
fn a_mount_flag_beats_the_option_of_the_same_meaning() {
    let request = mount_request(
        "kmsfs --home /flag --keyfile /k mount /b /m --read-only --audit strict \
         -o rw,home=/option,passfile=/p -o audit=standard,audit_durability=strict",
    );
    assert_eq!(request.options.home, Some("/flag".into()));
    assert_eq!(request.options.keyfile, Some("/k".into()));
    assert_eq!(request.options.passfile, None);
    assert_eq!(request.options.read_only, Some(true));
    assert_eq!(request.options.audit, Some(Coverage::Strict));
    assert_eq!(request.options.audit_durability, Some(Durability::Strict));
}

#[test]
fn an_option_stands_where_no_flag_is_given() {
    let request = mount_request("kmsfs mount /b /m -o ro,home=/option,keyfile=/k");
    assert_eq!(request.options.home, Some("/option".into()));
    assert_eq!(request.options.keyfile, Some("/k".into()));
    assert_eq!(request.options.read_only, Some(true));
}

#[test]
fn a_policy_command_wants_exactly_one_target() {
    assert!(command("kmsfs policy put f.json").is_err());
    assert!(command("kmsfs policy put --tree /b --key k f.json").is_err());
    let cli = command("kmsfs policy put --key alias/a f.json").unwrap();
    let Command::Policy(policy) = cli.command else {
        panic!()
    };
    let PolicyCommand::Put(put) = policy.command else {
        panic!()
    };
    assert_eq!(Target::from(put.target), Target::Key("alias/a".into()));
}

#[test]
fn called_by_mount_the_program_takes_mounts_own_argument_order() {
    for name in ["/sbin/mount.fuse.kmsfs", "mount.kmsfs"] {
        let line = [
            name,
            "/b",
            "/m",
            "-s",
            "-n",
            "-v",
            "-t",
            "fuse.kmsfs",
            "-o",
            "ro,what=1",
        ];
        let invocation = Invocation::try_parse_from(line.map(OsString::from)).unwrap();
        let Invocation::Helper(helper) = invocation else {
            panic!("{name}")
        };
        let request = helper.request().unwrap();
        assert_eq!(request.backing, PathBuf::from("/b"));
        assert_eq!(request.mountpoint, PathBuf::from("/m"));
        assert_eq!(request.options.read_only, Some(true));
    }
}

#[test]
fn called_by_its_own_name_the_program_is_no_mount_helper() {
    let line = ["/usr/local/bin/kmsfs", "status"].map(OsString::from);
    assert!(matches!(
        Invocation::try_parse_from(line).unwrap(),
        Invocation::Command(_)
    ));
}

#[test]
fn since_takes_an_instant_a_local_time_or_an_age() {
    let now: ZonedDateTime = "2026-03-02T12:00:00+01:00[+01:00]".parse().unwrap();
    let at = |text: &str| since_at(text, &now).map(|instant| instant.to_string());
    assert_eq!(at("2026-03-01T10:00:00Z").unwrap(), "2026-03-01T10:00:00Z");
    assert_eq!(at("2026-03-01").unwrap(), "2026-02-28T23:00:00Z");
    assert_eq!(at("2026-03-01T09:30").unwrap(), "2026-03-01T08:30:00Z");
    assert_eq!(at("90m").unwrap(), "2026-03-02T09:30:00Z");
    assert_eq!(at("7d").unwrap(), "2026-02-23T11:00:00Z");
    assert!(at("yesterday-ish").is_err());
}

#[test]
fn audit_tail_shows_ten_records_unless_told_otherwise() {
    let count = |line: &str| match command(line).unwrap().command {
        Command::Audit(audit) => match audit.command {
            AuditCommand::Tail(tail) => tail.count,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(count("kmsfs audit tail"), 10);
    assert_eq!(count("kmsfs audit tail -n 3 --follow"), 3);
}

#[test]
fn limits_of_the_logs_are_sizes_and_ages() {
    let settings = |options: &str| {
        let parsed = command(&format!("kmsfs audit settings {options}"));
        parsed.map(|cli| match cli.command {
            Command::Audit(audit) => match audit.command {
                AuditCommand::Settings(settings) => settings,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
    };
    let given =
        settings("--rotate-size 3M --keep-size never --keep-age 2h --rotate-age never").unwrap();
    let number = std::num::NonZeroU64::new;
    assert_eq!(given.rotate_size, number(3 << 20));
    assert_eq!(given.keep_size, Some(Limit(None)));
    assert_eq!(given.keep_age, Some(Limit(number(7200))));
    assert_eq!(given.rotate_age, Some(Limit(None)));
    assert_eq!(given.compress, None);
    let least = "--rotate-size 1M --keep-size 1M --rotate-age 1m --keep-age 1m";
    assert!(settings(least).is_ok());
    for bad in [
        "--rotate-size 0",
        "--rotate-size 1023K",
        "--keep-size 1023K",
        "--rotate-age 59s",
        "--keep-age 59s",
        "--rotate-size 5X",
        "--rotate-size 99999999T",
        "--keep-age 0s",
        "--keep-age soon",
        "--compress maybe",
    ] {
        assert!(settings(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_directory_is_given_a_key_a_label_both_or_neither_any_more() {
    for good in ["--key k", "--label l", "--key k --label l", "--inherit"] {
        assert!(
            command(&format!("kmsfs set-key d {good}")).is_ok(),
            "{good}"
        );
    }
    for bad in ["", "--inherit --key k", "--inherit --label l"] {
        assert!(command(&format!("kmsfs set-key d {bad}")).is_err(), "{bad}");
    }
}
