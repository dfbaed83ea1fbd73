//! The one direction of dependencies inside the control plane.

use super::source::Source;

/// Each part of `src/` and what it may use of the others: `domain ← (ports, store, provider) ← app ← (http, durable) ← lib`.
const LAYERS: [(&str, &[&str]); 11] = [
    ("domain", &[]),
    ("ports", &["domain", "error"]),
    ("error", &["domain", "ports"]),
    ("config", &["domain", "error"]),
    ("store", &["domain", "error", "ports"]),
    ("provider", &["domain", "error", "ports"]),
    ("app", &["config", "domain", "error", "ports", "provider", "store"]),
    ("cloudflare", &["app", "config", "domain", "error", "ports", "provider", "store"]),
    ("http", &["app", "cloudflare", "config", "domain", "durable", "error", "ports", "provider", "store"]),
    ("durable", &["app", "cloudflare", "config", "domain", "error", "ports", "provider", "store"]),
    ("lib", &["app", "cloudflare", "config", "domain", "durable", "error", "http", "ports", "provider", "store"]),
];

pub(super) fn violations(source: &Source) -> Vec<String> {
    let Some(layer) = source.layer() else { return Vec::new() };
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return vec![format!("{}: `{layer}` has no place in the order of xtask/src/tidy/layers.rs", source.path)];
    };
    let mut found = Vec::new();
    for (line, code) in source.code.iter().enumerate() {
        for used in used_parts(code) {
            let known = LAYERS.iter().any(|(name, _)| *name == used);
            if known && used != layer && !allowed.contains(&used) {
                found.push(format!("{}: `{layer}` must not use `{used}`", source.place(line)));
            }
        }
    }
    found
}

/// The parts that a line names, as in `crate::domain::node`.
fn used_parts(code: &str) -> impl Iterator<Item = &str> {
    code.split("crate::").skip(1).map(|after| {
        let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
        &after[..end]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        violations(&Source::parse(path.into(), text.into())).len()
    }

    #[test]
    fn dependencies_point_inwards() {
        assert_eq!(found("src/app/a.rs", "use crate::store::nodes;"), 0);
        assert_eq!(found("src/store/a.rs", "use crate::app::nodes;"), 1);
        assert_eq!(found("src/domain/a.rs", "fn f(x: crate::ports::Db) {}"), 1);
        assert_eq!(found("src/domain/a.rs", "use crate::domain::b;"), 0);
    }

    #[test]
    fn a_new_part_needs_a_place_in_the_order() {
        assert_eq!(found("src/misc/a.rs", ""), 1);
    }
}
