//! Labels and label selectors, with the rules Hetzner documents (they are those of Kubernetes).

use crate::error::ApiError;
use std::collections::BTreeMap;

/// The labels of one resource.
pub(crate) type Labels = BTreeMap<String, String>;

const NAME_MAX_CHARS: usize = 63;
const PREFIX_MAX_CHARS: usize = 253;
const LABELS_MAX: usize = 64;
/// Longer selectors are refused, so that matching stays cheap.
const SELECTOR_MAX_BYTES: usize = 4096;

/// Refuses labels that Hetzner would refuse.
pub(crate) fn check_labels(labels: &Labels) -> Result<(), ApiError> {
    if labels.len() > LABELS_MAX {
        return Err(ApiError::invalid("labels", format!("at most {LABELS_MAX} labels")));
    }
    for (key, value) in labels {
        if !is_key(key) {
            return Err(ApiError::invalid("labels", format!("label key '{key}' is not correctly formatted")));
        }
        if key.split_once('/').is_some_and(|(prefix, _)| prefix == "hetzner.cloud") {
            return Err(ApiError::invalid("labels", "the prefix 'hetzner.cloud/' is reserved"));
        }
        if !is_value(value) {
            return Err(ApiError::invalid("labels", format!("label value '{value}' is not correctly formatted")));
        }
    }
    Ok(())
}

/// All requirements must hold; none means everything matches.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq)]
enum Requirement {
    Exists(String),
    Absent(String),
    OneOf(String, Vec<String>),
    /// Also holds for a resource without the key.
    NoneOf(String, Vec<String>),
}

impl Selector {
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let refused = || ApiError::invalid("label_selector", "label selector is not correctly formatted");
        if text.len() > SELECTOR_MAX_BYTES {
            return Err(refused());
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let parts = split_outside_parentheses(text).ok_or_else(refused)?;
        parts.into_iter().map(|part| Requirement::parse(part).ok_or_else(refused)).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(key) = text.strip_prefix('!') {
            return Some(Self::Absent(key_of(key)?));
        }
        if let Some((head, set)) = text.split_once('(') {
            let values = values_of(set.trim_end().strip_suffix(')')?)?;
            let (key, operator) = head.trim_end().rsplit_once(char::is_whitespace)?;
            return match operator {
                "in" => Some(Self::OneOf(key_of(key)?, values)),
                "notin" => Some(Self::NoneOf(key_of(key)?, values)),
                _ => None,
            };
        }
        if let Some((key, value)) = text.split_once("!=") {
            return Some(Self::NoneOf(key_of(key)?, vec![value_of(value)?]));
        }
        if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            return Some(Self::OneOf(key_of(key)?, vec![value_of(value)?]));
        }
        Some(Self::Exists(key_of(text)?))
    }

    fn holds(&self, labels: &Labels) -> bool {
        match self {
            Self::Exists(key) => labels.contains_key(key),
            Self::Absent(key) => !labels.contains_key(key),
            Self::OneOf(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NoneOf(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
        }
    }
}

fn split_outside_parentheses(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' if !inside => inside = true,
            b')' if inside => inside = false,
            b'(' | b')' => return None,
            b',' if !inside => {
                parts.push(text.get(start..at)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (!inside).then_some(parts)
}

fn key_of(text: &str) -> Option<String> {
    let key = text.trim();
    is_key(key).then(|| key.to_owned())
}

fn value_of(text: &str) -> Option<String> {
    let value = text.trim();
    is_value(value).then(|| value.to_owned())
}

fn values_of(text: &str) -> Option<Vec<String>> {
    text.split(',').map(value_of).collect()
}

fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_prefix(prefix) && is_name(name),
        None => is_name(key),
    }
}

fn is_prefix(prefix: &str) -> bool {
    prefix.len() <= PREFIX_MAX_CHARS
        && prefix.split('.').all(|part| {
            is_name(part) && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let at_the_ends = |end: Option<&u8>| end.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= NAME_MAX_CHARS
        && at_the_ends(bytes.first())
        && at_the_ends(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_documented_form_of_a_selector_selects() {
        let resource = labels(&[("env", "prod"), ("example.com/role", "db"), ("empty", "")]);
        for (selector, expected) in [
            ("", true),
            ("env", true),
            ("!env", false),
            ("!missing", true),
            ("env=prod", true),
            ("env==prod", true),
            ("env==test", false),
            ("env!=test", true),
            ("env!=prod", false),
            ("missing!=prod", true),
            ("env in (test,prod)", true),
            ("env in (test, stage)", false),
            ("env notin (test,stage)", true),
            ("env notin (prod)", false),
            ("env=prod,example.com/role in (db,web),!missing", true),
            ("env=prod,missing", false),
            ("empty=", true),
        ] {
            assert_eq!(Selector::parse(selector).unwrap().matches(&resource), expected, "{selector}");
        }
    }

    #[test]
    fn malformed_selectors_are_refused() {
        for selector in [
            "env in prod",
            "env in (prod",
            "env)",
            "=prod",
            "a b",
            "env within (a)",
            "a,,b",
            "a=b=c",
            "((a))",
            ",",
            "!",
            "ö",
        ] {
            assert!(Selector::parse(selector).is_err(), "{selector}");
        }
    }

    #[test]
    fn labels_that_hetzner_refuses_are_refused() {
        for (key, value) in
            [("", "x"), ("-a", "x"), ("a", "x y"), ("a/b/c", "x"), ("A.B/c", "x"), ("hetzner.cloud/a", "x"), ("a", "-")]
        {
            assert!(check_labels(&labels(&[(key, value)])).is_err(), "{key}={value}");
        }
        assert!(check_labels(&labels(&[(&"a".repeat(64), "x")])).is_err());
        assert!(check_labels(&labels(&[("a.b/c_d.e", ""), ("x", &"v".repeat(63))])).is_ok());
    }
}
