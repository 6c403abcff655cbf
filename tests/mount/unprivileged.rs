//! Mounting as an ordinary user, through fusermount3. `/dev/fuse` has to be open for everyone
//! (mode 0666), as udev makes it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use crate::common::{Home, ROOT, User};

/// fusermount3 looks the user up, so this one needs an entry in `/etc/passwd`.
const NOBODY: User = User(65_534);

/// A home directory's worth of space that belongs to `nobody`, and a script's preamble in it.
fn prepared() -> (Home, String) {
    let fuse = fs::metadata("/dev/fuse").unwrap().permissions().mode();
    assert_eq!(
        fuse & 0o666,
        0o666,
        "/dev/fuse is not open to users: chmod 666 /dev/fuse"
    );
    let home = Home::new();
    let mine = home.path("mine");
    fs::create_dir(&mine).unwrap();
    fs::copy(home.passfile(), mine.join("pass")).unwrap();
    fs::set_permissions(mine.join("pass"), fs::Permissions::from_mode(0o600)).unwrap();
    for path in [mine.clone(), mine.join("pass")] {
        chown(path, Some(NOBODY.0), Some(NOBODY.0)).unwrap();
    }
    // The build directory need not be reachable for other users.
    fs::copy(env!("CARGO_BIN_EXE_kmsfs"), home.path("kmsfs")).unwrap();
    let preamble = format!(
        "kmsfs() {{ '{}' --home home --passfile pass \"$@\"; }}
         trap 'fusermount3 -u -z point 2>/dev/null || true' EXIT\n",
        home.path("kmsfs").display()
    );
    (home, preamble)
}

#[test]
fn an_ordinary_user_makes_mounts_uses_and_unmounts_a_volume() {
    let (home, preamble) = prepared();
    let output = NOBODY.can(
        &home.path("mine"),
        &(preamble
            + "kmsfs init backing
               mkdir point
               kmsfs mount backing point
               echo text > point/f
               mkdir point/d; mv point/f point/d; chmod 600 point/d/f
               kmsfs umount point
               test ! -e point/d
               kmsfs mount backing point
               cat point/d/f
               kmsfs status
               kmsfs umount point
               kmsfs audit verify >&2"),
    );
    assert!(output.contains("text\n"), "{output}");
}

#[test]
fn other_users_and_root_do_not_reach_a_users_own_mount() {
    let (home, preamble) = prepared();
    let mine = home.path("mine");
    NOBODY.can(
        &mine,
        &(preamble.replace("trap", "# trap")
            + "kmsfs init backing; mkdir point; kmsfs mount backing point; echo text > point/f"),
    );
    let root = ROOT.sh(&mine, "cat point/f");
    let nobody = NOBODY.sh(&mine, "cat point/f; fusermount3 -u -z point");
    assert!(!root.status.success(), "root read a user's mount");
    assert_eq!(
        String::from_utf8_lossy(&nobody.stdout),
        "text\n",
        "{nobody:?}"
    );
}

#[test]
fn a_mount_by_root_for_all_keeps_root_out_of_a_users_volume() {
    let (home, preamble) = prepared();
    let mine = home.path("mine");
    NOBODY.can(&mine, &(preamble.clone() + "kmsfs init backing"));
    ROOT.can(
        &mine,
        &(preamble
            + "mkdir point
               kmsfs mount backing point -o allow_other
               setpriv --reuid 65534 --regid 65534 --clear-groups sh -ec 'echo text > point/f; cat point/f'
               if cat point/f; then echo 'root read it' >&2; exit 1; fi
               kmsfs umount point"),
    );
}

#[test]
fn the_user_who_mounted_sets_keys_in_their_own_volume() {
    let (home, preamble) = prepared();
    let output = NOBODY.can(
        &home.path("mine"),
        &(preamble
            + "kmsfs init backing
               kmsfs key create --alias hr
               mkdir point
               kmsfs mount backing point
               mkdir point/hr; chmod 500 point
               kmsfs set-key point/hr --key alias/hr --label hr
               chmod 500 point/hr
               kmsfs set-key point/hr --label hr
               chmod 700 point/hr
               echo secret > point/hr/f
               kmsfs status --json point/hr
               kmsfs umount point
               kmsfs fsck backing
               kmsfs mount backing point
               cat point/hr/f
               kmsfs umount point"),
    );
    assert!(
        output.contains("\"label\":\"hr\",\"boundary\":true"),
        "{output}"
    );
    assert!(output.contains("secret\n"), "{output}");
}
