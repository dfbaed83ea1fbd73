//! Where a node's object should live: near the node, since every keystroke passes through it. An object stays where it was
//! first reached from, or near the hint that was given then.

use ringfence_protocol::state::ProviderKind;

/// Cloudflare's location hint for a provider's region (Durable Objects documentation, "Data location"); none where we know
/// none, which puts the object near the user who asked.
pub(super) fn hint(provider: ProviderKind, region: &str) -> Option<&'static str> {
    match provider {
        ProviderKind::Hetzner => match region.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "fsn" | "nbg" => Some("weur"),
            "hel" => Some("eeur"),
            "ash" => Some("enam"),
            "hil" => Some("wnam"),
            "sin" => Some("apac"),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_named_by_its_city_and_a_number() {
        assert_eq!(hint(ProviderKind::Hetzner, "fsn1"), Some("weur"));
        assert_eq!(hint(ProviderKind::Hetzner, "ash"), Some("enam"));
        assert_eq!(hint(ProviderKind::Hetzner, "new-place9"), None);
    }
}
