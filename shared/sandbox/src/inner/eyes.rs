//! Who looks at a run.

use rustix::fs::Uid;
use rustix::process::{getegid, geteuid};

/// Looks with the eyes of a run's own user, for as long as this lives. Root that has only some of its rights, as in a
/// container, may neither see what that user has open nor enter its directories; the user may.
pub(super) struct Eyes {
    user: Uid,
}

impl Eyes {
    /// Of another user, or one's own.
    pub(super) fn of(user: Option<u32>) -> Result<Self, String> {
        if let Some(user) = user {
            see_as(user, user);
            // Neither call says whether it did.
            if seeing_as() != (user, user) {
                see_as_oneself();
                return Err(format!("cannot look as user {user}"));
            }
        }
        Ok(Self {
            user: user.map_or_else(geteuid, Uid::from_raw),
        })
    }

    /// Whose they are.
    pub(super) fn user(&self) -> Uid {
        self.user
    }
}

impl Drop for Eyes {
    fn drop(&mut self) {
        see_as_oneself();
    }
}

/// Always allowed.
fn see_as_oneself() {
    see_as(geteuid().as_raw(), getegid().as_raw());
}

/// The group first: who is another user may not choose it. Both answer with what it was before.
fn see_as(user: u32, group: u32) -> (u32, u32) {
    // SAFETY: they take numbers and no pointers.
    #[expect(unsafe_code, reason = "rustix has no file system user")]
    let (group, user) = unsafe { (libc::setfsgid(group), libc::setfsuid(user)) };
    (user.cast_unsigned(), group.cast_unsigned())
}

fn seeing_as() -> (u32, u32) {
    // Nobody has this number, so nothing is changed.
    see_as(u32::MAX, u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    /// The file system's user is a thread's own, and each test has a thread.
    #[test]
    fn what_is_made_meanwhile_belongs_to_the_user() {
        let (me, my_group) = (geteuid().as_raw(), getegid().as_raw());
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        if geteuid().is_root() {
            let eyes = Eyes::of(Some(65_534)).unwrap();
            fs::write(dir.path().join("theirs"), "").unwrap();
            drop(eyes);
            assert_eq!(fs::metadata(dir.path().join("theirs")).unwrap().uid(), 65_534);
        } else {
            assert!(Eyes::of(Some(me + 1)).is_err(), "an ordinary user is nobody else");
        }
        assert_eq!(seeing_as(), (me, my_group));
        assert_eq!(Eyes::of(None).unwrap().user(), geteuid());
        fs::write(dir.path().join("ours"), "").unwrap();
        assert_eq!(fs::metadata(dir.path().join("ours")).unwrap().uid(), me);
    }
}
