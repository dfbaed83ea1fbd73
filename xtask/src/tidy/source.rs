//! A Rust source file, taken apart just far enough: code, strings and comments are told from each other.

use std::fs;

use anyhow::{Context, Result};

use crate::project;
use crate::stamp::files_under;

/// Folders with our own Rust.
const FOLDERS: [&str; 6] = ["src", "protocol", "vm-agent", "local-cloud", "xtask", "tests"];

/// One source file.
pub(super) struct Source {
    /// From the root of the checkout, with forward slashes.
    pub(super) path: String,
    /// All of it.
    pub(super) text: String,
    /// The code before the file's own tests, a line for each line, comments and the insides of strings left out.
    pub(super) code: Vec<String>,
    /// String literals in that code, with their line.
    pub(super) strings: Vec<(usize, String)>,
}

impl Source {
    /// Every Rust file of the checkout.
    pub(super) fn all() -> Result<Vec<Self>> {
        let root = project::root();
        let mut sources = Vec::new();
        for folder in FOLDERS {
            for file in files_under(&root.join(folder))? {
                if file.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
                    let path = file.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
                    sources.push(Self::parse(path, text));
                }
            }
        }
        Ok(sources)
    }

    /// Takes a text apart.
    pub(super) fn parse(path: String, text: String) -> Self {
        let before_tests = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
        let mut scanner = Scanner::default();
        scanner.scan(&text[..before_tests]);
        Self { path, code: scanner.code, strings: scanner.strings, text }
    }

    /// The file's first folder below `src/`, or the file itself without its ending; `None` outside `src/`.
    pub(super) fn layer(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// Where a line is, for a person: lines count from one.
    pub(super) fn place(&self, line: usize) -> String {
        format!("{}:{}", self.path, line + 1)
    }
}

#[derive(Default)]
struct Scanner {
    code: Vec<String>,
    strings: Vec<(usize, String)>,
}

impl Scanner {
    fn scan(&mut self, text: &str) {
        self.code.push(String::new());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            rest = match next {
                '/' if rest.starts_with("//") => from(rest, rest.find('\n')),
                '/' if rest.starts_with("/*") => self.block_comment(rest),
                '"' => self.string(rest, 1, "\"", true),
                'r' if !self.inside_word() && raw_hashes(rest).is_some() => {
                    let hashes = raw_hashes(rest).unwrap_or_default();
                    self.string(rest, hashes + 2, &format!("\"{}", "#".repeat(hashes)), false)
                }
                '\'' => self.quote(rest),
                _ => {
                    self.put(next);
                    &rest[next.len_utf8()..]
                }
            };
        }
    }

    fn put(&mut self, character: char) {
        if character == '\n' {
            self.code.push(String::new());
        } else if let Some(line) = self.code.last_mut() {
            line.push(character);
        }
    }

    /// Whether the character before belongs to a word, so that an `r` does not begin a raw string.
    fn inside_word(&self) -> bool {
        self.code.last().and_then(|line| line.chars().last()).is_some_and(|c| c.is_alphanumeric() || c == '_')
    }

    fn block_comment<'a>(&mut self, text: &'a str) -> &'a str {
        let end = text.find("*/").map(|end| end + 2);
        self.keep_lines(&text[..end.unwrap_or(text.len())]);
        from(text, end)
    }

    /// Takes a string literal whose opening is `skip` bytes long; of its inside only the line ends go to the code.
    fn string<'a>(&mut self, text: &'a str, skip: usize, close: &str, escapes: bool) -> &'a str {
        let inside = &text[skip..];
        let mut end = 0;
        while end < inside.len() && !inside[end..].starts_with(close) {
            let character = inside[end..].chars().next().map_or(1, char::len_utf8);
            end += character;
            if escapes && inside[end - character..].starts_with('\\') {
                end += inside[end..].chars().next().map_or(0, char::len_utf8);
            }
        }
        let literal = &inside[..end.min(inside.len())];
        self.strings.push((self.code.len() - 1, literal.to_owned()));
        self.put('"');
        self.keep_lines(literal);
        self.put('"');
        from(inside, Some((end + close.len()).min(inside.len())))
    }

    /// A character literal, or a lifetime.
    fn quote<'a>(&mut self, text: &'a str) -> &'a str {
        let inside = &text[1..];
        let mut characters = inside.char_indices();
        let first = characters.next();
        match (first, characters.next()) {
            (Some((_, '\\')), Some(_)) => {
                let close = inside[2..].find('\'').map(|close| close + 3);
                from(inside, close)
            }
            (Some(_), Some((close, '\''))) => &inside[close + 1..],
            (Some(_), _) | (None, _) => inside,
        }
    }

    fn keep_lines(&mut self, text: &str) {
        for _ in text.matches('\n') {
            self.put('\n');
        }
    }
}

fn from(text: &str, start: Option<usize>) -> &str {
    &text[start.unwrap_or(text.len())..]
}

/// The hashes of a raw string that begins here.
fn raw_hashes(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Source {
        Source::parse("src/domain/node.rs".into(), text.into())
    }

    #[test]
    fn comments_and_strings_are_no_code() {
        let source = parse("a // worker::x\nb /* c\nd */ e \"f\ng\" h\n'i' '\\'' 'j r#\"k\"l\"# m");
        assert_eq!(source.code.join("\n"), "a \nb \n e \"\n\" h\n  j \"\" m");
        assert_eq!(source.strings, [(2, "f\ng".to_owned()), (4, "k\"l".to_owned())]);
    }

    #[test]
    fn escapes_do_not_end_a_string() {
        assert_eq!(parse(r#"x("a\"b\\") y"#).strings, [(0, r#"a\"b\\"#.to_owned())]);
    }

    #[test]
    fn a_files_own_tests_are_left_out() {
        assert_eq!(parse("a\n#[cfg(test)]\nmod tests { todo!() }").code, ["a", ""]);
    }

    #[test]
    fn layers_are_folders_or_files_of_src() {
        assert_eq!(parse("").layer(), Some("domain"));
        assert_eq!(Source::parse("src/ports.rs".into(), String::new()).layer(), Some("ports"));
        assert_eq!(Source::parse("vm-agent/src/ports.rs".into(), String::new()).layer(), None);
    }
}
