//! What the code that something ended with means, in words for people.

use std::borrow::Cow;

/// Codes above this are a signal's number and this: so shells and engines count.
const SIGNAL_BASE: i64 = 128;

/// How something ended, to follow "ended": `with exit code 3`.
pub fn in_words(code: i64) -> String {
    match meaning(code) {
        Some(meaning) => format!("with exit code {code} ({meaning})"),
        None => format!("with exit code {code}"),
    }
}

fn meaning(code: i64) -> Option<Cow<'static, str>> {
    Some(match code {
        126 => "its command is there and cannot be run".into(),
        127 => "its command was not found".into(),
        137 => "killed by SIGKILL: by somebody, or because memory ran out".into(),
        139 => "it crashed: SIGSEGV, an access to memory that is not its own".into(),
        143 => "it was asked to end: SIGTERM".into(),
        _ => match signal(code.checked_sub(SIGNAL_BASE)?)? {
            (_, Some(name)) => format!("ended by {name}").into(),
            (number, None) => format!("ended by signal {number}").into(),
        },
    })
}

/// A signal by its number, with its name where it is one that ends things every day.
fn signal(number: i64) -> Option<(i64, Option<&'static str>)> {
    let names = [
        (1, "SIGHUP, a line that was cut"),
        (2, "SIGINT, an interrupt"),
        (3, "SIGQUIT"),
        (4, "SIGILL, an instruction that the processor has not"),
        (6, "SIGABRT, its own check"),
        (7, "SIGBUS"),
        (8, "SIGFPE, arithmetic"),
        (13, "SIGPIPE, a reader that went away"),
        (14, "SIGALRM"),
        (24, "SIGXCPU, its limit of processor time"),
        (25, "SIGXFSZ, its limit of file size"),
        (31, "SIGSYS, a system call that is not allowed"),
    ];
    let name = names.into_iter().find(|(known, _)| *known == number).map(|(_, name)| name);
    (1..=64).contains(&number).then_some((number, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_mean_something_say_what() {
        for (code, part) in [
            (126, "cannot be run"),
            (127, "not found"),
            (130, "SIGINT"),
            (137, "SIGKILL"),
            (139, "SIGSEGV"),
            (143, "SIGTERM"),
            (159, "SIGSYS"),
            (162, "signal 34"),
        ] {
            let words = in_words(code);
            assert!(words.starts_with(&format!("with exit code {code} (")) && words.contains(part), "{words}");
        }
        for code in [0, 1, 3, 125, 128, 255, 256, -1, i64::MIN, i64::MAX] {
            assert_eq!(in_words(code), format!("with exit code {code}"));
        }
    }
}
