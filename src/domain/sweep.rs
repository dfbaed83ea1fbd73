//! Which of the machines in an account a sweep may delete. Nothing is deleted but what proves to be ours and is known to be
//! over: its marks name this installation and a node, and the node's row is final, or has been missing for long enough that
//! neither a slow write nor a restored database explains it (I2).

use std::time::Duration;

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::time::UnixMillis;

/// What a machine says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// Its installation.
    pub installation: Option<String>,
    /// Its node.
    pub node: Option<NodeId>,
}

/// What the database says of the node that a machine names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It lives, or ends: its own alarm looks after the machine.
    Open,
    /// It is gone: its machine should be, too.
    Final,
    /// There is no row, and since when that has been seen.
    Absent {
        /// None when it is seen for the first time now.
        since: Option<UnixMillis>,
    },
}

/// What to do with a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is of another installation, or of none.
    Foreign,
    /// It is ours, and names no node: nothing proves that it is over.
    Unnamed,
    /// Its node's own alarm looks after it.
    Kept,
    /// No row names it, not for long enough yet.
    Watched,
    /// Its node is gone.
    Leftover,
    /// No row has named it for long.
    Stray,
}

impl Judgement {
    /// Whether the machine is to be deleted.
    pub const fn deletes(self) -> bool {
        match self {
            Self::Leftover | Self::Stray => true,
            Self::Foreign | Self::Unnamed | Self::Kept | Self::Watched => false,
        }
    }

    /// The judgement in a sentence, for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Foreign => "It does not carry this installation's mark.",
            Self::Unnamed => "It carries this installation's mark and names no node: look at it yourself.",
            Self::Kept => "Its node's own alarm looks after it.",
            Self::Watched => "No row names its node; it is deleted when that stays so.",
            Self::Leftover => "Its node is gone.",
            Self::Stray => "No row has named its node for long.",
        }
    }
}

/// Judges a machine that was listed in an account.
pub fn judge(marks: &Marks, installation: &str, known: Known, now: UnixMillis, patience: Duration) -> Judgement {
    if marks.installation.as_deref() != Some(installation) {
        return Judgement::Foreign;
    }
    if marks.node.is_none() {
        return Judgement::Unnamed;
    }
    match known {
        Known::Open => Judgement::Kept,
        Known::Final => Judgement::Leftover,
        Known::Absent { since: Some(since) } if now.since(since) >= patience => Judgement::Stray,
        Known::Absent { .. } => Judgement::Watched,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn marks(installation: Option<&str>, named: bool) -> Marks {
        Marks { installation: installation.map(str::to_owned), node: named.then(|| NodeId::from_entropy([7; 13])) }
    }

    fn at(known: Known, marks: &Marks) -> Judgement {
        judge(marks, "ours", known, UnixMillis::from_secs(10_000), HOUR)
    }

    #[test]
    fn only_what_is_provably_ours_and_over_is_deleted() {
        let ours = marks(Some("ours"), true);
        assert_eq!(at(Known::Open, &ours), Judgement::Kept);
        assert_eq!(at(Known::Final, &ours), Judgement::Leftover);
        for (installation, named) in [(None, true), (Some("theirs"), true), (None, false), (Some("ours"), false)] {
            let judgement = at(Known::Final, &marks(installation, named));
            assert!(!judgement.deletes(), "{installation:?} {named}: {judgement:?}");
        }
    }

    #[test]
    fn a_machine_without_a_row_is_deleted_only_after_patience() {
        let ours = marks(Some("ours"), true);
        let since = |secs| Known::Absent { since: Some(UnixMillis::from_secs(secs)) };
        assert_eq!(at(Known::Absent { since: None }, &ours), Judgement::Watched);
        assert_eq!(at(since(10_000 - 3599), &ours), Judgement::Watched);
        assert_eq!(at(since(10_000 - 3600), &ours), Judgement::Stray);
    }
}
