//! Ordinary programs at work on a mount.

use std::path::Path;

use crate::common::{Home, ROOT};

/// Some hundred source files that are on every machine with this project.
const TREE: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn a_source_tree_unpacked_by_tar_equals_the_original_before_and_after_a_remount() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    ROOT.can(
        &mount.point,
        &format!("tar -C '{TREE}' -cf - src tests Cargo.lock | tar -xf -"),
    );
    let compare =
        format!("for part in src tests Cargo.lock; do diff -r '{TREE}'/$part $part; done");
    ROOT.can(&mount.point, &compare);
    drop(mount);
    let mount = volume.mount();
    ROOT.can(&mount.point, &compare);
    ROOT.can(
        &mount.point,
        &format!("tar -cf all.tar src tests; tar -C '{TREE}' -df all.tar"),
    );
}

#[test]
fn git_clones_commits_and_finds_nothing_to_do() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let git = "export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 \
               GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t\n";
    let origin = home.path("origin");
    std::fs::create_dir(&origin).unwrap();
    ROOT.can(
        &origin,
        &format!("{git} git init -q .; cp -r '{TREE}/src' .; git add .; git commit -qm first"),
    );
    ROOT.can(
        &mount.point,
        &format!(
            "{git}
             git clone -q '{}' copy
             cd copy
             test -z \"$(git status --porcelain)\"
             echo change >> src/lib.rs
             git commit -qam second
             git checkout -qb branch HEAD~1
             git checkout -q -
             git gc -q
             git fsck --strict
             test -z \"$(git status --porcelain)\"",
            origin.display()
        ),
    );
    drop(mount);
    let mount = volume.mount();
    let status = ROOT.can(
        &mount.path("copy"),
        &format!("{git} git status --porcelain; git fsck"),
    );
    assert_eq!(status, "");
}

#[test]
fn sqlite_in_wal_mode_keeps_its_integrity() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    ROOT.can(
        &mount.point,
        "sqlite3 db 'PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT);' >/dev/null
         for writer in 1 2 3; do
             ( for n in $(seq 40); do
                   echo 'PRAGMA busy_timeout=20000; BEGIN IMMEDIATE;
                         INSERT INTO t(text) SELECT hex(randomblob(50)) FROM generate_series(1,20); COMMIT;'
               done | sqlite3 -bail db >/dev/null ) &
         done
         for job in 1 2 3; do wait; done",
    );
    let check = "sqlite3 db 'PRAGMA integrity_check; SELECT count(*) FROM t;'";
    assert_eq!(ROOT.can(&mount.point, check), "ok\n2400\n");
    drop(mount);
    assert_eq!(ROOT.can(&volume.mount().point, check), "ok\n2400\n");
}

#[test]
fn a_c_program_is_compiled_archived_linked_and_run() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let said = ROOT.can(
        &mount.point,
        r#"printf '#include <stdio.h>\nvoid hello(void);\nint main(void){hello();return 0;}\n' > main.c
           printf '#include <stdio.h>\nvoid hello(void){puts("hello");}\n' > hello.c
           cc -g -c hello.c
           ar rcs libhello.a hello.o
           cc -g -o main main.c -L. -lhello
           ./main"#,
    );
    assert_eq!(said, "hello\n");
}

#[test]
fn cargo_builds_a_crate_inside_the_mount() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let cargo = Path::new(env!("CARGO"));
    // HOME as it is for this process: rustup looks for its toolchain there.
    let said = std::process::Command::new("sh")
        .args(["-ec", "mkdir -p app/src; cd app; printf '[package]\\nname=\"app\"\\nedition=\"2024\"\\n' > Cargo.toml; echo 'fn main(){println!(\"built\")}' > src/main.rs; \"$0\" -q run --offline; touch src/main.rs; \"$0\" -q run --offline"])
        .arg(cargo)
        .current_dir(&mount.point)
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
    assert_eq!(said.stdout, b"built\nbuilt\n");
}

#[test]
fn file_locks_exclude_other_processes() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    ROOT.can(
        &mount.point,
        "exec 9> lock
         flock -n 9
         ! flock -n lock true
         flock -u 9
         flock -n lock true",
    );
}
