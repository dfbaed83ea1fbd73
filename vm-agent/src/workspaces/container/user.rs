//! Who a workspace is in its container.

use std::path::Path;

use ringfence_protocol::state::WorkspaceFailure;
use serde::{Deserialize, Serialize};

use super::inside;
use crate::workspaces::EngineError;

const MAX_PASSWD_BYTES: u64 = 1 << 20;

/// A user, never root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Default for User {
    fn default() -> Self {
        Self { uid: 1000, gid: 1000 }
    }
}

impl User {
    pub(super) fn as_engine_says(self) -> String {
        format!("{}:{}", self.uid, self.gid)
    }

    pub(super) fn ids(self) -> (u32, u32) {
        (self.uid, self.gid)
    }
}

/// Finds a user by name or number in an image that is unpacked, or runs, at `root`.
pub(super) fn find(root: &Path, wanted: &str) -> Result<User, EngineError> {
    let passwd = inside::read(root, "etc/passwd", MAX_PASSWD_BYTES);
    let passwd = passwd.ok().flatten().unwrap_or_default();
    of_passwd(&String::from_utf8_lossy(&passwd), wanted)
}

fn of_passwd(passwd: &str, wanted: &str) -> Result<User, EngineError> {
    let not_found = |why: &str| {
        let text = format!("The user {wanted:?} of devcontainer.json cannot be had: {why}.");
        EngineError::new(WorkspaceFailure::UserNotFound, text)
    };
    let number = wanted.parse::<u32>().ok();
    let entries = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some((name, User { uid, gid }))
    });
    let found = entries.into_iter().find(|(name, user)| *name == wanted || Some(user.uid) == number);
    let user = found.map(|(_, user)| user).or(number.map(|uid| User { uid, gid: uid }));
    match user {
        None => Err(not_found("the image has no user of that name")),
        Some(User { uid: 0, .. }) => Err(not_found("it is root, which nothing in a workspace may be")),
        Some(User { uid, gid: 0 }) => Ok(User { uid, gid: uid }),
        Some(user) => Ok(user),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\ntoor:x:0:0::/:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\nops:x:70:0::/:/bin/sh\n";

    #[test]
    fn users_are_found_by_name_and_number_and_never_root() {
        assert_eq!(of_passwd(PASSWD, "node").unwrap(), User { uid: 1000, gid: 1001 });
        assert_eq!(of_passwd(PASSWD, "1000").unwrap(), User { uid: 1000, gid: 1001 });
        assert_eq!(of_passwd(PASSWD, "2000").unwrap(), User { uid: 2000, gid: 2000 });
        // A user of root's group is not given it.
        assert_eq!(of_passwd(PASSWD, "ops").unwrap(), User { uid: 70, gid: 70 });
        for refused in ["root", "toor", "0", "00", "nobody-here", "", "-1", "4294967296"] {
            let error = of_passwd(PASSWD, refused).unwrap_err();
            assert_eq!(error.failure, WorkspaceFailure::UserNotFound, "{refused}");
        }
    }

    proptest! {
        #[test]
        fn no_passwd_makes_a_user_root(passwd in "[a-z0-9:\n]{0,80}", wanted in "[a-z0-9]{0,4}") {
            if let Ok(user) = of_passwd(&passwd, &wanted) {
                prop_assert!(user.uid != 0 && user.gid != 0);
            }
        }
    }
}
