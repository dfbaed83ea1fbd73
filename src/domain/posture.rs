//! What is made of a posture that an agent has measured: bounded, so that it can be kept and shown, and judged.
//!
//! An agent is believed in what it measured, not in what follows from it: a posture without a single check that must pass
//! proves nothing, and one with more checks than are kept cannot be shown to hold.

use ringfence_protocol::posture::{MAX_CHECKS, Posture, PostureCheck};
use ringfence_protocol::time::UnixMillis;

/// Longest id of a check, in characters.
const MAX_ID_CHARS: usize = 64;
/// Longest title, rule or measurement of a check, in characters.
const MAX_TEXT_CHARS: usize = 500;

/// What a posture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// All that must hold was seen to hold.
    Holds,
    /// Something that must hold was not.
    Broken,
}

impl Verdict {
    /// What a posture shows, as its agent sent it.
    pub fn of(posture: &Posture) -> Self {
        let proves = posture.checks.iter().any(|check| check.must_pass);
        if proves && posture.checks.len() <= MAX_CHECKS && posture.holds() { Self::Holds } else { Self::Broken }
    }

    /// As the database keeps it.
    pub const fn holds(self) -> bool {
        match self {
            Self::Holds => true,
            Self::Broken => false,
        }
    }
}

/// The posture as it is kept: as many checks as that, without control characters, measured not later than now. Those that
/// are broken come first where there are too many, so that cutting never hides one.
pub fn kept(posture: Posture, now: UnixMillis) -> Posture {
    let Posture { measured_at, mut checks } = posture;
    if checks.len() > MAX_CHECKS {
        checks.sort_by_key(|check| !is_broken(check));
        checks.truncate(MAX_CHECKS);
    }
    let checks = checks.into_iter().map(|check| PostureCheck {
        id: cut(&check.id, MAX_ID_CHARS),
        title: cut(&check.title, MAX_TEXT_CHARS),
        rule: cut(&check.rule, MAX_TEXT_CHARS),
        measured: cut(&check.measured, MAX_TEXT_CHARS),
        outcome: check.outcome,
        must_pass: check.must_pass,
    });
    Posture { measured_at: measured_at.min(now), checks: checks.collect() }
}

fn is_broken(check: &PostureCheck) -> bool {
    check.must_pass && check.outcome != ringfence_protocol::state::PostureOutcome::Pass
}

/// A text of an agent as it is kept: one line, so long at most.
pub fn cut(text: &str, max_chars: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max_chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_protocol::state::PostureOutcome;

    fn check(outcome: PostureOutcome, must_pass: bool) -> PostureCheck {
        PostureCheck {
            id: "capabilities".into(),
            title: "The container has no capabilities.".into(),
            rule: "all capabilities dropped".into(),
            measured: "CapEff 0000000000000000\u{1b}[2J".into(),
            outcome,
            must_pass,
        }
    }

    fn posture(checks: Vec<PostureCheck>) -> Posture {
        Posture { measured_at: UnixMillis::new(2_000), checks }
    }

    #[test]
    fn a_posture_holds_only_if_something_must_pass_and_all_of_that_did() {
        use PostureOutcome::{Fail, Pass, Unknown};
        let verdict = |checks| Verdict::of(&posture(checks));
        assert_eq!(verdict(vec![check(Pass, true), check(Fail, false)]), Verdict::Holds);
        assert_eq!(verdict(vec![]), Verdict::Broken);
        assert_eq!(verdict(vec![check(Pass, false)]), Verdict::Broken);
        assert_eq!(verdict(vec![check(Pass, true), check(Unknown, true)]), Verdict::Broken);
        assert_eq!(verdict(vec![check(Pass, true), check(Fail, true)]), Verdict::Broken);
        assert_eq!(verdict(vec![check(Pass, true); MAX_CHECKS]), Verdict::Holds);
        assert_eq!(verdict(vec![check(Pass, true); MAX_CHECKS + 1]), Verdict::Broken);
    }

    #[test]
    fn what_is_kept_is_bounded_and_never_hides_what_is_broken() {
        let mut checks = vec![check(PostureOutcome::Pass, true); MAX_CHECKS + 9];
        checks.push(check(PostureOutcome::Fail, true));
        checks.push(PostureCheck { measured: "x".repeat(9_999), ..check(PostureOutcome::Unknown, true) });
        let kept = kept(posture(checks), UnixMillis::new(1_000));
        assert_eq!((kept.checks.len(), kept.broken().count()), (MAX_CHECKS, 2));
        assert_eq!(kept.measured_at, UnixMillis::new(1_000), "nothing was measured in the future");
        assert!(kept.checks.iter().all(|check| check.measured.chars().count() <= 500));
        assert!(kept.checks.iter().all(|check| !check.measured.contains('\u{1b}')));
    }
}
