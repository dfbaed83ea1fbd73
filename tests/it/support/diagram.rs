//! The steps that the documentation of the two machines draws, read from where they are drawn.

use std::collections::BTreeSet;
use std::sync::LazyLock;

pub type Steps = BTreeSet<(String, String)>;

/// Of a node's life.
pub static NODES: LazyLock<Steps> = LazyLock::new(|| read(include_str!("../../../src/domain/node.rs")));
/// Of a workspace's.
pub static WORKSPACES: LazyLock<Steps> = LazyLock::new(|| read(include_str!("../../../src/domain/workspace.rs")));

fn read(source: &str) -> Steps {
    let lines = source.lines().filter_map(|line| line.strip_prefix("//! ")?.split_once(" → "));
    let lower = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b' ');
    let drawn: Steps = lines
        .filter(|(from, to)| lower(from) && lower(to))
        .flat_map(|(from, to)| to.split(' ').map(|to| (from.trim().to_owned(), to.to_owned())))
        .collect();
    assert!(drawn.len() > 10, "no list of steps was found");
    drawn
}

/// Whether the step is drawn; to stay where one is needs no drawing.
pub fn allows(drawn: &Steps, from: &str, to: &str) -> bool {
    from == to || drawn.contains(&(from.to_owned(), to.to_owned()))
}

/// What was seen is what is drawn, all of it: a diagram that the code does not follow is none.
pub fn assert_is(drawn: &Steps, seen: &Steps) {
    let moves = |steps: &Steps| steps.iter().filter(|(from, to)| from != to).cloned().collect::<Steps>();
    assert_eq!(&moves(seen), &moves(drawn));
}
